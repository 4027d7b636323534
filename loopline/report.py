"""A model's report, to look at: one HTML file that asks nothing of the network and shows a person what a model can do.

What is shown is decided here, how it looks in report.html.j2.
"""

from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image
from rapidfuzz.distance import Levenshtein

from loopline.contracts import Metrics, Scalar, Slice
from loopline.curves import Curve, draw_curve
from loopline.measures import RATES, label, shown, shown_difference, verdict

WORST_COUNT = 12  # lines: what a person looks at, and every one brings its image along
SUREST_COUNT = 6
RIGHT_COUNT = 6
SLICE_COUNT = 12
PAIR_COUNT = 12
HEAT_COUNT = 10  # characters along each side of the heat map

Interval = tuple[float, float]


@dataclass(frozen=True)
class LineResult:
    """One judged line: what stands there, what the model read, and how sure it was, from 0 to 1."""

    key: str
    truth: str
    text: str
    confidence: float
    edit_count: int
    group: str
    source: str
    image_png: bytes

    @property
    def image_uri(self) -> str:
        """The image, within the page."""
        return f"data:image/png;base64,{b64encode(self.image_png).decode()}"

    @property
    def image_size_px(self) -> tuple[int, int]:
        """Width and height of the image."""
        with Image.open(BytesIO(self.image_png)) as image:
            return image.size

    @property
    def alignment(self) -> list[tuple[str, str, str]]:
        """Truth and answer side by side, in pieces of (equal, replace, delete or insert; truth; answer)."""
        return [
            (step.tag, self.truth[step.src_start : step.src_end], self.text[step.dest_start : step.dest_end])
            for step in Levenshtein.opcodes(self.truth, self.text)
        ]


@dataclass(frozen=True)
class Findings:
    """What is known of a model when its report is written. A difference is (this model - champion)."""

    title: str
    problem: str
    dataset_name: str
    recipe: Mapping[str, Scalar]
    seed: int
    epochs: int
    device: str
    train_seconds: float
    sample_count: int
    metrics: Metrics
    interval_95: Mapping[str, Interval]
    baseline_metrics: Metrics
    baseline_name: str
    champion_version: str | None
    champion_metrics: Metrics | None
    difference_95: Mapping[str, Interval] | None
    slices: tuple[Slice, ...]
    val_metrics: Metrics


@dataclass(frozen=True)
class _Headline:
    """One metric beside what it is measured against, and its place on a scale that shows the interval well."""

    key: str
    value: float
    interval: Interval | None
    baseline: float | None
    champion: float | None
    difference: Interval | None

    @property
    def scale(self) -> Interval:
        near = [self.value, *(self.interval or ()), *([] if self.champion is None else [self.champion])]
        margin = 0.4 * (max(near) - min(near)) or 0.1 * abs(self.value) or 0.01
        return min(near) - margin, max(near) + margin

    def place(self, value: float) -> float:
        """Return where on the scale a value lies, in percent; beyond it: at its end."""
        low, high = self.scale
        return min(max(100 * (value - low) / (high - low), 1.5), 98.5)

    def is_on_scale(self, value: float) -> bool:
        return self.scale[0] <= value <= self.scale[1]


def render(
    findings: Findings,
    *,
    curve: Sequence[Mapping[str, float]],
    lines: Sequence[LineResult],
    rejected: Mapping[str, int],
) -> str:
    """Return the page, from the metrics per epoch, every judged line, and how much data was left out for each reason.

    A row of the curve may hold its `epoch`, 1 being the first; `*loss` and `*<first metric>` of it are drawn.
    """
    mistakes = [line for line in lines if line.edit_count]
    confusions = _confusions(mistakes)
    first_metric = next(iter(findings.metrics), "")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            findings=findings,
            rates=RATES,
            headlines=_headlines(findings),
            curves=_curves(curve, first_metric),
            slice_tables=_slice_tables(findings.slices, first_metric),
            slice_count=SLICE_COUNT,
            line_count=len(lines),
            mistake_count=len(mistakes),
            worst=sorted(mistakes, key=lambda line: (-line.edit_count, -line.confidence, line.key))[:WORST_COUNT],
            surest=sorted(mistakes, key=lambda line: (-line.confidence, line.key))[:SUREST_COUNT],
            right=_spread([line for line in lines if not line.edit_count]),
            confusions=confusions,
            pairs=sorted(confusions.items(), key=lambda item: (-item[1], item[0]))[:PAIR_COUNT],
            involved=_involved(confusions),
            truth_counts=Counter(character for line in lines for character in line.truth),
            rejected=sorted(rejected.items(), key=lambda item: (-item[1], item[0])),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        label=label,
        shown=shown,
        shown_difference=shown_difference,
        verdict=verdict,
        duration=_duration,
        character=_character,
    )
    return environment


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _character(character: str) -> str:
    return {"": "nothing", " ": "space"}.get(character, character)


def _headlines(findings: Findings) -> list[_Headline]:
    return [
        _Headline(
            key=key,
            value=value,
            interval=findings.interval_95.get(key),
            baseline=findings.baseline_metrics.get(key),
            champion=(findings.champion_metrics or {}).get(key),
            difference=(findings.difference_95 or {}).get(key),
        )
        for key, value in findings.metrics.items()
    ]


def _spread(right: Sequence[LineResult]) -> list[LineResult]:
    """Choose a few lines, from the least to the most confident answer."""
    ranked = sorted(right, key=lambda line: (line.confidence, line.key))
    count = min(RIGHT_COUNT, len(ranked))
    return [ranked[i * (len(ranked) - 1) // max(1, count - 1)] for i in range(count)]


def _slice_tables(slices: Sequence[Slice], metric: str) -> dict[str, list[Slice]]:
    """Sort the slices into one table per name, the worst first where there are too many to show."""
    tables: defaultdict[str, list[Slice]] = defaultdict(list)
    for part in slices:
        tables[part.name].append(part)
    sign = -1 if metric in RATES and RATES[metric].lower_is_better else 1
    for parts in tables.values():
        if len(parts) > SLICE_COUNT:
            parts.sort(key=lambda part: sign * part.metrics.get(metric, 0.0))
    return dict(tables)


def _confusions(mistakes: Sequence[LineResult]) -> Counter[tuple[str, str]]:
    """Count each (character of the truth, character read instead); "" stands for none."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in mistakes:
        for tag, truth, text in line.alignment:
            if tag == "replace":
                counts.update(zip(truth, text, strict=True))
            elif tag != "equal":
                counts.update([(character, "") for character in truth] + [("", character) for character in text])
    return counts


def _involved(confusions: Mapping[tuple[str, str], int]) -> list[str]:
    """Return the characters most often confused, in their own order, nothing last."""
    involved: Counter[str] = Counter()
    for pair, count in confusions.items():
        involved.update({character: count for character in pair if character})
    top = sorted(involved, key=lambda character: (-involved[character], character))[:HEAT_COUNT]
    return [*sorted(top), ""] if top else []


def _curves(history: Sequence[Mapping[str, float]], metric: str) -> list[Curve]:
    """Draw the losses, and the first metric, over the epochs."""
    names = dict.fromkeys(name for row in history for name in row)
    losses = [name for name in names if name.endswith("loss")]
    scores = [name for name in names if metric and name.endswith(metric)]
    drawings = (
        draw_curve(history, losses, title="Loss", unit=""),
        draw_curve(history, scores, title=label(metric), unit="%" if metric in RATES else ""),
    )
    return [drawing for drawing in drawings if drawing]
