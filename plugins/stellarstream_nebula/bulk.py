"""Many rows in one statement: what a batch reads and writes goes past the ORM, which is slow at building long texts.

``?`` marks a value in every text here; it becomes the mark of the database at hand. Statements are cut into
pieces, for databases bound how many values one may have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from peewee import Database

T = TypeVar("T")
Row = tuple[Any, ...]

MOST_VALUES = 10_000
"""Values of one statement; SQLite takes 32,766, PostgreSQL 65,535."""


def query(database: Database, sql: str, values: Sequence[Any] = ()) -> list[Row]:
    """Run a query and return its rows."""
    execute: Any = database.execute_sql  # peewee's stubs leave it untyped
    rows: list[Row] = execute(sql.replace("?", database.param), tuple(values)).fetchall()
    return rows


def execute(database: Database, sql: str, values: Sequence[Any] = ()) -> None:
    """Run a statement."""
    run: Any = database.execute_sql
    run(sql.replace("?", database.param), tuple(values))


def marks(count: int) -> str:
    """Return ``?, ?, …`` for a list of values."""
    return ", ".join("?" * count)


def pieces(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items in parts of at most ``size``."""
    for at in range(0, len(items), size):
        yield items[at : at + size]


def select_in(database: Database, sql: str, keys: Iterable[Any], before: Sequence[Any] = ()) -> list[Row]:
    """Run a query that ends in ``IN`` for many keys; ``before`` are the values of marks that stand before the list."""
    found: list[Row] = []
    for part in pieces(list(keys), MOST_VALUES):
        found += query(database, f"{sql} ({marks(len(part))})", (*before, *part))
    return found


def upsert(database: Database, table: str, columns: Sequence[str], keys: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows, or replace what is stored under the same key; no key may come twice."""
    others = [column for column in columns if column not in keys]
    change = ", ".join(f"{column} = excluded.{column}" for column in others)
    _insert(database, table, columns, rows, f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {change}")


def insert_new(
    database: Database, table: str, columns: Sequence[str], keys: Sequence[str], rows: Sequence[Row]
) -> None:
    """Insert the rows whose key is not there."""
    _insert(database, table, columns, rows, f"ON CONFLICT ({', '.join(keys)}) DO NOTHING")


def _insert(database: Database, table: str, columns: Sequence[str], rows: Sequence[Row], conflict: str) -> None:
    one = f"({marks(len(columns))})"
    for part in pieces(rows, max(1, MOST_VALUES // len(columns))):
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([one] * len(part))} {conflict}"  # noqa: S608 - names and marks only
        execute(database, sql, [value for row in part for value in row])


def take_turn(database: Database) -> None:
    """Wait until nobody else changes streams, totals or links, and keep them away until this transaction ends."""
    execute(database, "UPDATE nebula_turn SET changes = changes + 1 WHERE id = 1")
