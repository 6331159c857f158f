"""The file that rate limiters of several processes share: made whole or not at all, and only believed when whole.

A page of header (version, geometry, the secret for hashing keys, a checksum), then the rows of
``slots.py``. Its times are of the system's monotonic clock, which begins anew with each boot, so a file
of another boot is made anew too.
"""

from __future__ import annotations

import mmap
import os
import secrets
import stat
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from struct import Struct

from loguru import logger

from stellarstream_core.api.limits.locks import THREADS
from stellarstream_core.api.limits.slots import ROWS, SECRET_BYTES, TABLE_BYTES, WAYS
from stellarstream_core.api.run_dir import alone

FILE = "limits.bin"
LOCK_FILE = "limits.lock"
VERSION = 1
HEADER_BYTES = 4096
FILE_BYTES = HEADER_BYTES + TABLE_BYTES

_MAGIC = b"stellar limits\r\n"
_HEADER = Struct("<16sIII16s16s16s")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class LimitsFile:
    """The open, mapped file: ``words`` are its rows, ``fd`` is there to lock bytes of it."""

    def __init__(self, fd: int, secret: bytes) -> None:
        self.fd = fd
        self.secret = secret
        self._map = mmap.mmap(fd, FILE_BYTES)
        self._view = memoryview(self._map)
        self._rows = self._view[HEADER_BYTES:]
        self.words = self._rows.cast("Q")

    @classmethod
    def open(cls, folder: Path) -> LimitsFile:
        """Open the file in a folder; make it where it is not there, or not fit. Raises ``OSError``."""
        path = folder / FILE
        with alone(folder, LOCK_FILE):
            found = _open_existing(path)
            return cls(*(found or _make(path)))

    def close(self) -> None:
        """Unmap and close it."""
        with THREADS:  # closing would let go of what another thread has locked
            for view in (self.words, self._rows, self._view):
                view.release()
            self._map.close()
            os.close(self.fd)


def _open_existing(path: Path) -> tuple[int, bytes] | None:
    """Return descriptor and secret of the file; None where a new one is needed, with a warning if that is odd."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        fault: str | None = "is a symbolic link" if path.is_symlink() else f"cannot be opened ({error.strerror})"
    else:
        content = os.pread(fd, _HEADER.size, 0) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        fault = _fault(os.fstat(fd), content)
        if fault is None:
            return fd, content[28 + SECRET_BYTES : 28 + 2 * SECRET_BYTES]
        with THREADS:
            os.close(fd)
    if fault:
        logger.warning("the rate limits' file {} {}: it is made anew, and limits begin again", path, fault)
    return None


def _fault(found: os.stat_result, content: bytes) -> str | None:
    """Return why the file cannot be used; None where it can, nothing to say where it is of another boot."""
    if not stat.S_ISREG(found.st_mode):
        return "is not a file"
    if found.st_uid != os.geteuid():
        return f"belongs to another user (uid {found.st_uid})"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"is open to other users (mode {stat.S_IMODE(found.st_mode):04o})"
    if found.st_size != FILE_BYTES or len(content) != _HEADER.size:
        return "is damaged (its size is wrong)"
    magic, version, rows, ways, boot, _, checksum = _HEADER.unpack(content)
    if magic != _MAGIC or checksum != _checksum(content[: -len(checksum)]):
        return "is damaged (its header is wrong)"
    if (version, rows, ways) != (VERSION, ROWS, WAYS):
        return f"is of another version ({version})"
    return None if boot == _boot() else ""


def _make(path: Path) -> tuple[int, bytes]:
    """Write a new file beside the path and move it there; whoever has the old one mapped goes on with that."""
    secret = secrets.token_bytes(SECRET_BYTES)
    header = _HEADER.pack(_MAGIC, VERSION, ROWS, WAYS, _boot(), secret, bytes(16))[:-16]
    new = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(fd, 0o600)  # whatever the umask took away
        # every byte is written: a hole that the disk has no room for would kill the process that touches it
        _write_all(fd, (header + _checksum(header)).ljust(HEADER_BYTES, b"\0") + bytes(TABLE_BYTES))
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        with THREADS:
            os.close(fd)
        raise
    return fd, secret


def _write_all(fd: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(fd, left) :]


def _checksum(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


def _boot() -> bytes:
    """Return what names this boot of the machine, zeros where the system has no such name."""
    try:
        return blake2b(_BOOT_ID.read_bytes(), digest_size=16).digest()
    except OSError:
        return bytes(16)
