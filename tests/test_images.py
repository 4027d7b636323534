import io
import struct
import subprocess
import sys
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loopline.errors import DataError
from loopline.images import MAX_MEGAPIXELS, decode, perceptual_hash

ORIENTATION = 0x0112
PHOTOMETRIC = 262


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def noise(width_px: int = 60, height_px: int = 40, *, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
    return Image.fromarray(values)


def plain(mode: str, colour: Any) -> Image.Image:
    return Image.new(mode, (20, 10), colour)


def png_header(width_px: int, height_px: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width_px, height_px, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + b"\0\0\0\0IDAT"


def refusal(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        decode(data)
    return str(caught.value)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_every_allowed_format_becomes_grey(form: str) -> None:
    picture = decode(encoded(plain("RGB", "red"), form))
    assert (picture.mode, picture.size) == ("L", (20, 10))
    assert abs(int(picture.getpixel((5, 5))) - 76) <= 3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "grey"),
    [
        (plain("1", 1), 255),
        (plain("L", 17), 17),
        (plain("P", 0), 0),
        (plain("LA", (0, 0)), 255),
        (plain("RGBA", (0, 0, 0, 0)), 255),
        (plain("RGBA", (0, 0, 0, 255)), 0),
        (plain("RGBA", (0, 0, 0, 128)), 127),
        (Image.fromarray(np.full((10, 20), 40_000, np.uint16)), 156),
        (Image.fromarray(np.full((10, 20), 65_535, np.uint16)), 255),
    ],
)
def test_every_png_mode_has_a_defined_grey(image: Image.Image, grey: int) -> None:
    assert decode(encoded(image)).getpixel((5, 5)) == grey


@pytest.mark.parametrize("transparent", [0, b"\x00"])
def test_see_through_palette_colour_is_white(transparent: int | bytes) -> None:
    assert decode(encoded(plain("P", 0), transparency=transparent)).getpixel((0, 0)) == 255


@pytest.mark.parametrize(("form", "colour", "grey"), [("JPEG", (0, 0, 0, 255), 0), ("TIFF", (0, 0, 0, 0), 255)])
def test_cmyk_is_ink(form: str, colour: tuple[int, ...], grey: int) -> None:
    assert decode(encoded(plain("CMYK", colour), form)).getpixel((5, 5)) == grey


@pytest.mark.parametrize("byteorder", ["<u2", ">u2"])
def test_16_bit_tiff_is_scaled_not_clipped(byteorder: str) -> None:
    image = Image.fromarray(np.full((10, 20), 40_000, np.dtype(byteorder)))
    assert decode(encoded(image, "TIFF")).getpixel((5, 5)) == 156


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_pixels_without_a_defined_grey_are_refused(mode: str) -> None:
    assert refusal(encoded(Image.new(mode, (20, 10)), "TIFF")) == "pixels of an unusual kind"


def test_inverted_16_bit_tiff_is_refused() -> None:
    image = Image.fromarray(np.full((10, 20), 40_000, np.uint16))
    assert refusal(encoded(image, "TIFF", tiffinfo={PHOTOMETRIC: 0})) == "pixels of an unusual kind"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_camera_orientation_is_undone(form: str, orientation: int) -> None:
    upright = Image.new("L", (48, 32), 255)
    upright.paste(0, (0, 0, 16, 16))  # a dark corner tells all eight orientations apart
    lying = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    taken = upright.transpose(lying[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    picture = decode(encoded(taken, form, exif=exif))
    assert picture.size == (48, 32)
    assert np.abs(np.asarray(picture, np.int16) - np.asarray(upright, np.int16)).max() <= 8


def test_orientation_of_16_bit_is_undone() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    assert decode(encoded(Image.fromarray(np.zeros((10, 20), np.uint16)), exif=exif)).size == (10, 20)


def test_nothing_is_zero_bytes() -> None:
    assert refusal(b"") == "zero bytes"


@pytest.mark.parametrize(
    "data",
    [
        b"just some text",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        encoded(noise(), "BMP"),
        encoded(noise(), "GIF"),
        encoded(noise(), "GIF", save_all=True, append_images=[noise(seed=1)]),
    ],
)
def test_other_content_is_refused_whatever_its_name(data: bytes) -> None:
    assert refusal(data) == "not a PNG, JPEG, WEBP or TIFF image"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_cut_short_anywhere_is_refused(form: str) -> None:
    whole = encoded(noise(), form)
    for percent in range(1, 100):
        reason = refusal(whole[: len(whole) * percent // 100])
        assert reason in {"truncated", "damaged", "not a PNG, JPEG, WEBP or TIFF image"}, percent
    if form != "WEBP":  # its decoder doesn't tell why it fails
        assert refusal(whole[: len(whole) // 2]) == "truncated"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_altered_bytes_end_in_a_reason_or_a_picture() -> None:
    rng = np.random.default_rng(0)
    for form in ("PNG", "JPEG", "WEBP", "TIFF"):
        whole = encoded(noise(), form)
        for _ in range(200):
            data = bytearray(whole)
            for position in rng.integers(0, min(len(data), 400), 4):
                data[position] = int(rng.integers(0, 256))
            try:
                assert decode(bytes(data)).mode == "L"
            except DataError as reason:
                assert len(str(reason)) < 50


@pytest.mark.parametrize(("width_px", "height_px"), [(20_000, 20_000), (12_000, 12_000), (10_000, 4_001)])
def test_too_many_pixels_are_refused_from_the_header(width_px: int, height_px: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refusal(png_header(width_px, height_px)) == f"over {MAX_MEGAPIXELS} megapixels"


@pytest.mark.parametrize(("width_px", "height_px"), [(1, 40), (40, 1), (1, 1), (7, 400)])
def test_too_thin_is_refused(width_px: int, height_px: int) -> None:
    assert refusal(encoded(noise(width_px, height_px))) == "a side under 8 px"


def test_long_and_low_is_accepted() -> None:
    assert decode(encoded(noise(20_000, 16))).size == (20_000, 16)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_several_frames_are_refused(form: str) -> None:
    data = encoded(noise(), form, save_all=True, append_images=[noise(seed=1)])
    assert refusal(data) == "several frames or pages"


def test_phone_photo_with_a_second_picture_inside_is_its_first() -> None:
    data = encoded(plain("L", 10), "MPO", save_all=True, append_images=[plain("L", 200)])
    assert decode(data).getpixel((5, 5)) == 10


def test_damaged_metadata_makes_no_noise() -> None:
    whole = encoded(noise(), "TIFF")
    script = "import sys; from loopline.images import decode; decode(sys.stdin.buffer.read())"
    ended = subprocess.run([sys.executable, "-c", script], input=whole[:60], capture_output=True)
    assert b"DataError" in ended.stderr
    assert b"Warning" not in ended.stderr


def test_perceptual_hash_is_near_for_a_recompressed_picture_and_far_for_another() -> None:
    smooth = noise(12, 8).resize((240, 160))
    other = noise(12, 8, seed=1).resize((240, 160))
    first, again, different = (
        perceptual_hash(decode(data)) for data in (encoded(smooth), encoded(smooth, "JPEG", quality=60), encoded(other))
    )
    assert len(first) == 64
    assert (int(first, 16) ^ int(again, 16)).bit_count() < 26
    assert (int(first, 16) ^ int(different, 16)).bit_count() > 77
