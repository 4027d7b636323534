"""Which version answers at the one address of a laptop's readers: what a release writes and the router reads.

LOOPLINE_HOME/reader/routes.json    Routes
LOOPLINE_HOME/reader/pairs.jsonl    a Pair a line: a picture that both versions read while one was on trial
"""

from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from loopline.supervised import write_private

HEALTH = "/-/router"  # answers where the router runs, whatever stands behind it
Colour = Literal["blue", "green", "amber"]  # one in service, one that was before and stands ready, one on trial
BLUE: Colour = "blue"
GREEN: Colour = "green"
AMBER: Colour = "amber"


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Routes(_Line):
    """Who answers: the version in service, and, until its time is over, the one on trial a share of single pictures."""

    live: Colour
    ready: Colour | None = Field(None, description="The version that was in service before.")
    trial: Colour | None = None
    share: float = Field(0.0, ge=0, le=1, description="Of the pictures of /read.")
    shadow: bool = Field(False, description="The version on trial reads its share too, but nobody sees its answers.")
    until: AwareDatetime | None = None


class Answered(_Line):
    """How one version answered a picture; status 0 stands for no answer at all."""

    status: int
    seconds: float
    confidence: float | None = None

    @property
    def failed(self) -> bool:
        """True for what is the version's own fault."""
        return self.status == 0 or self.status >= 500


class Pair(_Line):
    """How the two versions answered the same picture; nothing of what stands on it."""

    trial: Answered
    live: Answered
    agree: bool | None = Field(None, description="Whether they read the same text; None if one of them read none.")


def read_routes(home: Path) -> Routes | None:
    """Return who answers; None where nothing was ever released."""
    try:
        return Routes.model_validate_json(routes_path(home).read_text())
    except (FileNotFoundError, ValidationError):
        return None


def write_routes(home: Path, routes: Routes) -> None:
    """Say who answers from now on."""
    path = routes_path(home)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_private(path, routes.model_dump_json())


def read_pairs(home: Path) -> list[Pair]:
    """Return what both versions answered since the trial began; a line that is still being written is left out."""
    path = pairs_path(home)
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [Pair.model_validate_json(line) for line in lines]


def routes_path(home: Path) -> Path:
    """Return the file that says who answers."""
    return home / "reader" / "routes.json"


def pairs_path(home: Path) -> Path:
    """Return the file of the answers of both."""
    return home / "reader" / "pairs.jsonl"
