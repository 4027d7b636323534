"""How far people agree: the figures are those that one gets by hand, and those that were published."""

import random
from collections import Counter

import pytest

from loopline.agreement import MOST_OPINIONS, agreement

# His worked example with four observers, a value of each a letter, the missing left out ("Computing Krippendorff's
# Alpha-Reliability"): nominal data, as the distance of two different single characters is 1.
KRIPPENDORFF_2011 = ["111", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "555", "11", "3"]


def test_agreement_counts_all_edits_over_all_characters_of_the_pairs() -> None:
    found = agreement([["a", "b"], ["abcdefghi", "abcdefghi"], ["alone"]])
    assert found is not None
    assert (found.image_count, found.exact_share) == (2, 0.5)
    assert found.cer == pytest.approx(1 / 10)


def test_krippendorffs_alpha_is_what_it_is_by_hand() -> None:
    # observed: (0 + 2 * 1/4 + 4 * 1/4 / 2) / 7; expected: 2 * (3/4 + 6 + 3 + 2 + 1 + 2/4) / (7 * 6)
    found = agreement([["abcd", "abcd"], ["abcd", "abxd"], ["wxyz", "wxyz", "wxyw"]])
    assert found is not None
    assert found.alpha == pytest.approx(1 - (1 / 7) / (26.5 / 42))


def test_krippendorffs_alpha_is_the_published_one_for_his_nominal_data() -> None:
    found = agreement([list(values) for values in KRIPPENDORFF_2011])
    assert found is not None
    assert found.alpha == pytest.approx(0.743, abs=5e-4)


def test_alpha_says_nothing_where_there_is_but_one_text() -> None:
    found = agreement([["one", "one"], ["one", "one"]])
    assert found is not None
    assert (found.exact_share, found.cer, found.alpha) == (1, 0, None)


def test_a_sample_of_many_opinions_tells_nearly_the_same_alpha() -> None:
    draw = random.Random(0)
    firsts = draw.choices("abcdefgh", weights=range(1, 9), k=2 * MOST_OPINIONS)
    images = [[first, first if draw.random() < 0.8 else draw.choice("abcdefgh")] for first in firsts]
    counts, total = Counter(text for pair in images for text in pair), 2 * len(images)
    chance = 1 - sum(count * (count - 1) for count in counts.values()) / (total * (total - 1))
    found = agreement(images)
    assert found is not None
    assert found.alpha == pytest.approx(1 - (1 - found.exact_share) / chance, abs=0.01)
