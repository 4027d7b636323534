"""A page that was written to a file, in a window of the real browser."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


def opened(browser: Browser, file: Path, **looks: Any) -> tuple[Page, list[str]]:
    """The page in a new window, and whatever it asked for or complained of."""
    page = browser.new_context(**looks).new_page()
    heard: list[str] = []
    page.on("request", lambda request: heard.append(request.url))
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.goto(file.as_uri())
    page.wait_for_load_state("networkidle")
    return page, [said for said in heard if not said.startswith("data:") and said != file.as_uri()]
