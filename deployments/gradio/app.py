"""A page on which people try the service: write a line or choose a picture, see what is read, correct it.

    LOOPLINE_CLIENT__URL=http://127.0.0.1:3000 LOOPLINE_CLIENT__KEY=KEY python deployments/gradio/app.py

It asks the service over HTTP as anyone else does, and asks nothing of any other host. `GRADIO_SERVER_NAME` and
`GRADIO_SERVER_PORT` say where it listens; the loopback's port 7860 unless set.

app.py       this: what is on the page, and what happens when it is used
showing.py   an answer as HTML: the text, and where on the picture each character was read
line.js      the sheet to write on, which is the one of the page that reads in a browser; style.css, how it all looks
"""

import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from showing import answer_page, sample_pictures, trouble

from loopline.answers import Reading
from loopline.client import Client
from loopline.errors import ConfigError, LooplineError
from loopline.settings import read_settings

HERE = Path(__file__).parent
SHEET = HERE.parent / "browser" / "sheet.js"
RETRIES = 1  # somebody waits

ABOUT = """# Read a line
Write one with pen, finger or mouse, or choose a picture of one. The service reads it, and tells how sure it is of each
character and where it saw it."""
NOT_KEPT = "Nothing of what you send is kept here, so that corrections are not taken."
KEPT = """What you send is kept for {days} days, so that the next model reads better: the picture, the answer and your
correction. A person looks at them before anything is learnt."""
OPTED_OUT = "Nothing of this line was kept, so that it can't be corrected."
THANKS = "Thank you. A person looks at it, and the next model learns from it."


class Page:
    """What happens on the page; `silent` asks the service to keep nothing, `keeping` only whom consent was shown."""

    def __init__(self, url: str, key: str | None) -> None:
        self.keeping = Client(url, key, retries=RETRIES)
        self.silent = Client(url, key, retries=RETRIES, capture=False)

    def introduce(self) -> tuple[Any, Any, Any, int | None]:
        """Tell which model answers, and what becomes of what is sent: for how many days it is kept, if it is."""
        try:
            model = self.keeping.model()
        except LooplineError as error:
            return gr.update(value=trouble(error)), gr.update(value=""), gr.update(visible=False), None
        days = model.kept_days
        consent = KEPT.format(days=days) if days else NOT_KEPT
        return f"`{model.model}`\n\n{model.card}", gr.update(value=consent), gr.update(visible=bool(days)), days

    def read(
        self, shown_days: int | None, keep_nothing: bool, event: gr.EventData
    ) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Read what was written or chosen, and show it; the old answer goes at once."""
        closed = gr.update(value="", interactive=False, info="")
        yield "", None, closed, ""
        try:
            picture = _bytes(event._data.get("picture"))  # Gradio's own attributes of the same come from here
            kept = bool(shown_days) and not keep_nothing
            reading = (self.keeping if kept else self.silent).read(picture)
        except LooplineError as error:
            yield trouble(error), None, closed, ""
        else:
            info = "" if kept else OPTED_OUT if keep_nothing else NOT_KEPT
            correction = gr.update(value=reading.text, interactive=kept, info=info)
            yield answer_page(reading, picture), reading, correction, ""

    def send(self, text: str, reading: Reading | None) -> str:
        """Send a correction; say thanks, or what is wrong."""
        if reading is None:
            return trouble("there is nothing to correct yet; read a line first")
        try:
            self.keeping.correct(reading.prediction_id, text)
        except LooplineError as error:
            return trouble(error)
        return f'<p role="status" class="thanks">{THANKS}</p>'


def make_page(page: Page) -> gr.Blocks:
    """Return the page, unopened."""
    with gr.Blocks(title="Read a line", analytics_enabled=False, fill_width=False) as blocks:
        gr.Markdown(ABOUT)
        reading, shown_days = gr.State(), gr.State()
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                sheet = _sheet()
                shown = gr.HTML(elem_id="answer")
                correction = gr.Textbox(
                    label="What it really says",
                    elem_id="correction",
                    interactive=False,
                    max_lines=1,
                    submit_btn="Send",
                )
                thanks = gr.HTML()
            with gr.Column(scale=2, min_width=280):
                consent = gr.Markdown(elem_id="consent")
                keep_nothing = gr.Checkbox(label="Keep nothing of what I send", visible=False)
                with gr.Accordion("The model", open=True):
                    card = gr.Markdown(elem_id="card")
        quietly: dict[str, Any] = {"api_visibility": "private"}
        blocks.load(page.introduce, outputs=[card, consent, keep_nothing, shown_days], **quietly)
        sheet.submit(page.read, [shown_days, keep_nothing], [shown, reading, correction, thanks], **quietly)
        correction.submit(page.send, [correction, reading], thanks, **quietly)
    return blocks  # type: ignore[no-any-return]  # Gradio's `with` is untyped


def open_page(url: str, key: str | None) -> None:
    """Serve the page for a service until the process is told to end."""
    system = ["ui-sans-serif", "system-ui", "sans-serif"]
    make_page(Page(url, key)).launch(
        theme=gr.themes.Base(font=system, font_mono=["ui-monospace", "monospace"]),
        css_paths=HERE / "style.css",
        footer_links=[],
        ssr_mode=False,
        share=False,
        quiet=True,
    )


def _sheet() -> gr.HTML:
    """Return the sheet to write on; the event `submit` carries its picture as a data URL."""
    code = re.sub(r"^export ", "", SHEET.read_text(), flags=re.MULTILINE)
    return gr.HTML(
        html_template=(HERE / "sheet.html").read_text().replace("@samples", sample_pictures()),
        js_on_load=f"{code}\n{(HERE / 'line.js').read_text()}",
        elem_id="line",
        apply_default_css=False,
    )


def _bytes(picture: str | None) -> bytes:
    """Return what a data URL holds."""
    try:
        return base64.b64decode((picture or "").partition(",")[2], validate=True)
    except binascii.Error:
        return b""


if __name__ == "__main__":
    try:
        given = read_settings().client
    except ConfigError as error:
        raise SystemExit(f"loopline: {error}") from None
    if not given.url:
        raise SystemExit("loopline: which service? Set LOOPLINE_CLIENT__URL to its address")
    open_page(given.url, given.key.get_secret_value() if given.key else None)
