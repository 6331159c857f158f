"""What stellar-rpc v28 answers to ``getLedgerEntries``, for accounts: the one kind of entry there is here.

Keys of every other kind are checked as a node checks them, and then answered as entries that do not exist.
"""

from __future__ import annotations

from binascii import Error as BinasciiError
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any

from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, encode
from stellarstream_sandbox.economy.world import World
from stellarstream_sandbox.jsonrpc import INTERNAL_ERROR, JsonRpcError
from stellarstream_sandbox.ledger.entries import account_data
from stellarstream_sandbox.ledger_keys import EntryType, entry_type
from stellarstream_sandbox.params import format_fault, invalid, refuse_json, text

MAX_KEYS = 200
_NO_EXTENSION = "AAAAAA=="


def get_ledger_entries(params: Mapping[str, Any], latest: int, world: World) -> dict[str, Any]:
    """Answer ``getLedgerEntries`` from the state after the ledger ``latest``.

    As in the real thing entries come in the order of the keys and what does not exist is left out without
    a word; no keys at all, and the same key twice, are errors of the node behind it (stellar-rpc #638).
    """
    if fault := format_fault(text(params, "xdrFormat")):
        raise invalid(fault)
    refuse_json(text(params, "xdrFormat"))
    asked = _texts(params)
    if len(asked) > MAX_KEYS:
        raise invalid(f"key count ({len(asked)}) exceeds maximum supported ({MAX_KEYS})")
    keys = [_key(one, at) for at, one in enumerate(asked)]
    if latest < 1:
        raise JsonRpcError(INTERNAL_ERROR, "could not get latest ledger: DB is empty")
    if not keys:
        raise JsonRpcError(INTERNAL_ERROR, "could not query captive core: no keys specified in request")
    if len(set(keys)) < len(keys):
        raise JsonRpcError(
            INTERNAL_ERROR, "could not query captive core: http request failed with non-200 status code (404)"
        )
    entries = []
    for one, key in zip(asked, keys, strict=True):
        found = _entry(key, world)
        if found is None:
            continue
        if found["key"] != one:  # such as one with line breaks in it
            raise JsonRpcError(INTERNAL_ERROR, f"mismatching key in result: {found['key']}")
        entries.append(found)
    return {"entries": entries, "latestLedger": latest}


def _texts(params: Mapping[str, Any]) -> list[str]:
    keys = params.get("keys")
    if keys is None:
        return []
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise invalid("invalid parameters: keys must be an array of strings")
    return keys


def _key(one: str, at: int) -> bytes:
    bad = invalid(f"cannot unmarshal key value {one} at index {at}")
    try:
        # Go's decoder passes over line breaks
        raw = a2b_base64(one.replace("\r", "").replace("\n", ""), strict_mode=True)
    except (BinasciiError, ValueError):
        raise bad from None
    kind = entry_type(raw)
    if kind is None:
        raise bad
    if kind is EntryType.TTL:
        raise invalid("ledger ttl entries cannot be queried directly")
    return raw


def _entry(key: bytes, world: World) -> dict[str, Any] | None:
    account = world.accounts.get(encode(VERSION_ACCOUNT, key[8:])) if entry_type(key) is EntryType.ACCOUNT else None
    if account is None:
        return None
    balance = world.bank.balance(world.native.contract, account.id)
    return {
        "key": _base64(key),
        "xdr": _base64(account_data(account, balance)),
        "lastModifiedLedgerSeq": account.modified,
        "extXdr": _NO_EXTENSION,
    }


def _base64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode("ascii")
