"""Removing what the projection wrote beside the states, a bounded piece at a time."""

from __future__ import annotations

from typing import Any

from peewee import Database, Model

from stellarstream_nebula.tables import (
    NebulaCompletion,
    NebulaCount,
    NebulaHour,
    NebulaParty,
    NebulaStream,
    NebulaTotal,
    NebulaWaitingMove,
)

PIECE = 2_000
"""Rows removed at once; a stream's row stands in many indexes."""
_CLEARED: tuple[type[Model], ...] = (
    NebulaStream,
    NebulaWaitingMove,
    NebulaParty,
    NebulaHour,
    NebulaCompletion,
    NebulaTotal,
    NebulaCount,
)


def remove_some(database: Database, rows: int = PIECE) -> bool:
    """Remove so many rows of streams and totals; tell whether some may be left. The caller has taken its turn."""
    for model in _CLEARED:
        rows -= _remove(database, model, rows)
        if rows <= 0:
            return True
    return False


def _remove(database: Database, model: type[Model], rows: int) -> int:
    """Remove rows in the order of their key, and return how many."""
    meta: Any = model._meta  # peewee's stubs leave it untyped
    key = ", ".join(field.column_name for field in meta.get_primary_keys())
    execute: Any = database.execute_sql
    sql = f"DELETE FROM {meta.table_name} WHERE ({key}) IN (SELECT {key} FROM {meta.table_name} ORDER BY {key} LIMIT ?)"  # noqa: S608 - names and marks only
    return int(execute(sql.replace("?", database.param), (rows,)).rowcount)
