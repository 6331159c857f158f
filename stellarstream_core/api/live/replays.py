"""Replaying what readers missed: pages from the database, few at a time, each shared by all who want it.

A page is a batch like any other. Readers who come back together (a worker ended, a network failed)
stand at the same few places, so most of them find their page made; the others wait their turn
without holding a thread or a connection, and clients have their turns one after another.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial

from stellarstream_core.api.live.batches import BATCH_EVENTS, Batch, Selection, cut
from stellarstream_core.api.live.filters import EventFilter
from stellarstream_core.api.live.frames import Frames
from stellarstream_core.api.live.positions import Place
from stellarstream_core.api.live.reading import LiveStorage, Tip, read_pieces, read_tip
from stellarstream_core.api.live.turns import Turns, Work


class Replays:
    """Reads pages in ``threads`` threads of its own and keeps the last of them, about ``most_bytes``."""

    def __init__(self, storage: LiveStorage, threads: int, most_bytes: int) -> None:
        self._storage = storage
        self._turns = Turns(threads, "live-replay")
        self._shelf = _Shelf(most_bytes)
        self._tip: Work[Tip] | None = None

    @property
    def reading(self) -> int:
        """How many pages are being read or wait to be."""
        return len(self._shelf.flights)

    def forget(self) -> None:
        """Let go of every page: another history begins. What is being read meanwhile is not kept."""
        self._shelf = _Shelf(self._shelf.most_bytes)

    def close(self) -> None:
        """Begin nothing more."""
        self._turns.close()

    async def batch(
        self, place: Place, resume: str, filter: EventFilter, frames: Frames, client: str = ""
    ) -> tuple[Batch, Selection] | None:
        """Return the batch in which what comes after ``place`` begins, with the filter's part; None at the tip.

        ``resume`` as with ``read_pieces``; without it the page begins at a round number of events
        before the place, so that readers who are near each other share it. It is read when ``client``
        has its turn. Raises ``HistoryChangedError`` and ``StorageError``. May be cancelled at any time.
        """
        start = place if resume or not place.taken else Place(place.commit, _round(place.taken))
        while True:
            batch = await self._page(start, resume, filter, frames, client)
            if batch is None:
                return None
            if place < batch.end:
                selection = batch.selection(filter)
                if selection is None:
                    selection = await self._turns.ask(client, partial(batch.select, filter, frames)).wait()
                return batch, selection
            start, resume = batch.end, batch.resume

    async def tip(self) -> Tip:
        """Return what the storage says now: a reading that begins after the call. Raises ``StorageError``."""
        # one reading waits for its turn at a time, and it is everybody's: so nobody needs a turn of their own
        if self._tip is None or self._tip.begun or self._tip.over:
            self._tip = self._turns.ask("", partial(read_tip, self._storage))
        return await self._tip.wait()

    async def _page(self, start: Place, resume: str, filter: EventFilter, frames: Frames, client: str) -> Batch | None:
        """Return the batch that begins at ``start``: a kept one, else that of a reading under way or of a new one."""
        shelf = self._shelf
        if (kept := shelf.get(start)) is not None:
            return kept
        flight = shelf.flights.get(start)
        if flight is not None and not flight.over:
            self._turns.join(client, flight)
        else:
            flight = self._turns.ask(client, partial(self._read, start, resume, filter, frames))
            shelf.begin(start, flight)
        batches = await flight.wait()
        return batches[0] if batches else None

    def _read(self, start: Place, resume: str, filter: EventFilter, frames: Frames) -> list[Batch]:
        batches = list(cut(read_pieces(self._storage, frames.epoch, start, resume)))
        for batch in batches[:1]:  # in the same thread, since somebody waits for it
            batch.select(filter, frames)
        return batches


class _Shelf:
    """Pages of one history: those kept, the last used last, and those being read."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.flights: dict[Place, Work[list[Batch]]] = {}
        self._pages: OrderedDict[Place, Batch] = OrderedDict()
        self._bytes = 0

    def get(self, start: Place) -> Batch | None:
        page = self._pages.get(start)
        if page is not None:
            self._pages.move_to_end(start)
        return page

    def begin(self, start: Place, flight: Work[list[Batch]]) -> None:
        """Note that a page is being read, until it is."""

        def over(read: asyncio.Future[list[Batch]]) -> None:
            if self.flights.get(start) is flight:
                del self.flights[start]
            self._take(read)

        self.flights[start] = flight
        flight.result.add_done_callback(over)

    def _take(self, read: asyncio.Future[list[Batch]]) -> None:
        """Keep what was read; the pages that were not used for longest make room."""
        if read.cancelled() or read.exception() is not None:
            return
        for batch in reversed(read.result()):
            if batch.start not in self._pages:
                self._pages[batch.start] = batch
                self._bytes += batch.size
        while self._bytes > self.most_bytes and len(self._pages) > 1:
            self._bytes -= self._pages.popitem(last=False)[1].size


def _round(taken: int) -> int:
    """Return the last round number of events below ``taken``, so that the event it counts to is on the page."""
    return (taken - 1) // BATCH_EVENTS * BATCH_EVENTS
