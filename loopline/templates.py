"""How the templates of pages are filled in: every text escaped, nothing missing passed over, figures put in words."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from loopline import measures, provenance
from loopline.contracts import Scalar


def environment() -> Environment:
    """Return what fills in the templates that lie beside this file, with the filters that they share."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["find"] = measures.find
    made.filters.update(
        label=measures.label,
        short=measures.short,
        shown=measures.shown,
        shown_difference=measures.shown_difference,
        verdict=measures.verdict,
        duration=provenance.duration,
        character=_character,
        value=_value,
        web=_web,
    )
    return made


def _character(character: str) -> str:
    return {"": "nothing", " ": "space"}.get(character, character)


def _value(value: Scalar) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _web(address: str | None) -> str | None:
    """Return an address that a reader may follow, or None."""
    return address if address and address.startswith(("https://", "http://")) else None
