"""Handwriting: the image of one handwritten line becomes text.

What serving needs is imported here; torch and scikit-learn only when something is learnt.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from loopline.problems import Answer, Decode, Pixels, Problem, Sample
from loopline.problems.handwriting.alphabet import normalise_label, vocabulary
from loopline.problems.handwriting.behaviours import BEHAVIOURS, MINIMUM_SETS
from loopline.problems.handwriting.decoding import decoder, decodings, language
from loopline.problems.handwriting.device import device
from loopline.problems.handwriting.labelling import LABEL_CONFIG, read_label, write_label
from loopline.problems.handwriting.likelihood import likelihood
from loopline.problems.handwriting.lines import frame_count, pad, prepare, preprocess, reject, unspellable
from loopline.problems.handwriting.lint import lint
from loopline.problems.handwriting.placing import parts
from loopline.problems.handwriting.recipe import Recipe

if TYPE_CHECKING:
    import lightning as L
    from torch.utils.data import DataLoader

    from loopline.problems.handwriting.metrics import Tally


def usable(sample: Sample, recipe: Recipe) -> bool:
    """Tell whether this recipe leaves the line enough frames for its label."""
    return unspellable(sample.label, sample.width_px, sample.height_px, recipe=recipe) is None


def inputs(lines: Sequence[Pixels], recipe: Recipe) -> dict[str, npt.NDArray[Any]]:
    """Return what the ONNX model takes: `ink` (B, H, W) uint8 and `widths` (B) int64."""
    ink_BHW, widths_B = pad([prepare(line, recipe) for line in lines])
    return {"ink": ink_BHW, "widths": widths_B}


def spans(log_probs_BTC: npt.NDArray[np.float32], fed: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[np.float32]]:
    """Return each line's log-probabilities, (T, C), up to its true end."""
    return [line_TC[: frame_count(int(width))] for line_TC, width in zip(log_probs_BTC, fed["widths"], strict=True)]


def answers(
    log_probs_BTC: npt.NDArray[np.float32], fed: Mapping[str, npt.NDArray[Any]], *, decode: Decode
) -> list[Answer]:
    """Read each line's log-probabilities, up to its true end."""
    return [decode(line_TC) for line_TC in spans(log_probs_BTC, fed)]


def embed(log_probs_BTC: npt.NDArray[np.float32], fed: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[np.float32]]:
    """Return where each line lies among others, (2C,): mean and spread of its frames' probabilities."""
    frames = [np.exp(line_TC) for line_TC in spans(log_probs_BTC, fed)]
    return [np.concatenate([probs_TC.mean(axis=0), probs_TC.std(axis=0)]) for probs_TC in frames]


def tally(truth: str, text: str) -> "Tally":
    """Return CER, WER and line accuracy of one line as (numerator, denominator)."""
    from loopline.problems.handwriting.metrics import tally as count

    return count(truth, text)


def loader(samples: Sequence[Sample], recipe: Recipe, *, seed: int | None, workers: int = 0) -> "DataLoader[Any]":
    """Return batches of similar width, shuffled by (seed, epoch); in order of width if seed is None."""
    from loopline.problems.handwriting.data import loader as batches

    return batches(samples, recipe, seed=seed, workers=workers)


def system(recipe: Recipe, vocabulary: Sequence[str]) -> "L.LightningModule":
    """Return the untrained reader; its weights are drawn from torch's generator."""
    from loopline.problems.handwriting.system import ReaderSystem

    return ReaderSystem(recipe, vocabulary)


def baseline(train: Sequence[Sample], unseen: Sequence[Sample]) -> list[str]:
    """Answer with the label of the nearest training line."""
    from loopline.problems.handwriting.baseline import nearest_line

    return nearest_line(train, unseen)


PROBLEM: Problem = Problem(
    name="handwriting",
    rules=1,
    recipe=Recipe,
    preprocess=preprocess,
    normalise_label=normalise_label,
    reject=reject,
    lint=lint,
    usable=usable,
    vocabulary=vocabulary,
    loader=loader,
    system=system,
    inputs=inputs,
    spans=spans,
    likelihood=likelihood,
    parts=parts,
    answers=answers,
    embed=embed,
    language=language,
    decodings=decodings,
    decoder=decoder,
    device=device,
    behaviours=BEHAVIOURS,
    minimum_sets=MINIMUM_SETS,
    label_config=LABEL_CONFIG,
    read_label=read_label,
    write_label=write_label,
    tally=tally,
    baseline=baseline,
    baseline_name="label of the nearest training line, by pixels of a 64x16 thumbnail",
    monitor="val_cer",
    higher_is_better=frozenset({"line_accuracy"}),
)
