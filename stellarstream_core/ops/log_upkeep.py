"""What happens to log files after they were rotated: they are packed, and deleted when they are old."""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stellarstream_core.ops.log_names import LogNames, Rotated, open_private, open_regular

DAY_SECONDS = 86_400
_CHUNK = 1 << 20
_LEVEL = 6


class LogUpkeep:
    """Packs and deletes one role's rotated files. Several processes may do it for the same files at once."""

    def __init__(
        self,
        names: LogNames,
        keep_days: float,
        compress: bool,
        clock: Callable[[], float],
        tell: Callable[[str], None],
    ) -> None:
        self._names, self._keep_days, self._compress = names, keep_days, compress
        self._clock, self._tell = clock, tell
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._again = False
        self._failing = False

    def renewed(self) -> LogUpkeep:
        """Return one that does the same, and has not begun."""
        return LogUpkeep(self._names, self._keep_days, self._compress, self._clock, self._tell)

    def start(self) -> None:
        """Do it in a thread that does not hold up the end of the process: what it leaves undone is done later."""
        with self._mutex:
            self._again = True
            if self._thread is not None and self._thread.is_alive():
                return
            self._thread = threading.Thread(target=self._work, name="log-upkeep", daemon=True)
            with suppress(RuntimeError):  # the process is about to end
                self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for what was started; tell whether it has ended."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(seconds)
            return not thread.is_alive()
        return True

    def run(self) -> None:
        """Delete what is old, pack what is not packed, clear away what was left half-way."""
        failed: list[OSError] = []
        try:
            for file in self._names.rotated():
                try:
                    if not self._delete_old(file) and self._compress:
                        self._pack(file)
                except OSError as error:  # what is in the way of one is in no other's
                    failed.append(error)
                    if error.errno in {errno.ENOSPC, errno.EDQUOT}:  # for the others there is no room either
                        break
            failed += self._clear()
        except OSError as error:
            failed.append(error)
        if failed and not self._failing:  # a full disk, say: it is tried again with the next rotation, or in an hour
            why = failed[0].strerror or failed[0]
            what = f" ({failed[0].filename})" if failed[0].filename else ""
            self._tell(f"Logs in {self._names.folder} cannot be put away: {why}{what}.")
        self._failing = bool(failed)

    def _work(self) -> None:
        while True:
            with self._mutex:
                if not self._again:
                    self._thread = None
                    return
                self._again = False
            self.run()

    def _delete_old(self, file: Rotated) -> bool:
        oldest = self._clock() - self._keep_days * DAY_SECONDS
        deleted = False
        for name in (file.plain, file.packed):
            path = self._names.folder / name
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    deleted = True
        return deleted

    def _pack(self, file: Rotated) -> None:
        """Pack one file unless another process does. Killed anywhere, it leaves all lines to be read and packed."""
        plain = self._names.folder / file.plain
        if not plain.exists():
            return
        unfinished = self._names.folder / file.unfinished
        fd = open_private(unfinished, os.O_RDWR)
        try:
            try:
                # not on the plain file: a process that still has it open waits for that lock before it finds out
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if not _same(fd, unfinished):  # it was finished, and has its name, between opening and locking
                return
            source = open_regular(plain)
            if source is None:  # packed meanwhile, or somebody's pipe
                unfinished.unlink(missing_ok=True)
                return
            try:
                self._fill(fd, source, unfinished)
            finally:
                os.close(source)
            with suppress(FileNotFoundError):  # it became old meanwhile, and was cleared away
                unfinished.replace(self._names.folder / file.packed)
            _sync_folder(self._names.folder)
            plain.unlink(missing_ok=True)
        finally:
            os.close(fd)

    @staticmethod
    def _fill(fd: int, source: int, path: Path) -> None:
        written = os.fstat(source)
        try:
            os.ftruncate(fd, 0)
            with (
                open(fd, "r+b", closefd=False) as target,
                gzip.GzipFile("", "wb", _LEVEL, target, written.st_mtime) as packed,
                open(source, "rb", closefd=False) as lines,
            ):
                shutil.copyfileobj(lines, packed, _CHUNK)
            os.fsync(fd)
            os.utime(fd, ns=(written.st_atime_ns, written.st_mtime_ns))  # its age is that of its last line
        except OSError:
            path.unlink(missing_ok=True)  # a full disk needs the room
            raise

    def _clear(self) -> list[OSError]:
        """Remove what was left half-way of files that are not there any more; return what failed."""
        failed: list[OSError] = []
        for name in self._names.left_over():
            path = self._names.folder / name
            if not path.with_name(name.removesuffix(".gz.tmp")).exists():
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    failed.append(error)
        return failed


def _same(fd: int, path: Path) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    found = os.fstat(fd)
    return (named.st_ino, named.st_dev) == (found.st_ino, found.st_dev)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
