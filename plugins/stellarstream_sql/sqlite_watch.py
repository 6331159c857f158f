"""Waiting for commits on SQLite, which tells nobody: a connection that looks, many times a second.

``PRAGMA data_version`` changes when another connection, of this process or another, has committed
something; asking for it reads no page. The position is read only then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Event, Lock
from time import monotonic

from stellarstream_core.errors import StorageError
from stellarstream_sql import statements

POLL_SECONDS = 0.02


class SqliteWatch:
    """A watch on a connection of its own; ``told`` turns the driver's errors into sentences.

    ``identity`` says which file is there: a connection goes on with the one it was opened on.
    """

    def __init__(
        self,
        url: str,
        connect: Callable[[], sqlite3.Connection],
        told: Callable[[], AbstractContextManager[None]],
        identity: Callable[[], object],
    ) -> None:
        self._url = url
        self._told = told
        self._identity = identity
        self._of = identity()
        self._lock = Lock()
        self._closed = Event()
        with told():
            self._connection = connect()
            try:
                self._connection.execute("PRAGMA query_only = 1")
                self._version = self._data_version()
                self._position = self._read()
            except BaseException:
                self._connection.close()
                raise

    def wait(self, after: int, timeout: float) -> int:
        """Wait until the position is above ``after``, or the time is over, or the watch is closed."""
        if self._closed.is_set():
            raise StorageError(f"A watch of {self._url} was closed.", help="Open a new one.")
        deadline = monotonic() + timeout
        while not self._closed.is_set():
            self._look()
            left = deadline - monotonic()
            if self._position > after or left <= 0:
                break
            self._closed.wait(min(POLL_SECONDS, left))
        return self._position

    def close(self) -> None:
        """Close the connection; a waiting :meth:`wait` returns at once."""
        self._closed.set()
        with self._lock:
            self._connection.close()

    def _look(self) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            if self._identity() != self._of:
                raise StorageError(f"{self._url} was taken away or replaced.", help="Open a new watch.")
            with self._told():
                version = self._data_version()
                if version != self._version:
                    # noted before the position is read: what is committed in between changes it again
                    self._version = version
                    self._position = self._read()

    def _data_version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _read(self) -> int:
        return int(self._connection.execute(statements.POSITION).fetchone()[0])
