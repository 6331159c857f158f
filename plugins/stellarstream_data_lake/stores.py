"""Where a lake's objects lie: one kind of store for each kind of address in ``lake_url``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.errors import SettingsError, SourceUnusableError
from stellarstream_data_lake.settings import DataLakeSettings

_HELP = "Write file:///DIRECTORY, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or https://HOST/PATH."


class Store(Protocol):
    """Reads objects below a lake's root. ``shown`` is all of its address that may be shown.

    Methods raise an ``AttemptError``: ``MissingError`` where there is no such object, ``RefusedError``
    where it may not be read. ``lists`` tells whether :meth:`after` can be asked.
    """

    shown: str
    lists: bool

    async def get(self, key: str, most: int) -> bytes:
        """Return an object's bytes; raise ``OverlongError`` where there are more than ``most``."""
        ...

    async def exists(self, key: str) -> bool:
        """Tell whether there is an object with that name, without reading it."""
        ...

    async def after(self, key: str, fits: Callable[[str], bool]) -> str | None:
        """Return the first name that sorts after ``key`` and ``fits``, or None where there is none."""
        ...

    async def close(self) -> None:
        """Close connections. Safe to call twice."""
        ...


def open_store(url: str, settings: DataLakeSettings, timing: Timing) -> Store:
    """Return the store for an address of ``lake_url``; nothing is connected yet.

    Raises ``SettingsError`` where the address is none, ``SourceUnusableError`` where a package that
    reads it is not installed.
    """
    scheme = url.partition(":")[0].lower()
    if scheme == "file":
        from stellarstream_data_lake.directory import DirectoryStore  # noqa: PLC0415 - only what is used is loaded

        return DirectoryStore(_directory(url))
    if scheme in {"http", "https"}:
        from stellarstream_data_lake.web import WebStore  # noqa: PLC0415 - only what is used is loaded

        return WebStore(url, settings, timing)
    if scheme in {"s3", "gs"}:
        require("obstore")
        from stellarstream_data_lake.bucket import open_bucket  # noqa: PLC0415 - only what is used is loaded

        return open_bucket(scheme, *_bucket(url), settings)
    raise SettingsError("lake_url: an address is of a kind that is not known.", help=_HELP)


def require(package: str) -> None:
    """Raise ``SourceUnusableError`` saying what to install where a package of the extra ``lake`` is missing."""
    try:
        import_module(package)
    except ImportError:
        raise SourceUnusableError(
            f"Data lakes are read with the package '{package}', which is not installed.",
            help="Run: pip install 'stellarstream[lake]'",
        ) from None


def _directory(url: str) -> Path:
    parts = _split(url)
    path = unquote(parts[1])
    if parts[0] not in {"", "localhost"} or not path.startswith("/") or "\0" in path:
        raise SettingsError("lake_url: a file:// address names no directory.", help="Write file:///DIRECTORY.")
    return Path(path)


def _bucket(url: str) -> tuple[str, str]:
    host, path = _split(url)
    if not host or "@" in host or ":" in host:
        raise SettingsError(
            "lake_url: a bucket's address is not s3://BUCKET/PREFIX or gs://BUCKET/PREFIX.",
            help="Credentials belong into the environment (AWS_ACCESS_KEY_ID, …) or into [plugins.data-lake].",
        )
    return host, unquote(path).strip("/")


def _split(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if not parts.scheme or not url.partition(":")[2].startswith("//") or parts.query or parts.fragment:
        raise SettingsError("lake_url: an address cannot be taken apart.", help=_HELP)
    return parts.netloc, parts.path
