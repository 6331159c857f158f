"""The ledger that this process committed last: it stands in every line of its log."""

from __future__ import annotations

ledger: int | None = None
"""The last ledger of the window that was committed last; None before the first one, and in other processes."""


def note(last: int) -> None:
    """Remember the last ledger of a window that has just been committed."""
    global ledger  # noqa: PLW0603 - a process has one sync
    ledger = last
