"""What passes between tasks: frozen pointers of a few hundred bytes, each holding its ancestors.

Two contracts with the same digest stand for the same content, whatever bucket, machine or day they come from.
Fields made with `aside` are for people and lineage: they travel along but have no part in the digest.
A URI is relative to the store's root, so that a contract still holds when the bucket is renamed.
"""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Metrics = dict[str, float]
Scalar = bool | int | float | str


def aside(default: Any = ..., **kwargs: Any) -> Any:
    """Declare a field that has no part in the digest."""
    return Field(default, json_schema_extra={"aside": True}, **kwargs)


class Contract(BaseModel):
    """Base of everything that crosses a task's border."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def identity(self) -> dict[str, Any]:
        """Return the fields that count, nested contracts by their digest."""
        return {
            name: _identity(getattr(self, name))
            for name, field in type(self).model_fields.items()
            if not (isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("aside"))
        }

    @property
    def digest(self) -> str:
        """sha256, in hex, over the type's name and the sorted JSON of the fields that count."""
        document = json.dumps([type(self).__name__, self.identity()], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(document.encode()).hexdigest()


def _identity(value: Any) -> Any:
    if isinstance(value, Contract):
        return value.digest
    if isinstance(value, tuple | list):
        return [_identity(item) for item in value]
    if isinstance(value, dict):
        return {key: _identity(item) for key, item in value.items()}
    return value


class Artifact(Contract):
    """Some bytes in the store."""

    sha256: Sha256
    size_bytes: int
    uri: str = aside(description="Key relative to the store's root.")


class RawDataset(Contract):
    """The images of one source, each accepted or quarantined."""

    problem: str
    manifest: Artifact
    image_count: int
    quarantined_count: int
    source: str = aside()


class LabeledDataset(Contract):
    """The images that have a label, with it. Images without one are left out, so they retrain nothing."""

    problem: str
    manifest: Artifact
    label_count: int
    rejected_count: int
    agreement: float | None = Field(None, description="Share of lines on which the annotators agree; None for one.")
    raw: RawDataset = aside()
    label_project: str | None = aside(None)


class DatasetVersion(Contract):
    """A labelled dataset that can be trained on, frozen under DVC and a git tag."""

    problem: str
    manifest: Artifact
    shards: tuple[Artifact, ...]
    split_sizes: dict[str, int]
    vocabulary: tuple[str, ...]
    rules: str = Field("1.1", description="Numbers of the decoding and preprocessing that made the shards.")
    name: str = aside(description="The registry's tag, such as dataset/handwriting/v3.")
    git_revision: str = aside()
    labeled: LabeledDataset = aside()


class TrainedModel(Contract):
    """The weights with the best validation metric of one training run."""

    dataset: DatasetVersion
    recipe: dict[str, Scalar]
    seed: int
    checkpoint: Artifact
    val_metrics: Metrics
    epochs: int
    curve: Artifact = aside(description="Metrics per epoch, as JSON lines.")
    experiment_url: str | None = aside(None)
    train_seconds: float = aside()
    device: str = aside()


class Slice(Contract):
    """One part of the test split, judged apart."""

    name: str
    value: str
    sample_count: int
    metrics: Metrics


class Baseline(Contract):
    """What the simplest honest method reaches on the test split of a dataset."""

    name: str
    metrics: Metrics


class Opponent(Contract):
    """The champion that a new model is judged against."""

    version: str
    archive: Artifact


class EvaluationReport(Contract):
    """How good a model is on lines it has never seen."""

    model: TrainedModel
    split: str
    sample_count: int
    metrics: Metrics
    interval_95: dict[str, tuple[float, float]]
    baseline_metrics: Metrics
    champion: Opponent | None = None
    champion_metrics: Metrics | None = None
    difference_95: dict[str, tuple[float, float]] | None = Field(
        None, description="Paired interval of (this model - champion) per metric."
    )
    slices: tuple[Slice, ...]
    worst: Artifact = Field(description="Every test line with its answer, worst first, as Parquet.")
    page: Artifact = aside(description="The report, as one self-contained HTML file.")


class PackagedModel(Contract):
    """A model that answers anywhere ONNX Runtime runs."""

    report: EvaluationReport
    archive: Artifact
    onnx: Artifact
    bento_tag: str
    size_bytes: int
    latency_ms: float


class Requirement(Contract):
    """One bound that a model must keep before it may serve."""

    metric: str = Field(title="Metric", description="Name of a measured figure: cer, line_accuracy, latency_ms, ...")
    at_most: float | None = Field(None, title="At most", description="Upper bound; a rate counts from 0 to 1.")
    at_least: float | None = Field(None, title="At least", description="Lower bound; a rate counts from 0 to 1.")


class Finding(Contract):
    """One requirement held against what was measured."""

    requirement: str
    bound: str
    measured: float
    met: bool


class Verdict(Contract):
    """Whether a package may serve, requirement by requirement."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """True if every requirement is met."""
        return all(finding.met for finding in self.findings)

    @property
    def reasons(self) -> list[str]:
        """What is not met, one sentence each."""
        return [f"{f.requirement} is {f.measured:.4g}, {f.bound} required" for f in self.findings if not f.met]


class _Judged(Contract):
    problem: str
    version: str
    packaged: PackagedModel
    verdict: Verdict


class ModelReady(_Judged):
    """A model that meets every requirement, versioned and announced."""

    outcome: Literal["ready"] = "ready"


class HeldBack(_Judged):
    """A model that the gate keeps from serving, versioned with the reasons."""

    outcome: Literal["held back"] = "held back"


class SplitPlan(Contract):
    """How lines are divided into train, val and test. A line never changes sides."""

    val_share: float = Field(
        0.1, ge=0, lt=1, title="Validation share", description="Share of groups (writers) that choose the best epoch."
    )
    test_share: float = Field(
        0.1, ge=0, lt=1, title="Test share", description="Share of groups that only the final judgement sees."
    )
    key: str = Field(
        "loopline", title="Key", description="Any word; it decides which group falls on which side. It is no secret."
    )
    own: bool = Field(
        True,
        title="Use the source's own splits",
        description="Follow splits.json beside the images; where there is none, the shares above hold.",
    )


class FitPlan(Contract):
    """How much to learn, and from which starting values."""

    recipe: dict[str, Scalar] = Field(
        default_factory=dict,
        title="Recipe values",
        description='What differs from the problem\'s default recipe, such as {"epochs": 20, "learning_rate": 0.002}.',
    )
    minutes: float | None = Field(
        None, gt=0, title="Minutes", description="Stop learning then and keep the best so far; None: no limit."
    )
    seed: int = Field(1, ge=0, title="Seed", description="Same order, same seed, same model (on a CPU, bit for bit).")


class Requirements(Contract):
    """What a model must reach before it may serve."""

    goal: str = Field("", title="Goal", description="What the model is for, in a sentence.")
    bounds: tuple[Requirement, ...] = Field(
        (), title="Bounds", description="Each must hold, or the model is held back."
    )
    price_per_hour: float = Field(
        0.0, ge=0, title="Price per hour", description="Of the training machine; the metric cost follows from it."
    )


class Order(Contract):
    """What a user asks of build_model."""

    problem: str = Field("handwriting", title="Problem", description="What is learnt: a folder of loopline/problems.")
    source: str = Field(title="Images", description="Prefix in the store where the images are, such as inbox/samples.")
    labels: str = Field("labels.json", title="Labels", description="JSON file beside the images: file name to text.")
    split: SplitPlan = Field(
        default_factory=SplitPlan, title="Splits", description="Which lines are learnt from, and which only judge."
    )
    plan: FitPlan = Field(default_factory=FitPlan, title="Learning", description="How long, and with which recipe.")
    requirements: Requirements | None = Field(
        None,
        title="Requirements",
        description="What the model must reach before it may serve; None: the problem's own requirements.yaml.",
    )
