"""Payloads of the events that Loopline emits; docs/events/ holds their JSON Schemas.

A payload tells that it is worth looking, and where. Whoever acts on one reads the registry again (subscribing.py):
events come late, twice, in another order, and from anybody who may write to the server.
"""

from typing import Literal

from pydantic import AwareDatetime, Field

from loopline.contracts import Contract, LabelsGrown, Metrics, Sha256, Verdict


class ModelAnnounced(Contract):
    """Payload of loopline.model.ready, once per package digest, and of loopline.model.held_back."""

    schema_version: Literal[1] = 1
    problem: str
    version: str = Field(description="Of the model in the registry, such as v3.0.0.")
    package_uri: str = Field(description="Where the package lies.")
    package_sha256: Sha256
    dataset_version: str
    metrics: Metrics
    verdict: Verdict


class ModelReleased(Contract):
    """Payload of loopline.model.released: from now on this version answers there."""

    schema_version: Literal[1] = 1
    problem: str
    target: str
    version: str
    package_sha256: Sha256
    previous: str | None = Field(description="The version that answered before, and stands ready.")
    figures: Metrics = Field(description="What was measured of it beside the one before.")


class ModelRolledBack(Contract):
    """Payload of loopline.model.rolled_back: this version does not answer there, or no longer."""

    schema_version: Literal[1] = 1
    problem: str
    target: str
    version: str
    package_sha256: Sha256
    restored: str | None = Field(description="The version that answers instead.")
    reasons: tuple[str, ...]
    figures: Metrics


class ModelDrifting(Contract):
    """Payload of loopline.model.drifting: in two windows of its traffic, one after the other, a bound was not kept."""

    schema_version: Literal[1] = 1
    problem: str
    version: str
    package_sha256: Sha256
    source: str = Field(description="Prefix in the store of the images that it learnt from.")
    labels: str = Field(description="Where their labels are, as an order says it.")
    since: AwareDatetime = Field(description="When the first of these windows began.")
    reasons: tuple[str, ...] = Field(description="Each bound that was not kept, a sentence each.")
    figures: Metrics = Field(description="All that was measured in the newest window.")


EVENTS: dict[str, type[Contract]] = {
    "loopline.labels.grown": LabelsGrown,
    "loopline.model.ready": ModelAnnounced,
    "loopline.model.held_back": ModelAnnounced,
    "loopline.model.released": ModelReleased,
    "loopline.model.rolled_back": ModelRolledBack,
    "loopline.model.drifting": ModelDrifting,
}
