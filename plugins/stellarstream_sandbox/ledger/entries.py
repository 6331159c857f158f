"""Ledger entries of accounts, and how a ledger's meta shows their changes."""

from __future__ import annotations

from stellarstream_sandbox.economy.world import Account
from stellarstream_sandbox.identity import account_id
from stellarstream_sandbox.pack import ONE, ZERO, array, i64, u32, u64

_TYPE_ACCOUNT = ZERO
_CREATED = ZERO
_UPDATED = u32(1)
_STATE = u32(3)
_NO_INFLATION_FLAGS_DOMAIN = ZERO * 3
_NO_LIABILITIES = ONE + i64(0) * 2
_NO_SPONSORED_ENTRIES = u32(2) + ZERO * 2
_SEQUENCE_NOTES = u32(3) + ZERO
"""The extension that notes when the sequence number changed."""


def account_data(account: Account, balance: int) -> bytes:
    """Return an account as the XDR of a ``LedgerEntryData``; ``balance`` in stroops."""
    signers = account.signers
    return b"".join(
        (
            _TYPE_ACCOUNT,
            account_id(account.id),
            i64(balance),
            i64(account.seq_num),
            u32(len(signers)),
            _NO_INFLATION_FLAGS_DOMAIN,
            account.thresholds,
            array([key + u32(weight) for key, weight in signers]),
            _NO_LIABILITIES,
            _NO_SPONSORED_ENTRIES,
            array([ZERO] * len(signers)),  # nobody sponsors a signer
            _SEQUENCE_NOTES,
            u32(account.seq_ledger),
            u64(account.seq_time),
        )
    )


def account_entry(account: Account, balance: int) -> bytes:
    """Return an account as the XDR of a ``LedgerEntry``; ``balance`` in stroops."""
    return u32(account.modified) + account_data(account, balance) + ZERO


def change(before: bytes, after: bytes) -> list[bytes]:
    """Return the two ``LedgerEntryChange`` of an entry that was updated."""
    return [_STATE + before, _UPDATED + after]


def created(entry: bytes) -> bytes:
    """Return the ``LedgerEntryChange`` of an entry that is new."""
    return _CREATED + entry
