"""The newest batches of one history, without a gap between them, as many as fit into a number of bytes."""

from __future__ import annotations

from bisect import bisect_right

from stellarstream_core.api.live.batches import Batch
from stellarstream_core.api.live.frames import Frames
from stellarstream_core.api.live.positions import Place

MOST_BATCHES = 4_096
"""Batches kept at most: commits without events have no bytes to speak of."""


class Ring:
    """Batches from ``start`` up to ``end``; what lies before ``start`` has to be read from the database.

    All of them belong to the epoch of ``frames``. Where another history begins, so does another ring.
    """

    def __init__(self, frames: Frames, end: Place, most_bytes: int, most_batches: int = MOST_BATCHES) -> None:
        self.frames = frames
        self.end = end
        self.bytes = 0
        self._most_bytes = most_bytes
        self._most_batches = most_batches
        self._batches: list[Batch] = []
        self._first = 0

    @property
    def epoch(self) -> str:
        """The epoch that the places belong to."""
        return self.frames.epoch

    def __len__(self) -> int:
        return len(self._batches) - self._first

    @property
    def start(self) -> Place:
        """The first place from which everything up to ``end`` is here."""
        return self._batches[self._first].start if len(self) else self.end

    def append(self, batch: Batch) -> None:
        """Add the next batch; the oldest make room for it. Raises ``ValueError`` where it is not the next."""
        if batch.start != self.end:
            raise ValueError(f"a batch from {batch.start} does not follow on {self.end}")
        self._batches.append(batch)
        self.end = batch.end
        self.bytes += batch.size
        while len(self) > 1 and (self.bytes > self._most_bytes or len(self) > self._most_batches):
            self.bytes -= self._batches[self._first].size
            self._first += 1
        if self._first > len(self._batches) // 2:
            del self._batches[: self._first]
            self._first = 0

    def holding(self, place: Place) -> Batch | None:
        """Return the batch in which what comes after ``place`` begins; None where it is not here."""
        if not self.start <= place < self.end:
            return None
        return self._batches[bisect_right(self._batches, place, lo=self._first, key=lambda batch: batch.end)]
