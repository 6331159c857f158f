"""Checking the audit log's chains against the stored events, piece by piece.

Every link is computed again: its digest from the stored event, its hash from the one before. An event that was
changed or removed, a link that was, a place that was swapped, an entry that is in no chain though it is sealed: each
is found and named. What waits to be linked, by what the seals and the marks of chains that are linked anew say in the
same snapshot, is no fault. Who can rewrite everything, events and all hashes behind them, is found out by a head
that somebody kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from peewee import Database

from stellarstream_core.events import ContractEvent
from stellarstream_core.storage import Storage
from stellarstream_nebula import bulk
from stellarstream_nebula.audit import (
    Chain,
    Place,
    Seal,
    contract_of,
    digest,
    genesis,
    link,
    read_chains,
    read_relinks,
    read_seals,
)
from stellarstream_nebula.stored import NAME

PIECE = 1_000
"""Entries of one piece."""
LAST_KEY = "~"
"""After every key."""


class Reason(StrEnum):
    """What is wrong with an entry, or with a chain's end."""

    EVENT_MISSING = "event-missing"
    EVENT_DIFFERS = "event-differs"
    LINK_DIFFERS = "link-differs"
    LINK_MISSING = "link-missing"
    HEAD_DIFFERS = "head-differs"


class Fault(NamedTuple):
    """Where a chain is broken; ``event_id`` is None where it is the chain's end."""

    key: str
    event_id: str | None
    reason: Reason


class Position(NamedTuple):
    """How far the check is: after an entry of a key, with the chain up to there.

    ``revision`` and ``end`` (the last linked event) are those that the chain had when its key was looked at.
    """

    key: str = ""
    event_id: str = ""
    hash: str = ""
    links: int = 0
    revision: int = 0
    end: str = ""


START = Position()
"""Before everything."""


@dataclass(slots=True)
class Checked:
    """What was checked: ``chains`` to their end, ``links`` one by one; ``position`` is None where nothing is left."""

    chains: int = 0
    links: int = 0
    faults: list[Fault] = field(default_factory=list)
    position: Position | None = START


@dataclass(frozen=True, slots=True)
class _Piece:
    """Entries of a stretch, as stored: links (key, event id, digest, hash), chains' ends, and what the journal has."""

    links: Sequence[tuple[str, str, bytes, bytes | None]]
    chains: Mapping[str, Chain]
    journal: frozenset[tuple[str, str]]
    seals: Mapping[str, Seal]
    relinking: Set[str]
    """Keys whose chains are being linked anew."""
    whole: bool
    """Whether nothing comes after it."""

    def end_of(self, key: str) -> str:
        """Return the last linked event of a key, empty where there is none."""
        chain = self.chains.get(key)
        return "" if chain is None else chain.last_event

    def awaits_link(self, key: str, event_id: str) -> bool:
        """Tell whether an entry is rightly without a link."""
        seal, place = self.seals.get(contract_of(key)), Place(event_id, key)
        if seal is None or not seal.holds(place):
            return True
        if key in self.relinking:
            return event_id > self.end_of(key)
        return seal.awaits(place)


def check_piece(storage: Storage, checked: Checked, only: str | None = None, size: int = PIECE) -> None:
    """Check the next piece of all chains, or of one, and note what was found."""
    start = checked.position
    if start is None:
        return
    if only is not None and not start.key:
        start = Position(only)
    piece = storage.read(lambda database: _read(database, start, only, size))
    events = {event.id: event for event in storage.events_by_id([row[1] for row in piece.links])}
    if start.event_id and _has_changed(start, piece):
        checked.position = Position(start.key)  # once more from its beginning
        return
    _check(checked, start, piece, events)


def _has_changed(start: Position, piece: _Piece) -> bool:
    """Tell whether what was checked of a chain is not what it is now: it was cut, or what was passed over is linked."""
    grown = piece.end_of(start.key) != start.end and start.event_id > start.end
    return grown or _revision(piece.chains, start.key) != start.revision


def _read(database: Database, start: Position, only: str | None, size: int) -> _Piece:
    last = LAST_KEY if only is None else only
    bounds = (start.key, start.event_id, last)
    rows = bulk.query(
        database,
        """
        SELECT key, event_id, digest, hash FROM nebula_links
        WHERE (key, event_id) > (?, ?) AND key <= ? ORDER BY key, event_id LIMIT ?
        """,
        (*bounds, size),
    )
    whole = len(rows) < size
    end = (last, "~") if whole else (rows[-1][0], rows[-1][1])
    journal = bulk.query(
        database,
        """
        SELECT key, event_id FROM projection_entries
        WHERE projection = ? AND (key, event_id) > (?, ?) AND (key, event_id) <= (?, ?)
        ORDER BY key, event_id LIMIT ?
        """,
        (NAME, start.key, start.event_id, *end, 2 * size),
    )
    kept = bulk.query(
        database,
        "SELECT key FROM nebula_chains WHERE key > ? AND key <= ? ORDER BY key LIMIT ?",
        (start.key, end[0], 2 * size),
    )
    chains = read_chains(database, {start.key, *(row[0] for row in rows), *(row[0] for row in kept)})
    links = [(row[0], row[1], bytes(row[2]), None if row[3] is None else bytes(row[3])) for row in rows]
    return _Piece(
        links,
        chains,
        frozenset((row[0], row[1]) for row in journal),
        read_seals(database),
        read_relinks(database, {start.key, *(row[0] for row in rows)}),
        whole,
    )


def _check(checked: Checked, start: Position, piece: _Piece, events: Mapping[str, ContractEvent]) -> None:
    faults = checked.faults
    at = start._replace(end=piece.end_of(start.key))
    faults += [
        Fault(key, event_id, Reason.LINK_MISSING)
        for key, event_id in sorted(piece.journal - {(row[0], row[1]) for row in piece.links})
    ]
    bare = sorted(set(piece.chains) - {row[0] for row in piece.links} - {start.key})
    faults += [Fault(key, None, Reason.HEAD_DIFFERS) for key in bare if piece.whole or key < piece.links[-1][0]]
    for key, event_id, stored, head in piece.links:
        if key != at.key or not at.event_id:
            if key != at.key:
                _finish(checked, at, piece.chains)
            at = Position(key, "", genesis(key).hex(), 0, _revision(piece.chains, key), piece.end_of(key))
        event = events.get(event_id)
        found = stored if event is None else digest(event)
        if event is None:
            faults.append(Fault(key, event_id, Reason.EVENT_MISSING))
        elif found != stored:
            faults.append(Fault(key, event_id, Reason.EVENT_DIFFERS))
        checked.links += 1
        if head is None or event_id > piece.end_of(key):
            if not piece.awaits_link(key, event_id):
                faults.append(Fault(key, event_id, Reason.LINK_MISSING))
            at = at._replace(event_id=event_id)
            continue
        if link(bytes.fromhex(at.hash), found) != head:
            faults.append(Fault(key, event_id, Reason.LINK_DIFFERS))
        at = at._replace(event_id=event_id, hash=head.hex(), links=at.links + 1)
    if piece.whole:
        _finish(checked, at, piece.chains)
        checked.position = None
    else:
        checked.position = at


def _finish(checked: Checked, at: Position, chains: Mapping[str, Chain]) -> None:
    """Hold the end of a chain against what is kept of it."""
    chain = chains.get(at.key)
    if not at.event_id and chain is None:
        return
    checked.chains += 1
    links, head = (0, genesis(at.key).hex()) if chain is None else (chain.links, chain.head.hex())
    if (at.links, at.hash or genesis(at.key).hex()) != (links, head):
        checked.faults.append(Fault(at.key, None, Reason.HEAD_DIFFERS))


def _revision(chains: Mapping[str, Chain], key: str) -> int:
    chain = chains.get(key)
    return 0 if chain is None else chain.revision
