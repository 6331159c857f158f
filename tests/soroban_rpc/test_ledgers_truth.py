"""Whole ledgers give the same rows as getEvents: on a sandbox network, and on recorded ledgers of pubnet."""

from __future__ import annotations

import gzip
from dataclasses import replace

import orjson
import pytest

from stellarstream_core.event_json import event_record
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence
from stellarstream_core.testing.rpc_ledgers import LedgerHistory
from stellarstream_core.testing.rpc_node import RpcNode
from stellarstream_sandbox.get_events import get_events
from stellarstream_sandbox.network import SandboxNetwork
from stellarstream_soroban_rpc.ledgers_source import SorobanRpcLedgersSource
from stellarstream_soroban_rpc.source import SorobanRpcSource
from tests.paths import fixture
from tests.soroban_rpc.kit import read, settings
from tests.soroban_rpc.ledgers_kit import CONFIG, EVERY

PUBNET = "Public Global Stellar Network ; September 2015"


async def rows(kind, url: str, wanted: LedgerRange, scope: Scope = EVERY, passphrase: str = CONFIG.passphrase):
    opened = kind(settings(url, passphrase=passphrase))
    try:
        result = await read(opened, wanted, scope)
    finally:
        await opened.close()
    assert not result.gaps, result.gaps
    return result


async def test_a_sandbox_read_by_ledgers_has_the_rows_of_its_events():
    config = replace(CONFIG, ledgers=150, port=0, live=False, retention=130)
    async with SandboxNetwork(config) as network:
        wanted = LedgerRange(network.oldest, network.latest)
        by_ledgers = await rows(SorobanRpcLedgersSource, network.url, wanted)
        by_events = await rows(SorobanRpcSource, network.url, wanted)
        assert by_ledgers.events() == by_events.events()
        assert {window.evidence for window in by_ledgers.windows} == {Evidence.PROVEN}
        streams = Scope.of([contract for name, contract in network.contracts.items() if name.startswith("streams")])
        some = await rows(SorobanRpcLedgersSource, network.url, wanted, streams)
        assert some.events() == [event for event in by_events.events() if event.contract_id in streams.members] != []


async def test_a_sandbox_is_followed_ledger_by_ledger():
    config = replace(CONFIG, ledgers=5, port=0, live=False)
    async with SandboxNetwork(config) as network:
        opened = SorobanRpcLedgersSource(settings(network.url, passphrase=CONFIG.passphrase))
        found = []
        for _ in range(6):
            latest = (await opened.reach()).latest
            assert latest == network.latest
            found += (await read(opened, LedgerRange(latest, latest), EVERY)).events()
            network.close_ledger()
        await opened.close()
        assert [event.id for event in found] == [
            event.id for event in network.simulation.history.snapshot().events(6, 11)
        ]


@pytest.mark.parametrize("ledger", [51000294, 63092988, 63092996])
async def test_a_recorded_ledger_of_pubnet_has_the_rows_that_get_events_has(ledger):
    meta = gzip.decompress(fixture(f"pubnet-ledgers/ledger-{ledger}.xdr.gz").read_bytes())
    lines = gzip.decompress(fixture(f"pubnet-ledgers/getEvents-expected-{ledger}.jsonl.gz").read_bytes()).splitlines()
    async with RpcNode(LedgerHistory({ledger: meta}), get_events, passphrase=PUBNET) as made:
        result = await rows(SorobanRpcLedgersSource, made.url, LedgerRange(ledger, ledger), passphrase=PUBNET)
    ours = [event_record(event) for event in result.events()]
    assert len(ours) == len(lines)
    for mine, line in zip(ours, lines, strict=True):
        theirs = orjson.loads(line)
        assert (mine["id"], mine["txHash"], mine["type"], mine["value"]) == (
            theirs["id"],
            theirs["txHash"],
            theirs["type"],
            theirs["value"],
        )
        assert mine["contractId"] == (theirs["contractId"] or None)
        assert mine["topic"] == theirs.get("topic", [])
        assert mine["ledgerClosedAt"] == theirs["ledgerClosedAt"]
    # the oldest was exported again in another form, which has hashes of its own
    assert {window.evidence for window in result.windows} <= {Evidence.PROVEN, Evidence.SCANNED}
    assert (ledger == 51000294) or {window.evidence for window in result.windows} == {Evidence.PROVEN}
