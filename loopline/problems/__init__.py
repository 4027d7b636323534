"""What can be learnt: one folder per problem, found by its name.

A problem knows no network, no settings and no orchestrator. This module and what a problem's `__init__` imports must
stay light: the service imports them without torch.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ValidationError

from loopline.contracts import Decoding, Scalar
from loopline.errors import ConfigError, wrong_values
from loopline.orders import Requirements

Pixels = npt.NDArray[np.uint8]  # HW: one grey line, 0 black, 255 white


@dataclass(frozen=True)
class Sample:
    """One labelled line of a shard; its pixels are decoded when asked for."""

    image_sha256: str
    pixels: Callable[[], Pixels]
    label: str
    width_px: int
    height_px: int
    key: str = ""
    group: str = ""
    source: str = ""


@dataclass(frozen=True)
class Answer:
    """What a model reads on one line."""

    text: str
    confidence: float


@dataclass(frozen=True)
class Part:
    """A part of an answer, such as a character, and from where to where it was seen, as shares of the line's width."""

    text: str
    confidence: float
    start: float
    end: float


@dataclass(frozen=True)
class Reading:
    """What one person says of one line; `unusable` is the reason why it can't be learnt from, in their judgement."""

    text: str
    unusable: str | None = None


Decode = Callable[[npt.NDArray[np.float32]], Answer]  # the log-probabilities of one line, (T, C), up to its true end


@dataclass(frozen=True)
class Search:
    """Where a tuner looks for a value of a recipe: metadata of the recipe's field, as Annotated[float, Search(...)].

    A field of words (Literal) or truth values takes no bounds.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False


@dataclass(frozen=True)
class Problem:
    """Everything that Loopline must be told about a problem, as plain functions; handwriting/ documents each."""

    name: str
    rules: int  # raise it when preprocess changes its mind: images are then written into shards anew
    recipe: type[BaseModel]
    preprocess: Callable[..., Pixels]
    normalise_label: Callable[[str], str]
    reject: Callable[[str, int, int], str | None]
    lint: Callable[..., list[str]]  # (label, width_px, height_px, *, alphabet): what people should look at
    usable: Callable[[Sample, Any], bool]
    vocabulary: Callable[..., tuple[str, ...]]
    loader: Callable[..., Any]
    system: Callable[..., Any]
    inputs: Callable[..., dict[str, npt.NDArray[Any]]]
    spans: Callable[..., list[npt.NDArray[np.float32]]]  # (what the network says, what it was fed) -> (T, C) a line
    likelihood: Callable[..., float]  # ((T, C) of a line, text, *, vocabulary) -> logarithm of the text's probability
    parts: Callable[..., list[Part]]  # ((T, C) of a line, text, *, vocabulary) -> where each part of a text was read
    answers: Callable[..., list[Answer]]  # (what the network says, what it was fed, *, decode)
    embed: Callable[..., list[npt.NDArray[np.float32]]]  # (what the network says, what it was fed) -> (D,) a line
    language: Callable[[Sequence[str]], bytes]  # what a decoder can learn from training labels, as JSON
    decodings: Callable[[], list[Decoding]]  # to choose from on validation lines, the simplest first
    decoder: Callable[..., Decode]  # (decoding, *, vocabulary, language) -> Decode
    device: Callable[[Any], dict[str, Scalar]]  # (recipe) -> the numbers that device.md, beside it, explains
    behaviours: Mapping[str, Callable[[Pixels], Pixels]]  # changes of a line that must not change the answer
    minimum_sets: Mapping[str, Callable[[str], bool]]  # which characters are judged apart
    label_config: str  # what annotators see: Label Studio's labelling interface
    read_label: Callable[[Sequence[Mapping[str, Any]]], Reading]  # from an annotation's result
    write_label: Callable[[str], list[dict[str, Any]]]  # and back
    tally: Callable[[str, str], dict[str, tuple[float, float]]]
    baseline: Callable[..., list[str]]
    baseline_name: str
    monitor: str
    higher_is_better: frozenset[str]

    @property
    def folder(self) -> Path:
        """Where the problem's files are."""
        return Path(__file__).parent / self.name

    def make_recipe(self, values: dict[str, Scalar]) -> Any:
        """Return the default recipe with some values changed; ConfigError names every value that is out of bounds."""
        try:
            return self.recipe.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"the recipe for {self.name} does not hold: {wrong_values(error)}") from None

    def requirements(self) -> Requirements:
        """Read the problem's own requirements.yaml."""
        return Requirements.model_validate(yaml.safe_load((self.folder / "requirements.yaml").read_text()))


def problem_names() -> list[str]:
    """Return the names of all problems, without importing one."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def load_problem(name: str) -> Problem:
    """Import the problem's folder by name; ConfigError if there is none."""
    names = problem_names()
    if name not in names:
        raise ConfigError(f"there is no problem {name!r}; choose one of: {', '.join(names)}")
    problem: Problem = importlib.import_module(f"{__name__}.{name}").PROBLEM
    return problem
