"""What deployments/kubernetes/ asks of a real Prefect server: its work pools, and housekeeping without a worker."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clouds import ROOT
from laptops import Laptop, standing
from manifests import OVERLAYS, found, rendered

from loopline.deploying import POOLS
from loopline.laptop_addresses import LaptopAddresses

pytestmark = pytest.mark.elsewhere


@pytest.fixture(scope="module")
def team() -> Iterator[Laptop]:
    with tempfile.TemporaryDirectory() as folder, standing(Path(folder) / "home") as laptop:
        yield laptop


def test_the_pools_of_an_overlay_are_brought_to_prefect(team: Laptop) -> None:
    place = OVERLAYS / "gpu" / "pools.json"
    team.settings |= {"LOOPLINE_PREFECT__GPU_POOL": "loopline-gpu", "LOOPLINE_PREFECT__POOL": "loopline-cpu"}
    done = team.call("deploy", "--pools", place)
    assert done.code == 0, done.log
    with team.api() as api:
        for pool in POOLS.validate_json(place.read_bytes()):
            there = api.get(f"/work_pools/{pool.name}").raise_for_status().json()
            assert (there["type"], there["concurrency_limit"]) == ("kubernetes", pool.concurrency_limit)
            assert there["base_job_template"] == pool.base_job_template
        fit = api.get("/deployments/name/fit-model/gpu").raise_for_status().json()
    assert fit["work_pool_name"] == "loopline-gpu" and "image" not in fit["job_variables"]


def test_the_cron_job_keeps_house_without_a_worker(team: Laptop, tmp_path: Path) -> None:
    job = found(rendered(OVERLAYS / "service"), "CronJob", "loopline-housekeeping")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    program, *arguments = container["command"]
    there = LaptopAddresses.read(team.home)
    settings = {
        "LOOPLINE_STORE__ENDPOINT": there.store_url,
        "LOOPLINE_STORE__ACCESS_KEY": there.store_access_key,
        "LOOPLINE_STORE__SECRET_KEY": there.store_secret_key.get_secret_value(),
        "LOOPLINE_REGISTRY__URL": str(team.home / "registry.git"),
        "PREFECT_API_URL": there.prefect_url,
        "PREFECT_API_AUTH_STRING": there.prefect_auth.get_secret_value(),
        "LOOPLINE_HOME": str(tmp_path / "loopline"),
        "PREFECT_HOME": str(tmp_path / "prefect"),
    }
    assert program == "python"
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=team.environment | settings,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    with team.api() as api:
        runs = api.post("/flow_runs/filter", json={"flows": {"name": {"any_": ["housekeeping"]}}}).json()
    assert [run["deployment_id"] for run in runs if run["state_type"] == "COMPLETED"] == [None]
