"""A batch: consecutive events in the order of commits, and their frames for the filters that ask.

A batch is made once and read by everybody. What a reader gets of it depends on nothing but the
batch, the filter and the reader's own place, whether the batch came with a commit a moment ago or
was read again from the database.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stellarstream_core.api.live.filters import EventFilter
from stellarstream_core.api.live.frames import Frames
from stellarstream_core.api.live.positions import Place
from stellarstream_core.events import ContractEvent
from stellarstream_core.storage import Commit

BATCH_EVENTS = 256
"""Events of a batch at most: what one thread encodes without a pause, and a reader holds at a time."""
BATCH_BYTES = 64 * 1024
"""About how many bytes the frames of a batch may have; one event may have more."""

MOST_SELECTIONS = 16
"""Filters whose part of a page from the database is kept for others."""

_BATCH_OVERHEAD = 1_000
_FRAME_OVERHEAD = 600
_FRAME_FACTOR = 4
"""A frame's size from that of its XDR: base64, then what is decoded."""
_EVENT_OVERHEAD = 1_200
"""What an event's Python objects need beside its bytes."""


class UnknownPlaceError(Exception):
    """A place names more events of a commit than it has."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive events of one commit, from its event number ``first`` (counted from 0) on.

    ``complete``: none of the commit comes after them.
    """

    commit: Commit
    first: int
    events: Sequence[ContractEvent]
    complete: bool

    @property
    def end(self) -> Place:
        """The place behind the piece."""
        position = self.commit.position
        return Place(position + 1) if self.complete else Place(position, self.first + len(self.events))


@dataclass(frozen=True, slots=True)
class Selection:
    """What one filter takes of a batch: ordinals of events, and their frames."""

    ordinals: Sequence[int]
    frames: Sequence[bytes]


NOTHING = Selection((), ())
"""What a filter takes that nothing fits: one for all of them, since most of many filters take nothing."""


class Part(NamedTuple):
    """The frames of some events, one after another, and how many they are."""

    data: bytes
    events: int


_NO_PART = Part(b"", 0)


class _Run(NamedTuple):
    """Where a piece's events stand in its batch: from ``ordinal`` on."""

    commit: int
    first: int
    ordinal: int
    events: int


class Batch:
    """Pieces in order, without a gap between them, from ``start`` up to ``end``.

    ``resume`` is the id of the last event before ``end`` where ``end`` lies inside a commit. ``size``
    is about how many bytes it holds. Selections are made in a thread, and used by the loop.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.start = Place(pieces[0].commit.position, pieces[0].first)
        self.end = pieces[-1].end
        self.resume = "" if pieces[-1].complete else pieces[-1].events[-1].id
        self.size = _BATCH_OVERHEAD
        self.pieces = pieces
        self._runs: list[_Run] = []
        ordinal = 0
        for piece in pieces:
            self._runs.append(_Run(piece.commit.position, piece.first, ordinal, len(piece.events)))
            ordinal += len(piece.events)
            self.size += sum(_EVENT_OVERHEAD + _frame_bytes(event) for event in piece.events)
        self._frames: list[bytes | None] = [None] * ordinal
        self._events: Sequence[ContractEvent] | None = None
        self._contracts: frozenset[str | None] = frozenset()
        self._selections: dict[EventFilter, Selection] = {}
        self._joined: tuple[Selection, int, Part] | None = None

    # --- in a thread ----------------------------------------------------------------------------

    def select(self, filter: EventFilter, frames: Frames) -> Selection:
        """Return what a filter takes. Each event is encoded once, and only where a filter takes it.

        The first ``MOST_SELECTIONS`` filters' are kept for whoever asks for the same.
        """
        made = self._selections.get(filter)
        if made is None:
            made = self._select(filter, frames)
            if len(self._selections) < MOST_SELECTIONS:
                self._selections[filter] = made
        return made

    def seal(self, wanted: Iterable[EventFilter], frames: Frames) -> None:
        """Make the selections of some filters and keep them all; the others have to be read again."""
        for filter in wanted:
            self._selections[filter] = self._select(filter, frames)
        sent = sum(len(frame) for frame in self._frames if frame is not None)
        chosen = sum(len(one.frames) for one in self._selections.values())
        # the frames, once more for the copy that is joined, and what points at them
        self.size = _BATCH_OVERHEAD + 2 * sent + 16 * chosen + 150 * len(self._selections)

    def _select(self, filter: EventFilter, frames: Frames) -> Selection:
        events = self._events
        if events is None:
            events = [event for piece in self.pieces for event in piece.events]
            self._contracts = frozenset(event.contract_id for event in events)
            self._events = events  # set last: another thread may be here too
        if filter.contracts and filter.contracts.isdisjoint(self._contracts):
            return NOTHING
        ordinals = filter.select(events)
        if not ordinals:
            return NOTHING
        return Selection(ordinals, [self._frame(at, events, frames) for at in ordinals])

    def _frame(self, ordinal: int, events: Sequence[ContractEvent], frames: Frames) -> bytes:
        made = self._frames[ordinal]
        if made is None:
            made = self._frames[ordinal] = frames.event(events[ordinal], self._place_behind(ordinal))
        return made

    def _place_behind(self, ordinal: int) -> Place:
        run = self._runs[bisect_right(self._runs, ordinal, key=lambda run: run.ordinal + run.events)]
        return Place(run.commit, run.first + ordinal - run.ordinal + 1)

    # --- in the loop ----------------------------------------------------------------------------

    def release(self) -> None:
        """Let the events go; only what was selected is left."""
        self.pieces = ()
        self._events = None
        self._frames = []

    def selection(self, filter: EventFilter) -> Selection | None:
        """Return what a filter takes, if that is made."""
        return self._selections.get(filter)

    def behind(self, place: Place, selection: Selection) -> Part:
        """Return what of a selection lies behind a place, which must not lie before the batch.

        Readers who ask one after another for the same share the bytes. Raises
        :class:`UnknownPlaceError` for a place that does not exist.
        """
        before = 0 if place == self.start else self._events_before(place)
        begin = bisect_left(selection.ordinals, before) if before else 0
        if begin == len(selection.frames):
            return _NO_PART
        joined = self._joined
        if joined is None or joined[0] is not selection or joined[1] != begin:
            part = Part(b"".join(selection.frames[begin:]), len(selection.frames) - begin)
            joined = self._joined = (selection, begin, part)
        return joined[2]

    def _events_before(self, place: Place) -> int:
        """Return how many of the batch's events lie before a place."""
        run = self._runs[place.commit - self.start.commit]
        if place.taken > run.first + run.events:
            raise UnknownPlaceError(f"commit {run.commit} has {run.first + run.events} events, not {place.taken}")
        return run.ordinal + max(0, place.taken - run.first)


def cut(pieces: Iterable[Piece]) -> Iterator[Batch]:
    """Yield pieces, which follow on one another, as batches of bounded size."""
    taken: list[Piece] = []
    count = size = 0
    for piece in pieces:
        begin = 0
        for at, event in enumerate(piece.events):
            estimate = _frame_bytes(event)
            if count and (count >= BATCH_EVENTS or size + estimate > BATCH_BYTES):
                if at > begin:
                    taken.append(Piece(piece.commit, piece.first + begin, piece.events[begin:at], complete=False))
                yield Batch(taken)
                taken, begin, count, size = [], at, 0, 0
            count += 1
            size += estimate
        rest = piece.events[begin:] if begin else piece.events
        taken.append(Piece(piece.commit, piece.first + begin, rest, piece.complete))
    if taken:
        yield Batch(taken)


def _frame_bytes(event: ContractEvent) -> int:
    return _FRAME_OVERHEAD + _FRAME_FACTOR * (len(event.value) + sum(map(len, event.topics)))
