"""What SQLite and PostgreSQL do each in their own way; everything else in this package is common to both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from peewee import Database

from stellarstream_core.storage import CommitWatch
from stellarstream_sql.batch import TransactionPlace
from stellarstream_sql.rows import Row
from stellarstream_sql.statements import Walking

T = TypeVar("T")
Values = Sequence[Any]


class ClashError(Exception):
    """What a commit took for new is stored already: undo it, read what is there, and do it again."""


class Transaction(Protocol):
    """An open write transaction. Texts are those of ``statements.py``, with ``?`` for values."""

    exclusive: bool
    """Whether nobody else can have written since it began, so that what was read first still holds."""

    def all(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        ...

    def run(self, sql: str, values: Values = ()) -> int:
        """Run a statement and return how many rows it touched."""
        ...

    def many(self, sql: str, rows: Sequence[Values]) -> None:
        """Run a statement for each row of values."""
        ...

    def lock_store(self) -> None:
        """From here to the end, let no other commit finish: coverage, watermarks and position are settled."""
        ...

    def next_position(self, values: Values) -> int:
        """Count a commit in the store's row (values of ``NEXT_POSITION``) and return its position.

        Watches hear of it when the transaction commits.
        """
        ...

    def add_transactions(self, places: Sequence[TransactionPlace]) -> int:
        """Insert the transactions that are not there, and return how many were inserted."""
        ...

    def stored_transactions(self, hashes: Sequence[str]) -> list[TransactionPlace]:
        """Return those of the transactions that are there."""
        ...

    def add_events(self, rows: Iterable[Row]) -> None:
        """Insert events, each row with its window's id at the end. Raises :class:`ClashError` where one is there."""
        ...

    def stored_by_id(self, rows: Sequence[Row]) -> list[Row]:
        """Return stored events that share ledger and id with one of ``rows``."""
        ...

    def stored_by_identity(self, rows: Sequence[Row]) -> list[Row]:
        """Return stored events that share ledger, transaction and event index with one of ``rows``."""
        ...


class Backend(Protocol):
    """An open database of one dialect."""

    url: str
    """What may be shown of the address."""

    durable: bool
    """Whether a commit has to survive a power cut before it counts."""

    walking: Walking
    """How walks along an index of events are written."""

    def write(self) -> AbstractContextManager[Transaction]:
        """Hold the one write transaction of this process; commit at the end, roll back on an exception.

        Raises ``StorageError``; :class:`ClashError` passes through.
        """
        ...

    def read(self, query: Callable[[Database], T]) -> T:
        """Call ``query`` with a connection of its own thread and one snapshot; safe from any thread."""
        ...

    def change(self, apply: Callable[[Database], T], seconds: float) -> T:
        """Call ``apply`` inside a write transaction that begins in so many seconds; see ``Storage.write``."""
        ...

    def watch(self) -> CommitWatch:
        """Open a watch for commits on a connection of its own."""
        ...

    def exists(self) -> bool:
        """Tell whether there is a database yet; a SQLite file comes into being with its first migration."""
        ...

    def migrate(self, apply: Callable[[Database], T]) -> T:
        """Call ``apply`` while no other process can migrate; the database is made where it does not exist."""
        ...

    def follow_lock(self) -> AbstractContextManager[Callable[[], None]]:
        """Hold the right to follow the tip, and give what looks whether it is still held.

        Both raise ``LeadershipError`` where another holds it.
        """
        ...

    def close(self) -> None:
        """Close every connection. Safe to call twice."""
        ...
