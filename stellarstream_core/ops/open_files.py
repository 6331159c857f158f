"""Files of a deployment that other users of the machine can get at."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

_SQLITE = "sqlite:///"
_BESIDE = ("", "-wal", "-shm", ".turn", ".lock")
_READ_OR_WRITE = stat.S_IROTH | stat.S_IWOTH


def open_database_files(database_url: str) -> list[Path]:
    """Return those files of a SQLite database that everybody on the machine can read or write; of others none."""
    name = unquote(database_url.removeprefix(_SQLITE))
    if not database_url.startswith(_SQLITE) or name in {"", ":memory:"} or "\0" in name:
        return []
    path = Path(name).absolute()
    return [found for end in _BESIDE if is_open(found := path.with_name(f"{path.name}{end}"))]


def is_open(path: Path) -> bool:
    """Tell whether everybody can read or write a file: its mode and those of the folders above it say so."""
    with suppress(OSError):
        real = path.resolve(strict=True)
        return bool(real.stat().st_mode & _READ_OR_WRITE) and all(_modes(real.parent))
    return False


def _modes(folder: Path) -> Iterator[bool]:
    for one in (folder, *folder.parents):
        yield bool(one.stat().st_mode & stat.S_IXOTH)
