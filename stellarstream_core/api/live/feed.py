"""The feed: one for each process. It follows the commits and lets any number of readers take part."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from threading import Event

from loguru import logger

from stellarstream_core.api.live.batches import Batch
from stellarstream_core.api.live.filters import EVERY_EVENT, EventFilter
from stellarstream_core.api.live.follower import Follower
from stellarstream_core.api.live.frames import Frames
from stellarstream_core.api.live.limits import LiveLimits
from stellarstream_core.api.live.owners import Owners
from stellarstream_core.api.live.positions import Position
from stellarstream_core.api.live.reading import LiveStorage, Tip
from stellarstream_core.api.live.replays import Replays
from stellarstream_core.api.live.ring import Ring
from stellarstream_core.api.live.subscription import Subscription
from stellarstream_core.api.problems import ShuttingDownError, TooManyReadersError
from stellarstream_core.events import ContractEvent

OnCommit = Callable[[int, Sequence[ContractEvent]], None]
"""Called with a commit's position and its events; see :meth:`Feed.on_commit`."""


def _ignore(_: object) -> None:
    pass


class Feed:
    """Follows the commits of a storage, and keeps the newest of them for the readers of this process.

    Everything but the storage's calls happens in the event loop. A reader is a
    :class:`~stellarstream_core.api.live.subscription.Subscription`.
    """

    def __init__(self, storage: LiveStorage, limits: LiveLimits | None = None) -> None:
        self.limits = limits or LiveLimits()
        self.closing = False
        self.healthy = False
        self.histories = 1
        """How many histories were followed so far: what was answered under an earlier one no longer holds."""
        """Whether the storage is being followed now. Readers stay connected while it is not."""
        self.ring: Ring | None = None
        """The newest commits; None until the storage was read for the first time, another one for each history."""
        self.replays = Replays(storage, self.limits.replay_threads, self.limits.replay_bytes)
        self.dropped = 0
        """Readers dropped so far because they were too slow."""
        self.on_dropped: Callable[[str], object] = _ignore
        """Called with the reason where the service ends a reader that would go on."""
        self.on_pushed: Callable[[int], object] = _ignore
        """Called with how many events were sent: one event to ten readers is ten."""
        self._pushed = 0
        self._owners = Owners(self.limits.readers_per_client)
        self._follower = Follower(storage, self, self.limits.look_seconds)
        self._loop: asyncio.AbstractEventLoop
        self._ready = asyncio.Event()
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._ended = asyncio.Event()
        self._ended.set()
        self._callbacks: list[OnCommit] = []
        self._readers = 0
        self._groups: dict[EventFilter, dict[Subscription, None]] = {}
        self._filters: tuple[EventFilter, ...] = ()

    # --- what others see ------------------------------------------------------------------------

    @property
    def epoch(self) -> str:
        """The epoch that is followed; empty until the storage was read for the first time."""
        return "" if self.ring is None else self.ring.epoch

    @property
    def position(self) -> int:
        """The last commit that was handed to readers as a whole; 0 for none."""
        return 0 if self.ring is None else self.ring.end.commit - 1

    @property
    def now(self) -> Position | None:
        """Where a reader begins that connects now."""
        return None if self.ring is None else Position(self.ring.epoch, self.ring.end)

    @property
    def readers(self) -> int:
        """How many readers there are."""
        return self._readers

    def on_commit(self, callback: OnCommit) -> None:
        """Call ``callback`` in the loop with each commit's position and events, before readers get them.

        A commit of many events comes in several calls, one without events in one. After a change of
        history it is called with the new position and no events. What it raises is logged.
        """
        self._callbacks.append(callback)

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow. The storage need not be there: it is tried again until it is."""
        self._loop = asyncio.get_running_loop()
        self._ended.clear()
        self._follower.start()

    async def ready(self) -> None:
        """Wait until the storage is followed for the first time."""
        await self._ready.wait()

    async def close(self, grace_seconds: float = 2.0) -> None:
        """Tell every reader that the service ends, and end within about ``grace_seconds``.

        A reader who does not take the word in time is cut off. Safe to call twice.
        """
        self.closing = True
        self._follower.stop()
        for part in (0.25, 0.75):
            for reader in self._all():
                reader.hurry()
            with suppress(TimeoutError):
                async with asyncio.timeout(part * grace_seconds):
                    await self._nobody.wait()
        for reader in self._all():
            reader.cut_off()
        self.replays.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._ended.wait()

    # --- readers --------------------------------------------------------------------------------

    def subscribe(
        self, filter: EventFilter = EVERY_EVENT, since: Position | None = None, owners: Sequence[str] = ()
    ) -> Subscription:
        """Return a new reader, who begins after ``since``, or with what comes from now on.

        It counts until it is closed, also for each of its ``owners``, names of its client and its account;
        with its first owner it shares the turns of replays. Raises ``TooManyReadersError``,
        ``TooManyReadersOfClientError`` and ``ShuttingDownError``.
        """
        if self.closing:
            raise ShuttingDownError("This worker takes no new readers.")
        if self._readers >= self.limits.most_readers:
            raise TooManyReadersError(f"This worker has {self._readers} live streams.")
        self._owners.enter(owners)
        reader = Subscription(self, filter, since, owners)
        self._readers += 1
        self._nobody.clear()
        self._groups.setdefault(filter, {})[reader] = None
        self._filters = tuple(self._groups)
        return reader

    def leave(self, reader: Subscription) -> None:
        """Forget a reader. Called by it when it is closed."""
        group = self._groups.get(reader.filter, {})
        if reader not in group:
            return
        del group[reader]
        self._readers -= 1
        self._owners.leave(reader.owners)
        if not group:
            del self._groups[reader.filter]
            self._filters = tuple(self._groups)
        if not self._readers:
            self._nobody.set()

    def drop(self, reason: str) -> None:
        """Note that a reader is dropped."""
        self.dropped += 1
        self.on_dropped(reason)

    def pushed(self, events: int) -> None:
        """Note that a reader is sent events. They are told together: those of all readers who had their turn."""
        if not self._pushed:
            asyncio.get_running_loop().call_soon(self._tell_pushed)
        self._pushed += events

    def _tell_pushed(self) -> None:
        events, self._pushed = self._pushed, 0
        self.on_pushed(events)

    def _all(self) -> list[Subscription]:
        return [reader for group in self._groups.values() for reader in group]

    # --- what the follower tells, in its thread ---------------------------------------------------

    def filters(self) -> Iterable[EventFilter]:
        """Return what readers want now."""
        return self._filters

    def began(self, tip: Tip) -> None:
        """Begin, or begin anew with another history."""
        self._in_loop(self._begin, tip)

    def came(self, batch: Batch) -> None:
        """Hand a batch to the readers; return when each of them has had its turn."""
        self._in_loop(self._hand_out, batch)

    def followed(self, healthy: bool) -> None:
        """Note whether the storage is being followed."""
        if healthy != self.healthy:
            self._in_loop(self._note_health, healthy)

    def ended(self) -> None:
        """Note that the follower is gone."""
        with suppress(RuntimeError):  # the loop may have gone before it
            self._loop.call_soon_threadsafe(self._ended.set)

    def _in_loop(self, function: Callable[..., list[Subscription]], *args: object) -> None:
        """Call a function in the loop, give the readers it returns their turn, and wait for that."""
        done = Event()
        failures: list[Exception] = []

        def call() -> None:
            todo: deque[Subscription] = deque()
            try:
                todo.extend(function(*args))
            except Exception as error:  # it is the follower's to deal with
                failures.append(error)
            self._give_turns(todo, done)

        self._loop.call_soon_threadsafe(call)
        while not done.wait(1.0):
            if self._follower.stopping:
                return
        if failures:
            raise failures[0]

    def _give_turns(self, todo: deque[Subscription], done: Event) -> None:
        """Wake readers, some at a time, so that other work of the loop comes in between."""
        if not todo:
            done.set()
            return
        for _ in range(min(len(todo), self.limits.readers_at_a_time)):
            todo.popleft().wake()
        # readers that were woken run before this does
        self._loop.call_soon(self._loop.call_soon, self._give_turns, todo, done)

    # --- the same, in the loop ----------------------------------------------------------------------

    def _begin(self, tip: Tip) -> list[Subscription]:
        again = self.ring is not None
        self.ring = Ring(Frames(tip.epoch), tip.place, self.limits.ring_bytes)
        if again:
            self.histories += 1
            self.replays.forget()
            self._call_back(self.position, ())
        return self._all()

    def _hand_out(self, batch: Batch) -> list[Subscription]:
        if self.ring is not None:
            self.ring.append(batch)
        for piece in batch.pieces:
            self._call_back(piece.commit.position, piece.events)
        batch.release()
        concerned: list[Subscription] = []
        for filter, group in self._groups.items():
            selection = batch.selection(filter)
            if selection is not None and not selection.frames:
                for reader in group:
                    if not reader.skip(batch):
                        concerned.append(reader)
            else:
                concerned.extend(group)
        return [reader for reader in concerned if reader.waits]

    def _note_health(self, healthy: bool) -> list[Subscription]:
        self.healthy = healthy
        if healthy:
            self._ready.set()
        return []

    def _call_back(self, position: int, events: Sequence[ContractEvent]) -> None:
        for callback in self._callbacks:
            try:
                callback(position, events)
            except Exception as error:
                logger.opt(exception=error).error("a callback of the live stream failed at position {}", position)
