"""What a service's users send, as the service hands it on: answers, corrections, and where they lie in the store."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import Image

from loopline.answers import Character, Correction, Reading
from loopline.captures import (
    CAPTURED,
    CORRECTION,
    PICTURE,
    RECORD,
    Capture,
    Corrected,
    bare_png,
    capture_of,
    new_prediction_id,
    place,
)
from loopline.clients.store import Store
from loopline.spool import Spool

SECRET = b"correct horse battery staple"
KEY = hashlib.sha256(b"a key").hexdigest()
PACKAGE = hashlib.sha256(b"a package").hexdigest()
NOW = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)


def prediction_id(key_hash: str = KEY, *, at: datetime = NOW) -> str:
    return new_prediction_id(key_hash, secret=SECRET, now=at)


def line(name: str, *, width_px: int = 160) -> Image.Image:
    """A line of its own for each name: noise and a black stroke."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
    pixels = np.random.default_rng(seed).integers(128, 255, (32, width_px), dtype=np.uint8)
    pixels[:, 20:30] = 0
    return Image.fromarray(pixels)


def reading(name: str, image: Image.Image, **changed: Any) -> Reading:
    facts: dict[str, Any] = {
        "prediction_id": name,
        "text": "42",
        "confidence": 0.75,
        "unsure": False,
        "characters": (Character(text="4", confidence=0.8, left_px=1.0, right_px=9.5),),
        "width_px": image.width,
        "height_px": image.height,
        "model": f"handwriting:{PACKAGE[:12]}",
    }
    return Reading(**facts | changed)


def ask(spool: Spool, image: Image.Image, *, key_hash: str = KEY, **changed: Any) -> str | None:
    """Hand an answer to the spool, as the service does; its id, or None if it is not kept."""
    name = prediction_id(key_hash)
    answer = reading(name, image, **changed)
    kept = spool.keep_answer(answer, image, key_hash=key_hash, at=NOW)
    return name if kept else None


def correct(spool: Spool, name: str, text: str) -> bool:
    return spool.keep_correction(Correction(prediction_id=name, text=text), at=NOW)


def put(
    store: Store,
    image: Image.Image,
    *,
    key_hash: str = KEY,
    correction: str | None = None,
    at: datetime = NOW,
    **changed: Any,
) -> str:
    """Put an answer, and what its user made of it, where a spool delivers them; its id."""
    name, png = prediction_id(key_hash, at=at), bare_png(image)
    package_sha256 = changed.pop("package_sha256", PACKAGE)
    record = capture_of(
        reading(name, image, **changed), png=png, package_sha256=package_sha256, key_hash=key_hash, at=at
    )
    store.write(place(name, PICTURE), png)
    store.write(place(name, RECORD), record.model_dump_json().encode())
    if correction is not None:
        put_correction(store, name, correction)
    return name


def put_correction(store: Store, name: str, text: str) -> None:
    said = Corrected(prediction_id=name, text=text, at=NOW)
    store.write(place(name, CORRECTION), said.model_dump_json().encode())


def captured(store: Store) -> dict[str, Capture]:
    """The records in the store, by prediction id."""
    keys = [entry.key for entry in store.list(f"{CAPTURED}/dt=")]
    records = [key for key in keys if key.endswith(RECORD) and not key.endswith(CORRECTION)]
    found = [Capture.model_validate_json(store.read(key)) for key in records]
    return {record.prediction_id: record for record in found}
