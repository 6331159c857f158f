"""A SQLite database's files are made for their owner alone; those that are there keep the modes they have."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_PRIVATE = 0o600
_GROUP_WRITES = 0o020
_GROUP = 0o060


def make_database_file(path: Path) -> None:
    """Make an empty file of mode 0600 for a database unless it is there; SQLite's own files beside it take its mode.

    SQLite itself would leave the mode to the umask, which usually lets everybody read the file, and hold locks on
    what is beside it. Raises ``OSError``.
    """
    # a link to a file that is yet to be is not that file for O_EXCL, but is for SQLite
    target = os.path.realpath(path)
    with suppress(FileExistsError):
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
        try:
            _hand_over(fd, Path(target).parent.stat())
        finally:
            os.close(fd)


def open_lock_file(path: Path, flags: int, database: Path) -> int:
    """Open a file beside a database that only locks are held on; who may not write that one shall not open this.

    Raises ``OSError``.
    """
    with suppress(FileNotFoundError):
        return os.open(path, flags | os.O_CLOEXEC)
    try:
        fd = os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
    except FileExistsError:  # another process was faster
        return os.open(path, flags | os.O_CLOEXEC)
    with suppress(OSError):  # without it the owner alone has turns
        there = database.exists()
        found = (database if there else database.parent).stat()
        _hand_over(fd, found)
        if there and found.st_mode & _GROUP_WRITES:
            os.fchmod(fd, _PRIVATE | _GROUP)
    return fd


def _hand_over(fd: int, owner: os.stat_result) -> None:
    """Give what root makes to whom the rest belongs: a command that root runs once must not lock a service out."""
    if os.geteuid() == 0 and (owner.st_uid, owner.st_gid) != (0, 0):
        os.fchown(fd, owner.st_uid, owner.st_gid)
