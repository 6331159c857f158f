"""The chart of events a minute: bars, axes and the sentence that says the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stellarstream_core.api.minutes import Minute
from stellarstream_core.api.pages.text import clock, moment, number, plural

HEIGHT = 128
"""Pixels of the plot, from the axis of times up to the highest line."""
MOST_LABELS = 5
OLD_SECONDS = 1800
"""A chart that ends before this tells its date too."""
BAR_SHARE = 0.72
"""How much of a minute's width its bar takes."""


@dataclass(frozen=True, slots=True)
class ChartBar:
    """One minute: x and width in percent of the plot, y and height in pixels from its top."""

    x: float
    width: float
    y: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A label on an axis: ``at`` is percent from the left, or pixels from the top; ``anchor`` where text begins."""

    at: float
    label: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Chart:
    """All of it, ready to be drawn."""

    bars: Sequence[ChartBar]
    times: Sequence[Tick]
    counts: Sequence[Tick]
    rows: Sequence[tuple[str, int]]
    total: int
    summary: str


def minutes_chart(minutes: Sequence[Minute], now: float) -> Chart | None:
    """Return the chart as of ``now`` (Unix seconds), None where there are no minutes to show."""
    if not minutes:
        return None
    highest = max(minute.events for minute in minutes)
    top = round_up(highest)
    step = 100 / len(minutes)
    bars = []
    for at, minute in enumerate(minutes):
        if minute.events:
            # one event among thousands still has a bar
            height = max(HEIGHT * minute.events / top, 1.5)
            title = f"{clock(minute.start)}: {plural(minute.events, 'event')}"
            bars.append(
                ChartBar(
                    round((at + (1 - BAR_SHARE) / 2) * step, 3),
                    round(step * BAR_SHARE, 3),
                    round(HEIGHT - height, 2),
                    round(height, 2),
                    title,
                )
            )
    total = sum(minute.events for minute in minutes)
    return Chart(
        bars=bars,
        times=_times(minutes, step),
        counts=[Tick(0, number(top)), Tick(HEIGHT / 2, _half(top)), Tick(HEIGHT, "0")],
        rows=[(clock(minute.start), minute.events) for minute in minutes],
        total=total,
        summary=_summary(minutes, total, now),
    )


def round_up(count: int) -> int:
    """Return the least of 2, 4, 6, 8, 10, 20, 40, … that is not below ``count``: a top whose half is whole."""
    decade = 1
    while True:
        for factor in (2, 4, 6, 8, 10):
            if factor * decade >= count:
                return factor * decade
        decade *= 10


def _half(top: int) -> str:
    return number(top // 2)


def _times(minutes: Sequence[Minute], step: float) -> list[Tick]:
    """Return labels for round times, at most ``MOST_LABELS``, each at the beginning of its minute."""
    every = next(n for n in (1, 2, 5, 10, 15, 30, 60, 120) if len(minutes) / n <= MOST_LABELS or n == 120)
    ticks = []
    for at, minute in enumerate(minutes):
        if minute.start // 60 % every == 0:
            x = at * step
            anchor = "start" if x < 5 else "end" if x > 95 else "middle"
            ticks.append(Tick(round(x, 3), clock(minute.start), anchor))
    return ticks


def _summary(minutes: Sequence[Minute], total: int, now: float) -> str:
    first, last = clock(minutes[0].start), clock(minutes[-1].start)
    if now - minutes[-1].start > OLD_SECONDS:
        first = f"{moment(minutes[0].start)[:10]}, {first}"
    if not total:
        return f"No events from {first} to {last} UTC."
    most = max(minutes, key=lambda minute: minute.events)
    return (
        f"{plural(total, 'event')} from {first} to {last} UTC, {number(round(total / len(minutes)))} a minute "
        f"on average; most at {clock(most.start)}: {number(most.events)}."
    )
