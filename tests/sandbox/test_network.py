"""A running network: it listens, closes ledgers on its clock, keeps what it should, and ends."""

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode

import aiohttp
import pytest

from stellarstream_core.errors import UsageError
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.history import History
from stellarstream_sandbox.jsonrpc import MAX_BODY
from stellarstream_sandbox.network import SandboxNetwork
from stellarstream_sandbox.simulation import Simulation
from tests.sandbox.conftest import GENESIS_TIME, call, closed

STILL = SandboxConfig(ledgers=12, genesis_time=GENESIS_TIME, port=0, live=False)


async def test_every_method_answers_over_http():
    async with SandboxNetwork(STILL) as network:
        assert network.url.startswith("http://127.0.0.1:")
        assert not network.url.endswith(":0")
        for method, params in {
            "getHealth": None,
            "getNetwork": {},
            "getVersionInfo": None,
            "getLatestLedger": None,
            "getLedgers": {"startLedger": 2},
            "getTransactions": {"startLedger": 2},
            "getTransaction": {"hash": "0" * 64},
            "getEvents": {"startLedger": 2},
            "getLedgerEntries": {"keys": [b64encode(bytes(40)).decode()]},
            "simulateTransaction": {"transaction": ""},
        }.items():
            answer = await call(network.url, method, params)
            assert answer["id"] == 1
            assert "result" in answer, (method, answer)


@pytest.mark.parametrize("method", ["getFeeStats", "queryEvents", "x"])
async def test_what_it_does_not_offer_is_an_unknown_method(method):
    async with SandboxNetwork(STILL) as network:
        answer = await call(network.url, method, {})
        assert answer["error"]["code"] == -32601


async def test_errors_come_with_http_200_and_positional_parameters_are_refused():
    async with SandboxNetwork(STILL) as network:
        answer = await call(network.url, "getLedgers", {"startLedger": 99})
        assert answer["error"]["code"] == -32600
        answer = await call(network.url, "getLedgers", [99])
        assert answer["error"]["code"] == -32602


async def test_large_bodies_are_refused_and_browsers_may_ask():
    async with SandboxNetwork(STILL) as network, aiohttp.ClientSession() as session:
        async with session.post(network.url, data=b" " * (MAX_BODY + 1)) as response:
            assert response.status == 413
        async with session.options(network.url) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == "*"
        async with session.post(network.url, data=b"{") as response:
            assert (await response.json())["error"]["code"] == -32700


async def test_ledgers_close_by_hand_when_it_is_not_live():
    heard = []
    async with SandboxNetwork(STILL, heard.append) as network:
        assert (network.oldest, network.latest) == (2, 13)
        network.close_ledger()
        network.close_ledgers(2)
        assert network.latest == 16
        assert [ledger.sequence for ledger in heard] == [14, 15, 16]
        answer = await call(network.url, "getLatestLedger")
        assert answer["result"]["sequence"] == 16
        assert answer["result"]["id"] == heard[-1].hash.hex()


async def test_ledgers_close_on_the_clock():
    config = SandboxConfig(ledgers=2, close_time=0.05, port=0)
    async with asyncio.timeout(10):
        closed_in_time = asyncio.Event()
        start = asyncio.get_running_loop().time()
        async with SandboxNetwork(config, lambda ledger: ledger.sequence >= 13 and closed_in_time.set()) as network:
            await closed_in_time.wait()
            elapsed = asyncio.get_running_loop().time() - start
    assert elapsed >= 0.45  # ten ledgers after the history's last, never ahead of the clock
    assert network.latest >= 13


async def test_ledgers_that_were_missed_close_one_after_the_other():
    config = SandboxConfig(ledgers=2, close_time=3600, port=0)
    async with asyncio.timeout(10):
        caught_up = asyncio.Event()
        network = SandboxNetwork(config, lambda ledger: ledger.sequence == 23 and caught_up.set())
        network._started -= 20 * 3600 + 1  # as if the machine had slept for twenty hours
        async with network:
            await caught_up.wait()
            await asyncio.sleep(0.05)
            assert network.latest == 23
            now = network.simulation.history.snapshot().close_time(23)
            assert now == network.config.close_time_of(3) + 20 * 3600


async def test_a_clock_that_stops_is_told(monkeypatch):
    config = SandboxConfig(ledgers=2, close_time=0.01, port=0)
    async with SandboxNetwork(config) as network:
        monkeypatch.setattr(network.simulation, "close_ledger", lambda _events: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(5):
                await network.wait()


async def test_old_ledgers_leave_when_the_retention_is_full():
    async with SandboxNetwork(SandboxConfig(ledgers=12, retention=10, port=0, live=False)) as network:
        assert (network.oldest, network.latest) == (4, 13)
        first = (await call(network.url, "getTransactions", {"startLedger": 4}))["result"]["transactions"][0]
        network.close_ledger()
        assert (network.oldest, network.latest) == (5, 14)
        gone = await call(network.url, "getEvents", {"startLedger": 4})
        assert gone["error"]["code"] == -32600
        assert gone["error"]["message"] == "startLedger must be within the ledger range: 5 - 14"
        lost = await call(network.url, "getTransaction", {"hash": first["txHash"]})
        assert lost["result"]["status"] == "NOT_FOUND"
        health = await call(network.url, "getHealth")
        assert health["result"]["ledgerRetentionWindow"] == 10


def test_memory_does_not_grow_past_the_retention():
    history = History(5)
    _, ledgers = closed(SandboxConfig(ledgers=30, genesis_time=GENESIS_TIME, burst_every=0))
    sizes = set()
    for _ in range(100):  # far more than the batch in which old ledgers are let go
        for ledger in ledgers:
            history.append(ledger)
        sizes.add(len(history._ledgers))
    assert max(sizes) < 5 + 1024 + 30
    assert len(history._ledger_of) == sum(len(ledger.transactions) for ledger in ledgers[-5:])


def test_a_snapshot_does_not_change_under_its_reader():
    simulation, _ = closed(SandboxConfig(ledgers=5, retention=5, genesis_time=GENESIS_TIME))
    snapshot = simulation.history.snapshot()
    events = [event.id for event in snapshot.events(2, 6)]
    for _ in range(5):
        simulation.close_ledger()
    assert (snapshot.oldest, snapshot.latest) == (2, 6)
    assert [event.id for event in snapshot.events(2, 6)] == events
    with pytest.raises(KeyError):
        snapshot.ledger(7)


async def test_health_turns_bad_when_no_ledger_closes():
    now = [0.0]
    simulation = Simulation(STILL, monotonic=lambda: now[0])
    for _ in simulation.close_history():
        pass
    network = SandboxNetwork(STILL)
    network.simulation = simulation
    assert network._get_health({})["status"] == "healthy"
    now[0] = 31.0
    with pytest.raises(Exception, match=r"latency \(31s\)"):
        network._get_health({})
    simulation.close_ledger()
    assert network._get_health({})["status"] == "healthy"


async def test_a_taken_port_is_said_at_once():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        network = SandboxNetwork(SandboxConfig(ledgers=100_000, port=port))
        with pytest.raises(UsageError, match=f"Port {port} on 127.0.0.1 is taken"):
            await network.__aenter__()


async def test_an_address_that_is_not_ours_is_refused():
    with pytest.raises(UsageError, match="Cannot listen on"):
        await SandboxNetwork(SandboxConfig(host="203.0.113.1", port=0)).__aenter__()


async def test_leaving_frees_the_port_and_ends_the_clock():
    async with SandboxNetwork(SandboxConfig(ledgers=2, close_time=0.01, port=0)) as network:
        port = int(network.url.rpartition(":")[2])
    latest = network.latest
    await asyncio.sleep(0.05)
    assert network.latest == latest
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize(
    "wrong",
    [
        {"ledgers": 0},
        {"close_time": 0},
        {"close_time": float("nan")},
        {"transactions": -1},
        {"burst_events": 0},
        {"retention": 0},
        {"port": 70_000},
        {"genesis_time": -5},
    ],
    ids=str,
)
def test_impossible_configs_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SandboxConfig(**wrong)


async def test_many_readers_do_not_stop_the_clock():
    config = SandboxConfig(ledgers=300, close_time=0.05, port=0)
    async with SandboxNetwork(config) as network:
        before = network.latest
        params = {"startLedger": 2, "filters": [{"contractIds": [network.contracts["silent"]]}]}
        await asyncio.gather(*(call(network.url, "getEvents", params) for _ in range(8)))
        await asyncio.sleep(0.3)
        assert network.latest > before
