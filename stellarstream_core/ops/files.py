"""Where the files are that are shipped beside the packages: circus.ini, the systemd unit, dashboards."""

from __future__ import annotations

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


def _folders() -> Iterator[Path]:
    root = _PACKAGE.parent
    if (root / "setup.cfg").is_file():  # a checkout
        yield root
    yield Path(sysconfig.get_path("data")) / _SHARE
    yield root / _SHARE  # pip install --target
    yield Path(sys.prefix) / _SHARE
    yield Path(sysconfig.get_path("data", sysconfig.get_preferred_scheme("user"))) / _SHARE
