"""A cache of answers that are looked up, each for a while, where many askers of one thing look it up once."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

from stellarstream_core.api.flights import Flights

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ExpiringCache(Generic[K, V]):
    """At most ``size`` answers, each good for the seconds that ``lasts`` gives it, the least used going first.

    The time of an answer counts from when its lookup began: what it says may be as old as that. One that
    lasts 0 seconds goes to those who wait for it and is not kept.
    Errors are not kept; a lookup whose failure should be remembered returns it as a value.
    """

    def __init__(self, size: int, lasts: Callable[[V], float], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._lasts = lasts
        self._clock = clock
        self._answers: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._running: Flights[K, V] = Flights()

    def peek(self, key: K) -> V | None:
        """Return the answer that is there and still good, or None."""
        kept = self._answers.get(key)
        if kept is None:
            return None
        if kept[0] <= self._clock():
            del self._answers[key]
            return None
        self._answers.move_to_end(key)
        return kept[1]

    async def get(self, key: K, look_up: Callable[[K], Awaitable[V]]) -> V:
        """Return the answer for ``key``, from ``look_up`` where none is there; raises what ``look_up`` raises.

        An asker that gives up does not take the answer from the others.
        """
        kept = self.peek(key)
        if kept is not None:
            return kept
        return await self._running.join(key, partial(self._looked_up, key, look_up))

    async def _looked_up(self, key: K, look_up: Callable[[K], Awaitable[V]]) -> V:
        began = self._clock()
        answer = await look_up(key)
        if (lasts := self._lasts(answer)) > 0:
            self._answers[key] = (began + lasts, answer)
            self._answers.move_to_end(key)
            if len(self._answers) > self._size:
                self._answers.popitem(last=False)
        return answer
