"""What stands in the ledger of contracts: the values of their entries, and their code.

``contract_data`` gives the ``val`` of a ``ContractDataEntry``. A contract's entries are made from its state when
they are asked for; nothing is stored twice.
"""

from __future__ import annotations

from functools import lru_cache

from stellarstream_core.errors import XdrError
from stellarstream_core.xdr.scval import Arm, ScValue, decode_scval
from stellarstream_core.xdr.strkey import account_id_bytes
from stellarstream_sandbox.economy.bank import DECIMALS, Token
from stellarstream_sandbox.economy.keys import PERSISTENT, TEMPORARY
from stellarstream_sandbox.economy.streams_v1 import Stream as StreamV1
from stellarstream_sandbox.economy.streams_v1 import StreamsV1
from stellarstream_sandbox.economy.streams_v2 import StreamsV2
from stellarstream_sandbox.economy.vault import Vault
from stellarstream_sandbox.economy.world import Contract, World
from stellarstream_sandbox.scval import encode
from stellarstream_sandbox.values import (
    I128,
    U32,
    U64,
    Address,
    Bool,
    Bytes,
    Instance,
    Map,
    Symbol,
    Text,
    Value,
    record,
    vec,
)

Entries = tuple[tuple[Value, Value], ...]


def contract_data(world: World, contract: str, key: bytes, durability: int) -> bytes | None:
    """Return the ScVal XDR that a contract keeps under a key (ScVal XDR); None where there is no such entry.

    ``durability`` is the number of the ``ContractDataDurability``: 0 temporary, 1 persistent.
    """
    found = world.contract(contract)
    if found is None:
        return None
    try:
        wanted = decode_scval(key)
    except XdrError:
        return None
    value = _persistent(world, found, wanted) if durability == PERSISTENT else _temporary(world, found, wanted)
    return None if value is None or durability not in {TEMPORARY, PERSISTENT} else encode(value)


def contract_code(world: World, wasm_hash: bytes) -> bytes | None:
    """Return the wasm module with this hash: an interface in its section ``contractspecv0`` and no code."""
    return world.code(wasm_hash)


def _persistent(world: World, contract: Contract, key: ScValue) -> Value | None:
    if key.arm is Arm.LEDGER_KEY_CONTRACT_INSTANCE:
        return Instance(world.wasm_of(contract), _storage(world, contract))
    name, rest = _parts(key)
    if isinstance(contract, StreamsV2) and name == "Stream" and _arms(rest) == [Arm.U64]:
        stream = contract.streams.get(rest[0].value)
        return None if stream is None else stream.stored()
    if isinstance(contract, Token) and name == "Balance" and _arms(rest) == [Arm.ADDRESS]:
        return _balance(world, contract, rest[0].value)
    return None


def _temporary(world: World, contract: Contract, key: ScValue) -> Value | None:
    name, rest = _parts(key)
    if not isinstance(contract, Token) or name != "Allowance" or _arms(rest) != [Arm.MAP]:
        return None
    sides = [item.value for _, item in rest[0].value or () if item.arm is Arm.ADDRESS]
    amount = world.bank.allowance(contract.contract, *sides) if len(sides) == 2 else 0
    if amount <= 0:
        return None
    return record(amount=I128(amount), expiration_ledger=U32(2**32 - 1))


def _parts(key: ScValue) -> tuple[str | bytes, list[ScValue]]:
    """Return the symbol that a list begins with, and the values behind it; nothing of either for anything else."""
    if key.arm is not Arm.VEC or not key.value or key.value[0].arm is not Arm.SYMBOL:
        return "", []
    return key.value[0].value, list(key.value[1:])


def _arms(values: list[ScValue]) -> list[Arm]:
    return [value.arm for value in values]


def _balance(world: World, token: Token, holder: str) -> Value | None:
    """Return a balance that stands with the token's contract: an asset keeps only those of contracts there."""
    held = world.bank.balances.get((token.contract, holder))
    if held is None:
        return None
    if token.asset is None:
        return I128(held)
    if not holder.startswith("C"):
        return None
    return record(amount=I128(held), authorized=Bool(True), clawback=Bool(token.asset.issuer is not None))


# --- instance storage: entries in the order of their keys ------------------------------------------


def _storage(world: World, contract: Contract) -> Entries:
    if isinstance(contract, StreamsV1):
        return _v1_storage(world, contract)
    if isinstance(contract, StreamsV2):
        return (
            (Symbol("STR_V2"), U64(contract.next_id)),
            (vec(Symbol("Admin")), Address(contract.admin)),
            (vec(Symbol("Treasury")), Address(contract.treasury)),
        )
    if isinstance(contract, Token):
        return _token_storage(world, contract)
    if isinstance(contract, Vault):
        return (
            (vec(Symbol("Admin")), Address(contract.admin)),
            (vec(Symbol("Paused")), Bool(contract.is_paused)),
            (vec(Symbol("Shares")), I128(contract.shares)),
            (vec(Symbol("Token")), Address(contract.token)),
        )
    return ()


def _v1_storage(world: World, contract: StreamsV1) -> Entries:
    """Return the counter and all streams: the contract keeps them in its own entry."""
    count = Symbol("STR_CNT")
    return (
        (count, U64(contract.next_id)),
        (vec(Symbol("Admin")), Address(world.admin)),
        *((vec(count, U64(stream.id)), _shown(stream)) for stream in contract.streams),
    )


@lru_cache(maxsize=8192)
def _shown(stream: StreamV1) -> Map:
    return stream.shown()


def _token_storage(world: World, token: Token) -> Entries:
    asset = token.asset
    name, symbol = (token.name, token.name) if asset is None else (asset.name, asset.code)
    if asset is not None and asset.issuer is None:
        symbol = "native"
    entries: list[tuple[Value, Value]] = [
        (
            Symbol("METADATA"),
            record(decimal=U32(DECIMALS), name=Text(name.encode("ascii")), symbol=Text(symbol.encode("ascii"))),
        )
    ]
    if asset is None:
        entries.append((vec(Symbol("Admin")), Address(world.names["deployer"])))
    elif asset.issuer is None:
        entries.append((vec(Symbol("AssetInfo")), vec(Symbol("Native"))))
    else:
        info = record(
            asset_code=Text(asset.code.encode("ascii")),
            issuer=Bytes(account_id_bytes(asset.issuer)),
        )
        entries.append((vec(Symbol("Admin")), Address(asset.issuer)))
        entries.append((vec(Symbol("AssetInfo")), vec(Symbol("AlphaNum4"), info)))
    return tuple(entries)
