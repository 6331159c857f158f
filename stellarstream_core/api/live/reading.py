"""Reading commits from the storage, from a place on: the only way in which events come into a stream.

The order of commits never changes within an epoch, and an epoch never comes back. So what was read
is known to belong to an epoch where the storage still names that epoch afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from stellarstream_core.api.live.batches import BATCH_EVENTS, Piece
from stellarstream_core.api.live.positions import Place
from stellarstream_core.events import ContractEvent
from stellarstream_core.storage import Commit, CommitWatch, Totals

READ_EVENTS = BATCH_EVENTS
"""Events of one reading at most."""
READ_COMMITS = 64
"""Commits of one reading at most: each has a query of its own, also where it has no events."""


class LiveStorage(Protocol):
    """What a live stream needs of a :class:`~stellarstream_core.storage.Storage`."""

    def epoch(self) -> str:
        """Return the name of this history of commits."""
        ...

    def totals(self) -> Totals:
        """Return the counts; the position is one of them."""
        ...

    def watch(self) -> CommitWatch:
        """Open a watch for commits."""
        ...

    def commits(self, after: int, limit: int = 1000) -> Sequence[Commit]:
        """Return commits with a position above ``after``, in order."""
        ...

    def commit_page(self, commit: Commit, *, after: str = "", skip: int = 0, limit: int) -> Sequence[ContractEvent]:
        """Return events first stored by a commit, in id order: from the first id above ``after``, less ``skip``."""
        ...


class HistoryChangedError(Exception):
    """The storage holds another history than the one that was read before."""


@dataclass(frozen=True, slots=True)
class Tip:
    """The storage as it is now: its epoch, the place behind its newest commit, and that commit."""

    epoch: str
    place: Place
    newest: Commit | None


def read_tip(storage: LiveStorage) -> Tip:
    """Return epoch and position that belong together. Raises ``StorageError``."""
    while True:
        epoch = _epoch(storage)
        position = storage.totals().position
        newest = next(iter(storage.commits(position - 1, 1)), None) if position else None
        if _epoch(storage) == epoch:
            return Tip(epoch, Place(position + 1), newest)


def read_pieces(
    storage: LiveStorage, epoch: str, start: Place, resume: str = "", newest: Commit | None = None
) -> list[Piece]:
    """Return what comes after ``start``, in order: a bounded number of events, nothing at the tip.

    ``resume`` is the id of the last event before ``start``, where ``start`` lies inside a commit and the
    id is known; otherwise those before it are counted. ``newest`` is the commit before that of
    ``start``, where it was read before: it must still be the same. Raises ``HistoryChangedError`` where
    it is not, where a commit is missing, or where the storage has another epoch; ``StorageError`` where
    it cannot be read.
    """
    rows = list(storage.commits(start.commit - (2 if newest else 1), READ_COMMITS + 1))
    if newest is not None and (not rows or rows.pop(0) != newest):
        raise HistoryChangedError
    pieces: list[Piece] = []
    room = READ_EVENTS
    for number, commit in enumerate(rows, start.commit):
        if commit.position != number:
            raise HistoryChangedError
        first = 0 if pieces else start.taken
        events = _events(storage, commit, first, resume if first else "", room + 1)
        pieces.append(Piece(commit, first, events[:room], complete=len(events) <= room))
        room -= len(events)
        if room <= 0:
            break
    if _epoch(storage) != epoch:
        raise HistoryChangedError
    return pieces


def _events(storage: LiveStorage, commit: Commit, first: int, resume: str, limit: int) -> Sequence[ContractEvent]:
    """Return a commit's events from number ``first`` on, without a look for more than it has."""
    if commit.events is not None:
        limit = min(limit, commit.events - first)
    if limit < 1:
        return ()
    if resume:
        return storage.commit_page(commit, after=resume, limit=limit)
    return storage.commit_page(commit, skip=first, limit=limit)


def _epoch(storage: LiveStorage) -> str:
    return str(UUID(storage.epoch()))
