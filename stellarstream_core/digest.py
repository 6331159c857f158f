"""One number for a set of events: equal digests mean equal events, whatever order they arrived in.

The framing, so that anyone can compute the same: for each event, in id order, the concatenation of

- id, tx_hash: 4-byte length, then the text in ASCII;
- event_index: 8 bytes;
- contract: one byte 0 where the event has none, else one byte 1, 4-byte length, the strkey in ASCII;
- type: 4-byte length, then the text in ASCII;
- topics: 4-byte count, then each topic as 4-byte length and its XDR;
- value: 4-byte length, then its XDR;
- closed_at: 8 bytes, Unix seconds.

All numbers are unsigned and big-endian. Every part says its own length, so no two different events
share a frame. The digest is the SHA-256 of all frames together, in lower-case hex.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from struct import Struct

from stellarstream_core.errors import InvalidEventError
from stellarstream_core.events import ContractEvent

_U32 = Struct(">I").pack
_U64 = Struct(">Q").pack
_NO_CONTRACT = b"\x00"
_CONTRACT = b"\x01"


def event_frame(event: ContractEvent) -> bytes:
    """Return the bytes that stand for one event in a digest; the module's text gives the framing."""
    event_id = event.id.encode("ascii")
    tx_hash = event.tx_hash.encode("ascii")
    kind = event.type.encode("ascii")
    parts = [_U32(len(event_id)), event_id, _U32(len(tx_hash)), tx_hash, _U64(event.event_index)]
    if event.contract_id is None:
        parts.append(_NO_CONTRACT)
    else:
        contract = event.contract_id.encode("ascii")
        parts += (_CONTRACT, _U32(len(contract)), contract)
    parts += (_U32(len(kind)), kind, _U32(len(event.topics)))
    for topic in event.topics:
        parts += (_U32(len(topic)), topic)
    parts += (_U32(len(event.value)), event.value, _U64(event.closed_at))
    return b"".join(parts)


def event_digest(event: ContractEvent) -> str:
    """Return the SHA-256 of one event as 64 hex digits: what tells two claims under one id apart."""
    return sha256(event_frame(event)).hexdigest()


def digest_events(events: Iterable[ContractEvent]) -> str:
    """Return the SHA-256 of the events as 64 hex digits, reading them once and keeping none.

    They must come in id order, each once; anything else raises :class:`InvalidEventError`, because
    a digest over another order would differ for the same set.
    """
    digest = sha256()
    last = ""
    for event in events:
        if event.id <= last:
            raise InvalidEventError(f"{event.id} comes after {last}: a digest needs every event once, in id order")
        last = event.id
        digest.update(event_frame(event))
    return digest.hexdigest()
