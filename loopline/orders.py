"""What a user asks for: the contracts behind the start form in Prefect's pages, prefect.yaml and `loopline run`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from loopline.contracts import Contract, Scalar, Sha256, aside

PROJECT = "project:"  # what an order's `labels` begins with where they are a project's


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


class SearchPlan(Contract):
    """How much to spend on finding a recipe, and how. Whichever part of the budget ends first ends the search."""

    trials: int | None = Field(None, ge=1, title="Trials", description="Recipes to try.")
    minutes: float | None = Field(None, gt=0, title="Minutes", description="Of the clock, while workers are busy.")
    cost: float | None = Field(None, gt=0, title="Cost", description="Of all workers, by the pool's price per hour.")
    epochs: int | None = Field(
        None, ge=1, title="Epochs a trial", description="None: as many as the winner is trained for."
    )
    sampler: Literal["tpe", "gp", "random", "grid", "cmaes"] = Field(
        "tpe", title="Sampler", description="Proposes recipes: by what trials taught (tpe, gp, cmaes), or not."
    )
    pruner: Literal["median", "hyperband", "asha", "none"] = Field(
        "median", title="Pruner", description="Ends trials early that fall behind the others."
    )
    space: dict[str, tuple[Scalar, ...]] = Field(
        default_factory=dict,
        title="Search space",
        description='Bounds, or words to choose from, instead of the usual ones: {"learning_rate": [0.001, 0.01]}.',
    )
    latency: bool = Field(
        False,
        title="Latency counts too",
        description="Search for both: few errors, and a short time on one CPU thread.",
    )

    @model_validator(mode="after")
    def _has_a_budget(self) -> Self:
        if self.trials is None and self.minutes is None and self.cost is None:
            raise ValueError("a search needs a budget: trials, minutes or cost")
        return self


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
    search: SearchPlan | None = Field(
        None, title="Search", description="Find a recipe first; the values above are then not searched but kept."
    )
    seed: int = Field(1, ge=0, title="Seed", description="Same order, same seed, same model (on a CPU, bit for bit).")


class Requirement(Contract):
    """One bound that a model must keep before it may serve."""

    metric: str = Field(title="Metric", description="Name of a measured figure: cer, line_accuracy, latency_ms, ...")
    at_most: float | None = Field(None, title="At most", description="Upper bound; a rate counts from 0 to 1.")
    at_least: float | None = Field(None, title="At least", description="Lower bound; a rate counts from 0 to 1.")

    @property
    def sentence(self) -> str:
        """Say the bounds in words: "at most 0.1"."""
        texts = [f"at most {self.at_most:g}"] if self.at_most is not None else []
        texts += [f"at least {self.at_least:g}"] if self.at_least is not None else []
        return " and ".join(texts)


class Requirements(Contract):
    """What a model must reach before it may serve."""

    goal: str = Field("", title="Goal", description="What the model is for, in a sentence.")
    bounds: tuple[Requirement, ...] = Field(
        (), title="Bounds", description="Each must hold, or the model is held back."
    )
    watch: tuple[Requirement, ...] = aside(
        (), title="In service", description="Each must hold of its traffic; one that does not twice in a row is told."
    )


class Order(Contract):
    """What a user asks of build_model."""

    problem: str = Field("handwriting", title="Problem", description="What is learnt: a folder of loopline/problems.")
    source: str = Field(title="Images", description="Prefix in the store where the images are, such as inbox/samples.")
    labels: str = Field(
        "labels.json",
        title="Labels",
        description="JSON file beside the images (file name to text), or project:TITLE for a Label Studio project.",
    )
    split: SplitPlan = Field(
        default_factory=SplitPlan, title="Splits", description="Which lines are learnt from, and which only judge."
    )
    plan: FitPlan = Field(default_factory=FitPlan, title="Learning", description="How long, and with which recipe.")
    requirements: Requirements | None = Field(
        None,
        title="Requirements",
        description="What the model must reach before it may serve; None: the problem's own requirements.yaml.",
    )


class LabelPolicy(Contract):
    """Which lines are offered first: three orders, mixed by their weights."""

    uncertain: float = Field(0.5, ge=0, title="Uncertain", description="Weight of lines the champion is least sure of.")
    different: float = Field(0.3, ge=0, title="Different", description="Weight of lines least like those labelled.")
    random: float = Field(0.2, ge=0, title="Random", description="Weight of chance, which alone is an honest sample.")


class LabelPlan(Contract):
    """What a user asks of collect_labels: whose lines are labelled where, and when that is announced."""

    problem: str = Field("handwriting", title="Problem", description="What is learnt: a folder of loopline/problems.")
    source: str = Field(title="Images", description="Prefix in the store where the images are, such as inbox/samples.")
    project: str = Field(
        "handwriting", min_length=3, title="Project", description="Title of the Label Studio project; made if missing."
    )
    policy: LabelPolicy = Field(
        default_factory=LabelPolicy, title="Order", description="Which lines are offered first, by three weights."
    )
    overlap_share: float = Field(
        0.1, ge=0, le=1, title="Overlap", description="Share of lines that two people label, to know how they agree."
    )
    captures: bool = Field(
        False,
        title="Captured pictures",
        description="Offer what users of the service sent, too; what they wrote is a guess until a person has looked.",
    )
    captures_limit: int = Field(
        200, ge=0, title="Captured pictures a run", description="At most so many become tasks at once, the best first."
    )
    captures_key_limit: int = Field(
        50, ge=1, title="Captured pictures a key", description="At most so many of one API key are thought of at once."
    )
    enough: int = Field(
        100, ge=1, title="Enough", description="New or changed labels after which labels.grown is announced."
    )

    @property
    def labels(self) -> str:
        """What an Order says for these labels."""
        return f"{PROJECT}{self.project}"


class CheckPlan(Contract):
    """What a user asks of check_labels: how hard to look for wrong labels, and how many to ask people about."""

    problem: str = Field("handwriting", title="Problem", description="What is learnt: a folder of loopline/problems.")
    project: str | None = aside(
        None,
        title="Project",
        description="Title of the Label Studio project where people check; None: the one the labels came from.",
    )
    recipe: dict[str, Scalar] = Field(
        default_factory=dict,
        title="Recipe values",
        description='What differs from the problem\'s default recipe, such as {"height_px": 48}; epochs are below.',
    )
    epochs: int = Field(
        40, ge=1, le=1000, title="Epochs", description="Of each fold's model: enough to read; fewer lines need more."
    )
    folds: int = Field(
        3, ge=2, le=20, title="Folds", description="Models to train; each judges the lines it has not learnt from."
    )
    seed: int = Field(1, ge=0, title="Seed", description="Same labels, same seed, same suspects (on a CPU).")
    most: int = aside(50, ge=1, title="Most", description="Labels that people are asked to check at once.")


class ReleasePlan(Contract):
    """What a user, or a model's announcement, asks of release_model: which model, where to, and how it is tried."""

    problem: str = Field("handwriting", title="Problem", description="What is learnt: a folder of loopline/problems.")
    version: str | None = Field(None, title="Version", description="Of the model; None: the champion.")
    package_sha256: Sha256 | None = Field(
        None, title="Package", description="sha256 that the package must have; None: the one that the registry names."
    )
    target: str = Field("laptop", title="Target", description="Where it is to answer: laptop or nuclio.")
    known_lines: int = Field(
        40, ge=5, title="Known lines", description="Test lines that it reads there before anybody's pictures."
    )
    most_lost: float = Field(
        0.05, ge=0, le=1, title="Most lost", description="Share of known lines that it may read worse than promised."
    )
    share: float = Field(
        0.1, ge=0, le=1, title="Share", description="Of the live pictures that the new version reads while on trial."
    )
    shadow: bool = Field(
        False, title="Shadow", description="Its share is read by both, and nobody sees what the new version says."
    )
    least_answers: int = Field(
        20, ge=1, title="Least answers", description="Live pictures that both must have read before they are compared."
    )
    trial_seconds: float = Field(
        60, ge=0, le=86_400, title="Seconds", description="Of the trial; with less traffic the known lines decide."
    )
    least_agreement: float = Field(
        0.6,
        ge=0,
        le=1,
        title="Least agreement",
        description="Share of pictures that both must read alike, if the new version is not surer of its answers.",
    )


class WatchPlan(Contract):
    """What a user asks of watch_model: whose traffic, and how much of it is looked at."""

    problem: str = Field("handwriting", title="Problem", description="What is learnt: a folder of loopline/problems.")
    target: str = Field("laptop", title="Target", description="Where it answers; where nothing does: the champion.")
    least_answers: int = Field(
        200, ge=50, title="Least answers", description="With fewer new ones nothing is judged, and they wait for more."
    )
    pictures: int = Field(
        300, ge=50, le=2000, title="Pictures", description="Captured ones that are looked at, drawn at random."
    )
    requirements: Requirements | None = Field(
        None, title="Requirements", description="With bounds on its traffic; None: the problem's own requirements.yaml."
    )
