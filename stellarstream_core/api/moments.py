"""Where the store is now, for answers that count until the next commit.

What this worker has heard of commits may be some milliseconds old. A client that was told a position by
another worker must not be answered from before it, so the store itself is asked; whoever asks at the
same time shares the reading.
"""

from __future__ import annotations

import asyncio

from stellarstream_core.api.database import Database
from stellarstream_core.api.problems import DatabaseBusyError
from stellarstream_core.storage import Moment

PATIENCE_SECONDS = 2.0
"""How long a database that is silent holds up those who ask."""


class Moments:
    """Reads the store's moment: every answer comes of a reading that began after the question."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running: asyncio.Task[Moment] | None = None
        self._next: asyncio.Task[Moment] | None = None

    async def now(self) -> Moment:
        """Return epoch and position. Raises what the database raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._read(self._running))
            self._next.add_done_callback(_seen)
        return await asyncio.shield(self._next)

    async def _read(self, before: asyncio.Task[Moment] | None) -> Moment:
        if before is not None:
            await asyncio.wait([before])
        # from here on, who asks comes too late for this reading
        self._running, self._next = self._next, None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._database.run(self._database.storage.moment)
        except TimeoutError:
            raise DatabaseBusyError(f"The database did not answer within {PATIENCE_SECONDS:g} seconds.") from None


def _seen(reading: asyncio.Task[Moment]) -> None:
    """Take note of an error: everybody who waited may be gone."""
    if not reading.cancelled():
        reading.exception()
