"""How the Prefect server fares that the settings name: what `loopline doctor` starts. Prints its findings as JSON."""

import importlib.metadata
import sys

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound

from flows.answering import answer
from loopline.errors import ConfigError
from loopline.settings import Settings
from tasks.mending import TAG
from tasks.pools import check_pool

Found = tuple[str, bool, str]  # name, in order, sentence


def examine() -> list[Found]:
    """Look; return what was found."""
    with get_client(sync_client=True) as client:
        return _look(client)


def _look(client: SyncPrefectClient) -> list[Found]:
    url, ours = str(client.api_url).rstrip("/"), importlib.metadata.version("prefect")
    found = [_version(url, ours, client.api_version())]
    ours_alone = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    deployed = client.read_deployments(deployment_filter=ours_alone, limit=200)
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
    try:
        check_pool(pool, {})
    except ConfigError as error:
        return (what, False, str(error))
    if pool.is_paused:
        return (what, False, f"it is paused; `loopline prefect work-pool resume {name}` lets it go on")
    if not online:
        return (what, False, "no worker is online, so that runs wait; `loopline up --worker` starts one on the laptop")
    return (what, True, f"{online} workers online")


if __name__ == "__main__":
    sys.exit(answer(examine))
