"""Watermarks: moved on inside the commit, by what the commit adds and what lies behind it.

The invariant: after each commit a contract's watermark is the last ledger of its unbroken coverage
from its first wanted ledger. A commit therefore looks only at contracts whose watermark stands just
before or inside what it adds.
"""

from __future__ import annotations

from stellarstream_core.ranges import LedgerRange
from stellarstream_sql import statements
from stellarstream_sql.backend import Transaction
from stellarstream_sql.coverage import Sets, sets_of


def advance(transaction: Transaction, sets: Sets, piece: LedgerRange, members: frozenset[str] | None) -> None:
    """Move on the watermarks that stand just before or inside newly covered ledgers.

    ``members`` are the contracts they are covered for; None is everything. Contracts that stand at
    the same ledger and lie in the same sets are moved by one walk.
    """
    touched: dict[tuple[int, tuple[int, ...]], list[str]] = {}
    for contract, watermark in transaction.all(statements.STATES_AT, (piece.first - 1, piece.last - 1)):
        if members is None or contract in members:
            touched.setdefault((watermark, sets_of(contract, sets)), []).append(contract)
    for (_, holding), contracts in touched.items():
        reached = _reach(transaction, holding, piece.last)
        transaction.many(statements.MOVE_WATERMARK, [(reached, contract, reached) for contract in sorted(contracts)])


def begin(transaction: Transaction, sets: Sets, contract: str, start: int) -> None:
    """Note a contract's first wanted ledger, unless it has one, with the watermark that coverage gives it."""
    if not transaction.all(statements.STATE_OF, (contract,)):
        reached = _reach(transaction, sets_of(contract, sets), start - 1)
        transaction.run(statements.INSERT_STATE, (contract, start, reached))


def _reach(transaction: Transaction, holding: tuple[int, ...], reached: int) -> int:
    """Return the last ledger of the unbroken coverage by some sets that goes on after ``reached``, run by run."""
    if not holding:
        return reached
    sql = statements.furthest_run(len(holding))
    while (further := transaction.all(sql, (*holding, reached + 1, reached + 1))[0][0]) is not None:
        reached = int(further)
    return reached
