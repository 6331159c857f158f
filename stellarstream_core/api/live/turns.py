"""Turns at few threads: clients come one after another, however much each of them asks for.

Each client has a queue of its own, and whenever a thread is free the next client's first call is made.
So who asks for a thousand things waits for a thousand turns, and who asks for one waits for one turn of
everybody else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Work(Generic[T]):
    """A call that several may wait for. It is not begun any more where all of them are gone."""

    __slots__ = ("begun", "call", "result", "waiting")

    def __init__(self, call: Callable[[], T]) -> None:
        self.call = call
        self.begun = False
        self.waiting = 0
        self.result: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    @property
    def over(self) -> bool:
        """Whether there is nothing more to wait for, because it is done or nobody wanted it any more."""
        return self.result.done()

    async def wait(self) -> T:
        """Return what the call returns, or raise what it raises. May be cancelled without harm to others."""
        self.waiting += 1
        try:
            return await asyncio.shield(self.result)
        finally:
            self.waiting -= 1
            if not self.waiting and not self.begun:
                self.result.cancel()


class Turns:
    """Makes calls in ``threads`` threads. Everything but the calls happens in the event loop."""

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threads
        self._queues: dict[str, deque[Work[Any]]] = {}
        """The clients with something in their queue, the next to have a turn first."""

    def ask(self, client: str, call: Callable[[], T]) -> Work[T]:
        """Queue a call for a client."""
        work = Work(call)
        self.join(client, work)
        return work

    def join(self, client: str, work: Work[Any]) -> None:
        """Queue another client's work for a client too: it is done when the first of both has a turn."""
        if not work.begun:
            self._queues.setdefault(client, deque()).append(work)
            self._begin()

    def close(self) -> None:
        """Begin nothing more; whoever waits for what was not begun is cancelled."""
        for queue in self._queues.values():
            for work in queue:
                if not work.begun:
                    work.result.cancel()
        self._queues.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        while self._free and self._queues:
            client, queue = next(iter(self._queues.items()))
            del self._queues[client]
            work = queue.popleft()
            # what was begun in another's turn, or is not wanted any more, takes none
            while queue and (work.begun or work.over):
                work = queue.popleft()
            if queue:
                self._queues[client] = queue
            if not (work.begun or work.over):
                self._run(work)

    def _run(self, work: Work[Any]) -> None:
        work.begun = True
        self._free -= 1
        loop = asyncio.get_running_loop()

        def done(called: Future[Any]) -> None:
            with suppress(RuntimeError):  # the loop may have gone before it
                loop.call_soon_threadsafe(self._ended, work, called)

        self._pool.submit(work.call).add_done_callback(done)

    def _ended(self, work: Work[Any], called: Future[Any]) -> None:
        self._free += 1
        if not work.over:
            if called.cancelled():
                work.result.cancel()
            elif (error := called.exception()) is not None:
                work.result.set_exception(error)
                work.result.exception()  # seen: whoever waited may be gone
            else:
                work.result.set_result(called.result())
        self._begin()
