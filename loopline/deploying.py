"""What prefect.yaml names, on the Prefect server that the settings name."""

from loopline.flow_processes import ask
from loopline.settings import Settings


def deploy(settings: Settings) -> tuple[list[str], list[str]]:
    """Make or update all deployments and their work pools; return their names, and those of orphans that were deleted.

    A pool that is there already stays as it is. LooplineError with one sentence if it can't be done.
    """
    prefect = settings.prefect
    # What prefect.yaml takes from the settings.
    places = {"LOOPLINE_POOL": prefect.pool, "LOOPLINE_GPU_POOL": prefect.gpu_pool or prefect.pool}
    places |= {"LOOPLINE_IMAGE": prefect.image} if prefect.image else {}
    names = ask(settings, "deploy", **places)
    return names["kept"], names["gone"]
