"""Folding keys: on from the state where all that is new comes after it, else anew from the journal.

A key folds its own entries and those of the groups it is in. Which groups these are its own fold says, so
a key may have to be folded again with what its groups bring, until it names no group that it lacks. A
projection's events more never name groups less: then what comes out depends on the set of events alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stellarstream_core.errors import StorageError
from stellarstream_core.events import ContractEvent
from stellarstream_core.projection import journal
from stellarstream_core.projection.faults import ProjectionFaultError, guarded
from stellarstream_core.projection.journal import Record
from stellarstream_core.projections import Entry, Folded, Projection
from stellarstream_core.storage import Storage

MOST_ROUNDS = 32
"""How often a key may name groups that it lacks before its projection counts as broken."""


@dataclass(frozen=True, slots=True)
class Fold:
    """A key folded anew: its record as stored, its state now with the last event in it, and its groups now."""

    key: str
    before: Record
    state: bytes | None
    last: str
    groups: frozenset[str]


@dataclass(slots=True)
class Folder:
    """Folds keys of one projection. ``arrived`` are entries that are not in the journal yet, by its key."""

    projection: Projection
    storage: Storage
    name: str
    arrived: Mapping[str, Sequence[Entry]] = field(default_factory=dict)
    anew: int = 0
    """How many keys were folded from their first event."""
    _journal: dict[str, list[Entry]] = field(default_factory=dict)
    _events: dict[str, ContractEvent] = field(default_factory=dict)

    def fold(self, keys: Iterable[str], news: Mapping[str, Sequence[Entry]] | None = None) -> list[Fold]:
        """Fold keys whose journal, or whose groups', has new entries.

        ``news`` are the new entries by journal key where they are not what has arrived.
        """
        new = self.arrived if news is None else news
        wanted = sorted(set(keys))
        records = self.storage.read(lambda database: journal.read_records(database, self.name, wanted))
        folds: list[Fold] = []
        rest: list[str] = []
        for key in wanted:
            fold = self._moved_on(key, records[key], merged(key, records[key].groups, new))
            if fold is None:
                rest.append(key)
            else:
                folds.append(fold)
        self.anew += len(rest)
        self._load({*rest, *(group for key in rest for group in records[key].groups)})
        folds += [fold for key in rest if (fold := self._from_journal(key, records[key])) is not None]
        return sorted(folds, key=lambda fold: fold.key)

    def _moved_on(self, key: str, record: Record, new: Sequence[Entry]) -> Fold | None:
        """Fold new entries on to the state; None where the key has to be folded anew."""
        if record.state is None or not new or new[0].event.id <= record.last:
            return None
        folded = self._advance(key, record.state, new)
        if folded.groups != record.groups:
            return None
        return Fold(key, record, folded.state, new[-1].event.id, folded.groups)

    def _from_journal(self, key: str, record: Record) -> Fold | None:
        handed: frozenset[str] = frozenset()
        entries = merged(key, handed, self._journal)
        for _ in range(MOST_ROUNDS):
            if not entries:
                return None
            folded = self._advance(key, None, entries)
            missing = folded.groups - handed
            if not missing:
                return Fold(key, record, folded.state, entries[-1].event.id, handed)
            self._load(missing)
            handed |= missing
            if any(self._journal[group] for group in missing):
                entries = merged(key, handed, self._journal)
            else:  # what they bring is nothing: the fold stays what it is
                return Fold(key, record, folded.state, entries[-1].event.id, handed)
        raise ProjectionFaultError(f"advance() names ever more groups for the key {key!r:.100}")

    def _advance(self, key: str, state: bytes | None, entries: Sequence[Entry]) -> Folded:
        folded = guarded("advance", lambda: self.projection.advance(key, state, entries))
        if not isinstance(folded, Folded) or not isinstance(folded.state, bytes | None):
            raise ProjectionFaultError(f"advance() returned {type(folded).__name__} where Folded with bytes is due")
        return Folded(folded.state, frozenset(folded.groups) - {key})

    def _load(self, keys: Iterable[str]) -> None:
        """Read the journals of keys that are not read yet, what has arrived among them."""
        lacking = sorted(set(keys) - self._journal.keys())
        if not lacking:
            return
        for key in lacking:
            for entry in self.arrived.get(key, ()):
                self._events[entry.event.id] = entry.event
        stored = self.storage.read(lambda database: journal.read_entries(database, self.name, lacking))
        self.remember_events({event_id for ids in stored.values() for event_id in ids})
        for key in lacking:
            ids = {*stored.get(key, ()), *(entry.event.id for entry in self.arrived.get(key, ()))}
            self._journal[key] = [Entry(key, self._events[event_id]) for event_id in sorted(ids)]

    def remember_events(self, ids: Iterable[str]) -> Mapping[str, ContractEvent]:
        """Read events that are not read yet; return all that are. Raises ``StorageError`` where one is not stored."""
        lacking = sorted(set(ids) - self._events.keys())
        if lacking:
            found = {event.id: event for event in self.storage.events_by_id(lacking)}
            if len(found) < len(lacking):
                gone = next(event_id for event_id in lacking if event_id not in found)
                raise StorageError(
                    f"{self.storage.url} lacks the event {gone}, which the projection {self.name!r} was folded from.",
                    help=f"Run 'stellarstream project --rebuild {self.name}'.",
                )
            self._events |= found
        return self._events


def merged(key: str, groups: Iterable[str], journals: Mapping[str, Sequence[Entry]]) -> list[Entry]:
    """Return the entries of a key and of groups in id order, each event once: as the key's own where it is."""
    names = sorted(groups)
    if not names or not any(journals.get(group) for group in names):
        return sorted(journals.get(key, ()), key=_event_id)
    found: dict[str, Entry] = {}
    for name in (key, *names):
        for entry in journals.get(name, ()):
            found.setdefault(entry.event.id, entry)
    return sorted(found.values(), key=_event_id)


def _event_id(entry: Entry) -> str:
    return entry.event.id
