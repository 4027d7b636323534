"""A work pool on Kubernetes: from Terraform, without a provider, to the job that Prefect's own worker asks for."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from clouds import CANARY, ROOT, terraform
from manifests import OVERLAYS, check, found, rendered

from loopline.deploying import POOLS, WorkPool

WORKER = ["prefect-kubernetes", "kubernetes-asyncio", "kopf", "iso8601", "pyopenssl", "exceptiongroup", "tenacity"]
ADDRESSES = {
    "image": "registry.example.com/loopline:v1",
    "bucket": "loopline-of-a-team",
    "registry_url": "https://git.example.com/registry.git",
    "prefect_api_url": "https://prefect.example.com/api",
}


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which Prefect knows Kubernetes. Installed beside, as prefect-aws is in test_pools.py."""
    folder = tmp_path_factory.mktemp("prefect-kubernetes")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--constraint", ROOT / "constraints.txt", "--target", folder, *WORKER], check=True)
    return {"PYTHONPATH": str(folder), "PREFECT_HOME": str(folder / "home")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pools") / "infra"
    shutil.copytree(ROOT / "infra", place, ignore=shutil.ignore_patterns(".terraform*"))
    begun = terraform("init", "-no-color", cwd=place / "examples" / "kubernetes")
    assert begun.returncode == 0, begun.stderr
    return place / "examples" / "kubernetes"


def applied(folder: Path, **variables: Any) -> list[WorkPool]:
    (folder / "terraform.tfvars.json").write_text(json.dumps(ADDRESSES | variables))
    done = terraform("apply", "-auto-approve", "-no-color", cwd=folder)
    assert done.returncode == 0, done.stderr
    return POOLS.validate_json(terraform("output", "-json", "work_pools", cwd=folder).stdout)


@contextmanager
def kubernetes() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """A stand-in for Kubernetes' API that takes whatever is to be made; its address, and what that was."""
    made: list[tuple[str, Any]] = []

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.append((self.path, json.loads(body)))
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Api) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", made
        server.shutdown()


def asked(pool: WorkPool, environment: dict[str, str], **values: Any) -> dict[str, Any]:
    """Have the worker ask for a run's job, with what its manifest sets for that; what Kubernetes was asked for."""
    worker = found(rendered(OVERLAYS / "gpu"), "Deployment", f"{pool.name}-worker")["spec"]["template"]["spec"]
    settings = {one["name"]: one["value"] for one in worker["containers"][0]["env"] if "_SECRET_" in one["name"]}
    signs_in = {"PREFECT_API_URL": ADDRESSES["prefect_api_url"], "PREFECT_API_AUTH_STRING": f"user:{CANARY}"}
    told = json.dumps({"template": pool.base_job_template, "values": values})
    with kubernetes() as (address, made):
        command = [sys.executable, Path(__file__).parent / "job_maker.py", address]
        done = subprocess.run(
            command,
            env=os.environ | settings | signs_in | environment,
            input=told,
            text=True,
            capture_output=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    ((path, job),) = made
    assert path == "/apis/batch/v1/namespaces/loopline/jobs"
    return job


def test_a_run_asks_for_its_gpus_and_their_machines_and_knows_secrets_by_name(
    folder: Path, prefect: dict[str, str]
) -> None:
    _, gpu = applied(folder, gpu_quota=3, gpu_nodes={"accelerator": "l4"})
    assert (gpu.name, gpu.type, gpu.concurrency_limit) == ("loopline-gpu", "kubernetes", 3)
    job = asked(gpu, prefect, gpu_count=2)
    check(job, strict=False)  # Prefect's own template has two fields of a job in the pod
    assert (job["spec"]["backoffLimit"], job["spec"]["ttlSecondsAfterFinished"]) == (0, 3600)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert pod["nodeSelector"] == {"accelerator": "l4"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert (container["image"], pod["serviceAccountName"]) == (ADDRESSES["image"], "loopline-run")
    assert container["envFrom"] == [{"secretRef": {"name": "loopline"}}]
    variables = {one["name"]: one for one in container["env"]}
    reference = {"secretKeyRef": {"name": "loopline", "key": "PREFECT_API_AUTH_STRING"}}
    assert variables["PREFECT_API_AUTH_STRING"]["valueFrom"] == reference and CANARY not in json.dumps(job)
    assert variables["LOOPLINE_STORE__BUCKET"]["value"] == ADDRESSES["bucket"]


def test_a_run_is_no_root_and_has_no_rights_in_kubernetes(folder: Path, prefect: dict[str, str]) -> None:
    (cpu,) = applied(folder, gpu_quota=0)
    pod = asked(cpu, prefect)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "nvidia.com/gpu" not in container["resources"]["limits"] and pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]


def test_a_machine_that_starts_from_zero_is_waited_for(folder: Path) -> None:
    variables = applied(folder, gpu_quota=1)[1].base_job_template["variables"]["properties"]
    assert variables["pod_watch_timeout_seconds"]["default"] == 1200


def test_what_the_overlays_bring_to_prefect_is_what_terraform_writes(folder: Path) -> None:
    for overlay, quota in {"example": 0, "gpu": 2}.items():
        kept = POOLS.validate_json((OVERLAYS / overlay / "pools.json").read_bytes())
        assert kept == applied(folder, gpu_quota=quota), f"terraform output -json work_pools >{overlay}/pools.json"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"image": "registry.example.com/loopline:latest"}, "name the tag of one build"),
        ({"image": "registry.example.com:5000/loopline"}, "name the tag of one build"),
        ({"gpu_quota": 101}, "1 to 100 are allowed"),
    ],
)
def test_what_the_variables_refuse(folder: Path, variables: dict[str, Any], said: str) -> None:
    (folder / "terraform.tfvars.json").write_text(json.dumps(ADDRESSES | variables))
    refused = terraform("plan", "-no-color", cwd=folder)
    assert refused.returncode and said in refused.stderr


def test_the_template_that_is_kept_is_the_workers_own(prefect: dict[str, str]) -> None:
    kept = json.loads((ROOT / "infra" / "templates" / "kubernetes.json").read_text())
    ask = (
        "import json, prefect_kubernetes as it; print(json.dumps(it.KubernetesWorker.get_default_base_job_template()))"
    )
    told = subprocess.run(
        [sys.executable, "-c", ask], env=os.environ | prefect, check=True, capture_output=True, text=True
    )
    assert kept == json.loads(told.stdout)
