"""Kubeflow: pipelines and training jobs, by its SDKs, which run in a Python of their own."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from loopline.errors import ConfigError, LooplineError

FOLDER = Path(__file__).parents[2] / "deployments" / "kubeflow"
REQUIREMENTS = FOLDER / "requirements.txt"
Program = Literal["pipeline", "trainer"]
NEEDED = {"pipeline": "kfp", "trainer": "kubeflow"}


def call(python: Path, program: Program, command: str, wanted: Mapping[str, Any], **variables: str) -> str:
    """Return what a program of deployments/kubeflow answers; ConfigError if its SDK is not there."""
    check_sdk(python, NEEDED[program])
    done = subprocess.run(
        [str(python), str(FOLDER / f"{program}.py"), command],
        input=json.dumps(wanted),
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if command != "local" else None,
        text=True,
    )
    if done.returncode:
        said = (done.stderr or "").strip().splitlines() or ["its words are above"]
        raise LooplineError(f"Kubeflow's {NEEDED[program]} could not {command} this: {said[-1]}")
    return done.stdout


def check_sdk(python: Path, package: str) -> None:
    """Raise ConfigError unless this Python has the package."""
    found = (
        python.exists() and not subprocess.run([str(python), "-c", f"import {package}"], capture_output=True).returncode
    )
    if not found:
        folder = python.parent.parent
        raise ConfigError(
            f"{package} is not in {python}; make an environment for it: python3 -m venv {folder} && "
            f"{folder}/bin/pip install --requirement {REQUIREMENTS}, or set LOOPLINE_KUBEFLOW__PYTHON"
        )
