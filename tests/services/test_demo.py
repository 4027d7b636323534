"""The demo page in a real browser, before a real service: a line is written, read, corrected and sent."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bentos
import httpx
import pytest
from asked import captured
from bentos import KEYS, Served
from faults import faulty
from laptop_processes import free_port
from playwright.sync_api import Browser, Page, expect
from test_service_pictures import PNG
from windows import DESK, PHONE

from loopline.captures import CORRECTION, Corrected, place
from loopline.client import Client
from loopline.clients.store import Store
from loopline.settings import StoreSettings

APP = Path(__file__).parents[2] / "deployments" / "gradio" / "app.py"
WAIT_SECONDS = 120
BUCKET = "demo"
STROKES = [[(80, 40), (90, 130), (140, 120)], [(220, 40), (225, 140)], [(300, 50), (350, 60), (310, 140), (360, 140)]]


@pytest.fixture(scope="module")
def store(s3_server: StoreSettings) -> Store:
    made = Store(s3_server.model_copy(update={"bucket": BUCKET}))
    made.ensure_bucket()
    return made


@pytest.fixture(scope="module")
def keeping(
    bento: Path, store: Store, s3_server: StoreSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A service that keeps what it is asked."""
    assert s3_server.access_key and s3_server.secret_key
    settings = {
        "LOOPLINE_STORE__ENDPOINT": s3_server.endpoint,
        "LOOPLINE_STORE__BUCKET": BUCKET,
        "LOOPLINE_STORE__ACCESS_KEY": s3_server.access_key,
        "LOOPLINE_STORE__SECRET_KEY": s3_server.secret_key.get_secret_value(),
        "LOOPLINE_SERVICE__CAPTURE": "true",
    }
    with bentos.serving(bento, tmp_path_factory.mktemp("keeping"), workers=1, **bentos.KEYED, **settings) as served:
        yield served


@contextmanager
def shown(service: str, log: Path) -> Iterator[str]:
    """Serve the page for a service; its address."""
    port = free_port()
    settings = {"LOOPLINE_CLIENT__URL": service, "LOOPLINE_CLIENT__KEY": KEYS[0], "GRADIO_SERVER_PORT": str(port)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, APP], cwd=log.parent, env=os.environ | settings, stdout=out, stderr=out
        )
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + WAIT_SECONDS
    try:
        while not _answers(url):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def site(keeping: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with shown(keeping.url, tmp_path_factory.mktemp("demo") / "demo.log") as url:
        yield url


@contextmanager
def visited(browser: Browser, url: str, *, requests: list[str] | None = None, **looks: object) -> Iterator[Page]:
    context = browser.new_context(**looks)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(30_000)
    if requests is not None:
        page.on("request", lambda request: requests.append(request.url))
    page.goto(url)
    page.locator("#line canvas").wait_for()
    yield page
    context.close()


def write(page: Page) -> None:
    """Draw three characters with the mouse."""
    canvas = page.locator("#line canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    scale = box["width"] / 420
    for first, *rest in STROKES:
        page.mouse.move(box["x"] + first[0] * scale, box["y"] + first[1] * box["height"] / 180)
        page.mouse.down()
        for x, y in rest:
            page.mouse.move(box["x"] + x * scale, box["y"] + y * box["height"] / 180, steps=5)
        page.mouse.up()


def read_text(page: Page) -> str:
    text = page.locator("#answer .text").get_attribute("aria-label")
    assert text is not None
    return text


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_line_is_written_read_corrected_and_kept(
    browser: Browser, site: str, store: Store, size: dict[str, int]
) -> None:
    before, requests, said = captured(store), list[str](), f"12 on {size['width']}"
    with visited(browser, site, requests=requests, viewport=size) as page:
        expect(page.locator("#consent")).to_contain_text("kept for 90 days")
        write(page)
        page.get_by_role("button", name="Read it").click()
        text = read_text(page)
        assert page.locator("#answer .place").count() == len(text.replace(" ", ""))
        correction = page.get_by_label("What it really says")
        expect(correction).to_have_value(text)
        correction.fill(said)
        correction.press("Enter")
        expect(page.get_by_role("status").filter(has_text="Thank you")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert {httpx.URL(one).host for one in requests if not one.startswith(("data:", "blob:"))} == {"127.0.0.1"}
    (name,) = eventually_new(store, before)
    kept = Corrected.model_validate_json(store.read(place(name, CORRECTION)))
    assert (kept.text, captured(store)[name].text) == (said, text)


def eventually_new(store: Store, before: dict[str, object]) -> set[str]:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found = captured(store).keys() - before.keys()
        if found and all(store.exists(place(name, CORRECTION)) for name in found):
            return set(found)
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_keys_alone_try_a_sample_and_correct_it(browser: Browser, site: str) -> None:
    with visited(browser, site) as page:
        sample, correction = page.get_by_role("button", name="Sample 1"), page.get_by_label("What it really says")
        until_focused(page, sample)
        assert sample.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        read = page.get_by_role("button", name="Read it")
        expect(read).to_be_focused()
        page.keyboard.press("Enter")
        assert read_text(page)
        expect(correction).to_be_editable()
        until_focused(page, correction)
        page.keyboard.type(" and more")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status").filter(has_text="Thank you")).to_be_visible()


def until_focused(page: Page, wanted: object) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if wanted.evaluate("one => one === document.activeElement"):  # type: ignore[attr-defined]
            return
    raise AssertionError("no number of tabs leads there")


def test_a_chosen_picture_is_read_and_a_wrong_one_named(browser: Browser, site: str) -> None:
    with visited(browser, site) as page:
        page.locator("#line input[type=file]").set_input_files(
            {"name": "line.png", "mimeType": "image/png", "buffer": PNG}
        )
        page.get_by_role("button", name="Read it").click()
        read_text(page)
        page.locator("#line input[type=file]").set_input_files(
            {"name": "words.png", "mimeType": "image/png", "buffer": b"no picture"}
        )
        page.get_by_role("button", name="Read it").click()
        expect(page.get_by_role("alert")).to_contain_text("not a PNG, JPEG, WEBP or TIFF image")
        expect(page.locator("#answer .text")).to_have_count(0)


def test_who_wants_nothing_kept_is_heard(browser: Browser, site: str, store: Store) -> None:
    before = captured(store)
    with visited(browser, site) as page:
        page.get_by_label("Keep nothing of what I send").check()
        write(page)
        page.get_by_role("button", name="Read it").click()
        read_text(page)
        expect(page.get_by_text("Nothing of this line was kept")).to_be_visible()
        expect(page.get_by_label("What it really says")).not_to_be_editable()
    assert captured(store) == before


def test_whom_no_consent_was_shown_nothing_is_kept_of(
    browser: Browser, keeping: Served, store: Store, tmp_path: Path
) -> None:
    before = captured(store)
    with faulty(keeping.url) as proxy, shown(proxy.url, tmp_path / "log") as url:
        proxy.will("GET", "/model", "down at that moment", status=503, times=2)
        with visited(browser, url) as page:
            expect(page.get_by_role("alert")).to_be_visible()
            write(page)
            page.get_by_role("button", name="Read it").click()
            read_text(page)
            expect(page.get_by_label("What it really says")).not_to_be_editable()
    with Client(keeping.url, KEYS[0]) as client:
        later = client.read(PNG).prediction_id
        client.correct(later, "kept, and brought to the store after what came before")
    assert eventually_new(store, before) == {later}


def test_a_service_that_keeps_nothing_and_one_that_is_gone_are_told(
    browser: Browser, bento: Path, tmp_path: Path
) -> None:
    with (
        bentos.serving(bento, tmp_path, workers=1, **bentos.KEYED) as silent,
        shown(silent.url, tmp_path / "log") as url,
        visited(browser, url) as page,
    ):
        expect(page.locator("#consent")).to_contain_text("Nothing of what you send is kept here")
        expect(page.get_by_label("Keep nothing of what I send")).not_to_be_visible()
        write(page)
        silent.process.terminate()
        silent.process.wait(WAIT_SECONDS)
        page.get_by_role("button", name="Read it").click()
        expect(page.get_by_role("alert")).to_contain_text("can't be reached")
        expect(page.get_by_role("alert")).to_contain_text("is the service up?")
