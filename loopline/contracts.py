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


class KeyRange(Contract):
    """Images of a source that one process judges together."""

    prefix: str
    listing: Artifact = Field(description="Their keys below the prefix, with etag and size, as Parquet.")


class ShardPlan(Contract):
    """Images that one process preprocesses into a shard."""

    problem: str
    images: Artifact = Field(description="Their sha256 in the shard's order, as Parquet.")


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
    label_snapshot: Artifact | None = aside(None, description="The project's tasks as they were exported, as Parquet.")


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


class Study(Contract):
    """What a search for a recipe came to."""

    name: str
    recipe: dict[str, Scalar] = Field(description="The winner: every value of the recipe that `train` takes.")
    best: Metrics
    trial_counts: dict[str, int] = Field(description="complete, pruned, failed.")
    stopped_by: str = Field(description="The part of the budget that ended first: trials, minutes, cost or grid.")
    history: Artifact = Field(description="Every trial with its recipe, seed, values per epoch and fate, as JSON.")
    busy_seconds: float = aside(description="Of all workers together.")


class TrainedModel(Contract):
    """The weights with the best validation metric of one training run."""

    dataset: DatasetVersion
    recipe: dict[str, Scalar]
    seed: int
    checkpoint: Artifact
    val_metrics: Metrics
    epochs: int
    study: Study | None = None
    curve: Artifact = aside(description="Metrics per epoch, as JSON lines.")
    run: str = aside(description="Folder of the run's record in the store, such as runs/<digest>.")
    experiment_url: str | None = aside(None)
    train_seconds: float = aside()
    device: str = aside()
    cost: float = aside(0.0, description="Of training and of the search before it, by the pool's price per hour.")


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


class Decoding(Contract):
    """How log-probabilities become an answer: the values were chosen on the validation lines."""

    name: str = Field("greedy", description="One of the problem's decoders.")
    values: dict[str, Scalar] = Field(default_factory=dict)
    language: Artifact | None = Field(None, description="What the decoder learnt from the training labels.")


class EvaluationReport(Contract):
    """How good a model is on lines it has never seen."""

    model: TrainedModel
    split: str
    sample_count: int
    metrics: Metrics
    interval_95: dict[str, tuple[float, float]]
    baseline_metrics: Metrics
    baseline_name: str = aside("")
    champion: Opponent | None = None
    champion_metrics: Metrics | None = None
    difference_95: dict[str, tuple[float, float]] | None = Field(
        None, description="Paired interval of (this model - champion) per metric."
    )
    slices: tuple[Slice, ...]
    decoding: Decoding = Decoding()
    figures: Metrics = Field(
        default_factory=dict, description="What else was measured, such as calibration_error or shifted_unchanged."
    )
    worst: Artifact = Field(description="Every test line with its answer, worst first, as Parquet.")
    details: Artifact = Field(description="Calibration, abstention, behaviours, for the page; as JSON.")


class Latency(Contract):
    """How long lines of one width take, preprocessing and decoding included."""

    width_px: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class Footprint(Contract):
    """What a package asks of a machine: measured in a fresh process, on one CPU thread."""

    latencies: tuple[Latency, ...]
    peak_memory_mb: float


class PackagedModel(Contract):
    """A model that answers anywhere ONNX Runtime runs."""

    report: EvaluationReport
    archive: Artifact
    onnx: Artifact
    weights: Literal["float32", "int8"] = Field("float32", description="int8 where that loses nothing clear.")
    metrics: Metrics = Field(description="Of the package itself on the test lines: int8 may read a little differently.")
    interval_95: dict[str, tuple[float, float]]
    bento_tag: str
    size_bytes: int
    latency_ms: float = Field(description="Median of a line of 64x1024 px.")
    footprint: Footprint


class Finding(Contract):
    """One requirement held against what was measured."""

    requirement: str
    bound: str
    measured: float
    met: bool
    interval_95: tuple[float, float] | None = Field(None, description="Of what was measured, where lines decide it.")


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
    page: Artifact = aside(description="The report, as one self-contained HTML file.")


class ModelReady(_Judged):
    """A model that meets every requirement, versioned and announced."""

    outcome: Literal["ready"] = "ready"


class HeldBack(_Judged):
    """A model that the gate keeps from serving, versioned with the reasons."""

    outcome: Literal["held back"] = "held back"


class Offer(Contract):
    """What a label project holds once images were offered in it."""

    problem: str
    label_project: str
    offered_count: int = Field(description="New tasks.")
    guess_count: int = Field(description="Tasks with a guess of the champion's, made now.")
    open_count: int = Field(description="Tasks that nobody has labelled yet.")
    check_count: int = Field(description="Tasks that want another opinion.")
    captured_count: int = Field(0, description="New tasks that show a captured picture.")
    over_limit_count: int = Field(0, description="Captured pictures that wait, beyond the limit of a run.")
    champion: str | None = aside(None, description="The version that guessed.")


class LabelsGrown(Contract):
    """Payload of loopline.labels.grown: there is more to learn from than the newest dataset version holds."""

    schema_version: Literal[1] = 1
    problem: str
    source: str = Field(description="Prefix of the images in the store.")
    label_project: str
    new_count: int = Field(description="Labels that the newest dataset version lacks, or has otherwise.")
    label_count: int
    dataset_version: str | None = Field(description="The newest one; None before the first.")
    page: Artifact | None = aside(None, description="About the labelling, as one self-contained HTML file.")


class Suspects(Contract):
    """The lines of a dataset version, each judged by a model that has not learnt from it."""

    dataset: DatasetVersion
    folds: int
    epochs: int
    manifest: Artifact = Field(
        description="Every line, the most doubtful label first, as Parquet; the first suspect_count are suspect."
    )
    line_count: int
    suspect_count: int
    unjudged_count: int = Field(description="Lines of which no model could tell; the manifest has the reasons.")
