"""What the chain said of a stream as bytes, and back: a version, and in JSON what is not left at its default."""

from __future__ import annotations

import json
from dataclasses import fields

from stellarstream_core.errors import StellarStreamError
from stellarstream_nebula.model import Curve, StreamFacts

VERSION = 1

_DEFAULTS = {field.name: field.default for field in fields(StreamFacts)}


class FactsError(StellarStreamError):
    """Stored bytes are no facts of this version."""

    code = "nebula-facts"
    title = "Unreadable facts of a stream"
    help = "Upgrade stellarstream to the version that wrote them."


def encode(facts: StreamFacts) -> bytes:
    """Return facts as bytes. Python's own JSON has integers of every size, as amounts need."""
    values = {name: getattr(facts, name) for name in _DEFAULTS}
    told = {name: value for name, value in values.items() if value != _DEFAULTS[name]}
    return json.dumps([VERSION, told], separators=(",", ":"), sort_keys=True).encode()


def decode(raw: bytes) -> StreamFacts:
    """Return the facts of stored bytes. Raises :class:`FactsError`; a name that a later release added is left out."""
    try:
        version, told = json.loads(raw)
        if version != VERSION:
            raise FactsError(f"Stored facts have version {version!r:.20}; this release reads {VERSION}.")
        known = {name: value for name, value in told.items() if name in _DEFAULTS}
        if "curve" in known:
            known["curve"] = Curve(known["curve"])
        return StreamFacts(**known)
    except (ValueError, TypeError, AttributeError):
        raise FactsError("Stored facts of a stream cannot be read.") from None
