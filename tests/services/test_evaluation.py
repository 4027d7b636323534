"""A model judged on a real store: what the report says, what is kept beside it, and how the champion fares."""

import json
from pathlib import Path

import pytest
from benches import HANDWRITING, Bench, make_bench
from registries import PROBLEM, Place

from loopline import contracts as c
from loopline.details import Details
from loopline.errors import IntegrityError
from loopline.evaluation import measurable, open_champion, summary
from loopline.judging import judge
from loopline.manifest import read_manifest
from loopline.orders import Order, Requirements
from loopline.settings import StoreSettings
from tasks.accept import accept


@pytest.fixture(scope="module")
def bench(s3_server: StoreSettings, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(s3_server, tmp_path_factory.mktemp("evaluation"))


@pytest.fixture(scope="module")
def champion(bench: Bench) -> c.PackagedModel:
    """The package of a model that reads nothing at all, and knows three characters only."""
    return bench.package(bench.judge(bench.model("", vocabulary="012")))


def opponent(champion: c.PackagedModel) -> c.Opponent:
    return c.Opponent(version="v1.0.0", archive=champion.archive)


def test_a_report_has_its_figures_and_the_store_the_details_and_every_line(bench: Bench) -> None:
    report = bench.judge(bench.model("1"))
    assert set(report.figures) == {name for name in measurable(HANDWRITING) if not name.startswith(("accents", "cap"))}
    assert set(report.interval_95) == {*report.metrics, *report.figures} - {"calibration_error"}
    assert report.figures["shifted_unchanged"] == 1
    assert report.figures["rotated_cer_added"] == 0
    assert (report.decoding.name, report.decoding.language) == ("greedy", None)
    details = Details.model_validate_json(bench.store.read_artifact(report.details))
    assert sum(found.line_count for found in details.reliability) == report.sample_count == 40
    assert details.abstention[0].metric == pytest.approx(report.metrics["cer"])
    assert [found.name for found in details.behaviours] == list(HANDWRITING.behaviours)
    assert [found.name for found in details.minimum_sets] == ["digits"]
    assert details.minimum_sets[0].interval_95 == report.interval_95["digits_cer"]
    assert details.decodings[0].name == "greedy"
    lines = read_manifest(bench.store, report.worst).to_pylist()
    assert len(lines) == 40
    assert {"image_sha256", "key", "group", "source", "truth", "text", "confidence", "cer_errors"} <= set(lines[0])
    assert "champion_text" not in lines[0]
    assert [line["cer_errors"] for line in lines] == sorted((line["cer_errors"] for line in lines), reverse=True)


def test_same_model_is_judged_to_the_same_report(bench: Bench) -> None:
    model = bench.model("1")
    assert bench.judge(model).digest == bench.judge(model).digest


def test_a_better_challenger_passes_the_champion_and_a_worse_one_is_held_back(
    bench: Bench, champion: c.PackagedModel
) -> None:
    better = bench.judge(bench.model("1"), beside=opponent(champion))
    assert better.champion_metrics and better.difference_95
    assert better.champion_metrics["cer"] == 1
    assert better.difference_95["cer"][1] < 0
    assert better.difference_95["digits_cer"] == better.difference_95["cer"]
    assert "champion v1.0.0" in summary(better)
    assert {line["champion_text"] for line in read_manifest(bench.store, better.worst).to_pylist()} == {""}
    packaged = bench.package(better)
    worse = bench.package(bench.judge(bench.model(""), beside=opponent(packaged)))
    verdicts = [judge(found, Requirements(), higher_is_better=frozenset()) for found in (packaged, worse)]
    assert [verdict.passed for verdict in verdicts] == [True, False]
    assert verdicts[1].reasons[0].startswith("cer minus that of champion v1.0.0, on the same lines is 0.")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(None, "is not there"), (b"other bytes", "holds 11 bytes of sha256")],
    ids=["gone", "altered"],
)
def test_a_champion_whose_package_is_damaged_is_named_with_the_way_out(
    bench: Bench, champion: c.PackagedModel, damage: bytes | None, reason: str
) -> None:
    key = "packages/damaged.zip"
    damaged = c.Opponent(version="v1.0.0", archive=champion.archive.model_copy(update={"uri": key}))
    bench.store.delete(key) if damage is None else bench.store.write(key, damage)
    with pytest.raises(IntegrityError) as refused:
        bench.judge(bench.model("1"), beside=damaged)
    sentence = str(refused.value)
    assert sentence.startswith("champion v1.0.0 can't be opened, so no model can be judged beside it (s3://")
    assert reason in sentence
    assert sentence.endswith("or let it go: gto deprecate handwriting v1.0.0 champion")
    assert sentence.count(";") == 1


def test_a_champion_that_is_no_package_of_this_release_is_named(bench: Bench) -> None:
    old = c.Opponent(version="v7.0.0", archive=bench.store.put(b"no package", "packages/old.zip"))
    with pytest.raises(IntegrityError, match=r"champion v7\.0\.0 can't be opened.*this is no model package"):
        open_champion(bench.store, old, problem=HANDWRITING)


def test_an_order_is_refused_before_learning_if_its_champion_is_gone(
    bench: Bench, champion: c.PackagedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = Place(tmp_path, bench.place.store)
    archive = tmp_path / "package.zip"
    archive.write_bytes(bench.store.read_artifact(champion.archive))
    page = bench.store.put(b"<html>", "reports/any.html")
    draft = c.ModelReady(problem=PROBLEM, version="", packaged=champion, verdict=c.Verdict(findings=()), page=page)
    place.registry.commit_model(draft, archive)
    settings = bench.place.store.model_dump() | {"secret_key": "testsecret"}
    monkeypatch.setenv("LOOPLINE_STORE", json.dumps(settings))
    monkeypatch.setenv("LOOPLINE_REGISTRY__URL", str(place.git))
    monkeypatch.setenv("LOOPLINE_HOME", str(place.home))
    order = Order(source="inbox/lines")
    monkeypatch.setenv("LOOPLINE_PREFECT__GPU_DEPLOYMENT", "fit-model/gpu")  # not looked at outside a run
    assert accept.fn(order) == HANDWRITING.requirements()
    bench.store.delete(champion.archive.uri)
    try:
        with pytest.raises(IntegrityError, match=r"champion v1\.0\.0 can't be opened"):
            accept.fn(order)
    finally:
        bench.store.put(archive, champion.archive.uri)
