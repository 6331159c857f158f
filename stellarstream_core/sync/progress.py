"""What a running sync tells whoever watches it."""

from __future__ import annotations

from typing import Protocol

from stellarstream_core.ranges import LedgerRange
from stellarstream_core.sources import Unserved


class Progress(Protocol):
    """Hears of a sync's progress. Called from the event loop; must not block."""

    def planned(self, wanted: LedgerRange, ledgers: int) -> None:
        """Hear that ``ledgers`` of the wanted range are missing and will be fetched."""
        ...

    def committed(self, covered: LedgerRange, share: float, new_events: int) -> None:
        """Hear of a committed window; ``share`` is its ledgers times the part of the scope it covers."""
        ...

    def unserved(self, item: Unserved, next_source: str | None = None) -> None:
        """Hear that a source gave up a range, which ``next_source`` is asked for where there is one."""
        ...

    def following(self, ledger: int, delay: float) -> None:
        """Hear that everything up to ``ledger`` was asked for, and that the next look is in ``delay`` seconds."""
        ...

    def projecting(self, name: str, done: int, total: int) -> None:
        """Hear that of ``total`` commits ``done`` are taken in by a projection; told after what was fetched."""
        ...


class Silence:
    """A progress that nobody watches."""

    def planned(self, wanted: LedgerRange, ledgers: int) -> None:
        """Ignore it."""

    def committed(self, covered: LedgerRange, share: float, new_events: int) -> None:
        """Ignore it."""

    def unserved(self, item: Unserved, next_source: str | None = None) -> None:
        """Ignore it."""

    def following(self, ledger: int, delay: float) -> None:
        """Ignore it."""

    def projecting(self, name: str, done: int, total: int) -> None:
        """Say nothing."""
