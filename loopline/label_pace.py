"""How labelling went on over time, as drawings."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING

from loopline.consensus import Opinion
from loopline.painting import ACCENT, Drawing, blank, count_whole, plain_text, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNITS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
MOST_BARS = 60  # in a drawing; from there on they stand for the next longer unit
FEWEST_BARS = 6  # that there is room for, so that the only one is no wall
TICK_COUNT = 4  # at most: a day and an hour are long words on a phone
RECENT_DAYS = 7  # on which someone labelled: what the pace is taken from
MARKER_COUNT = 30  # more points than these are drawn without a dot for each


def pace(opinions: Sequence[Opinion], open_count: int) -> list[Drawing]:
    """Draw how many lines were read an hour, day or week, and how many in all by then; times are in UTC."""
    times = sorted(opinion.updated_at.astimezone(UTC) for opinion in opinions)
    if not times:
        return []
    unit = _unit(times[-1] - times[0])
    start = _floor(times[0], unit)
    counts = Counter((time - start) // UNITS[unit] for time in times)
    firsts = sorted(_firsts(opinions))
    drawings = [_bars(counts, unit, start=start)]
    if len(counts) > 1:
        drawings.append(_growth([(time - start) // UNITS[unit] for time in firsts], unit, start=start))
        drawings[-1] = Drawing(drawings[-1].title, _forecast(firsts, open_count), drawings[-1].figure)
    return drawings


def _unit(span: timedelta) -> str:
    return next((name for name, length in UNITS.items() if span / length < MOST_BARS), "week")


def _floor(time: datetime, unit: str) -> datetime:
    hour = time.replace(minute=0, second=0, microsecond=0)
    days = {"hour": 0, "day": 0, "week": hour.weekday()}[unit]
    return hour if unit == "hour" else hour.replace(hour=0) - timedelta(days=days)


def _firsts(opinions: Sequence[Opinion]) -> list[datetime]:
    """Return when each image was first read."""
    first: dict[str, datetime] = {}
    for opinion in opinions:
        time = opinion.updated_at.astimezone(UTC)
        first[opinion.image_sha256] = min(time, first.get(opinion.image_sha256, time))
    return list(first.values())


def _bars(counts: Counter[int], unit: str, *, start: datetime) -> Drawing:
    with plain_text():
        figure, axes = blank()
        axes.bar(list(counts), list(counts.values()), width=0.8, color=ACCENT)
        _date(axes, max(counts), unit, start=start)
    busiest, most = max(counts.items(), key=lambda item: (item[1], -item[0]))
    total = f"{counts.total():,} reading{'s' if counts.total() != 1 else ''}"
    when = _told(start + busiest * UNITS[unit], unit)
    caption = f"{total}, {most:,} of them in the busiest {unit} ({when})."
    return Drawing(f"Readings an {unit}" if unit == "hour" else f"Readings a {unit}", caption, figure)


def _growth(places: Sequence[int], unit: str, *, start: datetime) -> Drawing:
    counts = Counter(places)
    spots = sorted(counts)
    with plain_text():
        figure, axes = blank()
        totals = list(accumulate(counts[spot] for spot in spots))
        marker_size = 4 if len(spots) <= MARKER_COUNT else 0
        axes.plot(spots, totals, "o-", color=ACCENT, linewidth=2, markersize=marker_size, clip_on=False)
        _date(axes, max(spots), unit, start=start)
    return Drawing("Lines that someone has read, in all", "", figure)


def _forecast(firsts: Sequence[datetime], open_count: int) -> str:
    days = Counter(time.date() for time in firsts)
    recent = sorted(days)[-RECENT_DAYS:]
    a_day = sum(days[day] for day in recent) / len(recent)
    if len(recent) < 2:
        return f"All {len(firsts):,} on one day."
    told = f"{a_day:,.0f} new lines a day on the last {len(recent)} days on which someone labelled"
    if not open_count:
        return f"{told}."
    left = open_count / a_day
    return f"{told}; at that pace the {open_count:,} open ones take {left:,.0f} more such days."


def _date(axes: "Axes", last: int, unit: str, *, start: datetime) -> None:
    """Give a drawing of places 0 to last its dates."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(-0.6, max(last, FEWEST_BARS - 1) + 0.6)
    axes.set_ylim(bottom=0)
    count_whole(axes.yaxis)
    axes.xaxis.set_major_locator(MaxNLocator(TICK_COUNT, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: _told(start + round(place) * UNITS[unit], unit)))
    style(axes, x={"hour": "hour, in UTC", "day": "day, in UTC", "week": "week from"}[unit])


def _told(time: datetime, unit: str) -> str:
    day = f"{time.day} {time:%b}"
    return {"hour": f"{day}, {time:%H}:00", "day": day, "week": f"{day} {time.year}"}[unit]
