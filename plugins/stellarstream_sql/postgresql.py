"""PostgreSQL through psycopg 3: COPY for events, and commits from several processes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from threading import BoundedSemaphore, Lock
from time import monotonic
from typing import Any, TypeVar

import psycopg
from loguru import logger
from peewee import Database, IntegrityError, PeeweeException
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase  # type: ignore[import-untyped]  # no types
from psycopg import errors

from stellarstream_core.errors import LeadershipError, SchemaError, StorageBusyError, StorageError
from stellarstream_sql import statements
from stellarstream_sql.backend import ClashError, Values
from stellarstream_sql.batch import TransactionPlace
from stellarstream_sql.changes import run_change
from stellarstream_sql.postgresql_watch import PostgresqlWatch
from stellarstream_sql.rows import Row
from stellarstream_sql.urls import PostgresqlAddress

T = TypeVar("T")
Connection = psycopg.Connection[tuple[Any, ...]]

LOCK_SECONDS = 30
"""How long a commit waits for another one, and a migration for another process's."""
MERGED_COMMITS = 32
"""After a COPY of transactions met a known one, so many commits insert them one by one instead."""
READERS = 32
"""Connections kept for readers; the API's pool of threads is smaller."""
CHANGES = 8
"""Connections kept for changes of other tables."""

_FOLLOW_LOCK = 0x53_53_46_4C
_MIGRATE_LOCK = 0x53_53_4D_47
"""First halves of advisory lock keys; the second is the schema's name, hashed."""
_UNLOCK = b"SELECT pg_advisory_unlock(%s, hashtext(coalesce(current_schema(), '')))"
_TRY_LOCK = b"SELECT pg_try_advisory_lock(%s, hashtext(coalesce(current_schema(), '')))"
_WAIT_FOR_LOCK = b"SELECT pg_advisory_lock(%s, hashtext(coalesce(current_schema(), '')))"
_NOTICE_LOSS = (
    b"SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; "
    b"SET tcp_user_timeout = 30000"
)
"""Has the server notice within half a minute that this machine is gone: by its own defaults it would keep the session,
and with it the right to follow, for hours. Over a Unix socket it does nothing."""
_ENCODING = "UTF8"
_LOCK_TIMEOUT = f"SET lock_timeout = '{LOCK_SECONDS}s'".encode()

_CONNECTION_HELP: tuple[tuple[str, str], ...] = (
    ("password authentication failed", "Check user name and password in 'database_url' (or PGPASSWORD, ~/.pgpass)."),
    ("no password supplied", "Put the password into 'database_url', PGPASSWORD or ~/.pgpass."),
    ("role", "Check the user name in 'database_url', or create the role (createuser)."),
    ("database", "Create the database first (createdb NAME), or correct its name in 'database_url'."),
    ("refused", "Start the server, or correct host and port in 'database_url'."),
    ("resolve", "Correct the host in 'database_url'."),
    ("timeout", "Check host, port and firewall."),
)


@dataclass(slots=True)
class _Hints:
    """What earlier commits of this process tell the next: how many of them should expect known transactions."""

    shared_transactions: int = 0


class PostgresqlTransaction:
    """A READ COMMITTED transaction; others commit beside it until the store's row is locked."""

    exclusive = False

    def __init__(self, connection: Connection, hints: _Hints) -> None:
        self._connection = connection
        self._hints = hints

    def all(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self._connection.execute(_text(sql), values).fetchall()

    def run(self, sql: str, values: Values = ()) -> int:
        """Run a statement and return how many rows it touched."""
        return self._connection.execute(_text(sql), values).rowcount

    def many(self, sql: str, rows: Sequence[Values]) -> None:
        """Run a statement for each row of values; psycopg sends several of them together."""
        if len(rows) == 1:
            self._connection.execute(_text(sql), rows[0])
        elif rows:
            with self._connection.cursor() as cursor:
                cursor.executemany(_text(sql), rows)

    def lock_store(self) -> None:
        """Take the store's row: other commits wait here until this one ends."""
        self._connection.execute(_text(statements.LOCK_STORE_POSTGRESQL))

    def next_position(self, values: Values) -> int:
        """Count a commit and notify the store's channel of it; the server passes that on at COMMIT."""
        return int(self.all(statements.NEXT_POSITION_POSTGRESQL, values)[0][0])

    def add_transactions(self, places: Sequence[TransactionPlace]) -> int:
        """Insert the transactions that are not there, in the order of their hashes, as every commit does.

        A plain COPY is twice as fast as an insert that looks for each, so it is tried first. Where
        other contracts' events told of the same transactions before, it fails at the first known
        one; then this commit starts again, and it and the next ones do not try.
        """
        if not places:
            return 0
        ordered = sorted(map(tuple, places))  # psycopg is a quarter slower with named tuples
        if not self._hints.shared_transactions:
            try:
                self._copy(statements.COPY_TRANSACTIONS_POSTGRESQL, statements.TRANSACTION_TYPES, ordered)
            except errors.UniqueViolation as error:
                self._hints.shared_transactions = MERGED_COMMITS
                raise ClashError(str(error)) from error
            return len(ordered)
        self._hints.shared_transactions -= 1
        return self.run(statements.ADD_TRANSACTIONS_POSTGRESQL, _columns(ordered, 0, 1, 2))

    def stored_transactions(self, hashes: Sequence[str]) -> list[TransactionPlace]:
        """Return those of the transactions that are there."""
        return [TransactionPlace(*row) for row in self.all(statements.STORED_TRANSACTIONS_POSTGRESQL, [list(hashes)])]

    def add_events(self, rows: Iterable[Row]) -> None:
        """Copy events straight into their table; raise :class:`ClashError` where one is there.

        A temporary table in between costs a quarter of the speed and is of use only where rows may
        be known; those are looked up before.
        """
        try:
            self._copy(statements.COPY_EVENTS_POSTGRESQL, statements.EVENT_TYPES, rows)
        except errors.UniqueViolation as error:
            raise ClashError(str(error)) from error

    def stored_by_id(self, rows: Sequence[Row]) -> list[Row]:
        """Return stored events that share ledger and id with one of ``rows``."""
        return self.all(statements.STORED_BY_ID_POSTGRESQL, _columns(rows, 1, 0))

    def stored_by_identity(self, rows: Sequence[Row]) -> list[Row]:
        """Return stored events that share ledger, transaction and event index with one of ``rows``."""
        return self.all(statements.STORED_BY_IDENTITY_POSTGRESQL, _columns(rows, 1, 3, 4))

    def _copy(self, sql: str, types: Sequence[str], rows: Iterable[Values]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(_text(sql)) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)


class _ReadingDatabase(PooledPostgresqlDatabase):  # type: ignore[misc]  # no types
    """Transactions that see one snapshot and cannot write."""

    def begin(self, isolation_level: object = None) -> None:
        """Begin one; peewee knows no word for read-only."""
        self.execute_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")


class PostgresqlBackend:
    """An open PostgreSQL database. Opening connects once, so that a wrong address is told at once.

    ``durable`` changes nothing here: the server's own ``synchronous_commit`` holds.
    """

    def __init__(self, address: PostgresqlAddress) -> None:
        self.url = address.url
        self.durable = True
        self.walking = statements.WALKING_POSTGRESQL
        self._address = address
        self._lock = Lock()
        self._hints = _Hints()
        self._readers = self._database(READERS, "REPEATABLE READ", _ReadingDatabase)
        self._changes = self._database(CHANGES, "READ COMMITTED")
        self._changing = BoundedSemaphore(CHANGES)
        self._following = False
        self._writer: Connection | None = self._connect_writer()

    def exists(self) -> bool:
        """Tell whether the database is there: it is, or opening had failed."""
        return True

    @contextmanager
    def write(self) -> Iterator[PostgresqlTransaction]:
        """Hold the one write transaction of this process."""
        with self._lock, self._told():
            connection = self._begin()
            try:
                yield PostgresqlTransaction(connection, self._hints)
                connection.execute(b"COMMIT")
            except (errors.DeadlockDetected, errors.SerializationFailure) as error:
                raise ClashError(str(error)) from error
            finally:
                self._end(connection)

    def read(self, query: Callable[[Database], T]) -> T:
        """Call ``query`` inside one snapshot; once more where the connection turns out to be lost."""
        try:
            return self._read(query)
        except (psycopg.OperationalError, PeeweeException) as error:
            if not _connection_lost(_driver_error(error)):
                raise self._explained(_driver_error(error)) from error
        self._readers.close_idle()
        with self._told():
            return self._read(query)

    def change(self, apply: Callable[[Database], T], seconds: float) -> T:
        """Call ``apply`` inside a READ COMMITTED transaction that waits for no lock longer than it may."""
        deadline = monotonic() + seconds
        if not self._changing.acquire(timeout=seconds):
            raise self._busy(seconds)
        try:
            with self._told(IntegrityError, waited=seconds), self._changes.connection_context():
                transaction = self._begin_change()
                left = max(1, round((deadline - monotonic()) * 1000))
                self._changes.execute_sql("SELECT set_config('lock_timeout', %s, true)", (f"{left}ms",))
                return run_change(self._changes, transaction, apply)
        finally:
            self._changing.release()

    def watch(self) -> PostgresqlWatch:
        """Open a connection that listens for commits."""
        return PostgresqlWatch(self.url, self._connect, self._told)

    def migrate(self, apply: Callable[[Database], T]) -> T:
        """Call ``apply`` under an advisory lock; each migration is a transaction of its own."""
        database = self._database(1, "REPEATABLE READ")
        try:
            with self._told(), database.connection_context():
                connection = database.connection()
                connection.execute(_LOCK_TIMEOUT)
                connection.execute(_WAIT_FOR_LOCK, (_MIGRATE_LOCK,))
                return apply(database)
        finally:
            database.close_all()

    @contextmanager
    def follow_lock(self) -> Iterator[Callable[[], None]]:
        """Hold an advisory lock in the session that commits; the server lets it go when that ends.

        So it cannot be lost unnoticed: where the session is lost, an open commit is lost with it, and the
        next one begins in a new session, which takes the lock again or raises ``LeadershipError``.
        """
        with self._lock:
            if self._following:
                raise LeadershipError(f"This process follows the tip into {self.url} already.")
            writer = self._writer_at_hand()
            self._follow_in(writer)
            self._following = True
        try:
            yield self._still_following
        finally:
            with self._lock:
                self._following = False
                if self._writer is not None:
                    with suppress(psycopg.Error):  # the server ends a session some time after it was closed
                        self._writer.execute(_UNLOCK, (_FOLLOW_LOCK,))

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        self._readers.close_all()
        self._changes.close_all()

    def _database(self, connections: int, isolation: str, kind: Any = PooledPostgresqlDatabase) -> Any:
        return kind(
            "postgresql://",  # tells peewee to pass the whole conninfo on
            conninfo=self._address.conninfo,
            prefer_psycopg3=True,
            isolation_level=isolation,
            max_connections=connections,
            timeout=LOCK_SECONDS,
        )

    def _read(self, query: Callable[[Database], T]) -> T:
        try:
            with self._readers.connection_context(), self._readers.atomic():
                return query(self._readers)
        except MaxConnectionsExceeded:
            raise StorageBusyError(
                f"{self.url} has {READERS} readers at once.", help="Run fewer readers in one process."
            ) from None

    def _begin_change(self) -> Any:
        """Begin on this thread's connection; on a new one where it was lost while idle."""
        transaction = self._changes.transaction()
        try:
            return transaction.__enter__()
        except PeeweeException as error:
            if not _connection_lost(_driver_error(error)):
                raise
        self._changes.manual_close()
        self._changes.close_idle()
        self._changes.connect()
        return transaction.__enter__()

    def _connect(self) -> Connection:
        try:
            return psycopg.connect(self._address.conninfo, autocommit=True)
        except (psycopg.Error, UnicodeError) as error:
            raise self._unreachable(error) from None

    def _connect_writer(self) -> Connection:
        connection = self._connect()
        try:
            self._check_encoding(connection)
            with self._told():
                connection.execute(_LOCK_TIMEOUT)
                connection.execute(_NOTICE_LOSS)
            if self._following:
                self._follow_in(connection)
                logger.warning("the connection to {} was lost; the right to follow was taken again", self.url)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_encoding(self, connection: Connection) -> None:
        """Refuse a database that cannot hold every text: an event may bring any, and would stop the sync there."""
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in {None, _ENCODING}:
            raise StorageError(
                f"{self.url} has the encoding {encoding}; {_ENCODING} is needed.",
                help=f"Create another one, for instance: createdb --encoding {_ENCODING} --template template0 NAME",
            )

    def _writer_at_hand(self, first: bytes = b"SELECT 1") -> Connection:
        """Return the kept connection once it has run a statement; a new one where it was lost while idle."""
        if self._writer is not None:
            try:
                self._writer.execute(first)
            except psycopg.OperationalError:
                self._writer.close()
                self._writer = None
            else:
                return self._writer
        self._writer = self._connect_writer()
        with self._told():
            self._writer.execute(first)
        return self._writer

    def _begin(self) -> Connection:
        return self._writer_at_hand(b"BEGIN ISOLATION LEVEL READ COMMITTED")

    def _follow_in(self, connection: Connection) -> None:
        with self._told():
            row = connection.execute(_TRY_LOCK, (_FOLLOW_LOCK,)).fetchone()
        if row is None or not row[0]:
            by_now = " by now: the connection that held the right to was lost" if self._following else ""
            raise LeadershipError(f"Another process follows the tip into {self.url}{by_now}.")

    def _still_following(self) -> None:
        """Take the lock again where its session was lost; raise ``LeadershipError`` where another process has it."""
        with self._lock:
            self._writer_at_hand()

    def _end(self, connection: Connection) -> None:
        if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                connection.execute(b"ROLLBACK")
        if connection.closed or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            connection.close()
            self._writer = None

    @contextmanager
    def _told(self, *untold: type[PeeweeException], waited: float = LOCK_SECONDS) -> Iterator[None]:
        """Turn what the driver raises into sentences that say what to do, except for what is named."""
        try:
            yield
        except untold:
            raise
        except (psycopg.Error, PeeweeException) as error:
            raise self._explained(_driver_error(error), waited) from error

    def _unreachable(self, error: Exception) -> StorageError:
        lines = str(error).strip().splitlines() or ["no answer"]
        said = " ".join(line.strip() for line in lines if not line.startswith("\t")).removeprefix("connection failed: ")
        lower = said.lower()
        help = next((text for mark, text in _CONNECTION_HELP if mark in lower), "Check 'database_url' and the server.")
        return StorageError(f"Cannot connect to {self.url}: {self._address.scrub(said).rstrip('.')}.", help=help)

    def _busy(self, seconds: float) -> StorageBusyError:
        return StorageBusyError(
            f"{self.url} is busy: others have held what is needed for {seconds:.3g} seconds.",
            help="Let the other process finish and run the same command again.",
        )

    def _explained(self, error: BaseException, waited: float = LOCK_SECONDS) -> StorageError:
        state = getattr(error, "sqlstate", None) or ""
        lines = self._address.scrub(str(error)).strip().splitlines()
        said = lines[0] if lines else type(error).__name__
        if state in {"42P01", "42703"}:
            return SchemaError(
                f"{self.url} lacks tables that this version needs ({said}).", help="Run 'stellarstream migrate'."
            )
        if state in {"55P03", "40P01"}:  # a deadlock is broken up by the server, at somebody's cost
            return self._busy(waited)
        if state == "53100":
            return StorageError(
                f"{self.url} cannot grow: the server's disk is full. What was committed before is kept.",
                help="Make room and run the same command again.",
            )
        if state in {"42501", "25006"}:
            return StorageError(
                f"{self.url} cannot be written: {said}.", help="Grant the user of 'database_url' the rights it needs."
            )
        if state == "3F000":
            return StorageError(
                f"{self.url} has no schema to use: {said}.", help="Create it (CREATE SCHEMA), or correct 'search_path'."
            )
        if _connection_lost(error):
            return StorageError(
                f"The connection to {self.url} was lost: {said}.",
                help="Check the server and run the same command again: what was committed is kept.",
            )
        return StorageError(f"{self.url} failed: {said}.", help="Run 'stellarstream doctor' to check the database.")


def _columns(rows: Sequence[Values], *columns: int) -> list[list[Any]]:
    """Return some columns of rows as arrays, for ``unnest``."""
    return [[row[column] for row in rows] for column in columns]


@lru_cache(maxsize=256)
def _text(sql: str) -> bytes:
    """Return a text of ``statements.py`` with psycopg's marks."""
    return sql.replace("?b", "%b").replace("?", "%s").encode()


def _connection_lost(error: BaseException) -> bool:
    state = getattr(error, "sqlstate", None)
    if isinstance(error, psycopg.InterfaceError):
        return True
    return isinstance(error, psycopg.OperationalError) and (
        state is None or state.startswith("08") or state in {"57P01", "57P02", "57P03"}
    )


def _driver_error(error: BaseException) -> BaseException:
    """Return psycopg's own exception from inside peewee's wrappers, of which there may be several."""
    while isinstance(error, PeeweeException) and isinstance(inner := getattr(error, "orig", None), BaseException):
        error = inner
    return error
