"""An indexer whose database went away waits for it in the same process, and goes on when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import TypeVar

from loguru import logger

from stellarstream_core.errors import SchemaError, StorageError, SyncInterruptedError

T = TypeVar("T")

FIRST_WAIT = 0.5
"""Seconds before it is tried again first; twice as long each time after that."""
LONGEST_WAIT = 15.0
STEADY_SECONDS = 60.0
"""Work that went on for so long was well: what ends it then is something new."""
MOST_FAILURES = 5
"""So often in a row the work may fail although the database could be opened; then waiting is of no use."""


class DatabaseWait:
    """Does work again whenever its database fails. ``waiting`` hears True while it is waited for, then False.

    A database that was never open is not waited for: its address may be wrong. Nor is one whose schema is.
    """

    def __init__(self, waiting: Callable[[bool], object]) -> None:
        self._waiting = waiting
        self._ever_opened = False
        self._opened_at: float | None = None
        self._waits = self._failures = 0

    @property
    def ever_opened(self) -> bool:
        """Whether the database was open already."""
        return self._ever_opened

    def opened(self) -> None:
        """Hear that the database is open."""
        self._ever_opened, self._opened_at = True, monotonic()
        if self._waits:
            logger.info("the database answers again")
            self._waiting(False)

    async def run(self, work: Callable[[], Awaitable[T]], stop: asyncio.Event) -> T:
        """Do ``work``, which opens the database anew each time, until it is done.

        Raises what it raises for another reason, and ``SyncInterruptedError`` where ``stop`` is set in a wait.
        """
        while True:
            self._opened_at = None
            try:
                return await work()
            except SchemaError:
                raise
            except StorageError as error:
                if stop.is_set() or not self._worth_waiting():
                    raise
                seconds = min(FIRST_WAIT * 2.0 ** min(self._waits, 16), LONGEST_WAIT)
                self._waits += 1
                logger.warning("the database fails: {} It is tried again in {:g} s", error.message, seconds)
            self._waiting(True)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), seconds)
            if stop.is_set():
                raise SyncInterruptedError("Stopped while the database was waited for; what was committed is kept.")

    def _worth_waiting(self) -> bool:
        if self._opened_at is not None:
            if monotonic() - self._opened_at > STEADY_SECONDS:
                self._waits = self._failures = 0
            self._failures += 1
        return self._ever_opened and self._failures <= MOST_FAILURES
