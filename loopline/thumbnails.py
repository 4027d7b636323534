"""Lines as a page shows them: small, and within the page itself."""

from base64 import b64encode
from io import BytesIO

from PIL import Image

TALLEST_PX = 96  # a page shows lines 48 px high, on screens of up to two pixels for one
WIDEST_PX = 1600  # likewise, for a long line across the page
WEBP_QUALITY = 80  # a written line of 64x1024 px takes some 10 kB, a tenth of its PNG


def thumbnail(image: Image.Image) -> Image.Image:
    """Make an image no larger than a page shows it, in place; return it."""
    image.thumbnail((WIDEST_PX, TALLEST_PX))
    return image


def data_uri(image: Image.Image) -> str:
    """Return an image as an address that holds it."""
    body = BytesIO()
    image.save(body, "WEBP", quality=WEBP_QUALITY)
    return f"data:image/webp;base64,{b64encode(body.getvalue()).decode()}"
