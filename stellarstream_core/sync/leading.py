"""The right to follow: one process has it, stands by for it, or notices that it has lost it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any

from loguru import logger

from stellarstream_core.errors import LeadershipError, StorageError, SyncInterruptedError
from stellarstream_core.storage import Storage

LOOK_SECONDS = 1.0
"""How often a follower looks whether it still has the right to follow."""
AGAIN_SECONDS = 0.5
"""How often one that stands by for it tries to get it."""


@asynccontextmanager
async def leading(
    storage: Storage, stop: asyncio.Event, stand_by: Callable[[bool], None] | None = None
) -> AsyncIterator[Callable[[], None]]:
    """Hold the right to follow; give the storage's function that looks whether it is still held.

    Where another process has it, ``LeadershipError`` is raised; with ``stand_by`` its end is waited for instead,
    however long that takes: ``stand_by`` is told True when that begins, and False when the right is here.
    ``SyncInterruptedError`` is raised where ``stop`` is set meanwhile.
    """
    with ExitStack() as held:
        try:
            still_leading = held.enter_context(storage.follow_lock())
        except LeadershipError as error:
            if stand_by is None:
                raise
            logger.info("standing by: {} This one takes its place when that one ends.", error.message)
            stand_by(True)
            still_leading = await _in_its_turn(storage, held, stop)
            logger.info("the process that followed has ended: this one follows now")
            stand_by(False)
        yield still_leading


async def _in_its_turn(storage: Storage, held: ExitStack, stop: asyncio.Event) -> Callable[[], None]:
    """Try again and again. A database that does not answer is waited for as well: nothing is to be done meanwhile."""
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), AGAIN_SECONDS)
        if stop.is_set():
            raise SyncInterruptedError("Stopped while another process was following; nothing was changed.")
        try:  # in a thread: a server that is gone may take half a minute to be noticed
            return await asyncio.to_thread(held.enter_context, storage.follow_lock())
        except LeadershipError:
            pass
        except StorageError as error:
            logger.debug("cannot look whether another process still follows: {}", error)


async def keep_leading(
    still_leading: Callable[[], None], in_thread: Callable[[Callable[[], None]], Awaitable[Any]]
) -> None:
    """Go on until another process follows; then raise ``LeadershipError``."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            await in_thread(still_leading)
        except StorageError as error:  # the next commit will tell, or the database is back by then
            logger.debug("cannot look whether this process still is the one that follows: {}", error)
