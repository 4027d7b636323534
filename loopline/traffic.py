"""What a service tells of its traffic: figures of each request, answer and correction, without pictures and words.

    traffic/<sha256 of the package that answered>/<time>-<chance>.jsonl    a minute of one process, a Row a line

They are counted once, by watch_model, and deleted then; housekeeping deletes what nobody counted.
"""

from datetime import datetime
from typing import Literal

from PIL import Image, ImageStat
from pydantic import AwareDatetime

from loopline.answers import Message, PredictionId, Share
from loopline.contracts import Sha256

TRAFFIC = "traffic"
TIME = "%Y%m%dT%H%M%SZ"  # in UTC; what a file's name begins with


class Row(Message):
    """One thing that happened: a request for pictures, a picture that was answered, a correction."""

    kind: Literal["request", "answer", "correction"]
    at: AwareDatetime
    status: int | None = None
    seconds: float | None = None
    prediction_id: PredictionId | None = None
    confidence: Share | None = None
    unsure: bool | None = None
    width_px: int | None = None
    height_px: int | None = None
    ink: Share | None = None
    contrast: Share | None = None


def traffic_place(package_sha256: Sha256, name: str = "") -> str:
    """Return where the store keeps a package's rows, or one file of them."""
    return f"{TRAFFIC}/{package_sha256}/{name}"


def told_at(key: str) -> datetime:
    """Return when a file of rows was closed; ValueError for what is none."""
    return datetime.strptime(key.rpartition("/")[2].partition("-")[0] + "+0000", f"{TIME}%z")


def ink_and_contrast(image: Image.Image) -> tuple[float, float]:
    """Return how dark a grey picture is (0 white, 1 black), and the spread of its greys (RMS contrast, 0 to 0.5)."""
    found = ImageStat.Stat(image)
    return round(1 - found.mean[0] / 255, 4), round(found.stddev[0] / 255, 4)
