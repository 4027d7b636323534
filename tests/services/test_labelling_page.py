"""An annotator at work: signed in to the real Label Studio in a real browser."""

from collections.abc import Iterator

import packages
import pytest
from faults import faulty
from playwright.sync_api import Browser, Page, expect
from projects import PROBLEM, Bench

from loopline.guessing import Guesser
from loopline.laptop_addresses import LaptopAddresses
from loopline.serving import Predictor
from loopline.settings import Settings

SHOWN = "[...document.images].some(image => image.src.startsWith('blob:') && image.naturalWidth == 160)"


@pytest.fixture
def bench(label_studio: Settings) -> Bench:
    found = Bench(label_studio)
    predictor = Predictor.open(packages.package())
    found.offer("a", "b", guesser=Guesser(found.store, PROBLEM, version="v1.0.0", predictor=predictor))
    return found


@pytest.fixture
def page(browser: Browser, bench: Bench) -> Iterator[Page]:
    laptop = LaptopAddresses.read(bench.settings.folder)
    found = browser.new_page(viewport={"width": 1300, "height": 850})
    found.goto(f"{laptop.label_studio_url}/user/login/")
    found.fill("input[name=email]", laptop.label_studio_user)
    found.fill("input[name=password]", laptop.label_studio_password.get_secret_value())
    found.click("button[type=submit]")
    found.wait_for_url(lambda url: "login" not in url)
    yield found
    found.close()


def open_task(page: Page, bench: Bench, name: str) -> None:
    page.goto(f"{bench.access.url}/projects/{bench.project.id}/data?task={bench.tasks()[name]}")


def submit(page: Page, button: str = "Submit") -> None:
    with page.expect_response(lambda answer: answer.request.method == "POST" and "/annotations" in answer.url) as saved:
        page.get_by_role("button", name=button).click()
    assert saved.value.status == 201


def test_the_image_is_seen_the_guess_is_filled_in_and_submit_stores_it(bench: Bench, page: Page) -> None:
    task = bench.tasks()["a"]
    (guess,) = bench.sdk.tasks.get(id=str(task)).dict()["predictions"]
    text = guess["result"][0]["value"]["text"][0]
    open_task(page, bench, "a")
    expect(page.get_by_text(text, exact=True).first).to_be_visible(timeout=30_000)
    page.wait_for_function(SHOWN)
    submit(page)
    assert bench.told() == {"a": text}


def test_a_doubted_label_from_a_file_is_filled_in_beside_the_file_s_name(bench: Bench, page: Page) -> None:
    bench.put("filed")
    bench.put_labels({"filed": "40111"})
    bench.suspect("filed", "40111")
    try:
        assert bench.offer().check_count == 1
    finally:
        bench.forget_suspects()
    open_task(page, bench, "filed")
    expect(page.get_by_text("labels.json").first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("40111", exact=True).first).to_be_visible()
    page.wait_for_function(SHOWN)
    submit(page)
    assert bench.told() == {"filed": "40111"}
    assert bench.take().label_count == 1


def test_an_image_that_can_not_be_reached_is_said_to_be_and_the_task_waits_for_it(bench: Bench, page: Page) -> None:
    with faulty(bench.settings.resolved_store().endpoint, keeps_host=True) as gateway:
        bench.showing_from(gateway.url).offer()
    open_task(page, bench, "a")
    expect(page.get_by_text("There was an issue loading URL from $image value")).to_be_visible(timeout=60_000)
    assert bench.told() == {}
    bench.offer()
    open_task(page, bench, "a")
    page.wait_for_function(SHOWN)
