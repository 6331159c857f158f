"""What stellar-rpc v28 answers to ``getLedgerEntries``: accounts, trust lines, contract data and contract code.

Keys of every other kind are checked as a node checks them, and then answered as entries that do not exist.
Nothing is ever archived: entries of contracts live for another 120 days from whenever they are asked for.
"""

from __future__ import annotations

from binascii import Error as BinasciiError
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from typing import Any

from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, contract_id_text, encode
from stellarstream_sandbox.economy.state_entries import contract_code, contract_data
from stellarstream_sandbox.economy.world import GENESIS_LEDGER, World
from stellarstream_sandbox.jsonrpc import INTERNAL_ERROR, JsonRpcError
from stellarstream_sandbox.ledger.entries import account_data
from stellarstream_sandbox.ledger_keys import EntryType, entry_type
from stellarstream_sandbox.pack import ONE, ZERO, i64, opaque
from stellarstream_sandbox.params import format_fault, invalid, refuse_json, text

MAX_KEYS = 200
LIFE = 120 * 17_280
"""How many ledgers an entry of a contract lives on: the streams' contracts extend theirs to 120 days."""

_NO_EXTENSION = "AAAAAA=="
_MAX_LIMIT = 2**63 - 1
_AUTHORIZED = ONE


def get_ledger_entries(
    params: Mapping[str, Any],
    latest: int,
    world: World,
    last_change: Callable[[str], int] = lambda _contract: GENESIS_LEDGER,
) -> dict[str, Any]:
    """Answer ``getLedgerEntries`` from the state after the ledger ``latest``.

    ``last_change`` tells when something of a contract changed last.

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
        found = _entry(key, world, latest, last_change)
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


def _entry(key: bytes, world: World, latest: int, last_change: Callable[[str], int]) -> dict[str, Any] | None:
    match entry_type(key):
        case EntryType.ACCOUNT:
            account = world.accounts.get(encode(VERSION_ACCOUNT, key[8:]))
            if account is None:
                return None
            balance = world.bank.balance(world.native.contract, account.id)
            return _found(key, account_data(account, balance), account.modified)
        case EntryType.TRUSTLINE:
            return _trust_line(key, world)
        case EntryType.CONTRACT_DATA:
            return _contract_data(key, world, latest, last_change)
        case EntryType.CONTRACT_CODE:
            code = contract_code(world, key[4:])
            if code is None:
                return None
            return _found(key, key[:4] + ZERO + key[4:] + opaque(code), GENESIS_LEDGER, latest)
    return None


def _trust_line(key: bytes, world: World) -> dict[str, Any] | None:
    """Return the trust line of an account that is not the issuer: every account has one for the sandbox's asset."""
    account, asset, token = encode(VERSION_ACCOUNT, key[8:40]), key[40:], world.usdc
    if token.asset is None or asset != token.asset.xdr or account == token.asset.issuer:
        return None
    if account not in world.accounts:
        return None
    balance = world.bank.balance(token.contract, account)
    return _found(key, key + i64(balance) + i64(_MAX_LIMIT) + _AUTHORIZED + ZERO, world.accounts[account].modified)


def _contract_data(key: bytes, world: World, latest: int, last_change: Callable[[str], int]) -> dict[str, Any] | None:
    if key[4:8] != ONE:  # accounts have no contract data
        return None
    contract = contract_id_text(key[8:40])
    durability = int.from_bytes(key[-4:], "big")
    value = contract_data(world, contract, key[40:-4], durability)
    if value is None:
        return None
    return _found(key, key[:4] + ZERO + key[4:] + value, last_change(contract), latest)


def _found(key: bytes, data: bytes, modified: int, latest: int | None = None) -> dict[str, Any]:
    """Return one entry of the answer; ``latest`` is given where the entry's life has an end."""
    entry = {
        "key": _base64(key),
        "xdr": _base64(data),
        "lastModifiedLedgerSeq": modified,
        "extXdr": _NO_EXTENSION,
    }
    return entry if latest is None else {**entry, "liveUntilLedgerSeq": latest + LIFE}


def _base64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode("ascii")
