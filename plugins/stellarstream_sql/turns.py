"""Whose turn it is to write to a SQLite file: in order inside a process, fair between processes.

SQLite has one writer at a time and no queue: who begins again at once, as a sync that commits without a
pause, always wins against one that tries now and then. So a writer first takes the turn, keeps it while it
waits for the file, and gives it back when its transaction has begun: whoever holds the turn is next.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock
from time import monotonic, sleep

from stellarstream_sql.private_files import open_lock_file

POLL_SECONDS = 0.0005
"""How often the turn and the file are tried: neither can be waited for with a bound."""


class FairLock:
    """A lock that is handed to whoever has waited for it longest; ``threading.Lock`` lets anybody overtake."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._held = False
        self._waiting: deque[Event] = deque()

    def acquire(self, seconds: float | None = None) -> bool:
        """Wait for the lock, at most so many seconds; tell whether it is held now."""
        with self._guard:
            if not self._held:
                self._held = True
                return True
            turn = Event()
            self._waiting.append(turn)
        try:
            if turn.wait(seconds):
                return True
        except BaseException:  # Ctrl-C while waiting
            self._leave(turn)
            raise
        with self._guard:
            if turn.is_set():  # it was handed over between the end of the wait and now
                return True
            self._waiting.remove(turn)
            return False

    def release(self) -> None:
        """Hand the lock to the next in line."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._held = False

    def _leave(self, turn: Event) -> None:
        with self._guard:
            if not turn.is_set():
                self._waiting.remove(turn)
                return
        self.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Turnstile:
    """The turn between processes: a lock on a file beside the database; nothing for one in memory (None)."""

    def __init__(self, database: Path | None) -> None:
        self._database = database
        self._file: int | None = None

    def pass_through(self, begin: Callable[[], bool], seconds: float) -> bool:
        """Take the turn, then call ``begin`` until it returns True; tell whether both happened in time.

        Threads of one process must not call this at once. Where the file cannot be opened everybody
        tries without turns: what is written is right either way. Raises what ``begin`` raises.
        """
        deadline = monotonic() + seconds
        with self._turn(deadline) as mine:
            return mine and _until(deadline, begin)

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @contextmanager
    def _turn(self, deadline: float) -> Iterator[bool]:
        if self._file is None and (database := self._database) is not None:
            with suppress(OSError):
                # nothing is ever written to it, so that another user's file will do
                path = database.with_name(f"{database.name}.turn")
                self._file = open_lock_file(path, os.O_RDONLY, database)
        if self._file is None:
            yield True
            return
        file = self._file
        mine = _until(deadline, lambda: _locked(file))
        try:
            yield mine
        finally:
            if mine:
                fcntl.flock(file, fcntl.LOCK_UN)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _until(deadline: float, attempt: Callable[[], bool]) -> bool:
    """Try again and again until it works; tell whether it did before the deadline."""
    while not attempt():
        if monotonic() >= deadline:
            return False
        sleep(POLL_SECONDS)
    return True
