"""A ledger put together from its header and its transactions, which Horizon hands out one by one."""

from __future__ import annotations

from collections.abc import Sequence

from stellarstream_core.xdr.ledger import Ledger, Transaction, read_transaction
from stellarstream_horizon.records import (
    BadRecordError,
    LedgerRecord,
    MetaAbsentError,
    Record,
    meta_is_empty,
    read_envelope,
    read_transaction_record,
)


def assemble(ledger: LedgerRecord, records: Sequence[Record]) -> Ledger:
    """Return the ledger of its transactions' records, which are all of them in apply order.

    Raises :class:`BadRecordError`, :class:`MetaAbsentError`, or ``XdrError`` (among them
    ``ProtocolUpgradeNeededError``).
    """
    transactions = [read_one(record, ledger.sequence) for record in records]
    succeeded = sum(transaction.succeeded for transaction in transactions)
    if (len(transactions), succeeded) != (ledger.transactions, ledger.succeeded):
        raise BadRecordError(
            f"ledger {ledger.sequence} has {succeeded} successful of {len(transactions)} transactions "
            f"and is said to have {ledger.succeeded} of {ledger.transactions}"
        )
    return Ledger(ledger.header, None, transactions)


def envelopes_of(records: Sequence[Record]) -> list[tuple[bytes, bytes]]:
    """Return hash and envelope of the first and the last transaction: what shows for which network they are signed."""
    return [read_envelope(record) for record in (*records[:1], *records[1:][-1:])]


def read_one(record: Record, sequence: int) -> Transaction:
    """Return one transaction of ledger ``sequence``; raises as :func:`assemble` does."""
    told = read_transaction_record(record)
    transaction = read_transaction(told.hash, told.result, told.meta, sequence)
    if transaction.succeeded != told.succeeded:
        raise BadRecordError(f"the transaction {told.hash.hex()} is said to have ended otherwise than its result says")
    untold = bool(transaction.invocations) and transaction.return_value is None
    if told.succeeded and (untold or meta_is_empty(told.meta)):
        raise MetaAbsentError(f"the transaction {told.hash.hex()} succeeded and its result_meta_xdr is empty")
    return transaction
