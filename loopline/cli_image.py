"""`loopline image`: flows and the champion's service as something that `docker build` takes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from loopline.errors import ConfigError
from loopline.terminal import Commands, read_settings, shown

if TYPE_CHECKING:
    from loopline.image import Context

DIGEST_DIGITS = 12  # of a context's digest, in the tag of its image

image = typer.Typer(cls=Commands, help="Flows and the service as container images.", no_args_is_help=True)


@image.command()
def context(
    folder: Annotated[Path, typer.Argument(help="Where to write: an empty or new folder.")],
    target: Annotated[
        Literal["cpu", "gpu", "service"],
        typer.Option(help="What runs flows, on a CPU (and workers) or a GPU; or what serves the champion."),
    ],
    gpu: Annotated[bool, typer.Option("--gpu", help="The service for a machine with an NVIDIA GPU.")] = False,
) -> None:
    """Write the exact build context of an image, with a bill of its packages; no container engine is needed."""
    from loopline.demo import champion_bento
    from loopline.image import write_flows, write_service

    if target == "service":
        settings = read_settings()
        name, _, version = champion_bento(settings).partition(":")
        bento = settings.folder / "bentoml" / "bentos" / name / version
        written = write_service(bento, folder, "gpu" if gpu else "cpu")
    elif gpu:
        raise ConfigError("--gpu is for the service; flows on a GPU are --target gpu")
    else:
        written = write_flows(folder, target)
    shown.print(_table(written))
    shown.print(f"{folder} has the sha256 {written.sha256}", soft_wrap=True)
    tag = f"loopline/{target}:{written.sha256[:DIGEST_DIGITS]}"
    shown.print(f"docker build --target {target} --tag {tag} {folder}", soft_wrap=True)


def _table(written: "Context") -> Table:
    table = Table("layer", "count", "size", box=None, pad_edge=False)
    for layer in written.layers:
        more = f" and {layer.unknown_count} that are not installed here" if layer.unknown_count else ""
        table.add_row(layer.name, str(layer.count), f"{layer.size_bytes / 1e6:.1f} MB{more}")
    return table
