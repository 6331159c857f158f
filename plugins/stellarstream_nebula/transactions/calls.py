"""The calls of both contract generations: their functions, and their arguments in the contracts' own order.

Arguments are XDR of ScVals. The signatures are those of the public StellarStream contracts (soroban-sdk 22).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stellarstream_core.api.problems import FieldError
from stellarstream_core.xdr.scval import Arm, ScValue, encode_scval
from stellarstream_nebula.model import V1, V2
from stellarstream_nebula.transactions.errors import InvalidTermsError, UnsupportedFieldError

MOST_I128 = 2**127 - 1
LAST_SECOND = 253_402_300_799
"""The end of the year 9999: later times cannot be written (RFC 3339)."""
_NANOSECONDS = 10**9
_SYMBOL = re.compile(r"[A-Za-z0-9_]{1,32}", re.ASCII)

_V1_RELAYED = """
    create_stream create_stream_with_milestones create_batch_streams
    withdraw cancel cancel_stream top_up_stream pause_stream resume_stream unpause_stream
    transfer_receiver transfer_receipt
    create_proposal approve_proposal execute_proposal create_request execute_request
"""
_V2_RELAYED = """
    create_stream create_batch_streams create_swap_stream
    withdraw cancel top_up refill_stream close_and_archive transfer_beneficiary split_stream
    propose_rate accept_rate cancel_rate_proposal
    initiate_stream_request approve_stream_request migrate_stream migrate_v1_stream
"""
RELAYED = {V1: frozenset(_V1_RELAYED.split()), V2: frozenset(_V2_RELAYED.split())}
"""The functions that a wallet may call through the service, by family: what those do who pay and are paid.

Administration is not among them, nor what V2 has for signatures given elsewhere: those calls take money
and, in the contract as it is public, store no stream.
"""


_TELLING = {
    V1: frozenset({"create_stream", "create_stream_with_milestones"}),
    V2: frozenset({"create_stream", "create_swap_stream", "cancel", "top_up", "transfer_beneficiary"}),
}
"""Functions that never succeed without an event of the contract. A V2 withdrawal may: where the vault fails."""

_SILENT_V1 = frozenset({"withdraw", "cancel", "cancel_stream", "transfer_receiver", "transfer_receipt"})


def is_silent(family: str, function: str) -> bool:
    """Tell whether a call changes the stream that its first argument names, and publishes nothing of it."""
    return family == V1 and function in _SILENT_V1


def is_telling(family: str, function: str) -> bool:
    """Tell whether a call that succeeds publishes an event of its contract in any case."""
    return function in _TELLING.get(family, ())


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a contract: ``arguments`` are XDR of ScVals."""

    contract: str
    family: str
    function: str
    arguments: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms of a stream to be created: gross ``amount``, times in Unix seconds.

    ``vault`` is where the money earns yield, None for no yield.
    """

    sender: str
    receiver: str
    token: str
    amount: int
    start: int
    cliff: int
    end: int
    vault: str | None = None
    memo: str | None = None


def create(contract: str, family: str, terms: Terms) -> Call:
    """Return the call that creates a stream.

    Raises :class:`UnsupportedFieldError` for what the generation has no place for,
    :class:`InvalidTermsError` for terms that no contract could take, and ``ValueError`` for a family that is not
    in :data:`RELAYED`.
    """
    if family not in RELAYED:
        raise ValueError(f"nobody knows how a contract of the family {family!r} is called")
    _check(family, terms)
    arguments = (_v2_arguments(terms),) if family == V2 else _v1_arguments(terms)
    return Call(contract, family, "create_stream", tuple(map(encode_scval, arguments)))


def withdraw(contract: str, family: str, stream_id: int, caller: str) -> Call:
    """Return the call that pays out everything withdrawable (V1 ``caller``, V2 ``beneficiary``)."""
    return Call(contract, family, "withdraw", (encode_scval(_u64(stream_id)), encode_scval(_address(caller))))


def cancel(contract: str, family: str, stream_id: int, caller: str) -> Call:
    """Return the call that cancels a stream."""
    return Call(contract, family, "cancel", (encode_scval(_u64(stream_id)), encode_scval(_address(caller))))


def _check(family: str, terms: Terms) -> None:
    if family != V2:
        if terms.vault is not None:
            raise UnsupportedFieldError("Streams of this contract earn no yield.", errors=[_yield()])
        if terms.memo is not None:
            raise UnsupportedFieldError("Streams of this contract have no memo.", errors=[_memo("is not supported")])
    if terms.memo is not None and not _SYMBOL.fullmatch(terms.memo):
        what = "may have 1 to 32 letters, digits and '_' (a Symbol)"
        raise UnsupportedFieldError("The contract cannot store this memo.", errors=[_memo(what)])
    wrong = []
    if not 0 < terms.amount <= MOST_I128:
        wrong.append(FieldError("body.amount", "must be from 1 to 2^127 - 1"))
    if terms.start < 0:
        wrong.append(FieldError("body.startTime", "lies before 1970"))
    last = min(LAST_SECOND, (2**64 - 1) // _NANOSECONDS) if family == V2 else LAST_SECOND
    if terms.end > last:  # V2 counts nanoseconds in 64 bits
        wrong.append(FieldError("body.duration", "ends later than the contract can count"))
    if not terms.start <= terms.cliff <= terms.end:
        wrong.append(FieldError("body.cliffTime", "does not lie between start and end"))
    if wrong:
        raise InvalidTermsError("A stream with these terms cannot be.", errors=wrong)


def _memo(what: str) -> FieldError:
    return FieldError("body.memo", what)


def _yield() -> FieldError:
    return FieldError("body.yieldEnabled", "is not supported")


def _v1_arguments(terms: Terms) -> tuple[ScValue, ...]:
    return (
        _address(terms.sender),
        _address(terms.receiver),
        _address(terms.token),
        _i128(terms.amount),
        _u64(terms.start),
        _u64(terms.cliff),
        _u64(terms.end),
        _u32(0),  # curve_type: linear
        ScValue(Arm.BOOL, False),  # is_soulbound
    )


def _v2_arguments(terms: Terms) -> ScValue:
    """Return ``StreamArgs``: a contract reads a struct from a map whose keys are in order."""
    fields = {
        "affiliate": _VOID,
        "cancellation_type": _u32(0),
        "cliff_time": _u64(terms.cliff),
        "cycle_duration": _u64(0),
        "end_time": _u64(terms.end),
        "is_recurrent": ScValue(Arm.BOOL, False),
        "memo": ScValue(Arm.SYMBOL, terms.memo) if terms.memo is not None else _VOID,
        "multiplier_bps": _i128(0),
        "penalty_bps": _u32(0),
        "receiver": _address(terms.receiver),
        "sender": _address(terms.sender),
        "split_address": _VOID,
        "split_bps": _u32(0),
        "start_time": _u64(terms.start),
        "step_duration": _i128(0),
        "token": _address(terms.token),
        "total_amount": _i128(terms.amount),
        "vault_address": _address(terms.vault) if terms.vault is not None else _VOID,
        "yield_enabled": ScValue(Arm.BOOL, terms.vault is not None),
        "yield_recipient": _u32(1),
    }
    return ScValue(Arm.MAP, tuple((ScValue(Arm.SYMBOL, name), fields[name]) for name in sorted(fields)))


_VOID = ScValue(Arm.VOID, None)


def _address(strkey: str) -> ScValue:
    return ScValue(Arm.ADDRESS, strkey)


def _u32(number: int) -> ScValue:
    return ScValue(Arm.U32, number)


def _u64(number: int) -> ScValue:
    return ScValue(Arm.U64, number)


def _i128(number: int) -> ScValue:
    return ScValue(Arm.I128, number)
