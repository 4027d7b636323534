"""Make the deployments of prefect.yaml on the Prefect server, and nothing more, however often it is done.

What `loopline deploy` starts: a process of its own, because Prefect reads its settings when it is imported and
loopline/ never imports it. Prints what is there and what was deleted, as JSON.
"""

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.exceptions import ObjectAlreadyExists
from prefect.utilities.templating import apply_values

from flows.answering import answer
from flows.notices import end_silent_runs, give_notice
from loopline.errors import LooplineError
from loopline.settings import Settings
from tasks.caching import ROOT
from tasks.mending import TAG

OURS = "flows."  # how our entry points begin; others may use our tag
PAGE = 200  # most that Prefect's server lists at once


def deploy() -> dict[str, list[str]]:
    """Deploy; return the names of what is there and of what was deleted."""
    with get_client(sync_client=True) as client:
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
            names["kept"].append(f"{flow}/{one.name}")
        elif (one.entrypoint or "").startswith(OURS):
            client.delete_deployment(one.id)
            names["gone"].append(f"{flow}/{one.name}")
    return {kind: sorted(some) for kind, some in names.items()}


if __name__ == "__main__":
    sys.exit(answer(deploy))
