"""From untrusted bytes to one upright grey picture: the same rules wherever an image comes in.

Ingest, the service and the guesses all decode here, so that a model is never asked about pixels that training would
have refused or seen differently.
"""

import io
import re
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from loopline.errors import DataError

RULES = 1  # raise it when decode or perceptual_hash change their mind: older findings are then made anew
MAX_MEGAPIXELS = 40  # an A4 page at 600 dpi has 35; decoded in colour that is 160 MB
MIN_SIDE_PX = 8  # below this no letter can be told from another
NO_PICTURE = "not a PNG, JPEG, WEBP or TIFF image"
HASH_SIDE = 16  # 256 bits: lines of writing look much alike, in 64 bits different ones would collide
NEAR_BITS = 24  # of these, in which a re-encoded picture may differ; unrelated lines differ in some 128

# Opened by signature, not through Image.open: that one warns of bombs too late, and on behalf of the whole process.
_READERS: dict[bytes, Callable[[io.BytesIO], ImageFile]] = {
    rb"\x89PNG\r\n\x1a\n": PngImageFile,
    rb"\xff\xd8\xff": JpegImageFile,
    rb"(?s)RIFF.{4}WEBP": WebPImageFile,
    rb"II[*+]\0|MM\0[*+]": TiffImageFile,
}
_GREY_16 = {"I;16", "I;16B"}
_GREYABLE = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}
_WHITE_IS_ZERO = 0

# Damaged metadata is told in the DataError's reason.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def decode(data: bytes) -> Image.Image:
    """Return the picture upright and in 8-bit grey, see-through parts white; DataError with the reason in few words."""
    if not data:
        raise DataError("zero bytes")
    try:
        image = _open(data)
        _check_header(image)
        ImageOps.exif_transpose(image, in_place=True)
        return _grey(image)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # on damaged bytes Pillow raises nearly anything
        raise DataError("truncated" if "truncated" in str(error).lower() else "damaged") from error


def is_picture(data: bytes) -> bool:
    """Tell by its first bytes whether this may be a picture that `decode` reads."""
    return any(re.match(signature, data) for signature in _READERS)


def perceptual_hash(image: Image.Image) -> str:
    """Return 64 hex digits, nearly the same for pictures that look alike."""
    import imagehash  # brings scipy, which a service that only reads can do without

    return str(imagehash.phash(image, hash_size=HASH_SIDE))


def _open(data: bytes) -> ImageFile:
    for signature, reader in _READERS.items():
        if re.match(signature, data):
            return reader(io.BytesIO(data))
    raise DataError(NO_PICTURE)


def _check_header(image: ImageFile) -> None:
    if image.width * image.height > MAX_MEGAPIXELS * 1_000_000:
        raise DataError(f"over {MAX_MEGAPIXELS} megapixels")
    if min(image.size) < MIN_SIDE_PX:
        raise DataError(f"a side under {MIN_SIDE_PX} px")
    if getattr(image, "is_animated", False):
        raise DataError("several frames or pages")
    if image.mode not in _GREYABLE | _GREY_16 or _is_odd_tiff(image):
        raise DataError("pixels of an unusual kind")


def _is_odd_tiff(image: ImageFile) -> bool:
    """Tell 12-bit and inverted 16-bit grey, which Pillow hands out as if they were plain 16-bit."""
    if image.mode not in _GREY_16 or not isinstance(image, TiffImageFile):
        return False
    tags = image.tag_v2
    return bool(tags[BITSPERSAMPLE] != (16,) or tags[PHOTOMETRIC_INTERPRETATION] == _WHITE_IS_ZERO)


def _grey(image: Image.Image) -> Image.Image:
    if image.mode in _GREY_16:  # Pillow's own conversion clips at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        grey, alpha = image.convert("LA").split()
        return Image.composite(grey, Image.new("L", image.size, "white"), alpha)
    return image.convert("L")
