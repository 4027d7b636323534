"""A stand-in for AWS, and Terraform before it: the real binary and the real provider, talking to moto over HTTP."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.iam.access_control import PermissionResult
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.rds.models import DBInstance
from moto.s3.models import FakeBucket

ROOT = Path(__file__).parents[2]
OVERRIDES = Path(__file__).parent / "moto"
REGION = "eu-central-1"
PROVIDER = "registry.terraform.io/hashicorp/aws"
SECONDS = 500
HALF_WAY_SECONDS = 8
CANARY = "canary-5ea1ed-in-no-state"  # the value of a secret


def without_conditions(bucket: FakeBucket, action: str, resource: str) -> PermissionResult:
    """Judge as moto does, but for statements with a condition: it would hold all of them for true."""
    if bucket.policy is None:
        return PermissionResult.NEUTRAL
    document = json.loads(bucket.policy)
    kept = [statement for statement in document["Statement"] if not statement.get("Condition")]
    if not kept:
        return PermissionResult.NEUTRAL
    whole, bucket.policy = bucket.policy, json.dumps({**document, "Statement": kept}).encode()
    try:
        return judged(bucket, action, resource)
    finally:
        bucket.policy = whole


judged = FakeBucket.get_permission


def registered(asked: ApplicationAutoScalingResponse) -> str:
    """Register what scales a service, and keep its tags, which moto forgets."""
    answer = register(asked)
    target_tags[json.loads(answer)["ScalableTargetARN"]] = asked._get_param("Tags") or {}
    return answer


def tags_told(asked: ApplicationAutoScalingResponse) -> str:
    """Return the tags of what scales a service: the provider asks for them."""
    return json.dumps({"Tags": target_tags[asked._get_param("ResourceARN")]})


register = ApplicationAutoScalingResponse.register_scalable_target
target_tags: dict[str, dict[str, str]] = {}

# moto gives all databases the same one, by which the provider looks for its own.
resource_id = property(lambda one: "db-" + one.db_instance_identifier.replace("-", "").upper(), lambda one, value: None)


@contextmanager
def aws() -> Iterator[str]:
    """Start moto; its address."""
    with (
        pytest.MonkeyPatch.context() as environment,
        patch.object(FakeBucket, "get_permission", without_conditions),
        patch.object(ApplicationAutoScalingResponse, "register_scalable_target", registered),
        patch.object(ApplicationAutoScalingResponse, "list_tags_for_resource", tags_told, create=True),
        patch.object(DBInstance, "dbi_resource_id", resource_id, create=True),
    ):
        environment.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        moto_api_backend.reset()  # what another test of this process left; AWS's own policies are read now
        _, port = server.get_host_and_port()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop()


@dataclass
class Stack:
    """An example of infra/, in a folder of its own, with moto's address."""

    folder: Path
    address: str

    @property
    def environment(self) -> dict[str, str]:
        """What makes Terraform, boto3 and a worker ask moto."""
        keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
        return keys | {"AWS_ENDPOINT_URL": self.address, "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}

    def terraform(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Terraform in the folder."""
        return terraform(*arguments, "-no-color", cwd=self.folder, **self.environment)

    def interrupted(self) -> str:
        """Have Terraform apply, interrupt it half-way as a person does, and return what it said."""
        command, environment = prepared("apply", "-auto-approve", "-no-color", cwd=self.folder)
        applying = subprocess.Popen(
            command, cwd=self.folder, env=environment | self.environment, stdout=subprocess.PIPE, text=True
        )
        time.sleep(HALF_WAY_SECONDS)
        applying.send_signal(signal.SIGINT)
        return applying.communicate(timeout=SECONDS)[0]

    def client(self, service: str) -> Any:
        """Return boto3's client of a service."""
        return client(service, self.address)


def client(service: str, address: str, **keys: str) -> Any:
    """Return boto3's client of a service at moto's address."""
    keys = keys or {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client(service, endpoint_url=address, region_name=REGION, **keys)  # type: ignore[call-overload]


def container_of(stack: Stack, family: str) -> dict[str, Any]:
    """Return what ECS was told of a container."""
    definition = stack.client("ecs").describe_task_definition(taskDefinition=family)["taskDefinition"]
    (container,) = definition["containerDefinitions"]
    found: dict[str, Any] = container
    return found


def terraform(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Terraform."""
    command, environment = prepared(*arguments, cwd=cwd)
    return subprocess.run(
        command, cwd=cwd, env=environment | variables, capture_output=True, text=True, timeout=SECONDS
    )


def prepared(*arguments: str, cwd: Path) -> tuple[list[str], dict[str, str]]:
    """Return Terraform's command and environment: the provider is a mirror's on this machine, else the registry's."""
    program = shutil.which("terraform")
    if not program:
        pytest.skip("needs Terraform; runs wherever it is installed")
    environment = os.environ | {"TF_IN_AUTOMATION": "true", "CHECKPOINT_DISABLE": "true"}
    named = Path(os.environ.get("TF_CLI_CONFIG_FILE", ""))
    if not named.is_file():
        environment.pop("TF_CLI_CONFIG_FILE", None)
        mirrors = [place.parents[2] for place in Path("/opt").glob(f"*/{PROVIDER}")]
        if mirrors:
            configuration = cwd / "mirror.tfrc"
            configuration.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{mirrors[0]}" }}\n}}\n')
            environment["TF_CLI_CONFIG_FILE"] = str(configuration)
    return [program, *arguments], environment


def copied(folder: Path) -> Path:
    """Copy infra/ with what moto needs beside it."""
    shutil.copytree(ROOT / "infra", folder, ignore=shutil.ignore_patterns(".terraform*"))
    for override in OVERRIDES.glob("*.tf"):
        place = folder / ("examples/complete" if override.stem == "example" else f"modules/{override.stem}")
        shutil.copy(override, place / "moto_override.tf")
    return folder


@contextmanager
def applied(folder: Path, address: str, **variables: Any) -> Iterator[Stack]:
    """Apply examples/complete: once half-way, then whole."""
    stack = Stack(copied(folder) / "examples" / "complete", address)
    (stack.folder / "terraform.tfvars.json").write_text(json.dumps(variables))
    begun = stack.terraform("init")
    assert begun.returncode == 0, begun.stderr
    assert "Interrupt received" in stack.interrupted()
    done = stack.terraform("apply", "-auto-approve")
    assert done.returncode == 0, done.stderr
    yield stack
