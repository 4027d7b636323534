"""The page, served once for each module, in a window of a desk."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from websites import DESK, Site, build, opened, served

from loopline.clients.store import Store
from loopline.problems import Pixels
from loopline.problems.handwriting.samples import draw_lines
from loopline.settings import StoreSettings


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
