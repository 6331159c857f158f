"""Connections to a SQLite file that may be taken away, or have another put in its place, while they are open.

They would go on with the file they were opened on, which nobody else sees any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

Identity = tuple[int, int] | None


def identity(path: Path | None) -> Identity:
    """Return what tells the file at a path from every other; None where there is none, or none on disk."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class FilePool:
    """A pool of connections (peewee's), made anew where the file is another one, or was found damaged."""

    def __init__(self, path: Path | None, make: Callable[[], Any]) -> None:
        self._path = path
        self._make = make
        self._guard = Lock()
        self._of = identity(path)
        self._pool = make()
        self._spoilt = False

    @contextmanager
    def use(self) -> Iterator[Any]:
        """Hold the pool of the file that is there now."""
        pool = self._current()
        try:
            yield pool
        finally:
            if pool is not self._pool:
                pool.close_idle()

    def spoil(self) -> None:
        """Have every connection opened anew: what they keep of the file is not to be trusted."""
        self._spoilt = True

    def close(self) -> None:
        """Close every connection."""
        self._pool.close_all()

    def _current(self) -> Any:
        now = identity(self._path)
        if now != self._of or self._spoilt:
            with self._guard:
                if now != self._of or self._spoilt:
                    old, self._pool = self._pool, self._make()
                    self._of, self._spoilt = now, False
                    old.close_idle()
        return self._pool
