"""A search keeps its budget, whoever works on it, dies in it or goes on with it; on SQLite and on a real PostgreSQL."""

import os
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
from pydantic import SecretStr

from loopline.contracts import Artifact, DatasetVersion, LabeledDataset, RawDataset
from loopline.errors import AccessError, ConfigError, DataError, LooplineError, UnreachableError
from loopline.orders import FitPlan, SearchPlan
from loopline.problems import load_problem
from loopline.settings import TrainSettings, TuneSettings
from loopline.space import search_space
from loopline.studies import open_storage
from loopline.tuning import begin, check_search, conduct
from loopline.winning import Winner, conclude

WORKER = Path(__file__).with_name("trial_worker.py")
PROBLEM = load_problem("handwriting")
SPACE = {"learning_rate": (0.0005, 0.01)}
FIXED = PROBLEM.make_recipe({"epochs": 4}).model_dump(exclude={"learning_rate"})
SOURCES = {"a file": "its digest"}


def make_dataset() -> DatasetVersion:
    nothing = Artifact(sha256="0" * 64, size_bytes=0, uri="nothing")
    raw = RawDataset(problem="handwriting", manifest=nothing, image_count=0, quarantined_count=0, source="inbox")
    return DatasetVersion(
        problem="handwriting",
        manifest=nothing,
        shards=(),
        split_sizes={},
        vocabulary=("0",),
        name="dataset/handwriting/v1",
        git_revision="",
        labeled=LabeledDataset(problem="handwriting", manifest=nothing, label_count=0, rejected_count=0, raw=raw),
    )


@dataclass
class Search:
    """One search as `tune` conducts it, with trials that need no training."""

    home: Path
    storage: str = "laptop"
    workers: int = 1
    price: float = 0.0
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> TuneSettings:
        return TuneSettings(storage=SecretStr(self.storage))

    def plan(self, **search: Any) -> FitPlan:
        return FitPlan(recipe=FIXED, search=SearchPlan(**{"space": SPACE, "pruner": "none"} | search))

    def open(self, plan: FitPlan) -> optuna.Study:
        storage = open_storage(self.settings, home=self.home)
        return begin(PROBLEM, make_dataset(), plan, sources=SOURCES, storage=storage)

    def start(self, study: optuna.Study, plan: FitPlan, *, number: int) -> "subprocess.Popen[str]":
        ours = {"LOOPLINE_HOME": str(self.home), "LOOPLINE_TUNE__STORAGE": self.storage}
        ours |= {"LOOPLINE_TRAIN__PRICE_PER_HOUR": str(self.price)} | self.environment
        process = subprocess.Popen(
            [sys.executable, WORKER, study.study_name, str(number)],
            env=os.environ | ours,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        process.stdin.write(plan.model_dump_json())
        process.stdin.close()
        return process

    def run(self, **search: Any) -> Winner:
        plan = self.plan(**search)
        study = self.open(plan)
        conduct(
            study,
            plan,
            space=search_space(PROBLEM, plan),
            workers=self.workers,
            start=lambda number: self.start(study, plan, number=number),
            price_per_hour=self.price,
        )
        return conclude(study, PROBLEM, plan, price_per_hour=self.price)


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Search(tmp_path)


def states(winner: Winner) -> Counter[str]:
    return Counter(trial.state for trial in winner.history.trials)


def test_a_search_finds_the_better_recipe_within_its_trials(search: Search) -> None:
    winner = search.run(trials=8)
    assert (states(winner), winner.stopped_by) == (Counter(complete=8), "trials")
    assert winner.best["val_cer"] == min(t.objectives[0] for t in winner.history.trials if t.objectives)
    assert winner.best["val_cer"] < abs(winner.history.trials[0].objectives[0])  # type: ignore[index]
    assert winner.recipe["learning_rate"] != PROBLEM.make_recipe({}).learning_rate


def test_a_larger_budget_goes_on_with_the_same_study(search: Search) -> None:
    first, second = search.run(trials=4), search.run(trials=6)
    assert second.history.trials[:4] == first.history.trials
    assert [trial.slot for trial in second.history.trials] == list(range(6))


def test_a_killed_worker_is_replaced_and_its_trial_repeated_once_with_the_same_recipe(search: Search) -> None:
    search.environment["MOOD"] = "dies"
    winner = search.run(trials=4)
    assert (winner.counts, states(winner)) == ({"complete": 4, "pruned": 0, "failed": 0}, Counter(complete=4, failed=1))
    died, again = (trial for trial in winner.history.trials if trial.slot == 1)
    assert (again.retry_of, again.values, died.error) == (1, died.values, "its worker was killed, or the machine lost")


def test_a_trial_whose_worker_was_killed_before_its_first_heartbeat_is_repeated(search: Search) -> None:
    search.open(search.plan(trials=2)).ask()  # taken, and no heartbeat is written
    winner = search.run(trials=2)
    assert states(winner) == Counter(complete=2, failed=1)


def test_a_search_killed_with_all_its_workers_resumes_and_counts_no_trial_twice(search: Search) -> None:
    plan = search.plan(trials=6)
    study = search.open(plan)
    search.environment["EPOCH_SECONDS"] = "0.3"
    worker = search.start(study, plan, number=0)
    while not any(trial.state.is_finished() for trial in study.get_trials()):
        assert worker.poll() is None
    worker.kill()
    worker.wait()
    search.environment.clear()
    winner = search.run(trials=6)
    assert winner.counts == {"complete": 6, "pruned": 0, "failed": 0}
    assert sorted(trial.slot for trial in winner.history.trials if trial.state == "complete") == list(range(6))


def test_a_trial_that_fails_fails_alone(search: Search) -> None:
    search.environment["MOOD"] = "fails once"
    winner = search.run(trials=3)
    assert winner.counts == {"complete": 2, "pruned": 0, "failed": 1}
    assert winner.history.trials[0].error == "loss is NaN"


def test_when_every_trial_fails_the_first_reason_is_told(search: Search) -> None:
    search.environment["MOOD"] = "fails"
    with pytest.raises(DataError, match=r"all 3 trials of the search failed, the first because: loss is NaN"):
        search.run(trials=3)


def test_a_search_in_which_no_trial_came_to_its_end_says_so(search: Search) -> None:
    with pytest.raises(
        DataError, match=r"no trial of the search came to its end: 0 pruned, 0 failed; give it more time"
    ):
        search.run(trials=3, minutes=1e-9)


def test_trials_that_fall_behind_are_pruned(search: Search) -> None:
    winner = search.run(trials=12, pruner="median", sampler="random")
    assert winner.counts["pruned"] > 0
    assert winner.counts["complete"] + winner.counts["pruned"] == 12
    pruned = [trial for trial in winner.history.trials if trial.state == "pruned"]
    assert all(len(trial.epochs) < 4 for trial in pruned)


def test_minutes_end_a_search_and_count_those_of_its_earlier_days(search: Search) -> None:
    search.run(trials=2)
    winner = search.run(trials=50, minutes=0.001)
    assert (winner.stopped_by, winner.counts["complete"]) == ("minutes", 2)
    assert search.run(trials=3).counts["complete"] == 3


def test_money_ends_a_search_and_its_last_trial(search: Search) -> None:
    search.environment["EPOCH_SECONDS"], search.price = "0.1", 3600.0
    winner = search.run(trials=50, cost=2)
    assert winner.stopped_by == "cost"
    assert sum(trial.seconds for trial in winner.history.trials) >= 2
    assert winner.counts["complete"] + winner.counts["pruned"] < 50


def test_a_grid_ends_when_all_of_it_was_tried(search: Search) -> None:
    winner = search.run(trials=100, sampler="grid")
    assert winner.stopped_by == "grid"
    tried = [trial.values["learning_rate"] for trial in winner.history.trials]
    assert sorted(tried) == pytest.approx([0.0005, 0.00224, 0.01], rel=0.01)


def test_where_latency_counts_the_fastest_recipe_that_reads_as_well_wins(search: Search) -> None:
    winner = search.run(trials=10, latency=True)
    assert winner.history.objectives == ("val_cer", "latency_ms")
    best = min(trial.objectives[0] for trial in winner.history.trials if trial.objectives)
    near = [t.objectives for t in winner.history.trials if t.objectives and t.objectives[0] <= 1.1 * best]
    assert winner.best["latency_ms"] == min(latency for _, latency in near)


@pytest.mark.parametrize("sampler", ["gp", "cmaes", "random"])
def test_every_sampler_keeps_to_the_bounds(search: Search, sampler: str) -> None:
    winner = search.run(trials=6, sampler=sampler)
    assert winner.counts["complete"] == 6
    assert all(0.0005 <= float(trial.values["learning_rate"]) <= 0.01 for trial in winner.history.trials)


def test_a_pickle_planted_in_the_storage_is_never_loaded(search: Search) -> None:
    marker = search.home / "opened"

    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (marker,)

    plan = search.plan(trials=6, sampler="cmaes")
    study = search.open(plan)
    for cer in (0.1, 0.2, 0.3, 0.4):
        distribution = optuna.distributions.FloatDistribution(0.0005, 0.01, log=True)
        attributes = {"cma:optimizer:0": pickle.dumps(Trap()).hex(), "cma:generation": 0}
        study.add_trial(
            optuna.create_trial(
                value=cer,
                params={"learning_rate": 0.003},
                distributions={"learning_rate": distribution},
                system_attrs=attributes,
            )
        )
    assert search.run(trials=6, sampler="cmaes").counts["complete"] == 6
    assert not marker.exists()


def test_two_workers_share_one_study_on_postgresql(search: Search, postgres: str) -> None:
    search.storage, search.workers, search.environment = postgres, 2, {"EPOCH_SECONDS": "0.2"}
    winner = search.run(trials=9)
    assert (winner.counts["complete"], states(winner)) == (9, Counter(complete=9))
    assert [trial.slot for trial in winner.history.trials] == list(range(9))
    assert len(list(search.home.glob("worker-*"))) == 2


def test_a_refused_password_is_told_without_telling_it(search: Search, postgres: str) -> None:
    search.storage = postgres.replace("s3cret-word", "wr0ng-word")
    with pytest.raises(AccessError, match="refuses us; check user and password") as refused:
        search.run(trials=1)
    assert "wr0ng-word" not in str(refused.value)


@pytest.mark.parametrize(
    ("storage", "kind", "sentence"),
    [
        ("postgresql://u:s3cret-word@127.0.0.1:1/x", UnreachableError, r"u:\*\*\*@127.0.0.1:1/x can't be reached"),
        ("somewhere", ConfigError, "no address of a database"),
        ("oracle9://host/x", ConfigError, "no address of a database"),
    ],
)
def test_a_storage_that_cannot_be_used_is_named_without_its_password(
    search: Search, storage: str, kind: type[LooplineError], sentence: str
) -> None:
    search.storage = storage
    with pytest.raises(kind, match=sentence) as refused:
        search.run(trials=1)
    assert "s3cret-word" not in str(refused.value)


def test_a_storage_that_holds_another_space_under_the_same_name_is_refused(search: Search) -> None:
    study = search.open(search.plan(trials=1))
    study.set_user_attr("space", {"dropout": {}})
    with pytest.raises(ConfigError, match=r"study \w+ in the storage searches dropout within other bounds"):
        search.run(trials=1)


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        ({"space": {"learning_rate": (0.001, 5.0)}}, "learning_rate holds 5.0, outside the recipe's bounds"),
        ({"space": {"learning_rate": (0.01, 0.001)}}, "give its lowest and its highest value"),
        ({"space": {"speed": (1, 2)}}, "names speed, which can't be searched for; choose from: augment"),
        ({"cost": 5.0}, "LOOPLINE_TRAIN__PRICE_PER_HOUR is 0"),
        ({"sampler": "cmaes", "latency": True}, "cmaes searches for one objective only"),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_it_costs_anything(plan: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        check_search(PROBLEM, FitPlan(search=SearchPlan(**{"trials": 3} | plan)), machine=TrainSettings())
