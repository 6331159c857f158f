"""A lake's ``.config.json``: which network it belongs to and how its objects are laid out (SEP-54).

Lakes written by Galexie before version 23 have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from stellarstream_data_lake.layout import MAX_BATCHES_PER_PARTITION, MAX_LEDGERS_PER_BATCH

KEY = ".config.json"

MAX_BYTES = 64 * 1024
"""Far more than a manifest has."""

_SHOWN = 60


class BadManifestError(ValueError):
    """The manifest cannot be understood; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a lake says of itself. ``passphrase`` and ``version`` are None where it does not."""

    passphrase: str | None
    version: str | None
    ledgers_per_batch: int
    batches_per_partition: int


def read_manifest(raw: bytes) -> Manifest:
    """Return the manifest in a ``.config.json``; raise :class:`BadManifestError`."""
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadManifestError("it is not JSON") from None
    if not isinstance(found, dict):
        raise BadManifestError("it is not a JSON object")
    compression = found.get("compression", "zstd")
    if compression != "zstd":
        raise BadManifestError(f"compression is {_shown(compression)}, only 'zstd' can be read")
    return Manifest(
        _text(found, "networkPassphrase"),
        _text(found, "version"),
        _count(found, "ledgersPerBatch", MAX_LEDGERS_PER_BATCH),
        _count(found, "batchesPerPartition", MAX_BATCHES_PER_PARTITION),
    )


def _text(found: dict[str, Any], key: str) -> str | None:
    value = found.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BadManifestError(f"{key} is {_shown(value)}, not a text")
    return value


def _count(found: dict[str, Any], key: str, most: int) -> int:
    value = found.get(key)
    if type(value) is not int or not 1 <= value <= most:
        raise BadManifestError(f"{key} is {_shown(value)}, not a number from 1 to {most}")
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
