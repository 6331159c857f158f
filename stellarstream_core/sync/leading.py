"""The right to follow: one process has it, waits for it, or notices that it has lost it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from time import monotonic
from typing import Any

from loguru import logger

from stellarstream_core.errors import LeadershipError, StorageError, SyncInterruptedError
from stellarstream_core.storage import Storage

LOOK_SECONDS = 1.0
"""How often a follower looks whether it still has the right to follow."""
AGAIN_SECONDS = 0.1
"""How often one that waits for it tries to get it."""


@asynccontextmanager
async def leading(storage: Storage, stop: asyncio.Event, patience: float) -> AsyncIterator[Callable[[], None]]:
    """Hold the right to follow; give the storage's function that looks whether it is still held.

    Another process that has it is waited for so many seconds; then ``LeadershipError`` is raised, and
    ``SyncInterruptedError`` where ``stop`` is set meanwhile.
    """
    give_up = monotonic() + patience
    with ExitStack() as held:
        while True:
            try:
                still_leading = held.enter_context(storage.follow_lock())
                break
            except LeadershipError:
                if monotonic() >= give_up:
                    raise
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), AGAIN_SECONDS)
            if stop.is_set():
                raise SyncInterruptedError("Stopped while another process was following; nothing was changed.")
        yield still_leading


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
