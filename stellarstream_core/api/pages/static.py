"""Stylesheets, scripts and pictures of pages: read once, served under a name that holds their digest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.resources import files

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, as it is sent."""

    body: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """All files, by name, and one digest of them all: modules import one another by relative names."""

    digest: str
    files: dict[str, StaticFile]

    def path(self, name: str) -> str:
        """Return a file's address below where the files are served: ``static/DIGEST/NAME``.

        The framework's own are served at the service's root. Raises ``KeyError`` for a file that is not there.
        """
        if name not in self.files:
            raise KeyError(name)
        return f"static/{self.digest}/{name}"


def bundle() -> Bundle:
    """Return the files of the framework's own pages, as they came with this release."""
    return bundle_of(__package__)


@cache
def bundle_of(package: str) -> Bundle:
    """Return the files in a package's folder ``static`` whose endings are in :data:`TYPES`; others are left out.

    ``package`` is its dotted name. Raises ``ModuleNotFoundError`` for one that is not installed and
    ``FileNotFoundError`` where it has no such folder.
    """
    found: dict[str, StaticFile] = {}
    digest = blake2b(digest_size=10)
    for entry in sorted(files(package).joinpath("static").iterdir(), key=lambda entry: entry.name):
        ending = entry.name[entry.name.rfind(".") :]
        if ending in TYPES:
            body = entry.read_bytes()
            found[entry.name] = StaticFile(body, TYPES[ending])
            digest.update(b"%b\0%d\0%b" % (entry.name.encode(), len(body), body))
    return Bundle(digest.hexdigest(), found)
