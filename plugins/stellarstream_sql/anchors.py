"""Which anchors to keep: dense where the tip is, sparse where history is old. Pure."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 512
"""How many anchors a database holds at most, beside those that are never dropped."""
KEPT_EVERY = 4096
"""Ledgers that are multiples of this are never dropped: checked ledgers leave an anchor at each."""
RECENT = 128
"""The newest anchors, which are never thinned out."""


def to_drop(ledgers: Sequence[int]) -> list[int]:
    """Return the anchors to delete, given all of them, newest first; none while there are few enough.

    Every second of the older ones goes, never the oldest: each thinning doubles the distance
    between old anchors, so they spread over the whole history.
    """
    tips = [ledger for ledger in ledgers if ledger % KEPT_EVERY]
    if len(tips) <= MOST:
        return []
    return tips[RECENT:-1:2]
