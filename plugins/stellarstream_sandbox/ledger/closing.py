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
from stellarstream_sandbox.ledger.changes import AccountChanges
from stellarstream_sandbox.ledger.entries import change
from stellarstream_sandbox.ledger.envelopes import Signer, Transaction
from stellarstream_sandbox.ledger.fees import BASE_FEE, RENT, non_refundable_fee, refundable_fee
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
from stellarstream_sandbox.submission.admission import inclusion_fee, resource_fee
from stellarstream_sandbox.submission.applying import WalletTransactions, transaction_of
from stellarstream_sandbox.submission.incoming import Incoming

_LEDGER_CLOSE_META_V2 = u32(2)
_GENERALIZED_TX_SET_V1 = ONE
_PHASE_CLASSIC = ZERO
_PHASE_PARALLEL = ONE
_DISCOUNTED_FEE_COMPONENT = ZERO
_FEE_PER_WRITTEN_KB = 1_000
_SOROBAN_STATE_SIZE = 50_000_000

_REFUNDABLE = 60_000


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

    intent: Intent | Incoming
    payer: Account
    inclusion_fee: int
    resource_fee: int
    fee_event: EncodedEvent
    fee_changes: list[bytes]


class LedgerCloser:
    """Closes one ledger after the other on a world.

    ``touched`` is the last ledger in which each contract was called or published an event.
    """

    def __init__(self, world: World, chain: HeaderChain) -> None:
        self.world = world
        self.chain = chain
        self.changes = AccountChanges(world)
        self._native = world.native.contract
        self._signer = Signer(world.directory)
        self.wallets = WalletTransactions(world, self.changes)
        self.touched: dict[str, int] = {}

    def close(
        self, sequence: int, close_time: int, intents: Sequence[Intent], incoming: Sequence[Incoming] = ()
    ) -> ClosedLedger:
        """Apply the transactions in this order and return the ledger.

        Those of wallets come before the network's own: the classic ones first, the contract calls between the
        others' payments and calls. They must have been judged to be in order.
        """
        payments = [intent for intent in intents if isinstance(intent, Payment)]
        calls = [intent for intent in intents if isinstance(intent, Call)]
        wallets_payments = [tx for tx in incoming if not tx.is_soroban]
        wallets_calls = [tx for tx in incoming if tx.is_soroban]
        order: list[Intent | Incoming] = [*wallets_payments, *payments, *wallets_calls, *calls]
        pending = [self._charge(sequence, one) for one in order]
        applied = [self._apply(sequence, close_time, one) for one in pending]
        for one in applied:
            self._refund(sequence, one)

        self._touch(sequence, pending, applied)

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

    def _touch(self, sequence: int, pending: Sequence[_Pending], applied: Sequence[Applied]) -> None:
        for one, done in zip(pending, applied, strict=True):
            if done.value is None:
                continue
            if isinstance(one.intent, Call):
                self.touched[one.intent.invocation.contract] = sequence
            for event in done.events[0]:
                self.touched[event.event.contract] = sequence
            if isinstance(one.intent, Incoming):
                self.touched.update((contract, sequence) for contract in one.intent.contracts)

    # --- fees before, transactions, refunds after -----------------------------------------

    def _charge(self, sequence: int, intent: Intent | Incoming) -> _Pending:
        if isinstance(intent, Incoming):
            payer, inclusion, resources = intent.payer, inclusion_fee(intent), resource_fee(intent)
        else:
            payer = intent.sponsor or intent.source
            inclusion = BASE_FEE * (intent.operations if intent.sponsor is None else intent.operations + 1)
            resources = 0
            if isinstance(intent, Call):
                resources = non_refundable_fee(len(intent.invocation.args)) + _REFUNDABLE
        account = self.world.accounts[payer]
        before = self.changes.entry(account)
        self.world.bank.charge(self._native, payer, inclusion + resources)
        account.modified = sequence
        event = encode_event(self.world.bank.fee_event(self._native, payer, inclusion + resources))
        return _Pending(intent, account, inclusion, resources, event, change(before, self.changes.entry(account)))

    def _apply(self, sequence: int, close_time: int, pending: _Pending) -> Applied:
        intent = pending.intent
        source = self.world.accounts[intent.source]
        before_changes: list[bytes] = []
        if (intent.bump_fee if isinstance(intent, Incoming) else intent.sponsor) is not None:
            entry = self.changes.entry(pending.payer)
            before_changes += change(entry, entry)
        entry = self.changes.entry(source)
        source.seq_num = intent.sequence if isinstance(intent, Incoming) else source.seq_num + 1
        source.seq_ledger, source.seq_time, source.modified = sequence, close_time, sequence
        before_changes += change(entry, self.changes.entry(source))

        if isinstance(intent, Incoming):
            applied = Applied(
                transaction_of(intent),
                (),
                fee=pending.inclusion_fee + pending.resource_fee,
                fee_event=pending.fee_event,
                fee_changes=pending.fee_changes,
                before_changes=before_changes,
            )
            self.wallets.apply(sequence, close_time, intent, applied)
            return applied
        if isinstance(intent, Payment):
            return self._pay(sequence, close_time, pending, intent, before_changes)
        return self._call(sequence, close_time, pending, intent, before_changes)

    def _call(
        self, sequence: int, close_time: int, pending: _Pending, call: Call, before_changes: list[bytes]
    ) -> Applied:
        balances = self.changes.balances()
        outcome: Outcome | None = None
        refused: Refused | None = None
        try:
            outcome = call.run(close_time)
        except Refused as error:
            refused = error
        applied = self._applied(
            close_time, pending, call, before_changes, [refused is None], outcome.pulls if outcome else ()
        )
        if outcome is not None:
            applied.operation_changes = [self.changes.since(sequence, balances)]
            applied.events = [[encode_event(event) for event in outcome.events]]
            applied.value = encode(outcome.value)
        if refused is not None:
            applied.diagnostics = failure_diagnostics(call, refused)
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
            balances = self.changes.balances()
            try:
                event = bank.transfer(token, source, target, amount, payment.memo)
            except Refused:
                outcomes.append(False)
            else:
                outcomes.append(True)
                events.append([encode_event(event)])
                changes.append(self.changes.since(sequence, balances))
        applied = self._applied(close_time, pending, payment, before_changes, outcomes)
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
        intent: Intent,
        before_changes: list[bytes],
        outcomes: list[bool],
        pulls: Sequence[Invocation] = (),
    ) -> Applied:
        """Return the transaction signed, with its fees and nothing else of what it did."""
        seq_num = self.world.accounts[intent.source].seq_num
        return Applied(
            self._signer.sign(intent, seq_num, close_time, pending.resource_fee, pulls),
            outcomes,
            fee=pending.inclusion_fee + pending.resource_fee,
            fee_event=pending.fee_event,
            fee_changes=pending.fee_changes,
            before_changes=before_changes,
        )

    def _refund(self, sequence: int, applied: Applied) -> None:
        fees = applied.soroban_fees
        if fees is None:
            return
        refund = applied.transaction.resource_fee - fees.non_refundable - fees.refundable
        if refund == 0:
            return
        payer = self.world.accounts[applied.transaction.payer]
        before = self.changes.entry(payer)
        self.world.bank.deposit(self._native, payer.id, refund)
        payer.modified = sequence
        applied.fee -= refund
        applied.refund_event = encode_event(self.world.bank.fee_event(self._native, payer.id, -refund))
        applied.refund_changes = change(before, self.changes.entry(payer))


def _soroban_fees(call: Call, applied: Applied) -> SorobanFees:
    """Return what a call's resources cost; refundable ones cost a failed call nothing."""
    non_refundable = non_refundable_fee(len(call.invocation.args))
    if not applied.succeeded:
        return SorobanFees(non_refundable, 0, 0)
    published = sum(len(event.xdr) for event in applied.events[0])
    return SorobanFees(non_refundable, min(refundable_fee(published), _REFUNDABLE), RENT)


def _record(applied: Applied, result: bytes, transaction_meta: bytes) -> TransactionRecord:
    transaction = applied.transaction
    return TransactionRecord(
        transaction.hash,
        transaction.inner_hash is not None,
        applied.succeeded,
        transaction.operations,
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
