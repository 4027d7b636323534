"""Every label of a dataset is judged once, by a model that never saw it; a killed judgement repeats no whole fold."""

import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from registries import PROBLEM, make_place

from loopline.clients.store import Store
from loopline.contracts import DatasetVersion, Suspects
from loopline.dataset import freeze
from loopline.errors import ConfigError, DataError
from loopline.intake import take_images
from loopline.labels import take_labels
from loopline.manifest import read_manifest
from loopline.orders import CheckPlan, SplitPlan
from loopline.problems import load_problem
from loopline.problems.handwriting.samples import write_samples
from loopline.settings import StoreSettings, TrainSettings
from loopline.suspects import SCHEMA, judge_dataset, read_suspects

HANDWRITING = load_problem(PROBLEM)
COUNTS = {"train": 12, "validation": 6, "test": 6}
TINY = {"channels": 8, "hidden": 32, "layers": 1}
PLAN = CheckPlan(recipe=TINY, epochs=1, folds=2)


class KilledError(BaseException):
    """Ends a judgement as a signal would."""


@dataclass(frozen=True)
class Bench:
    """A dataset of sample lines in a store."""

    store: Store
    dataset: DatasetVersion
    folder: Path

    def judge(self, place: str, *, plan: CheckPlan = PLAN, **kwargs: Any) -> Suspects:
        machine = TrainSettings(accelerator="cpu", threads=1)
        common = {"machine": machine, "place": f"suspects/{place}", "cache": self.folder / "cache"}
        folder = self.folder / uuid.uuid4().hex
        return judge_dataset(
            self.store, HANDWRITING, dataset=self.dataset, plan=plan, folder=folder, **(common | kwargs)
        )

    def rows(self, suspects: Suspects) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = read_manifest(self.store, suspects.manifest, schema=SCHEMA).to_pylist()
        return found


@pytest.fixture(scope="module")
def bench(s3_server: StoreSettings, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    place = make_place(s3_server, tmp_path_factory.mktemp("suspects"))
    place.home.mkdir()
    (place.folder / "cache").mkdir()
    store, lines = Store(place.store), place.folder / "lines"
    write_samples(lines, counts=COUNTS)
    files = [path for path in lines.rglob("*") if path.is_file()]
    store.upload_all({f"inbox/lines/{path.relative_to(lines)}": path for path in files})
    raw = take_images(store, PROBLEM, "inbox/lines")
    labeled = take_labels(store, raw, labels="labels.json", normalise=HANDWRITING.normalise_label)
    dataset = freeze(
        store, place.registry, problem=HANDWRITING, labeled=labeled, split=SplitPlan(), folder=place.folder
    )
    return Bench(store, dataset, place.folder)


def test_every_line_of_all_splits_is_judged_once_and_the_same_every_time(bench: Bench) -> None:
    suspects = bench.judge("first")
    rows = bench.rows(suspects)
    labels = {row["key"]: row["label"] for row in read_manifest(bench.store, bench.dataset.manifest).to_pylist()}
    assert {row["key"]: row["label"] for row in rows} == labels
    assert len(rows) == suspects.line_count == sum(COUNTS.values())
    assert Counter(row["fold"] for row in rows) == {0: 12, 1: 12}
    assert read_suspects(bench.store, suspects) == rows[: suspects.suspect_count]
    assert bench.judge("again") == suspects


def test_a_killed_judgement_goes_on_with_the_fold_that_it_was_at(bench: Bench) -> None:
    trained: list[int] = []

    def kill_in_second(fold: int, _: Any) -> None:
        if fold == 1:
            raise KilledError

    with pytest.raises(KilledError):
        bench.judge("killed", on_epoch=kill_in_second)
    resumed = bench.judge("killed", on_epoch=lambda fold, _: trained.append(fold))
    assert trained == [1]
    assert resumed == bench.judge("whole")


def test_more_folds_than_lines_are_refused(bench: Bench) -> None:
    with pytest.raises(DataError, match=r"24 usable lines of 24 groups .* leave some of 30 folds without a line"):
        bench.judge("many", plan=PLAN.model_copy(update={"folds": 30}))


def test_a_recipe_that_cannot_be_is_named_before_anything_is_learnt(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="learning_rate"):
        bench.judge("reckless", plan=PLAN.model_copy(update={"recipe": {"learning_rate": 9.0}}))
