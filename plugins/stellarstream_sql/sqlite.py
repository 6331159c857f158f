"""SQLite: one file in WAL mode, one writer at a time, any number of readers."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import monotonic
from typing import IO, Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

from peewee import Database, IntegrityError, OperationalError, PeeweeException
from playhouse.pool import MaxConnectionsExceeded, PooledSqliteDatabase  # type: ignore[import-untyped]  # playhouse ships no types

from stellarstream_core.errors import LeadershipError, SchemaError, StorageBusyError, StorageError
from stellarstream_sql import statements
from stellarstream_sql.backend import ClashError, Values
from stellarstream_sql.batch import TransactionPlace
from stellarstream_sql.changes import run_change
from stellarstream_sql.file_pool import FilePool, identity
from stellarstream_sql.private_files import make_database_file, open_lock_file
from stellarstream_sql.rows import Row
from stellarstream_sql.sqlite_watch import SqliteWatch
from stellarstream_sql.turns import FairLock, Turnstile
from stellarstream_sql.urls import SqliteAddress

T = TypeVar("T")

OLDEST_SQLITE = (3, 37, 0)
"""STRICT tables came with 3.37 (and RETURNING with 3.35)."""
BUSY_SECONDS = 10.0
"""How long a writer waits for its turn, and a reader for a moment without recovery."""
READERS = 32
"""Connections kept for readers; the API's pool of threads is smaller."""
CACHE_KIB = 32 * 1024
"""The writer's page cache: random transaction hashes touch many pages."""
CHECKPOINT_PAGES = 4000
"""Pages of 4 KiB in the log before they are moved to the file: fewer, longer checkpoints than the default 1000."""

_SCHEMA_HELP = "Run 'stellarstream migrate'."
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SPOILT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR})
"""After these a connection may hold pages that the file does not have any more."""
_ROLLED_BACK = "no transaction is active"
_NO_TABLES = ("no such table", "no such column", "has no column named")


class SqliteTransaction:
    """A ``BEGIN IMMEDIATE`` transaction: alone from its first statement on."""

    exclusive = True

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def all(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self._connection.execute(sql, values).fetchall()

    def run(self, sql: str, values: Values = ()) -> int:
        """Run a statement and return how many rows it touched."""
        return self._connection.execute(sql, values).rowcount

    def many(self, sql: str, rows: Sequence[Values]) -> None:
        """Run a statement for each row of values."""
        self._connection.executemany(sql, rows)

    def lock_store(self) -> None:
        """Do nothing: the whole transaction is exclusive."""

    def next_position(self, values: Values) -> int:
        """Count a commit; watches notice by themselves that the file has changed."""
        return int(self.all(statements.NEXT_POSITION, values)[0][0])

    def add_transactions(self, places: Sequence[TransactionPlace]) -> int:
        """Insert the transactions that are not there, and return how many were inserted."""
        return self._connection.executemany(statements.ADD_TRANSACTION_SQLITE, places).rowcount if places else 0

    def stored_transactions(self, hashes: Sequence[str]) -> list[TransactionPlace]:
        """Return those of the transactions that are there."""
        query = self._connection.execute
        found = (query(statements.STORED_TRANSACTION_SQLITE, (tx_hash,)).fetchone() for tx_hash in hashes)
        return [TransactionPlace(*row) for row in found if row is not None]

    def add_events(self, rows: Iterable[Row]) -> None:
        """Insert events with their window's id; raise :class:`ClashError` where one is there."""
        try:
            self._connection.executemany(statements.ADD_EVENT_SQLITE, rows)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE):
                raise ClashError(str(error)) from error
            raise

    def stored_by_id(self, rows: Sequence[Row]) -> list[Row]:
        """Return stored events that share ledger and id with one of ``rows``."""
        query = self._connection.execute
        found = (query(statements.STORED_BY_ID_SQLITE, (row[1], row[0])).fetchone() for row in rows)
        return [row for row in found if row is not None]

    def stored_by_identity(self, rows: Sequence[Row]) -> list[Row]:
        """Return stored events that share ledger, transaction and event index with one of ``rows``."""
        query = self._connection.execute
        found = (query(statements.STORED_BY_IDENTITY_SQLITE, (row[1], row[3], row[4])).fetchone() for row in rows)
        return [row for row in found if row is not None]


class SqliteBackend:
    """An open SQLite database. Opening looks at the file and changes nothing."""

    def __init__(self, address: SqliteAddress) -> None:
        self.url = address.url
        self.durable = True
        self.walking = statements.WALKING_SQLITE
        self._path = address.path
        self._lock = FairLock()
        self._turns = Turnstile(address.path)
        self._writer: sqlite3.Connection | None = None
        self._writer_of = identity(self._path)
        self._keeper: sqlite3.Connection | None = None
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise StorageError(
                f"This Python comes with SQLite {sqlite3.sqlite_version}; 3.37 or newer is needed.",
                help="Use a Python built with a newer SQLite, or PostgreSQL as 'database_url'.",
            )
        if self._path is None:
            # The memdb file system shares one database by name inside the process, with ordinary locks.
            self._file = f"file:/stellarstream-{uuid4().hex}?vfs=memdb"
            self._keeper = self._connect("")
        else:
            self._file = f"file:{quote(str(self._path))}"
            self._look(self._path)
        self._readers = FilePool(
            self._path,
            lambda: PooledSqliteDatabase(
                self._uri("mode=rw"),
                pragmas={"query_only": 1},
                max_connections=READERS,
                timeout=BUSY_SECONDS,
                uri=True,
                check_same_thread=False,
            ),
        )
        self._changes = FilePool(
            self._path,
            lambda: PooledSqliteDatabase(
                self._uri("mode=rw"),
                pragmas={"foreign_keys": 1, "synchronous": 2, "wal_autocheckpoint": CHECKPOINT_PAGES},
                max_connections=1,
                uri=True,
                check_same_thread=False,
            ),
        )
        if self.exists():
            self.read(_look_inside)

    def exists(self) -> bool:
        """Tell whether the file is there, with something in it."""
        return self._path is None or (self._path.is_file() and self._path.stat().st_size > 0)

    @contextmanager
    def write(self) -> Iterator[SqliteTransaction]:
        """Hold the one write transaction of this process."""
        with self._lock, self._told():
            connection = self._writing()
            self._begin(connection.execute, lambda: connection.execute("BEGIN IMMEDIATE"), BUSY_SECONDS)
            try:
                yield SqliteTransaction(connection)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def read(self, query: Callable[[Database], T]) -> T:
        """Call ``query`` inside one snapshot."""
        with self._told(), self._readers.use() as readers, readers.connection_context(), readers.atomic("DEFERRED"):
            return query(readers)

    def change(self, apply: Callable[[Database], T], seconds: float) -> T:
        """Call ``apply`` inside a transaction that outlives a power cut, in turn with commits."""
        deadline = monotonic() + seconds
        if not self._lock.acquire(seconds):
            raise self._busy(seconds)
        try:
            with self._told(IntegrityError), self._changes.use() as changes, changes.connection_context():
                transaction = changes.transaction("IMMEDIATE")
                self._begin(changes.execute_sql, transaction.__enter__, deadline - monotonic())
                return run_change(changes, transaction, apply)
        finally:
            self._lock.release()

    def watch(self) -> SqliteWatch:
        """Open a connection that looks for commits."""
        return SqliteWatch(self.url, lambda: self._connect("mode=rw"), self._told, lambda: identity(self._path))

    def migrate(self, apply: Callable[[Database], T]) -> T:
        """Call ``apply`` in one exclusive transaction; the file is made where it does not exist."""
        with self._lock, self._told():
            self._close_writer()
            if self._path is not None:
                try:
                    make_database_file(self._path)
                except OSError as error:
                    raise self._plain(error) from error
            # Foreign keys are off here: a migration that rebuilds a table would trip over them.
            database: Any = PooledSqliteDatabase(self._uri("mode=rwc"), timeout=BUSY_SECONDS, uri=True)
            try:
                with database.connection_context():
                    if self._path is not None:
                        database.execute_sql("PRAGMA journal_mode = WAL")
                    with database.atomic("IMMEDIATE"):
                        return apply(database)
            finally:
                database.close_all()

    @contextmanager
    def follow_lock(self) -> Iterator[Callable[[], None]]:
        """Hold the lock file beside the database; the system lets it go when the process ends."""
        if self._path is None:
            yield lambda: None
            return
        database = self._path
        path = database.with_name(f"{database.name}.lock")
        with ExitStack() as held:
            held.enter_context(self._locked(path, database))
            held_as = identity(path)

            def still_following() -> None:
                nonlocal held_as
                if identity(path) != held_as:  # somebody removed it, and the next one would make its own
                    held.enter_context(self._locked(path, database))
                    held_as = identity(path)

            yield still_following

    def _locked(self, path: Path, database: Path) -> IO[str]:
        try:
            # a descriptor, for the file is made for those alone who may write the database
            file = os.fdopen(open_lock_file(path, os.O_WRONLY | os.O_APPEND, database), "a")
        except OSError as error:
            raise self._plain(error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise LeadershipError(f"Another process follows the tip into {self.url} ({path.name} is held).") from None
        return file

    def close(self) -> None:
        """Close every connection; the last one out moves the log into the file."""
        with self._lock:
            self._close_writer()
            self._changes.close()
            self._turns.close()
            if self._keeper is not None:
                self._keeper.close()
                self._keeper = None
        self._readers.close()

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _uri(self, mode: str) -> str:
        return self._file if self._path is None else f"{self._file}?{mode}"

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            self._uri(mode), uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )

    def _writing(self) -> sqlite3.Connection:
        if self._writer_of != (now := identity(self._path)):
            self._close_writer()
            self._writer_of = now
        if self._writer is None:
            connection = self._connect("mode=rw")
            try:
                if self._path is not None:
                    connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA foreign_keys = 1")
                connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
                connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            except sqlite3.Error:
                connection.close()
                raise
            self._writer = connection
        self._writer.execute(f"PRAGMA synchronous = {'FULL' if self.durable else 'NORMAL'}")
        return self._writer

    def _begin(self, execute: Callable[[str], object], begin: Callable[[], object], seconds: float) -> None:
        """Begin a write transaction when its turn has come. Raises ``StorageBusyError`` where it does not come.

        SQLite's own waiting is switched off meanwhile: it looks ten times a second at last, and so hardly
        ever finds the moment between two commits of another process.
        """

        def begun() -> bool:
            try:
                begin()
            except (sqlite3.OperationalError, OperationalError) as error:
                if _code(_driver_error(error)) not in _BUSY:
                    raise
                return False
            return True

        execute("PRAGMA busy_timeout = 0")
        try:
            mine = self._turns.pass_through(begun, seconds)
        finally:
            execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
        if not mine:
            raise self._busy(seconds)

    def _look(self, path: Path) -> None:
        try:
            if path.is_file():
                if path.stat().st_size and self._is_something_else():
                    raise StorageError(
                        f"{self.url} is a file, but not a SQLite database.",
                        help="Point 'database_url' at another path; nothing was changed.",
                    )
                return
            if path.exists():
                raise StorageError(f"{self.url} is not a file.", help="Point 'database_url' at a file.")
            if not path.parent.is_dir():
                raise StorageError(
                    f"{self.url} cannot be made: there is no directory {path.parent}.",
                    help=f"Make it (mkdir -p '{path.parent}') or point 'database_url' elsewhere.",
                )
            if not os.access(path.parent, os.W_OK | os.X_OK):
                raise StorageError(
                    f"{self.url} cannot be made: the directory {path.parent} is not writable.",
                    help="Change its owner or mode, or point 'database_url' elsewhere.",
                )
        except OSError as error:
            raise self._plain(error) from None

    def _is_something_else(self) -> bool:
        """Tell whether the file is no database. SQLite itself looks: nobody else may open the file and close it.

        POSIX locks belong to the process: closing any descriptor of a file drops all of them, those of other
        connections in this process too, and the next process to leave would take the log away from under them.
        """
        try:
            with closing(self._connect("mode=ro")) as connection:
                connection.execute("PRAGMA schema_version").fetchall()
        except sqlite3.Error as error:
            return _code(error) == sqlite3.SQLITE_NOTADB
        return False

    @contextmanager
    def _told(self, *untold: type[PeeweeException]) -> Iterator[None]:
        """Turn what the driver raises into sentences that say what to do, except for what is named."""
        try:
            yield
        except untold:
            raise
        except (sqlite3.Error, PeeweeException) as error:
            raise self._explained(_driver_error(error)) from error
        except MaxConnectionsExceeded:
            raise StorageBusyError(
                f"{self.url} has {READERS} readers at once.", help="Run fewer readers in one process."
            ) from None

    def _busy(self, seconds: float) -> StorageBusyError:
        return StorageBusyError(
            f"{self.url} is busy: others have been writing to it for {seconds:.3g} seconds.",
            help="Let the other process finish, or use PostgreSQL where several write at once.",
        )

    def _plain(self, error: OSError) -> StorageError:
        return StorageError(
            f"{self.url} cannot be opened: {error.strerror or error}.",
            help="Check the path and who owns it, or point 'database_url' elsewhere.",
        )

    def _explained(self, error: BaseException) -> StorageError:
        code = _code(error)
        text = str(error)
        if code in _BUSY:
            return self._busy(BUSY_SECONDS)
        if code == sqlite3.SQLITE_FULL:
            return StorageError(
                f"{self.url} cannot grow: the disk is full. What was committed before is kept.",
                help="Make room and run the same command again.",
            )
        if code == sqlite3.SQLITE_READONLY:
            return StorageError(
                f"{self.url} cannot be written: the file or its directory is read-only.",
                help="Change owner or mode of both, or point 'database_url' elsewhere.",
            )
        if code == sqlite3.SQLITE_CANTOPEN:
            if not self.exists():
                return SchemaError(f"There is no database at {self.url} yet.", help=_SCHEMA_HELP)
            return StorageError(
                f"{self.url} cannot be opened: the file or its directory is not accessible.",
                help="SQLite also writes PATH-wal and PATH-shm beside the file: the directory must be writable.",
            )
        if code in _SPOILT:
            self._readers.spoil()
            self._changes.spoil()
            self._writer_of = None
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StorageError(
                f"{self.url} is damaged or not a SQLite database: {text}.",
                help="Restore it from a backup, or sync into a new file.",
            )
        if any(part in text for part in _NO_TABLES):
            return SchemaError(f"{self.url} lacks tables that this version needs ({text}).", help=_SCHEMA_HELP)
        return StorageError(f"{self.url} failed: {text}.", help="Run 'stellarstream doctor' to check the database.")


def _look_inside(database: Any) -> None:
    database.execute_sql("SELECT count(*) FROM sqlite_master").fetchall()


def _code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _driver_error(error: BaseException) -> BaseException:
    """Return sqlite3's own exception from inside peewee's wrappers, of which there may be several.

    After some errors SQLite has rolled back by itself, and peewee's own rollback fails: the first one counts.
    """
    while isinstance(error, (sqlite3.Error, PeeweeException)):
        inner = getattr(error, "orig", None)
        if _ROLLED_BACK in str(error) and isinstance(error.__context__, (sqlite3.Error, PeeweeException)):
            inner = error.__context__
        if not isinstance(inner, BaseException):
            break
        error = inner
    return error
