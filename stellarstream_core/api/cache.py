"""Answers kept in memory, bounded in bytes: those that can never change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from stellarstream_core.api.routes import Answer

MOST_BYTES = 32 * 1024 * 1024
_OVERHEAD = 512


class AnswerCache:
    """Keeps the answers used last. An answer of more than a 32nd of the space is not kept."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._kept: OrderedDict[Hashable, Answer] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> Answer | None:
        """Return the answer kept under a key."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: Hashable, answer: Answer) -> None:
        """Keep an answer whose body is bytes."""
        size = _size(answer)
        if size > self.most_bytes // 32:
            return
        if (before := self._kept.pop(key, None)) is not None:
            self._bytes -= _size(before)
        self._kept[key] = answer
        self._bytes += size
        while self._bytes > self.most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _size(oldest)


def _size(answer: Answer) -> int:
    return _OVERHEAD + (len(answer.body) if isinstance(answer.body, bytes) else 0)
