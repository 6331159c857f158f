"""Finding streams: pages, newest first, whose cost is bounded whatever the filters.

A filter is a way to walk: along indexes whose first column has one value, newest first. Of the filters that
are given the narrowest is walked, several walks merged (an address is sender, receiver or beneficiary), and
whatever it passes is held against the others. A page that has looked at its share of rows ends where the walk
stands, full or not; its cursor goes on from there. Places are (event of creation, key): what is created
meanwhile lies before every cursor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from peewee import Database

from stellarstream_nebula import bulk
from stellarstream_nebula.model import Status

BUDGET = 6_000
"""Streams that a page looks at before it ends with what it has; its last step may go beyond."""
FIRST_STEP = 256
"""Rows looked at first where not each of them fits; each further step is twice as long."""
LONGEST_STEP = 4_096
NARROW = 1_000
"""Up to so many rows of a filter are counted, to find the narrowest."""

_NEVER = 2**63 - 1


class Place(NamedTuple):
    """Where a stream stands in lists: newest first, by the event that created it, then by key."""

    created_event: str
    key: str


FIRST = Place("~", "")
"""Before every stream: ``~`` comes after all digits."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams: those that pass every filter given. ``any_of`` are (column, value) pairs, of which one must hold.

    ``moments`` are Unix seconds by contract, at which ``statuses`` are asked for; of other contracts streams are as
    the events left them. ``present``: the moments are those that the contracts are folded up to.
    """

    address: str | None = None
    sender: str | None = None
    receiver: str | None = None
    token: str | None = None
    statuses: frozenset[Status] = frozenset()
    contracts: tuple[str, ...] = ()
    any_of: tuple[tuple[str, str], ...] | None = None
    moments: Mapping[str, int] = field(default_factory=dict)
    present: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """A page: keys in order, where to go on (None: nothing is left), and how many are still to be passed over."""

    keys: Sequence[str]
    resume: Place | None
    skip: int = 0


@dataclass(frozen=True, slots=True)
class _Way:
    """Walks whose union holds every stream that passes a filter: columns and the value each must have.

    ``exact``: it holds no others. Where it does, what a stream is held against says more than the walks.
    """

    walks: tuple[tuple[str, str], ...]
    exact: bool = True

    @property
    def condition(self) -> str:
        return f"({' OR '.join(f'{column} = ?' for column, _ in self.walks)})"

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(value for _, value in self.walks)


def find_streams(database: Database, wanted: Wanted, limit: int, after: Place = FIRST, skip: int = 0) -> Found:
    """Return the next page: at most ``limit`` streams after a place, less the first ``skip``.

    Going on from ``resume`` (with ``skip``) until it is None yields each stream that fits once. The transaction must
    be one snapshot.
    """
    prepare(database)
    ways = _ways(wanted)
    if any(not way.walks for way in ways):
        return Found([], None)
    by_status = _status_way(database, wanted)
    driver = _narrowest(database, ways if by_status is None else [*ways, by_status])
    fits, values = _condition(wanted, [way for way in ways if way is not driver], driver is by_status)
    walks = driver.walks if driver is not None else ()
    if not fits:
        rows = _step(database, walks, after, limit + 1, "", (), skip)
        resume = Place(*rows[limit - 1][:2]) if len(rows) > limit else None
        return Found([row[1] for row in rows[:limit]], resume)
    keys: list[str] = []
    budget, step = BUDGET + skip, max(FIRST_STEP, limit + 1)
    while budget > 0:
        rows = _step(database, walks, after, step, fits, values)
        for created_event, key, fit, _ in rows:
            if not fit:
                continue
            if skip:
                skip -= 1
                continue
            keys.append(key)
            if len(keys) == limit:
                return Found(keys, Place(created_event, key))
        looked = rows[-1][3] if rows else 0
        if looked < step:
            return Found(keys, None)
        after = Place(*rows[-1][:2])
        budget -= looked
        step = min(2 * step, LONGEST_STEP)
    return Found(keys, after, skip)


def _ways(wanted: Wanted) -> list[_Way]:
    """Return the filters that can be walked, those first that tend to be narrow."""
    found: list[_Way] = []
    if wanted.any_of is not None:
        found.append(_Way(tuple(dict.fromkeys(wanted.any_of))))
    for column, value in (("sender", wanted.sender), ("receiver", wanted.receiver)):
        if value is not None:
            found.append(_Way(((column, value),)))
    if wanted.address is not None:
        found.append(_Way(address_walks(wanted.address)))
    if wanted.token is not None:
        found.append(_Way((("token", wanted.token),)))
    if wanted.contracts:
        found.append(_Way(tuple(("contract_id", contract) for contract in sorted(set(wanted.contracts)))))
    return found


def address_walks(address: str) -> tuple[tuple[str, str], ...]:
    """Return what makes a stream one of an address."""
    return (("sender", address), ("receiver", address), ("beneficiary", address))


_CLOCK = frozenset({Status.ACTIVE, Status.COMPLETED})
"""The statuses between which the clock decides."""


def _status_way(database: Database, wanted: Wanted) -> _Way | None:
    """Return how to find streams by status; None where any will do.

    ``shown_status`` is a little behind the clock. What it still shows as ACTIVE though its time is over is mostly
    next to nothing, and looked up; at another moment than the present both are walked.
    """
    statuses = wanted.statuses
    if not statuses or statuses == frozenset(Status):
        return None
    exact = not statuses & _CLOCK
    shown = set(statuses)
    keys: list[str] = []
    if not exact and not wanted.present:
        shown |= _CLOCK
    elif Status.COMPLETED in statuses and Status.ACTIVE not in statuses and wanted.moments:
        keys = _due(database, wanted.moments)
        if len(keys) > NARROW:
            keys = []
            shown.add(Status.ACTIVE)
    walks = [("shown_status", str(status)) for status in sorted(shown)] + [("key", key) for key in keys]
    return _Way(tuple(walks), exact)


def _due(database: Database, moments: Mapping[str, int]) -> list[str]:
    """Return streams that are over by the clock and still shown as ACTIVE, or a few more than are wanted."""
    one = """
        SELECT * FROM (
            SELECT key FROM nebula_streams WHERE shown_status = 'ACTIVE' AND contract_id = ? AND completes_at <= ?
            LIMIT {most:d}
        ) AS w
    """
    sql = " UNION ALL ".join([one.format(most=NARROW + 1)] * len(moments))
    return [row[0] for row in bulk.query(database, sql, [value for pair in moments.items() for value in pair])]


def _condition(wanted: Wanted, others: Sequence[_Way], walked_by_status: bool) -> tuple[str, tuple[object, ...]]:
    """Return what a row that the walk passes is held against, and its values; empty where everything fits."""
    parts = [way.condition for way in others]
    values: list[object] = [value for way in others for value in way.values]
    statuses = wanted.statuses
    clock = statuses & _CLOCK
    if statuses and statuses != frozenset(Status) and (clock or not walked_by_status):
        bases = sorted(statuses | ({Status.ACTIVE} if Status.COMPLETED in statuses else set()))
        parts.append(f"base_status IN ({bulk.marks(len(bases))})")
        values += [str(base) for base in bases]
    if len(clock) == 1 and wanted.moments:
        now, moments = _now(wanted.moments)
        completed = f"coalesce(completes_at, {_NEVER}) <= {now}"
        shown = completed if Status.COMPLETED in clock else f"NOT ({completed})"
        parts.append(f"(base_status <> 'ACTIVE' OR {shown})")
        values += moments
    elif clock == {Status.COMPLETED}:  # no clock tells of any contract
        parts.append("base_status <> 'ACTIVE'")
    return " AND ".join(parts), tuple(values)


def _now(moments: Mapping[str, int]) -> tuple[str, list[object]]:
    """Return the expression for the moment of a row's contract; -1 where it has none."""
    by_moment: dict[int, list[str]] = {}
    for contract, moment in sorted(moments.items()):
        by_moment.setdefault(moment, []).append(contract)
    cases: list[str] = []
    values: list[object] = []
    for moment, contracts in by_moment.items():
        cases.append(f"WHEN contract_id IN ({bulk.marks(len(contracts))}) THEN {moment:d}")
        values += contracts
    return f"(CASE {' '.join(cases)} ELSE -1 END)", values


def _narrowest(database: Database, ways: Sequence[_Way]) -> _Way | None:
    """Return the filter that leaves the fewest streams, as far as a short look tells; None where none is given."""
    if len(ways) < 2:
        return ways[0] if ways else None
    one = "SELECT 1 FROM (SELECT key FROM nebula_streams WHERE {column} = ? LIMIT {narrow:d}) AS w"
    unions = (" UNION ALL ".join(one.format(column=column, narrow=NARROW) for column, _ in way.walks) for way in ways)
    counts = " UNION ALL ".join(f"SELECT count(*) FROM ({union}) AS c" for union in unions)  # noqa: S608 - names and marks only
    rows = bulk.query(database, counts, [value for way in ways for value in way.values])
    sizes = [row[0] for row in rows]
    return ways[sizes.index(min(sizes))]


def _step(
    database: Database,
    walks: Sequence[tuple[str, str]],
    after: Place,
    rows: int,
    fits: str,
    values: Sequence[object],
    offset: int = 0,
) -> list[bulk.Row]:
    """Look at the next rows of merged walks: (event, key, whether it fits, how many were looked at).

    Those that do not fit are left out, but for the last one looked at. Without ``fits`` every row is returned,
    from ``offset`` on.
    """
    depth, columns = rows + offset, _HELD if fits else _PLACE
    one = """
        SELECT * FROM (
            SELECT {columns} FROM nebula_streams
            WHERE {where}(created_event, key) < (?, ?) ORDER BY created_event DESC, key DESC LIMIT {depth:d}
        ) AS w
    """
    parts = [one.format(columns=columns, where=f"{column} = ? AND ", depth=depth) for column, _ in walks]
    walked: list[object] = [value for _, start in walks for value in (start, *after)]
    if not walks:
        parts, walked = [one.format(columns=columns, where="", depth=depth)], list(after)
    looked = f"""
        SELECT * FROM ({" UNION ".join(parts)}) AS m
        ORDER BY created_event DESC, key DESC LIMIT {rows:d} OFFSET {offset:d}
    """  # noqa: S608 - names and marks only
    if not fits:
        return bulk.query(database, looked, walked)
    return bulk.query(
        database,
        f"""
        SELECT created_event, key, fits, place FROM (
            SELECT created_event, key, ({fits}) AS fits,
                row_number() OVER (ORDER BY created_event DESC, key DESC) AS place, count(*) OVER () AS looked
            FROM ({looked}) AS l
        ) AS f WHERE fits OR place = looked ORDER BY created_event DESC, key DESC
        """,  # noqa: S608 - names and marks only
        [*values, *walked],
    )


_PLACE = "created_event, key"
_HELD = f"{_PLACE}, sender, receiver, beneficiary, token, contract_id, base_status, completes_at, tx_hash, memo"


def prepare(database: Database) -> None:
    """Keep PostgreSQL to the walks; left alone it may collect and sort, and a common value costs as much as a table."""
    if is_postgresql(database):
        bulk.query(
            database,
            "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)",
        )


def is_postgresql(database: Database) -> bool:
    """Tell whether a database is PostgreSQL, by how it marks values."""
    return bool(database.param == "%s")
