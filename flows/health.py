"""How the Prefect server fares that the settings name: what `loopline doctor` starts. Prints its findings as JSON."""

import importlib.metadata
import json
import sys

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from loopline.settings import Settings
from tasks.mending import TAG

Found = tuple[str, bool, str]  # name, in order, sentence


def main() -> int:
    """Look; return the exit code."""
    with get_client(sync_client=True) as client:
        found = _look(client)
    sys.stdout.write(json.dumps(found))
    return 0


def _look(client: SyncPrefectClient) -> list[Found]:
    url, ours = str(client.api_url).rstrip("/"), importlib.metadata.version("prefect")
    try:
        theirs = client.api_version()
        found = [_version(url, ours, theirs)]
        deployed = client.read_deployments(
            deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])), limit=200
        )
    except (PrefectHTTPStatusError, httpx.HTTPStatusError) as error:
        status = error.response.status_code
        return [("prefect", False, f"{url} answers {status}; set LOOPLINE_PREFECT__AUTH_STRING, or PREFECT_API_KEY")]
    except httpx.HTTPError as error:
        return [("prefect", False, f"{url} did not answer ({type(error).__name__}); run `loopline up`, or start it")]
    if not deployed:
        return [*found, ("deployments", False, "there are none; run `loopline deploy`, or `loopline up --worker`")]
    settings = Settings().prefect
    pools = sorted({settings.pool, settings.gpu_pool or settings.pool})
    return [*found, ("deployments", True, f"{len(deployed)} of ours"), *(_pool(client, name) for name in pools)]


def _version(url: str, ours: str, theirs: str) -> Found:
    if ours.split(".")[:2] != theirs.split(".")[:2]:
        return ("prefect", False, f"{url} runs Prefect {theirs}, and we have {ours}; bring both to the same version")
    return ("prefect", True, f"{url}, version {theirs}")


def _pool(client: SyncPrefectClient, name: str) -> Found:
    what = f"pool {name}"
    try:
        pool, workers = client.read_work_pool(name), client.read_workers_for_work_pool(name)
    except ObjectNotFound:
        return (what, False, "it is not there; run `loopline deploy`")
    online = sum(worker.status == WorkerStatus.ONLINE for worker in workers)
    if pool.is_paused:
        return (what, False, f"it is paused; `loopline prefect work-pool resume {name}` lets it go on")
    if not online:
        return (what, False, "no worker is online, so that runs wait; `loopline up --worker` starts one on the laptop")
    return (what, True, f"{online} workers online")


if __name__ == "__main__":
    sys.exit(main())
