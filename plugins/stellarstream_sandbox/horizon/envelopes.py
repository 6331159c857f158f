"""What Horizon shows of a transaction's envelope.

The sandbox gives all envelopes of its own one shape, which is read where it stands: a page has two hundred of them.
What wallets hand in has any shape, and is taken apart by :mod:`stellarstream_sandbox.submission.incoming`.
"""

from __future__ import annotations

from typing import NamedTuple

from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, encode
from stellarstream_sandbox import values as v
from stellarstream_sandbox.pack import ONE, ZERO, u32
from stellarstream_sandbox.submission.incoming import Incoming, Preconditions, read_envelope

_TX = u32(2)
_FEE_BUMP = u32(5)
_MEMO_TEXT = 1
_SIGNATURE = 64
_ONE_SIGNATURE = 4 + 4 + 4 + _SIGNATURE
"""A list of one decorated signature: count, hint, length, signature."""


class Envelope(NamedTuple):
    """One envelope: accounts as G… ids, fees in stroops, signatures as they are.

    ``max_fee`` and ``signatures`` are those of the transaction itself, which a fee bump has inside;
    ``fee_account`` and ``bump_max_fee`` are None where there is no fee bump. ``preconditions`` is None where
    there are none.
    """

    source: str
    sequence: int
    max_fee: int
    preconditions: Preconditions | None
    memo_type: str
    memo: v.Value | None
    signatures: tuple[bytes, ...]
    fee_account: str | None = None
    bump_max_fee: int | None = None
    bump_signatures: tuple[bytes, ...] = ()


def envelope_of(xdr: bytes) -> Envelope:
    """Take a ``TransactionEnvelope`` of the sandbox's ledgers apart."""
    if xdr[:4] != _FEE_BUMP:
        return _read_own(xdr) if _is_own(xdr) else _of_wallet(xdr)
    inner = xdr[48 : -_ONE_SIGNATURE - 4]
    if not (_ends_in_one_signature(xdr) and xdr[4:8] == ZERO and _is_own(inner)):
        return _of_wallet(xdr)
    return _read_own(inner)._replace(
        fee_account=_account(xdr[8:40]), bump_max_fee=_number(xdr, 40, 8), bump_signatures=(xdr[-_SIGNATURE:],)
    )


def _is_own(xdr: bytes) -> bool:
    """Tell the sandbox's own shape: a plain source, time bounds, a text for a memo or none, one signature."""
    return xdr[:8] == _TX + ZERO and xdr[52:56] == ONE and xdr[72:76] in {ZERO, ONE} and _ends_in_one_signature(xdr)


def _ends_in_one_signature(xdr: bytes) -> bool:
    tail = xdr[-_ONE_SIGNATURE:]
    return tail[:4] == ONE and tail[8:12] == u32(_SIGNATURE)


def _read_own(xdr: bytes) -> Envelope:
    memo = None
    if _number(xdr, 72, 4) == _MEMO_TEXT:
        memo = v.Text(xdr[80 : 80 + _number(xdr, 76, 4)])
    return Envelope(
        source=_account(xdr[8:40]),
        sequence=_number(xdr, 44, 8),
        max_fee=_number(xdr, 40, 4),
        preconditions=Preconditions(_number(xdr, 56, 8), _number(xdr, 64, 8)),
        memo_type="none" if memo is None else "text",
        memo=memo,
        signatures=(xdr[-_SIGNATURE:],),
    )


def _of_wallet(xdr: bytes) -> Envelope:
    tx = read_envelope(xdr, b"")  # hashes do not matter here
    return Envelope(
        source=tx.source,
        sequence=tx.sequence,
        max_fee=tx.fee,
        preconditions=None if tx.preconditions == Preconditions() else tx.preconditions,
        memo_type=_memo_type(tx),
        memo=tx.memo,
        signatures=tuple(one.raw for one in tx.signatures),
        fee_account=None if tx.bump_fee is None else tx.payer,
        bump_max_fee=tx.bump_fee,
        bump_signatures=tuple(one.raw for one in tx.bump_signatures),
    )


def _memo_type(tx: Incoming) -> str:
    match tx.memo:
        case None:
            return "none"
        case v.Text():
            return "text"
        case v.U64():
            return "id"
    return "return" if tx.returns else "hash"


def _number(xdr: bytes, at: int, size: int) -> int:
    return int.from_bytes(xdr[at : at + size], "big")


def _account(key: bytes) -> str:
    return encode(VERSION_ACCOUNT, key)
