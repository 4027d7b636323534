"""What people find on the page about their labels, and what a browser makes of it."""

import html
import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from label_samples import BEGINNING, PEOPLE, line, name, odd, opinion, review, suspect, whole_review
from PIL import Image
from playwright.sync_api import Browser
from windows import DESK, PHONE, opened

from loopline.errors import DataError
from loopline.label_page import HEADINGS, render, summary

HOSTILE = '"><script>alert(1)</script><img src=http://example.com/x>'
LONG = "x" * 100_000


@pytest.fixture(scope="module")
def whole() -> str:
    return render(whole_review())


@pytest.fixture(scope="module")
def file(whole: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "page.html"
    path.write_text(whole)
    return path


class Tags(HTMLParser):
    """Every tag that a browser would see, with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.found if found == tag]


def words(page: str) -> str:
    text = html.unescape(re.sub(r"<[^>]*>", " ", page.partition("<body>")[2] or page))
    return re.sub(r"\s+", " ", text).replace("\u202f", " ")


def section(page: str, title: str) -> str:
    return page.partition(f'<section id="{title}">')[2].partition("</section>")[0]


def shown(page: str, title: str) -> str:
    return words(section(page, title))


def test_every_section_with_data_is_there_in_the_order_of_the_links(whole: str) -> None:
    assert re.findall(r'<section id="(\w+)">', whole) == list(HEADINGS)
    assert re.findall(r'<a href="#(\w+)">', whole) == list(HEADINGS)


def test_the_same_facts_give_the_same_page(whole: str) -> None:
    assert render(whole_review()) == whole


def test_the_whole_page_is_small(whole: str) -> None:
    assert len(whole) < 300_000


def test_the_headline_counts_every_image_once(whole: str) -> None:
    found = whole_review()
    label_count, conflict_count = found.counts.label_count, len(found.conflicts)
    assert label_count + conflict_count + found.open_count + 9 == 400
    page = shown(whole, "progress")
    assert f"labelled {label_count} people disagree {conflict_count} set aside 9 open {found.open_count}" in page
    assert f"Want another opinion {conflict_count + 3} people disagree on {conflict_count}, a model doubts 3" in page
    assert "2 drafts and 5 skips" in page
    assert "4 more can't be read" in page


def test_without_labels_the_page_says_so_and_shows_nothing_else() -> None:
    page = render(review())
    assert "No image has a label yet; 400 wait for one." in words(page)
    assert re.findall(r'<section id="(\w+)">', page) == ["progress"]


def test_a_project_without_images_has_a_page() -> None:
    assert "no images yet" in words(render(review(counts={"image_count": 0})))


def test_labels_of_the_file_beside_the_images_are_told_apart() -> None:
    page = words(render(review((opinion(1, "one"),), counts={"label_count": 8, "beside_count": 7})))
    assert "8 of 400 images have a label to learn from, by one person. 7 of the labels stand in the file" in page


def test_agreement_is_told_in_sentences(whole: str) -> None:
    page = shown(whole, "agreement")
    assert "79.2 % of the 48 lines that two people or more have read, all of them wrote exactly the same" in page
    assert "3.56 % of the characters differ between what two people wrote for one line" in page
    assert "0.96 Krippendorff's alpha: 1 is full agreement" in page


def test_lines_that_nobody_shared_say_nothing_of_agreement() -> None:
    assert "No line was read by two people yet" in shown(render(review((opinion(1, "one"),))), "agreement")


def test_one_text_that_all_wrote_has_no_alpha() -> None:
    page = shown(render(review((opinion(1, "one"), opinion(1, "one", who="Ben")))), "agreement")
    assert "– Krippendorff's alpha can't be told while all lines have the same text" in page


def test_annotators_have_time_cost_and_agreement_who_read_most_first(whole: str) -> None:
    page = shown(whole, "people")
    assert "ada@example.com 133 15 6.3 s 6.31 37 78.4 % 0 1.00" in page
    assert [page.index(who) for who in PEOPLE] == sorted(page.index(who) for who in PEOPLE)


def test_time_and_cost_are_told_per_line_and_for_what_is_left() -> None:
    said = (opinion(1, "one", seconds=9.0), opinion(2, "two", seconds=11.0), opinion(3, "three", seconds=3600.0))
    page = shown(render(review(said, price_per_hour=30)), "effort")
    assert "A line takes 11.0 s" in page
    assert "In all so far 60 min for 3 of 3 readings" in page
    assert "A label costs 10.06 in your currency, at 30.00 an hour; 30.17 in all" in page
    assert "Still to do 73 min 397 open lines at 11.0 s each; 36.39 in your currency" in page


def test_without_a_price_nothing_costs_anything_and_without_times_nothing_took_any() -> None:
    page = render(review((opinion(1, "one"),)))
    assert "A line takes 8.0 s" in words(page)
    assert "ost" not in shown(page, "people") + shown(page, "effort").replace("most", "")
    untimed = render(review((opinion(1, "one", seconds=None),)))
    assert 'id="effort"' not in untimed
    assert "Minutes" not in shown(untimed, "people")


@pytest.mark.parametrize(
    ("hours", "title", "busiest"),
    [
        ((0, 1, 1, 5), "Readings an hour", "2 of them in the busiest hour (2 Mar, 09:00)"),
        ((0, 1, 1, 100), "Readings a day", "3 of them in the busiest day (2 Mar)"),
        ((0, 1, 1, 10_000), "Readings a week", "3 of them in the busiest week (2 Mar 2026)"),
        ((0,), "Readings an hour", "1 reading, 1 of them in the busiest hour (2 Mar, 08:00)"),
    ],
)
def test_progress_is_drawn_by_the_hour_day_or_week(hours: tuple[int, ...], title: str, busiest: str) -> None:
    said = tuple(opinion(n, f"{n}", updated_at=BEGINNING + timedelta(hours=hour)) for n, hour in enumerate(hours))
    page = shown(render(review(said)), "pace")
    assert title in page
    assert busiest in page


def test_the_pace_tells_when_the_open_lines_are_done(whole: str) -> None:
    told = (
        "12 new lines a day on the last 7 days on which someone labelled; at that pace the 151 open ones take 13 more"
    )
    assert told in shown(whole, "pace")


def test_a_conflict_shows_its_image_who_said_what_and_where_they_differ() -> None:
    page = section(render(review((opinion(3, "4711"), opinion(3, "4911", who="Ben")))), "conflicts")
    assert "ada@example.com 4711 Ben 4 9 11 task 1003 · images/00003.png" in words(page)
    assert '4<mark class="off">9</mark>11' in page
    assert len(Tags(page).attributes("img")) == 1
    (link,) = Tags(page).attributes("a")
    assert link["href"] == "http://127.0.0.1:8080/projects/3/data?task=1003"


def test_people_who_agree_share_a_line_of_a_conflict() -> None:
    said = (opinion(3, "4711", who="Coy"), *(opinion(3, "4911", who=who) for who in ("Ann", "Ben")))
    found = review(said)
    both = replace(found.consensus.images[name(3)], conflict=True)
    page = shown(render(replace(found, conflicts=[replace(review_conflict(), settled=both)])), "conflicts")
    assert "Ann, Ben 4911 Coy 4 7 11" in page


def review_conflict() -> Any:
    (found,) = review((opinion(3, "one"), opinion(3, "two", who="Ben"))).conflicts
    return found


def test_a_suspect_shows_label_and_what_the_model_reads() -> None:
    page = section(render(review(suspects=[suspect(5, "4711", read="4911")])), "suspects")
    assert f"{PEOPLE[2]} 4711 the model 4 9 11 task 1005" in words(page)


def test_odd_labels_show_one_of_each_kind_first_and_count_the_rest(whole: str) -> None:
    page = shown(whole, "odd")
    assert "unknown character 24 invisible character 1 too long for its image 1" in page
    first = page.index("U+200B"), page.index("length 43"), page.index("l U+006C"), page.index("O U+004F")
    assert list(first) == sorted(first)
    assert "14 more are not shown." in page


def test_what_was_set_aside_is_counted_by_reason(whole: str) -> None:
    page = shown(whole, "aside")
    assert "judged unreadable 6 no such image in the source 4 no text 2 N texts for one line 1" in page


def test_an_image_that_cannot_be_shown_says_why() -> None:
    def lost(image: str) -> Image.Image:
        raise DataError(f"blobs/{image[-2:]} is not there")

    page = render(review(odd=[odd(7, "one", "empty label")], read_image=lost))
    assert "Its image can't be shown: blobs/07 is not there" in words(page)
    assert not Tags(page).attributes("img")


def test_a_line_without_a_task_has_no_link() -> None:
    page = section(render(review(odd=[odd(7, "one", "odd", line=replace(line(name(7)), task=None))])), "odd")
    assert "task" not in words(page)
    assert not Tags(page).attributes("a")


def test_an_address_that_is_no_page_is_not_linked() -> None:
    page = render(review((opinion(3, "1"), opinion(3, "2", who="Ben")), project_url="javascript:alert(1)//"))
    assert "javascript" not in page


def test_hostile_names_and_texts_are_shown_not_run() -> None:
    said = (opinion(3, HOSTILE, who=HOSTILE), opinion(3, "x", who=f"{HOSTILE}2"), opinion(4, HOSTILE))
    place = replace(line(name(7)), key=HOSTILE)
    page = render(
        review(
            said,
            project=HOSTILE,
            problem=HOSTILE,
            odd=[odd(7, HOSTILE, HOSTILE, line=place)],
            suspects=[suspect(8, HOSTILE, read=HOSTILE + "!")],
            aside={HOSTILE: 1},
        )
    )
    assert not Tags(page).attributes("script")
    assert all((image["src"] or "").startswith("data:image/webp;base64,") for image in Tags(page).attributes("img"))
    assert HOSTILE in words_of(page)


def words_of(page: str) -> str:
    return html.unescape(section(page, "people"))


def test_a_label_of_100_kb_is_cut_and_told_by_its_length() -> None:
    page = render(review((opinion(3, LONG), opinion(3, LONG + "y", who="Ben")), odd=[odd(4, LONG, f"odd: {LONG}")]))
    assert len(page) < 100_000
    conflict = shown(page, "conflicts")
    assert "ada@example.com (100,000 characters)" in conflict
    assert "…" + "x" * 40 + " y " in conflict


def test_writing_from_right_to_left_and_emoji_stay_as_they_are() -> None:
    said = (opinion(3, "שלום 🙂", who="דוד"), opinion(3, "שלום 👩‍👩‍👧", who="نور"), opinion(4, "مرحبا"))
    page = render(review(said, odd=[odd(4, "مرحبا", "unknown character: م U+0645")]))
    conflict = section(page, "conflicts")
    assert "<bdi>דוד</bdi>" in conflict
    assert "🙂" in words(conflict)
    assert '<span class="reading" dir="auto">مرحبا</span>' in page


def test_the_summary_for_the_flow_run_has_a_row_for_each_annotator() -> None:
    told = summary(whole_review()).replace("\u202f", " ")
    assert "**Labelled** 230 (58 % of 400 images)" in told
    assert "| ada@example.com | 133 | 6.3 s | 15 | 78.4 % | 0 | 1.00 |" in told


def test_a_name_means_itself_in_the_summary() -> None:
    told = summary(review((opinion(1, "one", who="a|b\n<b>[x](http://example.com)"),)))
    assert r"| a\|b \<b\>\[x\]\(http://example.com\) | 1 |" in told


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_asked_of_the_network_and_every_image_is_seen(browser: Browser, file: Path, scheme: str) -> None:
    page, heard = opened(browser, file, viewport=DESK, color_scheme=scheme)
    assert heard == []
    assert page.locator("h2").all_inner_texts() == list(HEADINGS.values())
    assert page.evaluate("document.images.length") == 10 + 3 + 12
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_a_phone_need_not_scroll_sideways(browser: Browser, file: Path) -> None:
    page, _ = opened(browser, file, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_long_words_do_not_widen_a_phone(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    said = (opinion(3, LONG, who="n" * 300), opinion(3, "y" * 500, who="Ben"))
    found = review(said, project="p" * 300, odd=[odd(4, LONG, f"odd: {LONG}")], aside={"r" * 300: 1})
    path.write_text(render(found))
    page, heard = opened(browser, path, viewport=PHONE)
    assert heard == []
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
