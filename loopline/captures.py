"""What the service was asked and answered, as it is kept: ids that prove themselves, places in the store, records.

    captured/dt=2026-11-26/<id>.png               the picture: upright, grey, and nothing but its pixels
    captured/dt=2026-11-26/<id>.json              a Capture, written after its picture
    captured/dt=2026-11-26/<id>.correction.json   a Corrected; the last one stands
    captured/forgotten/<id>                       a tombstone: what the id names is deleted, whenever it arrives

An id is its day, chance, and a MAC over both and over the hash of the key that asked. So whoever holds the secret can
tell one that was never given, or to another key, without looking anything up; and the day leads to its place.
"""

import hashlib
import hmac
import io
import os
import re
import secrets
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

from PIL import Image
from pydantic import AwareDatetime

from loopline.answers import Character, Correction, Message, PredictionId, Reading, Share
from loopline.contracts import Sha256
from loopline.errors import ConfigError, DataError
from loopline.settings import ServiceSettings

CAPTURED = "captured"
FORGOTTEN = f"{CAPTURED}/forgotten"
PICTURE, RECORD, CORRECTION = ".png", ".json", ".correction.json"  # endings, in the order in which they are written

CHANCE_BYTES = 10  # so that a billion ids of one day hold no two alike
MAC_BYTES = 16  # 2^128 guesses
KEY_LENGTH = 12  # hex digits of a key's hash: tells keys apart, and none can be found from it
SECRET_BYTES = 32
SECRET_FILE = "secret"  # noqa: S105  # its name

_ID = re.compile(rf"(\d{{8}})-[0-9a-f]{{{2 * CHANCE_BYTES}}}-[0-9a-f]{{{2 * MAC_BYTES}}}", re.ASCII)


class Capture(Message):
    """What was answered to one picture."""

    prediction_id: PredictionId
    at: AwareDatetime
    image_sha256: Sha256
    width_px: int
    height_px: int
    text: str
    confidence: Share
    characters: tuple[Character, ...]
    model: str
    package_sha256: Sha256
    key: str = ""


class Corrected(Correction):
    """What the line really says, in the words of whoever asked, and when that was said."""

    at: AwareDatetime


def new_prediction_id(key_hash: str, *, secret: bytes, now: datetime) -> str:
    """Return an id that nobody else can make, for an answer to the key of this hash ("" where none is asked for)."""
    named = f"{now.astimezone(UTC):%Y%m%d}-{secrets.token_hex(CHANCE_BYTES)}"
    return f"{named}-{_mac(named, key_hash, secret)}"


def is_ours(prediction_id: str, key_hash: str, *, secret: bytes) -> bool:
    """Tell whether an id was given to the key of this hash; the time it takes tells nothing."""
    if not _ID.fullmatch(prediction_id):
        return False
    named, _, mac = prediction_id.rpartition("-")
    return hmac.compare_digest(mac, _mac(named, key_hash, secret))


def signing_secret(settings: ServiceSettings) -> bytes:
    """Return what ids are signed with: the setting, else a random one that the spool's folder keeps, mode 0600.

    Processes that start at once agree on one. ConfigError if the folder can't be written.
    """
    if settings.signing_secret:
        return settings.signing_secret.get_secret_value().encode()
    path = settings.spool / SECRET_FILE
    try:
        settings.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write_once(path, secrets.token_bytes(SECRET_BYTES))
        return path.read_bytes()
    except OSError as error:
        reason = f"{path} can't be kept ({error.strerror})"
        raise ConfigError(f"{reason}; set LOOPLINE_SERVICE__SPOOL to a folder that can be written") from error


def day_of(prediction_id: str) -> date:
    """Return the day on which an id was given; DataError if it is none of ours."""
    found = _ID.fullmatch(prediction_id)
    with suppress(ValueError):
        if found:
            return date.fromisoformat(found[1])
    raise DataError(f"{prediction_id!r} is no prediction id; take it from the service's answer as it is")


def folder_of(day: date) -> str:
    """Return where the store keeps a day's answers, without a slash at the end."""
    return f"{CAPTURED}/dt={day.isoformat()}"


def place(prediction_id: str, ending: str) -> str:
    """Return where the store keeps a part of an answer: PICTURE, RECORD or CORRECTION. DataError as in day_of."""
    return f"{folder_of(day_of(prediction_id))}/{prediction_id}{ending}"


def is_captured(key: str) -> bool:
    """Tell whether a key is that of a captured picture."""
    return key.startswith(f"{CAPTURED}/dt=")


def tombstone(prediction_id: str) -> str:
    """Return where the store keeps that an id is to be forgotten; DataError as in day_of."""
    day_of(prediction_id)
    return f"{FORGOTTEN}/{prediction_id}"


def bare_png(image: Image.Image) -> bytes:
    """Return a decoded picture as PNG: its pixels and nothing else, so neither place, camera nor colour profile."""
    body = io.BytesIO()
    Image.frombytes("L", image.size, image.tobytes()).save(body, "PNG")
    return body.getvalue()


def capture_of(reading: Reading, *, png: bytes, package_sha256: str, key_hash: str, at: datetime) -> Capture:
    """Return the record of an answer, beside the picture as it is kept."""
    return Capture(
        prediction_id=reading.prediction_id,
        at=at,
        image_sha256=hashlib.sha256(png).hexdigest(),
        width_px=reading.width_px,
        height_px=reading.height_px,
        text=reading.text,
        confidence=reading.confidence,
        characters=reading.characters,
        model=reading.model,
        package_sha256=package_sha256,
        key=key_hash[:KEY_LENGTH],
    )


def _mac(named: str, key_hash: str, secret: bytes) -> str:
    # The first part has one length and no colon, so that no other pair gives the same bytes.
    return hmac.digest(secret, f"{named}:{key_hash}".encode(), "sha256")[:MAC_BYTES].hex()


def _write_once(path: Path, data: bytes) -> None:
    """Write a file that appears as a whole, unless another process was faster."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        part.touch(mode=0o600)
        part.write_bytes(data)
        with suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink(missing_ok=True)
