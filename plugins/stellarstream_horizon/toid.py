"""Places in history as Horizon's paging tokens name them (SEP-35): ledger, transaction, operation in one number."""

from __future__ import annotations

_TRANSACTION = 1 << 12
_LEDGER = 1 << 32


def ledger_token(sequence: int) -> int:
    """Return a ledger's paging token; as a cursor of transactions it stands before the ledger's first one."""
    return sequence * _LEDGER


def transaction_token(sequence: int, order: int) -> int:
    """Return the paging token of the ``order``-th transaction (from 1) that the ledger applied."""
    return sequence * _LEDGER + order * _TRANSACTION


def ledger_of(token: int) -> int:
    """Return the ledger of a paging token."""
    return token // _LEDGER


def before(token: int) -> int:
    """Return the cursor after which a transaction comes first: the token of the one before it."""
    return token - _TRANSACTION


def after_ledger(sequence: int) -> int:
    """Return the cursor after all that a ledger holds.

    A ledger's own token would do as well but for a server's oldest ledger: there Horizon takes it for
    one before its history and begins at the oldest ledger once more (``validateCursorWithinHistory``).
    """
    return ledger_token(sequence + 1) - 1
