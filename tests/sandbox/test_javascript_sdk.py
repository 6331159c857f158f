"""The official JavaScript SDK reads every method of a sandbox network."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.network import SandboxNetwork
from tests.paths import missing

HERE = Path(__file__).parent / "js"
MODULES = HERE / "node_modules"


@pytest.fixture(scope="module")
def node() -> str:
    """Return the node program, with the SDK of the lock file installed beside the script."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        missing("node and npm are not installed")
    lock = sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    marker = MODULES / ".lock-sha256"
    if not marker.exists() or marker.read_text() != lock:
        command = [npm, "ci", "--ignore-scripts"]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=110, check=False)
        if done.returncode:
            missing(f"npm ci failed: {done.stderr[-300:]}")
        marker.write_text(lock)
    return node


async def test_it_reads_every_method(node):
    config = SandboxConfig(ledgers=80, port=0, live=False, burst_every=40, burst_events=150)
    network = SandboxNetwork(config)
    contract, account, signer = network.contracts["streams-v2"], network.accounts["alice"], network.accounts["bob"]
    network.set_account(account, signers={signer: 5}, thresholds=(2, 3, 4))
    async with network:
        reader = await asyncio.create_subprocess_exec(
            node, HERE / "read.mjs", network.url, contract, account, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, errors = await asyncio.wait_for(reader.communicate(), 60)
        assert reader.returncode == 0, errors.decode()
        seen = json.loads(out)
        history = network.simulation.history.snapshot()
        records = list(history.events(network.oldest, network.latest))
        transactions = [one for n in range(2, 82) for one in history.ledger(n).transactions()]
        alice = network.simulation.world.accounts[account]
        balance = network.simulation.world.bank.balance(network.contracts["token-xlm"], account)

    assert (seen["sequence"], seen["balance"]) == (str(alice.seq_num), str(balance))
    assert (seen["signers"], seen["thresholds"], seen["entriesAt"]) == ([[signer, 5]], [1, 2, 3, 4], 81)
    assert seen["health"]["status"] == "healthy"
    assert seen["health"]["latestLedger"] == seen["latest"] == 81
    assert seen["passphrase"] == config.passphrase
    assert (seen["version"], seen["protocol"]) == ("28.0.0", 28)
    assert seen["ledgers"] == 80
    assert seen["statuses"] == {
        "SUCCESS": sum(one.succeeded for one in transactions),
        "FAILED": sum(not one.succeeded for one in transactions),
    }
    assert {"SUCCESS", "FAILED", "SUCCESS fee bump", "FAILED with diagnostics"} <= set(seen["looked"])
    assert seen["unknown"] == "NOT_FOUND"
    assert seen["events"] == [event.id for event in records if event.contract_id == contract]
    assert {"create_v2", "claim", "top_up"} <= set(seen["names"])
    assert seen["all"] == len(records)
    assert seen["topicless"] == sum(not event.topics for event in records) > 0
