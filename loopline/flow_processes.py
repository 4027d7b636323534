"""Ask what must know Prefect: modules of flows/, each in its own process, since loopline/ never imports Prefect."""

import json
import os
import subprocess
import sys
from typing import Any

from loopline.errors import ConfigError, LooplineError
from loopline.local import prefect_environment
from loopline.settings import Settings

MISTAKEN = 2  # exit code: what was asked for is wrong


def ask(settings: Settings, module: str, *arguments: str, **variables: str) -> Any:
    """Return what a module of flows/ answers; ConfigError or LooplineError with the sentence in which it failed."""
    command = [sys.executable, "-m", f"flows.{module}", *arguments]
    environment = os.environ | prefect_environment(settings) | variables
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2].removeprefix("loopline: ")
        raise ConfigError(said) if done.returncode == MISTAKEN else LooplineError(said)
    return json.loads(done.stdout.strip().rpartition("\n")[2])
