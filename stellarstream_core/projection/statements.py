"""The SQL texts that do not go through peewee: what each step reads and writes many rows with.

``?`` marks a value; :func:`run` puts in the dialect's own mark. A text depends on how many rows or keys it is
for, so that each is made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from peewee import Database


def run(database: Database, sql: str, values: Sequence[object]) -> Any:
    """Run a text of this module and return the cursor."""
    execute: Any = database.execute_sql  # peewee's stubs leave it untyped
    return execute(_for_dialect(sql, database.param), values)


@lru_cache(maxsize=256)
def _for_dialect(sql: str, mark: str) -> str:
    return sql.replace("?", mark)


def _rows(rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return ", ".join([row] * rows)


def _marks(count: int) -> str:
    return ", ".join("?" * count)


@lru_cache(maxsize=512)
def add_entries(rows: int) -> str:
    """Insert entries. Values of each: projection, key, event id."""
    return f"INSERT INTO projection_entries (projection, key, event_id) VALUES {_rows(rows, 3)}"  # noqa: S608 - marks


@lru_cache(maxsize=512)
def put_states(rows: int) -> str:
    """Write states over what is there. Values of each: projection, key, last event id, state."""
    return f"""
        INSERT INTO projection_states (projection, key, last_event_id, state) VALUES {_rows(rows, 4)}
        ON CONFLICT (projection, key) DO UPDATE SET last_event_id = excluded.last_event_id, state = excluded.state
    """  # noqa: S608 - only marks are put in


@lru_cache(maxsize=512)
def add_members(rows: int) -> str:
    """Make keys members of groups. Values of each: projection, group, key."""
    return f"""
        INSERT INTO projection_members (projection, group_key, key) VALUES {_rows(rows, 3)} ON CONFLICT DO NOTHING
    """  # noqa: S608 - only marks are put in


@lru_cache(maxsize=512)
def entries_of(keys: int) -> str:
    """Select the journals of some keys. Values: projection, the first event id, the keys."""
    return f"""
        SELECT key, event_id FROM projection_entries
        WHERE projection = ? AND event_id >= ? AND key IN ({_marks(keys)})
    """  # noqa: S608 - only marks are put in


@lru_cache(maxsize=512)
def entries_at(events: int) -> str:
    """Select the entries that some events have. Values: projection, the event ids."""
    return f"""
        SELECT event_id, key FROM projection_entries WHERE projection = ? AND event_id IN ({_marks(events)})
    """  # noqa: S608 - only marks are put in


@lru_cache(maxsize=512)
def states_of(keys: int) -> str:
    """Select the states of some keys. Values: projection, the keys."""
    return f"""
        SELECT key, last_event_id, state FROM projection_states WHERE projection = ? AND key IN ({_marks(keys)})
    """  # noqa: S608 - only marks are put in


@lru_cache(maxsize=512)
def groups_of(keys: int) -> str:
    """Select the groups that some keys are in. Values: projection, the keys."""
    return f"""
        SELECT key, group_key FROM projection_members WHERE projection = ? AND key IN ({_marks(keys)})
    """  # noqa: S608 - only marks are put in


@lru_cache(maxsize=512)
def groups_among(keys: int) -> str:
    """Select those of some keys that have members. Values: projection, the keys."""
    return f"""
        SELECT DISTINCT group_key FROM projection_members WHERE projection = ? AND group_key IN ({_marks(keys)})
    """  # noqa: S608 - only marks are put in
