"""What the report page shows beyond the figures: JSON in the store, beside a judgement and beside a search."""

from pydantic import BaseModel, ConfigDict

from loopline.contracts import Metrics, Scalar


class _Detail(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReliabilityBin(_Detail):
    """Lines of similar confidence: how sure the model was of them, and how many were right."""

    confidence: float
    accuracy: float
    line_count: int


class AbstentionPoint(_Detail):
    """What is left of the errors if only the lines of at least this confidence are answered."""

    confidence: float
    answered_share: float
    metric: float


class Behaviour(_Detail):
    """A change that must not change an answer, and on how many lines it did not."""

    name: str
    line_count: int
    unchanged_count: int


class MinimumSet(_Detail):
    """Lines that are judged apart because of what is in them."""

    name: str
    line_count: int
    metrics: Metrics
    interval_95: tuple[float, float] | None


class DecodingResult(_Detail):
    """What one way of decoding reached on the validation lines."""

    name: str
    values: dict[str, Scalar]
    metric: float


class Details(_Detail):
    """Of one judgement on the test split. `metric` is always the problem's first."""

    reliability: tuple[ReliabilityBin, ...]
    abstention: tuple[AbstentionPoint, ...]
    behaviours: tuple[Behaviour, ...]
    minimum_sets: tuple[MinimumSet, ...]
    decodings: tuple[DecodingResult, ...]


class Trial(_Detail):
    """One recipe that a search tried, and its fate: complete, pruned, failed or running."""

    number: int
    slot: int
    state: str
    values: dict[str, Scalar]
    seed: int
    objectives: tuple[float, ...] | None
    epochs: dict[int, float]
    seconds: float
    retry_of: int | None = None
    error: str | None = None


class SearchDimension(_Detail):
    """Where one value of the recipe was looked for."""

    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    choices: tuple[Scalar, ...] = ()


class History(_Detail):
    """A whole search. Each objective is to be small."""

    study: str
    sampler: str
    pruner: str
    objectives: tuple[str, ...]
    space: dict[str, SearchDimension]
    trials: tuple[Trial, ...]
