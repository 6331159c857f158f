"""The sandbox's Horizon, which somebody else wrote: read whole, followed by its stream, and stored by a sync."""

from __future__ import annotations

import asyncio

import pytest

from stellarstream_core.ranges import LedgerRange
from stellarstream_core.sources import Evidence, Unserved, Window
from stellarstream_core.xdr.ledger import ledger_events, read_ledger
from stellarstream_horizon.source import HorizonSource
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.network import SandboxNetwork
from tests.horizon.kit import EVERYTHING, Read, read, settings


def config(**more) -> SandboxConfig:
    return SandboxConfig(**{"ledgers": 150, "port": 0, "live": False, "burst_every": 40, "burst_events": 300, **more})


def whole(network: SandboxNetwork, wanted: LedgerRange):
    """Return the events of the sandbox's own ledger metas."""
    view = network.simulation.history.snapshot()
    metas = (view.ledger(sequence).meta() for sequence in range(wanted.first, wanted.last + 1))
    return [event for meta in metas for event in ledger_events(read_ledger(meta), None)]


async def collect(opened: HorizonSource, wanted: LedgerRange) -> Read:
    return await read(opened, wanted, EVERYTHING)


async def test_the_sandboxs_history_is_read_whole_and_proven():
    async with SandboxNetwork(config()) as network:
        opened = HorizonSource(settings(f"{network.url}/horizon", passphrase=network.passphrase))
        try:
            identity = await opened.identity()
            reach = await opened.reach()
            assert (reach.oldest, reach.latest) == (2, 151)
            assert identity.passphrase == network.passphrase
            wanted = LedgerRange(2, 151)
            result = await collect(opened, wanted)
            assert not result.gaps
            assert result.events == whole(network, wanted)
            assert all(window.evidence is Evidence.PROVEN for window in result.windows)
        finally:
            await opened.close()


@pytest.mark.parametrize("retention", [10, 100])
async def test_what_the_sandbox_dropped_is_named(retention):
    async with SandboxNetwork(config(horizon_retention=retention)) as network:
        opened = HorizonSource(settings(f"{network.url}/horizon", passphrase=network.passphrase))
        try:
            result = await collect(opened, LedgerRange(2, 151))
            assert result.missing.ranges == (LedgerRange(2, 151 - retention),)
            assert result.events == whole(network, LedgerRange(152 - retention, 151))
        finally:
            await opened.close()


async def test_the_sandboxs_rate_limit_takes_nothing_away():
    async with SandboxNetwork(config(horizon_rate=360_000, horizon_burst=20)) as network:
        opened = HorizonSource(settings(f"{network.url}/horizon", passphrase=network.passphrase, page_limit=25))
        try:
            result = await collect(opened, LedgerRange(2, 151))
            assert not result.gaps
            assert result.events == whole(network, LedgerRange(2, 151))
        finally:
            await opened.close()


async def test_the_sandbox_is_followed_by_its_stream():
    async with SandboxNetwork(config(ledgers=30)) as network:
        opened = HorizonSource(settings(f"{network.url}/horizon", passphrase=network.passphrase))
        items: list[Window | Unserved] = []
        try:
            for _ in range(3):
                reach = await opened.reach()
            for _ in range(5):
                network.close_ledger()
                async with asyncio.timeout(10):
                    while (now := await opened.reach()).latest == reach.latest:
                        await asyncio.sleep(0.01)
                items += [item async for item in opened.windows(LedgerRange(reach.latest + 1, now.latest), EVERYTHING)]
                reach = now
            assert any(stream.running for stream in opened._streams)
            assert not [item for item in items if isinstance(item, Unserved)]
            found = [event for window in items for event in window.events]
            assert found == whole(network, LedgerRange(32, 36))
        finally:
            await opened.close()
