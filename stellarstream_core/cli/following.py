"""What ``sync --follow`` is beside its work: renewed by SIGHUP; under a supervisor the only one, telling how it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from stellarstream_core.cli.output import say
from stellarstream_core.errors import SyncInterruptedError
from stellarstream_core.ops.database_wait import DatabaseWait
from stellarstream_core.ops.indexer import LOCK_SECONDS, IndexerLock, Renewal, has_terminal
from stellarstream_core.ops.indexer_beat import IndexerBeat
from stellarstream_core.ops.process import Presence, State, supervised_role
from stellarstream_core.ops.readiness import ReadyInTime
from stellarstream_core.ops.supervised import present
from stellarstream_core.settings import Settings
from stellarstream_core.storage import Storage
from stellarstream_core.sync.progress import Progress

T = TypeVar("T")


class Following:
    """One ``sync``; of one that does not follow, or has no supervisor, it asks less or nothing."""

    def __init__(self, *, follow: bool) -> None:
        self.role = supervised_role("indexer" if follow else "sync")
        self._follow = follow
        # who closes a terminal means to end what runs in it
        self.renewal = Renewal() if follow and (self.role is not None or not has_terminal()) else None
        # by hand one is told at once that another process follows; under a supervisor it would be started for ever
        self.stand_by = self._stand_by if self.role is not None else None
        self._database = DatabaseWait(self._wait_for_database)
        self._lock: IndexerLock | None = None
        self._presence: Presence | None = None

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run to the end; where SIGHUP came meanwhile, execute this process again instead of returning."""
        done: T | None = None
        try:
            try:
                done = asyncio.run(work())
            except SyncInterruptedError:  # before it had anything to report on
                if self.renewal is None or not self.renewal.due:
                    raise
            if self.renewal is not None and self.renewal.due:
                say("SIGHUP: this command is executed again.", err=True)
                self.renewal.execute()
        finally:
            if self._lock is not None:
                self._lock.close()
        if done is None:
            raise SyncInterruptedError("Stopped while it was executed again; what was committed is kept.")
        return done

    @asynccontextmanager
    async def present(self, settings: Settings, stop: asyncio.Event) -> AsyncIterator[None]:
        """Under a supervisor: tell how this process is, and wait until no other indexer of its kind runs.

        Raises ``IndexerBusyError`` where one does not end, and ``SettingsError`` where there is no run folder.
        """
        with present(settings, self.role) as presence:
            if presence is None:
                yield
                return
            self._presence = presence
            telling = asyncio.create_task(self._tell_end(presence, stop))
            try:
                if self._follow:
                    presence.be(State.WAITING)
                    self._lock = await IndexerLock.take(presence.run_dir, stop, LOCK_SECONDS)
                    presence.be(State.STARTING)
                if self.renewal is not None:
                    self.renewal.lock = self._lock
                yield
            finally:
                telling.cancel()
                await asyncio.wait([telling])

    async def going_on(self, work: Callable[[], Coroutine[Any, Any, T]], stop: asyncio.Event) -> T:
        """Do the work; under a supervisor, do it again where a database that was open went away, once it is back.

        By hand one is told at once. Raises what the work raises, and ``SyncInterruptedError``.
        """
        if not self._follow or self.role is None:
            return await work()
        return await self._database.run(work, stop)

    async def opened(self, open_storage: Callable[[], Storage]) -> Storage:
        """Open the database: the first time it must not take long under a supervisor, which tries again then."""
        with ReadyInTime(None if self._database.ever_opened else self.role, "the database"):
            storage = await asyncio.to_thread(open_storage)
        self._database.opened()
        return storage

    def watched(self, progress: Progress) -> IndexerBeat:
        """Return a progress that passes on what it hears, tells the supervisor, and knows when to be renewed."""
        return IndexerBeat(progress, self._presence, self.renewal)

    def _wait_for_database(self, waiting: bool) -> None:
        if self._presence is not None:
            self._presence.be(State.NO_DATABASE if waiting else State.STARTING)
        if waiting and self.renewal is not None:
            self.renewal.resting()

    def _stand_by(self, standing_by: bool) -> None:
        if self._presence is not None:
            self._presence.be(State.STANDBY if standing_by else State.STARTING)

    async def _tell_end(self, presence: Presence, stop: asyncio.Event) -> None:
        await stop.wait()
        presence.be(State.RENEWING if self.renewal is not None and self.renewal.due else State.DRAINING)
