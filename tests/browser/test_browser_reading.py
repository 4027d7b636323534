"""The page reads in the browser itself what the package reads, asks nobody, and needs no network once it was opened."""

from pathlib import Path
from typing import Any

import numpy as np
import packages
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page
from websites import Site, build, choose, encoded, kept_files, opened, served, text_of

from loopline.clients.store import Store
from loopline.images import decode
from loopline.problems import Pixels
from loopline.problems.handwriting.lines import prepare, preprocess

CONFIDENCE_DRIFT = 1e-3  # between ONNX Runtime's builds
GREY_DRIFT = 2  # levels: a canvas keeps see-through colours multiplied, in eight bits
ORIENTATION = 0x0112
SIDEWAYS = 8  # EXIF: turn it by a quarter to the right to see it upright


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
