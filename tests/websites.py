"""The page that reads in a browser, built by `export` around a network that never learnt, and served."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import packages
import report_samples
import torch
from PIL import Image
from playwright.sync_api import BrowserContext, Page

from loopline.clients.store import Store
from loopline.contracts import Decoding, ModelReady
from loopline.exporting import export
from loopline.forms import Forms
from loopline.packaging import export_onnx
from loopline.serving import Predictor
from loopline.settings import Settings

DESK = {"width": 1280, "height": 900}
LOUDNESS = 40  # of the last layer: random weights that are sure of themselves read long texts


@dataclass(frozen=True)
class Site:
    """A page where it is served, its files, and the package that answers as it must."""

    url: str
    folder: Path
    package: Predictor


@cache
def loud_network() -> bytes:
    torch.manual_seed(3)
    system = packages.PROBLEM.system(packages.RECIPE, packages.VOCABULARY)
    system.reader.head.weight.data *= LOUDNESS
    return export_onnx(packages.PROBLEM, packages.RECIPE, system=system)


def build(store: Store, folder: Path, *, decoding: Decoding | None = None, language: bytes | None = None) -> Predictor:
    """Write the page into a new folder, as `loopline export --target web` does; return what it must answer like."""
    archive = packages.package(decoding, language=language, onnx=loud_network())
    packaged = report_samples.packaged(
        model=report_samples.model(recipe=packages.RECIPE.model_dump()), decoding=decoding or Decoding()
    ).model_copy(update={"archive": store.put(archive, f"packages/{folder.name}.zip")})
    judged = ModelReady(
        problem=packages.PROBLEM.name,
        version="v3.0.0",
        packaged=packaged,
        verdict=report_samples.verdict(),
        page=packaged.archive,
    )
    settings = Settings()
    forms = Forms(store, packages.PROBLEM, judged, home=settings.folder)
    export(forms, ["web"], folder=folder, npm_registry=settings.npm_registry())
    return Predictor.open(archive)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def kept_files(folder: Path) -> list[str]:
    """What the page's service worker keeps."""
    first = (folder / "offline.js").read_text().splitlines()[0]
    found: list[str] = json.loads(first.removeprefix("const BUILD = ").removesuffix(";"))["files"]
    return found


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
