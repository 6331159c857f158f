"""A lake in a directory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from stellarstream_core.endpoints.failures import OverlongError, UnreachableError
from stellarstream_data_lake.failures import MissingError, RefusedError


class DirectoryStore:
    """Reads files below a directory; names that no object has (``.tmp``, other folders) are not there."""

    lists = True

    def __init__(self, root: Path) -> None:
        self.shown = "file://"
        self._root = root

    async def get(self, key: str, most: int) -> bytes:
        """Return a file's bytes."""
        return await asyncio.to_thread(self._read, key, most)

    async def exists(self, key: str) -> bool:
        """Tell whether there is such a file."""
        return await asyncio.to_thread(self._exists, key)

    async def after(self, key: str, fits: Callable[[str], bool]) -> str | None:
        """Return the first name that sorts after ``key`` and ``fits``, or None."""
        return await asyncio.to_thread(self._after, key, fits)

    async def close(self) -> None:
        """Do nothing: no file is kept open."""

    def _read(self, key: str, most: int) -> bytes:
        try:
            with (self._root / key).open("rb") as file:
                data = file.read(most + 1)
        except OSError as error:
            raise self._failure(error, key) from None
        if len(data) > most:
            raise OverlongError(f"{self.shown} has {key} with more than {most} bytes.")
        return data

    def _exists(self, key: str) -> bool:
        try:
            return (self._root / key).is_file()
        except OSError as error:
            raise self._failure(error, key) from None

    def _after(self, key: str, fits: Callable[[str], bool]) -> str | None:
        folder, _, _ = key.rpartition("/")
        try:
            entries = self._names("")
            for name in sorted(n for n in entries if n >= (folder or key)):
                found = self._inside(name) if entries[name] else [name]
                if later := [one for one in found if one > key and fits(one)]:
                    return min(later)
        except OSError as error:
            raise self._failure(error, key) from None
        return None

    def _inside(self, folder: str) -> list[str]:
        try:
            return [f"{folder}/{name}" for name, is_folder in self._names(folder).items() if not is_folder]
        except FileNotFoundError:
            return []  # removed since

    def _names(self, folder: str) -> dict[str, bool]:
        """Return what lies in a folder, and of each entry whether it is a folder itself."""
        with os.scandir(self._root / folder) as entries:
            return {entry.name: entry.is_dir() for entry in entries}

    def _failure(self, error: OSError, key: str) -> Exception:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return MissingError(f"{self.shown} does not have {key}.")
        why = error.strerror or type(error).__name__
        if isinstance(error, PermissionError):
            return RefusedError(
                f"{self.shown} does not let {key} be read ({why}): give this user the right to read it."
            )
        return UnreachableError(f"{self.shown}: {key} cannot be read: {why}.")
