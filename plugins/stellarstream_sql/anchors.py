"""Which anchors to keep: dense where the tip is, sparse where history is old. Pure."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 512
"""How many anchors a database holds at most."""
RECENT = 128
"""The newest anchors, which are never thinned out."""


def to_drop(ledgers: Sequence[int]) -> list[int]:
    """Return the anchors to delete, given all of them, newest first; none while there are few enough.

    Every second of the older ones goes, never the oldest: each thinning doubles the distance
    between old anchors, so they spread over the whole history.
    """
    if len(ledgers) <= MOST:
        return []
    return list(ledgers[RECENT:-1:2])
