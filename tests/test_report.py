"""What a reader of a report finds on the page, and in the card that travels with the model."""

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from rapidfuzz.distance import Levenshtein
from report_samples import CURVE, EMPTY, bare_page, details, history, model, report, whole_page

from loopline.card import card
from loopline.contracts import Finding, Slice, Verdict
from loopline.details import History, SearchDimension
from loopline.mistakes import LineResult
from loopline.report import HEADINGS, Page, pictures, render

HOSTILE = '"><script>alert(1)</script>'
WHITE = np.full((40, 90), 255, dtype=np.uint8)
COLOURS = {"none", "var(--accent)", "var(--muted)", "var(--rule)", "var(--champion)"}


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
    return LineResult(
        key=key,
        truth=truth,
        text=text,
        confidence=confidence,
        edit_count=Levenshtein.distance(truth, text),
        group="",
        source="inbox",
        pixels=lambda: WHITE,
    )


LINES = (line("12345", "12345"), line("4711", "4911"), line("998877", "99"), line("0815", "08155"))


@pytest.fixture(scope="module")
def whole() -> str:
    return render(whole_page())


def judged(page: Page, **changed: Any) -> Page:
    """The page of another judgement."""
    changed_report = page.report.model_copy(update=changed)
    of_package = {"report": changed_report, "metrics": changed_report.metrics}
    return replace(page, packaged=page.packaged.model_copy(update=of_package))


def words(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page.partition("<body>")[2] or page))).replace(
        "\u202f", " "
    )


def section(page: str, name: str) -> str:
    return page.partition(f'<section id="{name}">')[2].partition("</section>")[0]


def read_rows(page: str, name: str) -> list[str]:
    """The answers of the lines in a section, in order, as plain text."""
    answers = re.findall(r"<dt>read</dt><dd>(.*?)</dd>", section(page, name), re.DOTALL)
    return [re.sub(r"\s*<[^>]*>\s*", "", answer).strip() for answer in answers]


def test_page_asks_nothing_of_the_network(whole: str) -> None:
    assert "http://" not in whole
    assert "https://" not in whole
    outline = Outline(whole)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in outline.tags}
    references = [value for _, found in outline.tags for name, value in found.items() if name in ("src", "xlink:href")]
    assert references
    assert all(value and value.startswith(("data:image/webp;base64,", "#")) for value in references)
    assert not re.findall(r"url\((?!#)", whole)


def test_page_of_300_lines_is_small(whole: str) -> None:
    assert len(whole) < 500_000


def test_every_section_with_data_is_there_in_the_order_of_the_links(whole: str) -> None:
    assert re.findall(r'<section id="(\w+)">', whole) == list(HEADINGS)
    assert re.findall(r'<a href="#(\w+)">', whole) == list(HEADINGS)


def test_sections_without_data_are_left_out() -> None:
    page = render(bare_page())
    Outline(page)
    assert re.findall(r'<section id="(\w+)">', page) == ["figures", "running", "origin"]
    assert "Ready to serve" not in page
    assert "champion" not in words(section(page, "figures"))
    assert "Champion none yet" in words(page)


@pytest.mark.parametrize("field", ["truth", "text", "key", "group", "source", "champion_text"])
def test_hostile_line_is_shown_not_run(field: str) -> None:
    changed: dict[str, Any] = {field: HOSTILE}
    page = render(bare_page(lines=[replace(LINES[1], **changed)]))
    assert "<script" not in page
    assert Outline(page).attributes("script") == []


def test_hostile_names_are_shown_not_run() -> None:
    page = bare_page(
        curve=[{f"{HOSTILE} loss": 1.0}],
        lines=LINES,
        rejected={HOSTILE: 1},
        history=replace_space(history(), HOSTILE),
        verdict=Verdict(findings=(Finding(requirement=HOSTILE, bound=HOSTILE, measured=1, met=True),)),
    )
    changed = {
        "metrics": {"cer": 0.1, HOSTILE: 1.0},
        "slices": (Slice(name=HOSTILE, value=HOSTILE, sample_count=1, metrics={"cer": 0.1}),),
        "model": model(
            device=HOSTILE, recipe={HOSTILE: HOSTILE}, experiment_url="javascript:alert(1)", run=HOSTILE, study=None
        ),
    }
    found = Outline(render(judged(page, **changed)))
    assert found.attributes("script") == []
    assert not [value for _, held in found.tags for value in held.values() if value and value.startswith("javascript")]


def replace_space(found: History, name: str) -> History:
    """A search whose dropout has another name, in which a $ could pass for a formula."""
    space = {name if key == "dropout" else key: dimension for key, dimension in found.space.items()}
    trials = tuple(
        trial.model_copy(update={"values": {name if k == "dropout" else k: v for k, v in trial.values.items()}})
        for trial in found.trials
    )
    return found.model_copy(update={"space": space, "trials": trials})


def test_name_with_a_dollar_is_no_formula() -> None:
    assert "$x$" in render(bare_page(history=replace_space(history(), "$x$")))


def test_outcome_and_what_is_missing_stand_at_the_top(whole: str) -> None:
    top = words(whole.partition("</header>")[0])
    assert "Held back" in top
    assert "1 of 7 requirements is not met." in top
    met = Verdict(findings=tuple(found for found in whole_page().verdict.findings if found.met))
    top = words(render(replace(whole_page(), verdict=met)).partition("</header>")[0])
    assert "Ready to serve" in top
    assert "All 6 requirements are met." in top


def test_requirements_have_units_intervals_and_a_verdict(whole: str) -> None:
    table = words(section(whole, "verdict"))
    assert "Character error rate at most 1 % 0.83 % 0.55 % to 1.16 %: a close call yes" in table
    assert "Beats the baseline required yes yes" in table
    assert "Slowest latency at most 10 ms 11.8 ms no" in table
    assert "Shifted: answer unchanged at least 95 % 98.5 % yes" in table
    assert (
        "Character error rate minus that of champion v1, on the same lines at most 0 "
        "−0.19 points −0.41 points to −0.02 points yes"
    ) in table


def test_headline_figures_have_units_intervals_and_rivals(whole: str) -> None:
    page = words(section(whole, "figures"))
    assert "Character error rate 0.83 %" in page
    assert "0.55 % to 1.16 %" in page
    assert "champion v1 1.02 %" in page
    assert "baseline: nearest digit 62.4 %" in page
    assert "−0.41 points to −0.02 points: better" in page
    assert "−1.10 points to +2.00 points: no clear difference" in page


def test_metric_of_another_problem_is_shown_as_a_number() -> None:
    page = bare_page(curve=[{"val_macro_f1": 0.9}])
    page = judged(page, metrics={"macro_f1": 0.91342}, interval_95={"macro_f1": (0.9, 0.92)}, baseline_metrics={})
    assert "Macro f1 0.9134" in words(render(page))
    assert "0.9 to 0.92" in words(render(page))


def test_many_slices_show_the_worst_and_say_so() -> None:
    writers = tuple(
        Slice(name="writer", value=f"w{number:02}", sample_count=9, metrics={"cer": number / 100})
        for number in range(20)
    )
    page = words(render(judged(bare_page(), slices=writers)))
    assert "the 12 worst of 20" in page
    assert page.index("w19") < page.index("w18")
    assert "w07" not in page


def test_certainty_is_told_in_words(whole: str) -> None:
    page = words(section(whole, "certainty"))
    assert "Expected calibration error: 1.30 %" in page
    assert "Answering only the surest 90 % of lines, those with a confidence of 0.820 or more, leaves 0.45 %" in page
    assert "instead of 0.83 %" in page


def test_behaviours_sets_and_decodings_have_their_rates(whole: str) -> None:
    page = words(whole)
    assert "shifted 200 98.5 % 96.0 % to 100.0 %" in page
    assert "thickened 200 94.0 % +0.31 points" in page
    assert "accents 41 1.90 % 0.70 % to 3.40 % 95.0 %" in page
    assert "beam (used) width 8, weight 0.3 0.79 %" in page
    assert "greedy 0.91 %" in page


def test_latency_is_there_for_each_width(whole: str) -> None:
    page = words(section(whole, "running"))
    assert "256 px 2.4 ms 2.9 ms 3.3 ms" in page
    assert "2,048 px 16.9 ms 18.8 ms 24.2 ms" in page
    assert "Memory at its peak 143 MB" in page


def test_search_tells_its_budget_its_trials_and_its_failures(whole: str) -> None:
    page = words(section(whole, "search"))
    states = [trial.state for trial in history().trials]
    assert f"24 trials, chosen by TPE: {states.count('complete')} complete, 1 failed" in page
    assert "The search ended when all trials were run, after 48 min 51 s of work." in page
    assert "the loss is no number after epoch 2; lower the learning rate 1" in page
    assert "looked in 0.0005 to 0.01 16 to 64 0 to 0.4 plain, shortcut" in page
    best = min((trial for trial in history().trials if trial.objectives), key=lambda trial: trial.objectives or ())
    assert re.search(rf"Time {best.number} {100 * (best.objectives or (0,))[0]:.2f} %", page)


def test_search_is_drawn_by_its_progress_its_courses_and_what_mattered(whole: str) -> None:
    titles = re.findall(r"<figcaption><b>(.*?)</b>", section(whole, "search"))
    assert titles == ["How the search went", "How the trials learnt", "What mattered in the recipe"]


def test_search_for_two_objectives_shows_the_pareto_front() -> None:
    page = section(render(bare_page(history=history(latency=True))), "search")
    assert "Pareto front" in page
    assert "on the front" in page
    assert "Latency" in words(page)


@pytest.mark.parametrize("trials", [0, 1, 3])
def test_search_of_few_trials_shows_what_it_can(trials: int) -> None:
    page = render(bare_page(history=history(trials=trials)))
    assert "What mattered" not in page
    assert f"{trials} trials" in words(section(page, "search"))


def test_search_in_which_all_trials_were_alike_has_no_importance() -> None:
    found = history()
    alike = tuple(trial.model_copy(update={"objectives": trial.objectives and (0.5,)}) for trial in found.trials)
    page = render(bare_page(history=found.model_copy(update={"trials": alike})))
    assert "How the search went" in page
    assert "What mattered" not in page


def test_search_in_which_every_trial_failed_says_why() -> None:
    failed = {"state": "failed", "objectives": None, "epochs": {}, "error": "out of memory"}
    found = history()
    trials = tuple(trial.model_copy(update=failed) for trial in found.trials)
    space = {**found.space, "width": SearchDimension(low=1, high=2)}
    page = words(render(bare_page(history=found.model_copy(update={"trials": trials, "space": space}))))
    assert "24 failed" in page
    assert "out of memory 24" in page


def test_worst_line_comes_first() -> None:
    assert read_rows(render(bare_page(lines=LINES)), "worst")[0] == "99"


def test_surest_mistake_comes_first() -> None:
    sure = line("77", "71", confidence=0.999)
    assert read_rows(render(bare_page(lines=[*LINES, sure])), "surest")[0] == "71"


def test_differing_characters_are_marked_on_both_sides() -> None:
    page = render(bare_page(lines=[LINES[1]]))
    assert '4<mark class="due">7</mark>11' in page
    assert '4<mark class="off">9</mark>11' in page


def test_what_the_champion_read_stands_beside_a_mistake() -> None:
    page = words(section(render(bare_page(lines=[replace(LINES[1], champion_text="4771")])), "worst"))
    assert "champion 4771" in page


def test_lost_and_invented_characters_count_as_confused_with_nothing() -> None:
    page = words(section(render(bare_page(lines=LINES)), "confusions"))
    assert "8 nothing 2 66.7 %" in page
    assert "nothing 5 1" in page
    assert "7 9 1 " in page


def test_answer_of_nothing_is_said_to_be_nothing() -> None:
    assert "read nothing" in words(render(bare_page(lines=[line("12", "")])))


def test_model_without_mistakes_has_no_list_of_them() -> None:
    page = render(bare_page(lines=[LINES[0]]))
    assert "every line is read without a mistake" in page
    assert 'id="surest"' not in page
    assert 'id="confusions"' not in page


def test_every_image_has_its_size_and_an_alternative_text() -> None:
    images = Outline(render(bare_page(lines=LINES))).attributes("img")
    assert len(images) == 1 + 3 + 3
    assert all(image["alt"] and (image["width"], image["height"]) == ("90", "40") for image in images)


def test_rejected_data_is_counted_by_reason() -> None:
    page = words(render(bare_page(rejected={"image is truncated": 2, "label is empty": 31})))
    assert "label is empty 31 image is truncated 2 33 in all" in page


def test_lineage_names_what_the_model_comes_from(whole: str) -> None:
    page = words(section(whole, "origin"))
    for fact in ("dataset/handwriting/v3", "1,500 train, 300 val, 300 test", "beam (width 8, weight 0.3)", "c0ffee"):
        assert fact in page
    assert whole_page().packaged.archive.sha256 in page
    assert "Training 1 min 23 s" in page
    assert "Cost, in your currency 1.27" in page


def test_drawings_take_on_the_colours_of_the_page(whole: str) -> None:
    for page in (whole, render(bare_page(history=history(latency=True)))):
        drawings = "".join(re.findall(r'<svg [^>]*height="[\d.]+pt".*?</svg>', page, re.DOTALL))
        assert drawings.count("</svg>") == page.count("<figcaption>")
        assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", drawings)) <= COLOURS


def test_ids_within_the_drawings_are_each_used_once(whole: str) -> None:
    ids = re.findall(r' id="([^"]+)"', whole)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', whole)) <= set(ids)


def test_best_epoch_is_told() -> None:
    page = words(section(render(bare_page(curve=[*CURVE, {"epoch": 3.0, "val_cer": 0.02}])), "learning"))
    assert "validation 50.0 % → 2.00 %, best in epoch 2 (ring): 1.00 %" in page
    assert "1 min 23 s" in page


def test_same_facts_give_the_same_page(whole: str) -> None:
    assert render(whole_page()) == whole


def test_pictures_stand_alone() -> None:
    found = pictures(whole_page())
    assert list(found) == ["curve", "reliability", "tuning"]
    for drawing in found.values():
        assert drawing.picture.startswith("<?xml")
        assert "var(" not in drawing.picture
        assert drawing.title
        assert drawing.caption


def test_pictures_without_data_are_left_out() -> None:
    assert list(pictures(bare_page(curve=CURVE))) == ["curve"]


def test_card_tells_what_was_measured() -> None:
    text = card(report(), details()).replace("\u202f", " ")
    assert "| Character error rate | 0.83 % | 0.55 % to 1.16 % | 62.4 % |" in text
    assert "−0.41 points to −0.02 points: better" in text
    assert "| thickened | 200 | 94.0 % | +0.31 points |" in text
    assert "| 90 % | 0.820 | 0.45 % |" in text
    assert "It spells 10 characters and no others: ` 0123456789 `" in text


def test_card_leaves_out_what_was_not_measured() -> None:
    text = card(bare_page().report, EMPTY)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["How good it is", "What it is for", "How it was made"]


def test_card_is_the_same_wherever_and_whenever_the_model_was_made() -> None:
    elsewhere = model(device="cuda", train_seconds=9.0, cost=99.0, run="runs/x", experiment_url="https://example.org")
    assert card(report(model=elsewhere), details()) == card(report(), details())


def test_bar_in_a_name_does_not_end_a_cell_of_the_card() -> None:
    found = report(slices=(Slice(name="source", value="a|b\nc", sample_count=9, metrics={"cer": 0.1}),))
    assert r"| source a\|b c | 9 |" in card(found, EMPTY)
