"""Sandbox networks to test: one history for everyone who only reads, fresh networks for the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from stellar_sdk import xdr

from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.ledger.closing import ClosedLedger
from stellarstream_sandbox.simulation import Simulation

GENESIS_TIME = 1_800_000_000

CONFIG = SandboxConfig(ledgers=160, genesis_time=GENESIS_TIME, burst_every=50, burst_events=40, port=0, live=False)
"""160 ledgers; number 50, 100 and 150 have a transaction with 42 events."""


def closed(config: SandboxConfig) -> tuple[Simulation, list[ClosedLedger]]:
    """Return a simulation with its history closed, and the ledgers of that history."""
    simulation = Simulation(config)
    return simulation, list(simulation.close_history())


@pytest.fixture(scope="session")
def read_only() -> tuple[Simulation, list[ClosedLedger]]:
    """A simulation that tests must not change."""
    return closed(CONFIG)


@pytest.fixture(scope="session")
def simulation(read_only) -> Simulation:
    return read_only[0]


@pytest.fixture(scope="session")
def ledgers(read_only) -> list[ClosedLedger]:
    return read_only[1]


@pytest.fixture(scope="session")
def parsed(ledgers) -> list[xdr.LedgerCloseMetaV2]:
    """The same ledgers as stellar-sdk reads them."""
    metas = [xdr.LedgerCloseMeta.from_xdr_bytes(ledger.meta) for ledger in ledgers]
    assert all(meta.v == 2 for meta in metas)
    return [meta.v2 for meta in metas]


@pytest.fixture(scope="session")
def history(simulation) -> Any:
    return simulation.history.snapshot()


async def call(url: str, method: str, params: Any = None) -> dict[str, Any]:
    """Return the whole JSON-RPC answer."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method}
    if params is not None:
        body["params"] = params
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        assert response.status == 200
        return await response.json()


@pytest.fixture
def contract_names(simulation) -> Callable[[str], str]:
    """Tell a contract's name by its id."""
    names = {contract: name for name, contract in simulation.contracts.items()}
    return names.__getitem__
