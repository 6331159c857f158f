"""Contracts that have nothing to do with streams: what an indexer must pass by, or survive."""

from __future__ import annotations

from dataclasses import dataclass

from stellarstream_core.xdr.strkey import (
    VERSION_CLAIMABLE_BALANCE,
    VERSION_LIQUIDITY_POOL,
    VERSION_MUXED_ACCOUNT,
    encode,
)
from stellarstream_sandbox import values as v
from stellarstream_sandbox.economy.bank import Bank, transfer_call
from stellarstream_sandbox.economy.calls import Event, Outcome
from stellarstream_sandbox.economy.streams_v1 import executable_update


@dataclass
class Counter:
    """Counts, and has its code exchanged now and then."""

    contract: str
    wasm: bytes
    count: int = 0

    def increment(self) -> Outcome:
        """Add one; return the count. No one has to authorise it."""
        self.count += 1
        event = Event(self.contract, (v.Symbol("COUNTER"), v.Symbol("increment")), v.U32(self.count))
        return Outcome(v.U32(self.count), (event,))

    def upgrade(self, wasm: bytes) -> Outcome:
        """Exchange the contract's code: a system event and nothing else."""
        old, self.wasm = self.wasm, wasm
        return Outcome(v.VOID, (executable_update(self.contract, old, wasm),))


@dataclass
class Silent:
    """Publishes events without a single topic, which is allowed and which few programs expect."""

    contract: str

    def note(self, text: bytes) -> Outcome:
        """Publish a text and nothing else."""
        return Outcome(v.VOID, (Event(self.contract, (), v.Text(text)),))


@dataclass
class Airdrop:
    """Hands tokens to many at once: one transaction, as many events as one asks for."""

    contract: str
    bank: Bank

    def distribute(self, source: str, token: str, amount: int, count: int) -> Outcome:
        """Take ``amount * count`` from the source and pay it back in ``count`` numbered shares."""
        taken = self.bank.transfer(token, source, self.contract, amount * count)
        returned = self.bank.transfer(token, self.contract, source, amount * count)
        shares = (
            Event(
                self.contract,
                (v.Symbol("share"), v.Address(source), v.U32(number)),
                v.record(amount=v.I128(amount), number=v.U32(number), token=v.Address(token)),
            )
            for number in range(count)
        )
        pulls = (transfer_call(token, source, self.contract, amount * count),)
        return Outcome(v.U32(count), (taken, *shares, returned), pulls)


@dataclass
class Oddities:
    """Publishes every kind of value that a contract can, extremes and unreadable strings included."""

    contract: str

    def show(self, number: int, account: bytes, visitor: str) -> Outcome:
        """Publish one of the oddities; ``account`` is a public key, ``visitor`` a G… address."""
        topics, data = self._oddity(number % ODDITIES, account, visitor)
        return Outcome(v.U32(number), (Event(self.contract, topics, data),))

    def _oddity(self, number: int, account: bytes, visitor: str) -> tuple[tuple[v.Value, ...], v.Value]:
        name = v.Symbol("oddity")
        if number == 0:
            return (name, v.U64(2**64 - 1), v.I128(-(2**127)), v.I128(2**127 - 1)), v.U256(2**256 - 1)
        if number == 1:
            return (v.Text(b"caf\xe9 \xff"), v.Bytes(b"\0\1\2"), v.Bool(True)), v.Text(b"")
        if number == 2:
            entries: tuple[tuple[v.Value, v.Value], ...] = (
                (v.Bool(True), v.Text(b"a truth value as a key")),
                (v.U32(1), v.Text(b"a number as a key")),
                (v.U64(1), v.Text(b"the same number, but wider")),
                (v.vec(v.Symbol("a"), v.Symbol("b")), v.I256(-(2**255))),
            )
            return (name, v.Map(())), v.Map(entries)
        if number == 3:
            nested: v.Value = v.vec()
            for _ in range(20):
                nested = v.vec(nested, v.VOID)
            return (v.VOID, v.ContractError(4), nested), nested
        if number == 4:
            addresses = (
                v.Address(visitor),
                v.Address(self.contract),
                v.Address(encode(VERSION_MUXED_ACCOUNT, account + (2**64 - 1).to_bytes(8, "big"))),
                v.Address(encode(VERSION_CLAIMABLE_BALANCE, b"\0" + account)),
                v.Address(encode(VERSION_LIQUIDITY_POOL, account)),
            )
            return addresses[:4], v.Vec(addresses)
        numbers = (v.I32(-(2**31)), v.I64(-(2**63)), v.U128(2**128 - 1), v.Timepoint(0), v.Duration(2**64 - 1))
        return (name, v.Symbol(""), v.Symbol("x" * 32), v.I32(-1)), v.Vec(numbers)


ODDITIES = 6
"""How many different oddities there are."""
