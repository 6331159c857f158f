"""Closing a ledger: charge the fees, apply the transactions, give refunds, write it all down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from stellarstream_core.events import AFTER_ALL_TXS, BEFORE_ALL_TXS, format_event_id
from stellarstream_sandbox.economy.activity import Call, Intent, Payment
from stellarstream_sandbox.economy.calls import Invocation, Outcome, Refused
from stellarstream_sandbox.economy.world import Account, World
from stellarstream_sandbox.get_events import EventRecord
from stellarstream_sandbox.ledger.entries import account_entry, change
from stellarstream_sandbox.ledger.envelopes import BASE_FEE, Signer, Transaction
from stellarstream_sandbox.ledger.header import HeaderChain
from stellarstream_sandbox.ledger.outcomes import (
    Applied,
    SorobanFees,
    failure_diagnostics,
    meta,
    processing,
    result_pair,
)
from stellarstream_sandbox.pack import ONE, ZERO, array, i64, u32, u64
from stellarstream_sandbox.scval import EncodedEvent, encode, encode_event

_LEDGER_CLOSE_META_V2 = u32(2)
_GENERALIZED_TX_SET_V1 = ONE
_PHASE_CLASSIC = ZERO
_PHASE_PARALLEL = ONE
_DISCOUNTED_FEE_COMPONENT = ZERO
_FEE_PER_WRITTEN_KB = 1_000
_SOROBAN_STATE_SIZE = 50_000_000

_REFUNDABLE = 60_000
_RENT = 3_000
_STROOPS_A_BYTE = 10


class TransactionRecord(NamedTuple):
    """What the transaction methods show of one transaction; flags and counts aside everything is XDR.

    ``operations`` counts those of the envelope. ``events`` has one list an operation and is empty
    where the transaction failed. ``fee_changes`` are the ``LedgerEntryChanges`` of charging the fee.
    """

    hash: bytes
    is_fee_bump: bool
    succeeded: bool
    operations: int
    envelope: bytes
    result: bytes
    meta: bytes
    transaction_events: Sequence[bytes]
    events: Sequence[Sequence[bytes]]
    diagnostics: Sequence[bytes]
    fee_changes: bytes

    @property
    def inner_hash(self) -> bytes | None:
        """The hash of the transaction inside a fee bump: it stands behind fee and code in the result."""
        return self.result[12:44] if self.is_fee_bump else None


class ClosedLedger(NamedTuple):
    """A closed ledger: its ``LedgerCloseMeta``, its header, and what is in it, taken apart."""

    sequence: int
    close_time: int
    hash: bytes
    header: bytes
    meta: bytes
    transactions: Sequence[TransactionRecord]
    events: Sequence[EventRecord]


@dataclass(slots=True)
class _Pending:
    """A transaction between the charging of fees and its result."""

    intent: Intent
    payer: Account
    inclusion_fee: int
    resource_fee: int
    fee_event: EncodedEvent
    fee_changes: list[bytes]


class LedgerCloser:
    """Closes one ledger after the other on a world."""

    def __init__(self, world: World, chain: HeaderChain) -> None:
        self.world = world
        self.chain = chain
        self._native = world.native.contract
        self._signer = Signer(world.directory)

    def close(self, sequence: int, close_time: int, intents: Sequence[Intent]) -> ClosedLedger:
        """Apply the transactions in this order and return the ledger."""
        pending = [self._charge(sequence, intent) for intent in intents]
        applied = [self._apply(sequence, close_time, one) for one in pending]
        for one in applied:
            self._refund(sequence, one)

        previous = self.chain.hash
        pairs, records, processed = [], [], []
        for one in applied:
            pair, result = result_pair(one)
            transaction_meta = meta(one)
            pairs.append(pair)
            processed.append(processing(one, pair, transaction_meta))
            records.append(_record(one, result, transaction_meta))
        tx_set = _transaction_set(previous, [one.transaction for one in applied])
        fees = sum(one.fee for one in applied)
        header = self.chain.append(sequence, close_time, sha256(tx_set).digest(), sha256(array(pairs)).digest(), fees)
        close_meta = b"".join(
            (
                _LEDGER_CLOSE_META_V2,
                ONE + ZERO + i64(_FEE_PER_WRITTEN_KB),
                self.chain.history_entry(header),
                tx_set,
                array(processed),
                ZERO,
                ZERO,
                u64(_SOROBAN_STATE_SIZE),
                ZERO,
            )
        )
        events = _event_records(sequence, close_time, applied)
        return ClosedLedger(sequence, close_time, self.chain.hash, header, close_meta, records, events)

    # --- fees before, transactions, refunds after -----------------------------------------

    def _charge(self, sequence: int, intent: Intent) -> _Pending:
        payer = self.world.accounts[intent.sponsor or intent.source]
        inclusion = BASE_FEE * (intent.operations if intent.sponsor is None else intent.operations + 1)
        resources = 0
        if isinstance(intent, Call):
            resources = _non_refundable(intent) + _REFUNDABLE
        before = self._entry(payer)
        self.world.bank.charge(self._native, payer.id, inclusion + resources)
        payer.modified = sequence
        event = encode_event(self.world.bank.fee_event(self._native, payer.id, inclusion + resources))
        return _Pending(intent, payer, inclusion, resources, event, change(before, self._entry(payer)))

    def _apply(self, sequence: int, close_time: int, pending: _Pending) -> Applied:
        intent = pending.intent
        source = self.world.accounts[intent.source]
        before_changes: list[bytes] = []
        if intent.sponsor is not None:
            entry = self._entry(pending.payer)
            before_changes += change(entry, entry)
        entry = self._entry(source)
        source.seq_num += 1
        source.seq_ledger, source.seq_time, source.modified = sequence, close_time, sequence
        before_changes += change(entry, self._entry(source))

        if isinstance(intent, Payment):
            return self._pay(sequence, close_time, pending, intent, before_changes)
        return self._call(sequence, close_time, pending, intent, before_changes)

    def _call(
        self, sequence: int, close_time: int, pending: _Pending, call: Call, before_changes: list[bytes]
    ) -> Applied:
        balances = self._balances()
        outcome: Outcome | None = None
        refused: Refused | None = None
        try:
            outcome = call.run(close_time)
        except Refused as error:
            refused = error
        applied = self._applied(
            close_time, pending, before_changes, [refused is None], outcome.pulls if outcome else ()
        )
        if outcome is not None:
            applied.operation_changes = [self._changed(sequence, balances)]
            applied.events = [[encode_event(event) for event in outcome.events]]
            applied.value = encode(outcome.value)
        if refused is not None:
            applied.diagnostics = failure_diagnostics(call, refused.code, refused.attempted)
        applied.soroban_fees = _soroban_fees(call, applied)
        return applied

    def _pay(
        self, sequence: int, close_time: int, pending: _Pending, payment: Payment, before_changes: list[bytes]
    ) -> Applied:
        """Pay each target in turn; where one payment fails, the others are undone."""
        bank, token, source = self.world.bank, payment.token.contract, payment.source
        modified = {account: account.modified for account in self.world.accounts.values()}
        outcomes: list[bool] = []
        events: list[list[EncodedEvent]] = []
        changes: list[list[bytes]] = []
        for target, amount in payment.transfers:
            balances = self._balances()
            try:
                event = bank.transfer(token, source, target, amount, payment.memo)
            except Refused:
                outcomes.append(False)
            else:
                outcomes.append(True)
                events.append([encode_event(event)])
                changes.append(self._changed(sequence, balances))
        applied = self._applied(close_time, pending, before_changes, outcomes)
        if applied.succeeded:
            applied.events, applied.operation_changes = events, changes
        else:
            for (target, amount), paid in zip(payment.transfers, outcomes, strict=True):
                if paid:
                    bank.transfer(token, target, source, amount)
            for account, ledger in modified.items():
                account.modified = ledger
        return applied

    def _applied(
        self,
        close_time: int,
        pending: _Pending,
        before_changes: list[bytes],
        outcomes: list[bool],
        pulls: Sequence[Invocation] = (),
    ) -> Applied:
        """Return the transaction signed, with its fees and nothing else of what it did."""
        seq_num = self.world.accounts[pending.intent.source].seq_num
        return Applied(
            self._signer.sign(pending.intent, seq_num, close_time, pending.resource_fee, pulls),
            outcomes,
            fee=pending.inclusion_fee + pending.resource_fee,
            fee_event=pending.fee_event,
            fee_changes=pending.fee_changes,
            before_changes=before_changes,
        )

    def _balances(self) -> list[int]:
        bank, native = self.world.bank, self._native
        return [bank.balance(native, account) for account in self.world.accounts]

    def _changed(self, sequence: int, before: list[int]) -> list[bytes]:
        """Return the changes of the accounts whose native balance is another than before.

        Trust lines and contract data are not simulated, so what happens to them has no changes.
        """
        changes = []
        for account, old, new in zip(self.world.accounts.values(), before, self._balances(), strict=True):
            if old != new:
                entry = account_entry(account, old)
                account.modified = sequence
                changes += change(entry, account_entry(account, new))
        return changes

    def _refund(self, sequence: int, applied: Applied) -> None:
        fees = applied.soroban_fees
        if fees is None:
            return
        refund = applied.transaction.resource_fee - fees.non_refundable - fees.refundable
        if refund == 0:
            return
        payer = self.world.accounts[applied.transaction.payer]
        before = self._entry(payer)
        self.world.bank.deposit(self._native, payer.id, refund)
        payer.modified = sequence
        applied.fee -= refund
        applied.refund_event = encode_event(self.world.bank.fee_event(self._native, payer.id, -refund))
        applied.refund_changes = change(before, self._entry(payer))

    def _entry(self, account: Account) -> bytes:
        return account_entry(account, self.world.bank.balance(self._native, account.id))


def _non_refundable(call: Call) -> int:
    return 25_000 + 400 * len(call.invocation.args)


def _soroban_fees(call: Call, applied: Applied) -> SorobanFees:
    """Return what a call's resources cost; refundable ones cost a failed call nothing."""
    if not applied.succeeded:
        return SorobanFees(_non_refundable(call), 0, 0)
    published = sum(len(event.xdr) for event in applied.events[0])
    refundable = min(_RENT + _STROOPS_A_BYTE * published, _REFUNDABLE)
    return SorobanFees(_non_refundable(call), refundable, _RENT)


def _record(applied: Applied, result: bytes, transaction_meta: bytes) -> TransactionRecord:
    transaction = applied.transaction
    return TransactionRecord(
        transaction.hash,
        transaction.inner_hash is not None,
        applied.succeeded,
        transaction.intent.operations,
        transaction.envelope,
        result,
        transaction_meta,
        applied.transaction_events(),
        [[event.xdr for event in events] for events in applied.events],
        applied.diagnostics,
        array(applied.fee_changes),
    )


def _transaction_set(previous: bytes, transactions: Sequence[Transaction]) -> bytes:
    """Return a ``GeneralizedTransactionSet``: a classic phase and a parallel one with a single cluster.

    Inside both the transactions stand in the order of their envelopes' sha256, not in apply order.
    """
    classic = _by_hash([one.envelope for one in transactions if not one.is_soroban])
    soroban = _by_hash([one.envelope for one in transactions if one.is_soroban])
    base_fee = ONE + i64(BASE_FEE)
    components = ONE + _DISCOUNTED_FEE_COMPONENT + base_fee + array(classic) if classic else ZERO
    stages = ONE + ONE + array(soroban) if soroban else ZERO
    phases = u32(2) + _PHASE_CLASSIC + components + _PHASE_PARALLEL + base_fee + stages
    return _GENERALIZED_TX_SET_V1 + previous + phases


def _by_hash(envelopes: list[bytes]) -> list[bytes]:
    return sorted(envelopes, key=lambda envelope: sha256(envelope).digest())


def _event_records(sequence: int, close_time: int, applied: Sequence[Applied]) -> list[EventRecord]:
    """Return a ledger's events in id order, numbered as stellar-rpc numbers them since v23.

    Fees count through the whole ledger, an operation's events inside it; the apply order counts
    from 1, failed transactions included.
    """
    hashes = [one.transaction.hash.hex() for one in applied]

    def record(tx: int, op: int, counter: int, tx_hash: str, event: EncodedEvent) -> EventRecord:
        return EventRecord(
            format_event_id(sequence, tx, op, counter),
            event.event.type.value,
            event.event.contract,
            tx_hash,
            close_time,
            event.topics,
            event.value,
        )

    records = [
        record(BEFORE_ALL_TXS, 0, counter, tx_hash, one.fee_event)
        for counter, (tx_hash, one) in enumerate(zip(hashes, applied, strict=True))
    ]
    for order, (tx_hash, one) in enumerate(zip(hashes, applied, strict=True), 1):
        for op, events in enumerate(one.events):
            records += [record(order, op, counter, tx_hash, event) for counter, event in enumerate(events)]
    refunds = [
        (tx_hash, one.refund_event)
        for tx_hash, one in zip(hashes, applied, strict=True)
        if one.refund_event is not None
    ]
    records += [record(AFTER_ALL_TXS, 0, counter, tx_hash, event) for counter, (tx_hash, event) in enumerate(refunds)]
    return records
