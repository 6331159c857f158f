"""Where what the economy keeps stands in the ledger: ``LedgerKey`` XDR of streams, balances, instances and code."""

from __future__ import annotations

from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, decode
from stellarstream_sandbox.economy.bank import Token
from stellarstream_sandbox.identity import account_id
from stellarstream_sandbox.pack import ONE, ZERO, u32
from stellarstream_sandbox.scval import address, encode
from stellarstream_sandbox.values import U64, Address, InstanceKey, Symbol, Value, record, vec

TEMPORARY, PERSISTENT = 0, 1
"""``ContractDataDurability``."""

_ACCOUNT = ZERO
_TRUSTLINE = ONE
_CONTRACT_DATA = u32(6)
_CONTRACT_CODE = u32(7)


def account_key(account: str) -> bytes:
    """Return the key of a classic account (G…)."""
    return _ACCOUNT + account_id(account)


def data_key(contract: str, key: Value, durability: int = PERSISTENT) -> bytes:
    """Return the key of an entry of a contract's."""
    return _CONTRACT_DATA + address(contract) + encode(key) + u32(durability)


def instance_key(contract: str) -> bytes:
    """Return the key of a contract's own entry."""
    return data_key(contract, InstanceKey())


def code_key(wasm_hash: bytes) -> bytes:
    """Return the key of a contract's code."""
    return _CONTRACT_CODE + wasm_hash


def stream_value(stream_id: int) -> Value:
    """Return the key under which the second contract keeps a stream."""
    return vec(Symbol("Stream"), U64(stream_id))


def balance_value(holder: str) -> Value:
    """Return the key under which a token keeps a balance."""
    return vec(Symbol("Balance"), Address(holder))


def allowance_value(holder: str, spender: str) -> Value:
    """Return the key under which a token keeps an allowance, temporarily."""
    return vec(Symbol("Allowance"), record(**{"from": Address(holder), "spender": Address(spender)}))


def balance_key(token: Token, holder: str) -> bytes | None:
    """Return where a balance stands: an asset's is the account's or its trust line, unless a contract holds it.

    None where there is nothing: an issuer has no balance of its own asset.
    """
    if token.asset is None or decode(holder)[0] != VERSION_ACCOUNT:
        return data_key(token.contract, balance_value(holder))
    if token.asset.issuer is None:
        return account_key(holder)
    if token.asset.issuer == holder:
        return None
    return _TRUSTLINE + account_id(holder) + token.asset.xdr
