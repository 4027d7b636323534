"""The command `loopline image`: the champion's service as something that `docker build` takes."""

from pathlib import Path
from typing import Annotated

import typer

from loopline.terminal import read_settings, shown


def image(
    folder: Annotated[Path, typer.Argument(help="Where to write: an empty or new folder.")],
    gpu: Annotated[bool, typer.Option("--gpu", help="For a machine with an NVIDIA GPU.")] = False,
) -> None:
    """Write the build context of an image that serves the champion; no container engine is needed."""
    from loopline.demo import champion_bento
    from loopline.image import write_context

    settings = read_settings()
    name, _, version = champion_bento(settings).partition(":")
    write_context(settings.folder / "bentoml" / "bentos" / name / version, folder, gpu=gpu)
    shown.print(f"{name}:{version} is in {folder}: docker build --tag reader {folder}", soft_wrap=True)
