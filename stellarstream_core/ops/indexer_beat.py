"""What an indexer tells while it works: how far it is, how far the network is, and how many seconds lie between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic

from loguru import logger

from stellarstream_core.errors import StorageError
from stellarstream_core.ops.indexer import Renewal
from stellarstream_core.ops.process import BEAT_SECONDS, Presence, State
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import EVERYTHING, Scope
from stellarstream_core.sources import Reach, Unserved
from stellarstream_core.storage import Storage
from stellarstream_core.sync.follow import DEFAULT_LEDGER_SECONDS
from stellarstream_core.sync.progress import Progress
from stellarstream_core.sync.run import known_states

READ_SECONDS = 10.0
"""How often the watermark is read where nothing was committed: another process may fill a gap."""


class Pace:
    """How far the network is, as it was told last, and how long its ledgers take."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.tip: int | None = None
        self._clock = clock
        self._heard_at = 0.0
        self._ledger_seconds = DEFAULT_LEDGER_SECONDS

    def heard(self, reach: Reach) -> None:
        """Take what a source told of its tip."""
        self.tip, self._heard_at = reach.latest, self._clock()
        self._ledger_seconds = reach.ledger_seconds or self._ledger_seconds

    def lag(self, watermark: int | None) -> float | None:
        """Return about how many seconds a watermark is behind; None where that cannot be told.

        While no source tells its tip the network goes on: the time since the tip was told counts as well.
        """
        if self.tip is None or watermark is None:
            return None
        behind = max(self.tip - watermark, 0) * self._ledger_seconds
        return round(behind + self._clock() - self._heard_at, 1)


class IndexerBeat:
    """Hears of a sync's progress, passes it on, and tells of it in the process's presence.

    ``renewal`` hears where something is being fetched, was committed, or nothing is left to fetch.
    """

    def __init__(
        self,
        progress: Progress,
        presence: Presence | None = None,
        renewal: Renewal | None = None,
    ) -> None:
        self._progress, self._presence = progress, presence
        self._renewal = renewal or Renewal()  # one that nobody asks for
        self._ledger: int | None = None
        self._watermark: int | None = None
        self._pace = Pace()
        self._changed = True

    # --- what a sync says ------------------------------------------------------------------------

    def planned(self, wanted: LedgerRange, ledgers: int) -> None:
        """Hear what will be fetched."""
        if ledgers:
            self._renewal.working()
        self._at_work()
        self._progress.planned(wanted, ledgers)

    def committed(self, covered: LedgerRange, share: float, new_events: int) -> None:
        """Hear of a window that was committed."""
        self._ledger = max(self._ledger or 0, covered.last)
        self._changed = True
        if self._presence is not None:
            self._presence.worked()
        self._progress.committed(covered, share, new_events)
        self._renewal.window_done()

    def unserved(self, item: Unserved, next_source: str | None = None) -> None:
        """Hear of what a source gave up."""
        self._progress.unserved(item, next_source)

    def following(self, ledger: int, delay: float) -> None:
        """Hear that the tip is reached."""
        self._ledger = ledger
        self._at_work()
        self._progress.following(ledger, delay)
        self._renewal.resting()

    def projecting(self, name: str, done: int, total: int) -> None:
        """Hear of a projection."""
        self._progress.projecting(name, done, total)

    def heard(self, reach: Reach) -> None:
        """Hear of the network's tip."""
        self._pace.heard(reach)

    # --- what is told ----------------------------------------------------------------------------

    @asynccontextmanager
    async def telling(self, storage: Storage, scope: Scope) -> AsyncIterator[None]:
        """Tell how far the database is, for the time of the block."""
        if self._presence is None:
            yield
            return
        over = asyncio.Event()
        task = asyncio.create_task(self._tell(self._presence, storage, scope, over))
        try:
            yield
        finally:
            over.set()
            await asyncio.wait([task])  # it may be reading: the database is closed after that

    async def _tell(self, presence: Presence, storage: Storage, scope: Scope, over: asyncio.Event) -> None:
        read_at = 0.0
        while not over.is_set():
            if self._changed or monotonic() - read_at >= READ_SECONDS:
                self._changed, read_at = False, monotonic()
                try:
                    self._watermark = await asyncio.to_thread(_read_watermark, storage, scope)
                except StorageError as error:
                    logger.debug("the watermark cannot be read now: {}", error)
            presence.tell(
                ledger=self._ledger,
                watermark=self._watermark,
                tip=self._pace.tip,
                lag=self._pace.lag(self._watermark),
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), BEAT_SECONDS)

    def _at_work(self) -> None:
        if self._presence is not None and self._presence.state in {State.STARTING, State.WAITING}:
            self._presence.ready()


def _read_watermark(storage: Storage, scope: Scope) -> int | None:
    known = known_states(storage.sync_states([*scope, EVERYTHING]), scope)
    return min((state.last_ledger_sequence for state in known.values()), default=None)
