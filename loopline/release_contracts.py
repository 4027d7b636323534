"""What passes between the tasks of a release."""

from typing import Literal

from pydantic import Field

from loopline.contracts import Contract, Metrics, ModelReady


class Candidate(Contract):
    """A model that stands beside the one in service, and answers nobody yet."""

    judged: ModelReady
    target: str
    previous: str | None = Field(description="The version in service; None for the first.")


class Trial(Contract):
    """What came of trying a candidate so far."""

    figures: Metrics = Field(default_factory=dict)
    reasons: tuple[str, ...] = Field(
        (), description="Why the candidate must not go on, a sentence each; empty: it may."
    )

    def __add__(self, more: "Trial") -> "Trial":
        return Trial(figures=self.figures | more.figures, reasons=self.reasons + more.reasons)


class Released(Contract):
    """A model that answers at a target from now on."""

    outcome: Literal["released"] = "released"
    problem: str
    version: str
    target: str
    previous: str | None
    figures: Metrics


class RolledBack(Contract):
    """A model that was tried at a target, and does not answer there."""

    outcome: Literal["rolled back"] = "rolled back"
    problem: str
    version: str
    target: str
    restored: str | None
    reasons: tuple[str, ...]
    figures: Metrics


class Unchanged(Contract):
    """Nothing was to be done: the announcement was old, forged, or about what answers already."""

    outcome: Literal["unchanged"] = "unchanged"
    problem: str
    target: str
    reason: str
