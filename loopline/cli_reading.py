"""The command `loopline read`: what stands on pictures."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loopline.errors import ConfigError
from loopline.terminal import FAILED, Problem, read_settings

if TYPE_CHECKING:
    from loopline.lines_read import LineRead


def read(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures of one line each, or folders of them.")],
    url: Annotated[str | None, typer.Option(help="Ask this service; its key is LOOPLINE_CLIENT__KEY.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Without a service: a version of the registry; default: the champion.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file, .csv or .jsonl.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    problem: Problem = "handwriting",
) -> None:
    """Read pictures with a model from the registry, or by asking the service."""
    from loopline import lines_read

    write = lines_read.writer(out) if out else None
    with _reading(pictures, url=url, model=model, problem=problem) as lines:
        if write:
            lines = list(lines)
            write(lines)
        failed = False
        for line in lines:
            failed |= line.error is not None
            if not write or line.error:
                typer.echo(lines_read.as_json(line) if as_json else str(line), err=bool(write))
    if failed:
        raise typer.Exit(FAILED)


@contextmanager
def _reading(
    pictures: list[Path], *, url: str | None, model: str | None, problem: str
) -> "Iterator[Iterable[LineRead]]":
    from loopline import commands, lines_read
    from loopline.client import Client

    settings = read_settings()
    url = url or (None if model else settings.client.url)
    if url and model:
        raise ConfigError(f"{url} answers with its own model; name a model or a service, not both")
    if url is None:
        yield lines_read.read_with_package(commands.open_model(settings, problem=problem, version=model), pictures)
        return
    key = settings.client.key
    with Client(url, key.get_secret_value() if key else None) as client:
        yield lines_read.read_with_service(client, pictures)
