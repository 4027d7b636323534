"""An answer as HTML: the text, each character coloured and underlined by confidence, and where it was read."""

import base64
import io
from html import escape

from PIL import Image

from loopline.answers import Character, Reading
from loopline.images import decode
from loopline.problems.handwriting.samples import draw_lines

SURE, LIKELY = 0.95, 0.7  # confidence of a character: over these it is shown as sure, as likely; else as doubtful
SAMPLE_SEED, SAMPLE_COUNT = 7, 4
HEIGHT_REM = 11  # of a picture, on a page that is wide enough
MOST_SHOWN_PX = 2000  # of a picture's longer side, on the page


def answer_page(reading: Reading, picture: bytes) -> str:
    """Return what was read, over the picture; all text escaped."""
    spans = "".join(map(_written, reading.characters)) or "<em>nothing</em>"
    places = "".join(_place(one, width_px=reading.width_px) for one in reading.characters)
    percent, width_rem = int(reading.confidence * 100), HEIGHT_REM * reading.width_px / reading.height_px
    sure = f"{percent or 'Under 1'} % sure that the whole line is right"
    unsure = '<p class="unsure">This is less than the service asks of an answer: look at it twice.</p>'
    return f"""<section aria-label="The answer">
<p class="text" aria-label="{escape(reading.text, quote=True)}">{spans}</p>
<p class="sure"><meter min="0" max="100" value="{percent}" aria-hidden="true"></meter> {sure}</p>
{unsure if reading.unsure else ""}
<div class="picture" style="max-width:{width_rem:.1f}rem">
<img src="{data_url(_shown(picture))}" alt="The picture that was read">{places}</div>
<p class="legend"><span class="sure">sure</span> <span class="likely">likely</span>
<span class="doubtful">doubtful</span></p>
</section>"""


def trouble(error: object) -> str:
    """Return what is wrong, for whoever uses the page."""
    sentence = str(error)
    return f'<p role="alert" class="trouble">{escape(sentence[:1].upper() + sentence[1:])}.</p>'


def sample_pictures() -> str:
    """Return buttons that show lines of digits, drawn from real pen strokes."""
    lines = draw_lines(seed=SAMPLE_SEED, counts={"test": SAMPLE_COUNT})
    images = [f'src="{data_url(Image.fromarray(line.pixels))}" alt="Sample {n}"' for n, line in enumerate(lines, 1)]
    return "".join(f'<button type="button" class="sample"><img {image}></button>' for image in images)


def data_url(image: Image.Image) -> str:
    """Return a picture as an address that holds it."""
    body = io.BytesIO()
    image.save(body, "PNG")
    return f"data:image/png;base64,{base64.b64encode(body.getvalue()).decode()}"


def _shown(picture: bytes) -> Image.Image:
    upright = decode(picture)  # as the service did, so that the places fit
    upright.thumbnail((MOST_SHOWN_PX, MOST_SHOWN_PX))
    return upright


def _written(one: Character) -> str:
    return f'<span class="{_class(one)}" title="{_title(one)}">{escape(one.text)}</span>'


def _place(one: Character, *, width_px: int) -> str:
    left, right = 100 * one.left_px / width_px, 100 * one.right_px / width_px
    style = f"left:{left:.2f}%;width:{right - left:.2f}%"
    return f'<span class="place {_class(one)}" style="{style}" title="{_title(one)}"><b>{escape(one.text)}</b></span>'


def _class(one: Character) -> str:
    return "sure" if one.confidence >= SURE else "likely" if one.confidence >= LIKELY else "doubtful"


def _title(one: Character) -> str:
    return escape(f"{one.text}: {int(one.confidence * 100)} % sure", quote=True)
