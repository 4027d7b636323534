"""A first day in the orchestrator's pages: start form, run, event, release, and another team's flow that wakes.

`make pictures` runs this with `--pictures docs/pictures`, which is where the guides' pictures of Prefect come from.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from laptops import eventually
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from systems import RECIPE, SECONDS, System, name

from loopline import commands

SUBSCRIBER = Path(__file__).parents[2] / "deployments" / "subscriber"
SIZE = {"width": 1200, "height": 900}
COLOURS = 64  # of a picture: enough for pages, and a third of the bytes

NEGATIVE = "Value must be greater than or equal to 0."  # as Chromium says it

Camera = Callable[[Page, str], None]


@pytest.fixture
def camera(pytestconfig: pytest.Config, tmp_path: Path) -> Camera:
    folder = Path(pytestconfig.getoption("--pictures") or tmp_path)

    def take(page: Page, title: str) -> None:
        path = folder / f"{title}.png"
        page.wait_for_timeout(500)  # for what fades in
        page.screenshot(path=path)
        Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)

    return take


@pytest.fixture
def page(system: System, browser: Browser) -> Iterator[Page]:
    """The orchestrator's pages, signed in."""
    prefect = system.settings.resolved_prefect()
    assert prefect.auth_string
    with browser.new_context(viewport=SIZE) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(prefect.api_url.removesuffix("/api"))
        page.locator("input").fill(prefect.auth_string.get_secret_value())
        page.keyboard.press("Enter")
        page.wait_for_url("**/dashboard*")
        yield page


@pytest.fixture
def subscriber(system: System, tmp_path: Path) -> "Subscriber":
    """The guide's project, as another team copies and deploys it."""
    project, archive = tmp_path / "subscriber", tmp_path / "archive"
    shutil.copytree(SUBSCRIBER, project)
    archive.mkdir()
    for picture in sorted((system.lines / "images").glob("*.png"))[:3]:
        shutil.copy(picture, archive)
    found = Subscriber(system, project, archive)
    found.call("work-pool", "create", "subscriber", "--type", "process")
    found.call("--no-prompt", "deploy", "--all")
    return found


class Subscriber:
    def __init__(self, system: System, project: Path, archive: Path) -> None:
        self.system, self.project, self.archive = system, project, archive

    def call(self, *arguments: str) -> None:
        laptop = replace(self.system.laptop, settings={"ARCHIVE": str(self.archive)})
        done = laptop.call("prefect", *arguments, cwd=self.project)
        assert done.code == 0, done.out + done.log

    def woken(self) -> list[dict[str, Any]]:
        deployment = self.system.api.get("/deployments/name/on-model-ready/on-model-ready").json()["id"]
        found: list[dict[str, Any]] = self.system.ask("/flow_runs/filter", deployments={"id": {"any_": [deployment]}})
        return found

    def work(self, count: int) -> None:
        """Wait until it was woken so many times, and let it do what it was woken for."""
        eventually(lambda: len(self.woken()) >= count)
        self.call("worker", "start", "--pool", "subscriber", "--type", "process", "--run-once")
        assert [run["state_type"] for run in self.woken()] == ["COMPLETED"] * count


def field(page: Page, title: str) -> Locator:
    return page.get_by_label(title)


def test_a_run_from_the_form_ends_in_a_service_that_answers_and_a_subscriber_that_woke(
    system: System, page: Page, subscriber: Subscriber, camera: Camera
) -> None:
    page.get_by_role("link", name="Deployments").click()
    build = page.locator('a[href*="/deployments/deployment/"]', has_text="build-model")
    expect(build).to_be_visible()
    camera(page, "prefect-deployments")
    build.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Custom run").click()

    field(page, "Images").fill("inbox/lines")
    page.locator(".cm-content").first.click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text(json.dumps(RECIPE | {"epochs": 8}))
    field(page, "Seed (Optional)").fill("-1")
    page.get_by_role("button", name="Submit").click()
    assert field(page, "Seed (Optional)").evaluate("seed => seed.validationMessage") == NEGATIVE
    expect(page).to_have_url(re.compile("/run"))
    camera(page, "prefect-form")

    field(page, "Seed (Optional)").fill("1")
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("link", name="View run").click()
    page.wait_for_url("**/flow-run/*")
    followed = page.url
    page.goto("about:blank")  # drawing that it is under way takes as much of the machine as the run itself
    begun = urlsplit(followed).path.rpartition("/")[2]
    eventually(lambda: system.api.get(f"/flow_runs/{begun}").json()["end_time"], seconds=SECONDS)
    page.goto(followed)
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    page.wait_for_timeout(3_000)  # for the graph of its steps, which moves into its place
    camera(page, "prefect-run")
    page.close()

    (run,) = system.settle(1)
    assert (run["state_type"], run["created_by"]["type"]) == ("COMPLETED", "AUTOMATION")
    (model,) = commands.registry(system.settings).models("handwriting")
    assert system.answering() == name(model.judged)

    written = subscriber.archive / f"{model.judged.packaged.archive.sha256}.json"
    subscriber.work(1)
    assert len(json.loads(written.read_text())) == 3
    changed_ns = written.stat().st_mtime_ns
    (woken,) = subscriber.woken()
    system.ask(f"/deployments/{woken['deployment_id']}/create_flow_run", parameters=woken["parameters"])
    subscriber.work(2)
    assert written.stat().st_mtime_ns == changed_ns, "told again, it reads nothing again"
