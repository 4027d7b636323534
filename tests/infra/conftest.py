"""One application of examples/complete for all tests of infra/: it takes a minute and a half."""

from collections.abc import Iterator

import pytest
from clouds import CANARY, Stack, applied, aws, client


@pytest.fixture(scope="session")
def cloud() -> Iterator[str]:
    with aws() as address:
        yield address


@pytest.fixture(scope="session")
def stack(cloud: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    certificate = client("acm", cloud).request_certificate(DomainName="*.example.com")["CertificateArn"]
    variables = {
        "name": "loopline",
        "bucket": "loopline-of-a-team",
        "prefect_api_url": "https://prefect.example.com/api",
        "registry_url": "https://git.example.com/registry.git",
        "release": "v1",
        "service_release": "v2",
        "label_studio_url": "https://labels.example.com",
        "label_studio_user": "team@example.com",
        "certificate_arn": certificate,
        "disposable": True,
    }
    with applied(tmp_path_factory.mktemp("cloud") / "infra", cloud, **variables) as stack:
        secrets = stack.client("secretsmanager")
        secrets.put_secret_value(SecretId="loopline/PREFECT_API_AUTH_STRING", SecretString=CANARY)
        yield stack
