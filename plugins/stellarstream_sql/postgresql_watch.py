"""Waiting for commits on PostgreSQL: each notifies a channel, and a connection of its own listens."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Event, Lock
from time import monotonic
from typing import Any

import psycopg
from psycopg import sql

from stellarstream_core.errors import StorageError
from stellarstream_sql import statements


class PostgresqlWatch:
    """A watch on a connection of its own; ``told`` turns the driver's errors into sentences.

    A notification says only that there is news: the position is read from the store then, and once
    more when the time is over, so that a connection through a proxy that loses notifications is merely slow.
    """

    def __init__(
        self,
        url: str,
        connect: Callable[[], psycopg.Connection[tuple[Any, ...]]],
        told: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._url = url
        self._told = told
        self._lock = Lock()
        self._closing = Lock()
        self._closed = Event()
        self._news = True
        self._position = 0
        self._connection = connect()
        self._woken, self._wake = os.pipe()
        try:
            with told():
                self._connection.add_notify_handler(self._note)
                row = self._connection.execute(statements.CHANNEL_POSTGRESQL.encode()).fetchone()
                assert row is not None, "the store has a row"  # noqa: S101 - the first migration writes it
                self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(row[0])))
                self._read()
        except BaseException:
            self.close()
            raise

    def wait(self, after: int, timeout: float) -> int:
        """Wait until the position is above ``after``, or the time is over, or the watch is closed."""
        deadline = monotonic() + timeout
        with self._lock:
            if self._closed.is_set():
                raise StorageError(f"A watch of {self._url} was closed.", help="Open a new one.")
            with self._told():
                while not self._closed.is_set():
                    if self._heard():
                        self._read()
                    left = deadline - monotonic()
                    if self._position > after:
                        break
                    if left <= 0:
                        self._read()
                        break
                    self._sleep(left)
            return self._position

    def close(self) -> None:
        """Close the connection; a waiting :meth:`wait` returns at once."""
        with self._closing:
            if self._closed.is_set():
                return
            self._closed.set()
            os.write(self._wake, b"!")
            with self._lock:  # whoever waits is out of it now
                self._connection.close()
                os.close(self._woken)
                os.close(self._wake)

    def _sleep(self, seconds: float) -> None:
        """Wait for the server to say something, or for :meth:`close`."""
        server = self._connection.fileno()
        both = select.poll()  # select.select knows no file above 1023
        both.register(server, select.POLLIN)
        both.register(self._woken, select.POLLIN)
        if server in dict(both.poll(seconds * 1000)):
            self._connection.pgconn.consume_input()  # raises where the server has hung up

    def _heard(self) -> bool:
        """Tell whether there is news; what libpq holds back is taken out, for no socket tells of that again."""
        while self._connection.pgconn.notifies() is not None:
            self._news = True
        return self._news

    def _note(self, _: psycopg.Notify) -> None:
        self._news = True

    def _read(self) -> None:
        # Forgotten first: what is notified while the position is read may be newer than it.
        self._news = False
        row = self._connection.execute(statements.POSITION.encode()).fetchone()
        self._position = int(row[0]) if row else 0
