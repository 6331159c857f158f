"""Which ledger entries a call reads and writes: found by comparing the world before it with the one after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from stellarstream_sandbox.economy.bank import Token
from stellarstream_sandbox.economy.keys import (
    TEMPORARY,
    allowance_value,
    balance_key,
    code_key,
    data_key,
    instance_key,
    stream_value,
)
from stellarstream_sandbox.economy.streams_v1 import StreamsV1
from stellarstream_sandbox.economy.streams_v2 import StreamsV2
from stellarstream_sandbox.economy.vault import Vault
from stellarstream_sandbox.economy.world import Contract, World

_OF_STREAMS = frozenset({"get_streams_batch"})
_OF_NO_STREAM = frozenset({"migrate_stream", "get_withdrawal_nonce"})


class Footprint(NamedTuple):
    """``LedgerKey`` XDR in a fixed order: what is only read, and what is written too."""

    read_only: list[bytes]
    read_write: list[bytes]


def footprint(before: World, after: World, contract: str, function: str, arguments: tuple[Any, ...]) -> Footprint:
    """Return what a call touched that made ``after`` out of ``before``; both may be the same world."""
    written = dict.fromkeys(_written(before, after))
    read = dict.fromkeys(_read(before, after, contract, function, arguments))
    return Footprint(sorted(key for key in read if key not in written), sorted(written))


def _written(before: World, after: World) -> Iterator[bytes]:
    old, new = before.bank, after.bank
    for token, holder in _changed(old.balances, new.balances):
        key = balance_key(new.tokens[token], holder)
        if key is not None:
            yield key
    for token, holder, spender in _changed(old.allowances, new.allowances):
        yield data_key(token, allowance_value(holder, spender), TEMPORARY)
    if before is after:
        return
    for stream_id in _changed(before.v2.streams.everything(), after.v2.streams.everything()):
        yield data_key(after.v2.contract, stream_value(stream_id))
    changing: tuple[Contract, ...] = (after.v1, after.v1_older, after.v2, *after.vaults.values(), after.counter)
    for contract in changing:
        if _state(contract) != _state(before.contract(contract.contract)):
            yield instance_key(contract.contract)


def _read(before: World, after: World, contract: str, function: str, arguments: tuple[Any, ...]) -> Iterator[bytes]:
    called = dict.fromkeys([contract, *_named(arguments)])
    found = before.contract(contract)
    if isinstance(found, StreamsV1 | StreamsV2):
        ids = _stream_ids(function, arguments)
        for stream_id in ids:
            if isinstance(found, StreamsV2):
                yield data_key(contract, stream_value(stream_id))
            stream = found.streams.get(stream_id)
            if stream is not None and function not in {"get_stream", *_OF_STREAMS}:
                called[stream.token] = None
                called[getattr(stream, "vault", None) or stream.token] = None
    if isinstance(found, Token) and function == "balance":
        key = balance_key(found, arguments[0])
        if key is not None:
            yield key
    for token, _ in _changed(before.bank.balances, after.bank.balances):
        called[token] = None
    for one in called:
        known = before.contract(one)
        if known is not None:
            yield from _own(before, known)


def _own(world: World, contract: Contract) -> Iterator[bytes]:
    yield instance_key(contract.contract)
    wasm = world.wasm_of(contract)
    if wasm is not None:
        yield code_key(wasm)


def _stream_ids(function: str, arguments: tuple[Any, ...]) -> tuple[int, ...]:
    if function in _OF_STREAMS:
        return tuple(arguments[0])
    if function in _OF_NO_STREAM or not arguments or isinstance(arguments[0], bool):
        return ()
    return (arguments[0],) if isinstance(arguments[0], int) else ()


def _named(arguments: Any) -> Iterator[str]:
    """Yield every contract that stands among the arguments, however deep."""
    if isinstance(arguments, str):
        if arguments.startswith("C") and len(arguments) == 56:
            yield arguments
    elif isinstance(arguments, dict):
        for item in arguments.values():
            yield from _named(item)
    elif isinstance(arguments, tuple):
        for item in arguments:
            yield from _named(item)


def _changed(before: dict[Any, Any], after: dict[Any, Any]) -> Iterator[Any]:
    """Yield the keys whose values differ, one that is missing counting as 0 or nothing."""
    for key, value in after.items():
        if (before.get(key) or 0) != (value or 0):
            yield key
    for key, value in before.items():
        if key not in after and value:
            yield key


def _state(contract: Contract | None) -> Any:
    """Return what of a contract stands in its own entry, to be compared."""
    if isinstance(contract, StreamsV1):
        return contract.wasm, contract.next_id, contract.proposals, contract.streams.everything()
    if isinstance(contract, StreamsV2):
        return contract.next_id, contract.is_paused, contract.fees, contract.rates, contract.migrated, contract.nonces
    if isinstance(contract, Vault):
        return contract.principal, contract.shares, contract.opened, contract.is_paused
    return vars(contract) if contract is not None else None
