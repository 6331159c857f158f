"""Files: where those are that are shipped beside the packages, and reading those of the run folder."""

from __future__ import annotations

import os
import stat
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from stellarstream_core.errors import UsageError

CIRCUS_INI = "circus.ini"
_SHARE = Path("share") / "stellarstream"
_PACKAGE = Path(__file__).resolve().parents[1]


def shared_file(name: str) -> Path:
    """Return the path of a shipped file by its path in the repository, such as ``contrib/setup.sh``.

    It is found in a checkout and beside an installed wheel. Raises ``UsageError`` where it is not there.
    """
    for folder in _folders():
        path = folder / name
        if path.is_file():
            return path
    raise UsageError(
        f"The file {name}, which comes with stellarstream, is not there.",
        help="Install stellarstream again: pip install --force-reinstall stellarstream.",
    )


def read_regular(path: Path) -> tuple[bytes, float]:
    """Return what is in a file and when it was written. Raises ``OSError``, also for a pipe: it never waits."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is no regular file")
        return file.read(), found.st_mtime


def _folders() -> Iterator[Path]:
    root = _PACKAGE.parent
    if (root / "setup.cfg").is_file():  # a checkout
        yield root
    yield Path(sysconfig.get_path("data")) / _SHARE
    yield root / _SHARE  # pip install --target
    yield Path(sys.prefix) / _SHARE
    yield Path(sysconfig.get_path("data", sysconfig.get_preferred_scheme("user"))) / _SHARE
