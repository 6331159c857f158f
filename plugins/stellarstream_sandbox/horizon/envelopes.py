"""What Horizon shows of a transaction's envelope, read from the shape that the sandbox gives all of its own."""

from __future__ import annotations

from typing import NamedTuple

from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, encode

_FEE_BUMP = 5
_MEMO_TEXT = 1
_SIGNATURE = 64
_ONE_SIGNATURE = 4 + 4 + 4 + _SIGNATURE
"""A list of one decorated signature: count, hint, length, signature."""


class Envelope(NamedTuple):
    """One envelope: accounts as G… ids, fees in stroops, times in Unix seconds, signatures as 64 bytes.

    ``max_fee`` and ``signature`` are those of the transaction itself, which a fee bump has inside;
    ``fee_account``, ``bump_max_fee`` and ``bump_signature`` are None where there is no fee bump.
    """

    source: str
    sequence: int
    max_fee: int
    min_time: int
    max_time: int
    memo: bytes | None
    signature: bytes
    fee_account: str | None = None
    bump_max_fee: int | None = None
    bump_signature: bytes | None = None


def read_envelope(xdr: bytes) -> Envelope:
    """Take a ``TransactionEnvelope`` of the sandbox apart: one signature each, time bounds, a text memo or none."""
    if _number(xdr, 0, 4) != _FEE_BUMP:
        return _read_transaction(xdr)
    inner = _read_transaction(xdr[48 : -_ONE_SIGNATURE - 4])
    return inner._replace(
        fee_account=_account(xdr[8:40]), bump_max_fee=_number(xdr, 40, 8), bump_signature=xdr[-_SIGNATURE:]
    )


def _read_transaction(xdr: bytes) -> Envelope:
    memo = None
    if _number(xdr, 72, 4) == _MEMO_TEXT:
        memo = xdr[80 : 80 + _number(xdr, 76, 4)]
    return Envelope(
        source=_account(xdr[8:40]),
        sequence=_number(xdr, 44, 8),
        max_fee=_number(xdr, 40, 4),
        min_time=_number(xdr, 56, 8),
        max_time=_number(xdr, 64, 8),
        memo=memo,
        signature=xdr[-_SIGNATURE:],
    )


def _number(xdr: bytes, at: int, size: int) -> int:
    return int.from_bytes(xdr[at : at + size], "big")


def _account(key: bytes) -> str:
    return encode(VERSION_ACCOUNT, key)
