"""Contract values and events as XDR bytes."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from stellarstream_core.xdr.strkey import (
    VERSION_ACCOUNT,
    VERSION_CLAIMABLE_BALANCE,
    VERSION_CONTRACT,
    VERSION_LIQUIDITY_POOL,
    VERSION_MUXED_ACCOUNT,
    decode,
)
from stellarstream_sandbox import values as v
from stellarstream_sandbox.economy.calls import Event, EventType
from stellarstream_sandbox.pack import ONE, ZERO, array, i64, opaque, u32, u64


def encode(value: v.Value) -> bytes:
    """Return the XDR of an ``SCVal``."""
    return _ENCODERS[type(value)](value)


@lru_cache(maxsize=4096)
def address(strkey: str) -> bytes:
    """Return the XDR of an ``SCAddress``."""
    version, payload = decode(strkey)
    if version == VERSION_ACCOUNT:
        return u32(0) + ZERO + payload
    if version == VERSION_CONTRACT:
        return u32(1) + payload
    if version == VERSION_MUXED_ACCOUNT:  # the strkey has the key first, the XDR the id
        return u32(2) + payload[32:] + payload[:32]
    if version == VERSION_CLAIMABLE_BALANCE:  # the strkey has the union's arm in one byte
        return u32(3) + u32(payload[0]) + payload[1:]
    if version == VERSION_LIQUIDITY_POOL:
        return u32(4) + payload
    raise ValueError(f"{strkey} is no address a contract can hold")


@lru_cache(maxsize=4096)
def symbol(name: str) -> bytes:
    """Return the XDR of an ``SCSymbol`` (not of the ``SCVal`` that holds one)."""
    return opaque(name.encode("ascii"))


@lru_cache(maxsize=8192)
def base64(raw: bytes) -> str:
    """Return base64; topics repeat so much that remembering them is faster, and shares the strings."""
    return b2a_base64(raw, newline=False).decode("ascii")


class EncodedEvent(NamedTuple):
    """An event's XDR, and the pieces of it that ``getEvents`` shows."""

    xdr: bytes
    event: Event
    topics: tuple[str, ...]
    value: str


def encode_event(event: Event) -> EncodedEvent:
    """Return an event as ``ContractEvent`` XDR with base64 topics and value."""
    topics = [encode(topic) for topic in event.topics]
    data = encode(event.data)
    raw = b"".join(
        (
            ZERO,
            ONE,
            address(event.contract)[4:],
            u32(0 if event.type is EventType.SYSTEM else 1),
            ZERO,
            array(topics),
            data,
        )
    )
    return EncodedEvent(
        raw, event, tuple(base64(topic) for topic in topics), b2a_base64(data, newline=False).decode("ascii")
    )


def _wide(arm: int, words: int) -> Callable[[Any], bytes]:
    head = u32(arm)
    size = words * 8

    def encode_wide(value: v.U128 | v.I128 | v.U256 | v.I256) -> bytes:
        return head + (value.number & (1 << 64 * words) - 1).to_bytes(size, "big")

    return encode_wide


def _symbol_value(value: v.Symbol) -> bytes:
    return _SYMBOL + symbol(value.name)


def _address_value(value: v.Address) -> bytes:
    return _ADDRESS + address(value.strkey)


def _vec(value: v.Vec) -> bytes:
    return _VEC + u32(len(value.items)) + b"".join([encode(item) for item in value.items])


def _map(value: v.Map) -> bytes:
    return _MAP + _entries(value.entries)


def _entries(entries: Sequence[tuple[v.Value, v.Value]]) -> bytes:
    parts = [u32(len(entries))]
    for key, item in entries:
        parts.append(encode(key))
        parts.append(encode(item))
    return b"".join(parts)


def _instance(value: v.Instance) -> bytes:
    executable = ONE if value.wasm is None else ZERO + value.wasm
    return _INSTANCE + executable + (ONE + _entries(value.storage) if value.storage else ZERO)


_SYMBOL = u32(15)
_ADDRESS = u32(18)
_VEC = u32(16) + ONE
_MAP = u32(17) + ONE
_INSTANCE = u32(19)
_INSTANCE_KEY = u32(20)

_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    v.Bool: lambda value: u32(0) + (ONE if value.truth else ZERO),
    v.Void: lambda _value: u32(1),
    v.ContractError: lambda value: u32(2) + u32(0) + u32(value.code),
    v.HostError: lambda value: u32(2) + u32(value.type) + u32(value.code),
    v.U32: lambda value: u32(3) + u32(value.number),
    v.I32: lambda value: u32(4) + u32(value.number & 0xFFFFFFFF),
    v.U64: lambda value: u32(5) + u64(value.number),
    v.I64: lambda value: u32(6) + i64(value.number),
    v.Timepoint: lambda value: u32(7) + u64(value.seconds),
    v.Duration: lambda value: u32(8) + u64(value.seconds),
    v.U128: _wide(9, 2),
    v.I128: _wide(10, 2),
    v.U256: _wide(11, 4),
    v.I256: _wide(12, 4),
    v.Bytes: lambda value: u32(13) + opaque(value.raw),
    v.Text: lambda value: u32(14) + opaque(value.raw),
    v.Symbol: _symbol_value,
    v.Vec: _vec,
    v.Map: _map,
    v.Address: _address_value,
    v.Instance: _instance,
    v.InstanceKey: lambda _value: _INSTANCE_KEY,
}
