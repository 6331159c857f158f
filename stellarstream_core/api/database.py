"""The database behind the event loop: a bounded pool of threads, one function one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from stellarstream_core.api.problems import DatabaseBusyError
from stellarstream_core.storage import Storage, Totals

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 4
"""Threads, and so transactions at a time, of one worker; a storage keeps at least as many connections."""
WAITING = 128
"""Requests that may wait for a thread; more are refused at once."""
PATIENCE_SECONDS = 2.0
"""How long a request waits for a thread."""

CLOSING_SECONDS = 1.0
"""How long transactions that run are waited for in the end."""


WRITERS = 2
"""Threads of these that may write at a time: writers wait for each other in the database, and would hold all."""


class Database:
    """Runs storage functions in threads. What a function reads or writes is one transaction.

    A request that waits longer than ``patience`` seconds for a thread, or finds ``waiting`` others
    before it, is refused with ``database-busy`` (503). Once its function runs it is not interrupted:
    a request that is given up leaves a transaction that ends by itself.
    """

    def __init__(
        self, storage: Storage, *, threads: int = THREADS, waiting: int = WAITING, patience: float = PATIENCE_SECONDS
    ) -> None:
        self.storage = storage
        self.on_refusal: Callable[[], None] = lambda: None
        self.on_wait: Callable[[], None] = lambda: None
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="database")
        self._prober = ThreadPoolExecutor(1, thread_name_prefix="database-probe")
        self._probing: asyncio.Future[Totals] | None = None
        self._free = asyncio.Semaphore(threads)
        self._writing = asyncio.Semaphore(max(1, min(WRITERS, threads - 1)))
        self._waiting = 0
        self._most_waiting = waiting
        self._patience = patience

    @property
    def waiting(self) -> int:
        """How many requests wait for a thread now."""
        return self._waiting

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread and return what it returns; raises what it raises, and ``DatabaseBusyError``."""
        await self._take(self._free)
        return await self._call((self._free,), lambda: function(*args, **kwargs))

    async def write(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do the same with a function that writes: so many write at a time that threads are left for readers."""
        await self._take(self._writing)
        try:
            await self._take(self._free)
        except BaseException:
            self._writing.release()
            raise
        return await self._call((self._free, self._writing), lambda: function(*args, **kwargs))

    async def _call(self, taken: tuple[asyncio.Semaphore, ...], function: Callable[[], T]) -> T:
        # in a copy of the request's context, so that the log there names the request
        future = self._pool.submit(copy_context().run, function)
        running = asyncio.wrap_future(future)

        def done(ended: asyncio.Future[T]) -> None:
            for semaphore in taken:
                semaphore.release()
            if not ended.cancelled():
                ended.exception()  # seen: whoever waited may be gone

        # what was taken is free when the function has ended, not when nobody waits for it any more
        running.add_done_callback(done)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            future.cancel()
            raise

    async def probe(self) -> Totals:
        """Return the storage's totals past the pool, or raise why they cannot be read.

        In a thread of its own: whoever asks while it is at it waits for the same answer, so that a
        database that says nothing holds this thread and no other.
        """
        if self._probing is None:
            self._probing = asyncio.wrap_future(self._prober.submit(self.storage.totals))
            self._probing.add_done_callback(self._probed)
        return await asyncio.shield(self._probing)

    def _probed(self, probing: asyncio.Future[Totals]) -> None:
        self._probing = None
        if not probing.cancelled():
            probing.exception()  # seen: whoever waited may be gone

    async def _take(self, free: asyncio.Semaphore) -> None:
        if not free.locked():
            await free.acquire()  # does not block: it is not locked
            return
        if self._waiting >= self._most_waiting:
            self._refuse()
        self.on_wait()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                await free.acquire()
        except TimeoutError:
            self._refuse()
        finally:
            self._waiting -= 1

    def _refuse(self) -> None:
        self.on_refusal()
        raise DatabaseBusyError("All database connections of this worker are in use.")

    async def close(self) -> None:
        """Take no more work and wait a moment for what runs."""
        self._prober.shutdown(wait=False, cancel_futures=True)
        self._pool.shutdown(wait=False, cancel_futures=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS):
                await asyncio.to_thread(self._pool.shutdown, True)
