"""Metrics, intervals and verdicts."""

from collections.abc import Mapping

import numpy as np
import pytest

from loopline import contracts as c
from loopline.contracts import Verdict
from loopline.errors import ConfigError, DataError
from loopline.evaluation import count, measurable
from loopline.judging import check_bounds, interval_95, judge, paired_interval_95, totals, verdict_table
from loopline.orders import Requirement, Requirements
from loopline.problems import Answer, Sample, load_problem

PROBLEM = load_problem("handwriting")
tally = PROBLEM.tally
METRICS = ("cer", "wer", "line_accuracy")
FILE = c.Artifact(sha256="0" * 64, size_bytes=1, uri="any")


def package(
    metrics: Mapping[str, float],
    *,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    figures: Mapping[str, float] | None = None,
    champion: tuple[float, tuple[float, float]] | None = None,
) -> c.PackagedModel:
    """A package of which this was measured; the champion's CER comes with the interval of the difference."""
    raw = c.RawDataset(problem="handwriting", manifest=FILE, image_count=1, quarantined_count=0, source="any")
    labeled = c.LabeledDataset(problem="handwriting", manifest=FILE, label_count=1, rejected_count=0, raw=raw)
    dataset = c.DatasetVersion(
        problem="handwriting",
        manifest=FILE,
        shards=(FILE,),
        split_sizes={},
        vocabulary=("1",),
        name="any",
        git_revision="any",
        labeled=labeled,
    )
    model = c.TrainedModel(
        dataset=dataset,
        recipe={},
        seed=1,
        checkpoint=FILE,
        val_metrics={},
        epochs=1,
        curve=FILE,
        run="runs/any",
        train_seconds=90,
        device="cpu",
        cost=2.5,
    )
    report = c.EvaluationReport(
        model=model,
        split="test",
        sample_count=300,
        metrics=dict(metrics),
        interval_95=dict(intervals or {}),
        baseline_metrics={"cer": 0.8},
        champion=c.Opponent(version="v3.0.0", archive=FILE) if champion else None,
        champion_metrics={"cer": champion[0]} if champion else None,
        difference_95={"cer": champion[1]} if champion else None,
        slices=(),
        figures=dict(figures or {}),
        worst=FILE,
        details=FILE,
    )
    widths = (
        c.Latency(width_px=256, p50_ms=2, p95_ms=3, p99_ms=4),
        c.Latency(width_px=1024, p50_ms=8, p95_ms=9, p99_ms=11),
    )
    return c.PackagedModel(
        report=report,
        archive=FILE,
        onnx=FILE,
        bento_tag="any:1",
        size_bytes=3_000_000,
        metrics=report.metrics,
        interval_95=report.interval_95,
        latency_ms=8,
        footprint=c.Footprint(latencies=widths, peak_memory_mb=210),
    )


def judged(packaged: c.PackagedModel, *bounds: Requirement) -> Verdict:
    return judge(packaged, Requirements(bounds=bounds), higher_is_better=PROBLEM.higher_is_better)


def test_cer_is_all_edits_over_all_characters_never_a_mean_of_means() -> None:
    assert totals([tally("a", "b"), tally("abcdefghi", "abcdefghi")])["cer"] == pytest.approx(0.1)


def test_a_perfect_prediction_scores_as_perfect() -> None:
    assert totals([tally("un deux", "un deux")]) == {"cer": 0, "wer": 0, "line_accuracy": 1}


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        wrong = generator.random(300) < 0.2
        low, high = interval_95([{"error": (float(w), 1.0)} for w in wrong], [str(n) for n in range(300)])["error"]
        inside += low <= 0.2 <= high
    assert 88 <= inside <= 100


def test_lines_of_one_writer_widen_the_interval() -> None:
    tallies = [{"error": (float(number % 10 == 0), 1.0)} for number in range(500)]
    alone = interval_95(tallies, [str(number) for number in range(500)])["error"]
    writers = interval_95(tallies, [str(number % 50) for number in range(500)])["error"]
    assert writers[1] - writers[0] > 1.5 * (alone[1] - alone[0])


def test_a_small_difference_on_the_same_lines_is_seen() -> None:
    generator = np.random.default_rng(1)
    hard = generator.random(1000) < 0.3
    ours = [{"error": (float(h and n % 10 != 0), 1.0)} for n, h in enumerate(hard)]
    theirs = [{"error": (float(h), 1.0)} for h in hard]
    low, high = paired_interval_95(ours, theirs, groups=[str(n) for n in range(1000)])["error"]
    assert low < high < 0


def test_what_was_measured_decides_where_the_interval_reaches_across_the_bound() -> None:
    packaged = package({"cer": 0.09}, intervals={"cer": (0.07, 0.12)})
    verdict = judged(packaged, Requirement(metric="cer", at_most=0.1))
    assert verdict.passed
    assert verdict.findings[0].interval_95 == (0.07, 0.12)
    table = verdict_table(verdict)
    assert "| cer | at most 0.1 | 0.09 | 0.07 to 0.12 | yes |" in table
    assert table.endswith("other lines could decide otherwise.")


def test_lines_give_a_finding_its_interval_and_machines_give_none() -> None:
    packaged = package(
        {"cer": 0.09},
        intervals={"cer": (0.07, 0.12), "digits_cer": (0.01, 0.04)},
        figures={"digits_cer": 0.02, "calibration_error": 0.03},
    )
    names = ("digits_cer", "calibration_error", "latency_ms", "latency_p99_ms", "memory_mb", "size_mb", "cost")
    verdict = judged(packaged, *(Requirement(metric=name, at_most=1000) for name in names))
    assert [found.measured for found in verdict.findings] == [0.02, 0.03, 8, 11, 210, 3, 2.5]
    assert [found.interval_95 for found in verdict.findings] == [(0.01, 0.04), *[None] * 6]


@pytest.mark.parametrize(
    ("cer", "interval", "promoted"),
    [
        (0.09, (-0.02, -0.003), True),
        (0.0995, (-0.01, 0.009), True),
        (0.1, (0.0, 0.0), True),
        (0.1005, (-0.009, 0.01), False),
        (0.12, (0.01, 0.03), False),
    ],
    ids=["clearly better", "hardly better", "the same", "hardly worse", "clearly worse"],
)
def test_a_challenger_is_promoted_only_if_it_measures_no_worse_than_the_champion(
    cer: float, interval: tuple[float, float], promoted: bool
) -> None:
    verdict = judged(package({"cer": cer}, champion=(0.1, interval)))
    assert verdict.passed is promoted
    assert verdict.findings[0].measured == pytest.approx(cer - 0.1)
    assert verdict.findings[0].interval_95 == interval
    assert "cer minus that of champion v3.0.0" in verdict.findings[0].requirement


def test_a_bound_on_what_the_test_lines_cannot_tell_is_named() -> None:
    with pytest.raises(ConfigError, match="'digits_cer' can't be judged: fewer than 10 test lines"):
        judged(package({"cer": 0.1}), Requirement(metric="digits_cer", at_most=0.1))


def test_a_test_split_too_small_for_an_interval_is_refused() -> None:
    lines = [Sample("0" * 64, lambda: np.zeros((1, 1), np.uint8), "1", 1, 1)] * 9
    with pytest.raises(
        DataError, match="the test split has 9 usable lines, too few for an interval; give it at least 10"
    ):
        count(PROBLEM, lines, answers=[Answer("1", 1.0)] * 9)


def test_a_requirement_that_names_no_known_metric_is_refused_before_anything_is_spent() -> None:
    wrong = Requirements(bounds=(Requirement(metric="accuracy", at_least=0.9),))
    with pytest.raises(
        ConfigError, match=r"'accuracy' names no known metric; choose from: beats_baseline, cer,.*shifted"
    ):
        check_bounds(wrong, metrics=METRICS, figures=measurable(PROBLEM))


def test_a_requirement_without_a_bound_is_refused() -> None:
    with pytest.raises(ConfigError, match="'cer' has no bound"):
        check_bounds(Requirements(bounds=(Requirement(metric="cer"),)), metrics=METRICS, figures=())


def test_a_requirement_that_nothing_can_meet_is_refused() -> None:
    crossed = Requirements(bounds=(Requirement(metric="cer", at_most=0.1, at_least=0.2),))
    with pytest.raises(ConfigError, match=r"'cer' wants at most 0\.1 and at least 0\.2, which nothing is"):
        check_bounds(crossed, metrics=METRICS, figures=())


def test_every_problem_bounds_only_what_is_measured() -> None:
    check_bounds(PROBLEM.requirements(), metrics=METRICS, figures=measurable(PROBLEM))
