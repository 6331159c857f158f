"""Reading log files in time order: rotated, packed and current ones, of several roles, while they are written."""

from __future__ import annotations

import gzip
import heapq
import os
import stat
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import dropwhile
from operator import attrgetter
from pathlib import Path
from typing import IO

from stellarstream_core.ops.log_lines import Entry, entries, utc
from stellarstream_core.ops.log_names import DATE_FORMAT, LogNames, Rotated, open_regular

_BLOCK = 65_536
_DISORDER = 1_024
"""How many lines of one role are held to put them in order: a process may be held up between time and write."""
_DAMAGES = (EOFError, gzip.BadGzipFile, zlib.error)

_time = attrgetter("time")


class Snapshot:
    """The files of one role at one moment: the open current file up to its last whole line, and what was rotated."""

    def __init__(self, names: LogNames, tell: Callable[[str], None]) -> None:
        self.names, self._tell = names, tell
        self.file: IO[bytes] | None = None
        self.rotated: list[Rotated] = []
        self.end = 0
        try:
            while True:
                self.file = _opened(names.current)
                self.rotated = names.rotated()
                if is_current(self.file, names.current):
                    break
                self.close()  # rotated meanwhile: it would be read twice, or not at all
            if self.file is not None:
                self.end = _last_newline(self.file.fileno())
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the current file."""
        if self.file is not None:
            self.file.close()
            self.file = None

    def last(self, count: int, since: bytes = b"") -> list[Entry]:
        """Return the last records, the newest last, reading no more than it takes."""
        found: list[Entry] = []
        if self.file is not None and count > 0:
            found = _last_of(self.file.fileno(), self.end, self.names.role, count)
        for file in reversed(self.rotated):
            if len(found) >= count or (found and found[0].time < since) or not self._reaches(file, since):
                break
            found = self._last_of_rotated(file, count - len(found)) + found
        return sorted((entry for entry in found if entry.time >= since), key=_time)

    def all(self, since: bytes = b"") -> Iterator[Entry]:
        """Yield every record since a time, the oldest first, holding few of them at once."""
        for entry in _in_order(self._as_written(since)):
            if entry.time >= since:
                yield entry

    def _as_written(self, since: bytes) -> Iterator[Entry]:
        for file in self.rotated:
            if self._reaches(file, since):
                yield from self.of_rotated(file)
        if self.file is not None:
            yield from entries(_lines(self.file.fileno(), self.end), self.names.role)

    def of_rotated(self, file: Rotated) -> Iterator[Entry]:
        """Yield the records of one rotated file; none where it was deleted meanwhile."""
        with self._open_rotated(file) as lines:
            yield from entries(self._readable(lines, file), self.names.role)

    def _last_of_rotated(self, file: Rotated, count: int) -> list[Entry]:
        with self._open_rotated(file) as lines:
            if isinstance(lines, gzip.GzipFile):  # it can only be read from its beginning
                return [*deque(entries(self._readable(lines, file), self.names.role), maxlen=count)]
            if lines is None:
                return []
            return _last_of(lines.fileno(), os.fstat(lines.fileno()).st_size, self.names.role, count)

    @contextmanager
    def _open_rotated(self, file: Rotated) -> Iterator[IO[bytes] | gzip.GzipFile | None]:
        with ExitStack() as stack:
            plain = _opened(self.names.folder / file.plain)
            if plain is not None:
                yield stack.enter_context(plain)
            elif (packed := _opened(self.names.folder / file.packed)) is not None:  # packed since it was listed
                stack.enter_context(packed)
                yield stack.enter_context(gzip.GzipFile(fileobj=packed, mode="rb"))
            else:
                yield None

    def _readable(self, lines: Iterable[bytes] | None, file: Rotated) -> Iterator[bytes]:
        try:
            yield from lines or ()
        except _DAMAGES as error:
            self._tell(f"{self.names.folder / file.packed} is damaged, and read as far as it goes: {error}.")

    def _reaches(self, file: Rotated, since: bytes) -> bool:
        """Tell whether a file was written after a time; the time of its last line is that of the file."""
        for name in (file.plain, file.packed):
            try:
                # rounded up: the file's time is a little behind that of its last line
                return utc((self.names.folder / name).stat().st_mtime + 1).encode() >= since
            except FileNotFoundError:
                continue
        return True  # deleted since it was listed: there is nothing in it to be left out


class Follower:
    """What comes into the files of one role from a snapshot on (without one: from the first line on)."""

    def __init__(self, names: LogNames, tell: Callable[[str], None], snapshot: Snapshot | None = None) -> None:
        self._names, self._tell = names, tell
        self._file, self._offset = (snapshot.file, snapshot.end) if snapshot is not None else (None, 0)
        self._known = {file.stem for file in snapshot.rotated} if snapshot is not None else set()
        self._time = b""

    def close(self) -> None:
        """Close the file that is followed."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def new(self) -> list[Entry]:
        """Return what was written since it was last asked, in the order of time. Raises ``OSError``."""
        found: list[Entry] = []
        while True:
            # in this order: nothing is written to a file once it has lost its name
            current = is_current(self._file, self._names.current)
            found += self._read()
            if current:
                break
            found += self._go_on()
        if found:
            self._time = found[-1].time
        return sorted(found, key=_time)

    def _read(self) -> list[Entry]:
        if self._file is None:
            return []
        fd = self._file.fileno()
        if os.fstat(fd).st_size < self._offset:  # somebody emptied it
            self._offset = 0
        end = _last_newline(fd)
        lines = _lines(fd, end, self._offset)
        self._offset = max(end, self._offset)
        return [*entries(lines, self._names.role, self._time)]

    def _go_on(self) -> list[Entry]:
        """Go on with the file that has the name now, after those that had it meanwhile."""
        ours = None if self._file is None else os.fstat(self._file.fileno()).st_ino
        self.close()
        snapshot = Snapshot(self._names, self._tell)
        between = [file for file in snapshot.rotated if file.stem not in self._known]
        if ours is not None and between:  # the first of them is the one that was read
            named = (self._inode(file) for file in between)
            between.pop(next((at for at, inode in enumerate(named) if inode == ours), 0))
        self._known = {file.stem for file in snapshot.rotated}
        self._file, self._offset = snapshot.file, 0
        return [entry for file in between for entry in snapshot.of_rotated(file)]

    def _inode(self, file: Rotated) -> int | None:
        try:
            return (self._names.folder / file.plain).stat().st_ino
        except FileNotFoundError:
            return None


class LogReading:
    """The logs of several roles as one, in the order of time."""

    def __init__(
        self,
        folder: Path,
        roles: Iterable[str],
        date_format: str = DATE_FORMAT,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._folder, self._date_format, self._tell = folder, date_format, tell
        self._snapshots = {role: Snapshot(LogNames(folder, role, date_format), tell) for role in roles}
        self._followers: dict[str, Follower] = {}

    def last(self, count: int, since: bytes = b"") -> list[Entry]:
        """Return the last records of all of them together."""
        found = [entry for snapshot in self._snapshots.values() for entry in snapshot.last(count, since)]
        return sorted(found, key=_time)[-count:] if count > 0 else []

    def all(self, since: bytes = b"") -> Iterator[Entry]:
        """Yield every record since a time."""
        return heapq.merge(*(snapshot.all(since) for snapshot in self._snapshots.values()), key=_time)

    def new(self, roles: Iterable[str]) -> list[Entry]:
        """Return what came since the beginning of this reading, or since the last call; of new roles everything."""
        for role in roles:
            if role not in self._followers:
                names = LogNames(self._folder, role, self._date_format)
                self._followers[role] = Follower(names, self._tell, self._snapshots.pop(role, None))
        return sorted((entry for one in self._followers.values() for entry in one.new()), key=_time)

    def close(self) -> None:
        """Close every file."""
        for snapshot in self._snapshots.values():
            snapshot.close()
        for follower in self._followers.values():
            follower.close()


def is_current(file: IO[bytes] | None, path: Path) -> bool:
    """Tell whether an open file (None: none) is the one that has the name."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return file is None
    if not stat.S_ISREG(named.st_mode):  # a pipe or folder with such a name is no log
        return file is None
    if file is None:
        return False
    found = os.fstat(file.fileno())
    return (named.st_ino, named.st_dev) == (found.st_ino, found.st_dev)


def _opened(path: Path) -> IO[bytes] | None:
    file = open_regular(path)
    return None if file is None else os.fdopen(file, "rb")


def _last_newline(fd: int) -> int:
    """Return the offset behind the last whole line: what follows is being written, or was never finished."""
    end = os.fstat(fd).st_size
    while end > 0:
        begin = max(end - _BLOCK, 0)
        at = os.pread(fd, end - begin, begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0


def _lines(fd: int, end: int, begin: int = 0) -> Iterator[bytes]:
    """Yield the lines between two offsets."""
    rest = b""
    while begin < end and (block := os.pread(fd, min(_BLOCK, end - begin), begin)):
        begin += len(block)
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest


def _last_of(fd: int, end: int, role: str, count: int) -> list[Entry]:
    """Return the last records before an offset, reading from there backwards."""
    size = _BLOCK
    while True:
        begin = max(end - size, 0)
        found = [*entries(_lines(fd, end, begin), role)]
        if begin > 0:  # the first one may have begun before, and what has no time of its own is as old as that
            found = [*dropwhile(lambda entry: not entry.time, found[1:])]
        if begin == 0 or len(found) >= count:
            return found[-count:]
        size *= 4


def _in_order(written: Iterable[Entry]) -> Iterator[Entry]:
    """Yield records by time that are nearly in that order; those of one time stay as they are."""
    held: list[tuple[bytes, int, Entry]] = []
    for number, entry in enumerate(written):
        heapq.heappush(held, (entry.time, number, entry))
        if len(held) > _DISORDER:
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]
