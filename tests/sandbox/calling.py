"""Calling the contracts of a simulated world, and reading what they answer with stellar-sdk."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stellar_sdk import scval, xdr

from stellarstream_sandbox import values as v
from stellarstream_sandbox.economy.calls import Outcome
from stellarstream_sandbox.economy.dispatch import Prepared, call
from stellarstream_sandbox.economy.stream_v2 import StreamArgs
from stellarstream_sandbox.economy.world import World
from stellarstream_sandbox.scval import encode

NOW = 1_800_000_000


def native(value: v.Value | bytes) -> Any:
    """Return a value as stellar-sdk reads it, addresses as their strkeys."""
    raw = value if isinstance(value, bytes) else encode(value)
    return plain(scval.to_native(xdr.SCVal.from_xdr_bytes(raw)))


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return getattr(value, "address", value)


def prepared(world: World, contract: str, function: str, *args: v.Value) -> Prepared:
    return call(world, contract, function, [encode(arg) for arg in args])


def v2(world: World, function: str, *values: v.Value, now: int = NOW) -> Outcome:
    return prepared(world, world.v2.contract, function, *values).run(now)


def args(world: World, sender: str, receiver: str, **more: Any) -> StreamArgs:
    """A million of the network's own token in a hundred seconds, unless something else is said."""
    terms = StreamArgs(sender, receiver, world.nova.contract, 1_000_000, NOW, NOW, NOW + 100)
    return replace(terms, **more)


def create(world: World, terms: StreamArgs, now: int = NOW) -> int:
    """Open a stream of the second contract; return its id."""
    return v2(world, "create_stream", terms.value(), now=now).value.number


def state(world: World) -> tuple[Any, ...]:
    """All that a call may change."""
    return (
        dict(world.bank.balances),
        dict(world.bank.allowances),
        *(
            {name: value for name, value in vars(one).items() if name not in {"bank", "streams", "vaults"}}
            for one in (world.v1, world.v1_older, world.v2, world.counter, *world.vaults.values())
        ),
        *(one.streams.everything() for one in (world.v1, world.v1_older, world.v2)),
    )


def state_now(world: World) -> tuple[Any, ...]:
    """The same, apart from what happens to the world later."""
    return state(world.copy())
