"""What prefect.yaml names, on the Prefect server that the settings name."""

import json
import os
import subprocess
import sys

from loopline.errors import LooplineError
from loopline.local import prefect_environment
from loopline.settings import Settings


def deploy(settings: Settings) -> tuple[list[str], list[str]]:
    """Make or update all deployments and their work pools; return their names, and those of orphans that were deleted.

    A pool that is there already stays as it is. LooplineError with one sentence if it can't be done.
    """
    prefect = settings.prefect
    # What prefect.yaml takes from the settings.
    places = {"LOOPLINE_POOL": prefect.pool, "LOOPLINE_GPU_POOL": prefect.gpu_pool or prefect.pool}
    places |= {"LOOPLINE_IMAGE": prefect.image} if prefect.image else {}
    environment = os.environ | prefect_environment(settings) | places
    command = [sys.executable, "-m", "flows.deploy"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise LooplineError(done.stderr.strip().rpartition("\n")[2].removeprefix("loopline: "))
    names = json.loads(done.stdout.rpartition("\n")[2])
    return names["kept"], names["gone"]
