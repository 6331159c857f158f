"""Whether a transaction may be applied in a ledger: what stellar-core checks before it takes one into its queue.

The order of the checks is the node's own, because the first fault is what the sender hears of.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from stellarstream_sandbox.economy.world import Account, World
from stellarstream_sandbox.ledger.fees import BASE_FEE, BASE_RESERVE, non_refundable_fee
from stellarstream_sandbox.pack import ZERO, array, i32, i64, u32
from stellarstream_sandbox.submission.incoming import (
    OP_INVOKE_HOST_FUNCTION,
    ChangeTrust,
    CreateAccount,
    Incoming,
    Invoke,
    Operation,
    Pay,
)
from stellarstream_sandbox.submission.signatures import LOW, MEDIUM, SignatureCheck, signers_of

MAX_OPERATIONS = 100


class TxCode(IntEnum):
    """``TransactionResultCode``."""

    FEE_BUMP_INNER_SUCCESS = 1
    SUCCESS = 0
    FAILED = -1
    TOO_EARLY = -2
    TOO_LATE = -3
    MISSING_OPERATION = -4
    BAD_SEQ = -5
    BAD_AUTH = -6
    INSUFFICIENT_BALANCE = -7
    NO_ACCOUNT = -8
    INSUFFICIENT_FEE = -9
    BAD_AUTH_EXTRA = -10
    FEE_BUMP_INNER_FAILED = -13
    BAD_MIN_SEQ_AGE_OR_GAP = -15
    MALFORMED = -16
    SOROBAN_INVALID = -17


OP_INNER = ZERO
OP_BAD_AUTH = i32(-1)
OP_NO_ACCOUNT = i32(-2)
OP_NOT_SUPPORTED = i32(-3)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a transaction is not taken: its code, and with ``FAILED`` the ``OperationResult`` of each operation."""

    code: TxCode
    operations: tuple[bytes, ...] = ()

    def body(self) -> bytes:
        """Return what stands in a result behind the fee: code, operations, extension."""
        results = array(self.operations) if self.code is TxCode.FAILED else b""
        return i32(self.code) + results + ZERO

    def result(self, tx: Incoming) -> bytes:
        """Return the ``TransactionResult`` for the sender; its fee is what would have been charged."""
        return i64(inclusion_fee(tx) + resource_fee(tx)) + self.body()


@dataclass(frozen=True, slots=True)
class InnerRejection(Rejection):
    """A fee bump that is in order around a transaction that is not."""

    def result(self, tx: Incoming) -> bytes:
        """Return the ``TransactionResult``, with the inner one in it."""
        inner = tx.content_hash + i64(0) + self.body()
        return i64(inclusion_fee(tx) + resource_fee(tx)) + i32(TxCode.FEE_BUMP_INNER_FAILED) + inner + ZERO


def resource_fee(tx: Incoming) -> int:
    """Return the declared fee for resources in stroops; 0 for a classic transaction."""
    return tx.soroban.resource_fee if tx.soroban is not None else 0


def inclusion_fee(tx: Incoming) -> int:
    """Return what being included costs in stroops: a fee bump counts as one operation more."""
    return BASE_FEE * (len(tx.operations) + (tx.bump_fee is not None))


def judge(world: World, tx: Incoming, sequence: int, close_time: int) -> Rejection | None:
    """Return why the transaction cannot be applied in the ledger of this sequence and close time, None where it can."""
    if tx.bump_fee is None:
        return _judge_transaction(world, tx, sequence, close_time)
    fault = _judge_fee_bump(world, tx)
    if fault is not None:
        return Rejection(fault)
    inner = _judge_transaction(world, tx, sequence, close_time)
    return None if inner is None else InnerRejection(inner.code, inner.operations)


def available(world: World, account: Account) -> int:
    """Return what an account may spend of its native balance, in stroops: the reserve must stay."""
    reserve = BASE_RESERVE * (2 + len(account.signers))
    return world.bank.balance(world.native.contract, account.id) - reserve


def _judge_fee_bump(world: World, tx: Incoming) -> TxCode | None:
    bid = (tx.bump_fee or 0) - resource_fee(tx)
    inner_bid = tx.fee - resource_fee(tx)
    units = len(tx.operations) + 1
    # the fee rate must not be lower than the one inside
    if bid < inclusion_fee(tx) or bid * len(tx.operations) < inner_bid * units:
        return TxCode.INSUFFICIENT_FEE
    payer = world.accounts.get(tx.payer)
    if payer is None:
        return TxCode.NO_ACCOUNT
    check = SignatureCheck(tx.hash, tx.bump_signatures)
    if not check.allows(signers_of(payer), payer.thresholds[LOW]):
        return TxCode.BAD_AUTH
    if available(world, payer) < inclusion_fee(tx) + resource_fee(tx):
        return TxCode.INSUFFICIENT_BALANCE
    return None if check.all_used else TxCode.BAD_AUTH_EXTRA


def _judge_transaction(world: World, tx: Incoming, sequence: int, close_time: int) -> Rejection | None:
    fault = _form_fault(tx) or _time_fault(tx, sequence, close_time)
    if fault is None and tx.bump_fee is None and tx.fee - resource_fee(tx) < inclusion_fee(tx):
        fault = TxCode.INSUFFICIENT_FEE
    if fault is not None:
        return Rejection(fault)
    source = world.accounts.get(tx.source)
    if source is None:
        return Rejection(TxCode.NO_ACCOUNT)
    if fault := _sequence_fault(tx, source, sequence, close_time):
        return Rejection(fault)
    check = SignatureCheck(tx.content_hash, tx.signatures)
    allowed = check.allows(signers_of(source), source.thresholds[LOW])
    if not allowed or not all(check.allows([(key, 1)], 1) for key in tx.preconditions.extra_signers):
        return Rejection(TxCode.BAD_AUTH)
    if tx.bump_fee is None and available(world, source) < inclusion_fee(tx) + resource_fee(tx):
        return Rejection(TxCode.INSUFFICIENT_BALANCE)
    faults = [_operation_fault(world, operation, check) for operation in tx.operations]
    if any(faults):
        results = [fault or _unjudged(one) for fault, one in zip(faults, tx.operations, strict=True)]
        return Rejection(TxCode.FAILED, tuple(results))
    return None if check.all_used else Rejection(TxCode.BAD_AUTH_EXTRA)


def _form_fault(tx: Incoming) -> TxCode | None:
    if not tx.operations:
        return TxCode.MISSING_OPERATION
    if len(tx.operations) > MAX_OPERATIONS:
        return TxCode.MALFORMED
    if tx.is_soroban != (tx.soroban is not None) or (tx.is_soroban and len(tx.operations) > 1):
        return TxCode.MALFORMED
    if tx.soroban is None:
        return None
    # the full fee of a fee bump was checked with it
    if tx.soroban.resource_fee < 0 or (tx.bump_fee is None and tx.soroban.resource_fee > tx.fee):
        return TxCode.SOROBAN_INVALID
    operation = tx.operations[0]
    call = operation.call if isinstance(operation, Invoke) else None
    if call is not None and tx.soroban.resource_fee < non_refundable_fee(len(call.args)):
        return TxCode.SOROBAN_INVALID
    return None


def _time_fault(tx: Incoming, sequence: int, close_time: int) -> TxCode | None:
    bounds = tx.preconditions
    if bounds.min_time > close_time or bounds.min_ledger > sequence:
        return TxCode.TOO_EARLY
    if 0 < bounds.max_time < close_time or 0 < bounds.max_ledger <= sequence:
        return TxCode.TOO_LATE
    return None


def _sequence_fault(tx: Incoming, source: Account, sequence: int, close_time: int) -> TxCode | None:
    bounds = tx.preconditions
    if bounds.min_sequence is None:
        in_order = tx.sequence == source.seq_num + 1
    else:
        in_order = bounds.min_sequence <= source.seq_num < tx.sequence
    if not in_order:
        return TxCode.BAD_SEQ
    too_young = close_time - source.seq_time < bounds.min_sequence_age
    if too_young or sequence - source.seq_ledger < bounds.min_sequence_gap:
        return TxCode.BAD_MIN_SEQ_AGE_OR_GAP
    return None


def _operation_fault(world: World, operation: Operation, check: SignatureCheck) -> bytes | None:
    """Return the ``OperationResult`` of an operation that can never work, None where it may."""
    if not isinstance(operation, CreateAccount | Pay | ChangeTrust | Invoke):
        return OP_NOT_SUPPORTED
    if isinstance(operation, Invoke) and operation.call is None:
        return OP_NOT_SUPPORTED
    if isinstance(operation, ChangeTrust) and operation.asset is None:
        return OP_NOT_SUPPORTED
    source = world.accounts.get(operation.source)
    if source is None:
        return OP_NO_ACCOUNT
    if not check.allows(signers_of(source), source.thresholds[MEDIUM]):
        return OP_BAD_AUTH
    return OP_INNER + u32(operation.type) + i32(-1) if _is_malformed(operation) else None


def _is_malformed(operation: Operation) -> bool:
    if isinstance(operation, Pay):
        return operation.amount <= 0
    if isinstance(operation, CreateAccount):
        return operation.balance < 0 or operation.target == operation.source
    if isinstance(operation, ChangeTrust):
        return operation.limit < 0 or operation.issuer is None
    return isinstance(operation, Invoke) and operation.call is not None and not operation.call.is_of_contract


def _unjudged(operation: Operation) -> bytes:
    """Return how an operation stands in a result that another one spoilt: as if it had worked."""
    rest = bytes(32) if operation.type == OP_INVOKE_HOST_FUNCTION else b""
    return OP_INNER + u32(operation.type) + ZERO + rest
