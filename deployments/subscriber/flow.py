"""Another team's flow: whenever a handwriting model is ready, it reads their archive anew, once per model.

Copy this folder. What is theirs: the pictures in ARCHIVE, and what they do with the answers.
"""

import json
import os
from pathlib import Path

from prefect import flow, task
from prefect.logging import get_run_logger

from loopline.commands import open_model, registry
from loopline.errors import DataError
from loopline.settings import read_settings
from loopline.subscribing import confirmed

PROBLEM = "handwriting"


@flow
def on_model_ready(version: str, package_sha256: str) -> str:
    """Read the archive with the model that was announced, if it is what the registry says it is."""
    settings = read_settings()
    try:
        model = confirmed(registry(settings).models(PROBLEM), PROBLEM, version=version, package_sha256=package_sha256)
    except DataError as error:  # forged, or old: a newer one was announced, too
        get_run_logger().info("nothing to do: %s", error)
        return "nothing to do"
    done = _archive() / f"{model.packaged.archive.sha256}.json"
    if done.exists():  # events come twice
        return "done before"
    read_archive(version, done)
    return "done"


@task
def read_archive(version: str, done: Path) -> None:
    """Write what stands on each picture into a file that appears as a whole."""
    predictor = open_model(read_settings(), problem=PROBLEM, version=version)
    pictures = sorted(_archive().glob("*.png"))
    found = predictor.read_images([picture.read_bytes() for picture in pictures])
    answers = {picture.name: answer.text for picture, answer in zip(pictures, found, strict=True)}
    part = done.with_suffix(".part")
    part.write_text(json.dumps(answers, indent=1))
    part.replace(done)


def _archive() -> Path:
    return Path(os.environ["ARCHIVE"])
