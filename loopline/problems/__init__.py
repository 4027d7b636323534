"""What can be learnt: one folder per problem, found by its name."""

import importlib
import pkgutil
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel
from torch.utils.data import DataLoader

from loopline.errors import ConfigError

Pixels = npt.NDArray[np.uint8]  # HW: one grey line, 0 black, 255 white


@dataclass(frozen=True)
class Sample:
    """One labelled line, ready to learn from."""

    image_sha256: str
    pixels: Callable[[], Pixels]
    label: str
    group: str = ""
    source: str = ""
    width_px: int = 0


@dataclass(frozen=True)
class Answer:
    """What a model reads on one line."""

    text: str
    confidence: float


@dataclass(frozen=True)
class Problem:
    """Everything that Loopline must be told about a problem. Plain functions; nothing here knows a network."""

    name: str
    folder: Path
    recipe: type[BaseModel]
    preprocess: Callable[[Image.Image], Pixels]
    normalise_label: Callable[[str], str]
    reject: Callable[[str, int, int], str | None]
    vocabulary: Callable[[Iterable[str]], tuple[str, ...]]
    loader: Callable[..., "DataLoader[Any]"]
    system: Callable[..., L.LightningModule]
    score: Callable[[Sequence[str], Sequence[str]], Any]
    monitor: str


def load_problem(name: str) -> Problem:
    """Import the problem's folder by name; ConfigError if there is none."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    if name not in names:
        raise ConfigError(f"there is no problem {name!r}; choose one of: {', '.join(names)}")
    problem: Problem = importlib.import_module(f"{__name__}.{name}").PROBLEM
    return problem
