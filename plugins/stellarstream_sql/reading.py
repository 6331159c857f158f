"""Reading events in id order, a page at a time, whatever the scope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peewee import Database

from stellarstream_core.events import ContractEvent, parse_event_id
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import EVERYTHING, Scope
from stellarstream_core.storage import CloseTime, Commit
from stellarstream_sql import statements
from stellarstream_sql.rows import to_event
from stellarstream_sql.statements import Walking

ALL = 2**63 - 1
"""The limit that is none."""
FIRST_STRIDE = 16
"""Ledgers looked at first when several contracts are read at once; each further stride is four times as long."""


def query(database: Database, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Run a text of ``statements.py`` on a reader's connection."""
    execute: Any = database.execute_sql  # peewee's stubs leave it untyped
    rows: list[tuple[Any, ...]] = execute(sql.replace("?", database.param), values).fetchall()
    return rows


def read_events(database: Database, within: LedgerRange, scope: Scope, after: str, limit: int) -> list[ContractEvent]:
    """Return up to ``limit`` events of the scope in id order, from the first id above ``after``.

    Everything, or one contract, is one walk along an index. Several contracts are read stride by
    stride of ledgers, each stride by the index of contracts: a page costs what it returns, be the
    contracts busy or silent.
    """
    if limit < 1:
        return []
    first, last = within
    if after:
        first = max(first, parse_event_id(after).ledger)
    if first > last:
        return []
    if scope.everything:
        return _events(database, statements.EVENTS_OF_ALL, (first, last, after, limit))
    sql = statements.events_of_contracts(len(scope))
    if len(scope) == 1:
        return _events(database, sql, (*scope.members, first, last, after, limit))
    lowest, highest = query(database, statements.EVENT_BOUNDS, ())[0]
    if lowest is None:
        return []
    first, last = max(first, lowest), min(last, highest)
    found: list[ContractEvent] = []
    stride = FIRST_STRIDE
    while first <= last and len(found) < limit:
        upper = min(last, first + stride - 1)
        found += _events(database, sql, (*scope.members, first, upper, after, limit - len(found)))
        first, stride = upper + 1, stride * 4
    return found


def read_event(database: Database, ledger: int, event_id: str) -> ContractEvent | None:
    """Return the event of an id, whose ledger it names; None where there is none."""
    return next(iter(_events(database, statements.EVENT_AT, (ledger, event_id))), None)


def most_of_commit(commit: Commit, skip: int = 0, limit: int = ALL) -> int:
    """Return how many events of a commit to look for: at most ``limit``, and no more than it can have after ``skip``.

    Whoever has found the last one stops there; whoever looks for one more reads all that other commits
    stored in the same ledgers.
    """
    return limit if commit.events is None else min(limit, commit.events - skip)


def read_events_of_commit(database: Database, commit: Commit, limit: int) -> list[ContractEvent]:
    """Return at most ``limit`` events first stored under a commit's windows, in id order."""
    values = (*commit.range, commit.window_id, commit.window_id, limit)
    return _events(database, statements.EVENTS_OF_COMMIT, values)


def read_page_of_commit(
    database: Database, walking: Walking, commit: Commit, after: str, skip: int, limit: int
) -> list[ContractEvent]:
    """Return at most ``limit`` events of a commit in id order, from the first id above ``after``, less ``skip``."""
    first = parse_event_id(after).ledger if after else commit.range.first
    if walking.prepare:
        query(database, walking.prepare, ())
    values = (first, commit.range.last, first, after, commit.window_id, commit.window_id, limit, skip)
    return _events(database, statements.PAGE_OF_COMMIT, values)


def read_page_of_commit_of(
    database: Database, commit: Commit, contracts: Sequence[str], after: str, skip: int, limit: int
) -> list[ContractEvent]:
    """Return what :func:`read_page_of_commit` does, of these contracts alone: others' events are not read."""
    first = parse_event_id(after).ledger if after else commit.range.first
    values = (*contracts, first, commit.range.last, first, after, commit.window_id, commit.window_id, limit, skip)
    return _events(database, statements.page_of_commit_of(len(contracts)), values)


def read_earliest_after(database: Database, position: int, contracts: Sequence[str]) -> dict[str, int]:
    """Return the lowest first ledger of later commits for each contract they can hold events of."""
    asked = sorted({*contracts, EVERYTHING})
    found = {row[0]: int(row[1]) for row in query(database, statements.earliest_after(len(asked)), (position, *asked))}
    whole = found.get(EVERYTHING)
    both = {contract: [found.get(contract), whole] for contract in contracts}
    return {contract: min(known) for contract, ends in both.items() if (known := [end for end in ends if end])}


def read_close_time(database: Database, upto: int) -> CloseTime | None:
    """Return the newest ledger at or below one whose close time a window or an event told."""
    found = [
        CloseTime(*row)
        for sql in (statements.LEDGER_TIME, statements.EVENT_TIME)
        for row in query(database, sql, (upto,))
    ]
    return max(found, default=None)


def _events(database: Database, sql: str, values: tuple[Any, ...]) -> list[ContractEvent]:
    return [to_event(row) for row in query(database, sql, values)]
