"""Names of log files: ``api.log`` is written, ``api__2026-01-31_13-05-09.log.gz`` is one that was rotated.

All dates are UTC: no hour comes twice, and names sort as time does.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from time import gmtime, strftime

DATE_FORMAT = "YYYY-MM-DD_HH-mm-ss"
SUFFIX = ".log"
PACKED = ".log.gz"
UNFINISHED = ".log.gz.tmp"

ROLE_FORM = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
"""What a role may be called: it is part of file names, and ``__`` ends it there."""

_TOKENS = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_SPLIT = re.compile("(YYYY|MM|DD|HH|mm|ss)")
_BETWEEN = re.compile(r"[-_.T]*")


@lru_cache(maxsize=8)
def parse_date_format(date_format: str) -> tuple[str, re.Pattern[str]]:
    """Return a format as ``strftime`` takes it, and a pattern that finds its parts again.

    It is made of YYYY, MM, DD, HH, mm, ss, each once and the first three at least, with ``- _ . T`` between
    them. Raises ``ValueError``.
    """
    pieces = _SPLIT.split(date_format)
    tokens = pieces[1::2]
    if len(set(tokens)) != len(tokens) or not {"YYYY", "MM", "DD"} <= set(tokens):
        raise ValueError(f"{date_format!r} must have YYYY, MM and DD, and nothing twice")
    if not all(_BETWEEN.fullmatch(piece) for piece in pieces[0::2]) or "__" in date_format:
        raise ValueError(f"{date_format!r} may have only YYYY, MM, DD, HH, mm, ss and '- _ . T' between them")
    written = "".join(_TOKENS.get(piece, piece) for piece in pieces)
    pattern = "".join(f"(?P<{piece}>\\d{{{len(piece)}}})" if piece in _TOKENS else re.escape(piece) for piece in pieces)
    return written, re.compile(pattern, re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Rotated:
    """A file that was rotated, plain or packed; they sort as they were rotated."""

    at: tuple[str, ...]
    number: int
    stem: str

    @property
    def plain(self) -> str:
        """Its name before it is packed."""
        return self.stem + SUFFIX

    @property
    def packed(self) -> str:
        """Its name once it is packed; while both are there, the plain one is as good."""
        return self.stem + PACKED

    @property
    def unfinished(self) -> str:
        """The name of what is being packed, or was left half-way."""
        return self.stem + UNFINISHED


@dataclass(frozen=True)
class LogNames:
    """The names of one role's files in a folder."""

    folder: Path
    role: str
    date_format: str = DATE_FORMAT

    def __post_init__(self) -> None:
        if not ROLE_FORM.fullmatch(self.role):
            raise ValueError(f"{self.role!r} cannot be the name of a log: small letters, digits and dashes only")
        parse_date_format(self.date_format)

    @property
    def current(self) -> Path:
        """The file that is written."""
        return self.folder / (self.role + SUFFIX)

    def free(self, at: float) -> Path:
        """Return the name for what is rotated at this time (Unix seconds): one that nothing has, packed or not."""
        stem = f"{self.role}__{strftime(parse_date_format(self.date_format)[0], gmtime(at))}"
        number = 0
        while True:
            path = self.folder / f"{stem}{f'.{number}' if number else ''}{SUFFIX}"
            # in this order: the packed one is there before the plain one goes
            if not path.exists() and not path.with_name(path.name + ".gz").exists():
                return path
            number += 1

    def rotated(self) -> list[Rotated]:
        """Return what was rotated, the oldest first, each once. Raises ``OSError``."""
        # a folder that changes while it is listed may show neither the old name nor the new one of a file
        listed = _names_in(self.folder)
        while listed != (again := _names_in(self.folder)):
            listed = again
        return sorted({found for name in listed if (found := self.parse(name)) and not name.endswith(UNFINISHED)})

    def left_over(self) -> Iterator[str]:
        """Yield the names of packed files that were never finished."""
        for name in _names_in(self.folder):
            if name.endswith(UNFINISHED) and self.parse(name):
                yield name

    def parse(self, name: str) -> Rotated | None:
        """Return the rotated file of this role that the name is one of, or None."""
        for pattern in self._patterns:
            if found := pattern.fullmatch(name):
                at = tuple(found[token] if token in found.re.groupindex else "" for token in _TOKENS)
                return Rotated(at, int(found["number"] or 0), found["stem"])
        return None

    @cached_property
    def _patterns(self) -> list[re.Pattern[str]]:
        # those of the usual format too: they stay this role's own after the format was changed
        return [
            re.compile(
                rf"(?P<stem>{re.escape(self.role)}__{parse_date_format(form)[1].pattern}(?:\.(?P<number>[1-9]\d*))?)"
                rf"(?:{'|'.join(map(re.escape, (SUFFIX, PACKED, UNFINISHED)))})",
                re.ASCII,
            )
            for form in dict.fromkeys((self.date_format, DATE_FORMAT))
        ]


def roles_in(folder: Path, date_format: str = DATE_FORMAT) -> list[str]:
    """Return the roles that have files in a folder, sorted. Raises ``OSError``."""
    found = set()
    for name in _names_in(folder):
        role = name.partition("__")[0].removesuffix(SUFFIX)
        if ROLE_FORM.fullmatch(role) and (name == role + SUFFIX or LogNames(folder, role, date_format).parse(name)):
            found.add(role)
    return sorted(found)


def _names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def open_regular(path: Path) -> int | None:
    """Open a file to read it; None where there is none, or something that is no file: a pipe would be waited for.

    Raises ``OSError``.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


def open_private(path: Path, flags: int) -> int:
    """Open a regular file of mode 0600, making it and its folder (0700) where they are not there. Raises ``OSError``.

    What root makes belongs to whom the folder belongs: a command that root runs once must not lock the service out.
    """
    common = flags | os.O_CLOEXEC | os.O_NOFOLLOW
    with suppress(FileNotFoundError):
        return os.open(path, common)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        fd = os.open(path, common | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # another process was faster
        return os.open(path, common)
    if os.geteuid() == 0 and (folder := path.parent.stat()).st_uid != 0:
        os.fchown(fd, folder.st_uid, folder.st_gid)
    return fd
