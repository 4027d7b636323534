"""What people are asked to look at in a label, and what no label may hold."""

import pytest

from loopline.labels import count_reasons
from loopline.problems import load_problem
from loopline.problems.handwriting.samples import draw_lines

PROBLEM = load_problem("handwriting")
LETTERS = "abcdefghijklmnopqrstuvwxyz "
INVISIBLE = {
    "zero-width space": "\u200b",
    "byte order mark": "\ufeff",
    "left-to-right mark": "\u200e",
    "soft hyphen": "\u00ad",
    "word joiner": "\u2060",
    "emoji variation selector": "\ufe0f",
    "ideographic variation selector": "\U000e0100",
    "tag": "\U000e0067",
    "Hangul filler": "\u3164",
    "empty Braille": "\u2800",
    **{f"bidirectional {code:04X}": chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}


def found(label: str, *, width_px: int | None = None, alphabet: str = "") -> list[str]:
    """What is found on an image of a plausible width, unless a width is given; other letters are known."""
    return PROBLEM.lint(label, width_px or 16 * max(len(label), 1), 48, alphabet=LETTERS + alphabet)


def test_a_plain_label_has_nothing_to_look_at() -> None:
    assert found("the engine turns") == []


def test_no_sample_line_has_anything_to_look_at() -> None:
    for line in draw_lines(seed=3, counts={"train": 60, "validation": 20, "test": 20}):
        height_px, width_px = line.pixels.shape
        assert PROBLEM.lint(line.text, width_px, height_px, alphabet="0123456789") == []


def test_an_empty_label_is_that_and_nothing_else() -> None:
    assert found("") == ["empty label"]


def test_letters_that_no_other_label_has_are_named() -> None:
    assert found("groß") == ["unknown character: ß U+00DF"]
    assert found("q\u0301") == ["unknown character: ◌\u0301 U+0301"]


def test_a_look_alike_from_another_script_is_shown_with_its_word() -> None:
    assert found("by p\u0430ypal now", alphabet="\u0430") == [
        "two scripts in one word: p\u0430ypal (Cyrillic \u0430, Latin pypal)"
    ]
    assert found("c\u03bfde", alphabet="\u03bf") == ["two scripts in one word: c\u03bfde (Greek \u03bf, Latin cde)"]


def test_words_of_different_scripts_and_greek_signs_in_units_are_no_slips() -> None:
    assert found("kΩ and μm мир мир π", alphabet="Ωμмирπ") == []


@pytest.mark.parametrize("character", INVISIBLE.values(), ids=INVISIBLE)
def test_what_nobody_can_see_is_named_and_is_not_learnt_from(character: str) -> None:
    label = PROBLEM.normalise_label(f"en{character}gine")
    reason = PROBLEM.reject(label, 112, 48)
    assert reason is not None
    assert reason.startswith(f"invisible character: U+{ord(character):04X}")
    assert found(label) == [reason]


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("a\x07b\x00", "control character: U+0007, U+0000"),
        ("a\ud800", "half a character: U+D800"),
        ("a\ufffdb", "lost character: U+FFFD REPLACEMENT CHARACTER"),
        ("👩\u200d🌾 wheat", "invisible character: U+200D ZERO WIDTH JOINER"),
    ],
    ids=ascii,
)
def test_what_no_pen_writes_is_not_learnt_from(label: str, reason: str) -> None:
    assert PROBLEM.reject(label, 320, 48) == reason
    assert reason in found(label)


def test_what_may_be_ink_is_only_looked_at() -> None:
    label = "p\uf1a6 \U0001ffff"
    assert PROBLEM.reject(label, 80, 48) is None
    assert found(label) == ["private character: U+F1A6", "unassigned character: U+1FFFF"]


@pytest.mark.parametrize(
    "label", ["می\u200cخواهم", "هِ\u200c", "क्\u200dष", "র\u200d্য", "\u0600١٢٣"], ids=["fa", "ar", "hi", "bn", "sign"]
)
def test_joiners_and_signs_of_scripts_that_are_written_with_them_are_usable(label: str) -> None:
    assert PROBLEM.reject(label, 200, 48) is None
    assert found(label, alphabet=label) == []


@pytest.mark.parametrize("label", ["שָׁלוֹם עולם", "السَّلامُ عَلَيْكُم", "nguyễn", "漢字とかな", "❤ 🏽"], ids=ascii)
def test_any_script_is_a_plain_label_where_it_is_known(label: str) -> None:
    assert PROBLEM.reject(label, 200, 48) is None
    assert found(label, width_px=160, alphabet=label) == []


def test_a_label_that_was_not_composed_is_looked_at() -> None:
    assert found("e\u0301te", alphabet="\u0301") == ["not in NFC"]


def test_a_text_that_does_not_fill_its_image_is_looked_at_whatever_the_scale() -> None:
    for scale in (1, 3):
        assert PROBLEM.lint("ditto", 900 * scale, 48 * scale, alphabet=LETTERS) == [
            f"too short for its image: length 5, {900 * scale}x{48 * scale} px"
        ]


def test_a_text_that_its_image_can_hardly_hold_is_looked_at() -> None:
    assert found("the engine turns", width_px=110) == ["too long for its image: length 16, 110x48 px"]


def test_a_text_that_cannot_be_spelt_is_looked_at() -> None:
    assert "14 frames can't spell 16 characters" in found("the engine turns", width_px=80)


def test_findings_can_be_counted_by_reason() -> None:
    findings = [*found("groß"), *found("straßen"), *found("a\u200bb"), *found("a", width_px=500)]
    assert count_reasons({"rejected": finding} for finding in findings) == {
        "unknown character": 2,
        "invisible character": 1,
        "too short for its image": 1,
    }


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "label",
    [
        "a" * 100_000,
        "".join(map(chr, range(1, 100_000))),
        "a" + "\u0301\u0323" * 50_000,
        "\u200d" * 100_000,
        "ж" * 50_000 + "a" * 50_000,
        "pаypal ж" * 12_500,
    ],
    ids=["one letter", "every character", "marks", "joiners", "two scripts", "words"],
)
def test_a_text_of_100_kb_is_answered_in_few_words(label: str) -> None:
    findings = found(label, width_px=1000)
    assert findings
    assert max(map(len, findings)) < 300
