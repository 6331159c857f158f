"""Totals of streams: kept by differences, so that nothing is ever counted through.

A stream's row says what it counts for. Whoever changes rows takes the old ones out of the totals and puts the
new ones in, in the same transaction: the totals are always the sums over the rows, and so is what was put into
new streams in an hour. Amounts are added in Python, for SQL would make floats of them. What else moved in an hour
is counted when its event is first journaled.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from peewee import Database

from stellarstream_nebula import bulk
from stellarstream_nebula.model import Status

DAY = 86_400
HOUR = 3_600
MANY_DAYS = 64
"""Days of the longer spans in which completions are counted beside single days."""
ALL_TOKENS = "*"
"""What stands for all tokens where completions are counted."""

SENDERS = "senders"
RECEIVERS = "receivers"
EVENTS = "events"
"""Names of counters."""
_FOLDED = "folded "
"""Before a contract's id: the name under which the ledger of its newest journaled event stands."""

_ROLES = {"sender": SENDERS, "receiver": RECEIVERS}


class Counted(NamedTuple):
    """What a stream's row counts for, in the order of :data:`COUNTED_COLUMNS`; None where nothing tells."""

    contract_id: str
    token: str | None
    base_status: str
    completes_at: int | None
    amount: str | None
    withdrawn: str | None
    held: str | None
    sender: str | None
    receiver: str | None


COUNTED_COLUMNS = Counted._fields
"""Columns of ``nebula_streams``."""


class Move(NamedTuple):
    """Tokens that moved: at ``closed_at`` (Unix seconds), as what (``created``, ``topped_up``, ``withdrawn``)."""

    contract_id: str
    token: str
    closed_at: int
    kind: str
    amount: int


@dataclass(slots=True)
class Sums:
    """The sums of :class:`~stellarstream_nebula.tables.NebulaTotal`."""

    streams: int = 0
    amount: int = 0
    withdrawn: int = 0
    held: int = 0
    untold: int = 0

    def add(self, other: Sums, sign: int = 1) -> None:
        """Add other sums, or take them away."""
        self.streams += sign * other.streams
        self.amount += sign * other.amount
        self.withdrawn += sign * other.withdrawn
        self.held += sign * other.held
        self.untold += sign * other.untold

    @classmethod
    def of(cls, row: Counted) -> Sums:
        """Return what one stream counts for."""
        return cls(1, int(row.amount or 0), int(row.withdrawn or 0), int(row.held or 0), int(row.held is None))

    @classmethod
    def read(cls, row: Sequence[object]) -> Sums:
        """Return the sums of a stored row: streams, amount, withdrawn, held, untold."""
        return cls(*(int(str(value)) for value in row))


class Differences:
    """What changes in the totals; gathered first, then written at once."""

    def __init__(self) -> None:
        self._totals: dict[tuple[str, str, str], Sums] = defaultdict(Sums)
        self._completions: Counter[tuple[str, str, int, int]] = Counter()
        self._parties: Counter[tuple[str, str]] = Counter()
        self._counts: Counter[str] = Counter()
        self._hours: dict[tuple[str, str, int], Counter[str]] = defaultdict(Counter)
        self._folded: dict[str, int] = {}

    def add(self, row: Counted) -> None:
        """Count a stream."""
        self._count(row, 1)

    def remove(self, row: Counted) -> None:
        """Count it no more."""
        self._count(row, -1)

    def events(self, count: int) -> None:
        """Count events that are journaled for the first time."""
        self._counts[EVENTS] += count

    def folded(self, contract_id: str, ledger: int) -> None:
        """Note that an event of a ledger is in the journal of a contract's streams."""
        self._folded[contract_id] = max(ledger, self._folded.get(contract_id, 0))

    def moved(self, moves: Iterable[Move]) -> None:
        """Count what moved."""
        for move in moves:
            self._hours[move.contract_id, move.token, move.closed_at // HOUR][move.kind] += move.amount

    def _count(self, row: Counted, sign: int) -> None:
        token = row.token or ""
        self._totals[row.contract_id, token, row.base_status].add(Sums.of(row), sign)
        if row.base_status == Status.ACTIVE and row.completes_at is not None:
            for one in (token, ALL_TOKENS):
                for days in (1, MANY_DAYS):
                    self._completions[row.contract_id, one, days, row.completes_at // DAY // days] += sign
        for role in _ROLES:
            if address := getattr(row, role):
                self._parties[role, address] += sign

    def write(self, database: Database) -> None:
        """Add everything to what is stored. The caller has taken its turn."""
        self._write_totals(database)
        self._write_completions(database)
        self._write_parties(database)
        self._write_hours(database)
        _add(database, "nebula_counts", ("name",), "value", {(name,): n for name, n in self._counts.items() if n})
        before = newest_journaled(database, self._folded)
        newer = [(_FOLDED + one, n) for one, n in sorted(self._folded.items()) if n > before.get(one, 0)]
        bulk.upsert(database, "nebula_counts", ("name", "value"), ("name",), newer)

    def _write_totals(self, database: Database) -> None:
        changed = {key: sums for key, sums in self._totals.items() if sums != Sums()}
        stored = _stored(
            database,
            "SELECT contract_id, token, base_status, streams, amount, withdrawn, held, untold FROM nebula_totals",
            changed,
            3,
        )
        rows: list[bulk.Row] = []
        for key, sums in sorted(changed.items()):
            sums.add(Sums.read(stored[key]) if key in stored else Sums())
            rows.append(
                (*key, sums.streams, str(sums.amount), str(sums.withdrawn), str(sums.held), sums.untold),
            )
        columns = ("contract_id", "token", "base_status", "streams", "amount", "withdrawn", "held", "untold")
        bulk.upsert(database, "nebula_totals", columns, columns[:3], rows)

    def _write_completions(self, database: Database) -> None:
        changed = {key: n for key, n in self._completions.items() if n}
        _add(database, "nebula_completions", ("contract_id", "token", "days", "span"), "streams", changed)

    def _write_parties(self, database: Database) -> None:
        changed = {key: n for key, n in self._parties.items() if n}
        for role, name in _ROLES.items():
            addresses = [address for of, address in changed if of == role]
            sql = "SELECT address, streams FROM nebula_parties WHERE role = ? AND address IN"
            before = {row[0]: row[1] for row in bulk.select_in(database, sql, addresses, (role,))}
            for address in addresses:
                had, has = before.get(address, 0), before.get(address, 0) + changed[role, address]
                self._counts[name] += (has > 0) - (had > 0)
        _add(database, "nebula_parties", ("role", "address"), "streams", changed)

    def _write_hours(self, database: Database) -> None:
        stored = _stored(
            database,
            "SELECT contract_id, token, hour, created, topped_up, withdrawn FROM nebula_hours",
            self._hours,
            3,
        )
        kinds = ("created", "topped_up", "withdrawn")
        rows: list[bulk.Row] = []
        for key, moved in sorted(self._hours.items()):
            before = stored.get(key, (0, 0, 0))
            sums = (int(str(was)) + moved[kind] for was, kind in zip(before, kinds, strict=True))
            rows.append((*key, *map(str, sums)))
        bulk.upsert(database, "nebula_hours", ("contract_id", "token", "hour", *kinds), _HOUR_KEY, rows)


def newest_journaled(database: Database, contracts: Iterable[str]) -> dict[str, int]:
    """Return the ledger of the newest event in the journals of each contract's streams; those without any are left out.

    Where it lies above the ledger up to which a contract is folded, some of its streams are ahead of that.
    """
    names = [_FOLDED + contract for contract in contracts]
    rows = bulk.select_in(database, "SELECT name, value FROM nebula_counts WHERE name IN", names)
    return {name.removeprefix(_FOLDED): int(value) for name, value in rows}


_HOUR_KEY = ("contract_id", "token", "hour")


def _add(database: Database, table: str, keys: Sequence[str], column: str, changed: Mapping[Any, int]) -> None:
    """Add numbers to a column, by key; a row that is not there begins at 0."""
    names = ", ".join((*keys, column))
    one = f"({bulk.marks(len(keys) + 1)})"
    for part in bulk.pieces(sorted(changed.items()), bulk.MOST_VALUES // (len(keys) + 1)):
        bulk.execute(
            database,
            f"""
            INSERT INTO {table} ({names}) VALUES {", ".join([one] * len(part))}
            ON CONFLICT ({", ".join(keys)}) DO UPDATE SET {column} = {table}.{column} + excluded.{column}
            """,  # noqa: S608 - names and marks only
            [value for key, n in part for value in (*key, n)],
        )


def _stored(database: Database, sql: str, keys: Iterable[bulk.Row], width: int) -> dict[bulk.Row, bulk.Row]:
    """Return the rest of the stored rows by their key, which is the first ``width`` columns."""
    found: dict[bulk.Row, bulk.Row] = {}
    wanted = set(keys)
    names = sql.removeprefix("SELECT ").split(", ")[:width]
    condition = " AND ".join(f"{name} = ?" for name in names)
    for part in bulk.pieces(sorted(wanted), bulk.MOST_VALUES // width):
        where = " OR ".join([f"({condition})"] * len(part))
        values = [value for key in part for value in key]
        found |= {row[:width]: row[width:] for row in bulk.query(database, f"{sql} WHERE {where}", values)}
    return found
