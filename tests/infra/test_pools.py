"""infra/'s work pools on a real Prefect server, and a real ECS worker that takes a run from there to moto's ECS."""

import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from clouds import ROOT, Stack
from laptops import Laptop, eventually, standing

from loopline.clients.ecs import check_secret
from loopline.errors import ConfigError
from loopline.laptop_addresses import LaptopAddresses

GPU = "loopline-gpu"
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"})
SMALL = {"cpu": 2048, "memory": 4096}  # moto's machines are


@dataclass
class Deployed:
    """A laptop's Prefect server to which the pools were brought."""

    laptop: Laptop
    api: httpx.Client
    pools: list[dict[str, Any]]

    def pool(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/work_pools/{name}").raise_for_status().json()
        return found


@pytest.fixture(scope="module")
def ecs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which Prefect knows ECS. Installed beside, as it would make every other run's start longer."""
    folder = tmp_path_factory.mktemp("prefect-aws")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    pins = ["--constraint", ROOT / "constraints.txt", "--target", folder]
    subprocess.run([*pip, *pins, "prefect-aws", "tenacity"], check=True)
    return {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def deployed(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    output = stack.terraform("output", "-json", "loopline")
    pools = json.loads(output.stdout)["work_pools"]
    place = tmp_path_factory.mktemp("pools") / "pools.json"
    place.write_text(json.dumps(pools))
    with tempfile.TemporaryDirectory() as folder, standing(Path(folder) / "home") as laptop:
        laptop.settings |= {"LOOPLINE_PREFECT__GPU_POOL": GPU, "LOOPLINE_PREFECT__POOL": "loopline-cpu"}
        for _ in range(2):
            done = laptop.call("deploy", "--pools", place)
            assert done.code == 0, done.log
        with laptop.api() as api:
            yield Deployed(laptop, api, pools)


def test_pools_are_on_the_server_as_terraform_wrote_them(deployed: Deployed) -> None:
    for pool in deployed.pools:
        there = deployed.pool(pool["name"])
        assert there["type"] == "ecs" and there["concurrency_limit"] == pool["concurrency_limit"]
        assert there["base_job_template"] == json.loads(pool["base_job_template"])
    fit = deployed.api.get("/deployments/name/fit-model/gpu").raise_for_status().json()
    build = deployed.api.get("/deployments/name/build-model/build-model").raise_for_status().json()
    assert (fit["work_pool_name"], build["work_pool_name"]) == (GPU, "loopline-cpu")


def test_a_pool_that_is_paused_stays_so_and_one_of_another_type_is_refused(deployed: Deployed, tmp_path: Path) -> None:
    deployed.api.patch(f"/work_pools/{GPU}", json={"is_paused": True}).raise_for_status()
    place = tmp_path / "pools.json"
    place.write_text(json.dumps(deployed.pools))
    assert deployed.laptop.call("deploy", "--pools", place).code == 0
    assert deployed.pool(GPU)["is_paused"]
    deployed.api.patch(f"/work_pools/{GPU}", json={"is_paused": False}).raise_for_status()
    place.write_text(json.dumps([{**deployed.pools[0], "type": "kubernetes"}]))
    refused = deployed.laptop.call("deploy", "--pools", place)
    assert (refused.code, "is there as ecs, not kubernetes" in refused.log) == (2, True), refused.log
    place.write_text("[{}]")
    assert "describes no work pools: 0.name: field required" in deployed.laptop.call("deploy", "--pools", place).log


def test_what_ecs_would_not_find_is_said_before_anything_is_done(deployed: Deployed, stack: Stack) -> None:
    laptop = replace(deployed.laptop, settings=deployed.laptop.settings | stack.environment)
    laptop.settings["LOOPLINE_PREFECT__GPU_DEPLOYMENT"] = "fit-model/gpu"
    refused = laptop.call("run", "--source", "inbox/anything")
    assert refused.code != 0 and "/loopline/gpu:v1 is not in ECR; push it" in refused.last_line, refused.log
    for repository in ("cpu", "gpu"):
        stack.client("ecr").put_image(repositoryName=f"loopline/{repository}", imageManifest=MANIFEST, imageTag="v1")
    said = laptop.call("doctor").out
    assert f"pool {GPU}" in said and "is not in ECR" not in said


def test_a_secret_without_a_value_is_named_with_its_remedy(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    secrets = stack.client("secretsmanager")
    arn = secrets.create_secret(Name="a-new-one")["ARN"]
    with pytest.raises(ConfigError, match=rf"has no value yet; aws secretsmanager put-secret-value --secret-id {arn}"):
        check_secret(arn)
    secrets.put_secret_value(SecretId=arn, SecretString="anything")
    check_secret(arn)
    secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    with pytest.raises(ConfigError, match="is not there; `terraform apply` makes it"):
        check_secret(arn)


def test_a_budget_that_is_spent_pauses_the_pools(deployed: Deployed, stack: Stack) -> None:
    from loopline.local import prefect_environment
    from loopline.settings import Settings

    definitions = stack.client("ecs").list_task_definitions(familyPrefix=f"{GPU}-worker")["taskDefinitionArns"]
    found = stack.client("ecs").describe_task_definition(taskDefinition=definitions[-1])["taskDefinition"]
    (said,) = [one["command"] for one in found["containerDefinitions"] if one["name"] == "spending"]
    ours = prefect_environment(Settings(home=deployed.laptop.home, _env_file=None)) | stack.environment
    (topic,) = [one["TopicArn"] for one in stack.client("sns").list_topics()["Topics"]]
    stack.client("sns").publish(TopicArn=topic, Message="AWS Budgets: loopline has exceeded your alert threshold")
    waiting = subprocess.Popen([sys.executable, *said[1:]], cwd=ROOT, env=os.environ | ours)
    try:
        assert eventually(lambda: all(deployed.pool(pool["name"])["is_paused"] for pool in deployed.pools))
        assert eventually(lambda: not left_in(stack, "loopline-spent"))
        assert waiting.poll() is None, "it waits for the next month"
    finally:
        waiting.kill()
        waiting.wait()
    for pool in deployed.pools:
        deployed.api.patch(f"/work_pools/{pool['name']}", json={"is_paused": False}).raise_for_status()


@pytest.mark.usefixtures("machine")
def test_a_worker_asks_ecs_for_a_gpu_with_secrets_by_reference(
    deployed: Deployed, stack: Stack, ecs: dict[str, str]
) -> None:
    fit = deployed.api.get("/deployments/name/fit-model/gpu").json()["id"]
    asked = {"parameters": {}, "enforce_parameter_schema": False, "job_variables": SMALL}
    run = deployed.api.post(f"/deployments/{fit}/create_flow_run", json=asked).raise_for_status().json()["id"]
    said = work(deployed, stack, ecs)
    there = stack.client("ecs")
    started = there.list_tasks(cluster="loopline")["taskArns"]
    assert len(started) == 1, said
    (task,) = there.describe_tasks(cluster="loopline", tasks=started, include=["TAGS"])["tasks"]
    assert {"key": "prefect.io/flow-run-id", "value": run} in task["tags"]
    assert {"key": "project", "value": "loopline"} in task["tags"], "the budget goes by it"
    assert task["capacityProviderName"] == "loopline-gpu-spot"
    definition = there.describe_task_definition(taskDefinition=task["taskDefinitionArn"])["taskDefinition"]
    (container,) = definition["containerDefinitions"]
    assert definition["requiresCompatibilities"] == ["EC2"]
    assert container["resourceRequirements"] == [{"type": "GPU", "value": "1"}]
    assert container["image"].endswith("/loopline/gpu:v1")
    secrets = {secret["name"]: secret["valueFrom"] for secret in container["secrets"]}
    assert secrets["PREFECT_API_AUTH_STRING"].startswith("arn:aws:secretsmanager:")
    password = LaptopAddresses.read(deployed.laptop.home).prefect_auth.get_secret_value()
    assert password not in json.dumps([definition, task], default=str)


@pytest.fixture
def machine(stack: Stack) -> Iterator[None]:
    """One machine in the cluster: moto starts none by itself."""
    ec2, ecs = stack.client("ec2"), stack.client("ecs")
    image = stack.client("ssm").get_parameter(
        Name="/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id"
    )["Parameter"]["Value"]
    instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    document = json.dumps({"instanceId": instance, "uuid": str(uuid.uuid4())})
    registered = ecs.register_container_instance(cluster="loopline", instanceIdentityDocument=document)
    yield
    place = registered["containerInstance"]["containerInstanceArn"]
    for task in ecs.list_tasks(cluster="loopline")["taskArns"]:
        ecs.stop_task(cluster="loopline", task=task)
    ecs.deregister_container_instance(cluster="loopline", containerInstance=place, force=True)
    ec2.terminate_instances(InstanceIds=[instance])


def left_in(stack: Stack, name: str) -> bool:
    """Tell whether messages are in a queue, those included that someone has taken and not deleted."""
    sqs, counts = stack.client("sqs"), ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"], AttributeNames=counts)
    return any(int(found["Attributes"][count]) for count in counts)


def work(deployed: Deployed, stack: Stack, ecs: dict[str, str]) -> str:
    """Have a real worker take what waits, once; what it said."""
    from loopline.local import prefect_environment
    from loopline.settings import Settings

    ours = prefect_environment(Settings(home=deployed.laptop.home, _env_file=None))
    queue = {"PREFECT_INTEGRATIONS_AWS_ECS_OBSERVER_SQS_QUEUE_NAME": "loopline-events"}
    once = ["--type", "ecs", "--run-once", "--install-policy", "never"]
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", GPU, *once]
    done = subprocess.run(
        command,
        env=os.environ | ours | stack.environment | queue | ecs,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_template_that_is_kept_is_the_workers_own(ecs: dict[str, str]) -> None:
    kept = json.loads((ROOT / "infra" / "templates" / "ecs.json").read_text())
    ask = "import json, prefect_aws as it; print(json.dumps(it.ECSWorker.get_default_base_job_template()))"
    told = subprocess.run([sys.executable, "-c", ask], env=os.environ | ecs, check=True, capture_output=True, text=True)
    assert kept == json.loads(told.stdout)
