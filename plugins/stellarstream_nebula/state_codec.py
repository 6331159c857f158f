"""Folded streams as bytes, and back: one JSON list with a version in front, numbers as decimal strings."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import orjson

from stellarstream_core.errors import StellarStreamError
from stellarstream_nebula.fold import BLANK, Fold, Origin
from stellarstream_nebula.model import Status, StreamState

VERSION = 2
"""Raised whenever the bytes change their meaning. A projection's fingerprint holds it, so states are folded anew."""

_NAMES = tuple(field.name for field in fields(StreamState))
_NUMBERS = tuple(at for at, field in enumerate(fields(StreamState)) if str(field.type).startswith("int"))
"""What is written as text: contracts' numbers may not fit 64 bits, and orjson's integers have no more."""
_CLOSED = _NAMES.index("closed")


class StateError(StellarStreamError):
    """Stored bytes are no state of this version."""

    code = "nebula-state"
    title = "Unreadable stream state"
    help = "Run 'stellarstream project --rebuild nebula' to fold the streams again from their events."


def encode(fold: Fold) -> bytes:
    """Return a fold as bytes, one of nothing too: then events that do not make a stream yet are folded once."""
    values: list[Any] | None = None
    if fold.state is not None:
        values = [getattr(fold.state, name) for name in _NAMES]
        for at in _NUMBERS:
            if values[at] is not None:
                values[at] = str(values[at])
    origin = None
    if fold.origin is not None:
        end = fold.origin.end
        origin = [fold.origin.sender, fold.origin.token, None if end is None else str(end)]
    return orjson.dumps([VERSION, values, fold.soulbound, origin])


def decode(raw: bytes | None) -> Fold:
    """Return the fold of stored bytes; None gives a fold of nothing. Raises :class:`StateError`."""
    if raw is None:
        return BLANK
    try:
        version, values, soulbound, origin = orjson.loads(raw)
        if version != VERSION:
            raise StateError(f"The stored state of a stream has version {version!r:.20}; this release reads {VERSION}.")
        known = None
        if origin is not None:
            sender, token, end = origin
            known = Origin(sender, token, None if end is None else int(end))
        return Fold(None if values is None else _state(values), bool(soulbound), known)
    except (ValueError, TypeError, IndexError):
        raise StateError("The stored state of a stream cannot be read.") from None


def state_of(raw: bytes | None) -> StreamState | None:
    """Return the stream of stored bytes; None where they hold none (yet). Raises :class:`StateError`."""
    return decode(raw).state


def _state(values: list[Any]) -> StreamState:
    for at in _NUMBERS:
        if values[at] is not None:
            values[at] = int(values[at])
    if values[_CLOSED] is not None:
        values[_CLOSED] = Status(values[_CLOSED])
    return StreamState(**dict(zip(_NAMES, values, strict=True)))
