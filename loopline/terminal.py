"""What every command shares: the console, an option, the settings, and how a foreseen failure ends it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from loopline.errors import ConfigError, LooplineError

if TYPE_CHECKING:
    from loopline.settings import Settings

FAILED, MISTAKEN = 1, 2  # exit codes: it did not work; what was asked for is wrong

shown = Console(highlight=False)

Problem = Annotated[str, typer.Option("--problem", help="What is learnt.")]


class Commands(TyperGroup):
    """Commands that end with one sentence on stderr, not a traceback, when what went wrong was foreseen."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except LooplineError as error:
            typer.echo(f"loopline: {error}", err=True)
            raise typer.Exit(MISTAKEN if isinstance(error, ConfigError) else FAILED) from None


def read_settings() -> "Settings":
    """Read the settings; ConfigError names the one that is wrong."""
    from loopline import settings

    return settings.read_settings()
