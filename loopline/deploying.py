"""What prefect.yaml names, on the Prefect server that the settings name: nothing more, however often it is done."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import yaml

from loopline.errors import AccessError, LooplineError, UnreachableError
from loopline.local import prefect_environment
from loopline.settings import Settings

ROOT = Path(__file__).parents[1]
TAG = "loopline"  # of each of our deployments, and by it alone we know them
TIMEOUT_SECONDS = 30


def deploy(settings: Settings, *, tell: Callable[[str], None] = lambda _: None) -> tuple[list[str], list[str]]:
    """Make or update all deployments and their work pools; return their names, and those of orphans that were deleted.

    A pool that is there already stays as it is. Raises UnreachableError without a server, and LooplineError with
    Prefect's last words.
    """
    named = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    api = settings.resolved_prefect().api_url
    try:
        with httpx.Client(base_url=api, headers=_authorised(), timeout=TIMEOUT_SECONDS) as client:
            for pool in sorted({one["work_pool"]["name"] for one in named}):
                _ensure_pool(client, pool)
            tell(f"deploying {len(named)} flows")
            _run(settings, "--no-prompt", "deploy", "--all")
            return _tidied(
                client, {(one["entrypoint"].rpartition(".")[2].replace("_", "-"), one["name"]) for one in named}
            )
    except httpx.HTTPStatusError as error:
        raise AccessError(f"Prefect at {api} answers {error.response.status_code}; look at PREFECT_API_KEY") from None
    except httpx.HTTPError as error:
        raise UnreachableError(f"Prefect at {api} did not answer ({type(error).__name__}); is it up?") from None


def _authorised() -> dict[str, str]:
    key = os.environ.get("PREFECT_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _ensure_pool(client: httpx.Client, name: str) -> None:
    answer = client.post("/work_pools/", json={"name": name, "type": "process"})
    if answer.status_code != httpx.codes.CONFLICT:
        answer.raise_for_status()


def _run(settings: Settings, *arguments: str) -> None:
    command = [sys.executable, "-m", "prefect", *arguments]
    environment = os.environ | prefect_environment(settings)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no word why"]
        raise LooplineError(f"prefect {' '.join(arguments)} failed: {words[-1]}")


def _tidied(client: httpx.Client, named: set[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Delete deployments of ours that prefect.yaml no longer names."""
    found = _filtered(client, "deployments", deployments={"tags": {"all_": [TAG]}})
    flows = {flow["id"]: flow["name"] for flow in _filtered(client, "flows")}
    kept, gone = list[str](), list[str]()
    for one in found:
        flow = flows[one["flow_id"]]
        if (flow, one["name"]) in named:
            kept.append(f"{flow}/{one['name']}")
        else:
            client.delete(f"/deployments/{one['id']}").raise_for_status()
            gone.append(f"{flow}/{one['name']}")
    return sorted(kept), sorted(gone)


def _filtered(client: httpx.Client, what: str, **chosen: Any) -> list[dict[str, Any]]:
    answer = client.post(f"/{what}/filter", json=chosen)
    found: list[dict[str, Any]] = answer.raise_for_status().json()
    return found
