"""The schedule of a stream as a small chart: how much is unlocked when, and the sentence that says the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stellarstream_invoice_links.human import duration_text
from stellarstream_invoice_links.page.times import Time, time_of

NEAR_LEFT, NEAR_RIGHT = 30.0, 70.0
"""Where a label is written away from the edge that it stands near, in percent of the width."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment on the chart: ``x`` and ``y`` in percent from the plot's top left, and how its label is anchored."""

    x: float
    y: float
    label: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """All of it, ready to be drawn.

    ``line`` are the corners of what is unlocked, ``area`` the same closed below, as an SVG's ``points`` in percent.
    ``first`` and ``last`` are the ends of the axis of times, a moment or words. ``sentence`` says all of it, in words
    and moments one after another.
    """

    line: str
    area: str
    cliff: Mark | None
    now: Mark | None
    first: Time | str
    last: Time | str
    sentence: Sequence[Time | str]

    @property
    def summary(self) -> str:
        """The sentence as one text."""
        return "".join(part if isinstance(part, str) else part.text for part in self.sentence)


def schedule(duration: int, start: int | None = None, cliff: int | None = None, now: float | None = None) -> Schedule:
    """Return the chart of a stream that runs for ``duration`` seconds.

    ``start`` and ``cliff`` are Unix seconds; without a start it begins when it is paid, and has no cliff. ``now`` is
    marked where it lies inside. What has run up since the start is unlocked at the cliff (the contracts' rule).
    """
    if start is None:
        corners = [(0.0, 0.0), (100.0, 100.0)]
        return Schedule(
            *_points(corners),
            cliff=None,
            now=None,
            first="When it is paid",
            last=f"{duration_text(duration)} later",
            sentence=(f"Unlocks evenly, second by second, for {duration_text(duration)} from when it is paid.",),
        )
    end = start + duration
    corners = [(0.0, 0.0)]
    mark = None
    if cliff is not None and cliff > start:
        at = _share(cliff - start, duration)
        corners += [(at, 0.0), (at, at)]
        mark = Mark(at, 100 - at, "Cliff", _anchor(at))
    corners.append((100.0, 100.0))
    return Schedule(
        *_points(corners),
        cliff=mark,
        now=_now(start, cliff, duration, now),
        first=time_of(start),
        last=time_of(end),
        sentence=_sentence(start, cliff, end),
    )


def unlocked_percent(duration: int, start: int, cliff: int | None, now: float) -> float:
    """Return how much of a stream is unlocked at a moment, in percent."""
    if now < start or (cliff is not None and now < cliff):
        return 0.0
    return min(_share(now - start, duration), 100.0)


def percent_text(percent: float) -> str:
    """Return a share for reading: ``12%``, and never 0% or 100% for what is not that."""
    if 0 < percent < 1:
        return "less than 1%"
    if 99 < percent < 100:
        return "more than 99%"
    return f"{percent:.0f}%"


def _now(start: int, cliff: int | None, duration: int, now: float | None) -> Mark | None:
    if now is None or not start < now < start + duration:
        return None
    x = _share(now - start, duration)
    return Mark(x, 100 - unlocked_percent(duration, start, cliff, now), "Now", _anchor(x))


def _sentence(start: int, cliff: int | None, end: int) -> Sequence[Time | str]:
    if cliff is None or cliff <= start:
        return ("Unlocks evenly, second by second, from ", time_of(start), " until ", time_of(end), ".")
    if cliff >= end:
        return ("Nothing unlocks before ", time_of(cliff), " (the cliff); then all of it at once.")
    share = percent_text(_share(cliff - start, end - start))
    then = f" (the cliff); then {share} at once, and the rest evenly, second by second, until "
    return ("Nothing unlocks before ", time_of(cliff), then, time_of(end), ".")


def _share(part: float, whole: float) -> float:
    return round(100 * part / whole, 3)


def _anchor(x: float) -> str:
    return "start" if x < NEAR_LEFT else "end" if x > NEAR_RIGHT else "middle"


def _points(corners: Sequence[tuple[float, float]]) -> tuple[str, str]:
    line = " ".join(f"{x:g},{100 - y:g}" for x, y in corners)
    return line, f"{line} 100,100 0,100"
