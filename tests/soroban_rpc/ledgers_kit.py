"""Whole ledgers to test with: a sandbox's history behind fault nodes, and a source whose clock is made."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence
from stellarstream_core.testing.rpc_ledgers import LedgerHistory
from stellarstream_core.testing.rpc_node import RpcNode
from stellarstream_core.xdr.ledger import ledger_events, read_ledger
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.get_events import get_events
from stellarstream_sandbox.simulation import Simulation
from stellarstream_soroban_rpc.ledgers_source import SorobanRpcLedgersSource
from tests.soroban_rpc.kit import Clock, Read, settings

FIRST, LAST = 2, 121
CONFIG = SandboxConfig(ledgers=120, genesis_time=1_800_000_000, burst_every=60, burst_events=60)
WHOLE = LedgerRange(FIRST, LAST)
EVERY = Scope.of("*")


@cache
def simulation(seed: int = 1) -> tuple[Simulation, dict[int, bytes]]:
    """Return a network and its ledgers by sequence; nobody may change them."""
    made = Simulation(SandboxConfig(**{**_fields(CONFIG), "seed": seed}))
    return made, {ledger.sequence: ledger.meta for ledger in made.close_history()}


@cache
def truth() -> dict[int, list[ContractEvent]]:
    """Return every event there is, by ledger."""
    return {ledger: ledger_events(read_ledger(meta), None) for ledger, meta in simulation()[1].items()}


def contracts() -> dict[str, str]:
    return simulation()[0].contracts


def history(oldest: int = FIRST, latest: int = LAST, seed: int = 1) -> LedgerHistory:
    return LedgerHistory(simulation(seed)[1], oldest, latest)


def node(held: LedgerHistory | None = None, **options: Any) -> RpcNode:
    return RpcNode(held or history(), get_events, passphrase=CONFIG.passphrase, **options)


@asynccontextmanager
async def source(*nodes: RpcNode | str, clock: Clock | None = None, prove: bool = True, **own: Any):
    """Open a source over nodes (or addresses); its clock is a made one."""
    urls = [one if isinstance(one, str) else one.url for one in nodes]
    made = settings(*urls, passphrase=CONFIG.passphrase, **own)
    made = made.model_copy(update={"prove": prove})
    opened = SorobanRpcLedgersSource(made, (clock or Clock()).timing)
    try:
        yield opened
    finally:
        await opened.close()


def expected(within: LedgerRange, members: Sequence[str] | None) -> list[ContractEvent]:
    return [
        event
        for ledger in range(within.first, within.last + 1)
        for event in truth()[ledger]
        if members is None or event.contract_id in members
    ]


def assert_exact(result: Read, wanted: LedgerRange, scope: Scope, *, proven: bool = True) -> None:
    """Check the source's whole promise: each ledger told of once, in order, proven, with exactly its events."""
    pieces = [item.range for item in (*result.windows, *result.gaps)]
    assert sum(piece.size for piece in pieces) == wanted.size, "a ledger is told of twice, or not at all"
    assert RangeSet(pieces) == RangeSet([wanted])
    members = None if scope.everything else scope.members
    for window in result.windows:
        assert window.source == "soroban-rpc-ledgers"
        assert window.evidence is (Evidence.PROVEN if proven else Evidence.SCANNED)
        assert [one.sequence for one in window.certificates] == (
            list(range(window.range.first, window.range.last + 1)) if proven else []
        )
        assert list(window.events) == expected(window.range, members)
    for gap in result.gaps:
        assert gap.detail


def _fields(config: SandboxConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__slots__}
