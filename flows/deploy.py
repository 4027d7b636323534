"""Make the deployments of prefect.yaml on the Prefect server, and nothing more, however often it is done.

What `loopline deploy` starts, with work pools as JSON: a process of its own, because Prefect reads its settings when it
is imported and loopline/ never imports it. Prints what is there and what was deleted, as JSON.
"""

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectAlreadyExists
from prefect.utilities.templating import apply_values

from flows.answering import answer
from flows.notices import end_silent_runs, give_notice
from loopline.deploying import POOLS, WorkPool
from loopline.errors import ConfigError, LooplineError
from loopline.settings import Settings
from tasks.caching import ROOT
from tasks.mending import TAG

OURS = "flows."  # how our entry points begin; others may use our tag
PAGE = 200  # most that Prefect's server lists at once


def deploy() -> dict[str, list[str]]:
    """Deploy; return the names of what is there and of what was deleted."""
    described = POOLS.validate_json(sys.argv[1])
    with get_client(sync_client=True) as client:
        for pool in described:
            _make_pool(client, pool)
        return _deployed(client)


def revision() -> dict[str, str]:
    """Tell prefect.yaml which state of the code is deployed: git's, else the release's."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return {"revision": done.stdout.strip() or importlib.metadata.version("loopline")}


def _deployed(client: SyncPrefectClient) -> dict[str, list[str]]:
    documents = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    named: list[dict[str, Any]] = apply_values(documents, dict(os.environ))
    for pool in sorted({one["work_pool"]["name"] for one in named}):
        _ensure_pool(client, pool)
    _run_prefect("--no-prompt", "deploy", "--all")
    end_silent_runs(client)
    give_notice(client, Settings().prefect.notify_url)
    return _tidied(client, {(_flow(one), one["name"]) for one in named})


def _flow(deployment: Mapping[str, Any]) -> str:
    return str(deployment["entrypoint"]).rpartition(".")[2].replace("_", "-")


def _make_pool(client: SyncPrefectClient, pool: WorkPool) -> None:
    """Have a pool as it is described; one that is paused stays so."""
    wanted = {"base_job_template": pool.base_job_template, "concurrency_limit": pool.concurrency_limit}
    try:
        client.create_work_pool(WorkPoolCreate(name=pool.name, type=pool.type, **wanted))
    except ObjectAlreadyExists:
        there = client.read_work_pool(pool.name)
        if there.type != pool.type:
            remedy = "delete it, or give the new one another name"
            raise ConfigError(
                f"the work pool {pool.name} is there as {there.type}, not {pool.type}; {remedy}"
            ) from None
        client.update_work_pool(pool.name, WorkPoolUpdate(**wanted))


def _ensure_pool(client: SyncPrefectClient, name: str) -> None:
    """Make a pool of processes; one that is there stays as it is."""
    try:
        client.create_work_pool(WorkPoolCreate(name=name, type="process"))
    except ObjectAlreadyExists:
        return


def _run_prefect(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "prefect", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no word why"]
        raise LooplineError(f"prefect {' '.join(arguments)} failed: {words[-1]}")


def _tidied(client: SyncPrefectClient, named: set[tuple[str, str]]) -> dict[str, list[str]]:
    """Delete deployments of ours that prefect.yaml no longer names; return the names of those that stay and go."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    found, names = list[Any](), dict[str, list[str]](kept=[], gone=[])
    while page := client.read_deployments(deployment_filter=ours, limit=PAGE, offset=len(found)):
        found += page
    for one in found:
        flow = client.read_flow(one.flow_id).name
        if (flow, one.name) in named:
            _leave_image_to_pool(client, one)
            names["kept"].append(f"{flow}/{one.name}")
        elif (one.entrypoint or "").startswith(OURS):
            client.delete_deployment(one.id)
            names["gone"].append(f"{flow}/{one.name}")
    return {kind: sorted(some) for kind, some in names.items()}


def _leave_image_to_pool(client: SyncPrefectClient, deployment: DeploymentResponse) -> None:
    """Where the settings name no image, let the pool's own hold: prefect.yaml can only say that it is empty."""
    variables = deployment.job_variables or {}
    if not variables.get("image", True):
        others = {name: value for name, value in variables.items() if name != "image"}
        client.update_deployment(deployment.id, DeploymentUpdate(job_variables=others))


if __name__ == "__main__":
    sys.exit(answer(deploy))
