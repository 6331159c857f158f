"""Undoes what re-exporting a ledger did to an invocation's events, so that their hash can be checked.

A node with BACKFILL_STELLAR_ASSET_EVENTS writes asset contracts' events of protocols 20 to 22 as protocol
23 has them (CAP-67; stellar-core OpEventManager): ``mint``, ``clawback`` and ``set_authorized`` lose the
admin, their second topic; a ``transfer`` from the issuer becomes a ``mint``, one to the issuer a ``burn``.
What the result commits to are the events as they were. The issuer stands in the asset's name; for the
admin every address in the transaction's meta is tried. Only the hash decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import sha256
from itertools import islice, product

from stellarstream_core.errors import InvalidStrkeyError
from stellarstream_core.xdr import ledger_walk as walk
from stellarstream_core.xdr.asset import asset_contract_id
from stellarstream_core.xdr.ledger import EventPlace, Transaction
from stellarstream_core.xdr.strkey import account_id_bytes

MAX_ATTEMPTS = 5_000
"""Hashes tried for one invocation: some tens of milliseconds, with very many events a few hundred."""

MAX_HASHED = 64 * 1024 * 1024
"""Bytes hashed for one invocation: about a tenth of a second, however large its events are."""

_MAX_SCANNED = 256 * 1024
"""Words of a transaction's meta that are searched for addresses; the largest real ones have some 30,000."""

_MAX_PATTERNS = 256

_SYMBOL, _STRING, _ADDRESS = (number.to_bytes(4, "big") for number in (15, 14, 18))
_ACCOUNT_ADDRESS = _ADDRESS + bytes(8)
_CONTRACT_ADDRESS = _ADDRESS + b"\0\0\0\1"
_ASSET = re.compile(rb"([0-9A-Za-z]{1,12}):(G[A-Z2-7]{55})")
_TRANSFER = _SYMBOL + b"\0\0\0\x08transfer"
_NAMES = {
    _SYMBOL + b"\0\0\0\x04mint": "mint",
    _SYMBOL + b"\0\0\0\x04burn": "burn",
    _SYMBOL + b"\0\0\0\x08clawback": "clawback",
    _SYMBOL + b"\0\0\0\x0eset_authorized\0\0": "set_authorized",
}


class Restored(Enum):
    """What came of the attempt."""

    PROVEN = auto()
    """As they were before, the events have the hash that the result holds."""
    UNKNOWN = auto()
    """Some events look rewritten, but no way to undo it was found."""
    UNTOUCHED = auto()
    """No event looks rewritten, so that does not explain another hash."""


class _Was(Enum):
    """What a rewritten event may have been."""

    SAME = auto()
    FROM_ISSUER = auto()
    TO_ISSUER = auto()
    WITH_ADMIN = auto()


_POSSIBLE = {
    "mint": (_Was.FROM_ISSUER, _Was.WITH_ADMIN),
    "burn": (_Was.SAME, _Was.TO_ISSUER),
    "clawback": (_Was.WITH_ADMIN,),
    "set_authorized": (_Was.WITH_ADMIN,),
}


@dataclass(frozen=True, slots=True)
class _Rewritten:
    """An event that may have been rewritten; topics and addresses are XDR of ScVals."""

    number: int
    contract: bytes
    name: str
    head: bytes
    topics: Sequence[bytes]
    value: bytes
    issuer: bytes

    def possible(self) -> tuple[_Was, ...]:
        # a transfer from issuer to issuer stayed one
        if self.topics[1] == self.issuer:
            return tuple(was for was in _POSSIBLE[self.name] if was in (_Was.SAME, _Was.WITH_ADMIN))
        return _POSSIBLE[self.name]

    def before(self, was: _Was, admin: bytes) -> bytes:
        """Return the event's XDR as it was."""
        name, party, asset = self.topics
        topics: tuple[bytes, ...]
        if was is _Was.FROM_ISSUER:
            topics = (_TRANSFER, self.issuer, party, asset)
        elif was is _Was.TO_ISSUER:
            topics = (_TRANSFER, party, self.issuer, asset)
        elif was is _Was.WITH_ADMIN:
            topics = (name, admin, party, asset)
        else:
            topics = (name, party, asset)
        return b"".join((self.head, len(topics).to_bytes(4, "big"), *topics, self.value))


def restore(transaction: Transaction, op: int, success: bytes, network_id: bytes | None) -> Restored:
    """Look for the events of an invocation's operation that have the hash ``success``.

    With ``network_id`` (sha256 of the passphrase) only events of asset contracts count as rewritten, as in
    stellar-core; without it every event of that shape does. The same bytes always end the same way.
    """
    begin, events, _ = transaction.operation_events[op]
    raw = transaction.raw
    rewritten = [
        found
        for number, event in enumerate(events)
        if (found := _rewritten(raw, number, event, network_id)) is not None and found.possible()
    ]
    if not rewritten:
        return Restored.UNTOUCHED
    pieces = [raw[4 * event[0] : 4 * event[5]] for event in events]
    front = (transaction.return_value or b"") + raw[4 * begin : 4 * begin + 4]
    attempts = min(MAX_ATTEMPTS, 1 + MAX_HASHED // (len(front) + sum(map(len, pieces))))
    for change in islice(_changes(rewritten, _admins(transaction, events, rewritten)), attempts):
        for number, piece in change:
            pieces[number] = piece
        if sha256(front + b"".join(pieces)).digest() == success:
            return Restored.PROVEN
    return Restored.UNKNOWN


def _rewritten(raw: bytes, number: int, event: EventPlace, network_id: bytes | None) -> _Rewritten | None:
    begin, contract, _, places, value, end = event
    if len(places) != 3 or not contract:
        return None
    ends = [*places[1:], value]
    topics = [raw[4 * place : 4 * stop] for place, stop in zip(places, ends, strict=True)]
    name = _NAMES.get(topics[0])
    if name is None or topics[2][:4] != _STRING:
        return None
    text = topics[2][8 : 8 + int.from_bytes(topics[2][4:8], "big")]
    match = _ASSET.fullmatch(text)
    if match is None:
        return None
    contract_id = raw[4 * contract : 4 * contract + 32]
    try:
        issuer = _ACCOUNT_ADDRESS + account_id_bytes(match[2].decode("ascii"))
    except InvalidStrkeyError:
        return None
    if network_id is not None and asset_contract_id(text.decode("ascii"), network_id) != contract_id:
        return None
    head = raw[4 * begin : 4 * places[0] - 4]
    return _Rewritten(number, contract_id, name, head, topics, raw[4 * value : 4 * end], issuer)


def _changes(rewritten: Sequence[_Rewritten], admins: Sequence[bytes]) -> Iterator[list[tuple[int, bytes]]]:
    """Yield ways in which the events may have been, likely ones first: each event's number and its XDR."""
    for pattern in _patterns(rewritten):
        with_admin = zip(rewritten, pattern, strict=True)
        contracts = sorted({event.contract for event, was in with_admin if was is _Was.WITH_ADMIN})
        for chosen in product(admins, repeat=len(contracts)):
            of = dict(zip(contracts, chosen, strict=True))
            yield [
                (event.number, event.before(was, of.get(event.contract, b"")))
                for event, was in zip(rewritten, pattern, strict=True)
            ]


def _patterns(rewritten: Sequence[_Rewritten]) -> Iterator[tuple[_Was, ...]]:
    """Yield what each event may have been: first with all alike events of a contract alike, then in any mixture."""
    kinds: dict[tuple[bytes, str, tuple[_Was, ...]], None] = {
        (event.contract, event.name, event.possible()): None for event in rewritten
    }
    alike = []
    for chosen in product(*(possible for _, _, possible in kinds)):
        of = dict(zip(kinds, chosen, strict=True))
        alike.append(tuple(of[event.contract, event.name, event.possible()] for event in rewritten))
        if len(alike) == _MAX_PATTERNS:
            break
    alike.sort(key=lambda pattern: _Was.WITH_ADMIN in pattern)  # what needs no admin is quick to try
    yield from alike
    known = set(alike)
    mixtures = product(*(event.possible() for event in rewritten))
    yield from (pattern for pattern in mixtures if pattern not in known)


def _admins(transaction: Transaction, events: Sequence[EventPlace], rewritten: Sequence[_Rewritten]) -> list[bytes]:
    """Return every address (XDR of an ScVal) that stands in a transaction's meta, likely admins first.

    An admin had to authorize: it is a contract that was called, the source of the transaction, or an
    account whose nonce was used up. All of these leave entries in the meta.
    """
    raw = transaction.raw
    emitters = [raw[4 * event[1] : 4 * event[1] + 32] for event in events if event[1]]
    found = dict.fromkeys(_CONTRACT_ADDRESS + contract for contract in emitters)
    found.update(dict.fromkeys(event.issuer for event in rewritten))
    start, stop = transaction.place
    words = walk.words(raw[4 * start : 4 * stop])
    accounts: dict[bytes, None] = {}
    for place in range(min(len(words) - 8, _MAX_SCANNED)):
        # An address is a type and a key; a key of 32 bytes with four zeros in a row is none.
        if words[place] > 1 or not all(words[place + 1 : place + 9]):
            continue
        key = raw[4 * (start + place) + 4 : 4 * (start + place) + 36]
        if words[place]:
            found[_CONTRACT_ADDRESS + key] = None
        elif place and not words[place - 1]:
            accounts[_ACCOUNT_ADDRESS + key] = None
    return [*found, *accounts]
