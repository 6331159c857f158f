"""What a transaction came to: its result and its meta, as they stand in a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from stellarstream_core.xdr.strkey import decode
from stellarstream_sandbox import values as v
from stellarstream_sandbox.economy.activity import Call
from stellarstream_sandbox.economy.calls import Event, Refused
from stellarstream_sandbox.ledger.envelopes import Transaction
from stellarstream_sandbox.pack import ONE, ZERO, array, i32, i64, option, u32
from stellarstream_sandbox.scval import EncodedEvent, encode_event

_TX_SUCCESS = i32(0)
_TX_FAILED = i32(-1)
_TX_FEE_BUMP_INNER_SUCCESS = i32(1)
_TX_FEE_BUMP_INNER_FAILED = i32(-13)
_OP_INNER = ZERO
_OP_PAYMENT = u32(1)
_OP_INVOKE_HOST_FUNCTION = u32(24)
_PAYMENT_UNDERFUNDED = i32(-2)
_INVOKE_TRAPPED = i32(-2)
_META_V4 = u32(4)
_BEFORE_ALL_TXS = ZERO
_AFTER_ALL_TXS = u32(2)


@dataclass(frozen=True, slots=True)
class SorobanFees:
    """What a contract call's resources cost in stroops; ``rent`` is a part of ``refundable``."""

    non_refundable: int
    refundable: int
    rent: int


@dataclass(slots=True)
class Applied:
    """A transaction after its turn.

    ``outcomes`` tells of each operation whether it worked: one that did not undoes the others. ``results`` are
    their ``OperationResult`` XDR where the transaction is a wallet's, which may fail in more ways than ours.
    ``events`` are those of each operation (none where the transaction failed), ``value`` the XDR of
    what a call returned, ``diagnostics`` the XDR of what only a node's own log has. ``fee`` is what
    its payer paid in the end, in stroops. Changes are ``LedgerEntryChange`` XDR.
    """

    transaction: Transaction
    outcomes: Sequence[bool]
    fee: int
    fee_event: EncodedEvent
    events: Sequence[Sequence[EncodedEvent]] = ()
    value: bytes | None = None
    refund_event: EncodedEvent | None = None
    soroban_fees: SorobanFees | None = None
    diagnostics: Sequence[bytes] = ()
    fee_changes: Sequence[bytes] = ()
    before_changes: Sequence[bytes] = ()
    operation_changes: Sequence[Sequence[bytes]] = ()
    refund_changes: Sequence[bytes] = ()
    results: Sequence[bytes] | None = None

    @property
    def succeeded(self) -> bool:
        """Whether every operation did."""
        return all(self.outcomes)

    def transaction_events(self) -> list[bytes]:
        """Return the ``TransactionEvent`` XDR: the fee, and what of it came back after all transactions."""
        events = [_BEFORE_ALL_TXS + self.fee_event.xdr]
        if self.refund_event is not None:
            events.append(_AFTER_ALL_TXS + self.refund_event.xdr)
        return events


def success_hash(value: bytes, events: Sequence[EncodedEvent]) -> bytes:
    """Return what a successful call's result holds: the hash over its value and its events.

    It is the one proof that a ledger gives of the events' completeness: sha256 of an
    ``InvokeHostFunctionSuccessPreImage``.
    """
    return sha256(value + array([event.xdr for event in events])).digest()


def result_pair(applied: Applied) -> tuple[bytes, bytes]:
    """Return a transaction's ``TransactionResultPair`` and, out of it, its ``TransactionResult``."""
    transaction = applied.transaction
    results = applied.results
    if results is None:
        results = [_OP_INNER + _operation_result(applied, succeeded) for succeeded in applied.outcomes]
    operations = array(results)
    code = _TX_SUCCESS if applied.succeeded else _TX_FAILED
    if transaction.inner_hash is None:
        result = i64(applied.fee) + code + operations + ZERO
    else:
        # The inner result says nothing of fees: the outer one was charged.
        inner = transaction.inner_hash + i64(0) + code + operations + ZERO
        outer = _TX_FEE_BUMP_INNER_SUCCESS if applied.succeeded else _TX_FEE_BUMP_INNER_FAILED
        result = i64(applied.fee) + outer + inner + ZERO
    return transaction.hash + result, result


def _operation_result(applied: Applied, succeeded: bool) -> bytes:
    if not applied.transaction.is_soroban:
        return _OP_PAYMENT + (ZERO if succeeded else _PAYMENT_UNDERFUNDED)
    if applied.value is None:
        return _OP_INVOKE_HOST_FUNCTION + _INVOKE_TRAPPED
    return _OP_INVOKE_HOST_FUNCTION + ZERO + success_hash(applied.value, applied.events[0])


def meta(applied: Applied) -> bytes:
    """Return a transaction's ``TransactionMeta`` (V4, as every core since protocol 23 writes it).

    A failed transaction has no operation meta, and so no contract events; its fee event it has.
    """
    operations = [
        ZERO + array(changes) + array([event.xdr for event in events])
        for changes, events in zip(applied.operation_changes, applied.events, strict=True)
    ]
    return b"".join(
        (
            _META_V4,
            ZERO,
            array(applied.before_changes),
            array(operations),
            ZERO,
            option(_soroban_meta(applied)),
            array(applied.transaction_events()),
            array(applied.diagnostics),
        )
    )


def _soroban_meta(applied: Applied) -> bytes | None:
    fees = applied.soroban_fees
    if fees is None:
        return None
    extension = ONE + ZERO + i64(fees.non_refundable) + i64(fees.refundable) + i64(fees.rent)
    return extension + option(applied.value)


def processing(applied: Applied, pair: bytes, transaction_meta: bytes) -> bytes:
    """Return a transaction's ``TransactionResultMetaV1``."""
    return b"".join((ZERO, pair, array(applied.fee_changes), transaction_meta, array(applied.refund_changes)))


def failure_diagnostics(call: Call, refused: Refused) -> list[bytes]:
    """Return the ``DiagnosticEvent`` XDR of a refused call.

    What the contract had published before it gave up is among them with its type ``contract``:
    whoever takes events from here takes some that never happened.
    """
    invocation = call.invocation
    called = Event(
        invocation.contract,
        (v.Symbol("fn_call"), v.Bytes(decode(invocation.contract)[1]), v.Symbol(invocation.function)),
        v.Vec(invocation.args),
    )
    error = Event(
        invocation.contract,
        (v.Symbol("error"), refused.error),
        v.Text(b"escalating error to VM trap"),
    )
    return [
        ZERO + _diagnostic(called),
        *(ZERO + encode_event(event).xdr for event in refused.attempted),
        ZERO + _diagnostic(error),
    ]


def _diagnostic(event: Event) -> bytes:
    raw = encode_event(event).xdr
    return raw[:40] + u32(2) + raw[44:]  # the type stands behind extension, presence and contract id
