"""The sandbox's ledgers as a data lake (SEP-54): names, manifest, objects, and a directory that holds them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from stellarstream_core.errors import UsageError
from stellarstream_sandbox.config import FIRST_LEDGER
from stellarstream_sandbox.history import HistorySnapshot
from stellarstream_sandbox.pack import array, u32

MANIFEST = ".config.json"
NEEDS_ZSTANDARD = "A data lake needs the package zstandard: pip install 'stellarstream[lake]'"

_SUFFIX = ".xdr.zst"
_FIRST_OF_BATCH = re.compile(r"(?:.*/)?[0-9A-F]{8}--([0-9]{1,10})(?:-[0-9]{1,10})?\.xdr\.zst", re.ASCII)
_LEVEL = 3
_MAX_SEQUENCE = 2**32 - 1
_MAX_OBJECT = 2**32


@dataclass(frozen=True, slots=True)
class LakeLayout:
    """How many ledgers an object holds, and how many objects a partition."""

    ledgers_per_batch: int = 1
    batches_per_partition: int = 64_000

    def batch(self, sequence: int) -> tuple[int, int]:
        """Return the first and last ledger of the object that holds a ledger; the first object begins with ledger 2."""
        first = sequence - sequence % self.ledgers_per_batch
        return max(first, FIRST_LEDGER), first + self.ledgers_per_batch - 1

    def key(self, sequence: int) -> str:
        """Return the name of the object that holds a ledger: newer objects come first in a listing."""
        first = sequence - sequence % self.ledgers_per_batch
        name = _reversed(first, first + self.ledgers_per_batch - 1, always_last=False) + _SUFFIX
        if self.batches_per_partition == 1:
            return name
        size = self.ledgers_per_batch * self.batches_per_partition
        start = sequence - sequence % size
        return f"{_reversed(start, start + size - 1, always_last=True)}/{name}"

    def ledger_of(self, key: str) -> int | None:
        """Return a ledger whose object has this name, None where no object has it."""
        found = _FIRST_OF_BATCH.fullmatch(key)
        if found is None or int(found[1]) > _MAX_SEQUENCE:
            return None
        return int(found[1]) if self.key(int(found[1])) == key else None

    def manifest(self, passphrase: str) -> bytes:
        """Return the lake's ``.config.json``, with the keys that Galexie writes."""
        body = {
            "networkPassphrase": passphrase,
            "version": "1.0",
            "compression": "zstd",
            "ledgersPerBatch": self.ledgers_per_batch,
            "batchesPerPartition": self.batches_per_partition,
        }
        return orjson.dumps(body, option=orjson.OPT_INDENT_2)


def _reversed(first: int, last: int, *, always_last: bool) -> str:
    name = f"{_MAX_SEQUENCE - first:08X}--{first}"
    return f"{name}-{last}" if always_last or last > first else name


def zstandard() -> Any:
    """Return the module; raise :class:`UsageError` where it is not installed."""
    try:
        import zstandard as module  # noqa: PLC0415 - an extra, and only needed for lakes
    except ImportError:
        raise UsageError(f"{NEEDS_ZSTANDARD}.") from None
    return module


def batch_xdr(first: int, last: int, metas: Sequence[bytes]) -> bytes:
    """Return a ``LedgerCloseMetaBatch``."""
    return u32(first) + u32(last) + array(metas)


def compressed(batch: bytes) -> bytes:
    """Return an object of the lake: one zstd frame that does not say its size, as streaming writers leave it."""
    compressor = zstandard().ZstdCompressor(level=_LEVEL, write_content_size=False, write_checksum=True)
    frame: bytes = compressor.compress(batch)
    return frame


def lake_object(history: HistorySnapshot, layout: LakeLayout, sequence: int) -> bytes | None:
    """Return the object that holds a ledger; None while it is not complete, or where its ledgers are not kept."""
    first, last = layout.batch(sequence)
    if not history.oldest <= first <= last <= history.latest:
        return None
    return compressed(batch_xdr(first, last, [history.ledger(one).meta() for one in range(first, last + 1)]))


class LakeDirectory:
    """A lake in a directory. An object is there with its final name only when it is whole.

    What is there already is gone on with where it is the same history, and refused otherwise: a
    lake of two histories would be neither.
    """

    def __init__(self, root: Path, layout: LakeLayout, passphrase: str) -> None:
        self.root = root
        self._layout = layout
        self._manifest = layout.manifest(passphrase)
        zstandard()

    def check(self) -> None:
        """Raise :class:`UsageError` where the directory is neither empty nor a lake of this kind."""
        try:
            there = (self.root / MANIFEST).read_bytes()
        except FileNotFoundError:
            self._check_empty()
            return
        except OSError as error:
            raise UsageError(f"The lake {self.root} cannot be read: {error.strerror or error}.") from None
        try:
            known, ours = orjson.loads(there), orjson.loads(self._manifest)
            differing = [key for key in ours if key != "version" and known.get(key) != ours[key]]
        except (ValueError, AttributeError):
            raise UsageError(
                f"{self.root / MANIFEST} is not a lake's manifest.", help="Name another directory."
            ) from None
        if differing:
            told = ", ".join(f"{key} is {known.get(key)!r} and not {ours[key]!r}" for key in differing)
            raise UsageError(f"{self.root} is another lake: {told}.", help="Name another directory with --lake.")

    def settle(self, history: HistorySnapshot) -> Iterator[None]:
        """Write the history; a step is one object. Raise :class:`UsageError` where that cannot be.

        Everything that is there is compared before anything is written.
        """
        batches = list(self._complete(history))
        for sequence in batches:
            self._compare(history, sequence)
            yield
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            if not (self.root / MANIFEST).exists():
                _write(self.root / MANIFEST, self._manifest)
            for sequence in batches:
                self._put(history, sequence)
                yield
        except OSError as error:
            raise self._unwritable(error) from None

    def add(self, history: HistorySnapshot) -> None:
        """Write the object that the last closed ledger completes, if it completes one."""
        if self._layout.batch(history.latest)[1] != history.latest:
            return
        self._compare(history, history.latest)
        try:
            self._put(history, history.latest)
        except OSError as error:
            raise self._unwritable(error) from None

    def read(self, key: str) -> bytes | None:
        """Return an object of this lake by its name, None where it is not there."""
        if self._layout.ledger_of(key) is None:
            return None
        try:
            return (self.root / key).read_bytes()
        except OSError:
            return None

    def _complete(self, history: HistorySnapshot) -> Iterator[int]:
        """Yield the last ledger of each object that the history completes."""
        for sequence in range(history.oldest, history.latest + 1):
            first, last = self._layout.batch(sequence)
            if sequence == last and first >= history.oldest:
                yield sequence

    def _put(self, history: HistorySnapshot, sequence: int) -> None:
        path = self.root / self._layout.key(sequence)
        if path.exists():
            return
        body = lake_object(history, self._layout, sequence)
        if body is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, body)

    def _compare(self, history: HistorySnapshot, sequence: int) -> None:
        """Raise :class:`UsageError` where the object is there already, but with other ledgers in it."""
        path = self.root / self._layout.key(sequence)
        try:
            there = path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from None
        body = lake_object(history, self._layout, sequence)
        if body is None or there == body:
            return
        module = zstandard()
        with suppress(module.ZstdError):  # another version of the library may compress to other bytes
            same, ours = (module.ZstdDecompressor().decompressobj().decompress(one) for one in (there, body))
            if same == ours:
                return
        raise UsageError(
            f"The lake {self.root} holds another history: {path.name} is not this network's.",
            help="Give the seed, genesis time, spacings and settings that it was made with, or another directory.",
        )

    def _check_empty(self) -> None:
        try:
            strangers = sorted(entry.name for entry in self.root.iterdir() if not _is_temporary(entry.name))
        except FileNotFoundError:
            return
        except OSError as error:
            raise UsageError(f"{self.root} cannot be a lake: {error.strerror or error}.") from None
        if strangers:
            raise UsageError(
                f"{self.root} is not empty and has no {MANIFEST}, so it is no lake: {strangers[0]} is in it.",
                help="Name another directory with --lake.",
            )

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(
            f"The lake {self.root} cannot be written: {error.strerror or error}.",
            help="Every object that is there is whole; run the same command again when there is room.",
        )


def _write(path: Path, body: bytes) -> None:
    """Write a file under a temporary name and give it its own when it is whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(body)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")
