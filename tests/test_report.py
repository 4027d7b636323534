import dataclasses
import html
import io
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from PIL import Image
from rapidfuzz.distance import Levenshtein

from loopline.contracts import Slice
from loopline.report import Findings, LineResult, render

CURVE = [{"epoch": 1.0, "train_loss": 4.0, "val_cer": 0.5}, {"epoch": 2.0, "train_loss": 0.1, "val_cer": 0.01}]
FINDINGS = Findings(
    title="handwriting v2",
    problem="handwriting",
    dataset_name="dataset/handwriting/v3",
    recipe={"epochs": 2, "learning_rate": 0.002},
    seed=1,
    epochs=2,
    device="cpu",
    train_seconds=83.4,
    sample_count=300,
    metrics={"cer": 0.0083, "line_accuracy": 0.952},
    interval_95={"cer": (0.0055, 0.0116), "line_accuracy": (0.927, 0.973)},
    baseline_metrics={"cer": 0.624, "line_accuracy": 0.003},
    baseline_name="nearest digit",
    champion_version="v1",
    champion_metrics={"cer": 0.0102, "line_accuracy": 0.947},
    difference_95={"cer": (-0.0041, -0.0002), "line_accuracy": (-0.011, 0.02)},
    slices=(Slice(name="length", value="4", sample_count=62, metrics={"cer": 0.004}),),
    val_metrics={"cer": 0.0079},
)
FIRST_MODEL = dataclasses.replace(FINDINGS, champion_version=None, champion_metrics=None, difference_95=None)
HOSTILE = '"><script>alert(1)</script>'


class Outline(HTMLParser):
    """What a browser would see: every tag with its attributes, and whether all of them close in order."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def line(truth: str, text: str, *, confidence: float = 0.9, key: str = "inbox/1.png") -> LineResult:
    png = io.BytesIO()
    Image.new("L", (90, 40), 255).save(png, "PNG")
    return LineResult(
        key=key,
        truth=truth,
        text=text,
        confidence=confidence,
        edit_count=Levenshtein.distance(truth, text),
        group="",
        source="inbox",
        image_png=png.getvalue(),
    )


LINES = [line("12345", "12345"), line("4711", "4911"), line("998877", "99"), line("0815", "08155")]


def words(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page.partition("<body>")[2] or page))).replace(
        "\u202f", " "
    )


def section(page: str, heading: str) -> str:
    return page.partition(f"<h2>{heading}</h2>")[2].partition("<h2>")[0]


def read_rows(page: str, heading: str) -> list[str]:
    """The answers of the lines under a heading, in order, as plain text."""
    answers = re.findall(r"<dt>read</dt><dd>(.*?)</dd>", section(page, heading), re.DOTALL)
    return [re.sub(r"\s*<[^>]*>\s*", "", answer).strip() for answer in answers]


def test_page_asks_nothing_of_the_network() -> None:
    page = render(FINDINGS, curve=CURVE, lines=LINES, rejected={"label is empty": 3})
    assert "http://" not in page
    assert "https://" not in page
    outline = Outline(page)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in outline.tags}
    references = [value for _, found in outline.tags for name, value in found.items() if name in ("src", "xlink:href")]
    assert references
    assert all(value and value.startswith(("data:image/png;base64,", "#")) for value in references)
    assert not re.findall(r"url\((?!#)", page)


@pytest.mark.parametrize("field", ["truth", "text", "key", "group", "source"])
def test_hostile_line_is_shown_not_run(field: str) -> None:
    changed: dict[str, Any] = {field: HOSTILE}
    hostile = dataclasses.replace(LINES[1], **changed)
    page = render(FINDINGS, curve=CURVE, lines=[hostile], rejected={})
    assert "<script" not in page
    assert Outline(page).attributes("script") == []


def test_hostile_names_are_shown_not_run() -> None:
    hostile = dataclasses.replace(
        FINDINGS,
        title=HOSTILE,
        device=HOSTILE,
        recipe={HOSTILE: HOSTILE},
        metrics={HOSTILE: 1.0},
        slices=(Slice(name=HOSTILE, value=HOSTILE, sample_count=1, metrics={"cer": 0.1}),),
    )
    page = render(hostile, curve=[{f"{HOSTILE} loss": 1.0}], lines=LINES, rejected={HOSTILE: 1})
    assert Outline(page).attributes("script") == []


def test_worst_line_comes_first() -> None:
    page = render(FINDINGS, curve=CURVE, lines=LINES, rejected={})
    assert read_rows(page, "Its worst lines")[0] == "99"


def test_surest_mistake_comes_first() -> None:
    sure = line("77", "71", confidence=0.999)
    page = render(FINDINGS, curve=CURVE, lines=[*LINES, sure], rejected={})
    assert read_rows(page, "Sure, and wrong")[0] == "71"


def test_differing_characters_are_marked_on_both_sides() -> None:
    page = render(FINDINGS, curve=CURVE, lines=[LINES[1]], rejected={})
    assert '4<mark class="due">7</mark>11' in page
    assert '4<mark class="off">9</mark>11' in page


def test_lost_and_invented_characters_count_as_confused_with_nothing() -> None:
    page = words(section(render(FINDINGS, curve=CURVE, lines=LINES, rejected={}), "What it confuses"))
    assert "8 nothing 2 66.7 %" in page
    assert "nothing 5 1" in page
    assert "7 9 1 " in page


def test_answer_of_nothing_is_said_to_be_nothing() -> None:
    page = render(FINDINGS, curve=CURVE, lines=[line("12", "")], rejected={})
    assert "read nothing" in words(page)


def test_headline_figures_have_units_intervals_and_rivals() -> None:
    page = words(render(FINDINGS, curve=CURVE, lines=LINES, rejected={}))
    assert "Character error rate 0.83 %" in page
    assert "0.55 % to 1.16 %" in page
    assert "champion v1 1.02 %" in page
    assert "baseline: nearest digit 62.4 %" in page
    assert "−0.41 points to −0.02 points: better" in page
    assert "−1.10 points to +2.00 points: no clear difference" in page
    assert "1 min 23 s" in page


def test_rejected_data_is_counted_by_reason() -> None:
    page = words(render(FINDINGS, curve=CURVE, lines=LINES, rejected={"image is truncated": 2, "label is empty": 31}))
    assert "label is empty 31 image is truncated 2 33 in all" in page


def test_model_without_mistakes_champion_or_slices_has_a_page() -> None:
    perfect = dataclasses.replace(FIRST_MODEL, slices=(), val_metrics={}, recipe={}, interval_95={})
    page = render(perfect, curve=CURVE[:1], lines=[LINES[0]], rejected={})
    Outline(page)
    assert "every line is read without a mistake" in page
    assert "champion v" not in words(page)
    assert "none yet" in page


def test_model_that_was_never_measured_line_by_line_has_a_page() -> None:
    page = render(FIRST_MODEL, curve=[], lines=[], rejected={})
    Outline(page)
    assert "How it learnt" not in page


def test_metric_of_another_problem_is_shown_as_a_number() -> None:
    other = dataclasses.replace(FIRST_MODEL, metrics={"macro_f1": 0.91342}, interval_95={"macro_f1": (0.9, 0.92)})
    page = words(render(other, curve=[{"val_macro_f1": 0.9}], lines=LINES, rejected={}))
    assert "Macro f1 0.9134" in page
    assert "0.9 to 0.92" in page


def test_every_image_has_its_size_and_an_alternative_text() -> None:
    images = Outline(render(FINDINGS, curve=CURVE, lines=LINES, rejected={})).attributes("img")
    assert len(images) == 1 + 3 + 3
    assert all(image["alt"] and (image["width"], image["height"]) == ("90", "40") for image in images)


def test_curves_take_on_the_colours_of_the_page() -> None:
    page = section(render(FINDINGS, curve=CURVE, lines=LINES, rejected={}), "How it learnt")
    assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", page)) <= {
        "none",
        "var(--accent)",
        "var(--muted)",
        "var(--rule)",
    }
    assert "validation 50 % → 1 %" in words(page)


def test_many_slices_show_the_worst_and_say_so() -> None:
    writers = tuple(
        Slice(name="writer", value=f"w{number:02}", sample_count=9, metrics={"cer": number / 100})
        for number in range(20)
    )
    page = words(render(dataclasses.replace(FINDINGS, slices=writers), curve=CURVE, lines=LINES, rejected={}))
    assert "the 12 worst of 20" in page
    assert page.index("w19") < page.index("w18")
    assert "w07" not in page


def test_same_facts_give_the_same_page() -> None:
    assert render(FINDINGS, curve=CURVE, lines=LINES, rejected={}) == render(
        FINDINGS, curve=CURVE, lines=LINES, rejected={}
    )
