"""Telling a ``LedgerKey`` from bytes that are none, as a node does before it looks for an entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum

from stellarstream_core.errors import XdrError
from stellarstream_core.xdr.scval import decode_scval
from stellarstream_sandbox.pack import ONE, ZERO, u32


class EntryType(IntEnum):
    """``LedgerEntryType``."""

    ACCOUNT = 0
    TRUSTLINE = 1
    OFFER = 2
    DATA = 3
    CLAIMABLE_BALANCE = 4
    LIQUIDITY_POOL = 5
    CONTRACT_DATA = 6
    CONTRACT_CODE = 7
    CONFIG_SETTING = 8
    TTL = 9


_ACCOUNT_ID = 36
_HASH = 32
_MAX_NAME = 64
_CONFIG_SETTINGS = 21
"""How many ``ConfigSettingID`` protocol 28 has."""
_ASSETS = {ZERO: 0, ONE: 4 + _ACCOUNT_ID, u32(2): 12 + _ACCOUNT_ID, u32(3): _HASH}
"""Bytes after the type of a ``TrustLineAsset``: native, a code of four or of twelve and its issuer, a pool."""
_ADDRESSES = {ZERO: _ACCOUNT_ID, ONE: _HASH, u32(2): 40, u32(3): 4 + _HASH, u32(4): _HASH}
"""Bytes after the type of an ``SCAddress``: account, contract, muxed account, claimable balance, pool."""


def entry_type(key: bytes) -> EntryType | None:
    """Return which kind of entry the XDR of a ``LedgerKey`` stands for; None where the bytes are no such key."""
    try:
        kind = EntryType(int.from_bytes(key[:4], "big"))
    except ValueError:
        return None
    return kind if len(key) % 4 == 0 and len(key) > 4 and _CHECKS[kind](key[4:]) else None


def _is_account_id(raw: bytes) -> bool:
    return len(raw) == _ACCOUNT_ID and raw[:4] == ZERO


def _is_hash(raw: bytes) -> bool:
    return len(raw) == _HASH


def _is_trust_line(raw: bytes) -> bool:
    asset = raw[_ACCOUNT_ID:]
    if not _is_account_id(raw[:_ACCOUNT_ID]) or _ASSETS.get(asset[:4]) != len(asset) - 4:
        return False
    return asset[:4] not in {ONE, u32(2)} or _is_account_id(asset[-_ACCOUNT_ID:])


def _is_offer(raw: bytes) -> bool:
    return len(raw) == _ACCOUNT_ID + 8 and _is_account_id(raw[:_ACCOUNT_ID])


def _is_data(raw: bytes) -> bool:
    name = raw[_ACCOUNT_ID:]
    size = int.from_bytes(name[:4], "big")
    fits = len(name) >= 4 and size <= _MAX_NAME and len(name) == 4 + (size + 3 & -4)
    return fits and _is_account_id(raw[:_ACCOUNT_ID]) and not any(name[4 + size :])


def _is_contract_data(raw: bytes) -> bool:
    size = _ADDRESSES.get(raw[:4])
    if size is None:
        return False
    address, value, durability = raw[4 : 4 + size], raw[4 + size : -4], raw[-4:]
    if raw[:4] in {ZERO, u32(3)} and address[:4] != ZERO:
        return False
    try:
        decode_scval(value)
    except XdrError:
        return False
    return durability in {ZERO, ONE}


_CHECKS: Mapping[EntryType, Callable[[bytes], bool]] = {
    EntryType.ACCOUNT: _is_account_id,
    EntryType.TRUSTLINE: _is_trust_line,
    EntryType.OFFER: _is_offer,
    EntryType.DATA: _is_data,
    EntryType.CLAIMABLE_BALANCE: lambda raw: len(raw) == 4 + _HASH and raw[:4] == ZERO,
    EntryType.LIQUIDITY_POOL: _is_hash,
    EntryType.CONTRACT_DATA: _is_contract_data,
    EntryType.CONTRACT_CODE: _is_hash,
    EntryType.CONFIG_SETTING: lambda raw: len(raw) == 4 and int.from_bytes(raw, "big") < _CONFIG_SETTINGS,
    EntryType.TTL: _is_hash,
}
