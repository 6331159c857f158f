"""Events a minute, by the close time of their ledgers: counted once from the database, then with each commit.

A minute is named by the Unix minute it begins with. Only minutes of which everything stored was
counted are told, so that a count is never too low.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from threading import Lock
from time import monotonic, time
from typing import NamedTuple

from loguru import logger

from stellarstream_core.errors import StorageError
from stellarstream_core.events import ContractEvent
from stellarstream_core.storage import EventQuery, Storage

KEPT_MINUTES = 120
"""Minutes kept, counted back from the newest."""
LOAD_SECONDS = 1.0
"""How long counting what is stored may take; older minutes are left out then."""
LOAD_EVENTS = 100_000
"""Events that are looked at in it, at most."""
PAGE_EVENTS = 1_000


class Minute(NamedTuple):
    """How many events closed in the minute that begins at ``start`` (Unix seconds)."""

    start: int
    events: int


class EventMinutes:
    """Counts events by minute. ``load`` and ``committed`` may be called from different threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[int] = Counter()
        self._newest: int | None = None
        self._since: int | None = None
        # what was counted already: a commit may be read from the database before the feed tells of it
        self._counted: set[str] | None = set()
        self._loaded_position = 0
        self._position: int | None = None

    def committed(self, position: int, events: Sequence[ContractEvent]) -> None:
        """Count the new events of a commit, or some of them. Commits come in the order of their positions.

        Positions have no holes: after one, the store's history is another, and counting begins anew.
        """
        with self._lock:
            if self._position is not None and position not in (self._position, self._position + 1):
                self._counts.clear()
                self._newest = self._counted = None
                self._since = self._next_minute()
            self._position = position
            if self._counted is not None and self._since is not None and position > self._loaded_position:
                self._counted = None
            self._count(events)
            if self._counted is not None and len(self._counted) > LOAD_EVENTS:
                self._counted = None  # nobody loads: what is known begins here
                self._since = self._since or self._next_minute()

    def load(self, storage: Storage) -> None:
        """Count what is stored, newest first, for about a second at most. Raises nothing."""
        end = monotonic() + LOAD_SECONDS
        left, after, reached_horizon = LOAD_EVENTS, "", False
        oldest: int | None = None
        try:
            while not reached_horizon:
                page = storage.find_events(EventQuery(descending=True, after=after), PAGE_EVENTS)
                with self._lock:
                    if self._counted is None:
                        return
                    self._count(page.events)
                    if page.events:
                        oldest = page.events[-1].closed_at // 60
                        reached_horizon = oldest < self._horizon
                if page.resume is None:
                    oldest, reached_horizon = None, True
                left -= len(page.events)
                after = page.resume or after
                if left <= 0 or monotonic() >= end:
                    break
            position = storage.totals().position
        except StorageError as error:
            logger.warning("events a minute are counted from now on only: {}", error)
            position = 0
        with self._lock:
            self._loaded_position = position
            if not reached_horizon:
                self._since = self._next_minute() if oldest is None else oldest + 1
            else:
                self._since = 0 if oldest is None else self._horizon

    def last(self, minutes: int, until: float | None = None) -> list[Minute]:
        """Return the last minutes, oldest first, those without events too; fewer where fewer are known.

        They end with that of ``until`` (Unix seconds), up to which the database is known to hold
        everything, or with the newest event's where that is later.
        """
        with self._lock:
            last = max((minute for minute in (self._newest, _minute(until)) if minute is not None), default=None)
            if last is None or self._since is None:
                return []
            first = max(last - min(minutes, KEPT_MINUTES) + 1, self._since)
            return [Minute(minute * 60, self._counts[minute]) for minute in range(first, last + 1)]

    @property
    def _horizon(self) -> int:
        """The oldest minute that is kept."""
        return 0 if self._newest is None else self._newest - KEPT_MINUTES + 1

    def _next_minute(self) -> int:
        return (int(time() // 60) if self._newest is None else self._newest) + 1

    def _count(self, events: Iterable[ContractEvent]) -> None:
        if self._counted is not None:
            new = [event for event in events if event.id not in self._counted]
            self._counted.update(event.id for event in new)
            events = new
        found = Counter(event.closed_at // 60 for event in events)
        if not found:
            return
        newest = max(found)
        if self._newest is None or newest > self._newest:
            self._newest = newest
            for minute in [minute for minute in self._counts if minute < self._horizon]:
                del self._counts[minute]
        self._counts.update({minute: count for minute, count in found.items() if minute >= self._horizon})


def _minute(until: float | None) -> int | None:
    """Return the minute of a moment; no chain's clock is ahead of ours by more than it is wrong."""
    return None if until is None else int(min(until, time()) // 60)
