"""A log file that several processes write and rotate together, without losing, tearing or doubling a line.

Each line is appended by one write under a lock on the file (``flock``), so the size is known when it is written:
a file is never larger than the limit, and a line that was written stays, whatever happens to the process. On NFS
such locks may not hold; log folders belong on a local disk.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from stellarstream_core.ops.log_names import DATE_FORMAT, LogNames, open_private
from stellarstream_core.ops.log_upkeep import LogUpkeep

MEGABYTE = 1_000_000
DAY_SECONDS = 86_400
UPKEEP_SECONDS = 3600.0
"""How often old files are looked for, besides at each rotation."""
QUIET_SECONDS = 1.0
"""How long no line must be lost before it is said that there is room again: on a full disk short lines still fit."""
_BACKWARDS = 65_536


_files: WeakSet[SharedRotatingFile] = WeakSet()


def file_time() -> float:
    """Return the time by which the system dates what is written to files, in Unix seconds.

    It is a few milliseconds behind the usual clock; with that one, a file begun right after midnight would look
    like yesterday's.
    """
    return time.clock_gettime(getattr(time, "CLOCK_REALTIME_COARSE", time.CLOCK_REALTIME))


def to_stderr(text: str) -> None:
    """Say on stderr what cannot be said in the log; where nobody reads it, the work goes on."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class SharedRotatingFile:
    """The file of one role, named after it: a sink whose lines end with a newline.

    Before a line would make the file larger than ``max_bytes``, and with the first line of a day (UTC), it is
    renamed to ``<role>__<date>.log`` and a new one begun; renamed files are packed in a thread (``compress``) and
    deleted ``keep_days`` after their last line. A line longer than the limit has a file of its own.

    A full disk loses lines and nothing else: they are counted in ``lost``, which is told once (``tell``), and told
    again, in the log too (``note`` makes a line of it), when lines can be written.
    """

    def __init__(
        self,
        path: Path,
        max_bytes: int = 100 * MEGABYTE,
        keep_days: float = 7,
        compress: bool = True,
        clock: Callable[[], float] = file_time,
        *,
        date_format: str = DATE_FORMAT,
        tell: Callable[[str], None] = to_stderr,
        note: Callable[[str], bytes] | None = None,
    ) -> None:
        self.names = LogNames(path.parent, path.stem, date_format)
        self.path = path
        self.lost = 0
        self.upkeep = LogUpkeep(self.names, keep_days, compress, clock, tell)
        self._max_bytes, self._clock, self._tell, self._note = max_bytes, clock, tell, note
        self._name = os.fspath(path)
        self._mutex = threading.Lock()  # the file's lock does not tell threads of one process apart
        self._fd = -1
        self._end = 0
        self._upkeep_at = 0.0
        self._lost_before = 0
        self._lost_at: float | None = None
        self._stuck = False
        _files.add(self)

    def open(self) -> None:
        """Open the file now, not with the first line, so that what is in the way is known. Raises ``OSError``."""
        with self._mutex:
            if self._fd < 0:
                self._open()

    def write(self, line: str | bytes) -> None:
        """Append a line. It raises nothing: what cannot be written is counted."""
        data = line if isinstance(line, bytes) else line.encode("utf-8", "backslashreplace")
        with self._mutex:
            try:
                now = self._append(data)
            except OSError as error:
                self._lose(error)
                return
            if self._lost_at is not None:
                self._found_room(now)
            if now >= self._upkeep_at:
                self._upkeep_at = now + UPKEEP_SECONDS
                self.upkeep.start()

    def stop(self) -> None:
        """Close the file, and say what was lost since it was last said. Safe to call twice."""
        with self._mutex:
            self._close()
            if self._lost_at is not None:
                self._tell(f"Lines lost from the log {self.path}: {self.lost - self._lost_before:,}.")
                self._lost_at = None

    # --- writing --------------------------------------------------------------------------------

    def _append(self, data: bytes) -> float:
        """Write a line, rotating before it where that is due; return the time."""
        if self._fd < 0:
            self._open()
        while True:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                found = os.fstat(self._fd)
                if self._is_current(found):
                    now = self._clock()
                    size = found.st_size if found.st_size == self._end else self._mended(found.st_size)
                    due = size > 0 and (
                        size + len(data) > self._max_bytes or found.st_mtime // DAY_SECONDS < now // DAY_SECONDS
                    )
                    if not (due and self._rotate(now)):
                        self._put(data, size)
                        return now
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
            self._open()

    def _is_current(self, found: os.stat_result) -> bool:
        """Tell whether the open file still has the name: another process may have rotated it."""
        try:
            named = os.stat(self._name)  # noqa: PTH116 - half the time of a Path's, at each line
        except FileNotFoundError:
            return False
        return named.st_ino == found.st_ino and named.st_dev == found.st_dev

    def _put(self, data: bytes, size: int) -> None:
        """Write the line wholly or not at all."""
        written = os.write(self._fd, data)
        if written < len(data):
            try:
                while written < len(data):
                    written += os.write(self._fd, data[written:])
            except OSError:
                os.ftruncate(self._fd, size)
                raise
        self._end = size + len(data)

    def _mended(self, size: int) -> int:
        """Cut off a line that its writer was killed in, after others wrote; return the size."""
        if size == 0 or os.pread(self._fd, 1, size - 1) == b"\n":
            return size
        end = size
        while end > 0:
            begin = max(end - _BACKWARDS, 0)
            newline = os.pread(self._fd, end - begin, begin).rfind(b"\n")
            if newline >= 0:
                end = begin + newline + 1
                break
            end = begin
        os.ftruncate(self._fd, end)
        return end

    def _rotate(self, now: float) -> bool:
        """Give the file its dated name; tell whether that was possible. What is put into it stays in it anyhow."""
        try:
            self.path.rename(self.names.free(now))
        except OSError as error:
            if not self._stuck:
                self._tell(f"The log {self.path} cannot be rotated and grows: {error.strerror or error}.")
            self._stuck = True
            return False
        self._stuck = False
        self._upkeep_at = 0.0
        return True

    def _open(self) -> None:
        self._close()
        # it is read, too: whether its last line is whole
        fd = open_private(self.path, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(f"{self.path} is no regular file")
        self._fd, self._end = fd, -1

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)  # lets go of a lock that is held on it
            self._fd = -1

    def _forked(self) -> None:
        """Share nothing with the parent: a lock on the file would be both's, and a thread may have held the others."""
        self._mutex = threading.Lock()
        self._close()
        self._upkeep_at = 0.0
        self.upkeep = self.upkeep.renewed()

    # --- a disk that is full ---------------------------------------------------------------------

    def _lose(self, error: OSError) -> None:
        if self._lost_at is None:
            self._lost_before = self.lost
            self._tell(f"The log {self.path} cannot be written, its lines are lost: {error.strerror or error}.")
        self.lost += 1
        self._lost_at = self._clock()

    def _found_room(self, now: float) -> None:
        if self._lost_at is None or 0 <= now - self._lost_at < QUIET_SECONDS:
            return
        text = f"The log can be written again; lines that were lost: {self.lost - self._lost_before:,}"
        if self._note is not None:
            try:
                self._append(self._note(text))
            except OSError:
                self._lost_at = now
                return
        self._tell(f"{text} ({self.path}).")
        self._lost_at = None


def _after_fork() -> None:
    for file in _files:
        file._forked()


os.register_at_fork(after_in_child=_after_fork)
