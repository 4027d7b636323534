"""Whether an annotator's browser can get an image by its signed address: as far as that can be told from here."""

from http import HTTPStatus
from urllib.parse import urlsplit

import httpx

TIMEOUT_SECONDS = 10


def unseen(address: str, *, page_url: str) -> str | None:
    """Say why a page of `page_url` could not show what is at a signed address, or None if it could.

    Nobody but the browser knows for sure: it may reach what we don't, and the other way round.
    """
    page = urlsplit(page_url)
    origin = f"{page.scheme}://{page.netloc}"
    try:
        with httpx.stream("GET", address, headers={"Origin": origin}, timeout=TIMEOUT_SECONDS) as answer:
            if answer.status_code != HTTPStatus.OK:
                return f"answers {answer.status_code}"
            allowed = answer.headers.get("Access-Control-Allow-Origin")
            return None if allowed in ("*", origin) else f"has no CORS rule that lets pages of {origin} read it"
    except httpx.HTTPError as error:
        return f"does not answer from here ({type(error).__name__})"
