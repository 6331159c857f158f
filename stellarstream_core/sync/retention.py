"""Retention: saying that ledgers are about to leave the only source that has them. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from stellarstream_core.ranges import FIRST_LEDGER, RangeSet
from stellarstream_core.sources import Reach

WARN_BELOW = 0.1
"""The share of its retention that a source has left for a missing ledger when the warning comes."""

_DEFAULT_LEDGER_SECONDS = 5.0


def endangered(missing: RangeSet, reaches: Mapping[str, Reach]) -> str | None:
    """Return a warning where missing ledgers will soon be out of every source's retention, else None.

    A source that is an archive (``Reach.archive``) or that has the ledger well inside its retention
    makes the ledger safe.
    """
    held = [missing & RangeSet([(reach.oldest, max(reach.oldest, reach.latest))]) for reach in reaches.values()]
    ledger = min((bounds.first for part in held if (bounds := part.bounds) is not None), default=None)
    if ledger is None:
        return None
    holders = [(name, reach) for name, reach in reaches.items() if reach.oldest <= ledger <= reach.latest]
    if any(reach.archive for _, reach in holders):
        return None
    name, reach = max(holders, key=lambda holder: ledger - holder[1].oldest)
    left = ledger - reach.oldest
    if reach.oldest <= FIRST_LEDGER + 1 or left >= WARN_BELOW * (reach.latest - reach.oldest + 1):
        return None
    minutes = left * (reach.ledger_seconds or _DEFAULT_LEDGER_SECONDS) / 60
    soon = f"{minutes / 60:.0f} hours" if minutes >= 120 else f"{minutes:.0f} minutes"
    return (
        f"ledger {ledger} is missing and leaves the retention of {name} in about {soon}, and no other source has it: "
        "fetch it now, or configure a source of older ledgers (lake_url)"
    )
