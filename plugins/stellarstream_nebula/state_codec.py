"""Folded streams as bytes, and back: one JSON list with a version in front, amounts as decimal strings."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import orjson

from stellarstream_core.errors import StellarStreamError
from stellarstream_nebula.fold import BLANK, Fold, Origin
from stellarstream_nebula.model import Status, StreamState

VERSION = 1
"""Raised whenever the bytes change their meaning. A projection's fingerprint holds it, so states are folded anew."""

_NAMES = tuple(field.name for field in fields(StreamState))
_AMOUNTS = tuple(_NAMES.index(name) for name in ("total", "gross", "withdrawn", "settled_unlocked", "paused_before"))
"""What may not fit 64 bits, and orjson's integers do not either."""
_CLOSED = _NAMES.index("closed")
_ORIGIN = ("sender", "token", "end")


class StateError(StellarStreamError):
    """Stored bytes are no state of this version."""

    code = "nebula-state"
    title = "Unreadable stream state"
    help = "Run 'stellarstream project --rebuild nebula' to fold the streams again from their events."


def encode(fold: Fold) -> bytes | None:
    """Return a fold as bytes; None where nothing is known yet."""
    if fold.is_blank:
        return None
    values: list[Any] | None = None
    if fold.state is not None:
        values = [getattr(fold.state, name) for name in _NAMES]
        for at in _AMOUNTS:
            if values[at] is not None:
                values[at] = str(values[at])
    origin = None if fold.origin is None else [getattr(fold.origin, name) for name in _ORIGIN]
    return orjson.dumps([VERSION, values, fold.soulbound, origin])


def decode(raw: bytes | None) -> Fold:
    """Return the fold of stored bytes; None gives a fold of nothing. Raises :class:`StateError`."""
    if raw is None:
        return BLANK
    try:
        version, values, soulbound, origin = orjson.loads(raw)
        if version != VERSION:
            raise StateError(f"The stored state of a stream has version {version!r:.20}; this release reads {VERSION}.")
        known = None if origin is None else Origin(**dict(zip(_ORIGIN, origin, strict=True)))
        return Fold(None if values is None else _state(values), bool(soulbound), known)
    except (ValueError, TypeError, IndexError):
        raise StateError("The stored state of a stream cannot be read.") from None


def state_of(raw: bytes | None) -> StreamState | None:
    """Return the stream of stored bytes; None where they hold none (yet). Raises :class:`StateError`."""
    return decode(raw).state


def _state(values: list[Any]) -> StreamState:
    for at in _AMOUNTS:
        if values[at] is not None:
            values[at] = int(values[at])
    if values[_CLOSED] is not None:
        values[_CLOSED] = Status(values[_CLOSED])
    return StreamState(**dict(zip(_NAMES, values, strict=True)))
