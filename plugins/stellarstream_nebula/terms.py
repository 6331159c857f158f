"""What a text that is searched for may name: a stream, an address, a transaction, a memo."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from peewee import Database

from stellarstream_core.errors import InvalidStrkeyError
from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, VERSION_CONTRACT, decode_address
from stellarstream_nebula import bulk
from stellarstream_nebula.model import parse_stream_key, stream_key
from stellarstream_nebula.queries import address_walks

_HASH = re.compile(r"[0-9a-fA-F]{64}")
_MEMO = re.compile(r"[A-Za-z0-9_]{1,32}")


@dataclass(frozen=True, slots=True)
class Terms:
    """A text, and what it may be; None and False where it cannot be that.

    ``key`` is a stream's whole id, ``number`` a stream's bare one, ``memo`` a symbol.
    """

    text: str
    key: str | None = None
    number: int | None = None
    address: str | None = None
    tx_hash: str | None = None
    memo: str | None = None

    def walks(
        self, database: Database, contracts: Sequence[str], events: Sequence[str] = ()
    ) -> tuple[tuple[str, str], ...]:
        """Return columns of streams and the values that fit, for :class:`~stellarstream_nebula.queries.Wanted`.

        ``contracts`` are served: a bare number is looked for in each. ``events`` are those of the transaction: the
        streams that have one of them in their journal fit like those that it created.
        """
        found: list[tuple[str, str]] = []
        if self.key is not None:
            found.append(("key", self.key))
        if self.number is not None:
            found += [("key", stream_key(contract, self.number)) for contract in contracts]
        if self.address is not None:
            found += address_walks(self.address)
            if self.address.startswith("C"):
                found += [("token", self.address), ("contract_id", self.address)]
        if self.tx_hash is not None:
            found.append(("tx_hash", self.tx_hash))
            found += [("key", key) for key in keys_of_events(database, events)]
        if self.memo is not None:
            found.append(("memo", self.memo))
        return tuple(dict.fromkeys(found))


def read_terms(text: str) -> Terms:
    """Return what a text may name; spaces around it do not count."""
    text = text.strip()
    return Terms(
        text,
        key=_key(text),
        number=_number(text),
        address=_address(text),
        tx_hash=text.lower() if _HASH.fullmatch(text) else None,
        memo=text if _MEMO.fullmatch(text) else None,
    )


def keys_of_events(database: Database, events: Sequence[str]) -> list[str]:
    """Return the streams that have one of these events in their journal, in the order of events."""
    rows = bulk.select_in(database, "SELECT event_id, key FROM nebula_links WHERE event_id IN", events)
    return list(dict.fromkeys(key for _, key in sorted(rows) if "/" not in key))


def _key(text: str) -> str | None:
    try:
        contract, number = parse_stream_key(text)
    except ValueError:
        return None
    return stream_key(contract, number) if _address(contract) == contract and contract.startswith("C") else None


def _number(text: str) -> int | None:
    try:
        return parse_stream_key(f"-{text}")[1]
    except ValueError:
        return None


def _address(text: str) -> str | None:
    try:
        version, _ = decode_address(text)
    except InvalidStrkeyError:
        return None
    return text if version in {VERSION_ACCOUNT, VERSION_CONTRACT} else None
