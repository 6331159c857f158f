"""``doctor`` on sources: one that belongs to another history than the stored one is a fault, as it is for ``sync``."""

from __future__ import annotations

import sqlite3

import pytest

from stellarstream_sandbox.config import SandboxConfig
from tests.cli.conftest import Node


@pytest.fixture
def reset_node():
    """A network with the passphrase of ``node`` that began again with other transactions."""
    running = Node(SandboxConfig(seed=6, ledgers=130, genesis_time=1_780_000_000, port=0, live=False, retention=400))
    yield running
    running.stop()


def dumped() -> list[str]:
    connection = sqlite3.connect("stellarstream.db")
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def test_doctor_says_in_the_words_of_sync_that_a_network_was_reset_and_writes_nothing(on_node, node, reset_node):
    contract = node.contracts["streams-v2"]
    assert on_node("sync", "--contract", contract, "--from", "10", "--to", "100").code == 0
    assert on_node("doctor", "--json").json["checks"]["source soroban-rpc"]["ok"]
    before = dumped()

    refused = on_node("sync", "--contract", contract, "--from", "10", "--to", "110", RPC_URL=reset_node.url)
    assert refused.code == 2
    outcome = on_node("doctor", "--json", RPC_URL=reset_node.url)
    assert outcome.code == 2
    check = outcome.json["checks"]["source soroban-rpc"]
    assert not check["ok"]
    assert "they are different histories." in check["detail"]
    assert check["detail"].split(" Keep the old database")[0] in " ".join(refused.err.split())
    assert "point 'database_url' at a new one" in check["detail"]
    assert outcome.json["checks"]["database"]["ok"]
    assert dumped() == before


def test_without_a_stored_history_there_is_nothing_to_compare(on_node, reset_node):
    outcome = on_node("doctor", "--json", RPC_URL=reset_node.url)
    assert outcome.json["checks"]["source soroban-rpc"]["ok"], outcome.out


def test_a_source_that_is_behind_what_is_stored_is_told_by_doctor_and_status(on_node, node):
    node.close_ledgers(60)
    contract = node.contracts["streams-v2"]
    assert on_node("sync", "--contract", contract, "--from", "10").code == 0
    stored = on_node("status", "--json").json["lastCoveredLedger"]
    restored = Node(SandboxConfig(seed=5, ledgers=120, genesis_time=1_780_000_000, port=0, live=False, retention=400))
    try:
        late = stored - restored.latest
        assert late > 40
        outcome = on_node("doctor", "--json", RPC_URL=restored.url)
        check = outcome.json["checks"]["source soroban-rpc"]
        assert check["detail"].endswith(f", {late} ledgers behind this database")
        assert f"the source is {late} ledgers behind this database" in on_node("status", RPC_URL=restored.url).out
    finally:
        restored.stop()
