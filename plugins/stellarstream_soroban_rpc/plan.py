"""What is still to be read, and what was read but not handed over: the bookkeeping of the loop."""

from __future__ import annotations

import asyncio
import heapq
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_soroban_rpc.endpoints import Endpoint
from stellarstream_soroban_rpc.pages import Ask, Page
from stellarstream_soroban_rpc.pool import Patience, Pool


@dataclass(slots=True)
class Lane:
    """One group of contracts: what is still to be read of it, and how much to ask for at once.

    ``size`` is in ledgers, ``limit`` in events a page. ``pending`` is a heap.
    """

    group: Scope
    pending: list[LedgerRange]
    size: int
    limit: int


_ledger_of = attrgetter("ledger")


class Part:
    """What was read of a window from one endpoint and is not handed over yet.

    ``oldest`` is the highest that any page told of its oldest
    ledger, for several nodes may answer at one address. A node reads that before the events and
    outside of the database's transaction, so a page proves nothing about ledgers trimmed meanwhile;
    a later word does: what is still there was there all the time.
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self.covered = first - 1
        self.oldest = 0
        self.events: list[ContractEvent] = []
        self.size = 0
        self.pages_inside = 0
        """Pages in a row that completed no ledger."""
        self.compared = 0
        """Up to this ledger a later answer had the same; a failure does not take that back."""

    def add(self, page: Page) -> bool:
        """Take in the page that goes on where the last one ended; False where it does not go on there."""
        if self.events and page.events and page.events[0].id <= self.events[-1].id:
            return False
        self.events.extend(page.events)
        self.pages_inside = self.pages_inside + 1 if page.covered == self.covered else 0
        self.covered = page.covered
        self.oldest = max(self.oldest, page.oldest)
        self.size += page.size
        return True

    @property
    def complete(self) -> int:
        """How many of the events are of complete ledgers."""
        return self.index(self.covered + 1)

    def index(self, ledger: int) -> int:
        """Return where among the events those of ``ledger`` and after begin."""
        return bisect_left(self.events, ledger, key=_ledger_of)

    def forget_incomplete(self) -> None:
        """Drop the events of the ledger that is not complete."""
        del self.events[self.complete :]

    def cut(self, first: int) -> list[ContractEvent]:
        """Take out the complete ledgers from ``first`` on, dropping those before; the incomplete one stays."""
        at = self.complete
        events, self.events = self.events[:at], self.events[at:]
        self.first, self.size = self.covered + 1, 0
        if events and events[0].ledger < first:
            return [event for event in events if event.ledger >= first]
        return events


@dataclass(slots=True)
class Reading:
    """Where the reading of a window stands at one endpoint; another one begins anew after what is safe.

    Sources are not mixed inside a ledger, so no part is ever made of the pages of two endpoints.
    """

    endpoint: Endpoint
    part: Part
    ask: Ask


@dataclass(slots=True)
class Work:
    """A window being read: ledgers ``first`` to ``last`` of a lane are not handed over yet."""

    lane: Lane
    first: int
    last: int
    patience: Patience
    limit: int
    reached: tuple[int, str]
    """The furthest any endpoint came: ledgers complete up to here, last event seen."""
    reading: Reading | None = None
    avoid: set[Endpoint] = field(default_factory=set)
    troubled: bool = False
    """Whether anything went wrong with it; then its size is nothing to learn from."""

    @property
    def covered(self) -> int:
        """The last ledger that is complete, handed over or not."""
        return self.first - 1 if self.reading is None else self.reading.part.covered


class Plan:
    """What is still to be read by all lanes, the lowest ledger first."""

    def __init__(self, lanes: Sequence[Lane], pool: Pool) -> None:
        self.idle = 0
        """Readers that wait for something to do."""
        self._pool = pool
        self._lanes = tuple(lanes)
        self._active = 0
        self._changed = asyncio.Event()

    async def take(self) -> Work | None:
        """Return the next window, waiting while those being read may still give some back; None at the end."""
        while True:
            waiting = [lane for lane in self._lanes if lane.pending]
            if waiting:
                self._active += 1
                return self._next(min(waiting, key=lambda lane: lane.pending[0].first))
            if not self._active:
                return None
            self._changed.clear()
            self.idle += 1
            try:
                await self._changed.wait()
            finally:
                self.idle -= 1

    def _next(self, lane: Lane) -> Work:
        whole = heapq.heappop(lane.pending)
        last = min(whole.last, whole.first + lane.size - 1)
        if last < whole.last:
            heapq.heappush(lane.pending, LedgerRange(last + 1, whole.last))
        patience = Patience(self._pool.settings, self._pool.timing)
        return Work(lane, whole.first, last, patience, lane.limit, reached=(whole.first - 1, ""))

    def shrink(self, work: Work, last: int, resume: int | None = None) -> None:
        """Let a window end at ``last`` and have the ledgers from ``resume`` on read later, by whoever is free.

        ``resume`` is the ledger after ``last`` unless those between were handed over already.
        """
        resume = last + 1 if resume is None else resume
        if resume <= work.last:
            heapq.heappush(work.lane.pending, LedgerRange(resume, work.last))
            self._changed.set()
        work.last = min(work.last, last)

    def take_below(self, lane: Lane, ledger: int) -> RangeSet:
        """Take out of a lane all that nobody took yet of the ledgers before ``ledger``."""
        pending = RangeSet(lane.pending)
        below = pending & RangeSet([(1, ledger - 1)])
        lane.pending[:] = (pending - below).ranges  # in order, and so still a heap
        return below

    def done(self) -> None:
        """Note that a window taken is finished."""
        self._active -= 1
        self._changed.set()

    def drain(self) -> list[tuple[Scope, LedgerRange]]:
        """Return all that nobody took yet, and leave nothing."""
        left = [(lane.group, piece) for lane in self._lanes for piece in RangeSet(lane.pending)]
        for lane in self._lanes:
            lane.pending.clear()
        return left
