"""A search from the command line: killed in its middle and run again, it loses no trial and counts none twice."""

import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from laptops import Laptop

from loopline.details import History
from loopline.records import read_record

SEARCH = ("--trials", "4", "--trial-epochs", "2", "--sampler", "random", "--pruner", "none", "--space")
SEARCH = (*SEARCH, "learning_rate=0.001,0.02", "--space", "dropout=0,0.3", "--latency")


@pytest.fixture(scope="module")
def alone(laptop: Laptop, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    return laptop.apart(tmp_path_factory.mktemp("search"), bucket="search")


def finished(laptop: Laptop) -> int:
    """Count the trials that ended, as the storage has them."""
    try:
        with closing(sqlite3.connect(laptop.home / "studies.sqlite")) as studies:
            return int(studies.execute("SELECT count(*) FROM trials WHERE state = 'COMPLETE'").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_a_search_killed_in_its_middle_goes_on_and_its_winner_is_trained(alone: Laptop, lines: Path) -> None:
    arguments = [*alone.arguments(lines, epochs=3), *SEARCH]
    killed = subprocess.Popen(
        alone.command(*arguments),
        env=alone.environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    while not finished(alone):
        assert killed.poll() is None
        time.sleep(0.1)
    coordinator, worker = psutil.Process(killed.pid).children(recursive=True)
    coordinator.kill()
    assert psutil.wait_procs([worker], timeout=30)[1] == [], "a worker ends with its coordinator"
    assert killed.wait() not in (0, 3)
    built = alone.call(*arguments)
    assert built.code == 0, built.log
    report = built.judged["packaged"]["report"]
    study = report["model"]["study"]
    assert (study["trial_counts"], study["stopped_by"]) == ({"complete": 4, "pruned": 0, "failed": 0}, "trials")
    assert (report["model"]["recipe"]["epochs"], report["model"]["epochs"]) == (3, 3)
    assert report["model"]["recipe"]["learning_rate"] == study["recipe"]["learning_rate"]

    stored = alone.home / "store" / "search"
    history = History.model_validate_json((stored / study["history"]["uri"]).read_text())
    last = {trial.slot: trial for trial in history.trials}
    assert Counter(trial.state for trial in last.values()) == {"complete": 4}
    assert history.objectives == ("val_cer", "latency_ms")
    assert (study["best"]["val_cer"], study["best"]["latency_ms"]) in {trial.objectives for trial in history.trials}
    record = read_record(stored / "runs" / f"{study['name']}{last[3].number:08d}" / "record-trial.jsonl")
    assert record.params["learning_rate"] == last[3].values["learning_rate"]
    assert len(record.series("val_cer")) == 2
    assert "Search" in (stored / built.judged["page"]["uri"]).read_text()

    again = alone.call(*arguments)
    assert again.judged == built.judged
    assert again.states["tune"] == again.states["train"] == "Cached"


def test_an_order_that_cannot_be_searched_is_refused_before_it_costs_anything(alone: Laptop, lines: Path) -> None:
    for options, sentence in (
        (("--trials", "0"), "trials: input should be greater than or equal to 1"),
        (("--trials", "2", "--sampler", "luck"), "sampler: input should be 'tpe'"),
        (("--trials", "2", "--pruner", "shears"), "pruner: input should be 'median'"),
        (("--trials", "2", "--space", "dropout=0,7"), "dropout holds 7, outside the recipe's bounds"),
        (("--search-cost", "5"), "LOOPLINE_TRAIN__PRICE_PER_HOUR is 0"),
    ):
        refused = alone.call(*alone.arguments(lines), *options)
        assert (refused.code, "train" in refused.states) == (2, False), refused.log
        assert sentence in refused.last_line
