"""Streams of which the chain was not asked yet: the newest first, then the older ones, a bounded number at a time.

There is no index of what is missing; streams are walked, newest first, along the one by contract and creation. The
newest are looked at each time; the others by a walk that goes on where it stood, and begins again from time to
time, for old streams come in late. The walk also finds the vaults, and asks again for V2's entries that were not
there: an entry that was put aside may have been restored, a node may have been wrong. Where an event tells that the
entry was deleted there is nothing to ask for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from peewee import Database

from stellarstream_nebula import bulk, facts_codec, state_codec
from stellarstream_nebula.model import V1, StreamFacts

HEAD, WALK = 500, 2_000
"""Streams of a contract looked at in a round: the newest, and of the others."""
AGAIN_SECONDS = 600.0
"""How long a walk that came to its end rests."""
MOST_SKIPPED = 10_000
"""Unreadable streams that are remembered, so as not to be asked for again."""

_FIRST = ("~", "")
"""Before every stream: ``~`` comes after all digits."""
_OPEN = frozenset({"ACTIVE", "PAUSED"})


class Unread(NamedTuple):
    """A stream without facts. ``created_ledger`` is the first at which the chain has it."""

    key: str
    stream_id: int
    created_ledger: int


def vault_of(family: str, facts: StreamFacts | None) -> str | None:
    """Return the vault that earns for a stream, None where none does. V1 has no switch: a vault is one that earns."""
    if facts is None or facts.missing or facts.vault is None:
        return None
    return facts.vault if facts.yield_enabled or family == V1 else None


@dataclass(slots=True)
class Backlog:
    """The streams of one contract. ``vaults`` are those of open streams, with their token."""

    contract: str
    family: str
    vaults: dict[str, str | None] = field(default_factory=dict)
    _found: dict[str, str | None] = field(default_factory=dict)
    _place: tuple[str, str] = _FIRST
    _newest: tuple[str, str] | None = None
    _rests_until: float = 0.0
    _skipped: set[str] = field(default_factory=set)

    def next(self, database: Database, limit: int, now: float) -> list[Unread]:
        """Return at most ``limit`` streams without facts; ``now`` is a monotonic clock."""
        head = self._page(database, _FIRST, HEAD)
        if self._newest is not None and len(head) == HEAD and (head[-1][0], head[-1][1]) > self._newest:
            self.restart()  # more came in than were looked at
        if head:
            self._newest = (head[0][0], head[0][1])
        found = {row[1]: one for row in head if (one := self._unread(row)) is not None}
        if len(found) < limit and now >= self._rests_until:
            found |= self._walked(database, limit - len(found), now)
        return list(found.values())[:limit]

    def told(self, key: str, facts: StreamFacts, token: str | None) -> None:
        """Take note of facts that were read."""
        if (vault := vault_of(self.family, facts)) is not None and not facts.closed:
            self.vaults[vault] = self._found[vault] = token

    def restart(self) -> None:
        """Walk from the newest again: what was returned last was not read."""
        self._place, self._rests_until = _FIRST, 0.0

    def skip(self, keys: Iterable[str]) -> None:
        """Do not ask for these again: what the chain has of them cannot be read."""
        if len(self._skipped) < MOST_SKIPPED:
            self._skipped.update(keys)

    def _walked(self, database: Database, limit: int, now: float) -> dict[str, Unread]:
        found: dict[str, Unread] = {}
        rows = self._page(database, self._place, WALK)
        lost = self._lost(database, rows)
        for row in rows:
            self._place = (row[0], row[1])
            if (one := self._unread(row) or lost.get(row[1])) is not None:
                found[one.key] = one
            if len(found) == limit:
                return found
        if len(rows) < WALK:
            self._place, self._rests_until = _FIRST, now + AGAIN_SECONDS
            self.vaults, self._found = self._found, {}
        return found

    def _lost(self, database: Database, rows: Iterable[bulk.Row]) -> dict[str, Unread]:
        """Return V2's streams among rows whose entry was not there, though no event tells that it was deleted."""
        if self.family == V1:  # one entry holds them all, and is read again and again
            return {}
        missing = {
            row[1]: Unread(row[1], int(row[2]), row[3])
            for row in rows
            if row[6] is not None
            and row[1] not in self._skipped
            and b'"missing"' in (raw := bytes(row[6]))
            and facts_codec.decode(raw).missing
        }
        states = bulk.select_in(database, "SELECT key, state FROM nebula_streams WHERE key IN", missing)
        for key, raw in states:
            state = state_codec.state_of(bytes(raw))
            if state is None or state.removed:
                del missing[key]
        return missing

    def _page(self, database: Database, after: tuple[str, str], rows: int) -> list[bulk.Row]:
        sql = f"""
            SELECT s.created_event, s.key, s.stream_id, s.created_ledger, s.base_status, s.token, f.facts
            FROM nebula_streams AS s LEFT JOIN nebula_facts AS f ON f.key = s.key
            WHERE s.contract_id = ? AND (s.created_event, s.key) < (?, ?)
            ORDER BY s.created_event DESC, s.key DESC LIMIT {rows:d}
        """  # noqa: S608 - a number only
        return bulk.query(database, sql, (self.contract, *after))

    def _unread(self, row: bulk.Row) -> Unread | None:
        _, key, stream_id, created_ledger, base_status, token, raw = row
        if raw is None:
            return None if key in self._skipped else Unread(key, int(stream_id), created_ledger)
        if base_status in _OPEN and b'"vault"' in (stored := bytes(raw)):
            self.told(key, facts_codec.decode(stored), token)
        return None
