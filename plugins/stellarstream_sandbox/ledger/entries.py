"""Ledger entries of accounts, and how a ledger's meta shows their changes."""

from __future__ import annotations

from stellarstream_sandbox.economy.world import Account
from stellarstream_sandbox.identity import account_id
from stellarstream_sandbox.pack import ONE, ZERO, i64, u32, u64

_TYPE_ACCOUNT = ZERO
_UPDATED = u32(1)
_STATE = u32(3)
_THRESHOLDS = b"\1\0\0\0"
_NO_INFLATION_FLAGS_DOMAIN = ZERO * 3
_EXTENSIONS = ONE + i64(0) * 2 + u32(2) + ZERO * 3 + u32(3) + ZERO
"""No liabilities, nothing sponsored, and the version that notes when the sequence number changed."""


def account_entry(account: Account, balance: int) -> bytes:
    """Return an account as the XDR of a ``LedgerEntry``; ``balance`` in stroops."""
    return b"".join(
        (
            u32(account.modified),
            _TYPE_ACCOUNT,
            account_id(account.id),
            i64(balance),
            i64(account.seq_num),
            ZERO,
            _NO_INFLATION_FLAGS_DOMAIN,
            _THRESHOLDS,
            ZERO,
            _EXTENSIONS,
            u32(account.seq_ledger),
            u64(account.seq_time),
            ZERO,
        )
    )


def change(before: bytes, after: bytes) -> list[bytes]:
    """Return the two ``LedgerEntryChange`` of an entry that was updated."""
    return [_STATE + before, _UPDATED + after]
