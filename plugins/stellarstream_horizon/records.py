"""Horizon's records of ledgers and transactions, checked as far as one record can be.

Numbers come as numbers or as text. A record that contradicts itself is never used.
"""

from __future__ import annotations

from binascii import Error as BinasciiError
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from stellarstream_core.endpoints.http import whole_number
from stellarstream_core.errors import ProtocolUpgradeNeededError, XdrError
from stellarstream_core.events import MAX_TX_ORDER, parse_close_time
from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_core.xdr.ledger import LedgerHeader, read_bare_header
from stellarstream_horizon.toid import ledger_of, ledger_token

Record = Mapping[str, Any]

_HEX_DIGITS = frozenset("0123456789abcdef")


class BadRecordError(Exception):
    """A record contradicts itself or the question; the message says how."""


class MetaAbsentError(Exception):
    """A transaction's record has no ``result_meta_xdr``, or one with nothing in it."""


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """A ledger as Horizon tells it: its header, which has the hash it is said to have, and its transactions' number.

    ``closed_at`` is in Unix seconds.
    """

    header: LedgerHeader
    succeeded: int
    failed: int

    @property
    def sequence(self) -> int:
        """The ledger's number."""
        return self.header.sequence

    @property
    def transactions(self) -> int:
        """How many transactions the ledger applied, failed ones included."""
        return self.succeeded + self.failed


@dataclass(frozen=True, slots=True)
class TransactionRecord:
    """One transaction as Horizon tells it; ``result`` and ``meta`` are XDR."""

    hash: bytes
    result: bytes
    meta: bytes
    succeeded: bool


def sequence_of(record: Record) -> int:
    """Return the sequence of a ledger's record, which its paging token has to agree with."""
    sequence = whole_number(record.get("sequence"))
    if sequence is None or not 0 < sequence <= LAST_LEDGER:
        raise BadRecordError("a ledger has no sequence")
    token = record.get("paging_token")
    if token is not None and whole_number(token) != ledger_token(sequence):
        raise BadRecordError(f"ledger {sequence} has the paging token {token!r:.30}")
    return sequence


def read_ledger_record(record: Record) -> LedgerRecord:
    """Read a ledger's record.

    Raises :class:`BadRecordError`, :class:`HashMismatchError` where the header does not have its hash, or
    ``ProtocolUpgradeNeededError``.
    """
    sequence = sequence_of(record)
    claimed = _hash(record, "hash")
    try:
        header = read_bare_header(_bytes(record, "header_xdr", f"ledger {sequence}"), claimed)
    except ProtocolUpgradeNeededError:
        raise
    except XdrError as error:
        raise BadRecordError(f"ledger {sequence} has a header that cannot be read ({error!s:.80})") from None
    if header.sequence != sequence:
        raise BadRecordError(f"ledger {sequence} has the header of ledger {header.sequence}")
    if sha256(header.xdr).digest() != claimed:
        raise HashMismatchError(f"ledger {sequence}: its header does not have the hash it is said to have")
    if record.get("prev_hash") is not None and _hash(record, "prev_hash") != header.previous_hash:
        raise BadRecordError(f"ledger {sequence} is said to follow on another ledger than its header says")
    if (closed := closed_at(record, "closed_at")) is not None and closed != header.close_time:
        raise BadRecordError(f"ledger {sequence} is said to have closed at another time than its header says")
    succeeded, failed = (_count(record, f"{kind}_transaction_count") for kind in ("successful", "failed"))
    if succeeded is None or failed is None:
        raise BadRecordError(f"ledger {sequence} does not tell how many transactions it has")
    return LedgerRecord(header, succeeded, failed)


class HashMismatchError(BadRecordError):
    """A ledger's header does not have the hash that the record gives it."""


def closed_at(record: Record, key: str) -> int | None:
    """Return a time in Unix seconds, None where the record has none that can be read."""
    text = record.get(key)
    if not isinstance(text, str):
        return None
    try:
        return parse_close_time(text)
    except (ValueError, OverflowError):
        return None


def token_of(record: Record) -> int:
    """Return a transaction's paging token, which its ledger has to agree with."""
    token = whole_number(record.get("paging_token"))
    if token is None:
        raise BadRecordError("a transaction has no paging token")
    ledger = whole_number(record.get("ledger"))
    if ledger != ledger_of(token):
        raise BadRecordError(f"the transaction {token} is said to be of ledger {ledger}")
    return token


def read_transaction_record(record: Record) -> TransactionRecord:
    """Read a transaction's record.

    The hash is that of the list endpoints: the outer one of a fee bump. Raises
    :class:`BadRecordError` or :class:`MetaAbsentError`.
    """
    found = _hash(record, "hash")
    bump, inner = record.get("fee_bump_transaction"), record.get("inner_transaction")
    outer = bump.get("hash") if isinstance(bump, dict) else None
    if outer is not None and outer != record["hash"]:
        raise BadRecordError(f"the fee bump {outer!r:.70} stands under its inner transaction's hash")
    if isinstance(inner, dict) and inner.get("hash") == record["hash"]:
        raise BadRecordError(f"a fee bump stands under its inner transaction's hash {found.hex()}")
    succeeded = record.get("successful")
    if not isinstance(succeeded, bool):
        raise BadRecordError(f"the transaction {found.hex()} does not tell whether it succeeded")
    if not record.get("result_meta_xdr"):
        raise MetaAbsentError(f"the transaction {found.hex()} has no result_meta_xdr")
    name = f"the transaction {found.hex()}"
    return TransactionRecord(
        found, _bytes(record, "result_xdr", name), _bytes(record, "result_meta_xdr", name), succeeded
    )


def read_envelope(record: Record) -> tuple[bytes, bytes]:
    """Return a transaction's hash and its ``TransactionEnvelope``; raise :class:`BadRecordError`."""
    found = _hash(record, "hash")
    return found, _bytes(record, "envelope_xdr", f"the transaction {found.hex()}")


def meta_is_empty(meta: bytes) -> bool:
    """Tell whether a ``TransactionMeta`` is the empty one that SKIP_TXMETA leaves behind, whatever its version.

    A successful transaction always changes ledger entries, its source's sequence number to begin
    with; in the empty meta the lists of changes and operations, which come first, are both empty.
    """
    version = int.from_bytes(meta[:4], "big")
    words = {0: 1, 1: 2, 2: 2, 3: 3, 4: 3}.get(version, 0)
    return words > 0 and meta[4 : 4 + 4 * words] == bytes(4 * words)


def _count(record: Record, key: str) -> int | None:
    count = whole_number(record.get(key))
    return count if count is not None and 0 <= count <= MAX_TX_ORDER else None


def _hash(record: Record, key: str) -> bytes:
    text = record.get(key)
    if not isinstance(text, str) or len(text) != 64 or not _HEX_DIGITS.issuperset(text):
        raise BadRecordError(f"a record's {key} is not a hash")
    return bytes.fromhex(text)


def _bytes(record: Record, key: str, name: str) -> bytes:
    text = record.get(key)
    try:
        raw = a2b_base64(text, strict_mode=True) if isinstance(text, str) else b""
    except (BinasciiError, ValueError):
        raw = b""
    if not raw or len(raw) & 3:
        raise BadRecordError(f"{name} has a {key} that is not XDR in base64")
    return raw
