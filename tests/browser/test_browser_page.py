"""The page serves whoever has a pen, a finger, a mouse or only keys, and says what is wrong in one sentence."""

import struct
import zlib

import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page
from websites import Site, choose, encoded, opened, text_of

from loopline.problems import Pixels

PHONE = {"width": 390, "height": 844}
LEAST_TARGET_PX = 44  # of a finger


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
    picture: FilePayload = {"name": "line.png", "mimeType": "image/png", "buffer": encoded(Image.fromarray(lines[0]))}
    page.on("filechooser", lambda chooser: chooser.set_files(picture))  # long before: it is heard of too late otherwise
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    assert page.locator("#choose").evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    page.keyboard.press("Enter")
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
