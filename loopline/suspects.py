"""Find labels that are probably wrong: every line of a dataset is read by a model that has not learnt from it."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import TypeAdapter

from loopline.clients.store import Store
from loopline.contracts import DatasetVersion, Suspects
from loopline.dataset import load_lines
from loopline.doubt import Judged, rank, thresholds
from loopline.folds import divide, hold_out
from loopline.manifest import read_manifest, write_manifest
from loopline.orders import CheckPlan
from loopline.problems import Pixels, Problem, Sample
from loopline.serving import Run, batches, system_run
from loopline.settings import TrainSettings

if TYPE_CHECKING:
    from loopline.learning import Epoch

log = logging.getLogger(__name__)

SCHEMA = pa.schema(
    [
        pa.field("image_sha256", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("confidence", pa.float64()),
        pa.field("annotator", pa.string()),
        pa.field("fold", pa.int32()),
        pa.field("unjudged", pa.string()),
    ]
)

OnEpoch = Callable[[int, "Epoch"], None]  # (fold, what its model came to)
Keep = Callable[[int, Callable[[], list[Judged]]], list[Judged]]  # (fold, what judges it) -> its lines
_KEPT = TypeAdapter(list[Judged])


def judge_dataset(
    store: Store,
    problem: Problem,
    *,
    dataset: DatasetVersion,
    plan: CheckPlan,
    machine: TrainSettings,
    place: str,
    folder: Path,
    cache: Path,
    on_epoch: OnEpoch = lambda *_: None,
) -> Suspects:
    """Judge every usable line of a dataset version and keep them in the store, the most doubtful label first.

    What a fold came to is kept under `place`, which must name all that it follows from: a killed run goes on there.
    Raises DataError for fewer groups than folds, and what `fit` raises.
    """
    splits = load_lines(store, dataset, cache=cache).splits
    judged = judge_all(
        problem,
        [sample for samples in splits.values() for sample in samples],
        plan=plan,
        machine=machine,
        folder=folder,
        keep=partial(_kept, store, place),
        on_epoch=on_epoch,
    )
    order, suspect_count = rank(judged)
    unjudged_count = sum(line.unjudged is not None for line in order)
    log.info("suspects: %d of %d labels, %d could not be judged", suspect_count, len(order), unjudged_count)
    return Suspects(
        dataset=dataset,
        folds=plan.folds,
        epochs=plan.epochs,
        manifest=write_manifest(store, _table(order, annotators=_annotators(store, dataset))),
        line_count=len(order),
        suspect_count=suspect_count,
        unjudged_count=unjudged_count,
    )


def read_suspects(store: Store, suspects: Suspects) -> list[dict[str, Any]]:
    """Return the rows of the suspect lines, the most doubtful label first."""
    rows: list[dict[str, Any]] = read_manifest(store, suspects.manifest, schema=SCHEMA).to_pylist()
    return rows[: suspects.suspect_count]


def judge_all(
    problem: Problem,
    samples: Sequence[Sample],
    *,
    plan: CheckPlan,
    machine: TrainSettings,
    folder: Path,
    keep: Keep = lambda _, judge: judge(),
    on_epoch: OnEpoch = lambda *_: None,
) -> list[Judged]:
    """Train as many models as there are folds, each judging the fold that it never saw; in no particular order."""
    recipe = recipe_of(problem, plan)
    usable = [sample for sample in samples if problem.usable(sample, recipe)]
    folds = divide(usable, plan.folds, seed=plan.seed)
    known = {sample.image_sha256 for sample in usable}
    found = [_left_out(sample, "too narrow for this recipe") for sample in samples if sample.image_sha256 not in known]
    for number, unseen in enumerate(folds):
        judge = partial(
            judge_fold,
            problem,
            recipe,
            fold=number,
            others=[sample for fold in folds if fold is not unseen for sample in fold],
            unseen=unseen,
            seed=plan.seed,
            machine=machine,
            folder=folder / str(number),
            on_epoch=partial(on_epoch, number),
        )
        judged = keep(number, judge)
        least = thresholds(judged).get(number, 0)
        log.info("suspects: fold %d of %d: %d lines, sure from %.4f on", number + 1, plan.folds, len(judged), least)
        found += judged
    return found


def recipe_of(problem: Problem, plan: CheckPlan) -> Any:
    """Return the recipe that every fold's model is trained with; ConfigError for one that is out of bounds.

    Patience is off unless the plan sets it: with few lines nothing is read for many epochs, and then nearly all.
    """
    return problem.make_recipe({"patience": plan.epochs} | plan.recipe | {"epochs": plan.epochs})


def judge_fold(
    problem: Problem,
    recipe: Any,
    *,
    fold: int,
    others: Sequence[Sample],
    unseen: Sequence[Sample],
    seed: int,
    machine: TrainSettings,
    folder: Path,
    on_epoch: Callable[["Epoch"], None],
) -> list[Judged]:
    """Train a model on the other folds' lines and let it judge those it never saw."""
    from loopline.learning import fit, load_system

    train, val = hold_out(others, seed=seed)
    vocabulary = problem.vocabulary(sample.label for sample in train)
    weights = folder / "best.safetensors"
    fit(
        problem,
        recipe,
        vocabulary=vocabulary,
        train=train,
        val=val,
        seed=seed,
        checkpoint=folder / "last.ckpt",
        weights=weights,
        machine=machine,
        on_epoch=on_epoch,
    )
    system = load_system(problem, recipe, vocabulary=vocabulary, weights=weights)
    return judge_lines(problem, recipe, run=system_run(system), vocabulary=vocabulary, samples=unseen, fold=fold)


def judge_lines(
    problem: Problem, recipe: Any, *, run: Run, vocabulary: Sequence[str], samples: Sequence[Sample], fold: int
) -> list[Judged]:
    """Return what a model reads on each line, and how probable that and the label are to it."""
    lines: list[Pixels] = [sample.pixels() for sample in samples]
    judge = partial(_judged, problem, vocabulary=vocabulary, fold=fold)
    found = []
    for chosen in batches(lines):
        fed = problem.inputs([lines[number] for number in chosen], recipe)
        spans = problem.spans(run(fed), fed)
        found += [judge(samples[number], line_TC) for number, line_TC in zip(chosen, spans, strict=True)]
    return found


def _judged(
    problem: Problem, sample: Sample, log_probs_TC: npt.NDArray[np.float32], *, vocabulary: Sequence[str], fold: int
) -> Judged:
    """Hold the label against what the model reads on its own, without a language: that would doubt rare words."""
    if missing := sorted(set(sample.label) - set(vocabulary)):
        return _left_out(sample, f"not taught by the other folds: {' '.join(missing)}", fold=fold)
    decode = problem.decoder(problem.decodings()[0], vocabulary=vocabulary, language=None)
    text = decode(log_probs_TC).text
    label_log_prob, text_log_prob = (
        problem.likelihood(log_probs_TC, said, vocabulary=vocabulary) for said in (sample.label, text)
    )
    return Judged(sample.image_sha256, sample.key, sample.label, fold, text, label_log_prob, text_log_prob)


def _left_out(sample: Sample, reason: str, *, fold: int | None = None) -> Judged:
    return Judged(sample.image_sha256, sample.key, sample.label, fold=fold, unjudged=reason)


def _kept(store: Store, place: str, fold: int, judge: Callable[[], list[Judged]]) -> list[Judged]:
    """Return what a fold came to before a kill, or judge it and keep that."""
    key = f"{place}/fold-{fold}.json"
    if store.exists(key):
        return _KEPT.validate_json(store.read(key))
    judged = judge()
    store.write(key, _KEPT.dump_json(judged))
    return judged


def _annotators(store: Store, dataset: DatasetVersion) -> dict[str, str | None]:
    rows = read_manifest(store, dataset.manifest).select(["image_sha256", "annotator"]).to_pylist()
    return {row["image_sha256"]: row["annotator"] for row in rows}


def _table(order: Sequence[Judged], *, annotators: dict[str, str | None]) -> pa.Table:
    rows = [_row(line, annotators.get(line.image_sha256)) for line in order]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _row(line: Judged, annotator: str | None) -> dict[str, Any]:
    row = {name: getattr(line, name) for name in ("image_sha256", "key", "label", "fold", "unjudged")}
    judged = {} if line.unjudged else {name: getattr(line, name) for name in ("text", "score", "confidence")}
    return row | judged | {"annotator": annotator}
