"""The report page as a browser shows it, and as it is gathered from a real store."""

import hashlib
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image
from playwright.sync_api import Browser
from report_samples import EMPTY, dataset, history, learning, model, packaged, verdict, whole_page
from windows import DESK, PHONE, opened

from loopline.clients.store import Store
from loopline.contracts import PackagedModel
from loopline.dataset import SCHEMA
from loopline.errors import IntegrityError
from loopline.manifest import write_manifest
from loopline.pages import gather_page, write_page
from loopline.problems import load_problem
from loopline.report import HEADINGS, render
from loopline.settings import StoreSettings
from loopline.shards import SHARD_SCHEMA

PROBLEM = load_problem("handwriting")
ANSWERS = {"4711": "4911", "0815": "0815", "998877": "99"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(whole_page()))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_quiet_and_complete(browser: Browser, file: Path, scheme: str) -> None:
    page, heard = opened(browser, file, viewport=DESK, color_scheme=scheme)
    assert heard == []
    assert page.locator("h2").all_inner_texts() == list(HEADINGS.values())
    assert all(heading.is_visible() for heading in page.locator("h2").all())
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_text_stands_out_from_the_paper_in_light_and_dark(browser: Browser, file: Path) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        page, _ = opened(browser, file, viewport=DESK, color_scheme=scheme)
        style = "getComputedStyle(document.body)"
        ink, ground = (brightness(page.evaluate(f"{style}.{name}")) for name in ("color", "backgroundColor"))
        assert abs(ink - ground) > 150
        grounds.append(ground)
    assert grounds[0] > 200
    assert grounds[1] < 60


def brightness(colour: str) -> float:
    """0 to 255, of rgb(1, 2, 3)."""
    return sum(float(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")) / 3


def test_phone_need_not_scroll_sideways(browser: Browser, file: Path) -> None:
    page, _ = opened(browser, file, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert all(heading.is_visible() for heading in page.locator("h2").all())
    verdict_card = page.locator("#verdict .card")
    assert verdict_card.evaluate("card => card.scrollWidth <= card.clientWidth")


def test_links_lead_to_their_sections(browser: Browser, file: Path) -> None:
    page, _ = opened(browser, file, viewport=DESK)
    page.get_by_role("link", name=HEADINGS["origin"]).click()
    assert page.evaluate("scrollY") > DESK["height"]


def blank_line(position: int) -> bytes:
    png = io.BytesIO()
    Image.new("L", (80 + position, 40), 200).save(png, "PNG")
    return png.getvalue()


def put_dataset(store: Store) -> dict[str, Any]:
    """Three judged lines with their images, in the store as `version` leaves them."""
    images, rows = [], []
    for position, label in enumerate(ANSWERS):
        png = blank_line(position)
        sha256 = hashlib.sha256(png).hexdigest()
        images.append({"image_sha256": sha256, "width_px": 80 + position, "height_px": 40, "png": png})
        facts = {"image_sha256": sha256, "key": f"{label}.png", "label": label, "split": "test", "position": position}
        rows.append(facts | {"group": "w1", "source": "inbox", "width_px": 80 + position, "height_px": 40})
    shard = write_manifest(store, pa.Table.from_pylist(images, schema=SHARD_SCHEMA))
    rows = [row | {"shard": shard.sha256} for row in rows]
    rows.append({"key": "bad.png", "rejected": "empty label"})
    return {"manifest": write_manifest(store, pa.Table.from_pylist(rows, schema=SCHEMA)), "shards": (shard,)}


def put_package(store: Store, answers: dict[str, str]) -> PackagedModel:
    """A judged model whose answers, curve and search are in the store."""
    data = dataset().model_copy(update=put_dataset(store))
    rows = [
        {
            "image_sha256": hashlib.sha256(blank_line(position)).hexdigest(),
            "key": f"{label}.png",
            "group": "w1",
            "source": "inbox",
            "truth": label,
            "text": text,
            "confidence": 0.9,
            "cer_errors": float(label != text),
            "cer_of": float(len(label)),
            "champion_text": "4711",
        }
        for position, (label, text) in enumerate(answers.items())
    ]
    curve = "\n".join(str(row).replace("'", '"') for row in learning()).encode()
    study = model().study
    assert study
    study = study.model_copy(update={"history": store.publish(history().model_dump_json().encode(), "studies")})
    return packaged(
        model=model(dataset=data, curve=store.publish(curve, "curves"), study=study),
        worst=write_manifest(store, pa.Table.from_pylist(rows)),
        details=store.publish(EMPTY.model_dump_json().encode(), "details"),
    )


@pytest.fixture
def store(s3_server: StoreSettings) -> Store:
    place = Store(s3_server)
    place.ensure_bucket()
    return place


def test_page_is_gathered_from_the_store_and_put_there(store: Store, tmp_path: Path) -> None:
    package = put_package(store, ANSWERS)
    artifact = write_page(store, gather_page(store, PROBLEM, packaged=package, verdict=verdict(), cache=tmp_path))
    assert artifact.uri == f"reports/{artifact.sha256}.html"
    html = store.read_artifact(artifact).decode()
    assert '4<mark class="off">9</mark>11' in html
    assert "champion" in html
    assert "empty label" in html
    assert "2 of 3 lines have a mistake" in html
    assert "How its recipe was found" in html
    assert 'width="80" height="40"' in html


def test_judged_line_that_is_not_in_its_dataset_is_an_error(store: Store, tmp_path: Path) -> None:
    package = put_package(store, ANSWERS | {"31415": "31415"})
    with pytest.raises(IntegrityError, match=r"line 31415\.png was judged, but is not in its dataset"):
        write_page(store, gather_page(store, PROBLEM, packaged=package, verdict=verdict(), cache=tmp_path))
