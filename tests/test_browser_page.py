"""The page reads in the browser itself what the package reads, asks nobody, and needs no network once it was opened."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import packages
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page
from websites import Site, build, kept_files, served

from loopline.clients.store import Store
from loopline.images import decode
from loopline.problems import Pixels
from loopline.problems.handwriting.lines import prepare, preprocess
from loopline.problems.handwriting.samples import draw_lines
from loopline.settings import StoreSettings

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
LEAST_TARGET_PX = 44  # of a finger
CONFIDENCE_DRIFT = 1e-3  # between ONNX Runtime's builds
GREY_DRIFT = 2  # levels: a canvas keeps see-through colours multiplied, in eight bits
ORIENTATION = 0x0112
SIDEWAYS = 8  # EXIF: turn it by a quarter to the right to see it upright


@pytest.fixture(scope="module")
def store(s3_server: StoreSettings) -> Store:
    place = Store(s3_server)
    place.ensure_bucket()
    return place


@pytest.fixture(scope="module")
def site(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("page") / "site"
    package = build(store, folder)
    with served(folder / "web") as url:
        yield Site(url, folder / "web", package)


@pytest.fixture(scope="module")
def lines() -> list[Pixels]:
    return [line.pixels for line in draw_lines(seed=1, counts={"train": 6})]


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport=DESK)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, site: Site) -> Page:
    return opened(context, site.url)


def opened(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    page.goto(url)
    page.get_by_text("Ready").wait_for()
    return page


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def choose(page: Page, data: bytes, name: str = "line.png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": data})


def text_of(page: Page) -> str:
    """What the page reads, once it has read."""
    page.locator("#answer").wait_for()
    return page.locator("#text").text_content() or ""


def read_in(page: Page, data: bytes) -> dict[str, Any]:
    """What the page's own modules read in a picture, to the last digit."""
    script = """async (bytes) => {
        const [{ decode }, { openReader }] = await Promise.all([import("./picture.js"), import("./reader.js")]);
        window.reader ??= openReader();
        const { text, confidence } = await (await window.reader).read(await decode(new Blob([new Uint8Array(bytes)])));
        return { text, confidence };
    }"""
    found: dict[str, Any] = page.evaluate(script, list(data))
    return found


def photographs(line_HW: Pixels) -> dict[str, bytes]:
    """One line as people have pictures of it."""
    grey = Image.fromarray(line_HW)
    colour = Image.merge("RGB", [grey.point(lambda value, by=by: min(255, value + by)) for by in (9, 0, 25)])
    turned = Image.Exif()
    turned[ORIENTATION] = SIDEWAYS
    return {
        "grey": encoded(grey),
        "colour": encoded(colour),
        "large": encoded(colour.resize((grey.width * 7, grey.height * 7), Image.Resampling.BICUBIC)),
        "photograph": encoded(colour, "JPEG", quality=92),
        "sideways": encoded(colour.transpose(Image.Transpose.ROTATE_270), "JPEG", quality=92, exif=turned),
        "webp": encoded(colour, "WEBP", lossless=True),
    }


def test_page_reads_what_the_package_reads_however_the_line_was_pictured(
    page: Page, site: Site, lines: list[Pixels]
) -> None:
    pictures = [data for line in lines for data in photographs(line).values()]
    answers = site.package.read_images(pictures)
    assert len({answer.text for answer in answers}) > 2, "a network that reads the same everywhere proves nothing"
    for data, answer in zip(pictures, answers, strict=True):
        found = read_in(page, data)
        assert found["text"] == answer.text
        assert found["confidence"] == pytest.approx(answer.confidence, abs=CONFIDENCE_DRIFT)


def test_page_searches_as_the_package_does(
    context: BrowserContext, store: Store, lines: list[Pixels], tmp_path: Path
) -> None:
    beam, language = packages.PROBLEM.decodings()[-1], packages.PROBLEM.language(["6969", "9669", "4453890"])
    package = build(store, tmp_path / "beam", decoding=beam, language=language)
    pictures = [encoded(Image.fromarray(line)) for line in lines]
    with served(tmp_path / "beam" / "web") as url:
        page = opened(context, url)
        for data, answer in zip(pictures, package.read_images(pictures), strict=True):
            found = read_in(page, data)
            assert found["text"] == answer.text
            assert found["confidence"] == pytest.approx(answer.confidence, abs=CONFIDENCE_DRIFT)


def test_ink_is_the_same_to_the_last_bit_at_any_size(page: Page, site: Site) -> None:
    random = np.random.default_rng(4)
    facts = packages.PROBLEM.device(packages.RECIPE)
    script = """async ([facts, width, height, pixels]) => {
        const { prepare, preprocess } = await import("./line.js");
        return [...prepare(preprocess({ pixels: Uint8Array.from(pixels), width, height }, facts), facts).pixels];
    }"""
    for height, width in [(64, 300), (65, 101), (32, 90), (20, 61), (100, 133), (401, 150), (8, 8)]:
        picture_HW = random.integers(0, 256, (height, width), dtype=np.uint8)
        ink_HW = prepare(preprocess(Image.fromarray(picture_HW)), packages.RECIPE)
        seen = page.evaluate(script, [facts, width, height, picture_HW.ravel().tolist()])
        np.testing.assert_array_equal(np.reshape(seen, ink_HW.shape), ink_HW, err_msg=f"{width}x{height}")


def test_what_is_see_through_is_white(page: Page) -> None:
    random = np.random.default_rng(5)
    picture = Image.fromarray(random.integers(0, 256, (40, 50, 4), dtype=np.uint8), "RGBA")
    script = """async (bytes) => {
        const { decode } = await import("./picture.js");
        return [...(await decode(new Blob([new Uint8Array(bytes)]))).pixels];
    }"""
    seen = np.array(page.evaluate(script, list(encoded(picture))))
    ours = np.asarray(decode(encoded(picture)), dtype=int).ravel()
    assert np.abs(seen - ours).max() <= GREY_DRIFT


def test_nothing_is_asked_of_another_host(context: BrowserContext, site: Site, lines: list[Pixels]) -> None:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    heard: list[str] = []
    context.on("console", lambda message: heard.append(message.text))
    context.on("weberror", lambda error: heard.append(str(error.error)))
    page = opened(context, site.url)
    choose(page, encoded(Image.fromarray(lines[0])))
    text_of(page)
    assert all(url.startswith((site.url, f"blob:{site.url}")) for url in asked)
    assert {"model.onnx", "reader.json"} <= {url.rpartition("/")[2] for url in asked}
    assert heard == []
    refused = page.evaluate("fetch('http://example.com/').then(() => '', (error) => error.name)")
    assert refused == "TypeError", "the page's own policy lets it ask nobody else"


def test_once_opened_it_reads_without_a_network(context: BrowserContext, site: Site, lines: list[Pixels]) -> None:
    page = opened(context, site.url)
    page.evaluate("navigator.serviceWorker.ready.then(() => 0)")
    context.set_offline(True)
    page.reload()
    page.get_by_text("Ready").wait_for()
    for line in lines[:2]:
        choose(page, encoded(Image.fromarray(line)))
        page.get_by_text(site.package.read([line])[0].text, exact=True).wait_for()


def test_every_file_of_the_page_is_kept_and_a_new_model_is_another_page(
    store: Store, site: Site, tmp_path: Path
) -> None:
    there = {path.relative_to(site.folder).as_posix() for path in site.folder.rglob("*") if path.is_file()}
    assert set(kept_files(site.folder)) == {"./", *there} - {"offline.js"}
    beam, language = packages.PROBLEM.decodings()[-1], packages.PROBLEM.language(["69"])
    build(store, tmp_path / "other", decoding=beam, language=language)
    build(store, tmp_path / "same")
    workers = [
        (folder / "offline.js").read_bytes()
        for folder in (site.folder, tmp_path / "same" / "web", tmp_path / "other" / "web")
    ]
    assert workers[0] == workers[1]
    assert workers[0] != workers[2]


def test_phone_need_not_scroll_sideways_and_fingers_find_the_buttons(
    browser: Browser, site: Site, lines: list[Pixels]
) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True)
    page = opened(context, site.url)
    choose(page, encoded(Image.fromarray(lines[1])))
    text_of(page)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    for button in page.locator("button:visible").all():
        box = button.bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= LEAST_TARGET_PX
    context.close()


def test_keyboard_alone_reads_a_picture_and_clears_it(page: Page, site: Site, lines: list[Pixels]) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    assert page.locator("#choose").evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files({"name": "line.png", "mimeType": "image/png", "buffer": encoded(Image.fromarray(lines[0]))})
    assert text_of(page) == site.package.read([lines[0]])[0].text
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "clear"
    page.keyboard.press("Enter")
    page.locator("#answer").wait_for(state="hidden")


def test_what_is_written_is_read_and_taken_back(page: Page) -> None:
    undo, clear, hint = (page.get_by_role("button", name=name) for name in ("Undo", "Clear", "Copy"))
    assert undo.is_disabled()
    assert clear.is_disabled()
    for start in (120, 240):
        stroke(page, [(start, 60), (start + 10, 150), (start + 60, 140)])
    text_of(page)
    undo.click()
    text_of(page)
    undo.click()
    page.locator("#answer").wait_for(state="hidden")
    assert undo.is_disabled()
    assert not hint.is_visible()
    assert page.get_by_text("Write here").is_visible()


def test_lines_are_written_with_a_finger_too(browser: Browser, site: Site) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = opened(context, site.url)
    box = page.locator("#sheet").bounding_box()
    assert box
    page.touchscreen.tap(box["x"] + 100, box["y"] + 60)
    text_of(page)
    assert page.evaluate("getComputedStyle(document.getElementById('sheet')).touchAction") == "none"
    context.close()


def stroke(page: Page, points: list[tuple[float, float]]) -> None:
    box = page.locator("#sheet").bounding_box()
    assert box
    first, *rest = [(box["x"] + x, box["y"] + y) for x, y in points]
    page.mouse.move(*first)
    page.mouse.down()
    for point in rest:
        page.mouse.move(*point, steps=5)
    page.mouse.up()


def poster(width: int, height: int) -> bytes:
    """A picture of many megapixels, all black, in a few kilobytes."""
    rows = zlib.compress(b"\0" * ((width // 8 + 1) * height), 9)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("notes.png", b"Dear Ada, the engine turns.", "This is not a PNG, JPEG or WEBP picture. Choose another file."),
        ("none.png", b"", "This is not a PNG, JPEG or WEBP picture. Choose another file."),
        ("poster.png", poster(8000, 8000), "This picture has over 40 megapixels. Cut out the line and try that."),
        ("dot.png", encoded(Image.new("L", (40, 4))), "A side of this picture is under 8 pixels. No letter"),
        ("cut.png", encoded(Image.effect_noise((200, 64), 90))[:300], "This picture is damaged or cut off. Choose"),
        ("scan.tif", encoded(Image.new("L", (80, 40)), "TIFF"), "Browsers can't open TIFF pictures. Save it as PNG"),
    ],
    ids=["text", "empty", "huge", "tiny", "cut off", "tiff"],
)
def test_bad_pictures_are_told_in_one_sentence_and_the_next_is_read(
    page: Page, site: Site, lines: list[Pixels], name: str, data: bytes, sentence: str
) -> None:
    choose(page, data, name)
    trouble = page.get_by_role("alert")
    trouble.wait_for()
    assert (trouble.text_content() or "").startswith(sentence)
    assert not page.locator("#answer").is_visible()
    choose(page, encoded(Image.fromarray(lines[0])))
    assert text_of(page) == site.package.read([lines[0]])[0].text
    assert not trouble.is_visible()


def test_dropped_and_pasted_pictures_are_read(page: Page, site: Site, lines: list[Pixels]) -> None:
    script = """([kind, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "line.png"));
        const event = kind === "drop"
            ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
        document.body.dispatchEvent(event);
    }"""
    for kind, line in zip(("drop", "paste"), lines, strict=False):
        page.evaluate(script, [kind, list(encoded(Image.fromarray(line)))])
        page.get_by_text(site.package.read([line])[0].text, exact=True).wait_for()


def test_model_that_is_missing_is_told(context: BrowserContext, site: Site) -> None:
    context.route("**/model.onnx", lambda route: route.fulfill(status=404))
    page = context.new_page()
    page.goto(site.url)
    trouble = page.get_by_role("alert")
    trouble.wait_for()
    said = "The model can't be opened: model.onnx is missing beside this page; export it again."
    assert trouble.text_content() == said


def test_text_stands_out_from_the_paper_in_light_and_dark(context: BrowserContext, site: Site) -> None:
    page = opened(context, site.url)
    for scheme, is_light in (("light", True), ("dark", False)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        style = "getComputedStyle(document.body)"
        ink, paper = (brightness(page.evaluate(f"{style}.{name}")) for name in ("color", "backgroundColor"))
        assert abs(ink - paper) > 150
        assert (paper > 200) is is_light


def brightness(colour: str) -> float:
    """0 to 255, of rgb(1, 2, 3)."""
    return sum(float(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")) / 3
