"""One reader's way through the order of commits: what it is to be sent, one after another.

A reader is at a place. Each step takes it from there to the end of the batch that holds the place,
and gives it the events of that batch that lie behind the place and fit its filter. Batches come from
the ring, or from the database where the ring no longer has them; both hold the same events between
the same places, so the reader can go from one to the other at any step: nothing is left out and
nothing comes twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from stellarstream_core.api.live.batches import Batch, Selection, UnknownPlaceError
from stellarstream_core.api.live.filters import EventFilter
from stellarstream_core.api.live.frames import HEARTBEAT, ResetReason, bye, retry
from stellarstream_core.api.live.positions import Place, Position
from stellarstream_core.api.live.reading import HistoryChangedError
from stellarstream_core.api.live.ring import Ring
from stellarstream_core.errors import StorageError

if TYPE_CHECKING:
    from stellarstream_core.api.live.feed import Feed

T = TypeVar("T")

STEPS_AT_A_TIME = 4
"""Batches handed to one reader before others have their turn."""
PAUSE_SECONDS = 0.5
"""How long a reader waits before it asks a database again that has just failed."""


def _nothing() -> None:
    pass


class Subscription:
    """A reader of a feed. Iterate over :meth:`frames` and send what it yields; close it in the end."""

    def __init__(self, feed: Feed, filter: EventFilter, since: Position | None, owners: Sequence[str] = ()) -> None:
        self.filter = filter
        self.owners = owners
        """Whom it counts for."""
        self.waits = False
        """Whether it waits for news."""
        self.on_hurry: Callable[[], None] = _nothing
        """Called when the service is about to end, possibly more than once: stop waiting for the client."""
        self.on_cut_off: Callable[[], None] = _nothing
        """Called when the service can wait no longer."""
        self._feed = feed
        self._since = since
        self._place = Place(1)
        self._resume = ""
        self._ring: Ring | None = None
        self._told: Place | None = None
        self._due = 0.0
        self._steps = 0
        # readers who were served together are not sent their heartbeats together
        self._longest_silence = feed.limits.heartbeat_seconds * random.uniform(0.8, 1.0)  # noqa: S311 - no secret
        self._loop = asyncio.get_running_loop()
        self._alarm: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._question: asyncio.Task[Any] | None = None

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def position(self) -> Position | None:
        """Up to where everything was handed out; None where that is not settled yet."""
        return None if self._ring is None else Position(self._ring.epoch, self._place)

    def close(self) -> None:
        """Leave the feed. Safe to call twice."""
        self._forget_question()
        self._cancel_alarm()
        self._feed.leave(self)

    # --- called by the feed ---------------------------------------------------------------------

    def wake(self) -> None:
        """Let it look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def skip(self, batch: Batch) -> bool:
        """Move on over a batch in which there is nothing for it; return False where it does not stand before it."""
        if self._place != batch.start or self._ring is not self._feed.ring:
            return False
        self._place, self._resume = batch.end, batch.resume
        return True

    def hurry(self) -> None:
        """Come to an end."""
        self.wake()
        self.on_hurry()

    def cut_off(self) -> None:
        """End now."""
        self.on_cut_off()

    # --- what is sent ---------------------------------------------------------------------------

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield what is to be sent, whole frames, until the service ends; what was yielded counts as sent.

        Nothing takes longer than the heartbeat's seconds. Storage failures are waited out.
        """
        yield self._out(self._greeting())
        while not self._feed.closing:
            self._steps += 1
            if self._steps % STEPS_AT_A_TIME == 0:
                await asyncio.sleep(0)
            ring = self._feed.ring
            if self._ring is None or ring is None:
                data = await self._settle()
            elif self._ring is not ring:
                other = self._ring.epoch != ring.epoch
                data = self._reset(ring, ResetReason.OTHER_EPOCH if other else ResetReason.HISTORY_CHANGED)
            else:
                data = await self._step(ring, self._place)
            if data:
                yield self._out(data)
            elif self._loop.time() >= self._due:
                yield self._out(self._heartbeat())
        yield self._farewell()

    def _out(self, data: bytes) -> bytes:
        self._due = self._loop.time() + self._longest_silence
        return data

    def _greeting(self) -> bytes:
        milliseconds = self._feed.limits.retry_milliseconds
        words = retry(int(milliseconds * random.uniform(0.75, 1.25)))  # noqa: S311 - spreads readers, no secret
        return words + self._settle_at_once()

    def _heartbeat(self) -> bytes:
        if self._ring is None or self._place == self._told:
            return HEARTBEAT
        self._told = self._place
        return HEARTBEAT + self._ring.frames.progress(self._place)

    def _farewell(self) -> bytes:
        if self._ring is None:
            return bye()
        return self._ring.frames.progress(self._place) + bye()

    def _reset(self, ring: Ring, reason: ResetReason) -> bytes:
        self._stand(ring, ring.end)
        return ring.frames.reset(ring.end, reason)

    def _stand(self, ring: Ring, place: Place) -> None:
        """Be at a place of a history."""
        self._forget_question()
        self._ring = ring
        self._place = self._told = place
        self._resume = ""

    # --- where it begins ------------------------------------------------------------------------

    def _settle_at_once(self) -> bytes:
        """Take the place that was asked for, where it is known to exist without asking the database."""
        ring, since = self._feed.ring, self._since
        if ring is None:
            return b""
        if since is None:
            place = ring.end
        elif since.epoch == ring.epoch and since.place <= ring.end:
            place = since.place
        else:
            return b""
        self._stand(ring, place)
        return ring.frames.progress(place)

    async def _settle(self) -> bytes:
        """Find out whether the place exists that was asked for, and take it; empty where that is not known yet.

        Another worker may be ahead of this one, with commits and with a new epoch: only the database
        can tell a position that never was from one that this worker has not come to.
        """
        if greeting := self._settle_at_once():
            return greeting
        since = self._since
        if self._feed.ring is None or since is None:
            await self._sleep()
            return b""
        tip = await self._ask(self._feed.replays.tip)
        ring = self._feed.ring
        if tip is None or ring is None:
            return b""
        if tip.epoch != ring.epoch:  # the follower is about to notice
            await self._sleep(PAUSE_SECONDS)
            return b""
        if since.epoch != ring.epoch:
            return self._reset(ring, ResetReason.OTHER_EPOCH)
        if since.place > tip.place:
            return self._reset(ring, ResetReason.FUTURE)
        self._stand(ring, since.place)
        return ring.frames.progress(since.place)

    # --- step by step ---------------------------------------------------------------------------

    async def _step(self, ring: Ring, place: Place) -> bytes:
        """Move on by one batch and return what of it is to be sent; empty where there is nothing, or nothing yet."""
        if place >= ring.end:
            await self._sleep_until_news()
            return b""
        batch = ring.holding(place)
        selection = None if batch is None else batch.selection(self.filter)
        if batch is None or selection is None:
            page = await self._page(ring, place)
            if page is None:
                return b""
            batch, selection = page
        try:
            part = batch.behind(place, selection)
        except UnknownPlaceError:
            return self._reset(ring, ResetReason.UNKNOWN)
        self._place, self._resume = batch.end, batch.resume
        if part.events:
            self._feed.pushed(part.events)
        return part.data

    async def _page(self, ring: Ring, place: Place) -> tuple[Batch, Selection] | None:
        """Return the batch that holds a place, read from the database; None where it is not there yet."""
        replays, resume = self._feed.replays, self._resume
        client = self.owners[0] if self.owners else ""
        page = await self._ask(lambda: replays.batch(place, resume, self.filter, ring.frames, client))
        if page is None or ring is not self._feed.ring:
            return None
        if page[0].end > ring.end:  # who hears of commits from the feed must not hear of them later
            await self._sleep_until_news()
            return None
        return page

    # --- waiting --------------------------------------------------------------------------------

    async def _ask(self, question: Callable[[], Coroutine[Any, Any, T | None]]) -> T | None:
        """Return what the storage answers; None where it has not answered yet: ask the same again.

        None, too, where it fails or is about to tell that it holds another history; then after a pause.
        """
        if self._question is None:
            self._question = asyncio.create_task(question())
            self._question.add_done_callback(self._answered)
        asked: asyncio.Task[T | None] = self._question
        if not asked.done():
            await self._sleep()
        if not asked.done() or asked is not self._question:
            return None
        self._question = None
        try:
            answer = asked.result()
        except (StorageError, HistoryChangedError):
            answer = None
        if answer is None:
            await self._sleep(PAUSE_SECONDS)
        return answer

    def _answered(self, asked: asyncio.Task[Any]) -> None:
        if not asked.cancelled():
            asked.exception()  # seen: whoever asked may be gone
        self.wake()

    def _forget_question(self) -> None:
        if self._question is not None:
            self._question.cancel()
            self._question = None

    async def _sleep_until_news(self) -> None:
        self.waits = True
        try:
            await self._sleep()
        finally:
            self.waits = False

    async def _sleep(self, seconds: float | None = None) -> None:
        """Wait until woken, at most until the next heartbeat is due, or as many seconds; it may be less."""
        until = self._due if seconds is None else min(self._due, self._loop.time() + seconds)
        if self._alarm is None or self._alarm.when() > until:
            self._cancel_alarm()
            self._alarm = self._loop.call_at(until, self._alarmed)
        self._steps = 0
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _alarmed(self) -> None:
        """Wake it at the time it wanted. An alarm out of date is left to ring: cheaper than to set it each time."""
        self._alarm = None
        self.wake()

    def _cancel_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
