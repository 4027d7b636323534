"""What the service takes for a picture, what it does not, and the sentence with which it says so."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bentos import Served
from PIL import Image

from loopline.images import decode
from loopline.problems.handwriting.samples import draw_lines
from loopline.serving import Predictor

LINE = Image.fromarray(next(draw_lines(seed=3, counts={"test": 1})).pixels)
RSS_RISE = 50 * 2**20


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    body = io.BytesIO()
    image.save(body, kind, **options)
    return body.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size, and has a hundred bytes."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def zipped() -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("evil.py", "print('evil')")
    return body.getvalue()


PNG = saved(LINE)
SEVERAL: dict[str, object] = {"save_all": True, "append_images": [LINE.rotate(3)]}
NO_PICTURES: dict[str, tuple[bytes, str]] = {
    "zero bytes": (b"", "zero bytes"),
    "text named .png": (b"four zero seven one", "not a PNG, JPEG, WEBP or TIFF image"),
    "garbage": (bytes(range(256)) * 4, "not a PNG, JPEG, WEBP or TIFF image"),
    "cut in the head": (PNG[:20], "truncated"),
    "cut in half": (PNG[: len(PNG) // 2], "truncated"),
    "cut JPEG": (saved(LINE, "JPEG")[:-200], "truncated"),
    "400 megapixels": (header(20_000, 20_000), "over 40 megapixels"),
    "41 megapixels": (header(4100, 10_000), "over 40 megapixels"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="20"/>', "not a PNG, JPEG, WEBP or TIFF image"),
    "GIF": (saved(LINE, "GIF"), "not a PNG, JPEG, WEBP or TIFF image"),
    "PDF": (saved(LINE, "PDF"), "not a PNG, JPEG, WEBP or TIFF image"),
    "zip": (zipped(), "not a PNG, JPEG, WEBP or TIFF image"),
    "animated PNG": (saved(LINE, **SEVERAL), "several frames or pages"),
    "animated WEBP": (saved(LINE, "WEBP", **SEVERAL), "several frames or pages"),
    "TIFF of two pages": (saved(LINE, "TIFF", **SEVERAL), "several frames or pages"),
    "one pixel": (saved(Image.new("L", (1, 1))), "a side under 8 px"),
    "one row": (saved(Image.new("L", (500, 1))), "a side under 8 px"),
    "one column": (saved(Image.new("L", (1, 500))), "a side under 8 px"),
    "a thread": (saved(Image.new("L", (4_000_000, 8))), "over 100 times as wide as high"),
}


def grey_16() -> Image.Image:
    return Image.fromarray(np.asarray(LINE).astype(np.uint16) * 257)


PICTURES: dict[str, bytes] = {
    "grey": PNG,
    "16 bits": saved(grey_16()),
    "16 bits TIFF": saved(grey_16(), "TIFF"),
    "CMYK": saved(LINE.convert("RGB").convert("CMYK"), "JPEG"),
    "palette": saved(LINE.convert("P")),
    "two colours": saved(LINE.convert("1")),
    "see-through": saved(Image.merge("LA", (LINE, LINE.point(lambda value: 255 - value)))),
    "colour": saved(LINE.convert("RGB"), "WEBP", lossless=True),
    "JPEG with a zip behind it": saved(LINE, "JPEG") + zipped(),
    "PNG with a script behind it": PNG + b"<script>alert(1)</script>",
    "the widest": saved(LINE.resize((3200, 32))),
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture_is_refused_with_a_sentence(reader: Served, name: str) -> None:
    data, reason = NO_PICTURES[name]
    with reader.client() as client:
        answer = client.post("/read", files={"image": ("line.png", data, "image/png")})
        raw = client.post("/read", content=data, headers={"content-type": "image/png"})
    assert (answer.status_code, answer.json()) == (400, {"error": f"the picture can't be read: {reason}"})
    assert (raw.status_code, raw.json()) == (400, answer.json())


@pytest.mark.parametrize("name", PICTURES)
def test_unusual_pictures_are_read_as_the_package_reads_them(reader: Served, bento: Path, name: str) -> None:
    predictor = Predictor.open(bento / "src/package.zip")
    (ours,) = predictor.read_images([PICTURES[name]])
    with reader.client() as client:
        answer = client.post("/read", files={"image": ("line.svg", PICTURES[name], "image/svg+xml")})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["text"], said["confidence"]) == (ours.text, pytest.approx(ours.confidence, abs=1e-6))
    assert (said["width_px"], said["height_px"]) == decode(PICTURES[name]).size


def test_every_orientation_is_read_as_the_upright_picture(reader: Served) -> None:
    turns: dict[int, Callable[[], Image.Image]] = {
        1: lambda: LINE,
        2: lambda: LINE.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda: LINE.transpose(Image.Transpose.ROTATE_180),
        4: lambda: LINE.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda: LINE.transpose(Image.Transpose.TRANSPOSE),
        6: lambda: LINE.transpose(Image.Transpose.ROTATE_90),
        7: lambda: LINE.transpose(Image.Transpose.TRANSVERSE),
        8: lambda: LINE.transpose(Image.Transpose.ROTATE_270),
    }
    photos = []
    for orientation, turned in turns.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        photos.append(saved(turned(), exif=exif))
    with reader.client() as client:
        readings = client.post("/read_batch", files=[("image", photo) for photo in photos]).json()["readings"]
    for reading in readings:
        reading.pop("prediction_id")
    assert readings == [readings[0]] * 8


def test_a_bomb_takes_no_memory(reader: Served) -> None:
    before = {worker.pid: worker.memory_info().rss for worker in reader.workers()}
    for _ in range(8):
        with reader.client() as client:
            client.post("/read", files={"image": NO_PICTURES["400 megapixels"][0]})
    after = {worker.pid: worker.memory_info().rss for worker in reader.workers()}
    assert set(after) == set(before)
    assert all(after[pid] - before[pid] < RSS_RISE for pid in after)


def test_noise_never_breaks_it(reader: Served) -> None:
    damaged = [bytes(os.urandom(40)).join([PNG[:place], PNG[place + 40 :]]) for place in range(0, len(PNG), 97)][:32]
    with reader.client() as client:
        answer = client.post("/read_batch", files=[("image", data) for data in damaged])
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["readings"]) == len(damaged)
