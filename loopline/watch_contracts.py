"""What passes between the tasks that watch a model in service."""

from typing import Literal

from pydantic import AwareDatetime, Field

from loopline.contracts import Artifact, Contract, Sha256, Slice

COUNTED = ("answers_per_hour", "failure_share", "refused_share", "unsure_share", "corrected_share", "p50_ms", "p95_ms")
NUMBERS = {"confidence": "confidence", "width": "width_px", "height": "height_px", "ink": "ink", "contrast": "contrast"}
DRIFTS = tuple(f"drift_{name}" for name in (*NUMBERS, "characters", "embedding"))
CORRECTED, AUDITED = "corrected", "audited"  # what a problem's metric is prefixed with: whose words are the truth


class KnownLines(Contract):
    """How a model reads lines that it was judged on: what its traffic is compared with."""

    problem: str
    version: str
    package_sha256: Sha256
    lines: Artifact = Field(description="One row a line, as Parquet.")
    line_count: int


class Gauge(Contract):
    """One figure of the traffic, and what it is held against."""

    name: str
    value: float
    interval_95: tuple[float, float] | None = Field(None, description="Of the value, where a sample decides it.")
    p_value: float | None = Field(None, description="Of a distance, adjusted for all that were looked at.")
    bound: str = Field("", description="As the requirements have it; empty: nobody asks for any.")
    crossed: bool = Field(False, description="True if the bound is not kept, and chance is no excuse.")
    since: AwareDatetime | None = Field(None, description="When the first of the windows in a row began that crossed.")


class Watched(Contract):
    """What was found in one window of a model's traffic."""

    outcome: Literal["watched"] = "watched"
    problem: str
    version: str
    package_sha256: Sha256
    begin: AwareDatetime
    end: AwareDatetime
    request_count: int
    answer_count: int
    unreadable_count: int = Field(description="Files of figures that can't be read; they are left where they are.")
    missing_count: int = Field(description="Pictures that were to be looked at and were deleted since.")
    gauges: tuple[Gauge, ...]
    slices: tuple[Slice, ...]
    drifting: tuple[str, ...] = Field(description="Gauges that crossed their bound in this window and the one before.")

    def gauge(self, name: str) -> Gauge | None:
        """Return a gauge by its name; None if the window could not tell."""
        return next((one for one in self.gauges if one.name == name), None)


class Quiet(Contract):
    """There was nothing to look at, or not enough."""

    outcome: Literal["quiet"] = "quiet"
    problem: str
    reason: str
