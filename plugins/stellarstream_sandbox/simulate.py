"""What stellar-rpc v28 answers to ``simulateTransaction``: what a call would do, without a trace.

A node simulates at the clock's time, which lies between the last ledger and the next. Here a call that only reads
sees the state at the close time of ``latestLedger``, so that it is true at the ledger it names; a call that changes
something is tried at the close time of the next ledger, the first that could apply it.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, decode
from stellarstream_sandbox.economy.keys import account_key
from stellarstream_sandbox.economy.world import World
from stellarstream_sandbox.ledger.fees import non_refundable_fee, refundable_fee
from stellarstream_sandbox.pack import ZERO, array, i64, u32
from stellarstream_sandbox.params import format_fault, invalid, text
from stellarstream_sandbox.scval import encode_event
from stellarstream_sandbox.send import envelope_bytes
from stellarstream_sandbox.submission.authorisation import Checker, Nonces, Recorded, record
from stellarstream_sandbox.submission.diagnostics import Failure, host_error
from stellarstream_sandbox.submission.incoming import (
    OP_EXTEND_FOOTPRINT_TTL,
    OP_RESTORE_FOOTPRINT,
    Incoming,
    Invocation,
    Invoke,
    MalformedEnvelopeError,
    Operation,
    read_envelope,
)
from stellarstream_sandbox.submission.invoking import Success, attempt, nonroot

_ENFORCE, _RECORD, _RECORD_ALLOW_NONROOT = "enforce", "record", "record_allow_nonroot"
_MODES = (_ENFORCE, _RECORD, _RECORD_ALLOW_NONROOT)
_INSTRUCTIONS = 2_500_000
_MAX_INSTRUCTIONS = 100_000_000
_INSTRUCTIONS_A_STROOP = 400
_READ_BYTES = 1_000
_WRITE_BYTES = 2_000
_MARGIN = 115
"""Percent of what a call's refundable resources cost that are recommended."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a simulation takes place: the last ledger, and its and the next one's close time in Unix seconds."""

    latest: int
    closed_at: int
    next_close: int


def simulate_transaction(
    params: Mapping[str, Any], moment: Moment, world: World, network: bytes, nonces: Nonces
) -> dict[str, Any]:
    """Answer ``simulateTransaction``. What is wrong is told under ``error`` of a result, not as an error of its own."""
    if (fault := format_fault(text(params, "xdrFormat"))) is not None:
        return _error(fault)
    if text(params, "xdrFormat") == "json":
        return _error("xdrFormat 'json' is not supported by this simulated node: use base64")
    try:
        tx = read_envelope(envelope_bytes(text(params, "transaction")), network)
    except MalformedEnvelopeError:
        return _error("Could not unmarshal transaction")
    if len(tx.operations) != 1:
        return _error("Transaction contains more than one operation")
    (operation,) = tx.operations
    mode = text(params, "authMode")
    if (fault := _mode_fault(operation, mode)) is not None:
        return _error(fault)
    if not isinstance(operation, Invoke):
        return _error("this simulated node archives no entry: there is nothing to extend or to restore", moment.latest)
    if operation.call is None:
        return _error("this simulated node runs no code: contracts cannot be uploaded or created", moment.latest)
    if not operation.call.is_of_contract:
        return _error(Failure(host_error("Value", "UnexpectedType"), ()).text, moment.latest)
    leeway = _leeway(params)
    return _simulate(tx, operation, operation.call, mode, leeway, moment, world, nonces)


def _simulate(
    tx: Incoming,
    operation: Invoke,
    call: Invocation,
    mode: str,
    leeway: int,
    moment: Moment,
    world: World,
    nonces: Nonces,
) -> dict[str, Any]:
    enforces = mode == _ENFORCE or (not mode and bool(operation.auth))
    checker = Checker(world, operation.auth, operation.source, moment.latest + 1, nonces) if enforces else None
    result = attempt(world, call, moment.next_close, checker, reads_at=moment.closed_at)
    if isinstance(result, Success) and not enforces and mode != _RECORD_ALLOW_NONROOT:
        result = nonroot(call, result) or result
    if isinstance(result, Failure):
        events = [_base64(event.failed_xdr) for event in result.log]
        return {**_error(result.text, moment.latest), "events": events}
    recorded = Recorded((), ())
    if not enforces:
        salt = sha256(tx.hash + u32(moment.latest)).digest()
        recorded = record(result.demands, operation.source, salt)
    fee = _resource_fee(call, result, leeway)
    data = _transaction_data(operation, result, recorded, leeway, fee)
    return {
        "transactionData": _base64(data),
        "events": [_base64(event.xdr) for event in result.log],
        "minResourceFee": str(fee),
        "results": [{"auth": [_base64(entry) for entry in recorded.entries], "xdr": _base64(result.value)}],
        "latestLedger": moment.latest,
    }


def _mode_fault(operation: Operation, mode: str) -> str | None:
    if mode not in {"", *_MODES}:
        return f"optional 'authMode' must be one of {','.join(_MODES)} when included"
    if isinstance(operation, Invoke):
        if operation.auth and mode in {_RECORD, _RECORD_ALLOW_NONROOT}:
            return f"cannot set authMode to '{mode}' with an auth footprint"
        return None
    if operation.type not in {OP_EXTEND_FOOTPRINT_TTL, OP_RESTORE_FOOTPRINT}:
        return f"transaction contains unsupported operation type: {operation.name}"
    return "cannot set authMode with non-InvokeHostFunction operations" if mode else None


def _leeway(params: Mapping[str, Any]) -> int:
    config = params.get("resourceConfig")
    if config is None:
        return 0
    leeway = config.get("instructionLeeway", 0) if isinstance(config, dict) else None
    if type(leeway) is not int or not 0 <= leeway < 2**64:
        raise invalid("invalid parameters: resourceConfig.instructionLeeway must be an unsigned number")
    return min(leeway, _MAX_INSTRUCTIONS)


def _resource_fee(call: Invocation, result: Success, leeway: int) -> int:
    """Return what a transaction should declare: what the call costs, and some more, as a node recommends."""
    published = sum(len(encode_event(event).xdr) for event in result.outcome.events)
    margin = refundable_fee(published) * _MARGIN // 100
    return non_refundable_fee(len(call.args)) + margin + leeway // _INSTRUCTIONS_A_STROOP


def _transaction_data(operation: Invoke, result: Success, recorded: Recorded, leeway: int, fee: int) -> bytes:
    """Return the ``SorobanTransactionData``: the entries that are touched, and the nonces of authorisations."""
    read_only, read_write = result.footprint
    signers = [account_key(one.address) for one in result.demands if _signs_apart(one.address, operation.source)]
    loaded = [key for key in dict.fromkeys(signers) if key not in read_only and key not in read_write]
    keys = array([*read_only, *loaded]) + array([*read_write, *recorded.nonces])
    instructions = min(_INSTRUCTIONS + leeway, _MAX_INSTRUCTIONS)
    return ZERO + keys + u32(instructions) + u32(_READ_BYTES) + u32(_WRITE_BYTES) + i64(fee)


def _signs_apart(address: str, source: str) -> bool:
    """Tell whether an account authorises by a signature of its own, for which its entry is read."""
    return address != source and decode(address)[0] == VERSION_ACCOUNT


def _error(message: str, latest: int = 0) -> dict[str, Any]:
    return {"error": message, "latestLedger": latest}


def _base64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode("ascii")
