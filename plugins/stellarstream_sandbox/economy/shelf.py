"""Where a contract keeps its streams: those with something to pay, and the last of the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Stored(Protocol):
    """A stream as a shelf sees it; it is never changed in place."""

    @property
    def id(self) -> int:
        """Its number, unique in its contract."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it has something left to pay."""
        ...


S = TypeVar("S", bound=Stored)


class Shelf(Generic[S]):
    """Streams by id.

    Of those that have nothing left to pay the last ``kept`` are remembered, so that a sandbox that runs for
    weeks does not grow; a contract on a network forgets none.
    """

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self.open: dict[int, S] = {}
        self.ended: dict[int, S] = {}

    def copy(self) -> Shelf[S]:
        """Return the same streams, to be changed apart from these."""
        other: Shelf[S] = Shelf(self.kept)
        other.open, other.ended = self.open.copy(), self.ended.copy()
        return other

    def get(self, stream_id: int) -> S | None:
        """Return a stream, or None where it was never there, was removed or is forgotten."""
        found = self.open.get(stream_id)
        return self.ended.get(stream_id) if found is None else found

    def put(self, stream: S) -> S:
        """Store a stream as it is now, and return it."""
        if stream.is_open:
            self.ended.pop(stream.id, None)
            self.open[stream.id] = stream
            return stream
        self.open.pop(stream.id, None)
        self.ended[stream.id] = stream
        if len(self.ended) > self.kept:
            del self.ended[next(iter(self.ended))]
        return stream

    def remove(self, stream_id: int) -> None:
        """Forget a stream that is there."""
        self.open.pop(stream_id, None)
        self.ended.pop(stream_id, None)

    def everything(self) -> dict[int, S]:
        """Return all streams by id, in no order."""
        return {**self.ended, **self.open}

    def __iter__(self) -> Iterator[S]:
        """Yield all streams, by id."""
        both = self.everything()
        return iter([both[stream_id] for stream_id in sorted(both)])
