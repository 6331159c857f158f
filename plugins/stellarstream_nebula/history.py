"""Finding entries of the audit log: pages by event whose cost is bounded, of all streams, of an address or of one.

Entries are walked along their events, or along those of a type; what does not fit is passed over, and a page
that has looked at its share ends where it stands. An address with few streams is answered from these: each
stream's next entry is looked up, and those that come first are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from peewee import Database

from stellarstream_nebula import bulk
from stellarstream_nebula.audit import Place, end_of, read_chains, read_relinks
from stellarstream_nebula.queries import address_walks, is_postgresql, prepare

BUDGET = 6_000
"""Entries that a page looks at before it ends with what it has; its last step may go beyond."""
FIRST_STEP = 256
LONGEST_STEP = 4_096
FEW_STREAMS = 5_000
"""An address with so many streams is answered from them; of one with more, every few entries are one of its own."""
PROBED_AT_ONCE = 200
MERGED_AT_ONCE = 50

LOWEST = ""
HIGHEST = "~"
"""Before and after every event id."""


class Logged(NamedTuple):
    """An entry: ``hash`` is None until it is sealed; ``since`` is the revision of its chain that had it first."""

    event_id: str
    key: str
    type: str
    hash: bytes | None
    since: int | None = None


@dataclass(frozen=True, slots=True)
class WantedEntries:
    """Which entries: those that pass every filter given. Events from the id ``first`` on, below ``end``."""

    contracts: tuple[str, ...] = ()
    address: str | None = None
    types: tuple[str, ...] = ()
    first: str = LOWEST
    end: str = HIGHEST
    descending: bool = True


@dataclass(frozen=True, slots=True)
class FoundEntries:
    """A page, and the place after which to go on (None: nothing is left)."""

    entries: Sequence[Logged]
    resume: Place | None


def find_entries(database: Database, wanted: WantedEntries, limit: int, after: Place | None = None) -> FoundEntries:
    """Return the next page in the order asked, from beyond ``after``. The transaction must be one snapshot."""
    found = _find(database, wanted, limit, after)
    return FoundEntries(_as_linked(database, found.entries), found.resume)


def _find(database: Database, wanted: WantedEntries, limit: int, after: Place | None) -> FoundEntries:
    prepare(database)
    if wanted.address is not None:
        streams = _streams_of(database, wanted.address, wanted.contracts)
        if len(streams) <= FEW_STREAMS:
            return _of_few(database, wanted, streams, limit, after)
    fits, values = _condition(wanted)
    step = max(FIRST_STEP, limit + 1) if fits else limit + 1
    found: list[Logged] = []
    budget = BUDGET
    while budget > 0:
        rows = _step(database, wanted, after, step, fits, values)
        for *logged, fit in rows:
            if fit:
                found.append(_logged(logged))
                if len(found) > limit:
                    last = found[limit - 1]
                    return FoundEntries(found[:limit], Place(last.event_id, last.key))
        if len(rows) < step:
            return FoundEntries(found, None)
        after = Place(rows[-1][0], rows[-1][1])
        budget -= step
        step = min(2 * step, LONGEST_STEP)
    return FoundEntries(found, after)


def find_entries_of(
    database: Database, spans: Sequence[tuple[str, str, str]], limit: int, after: Place | None, *, descending: bool
) -> FoundEntries:
    """Return the next entries of some keys, merged; spans are (key, least event id, event id that is too great)."""
    rows = _of_keys(database, spans, limit + 2, after, descending=descending)
    resume = Place(rows[limit - 1].event_id, rows[limit - 1].key) if len(rows) > limit else None
    return FoundEntries(_as_linked(database, rows[:limit]), resume)


def _as_linked(database: Database, entries: Sequence[Logged]) -> list[Logged]:
    """Return entries without the hashes that those have which lie behind the end of a chain that is linked anew."""
    waiting = read_relinks(database, {entry.key for entry in entries})
    if not waiting:
        return list(entries)
    chains = read_chains(database, waiting)
    ends = {key: chains[key].last_event if key in chains else "" for key in waiting}
    return [
        entry._replace(hash=None) if entry.key in ends and entry.event_id > ends[entry.key] else entry
        for entry in entries
    ]


def _logged(row: Sequence[Any]) -> Logged:
    event_id, key, kind, head, since = row
    return Logged(event_id, key, kind, None if head is None else bytes(head), since)


def _condition(wanted: WantedEntries) -> tuple[str, tuple[object, ...]]:
    parts: list[str] = []
    values: list[object] = []
    if wanted.contracts:
        parts.append(f"contract_id IN ({bulk.marks(len(wanted.contracts))})")
        values += wanted.contracts
    if wanted.address is not None:
        walks = address_walks(wanted.address)
        parties = " OR ".join(f"s.{column} = ?" for column, _ in walks)
        parts.append(f"EXISTS (SELECT 1 FROM nebula_streams AS s WHERE s.key = l.key AND ({parties}))")  # noqa: S608 - names and marks only
        values += [value for _, value in walks]
    return " AND ".join(parts), tuple(values)


def _step(
    database: Database, wanted: WantedEntries, after: Place | None, rows: int, fits: str, values: Sequence[object]
) -> list[bulk.Row]:
    """Look at the next entries; the last column tells whether one fits."""
    order, sign = ("DESC", "<") if wanted.descending else ("ASC", ">")
    place = after or (Place(HIGHEST, "") if wanted.descending else Place(LOWEST, ""))
    one = f"""
        SELECT * FROM (
            SELECT event_id, key, type, hash, since, contract_id FROM nebula_links
            WHERE {{where}}(event_id, key) {sign} (?, ?) AND event_id >= ? AND event_id < ?
            ORDER BY event_id {order}, key {order} LIMIT {rows:d}
        ) AS w
    """  # noqa: S608 - names and marks only
    bounds = (*place, wanted.first, wanted.end)
    types = sorted(set(wanted.types))
    parts = [one.format(where="type = ? AND ") for _ in types] or [one.format(where="")]
    walked: list[object] = [value for kind in types for value in (kind, *bounds)] or list(bounds)
    return bulk.query(
        database,
        f"""
        SELECT event_id, key, type, hash, since, {f"({fits})" if fits else "1 = 1"}
        FROM ({" UNION ALL ".join(parts)}) AS l
        ORDER BY event_id {order}, key {order} LIMIT {rows:d}
        """,  # noqa: S608 - names and marks only
        [*values, *walked],
    )


# --- of few streams ---------------------------------------------------------------------------------


class _Stream(NamedTuple):
    """A stream, and between which ledgers its events are."""

    key: str
    contract_id: str
    created_ledger: int
    updated_ledger: int


def _streams_of(database: Database, address: str, contracts: Sequence[str]) -> list[_Stream]:
    """Return the streams of an address, or a few more than are wanted."""
    most = FEW_STREAMS + 1
    parts = [
        f"""
        SELECT * FROM (
            SELECT key, contract_id, created_ledger, updated_ledger FROM nebula_streams
            WHERE {column} = ? LIMIT {most:d}
        ) AS w
        """  # noqa: S608 - names only
        for column, _ in address_walks(address)
    ]
    found = [_Stream(*row) for row in bulk.query(database, " UNION ".join(parts), [address] * len(parts))]
    if len(found) > FEW_STREAMS:
        return found
    return [stream for stream in found if not contracts or stream.contract_id in contracts]


def _of_few(
    database: Database, wanted: WantedEntries, streams: Sequence[_Stream], limit: int, after: Place | None
) -> FoundEntries:
    """Merge the entries of streams: those first whose next entry comes first."""
    descending = wanted.descending
    bounds = _beyond(wanted.first, wanted.end, after, descending=descending)
    types = sorted(set(wanted.types))
    rows: list[Logged] = []
    at = "" if after is None else after.event_id
    nearest = _nearest(database, streams, bounds, types, limit, at, descending=descending)
    for part in bulk.pieces(nearest, MERGED_AT_ONCE):
        if len(rows) > limit and _comes_after(part[0][0], rows[limit].event_id, descending=descending):
            break
        spans = [(key, wanted.first, wanted.end) for _, key in part]
        rows += _of_keys(database, spans, limit + 2, after, descending=descending, types=types)
        rows.sort(key=lambda entry: (entry.event_id, entry.key), reverse=descending)
        del rows[limit + 1 :]
    resume = Place(rows[limit - 1].event_id, rows[limit - 1].key) if len(rows) > limit else None
    return FoundEntries(rows[:limit], resume)


def _nearest(
    database: Database,
    streams: Sequence[_Stream],
    bounds: tuple[str, str],
    types: Sequence[str],
    limit: int,
    at: str,
    *,
    descending: bool,
) -> list[tuple[str, str]]:
    """Return the next entry (event id, key) of the streams whose next entries come first, in that order.

    A stream's ledgers bound where its entries are, so that most need not be looked at. Entries of the event ``at``,
    where the page begins, may have been on the page before: they do not count as found.
    """
    first, end = bounds
    within = [
        (min(end, end_of(one.updated_ledger)) if descending else max(first, end_of(one.created_ledger - 1)), one.key)
        for one in streams
        if end_of(one.created_ledger - 1) < end and end_of(one.updated_ledger) > first
    ]
    within.sort(reverse=descending)
    pick = "max" if descending else "min"
    typed = f" AND l.type IN ({bulk.marks(len(types))})" if types else ""
    found: list[tuple[str, str]] = []
    for part in bulk.pieces(within, PROBED_AT_ONCE):
        beyond = [event_id for event_id, _ in found if event_id != at]
        if len(beyond) > limit and _comes_after(part[0][0], beyond[limit], descending=descending):
            break
        sql = f"""
            SELECT (
                SELECT {pick}(l.event_id) FROM nebula_links AS l
                WHERE l.key = v.column1 AND l.event_id >= ? AND l.event_id < ?{typed}
            ), v.column1 FROM (VALUES {", ".join(["(?)"] * len(part))}) AS v
        """  # noqa: S608 - names and marks only
        rows = bulk.query(database, sql, [first, end, *types, *(key for _, key in part)])
        found += [(row[0], row[1]) for row in rows if row[0] is not None]
        found.sort(reverse=descending)
    return found


def _comes_after(event_id: str, other: str, *, descending: bool) -> bool:
    """Tell whether an event comes strictly after another in the order asked."""
    return event_id < other if descending else event_id > other


def _of_keys(
    database: Database,
    spans: Sequence[tuple[str, str, str]],
    rows: int,
    after: Place | None,
    *,
    descending: bool,
    types: Sequence[str] = (),
) -> list[Logged]:
    """Return at most ``rows`` of the next entries of each key, in the order asked."""
    if not spans:
        return []
    order = "DESC" if descending else "ASC"
    typed = f" AND type IN ({bulk.marks(len(types))})" if types else ""
    bounded = [(key, *_beyond(least, end, after, descending=descending)) for key, least, end in spans]
    one = f"""
        SELECT event_id, key, type, hash, since FROM nebula_links
        WHERE key = {{}} AND event_id >= {{}} AND event_id < {{}}{typed} ORDER BY event_id {order} LIMIT {rows:d}
    """  # noqa: S608 - names and marks only
    if is_postgresql(database):  # which is slow to plan many selects, and has a word for the same select for each row
        listed = ", ".join(["(?, ?, ?)"] * len(spans))
        own = one.format("v.column1", "v.column2", "v.column3")
        sql = f"SELECT w.* FROM (VALUES {listed}) AS v CROSS JOIN LATERAL ({own}) AS w"  # noqa: S608 - names and marks
        values: list[object] = [*(value for span in bounded for value in span), *types]
    else:
        sql = " UNION ALL ".join([f"SELECT * FROM ({one.format('?', '?', '?')}) AS w"] * len(spans))  # noqa: S608 - names and marks only
        values = [value for span in bounded for value in (*span, *types)]
    found = [_logged(row) for row in bulk.query(database, sql, values)]
    found.sort(key=lambda entry: (entry.event_id, entry.key), reverse=descending)
    if after is None:
        return found
    return [entry for entry in found if (Place(entry.event_id, entry.key) < after) == descending and entry[:2] != after]


def _beyond(first: str, end: str, after: Place | None, *, descending: bool) -> tuple[str, str]:
    """Return the bounds of event ids beyond a place; the event at the place is still within, for other keys have it."""
    if after is None:
        return first, end
    if descending:
        return first, min(end, f"{after.event_id}~")
    return max(first, after.event_id), end
