"""Whether a confidence can be believed, and what abstaining gains."""

import numpy as np
import pytest

from loopline.calibration import abstention, calibration_error, reliability
from loopline.details import ReliabilityBin

CHANCE = np.random.default_rng(0)


def right_as_often_as(confidences: list[float]) -> list[bool]:
    return [bool(chance < sure) for sure, chance in zip(confidences, CHANCE.random(len(confidences)), strict=True)]


def test_a_model_that_is_right_as_often_as_it_says_has_next_to_no_calibration_error() -> None:
    confidences = list(CHANCE.uniform(0.2, 1, 5000))
    assert calibration_error(reliability(confidences, right_as_often_as(confidences))) < 0.03


def test_a_model_that_is_always_sure_and_half_the_time_wrong_is_off_by_a_half() -> None:
    assert calibration_error(reliability([1.0] * 100, [True, False] * 50)) == pytest.approx(0.5)


def test_a_gap_counts_as_often_as_there_are_lines_in_it() -> None:
    bins = [
        ReliabilityBin(confidence=0.2, accuracy=0.0, line_count=20),
        ReliabilityBin(confidence=0.9, accuracy=1.0, line_count=10),
    ]
    assert calibration_error(bins) == pytest.approx((20 * 0.2 + 10 * 0.1) / 30)


@pytest.mark.parametrize(("line_count", "sizes"), [(12, [12]), (35, [12, 12, 11]), (300, [30] * 10)])
def test_bins_hold_the_same_number_of_lines_and_never_fewer_than_say_something(
    line_count: int, sizes: list[int]
) -> None:
    bins = reliability(list(CHANCE.random(line_count)), [True] * line_count)
    assert [found.line_count for found in bins] == sizes
    assert [found.confidence for found in bins] == sorted(found.confidence for found in bins)


def test_answering_only_the_surest_lines_leaves_fewer_errors() -> None:
    confidences = list(CHANCE.random(400))
    points = abstention(confidences, [(float(not right), 1.0) for right in right_as_often_as(confidences)])
    assert (points[0].answered_share, points[0].confidence) == (1, min(confidences))
    assert points[-1].metric < points[0].metric / 4
    assert [point.answered_share for point in points] == sorted((p.answered_share for p in points), reverse=True)


def test_a_point_is_what_is_left_at_its_confidence_counted_over_all_characters() -> None:
    counts = [(1.0, 2.0)] * 10 + [(0.0, 8.0)] * 10
    points = abstention([0.4] * 10 + [0.8] * 10, counts)
    assert [(p.confidence, p.answered_share, p.metric) for p in points] == [(0.4, 1.0, 0.1), (0.8, 0.5, 0.0)]


def test_the_curve_ends_where_too_few_lines_are_left_to_say_anything() -> None:
    points = abstention(list(np.linspace(0, 1, 12)), [(0.0, 1.0)] * 12)
    assert min(point.answered_share for point in points) == pytest.approx(10 / 12)
