"""What was found in each window of a model's traffic, as the store keeps it.

watch/<sha256 of the package>/<time>-<digest>.json    a Record, written when a window is done with
watch/<sha256 of the package>/page.html               what they come to, to look at
"""

import hashlib
from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from loopline.clients.store import Store, in_parallel
from loopline.contracts import Sha256
from loopline.errors import IntegrityError
from loopline.traffic import TIME
from loopline.watch_contracts import Watched

WATCH = "watch"
MOST_SHOWN = 200  # windows, the newest: what a page has room for


class Record(BaseModel):
    """A window that is done with, and the files of rows that it took."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    watched: Watched
    taken: tuple[str, ...]


def keep(store: Store, record: Record, *, now: datetime) -> None:
    """Write down that a window is done with."""
    data = record.model_dump_json().encode()
    name = f"{now:{TIME}}-{hashlib.sha256(data).hexdigest()[:8]}.json"
    store.write(f"{WATCH}/{record.watched.package_sha256}/{name}", data)


def page_key(package_sha256: Sha256) -> str:
    """Return where the page about a package's windows is."""
    return f"{WATCH}/{package_sha256}/page.html"


def history(store: Store, package_sha256: Sha256, *, most: int = MOST_SHOWN) -> list[Record]:
    """Return the newest records of a package, oldest first; IntegrityError for one that can't be read."""
    keys = [entry.key for entry in store.list(f"{WATCH}/{package_sha256}/") if entry.key.endswith(".json")][-most:]

    def read(key: str) -> Record:
        try:
            return Record.model_validate_json(store.read(key))
        except ValidationError:
            raise IntegrityError(f"{store.url(key)} is no record as this release writes it; move it away") from None

    return list(in_parallel(read, keys, title="windows"))
