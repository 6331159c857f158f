"""Retention: how long ledgers that are yet to be fetched stay with the sources that have them. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER, RangeSet
from stellarstream_core.sources import Reach

WARN_BELOW = 0.1
"""The share of its retention that a source has left for a missing ledger when the warning comes."""

_DEFAULT_LEDGER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Margin:
    """Of all missing ledgers the one that will be lost first: ``source`` has it longest, ``left`` ledgers more.

    ``kept`` is how many ledgers that source keeps, ``seconds`` about how long ``left`` ledgers take to close.
    """

    ledger: int
    source: str
    left: int
    kept: int
    seconds: float

    @property
    def ratio(self) -> float:
        """The share of the source's retention that is left: 1 for its newest ledger, 0 for its oldest."""
        return self.left / self.kept


def margin(missing: RangeSet, reaches: Mapping[str, Reach]) -> Margin | None:
    """Return how close missing ledgers are to being out of every source's retention.

    None where nothing is missing, or what is missing is safe or lost already: safe with a source that is an
    archive (``Reach.archive``) or still has the network's first ledgers, lost where no source has it.
    """
    forgetful = {}
    for name, reach in reaches.items():
        if reach.archive or reach.oldest <= FIRST_LEDGER + 1:
            missing -= RangeSet([(reach.oldest, max(reach.oldest, reach.latest))])
        else:
            forgetful[name] = reach
    found = [_margin(ledger, forgetful) for ledger in _firsts(missing, forgetful)]
    return min((one for one in found if one), key=lambda one: (one.left, one.ledger), default=None)


def endangered(missing: RangeSet, reaches: Mapping[str, Reach]) -> str | None:
    """Return a warning where missing ledgers will soon be out of every source's retention, else None."""
    found = margin(missing, reaches)
    if found is None or found.ratio >= WARN_BELOW:
        return None
    minutes = found.seconds / 60
    soon = f"{minutes / 60:.0f} hours" if minutes >= 120 else f"{minutes:.0f} minutes"
    return (
        f"ledger {found.ledger} is missing and leaves the retention of {found.source} in about {soon}, "
        "and no other source has it: fetch it now, or configure a source of older ledgers (lake_url)"
    )


def _firsts(missing: RangeSet, reaches: Mapping[str, Reach]) -> Iterator[int]:
    """Yield the first missing ledger from each place on where a source begins or ends: all others are safer."""
    for place in {edge for reach in reaches.values() for edge in (reach.oldest, reach.latest + 2)}:
        bounds = (missing & RangeSet([(place, LAST_LEDGER)])).bounds
        if bounds is not None:
            yield bounds.first


def _margin(ledger: int, reaches: Mapping[str, Reach]) -> Margin | None:
    """Return how long the source that keeps this ledger longest will do so; the next ledger counts as there."""
    holders = {name: reach for name, reach in reaches.items() if reach.oldest <= ledger <= reach.latest + 1}
    if not holders:
        return None
    name, reach = max(holders.items(), key=lambda holder: ledger - holder[1].oldest)
    left = ledger - reach.oldest
    seconds = left * (reach.ledger_seconds or _DEFAULT_LEDGER_SECONDS)
    return Margin(ledger, name, left, max(reach.latest - reach.oldest + 1, 1), seconds)
