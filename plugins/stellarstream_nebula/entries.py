"""A stream's ledger entry: its key, and out of its XDR what the contract stores.

V1 keeps all streams in the contract's instance, under ``Vec[Symbol STR_CNT, U64 id]``. V2 keeps each in a persistent
entry of its own, under ``Vec[Symbol Stream, U64 id]``, with its flags packed into one number. Both are read exactly:
a field too many, too few or of another type is :class:`StreamEntryError`, because a layout that is not known
cannot be read without guessing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stellarstream_core.errors import StellarStreamError, XdrError
from stellarstream_core.xdr.scval import Arm, ContractInstance, ScValue, decode_scval, encode_scval
from stellarstream_core.xdr.strkey import contract_id_bytes
from stellarstream_nebula.model import Curve, StreamFacts

V1_STREAM = "STR_CNT"
"""The first part of the key under which V1's instance holds a stream."""
V2_STREAM = "Stream"
"""The first part of a V2 stream's key."""

_CONTRACT_DATA = (6).to_bytes(4, "big")
"""``LedgerEntryType`` CONTRACT_DATA, with which both ``LedgerKey`` and ``LedgerEntryData`` begin."""
_NO_EXTENSION = bytes(4)
_CONTRACT_ADDRESS = (1).to_bytes(4, "big")
_PERSISTENT = (1).to_bytes(4, "big")
_ADDRESS_END = 4 + 4 + 32

_ACTIVE, _PAUSED, _CLOSED = range(3)
"""V1's ``StreamState``."""
_CANCELLED, _PENDING = 1, 2
"""The status in V2's ``packed_meta``: 0 is active, 2 waits for its vault and is no less open."""


class StreamEntryError(StellarStreamError):
    """A ledger entry is not a stream of a layout that this release knows."""

    code = "stream-entry"
    title = "Unreadable stream entry"
    help = "The contract may be of a newer release than this one knows: upgrade stellarstream."


# --- keys -----------------------------------------------------------------------------------


def instance_key(contract_id: str) -> bytes:
    """Return the XDR of the ``LedgerKey`` of a contract's instance, which holds all V1 streams."""
    return _ledger_key(contract_id, ScValue(Arm.LEDGER_KEY_CONTRACT_INSTANCE, None))


def v2_stream_key(contract_id: str, stream_id: int) -> bytes:
    """Return the XDR of the ``LedgerKey`` of a V2 stream."""
    return _ledger_key(contract_id, _numbered(V2_STREAM, stream_id))


def _ledger_key(contract_id: str, key: ScValue) -> bytes:
    address = _CONTRACT_ADDRESS + contract_id_bytes(contract_id)
    return _CONTRACT_DATA + address + encode_scval(key) + _PERSISTENT


def _numbered(name: str, number: int) -> ScValue:
    return ScValue(Arm.VEC, (ScValue(Arm.SYMBOL, name), ScValue(Arm.U64, number)))


# --- entries --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class V1Streams:
    """The streams of a V1 contract by id; ``unreadable`` are those whose layout is not known, with why."""

    facts: Mapping[int, StreamFacts]
    unreadable: Mapping[int, StreamEntryError]


def read_v1_instance(key: bytes, data: bytes, ledger: int, stream_ids: Collection[int] | None = None) -> V1Streams:
    """Read a V1 contract's instance entry, as true at ``ledger``.

    ``key`` is :func:`instance_key`, ``data`` the XDR of its ``LedgerEntryData``. ``stream_ids`` are those to read (all
    where None); one that is not there is ``missing``. Raises :class:`StreamEntryError` where the entry is no instance.
    """
    value = _decoded(entry_value(key, data))
    if value.arm is not Arm.CONTRACT_INSTANCE or not isinstance(value.value, ContractInstance):
        raise StreamEntryError("The entry is not a contract's instance.")
    facts: dict[int, StreamFacts] = {}
    unreadable: dict[int, StreamEntryError] = {}
    for name, stored in value.value.storage or ():
        number = _stream_number(name)
        if number is None or (stream_ids is not None and number not in stream_ids):
            continue
        try:
            facts[number] = _v1_facts(stored, ledger)
        except StreamEntryError as error:
            unreadable[number] = error
    for number in stream_ids or ():
        if number not in facts and number not in unreadable:
            facts[number] = StreamFacts(ledger=ledger, missing=True)
    return V1Streams(facts, unreadable)


def read_v2_entry(key: bytes, data: bytes, ledger: int) -> StreamFacts:
    """Read a V2 stream's entry (``StoredStreamV2``), as true at ``ledger``; raise :class:`StreamEntryError`.

    ``key`` is :func:`v2_stream_key`, ``data`` the XDR of its ``LedgerEntryData``.
    """
    return read_stored_v2(entry_value(key, data), ledger)


def entry_value(key: bytes, data: bytes) -> bytes:
    """Return the XDR of the ScVal that a contract-data entry holds; raise :class:`StreamEntryError`.

    The entry repeats its key (``ContractDataEntry``: extension, contract, key, durability, value), so what is left
    after it is the value.
    """
    head = _CONTRACT_DATA + _NO_EXTENSION + key[4:]
    if key[:4] != _CONTRACT_DATA or len(key) <= _ADDRESS_END or not data.startswith(head):
        raise StreamEntryError("The ledger entry is not the contract data that its key names.")
    return data[len(head) :]


def read_stored_v2(value: bytes, ledger: int) -> StreamFacts:
    """Read the XDR of a ``StoredStreamV2``, as true at ``ledger``; raise :class:`StreamEntryError`."""
    stream = _Struct(_decoded(value), _STORED_V2)
    packed = stream.number("packed_meta")
    status = packed & 0xFF
    if status > _PENDING:
        raise StreamEntryError(f"The stream has the status {status}, which is not known.")
    facts = _v2_facts(stream, ledger, penalty_bps=packed >> 8 & 0xFFFFFFFF, curve_type=packed >> 40 & 0xFF)
    return replace(
        facts,
        closed=status == _CANCELLED,
        yield_enabled=bool(packed >> 49 & 1),
    )


# --- layouts --------------------------------------------------------------------------------

_V1 = {
    "sender": Arm.ADDRESS,
    "receiver": Arm.ADDRESS,
    "token": Arm.ADDRESS,
    "total_amount": Arm.I128,
    "start_time": Arm.U64,
    "cliff_time": Arm.U64,
    "end_time": Arm.U64,
    "withdrawn": Arm.I128,
    "withdrawn_amount": Arm.I128,
    "receipt_owner": Arm.ADDRESS,
    "paused_time": Arm.U64,
    "total_paused_duration": Arm.U64,
    "milestones": Arm.VEC,
    "curve_type": Arm.U32,
    "interest_strategy": Arm.U32,
    "vault_address": (Arm.ADDRESS, Arm.VOID),
    "deposited_principal": Arm.I128,
    "metadata": (Arm.BYTES, Arm.VOID),
    "is_usd_pegged": Arm.BOOL,
    "usd_amount": Arm.I128,
    "oracle_address": Arm.ADDRESS,
    "oracle_max_staleness": Arm.U64,
    "price_min": Arm.I128,
    "price_max": Arm.I128,
    "is_soulbound": Arm.BOOL,
    "clawback_enabled": Arm.BOOL,
    "arbiter": (Arm.ADDRESS, Arm.VOID),
    "is_frozen": Arm.BOOL,
    "state": Arm.U32,
}

_STORED_V2 = {
    "sender": Arm.ADDRESS,
    "receiver": Arm.ADDRESS,
    "beneficiary": Arm.ADDRESS,
    "token": Arm.ADDRESS,
    "total_amount": Arm.I128,
    "start_time": Arm.U64,
    "end_time": Arm.U64,
    "cliff_time": Arm.U64,
    "withdrawn_amount": Arm.I128,
    "v1_stream_id": Arm.U64,
    "step_duration": Arm.I128,
    "multiplier_bps": Arm.I128,
    "vault_address": (Arm.ADDRESS, Arm.VOID),
    "cycle_duration": Arm.U64,
    "yield_recipient": Arm.U32,
    "split_address": (Arm.ADDRESS, Arm.VOID),
    "split_bps": Arm.U32,
    "packed_meta": Arm.U128,
}


class _Struct:
    """A struct's fields, of exactly the layout that was asked for."""

    def __init__(self, value: ScValue, layout: Mapping[str, Any]) -> None:
        if value.arm is not Arm.MAP or value.value is None:
            raise StreamEntryError("The stream is not a struct.")
        self._fields: dict[str, ScValue] = {}
        for key, field in value.value:
            name = key.value
            if key.arm is not Arm.SYMBOL or not isinstance(name, str) or name in self._fields:
                raise StreamEntryError("The stream is not a struct.")
            allowed = layout.get(name)
            if allowed is None:
                raise StreamEntryError(f"The stream has a field {name!r:.40}, which is not known.")
            if field.arm not in (allowed if isinstance(allowed, tuple) else (allowed,)):
                raise StreamEntryError(f"The stream's field {name!r} has the type {field.arm.name.lower()}.")
            self._fields[name] = field
        for name in layout:
            if name not in self._fields:
                raise StreamEntryError(f"The stream has no field {name!r}.")

    def number(self, name: str) -> int:
        return int(self._fields[name].value)

    def truth(self, name: str) -> bool:
        return bool(self._fields[name].value)

    def text(self, name: str) -> str:
        return str(self._fields[name].value)

    def maybe_text(self, name: str) -> str | None:
        value = self._fields[name].value
        return None if value is None else str(value)


def _v1_facts(value: ScValue, ledger: int) -> StreamFacts:
    stream = _Struct(value, _V1)
    state, curve = stream.number("state"), stream.number("curve_type")
    if state not in {_ACTIVE, _PAUSED, _CLOSED} or curve not in {0, 1}:
        raise StreamEntryError(f"The stream has the state {state} and the curve {curve}; one of them is not known.")
    return StreamFacts(
        ledger=ledger,
        sender=stream.text("sender"),
        receiver=stream.text("receiver"),
        beneficiary=stream.text("receiver"),
        token=stream.text("token"),
        total=stream.number("total_amount"),
        start=stream.number("start_time"),
        cliff=stream.number("cliff_time"),
        end=stream.number("end_time"),
        withdrawn=stream.number("withdrawn_amount"),
        closed=state == _CLOSED,
        frozen=stream.truth("is_frozen"),
        curve=Curve.EXPONENTIAL if curve else Curve.LINEAR,
        vault=stream.maybe_text("vault_address"),
    )


def _v2_facts(stream: _Struct, ledger: int, *, penalty_bps: int, curve_type: int) -> StreamFacts:
    step_duration = stream.number("step_duration")
    curve = Curve.EXPONENTIAL if curve_type == 1 else Curve.LINEAR  # the contract takes any other number as linear
    return StreamFacts(
        ledger=ledger,
        sender=stream.text("sender"),
        receiver=stream.text("receiver"),
        beneficiary=stream.text("beneficiary"),
        token=stream.text("token"),
        total=stream.number("total_amount"),
        start=stream.number("start_time"),
        cliff=stream.number("cliff_time"),
        end=stream.number("end_time"),
        withdrawn=stream.number("withdrawn_amount"),
        curve=Curve.STEPS if step_duration > 0 else curve,
        step_duration=step_duration,
        multiplier_bps=stream.number("multiplier_bps"),
        penalty_bps=penalty_bps,
        vault=stream.maybe_text("vault_address"),
        split_address=stream.maybe_text("split_address"),
        split_bps=stream.number("split_bps"),
    )


def _stream_number(key: ScValue) -> int | None:
    """Return the id in a V1 stream's storage key; None where it is another key."""
    if key.arm is not Arm.VEC or key.value is None or len(key.value) != 2:
        return None
    name, number = key.value
    if name != ScValue(Arm.SYMBOL, V1_STREAM) or number.arm is not Arm.U64:
        return None
    return int(number.value)


def _decoded(raw: bytes) -> ScValue:
    try:
        return decode_scval(raw)
    except XdrError as error:
        raise StreamEntryError(f"The ledger entry cannot be read: {error.message}") from None
