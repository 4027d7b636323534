"""One application of examples/complete for all tests of infra/: it takes a minute and a half."""

from collections.abc import Iterator

import pytest
from clouds import CANARY, Stack, applied, aws


@pytest.fixture(scope="session")
def cloud() -> Iterator[str]:
    with aws() as address:
        yield address


@pytest.fixture(scope="session")
def stack(cloud: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    variables = {
        "name": "loopline",
        "bucket": "loopline-of-a-team",
        "prefect_api_url": "http://127.0.0.1:4200/api",
        "registry_url": "https://git.example.com/registry.git",
        "release": "v1",
        "disposable": True,
    }
    with applied(tmp_path_factory.mktemp("cloud") / "infra", cloud, **variables) as stack:
        secrets = stack.client("secretsmanager")
        secrets.put_secret_value(SecretId="loopline/PREFECT_API_AUTH_STRING", SecretString=CANARY)
        yield stack
