"""Answers kept in memory, bounded in bytes, each made once however many ask for it at the same time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial

from stellarstream_core.api.flights import Flights
from stellarstream_core.api.routes import Answer

MOST_BYTES = 32 * 1024 * 1024
_OVERHEAD = 1_024
"""What an answer needs beside its body, its key included: keys are digests."""


class AnswerCache:
    """Keeps the answers used last, by entity tag. An answer of more than a 32nd of the space is not kept."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._kept: OrderedDict[str, Answer] = OrderedDict()
        self._making: Flights[str, Answer] = Flights()
        self._bytes = 0

    def get(self, tag: str) -> Answer | None:
        """Return the answer kept under a tag."""
        found = self._kept.get(tag)
        if found is not None:
            self._kept.move_to_end(tag)
        return found

    async def of(self, tag: str, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer kept under a tag, or make and keep it; raises what ``make`` raises.

        An asker that gives up does not take the answer from the others.
        """
        if (kept := self.get(tag)) is not None:
            return kept
        return await self._making.join(tag, partial(self._made, tag, make))

    async def _made(self, tag: str, make: Callable[[], Awaitable[Answer]]) -> Answer:
        answer = await make()
        self.put(tag, answer)
        return answer

    def put(self, tag: str, answer: Answer) -> None:
        """Keep an answer whose body is bytes."""
        size = _size(answer)
        if size > self.most_bytes // 32:
            return
        if (before := self._kept.pop(tag, None)) is not None:
            self._bytes -= _size(before)
        self._kept[tag] = answer
        self._bytes += size
        while self._bytes > self.most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _size(oldest)


def _size(answer: Answer) -> int:
    return _OVERHEAD + (len(answer.body) if isinstance(answer.body, bytes) else 0)
