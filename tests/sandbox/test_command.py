"""``stellarstream sandbox`` as a user runs it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests import commands
from tests.sandbox.conftest import call


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("STELLARSTREAM_")}
    return {**kept, "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    processes = []

    def run(*flags: str, begin=commands.start) -> subprocess.Popen[str]:
        out = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        processes.append(begin("sandbox", *flags, cwd=tmp_path, env=environment(), **out))
        return processes[-1]

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    seen = ""
    while text not in seen:
        line = process.stdout.readline()
        assert line, f"it ended: {seen}"
        seen += line
    return seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_says_what_it_is_serves_and_ends_when_asked(start, number):
    process = start("--port", "0", "--ledgers", "20", "--seed", "3", begin=commands.from_nothing)
    text = read_until(process, "Ctrl-C ends it.")
    assert "a simulation on this machine" in text.splitlines()[0]
    (url,) = re.findall(r"^JSON-RPC +(http://127\.0\.0\.1:\d+)$", text, re.MULTILINE)
    assert "StellarStream Sandbox ; simulation, not a Stellar network" in text
    contracts = dict(re.findall(r"^([a-z0-9-]+) +(C[A-Z2-7]{55})$", text, re.MULTILINE))
    assert {"streams-v1", "streams-v1-older", "streams-v2", "token-xlm"} <= set(contracts)
    assert f"--contract {contracts['streams-v2']}" in text
    assert re.search(rf"^Horizon +{url}/horizon$", text, re.MULTILINE)
    assert re.search(rf"^data lake +{url}/lake$", text, re.MULTILINE)
    example = text.split("In another terminal:")[1]
    for name, address in (("RPC_URL", url), ("HORIZON_URL", f"{url}/horizon"), ("LAKE_URL", f"{url}/lake")):
        assert f"STELLARSTREAM_{name}={address}" in example.split()

    health = (await call(url, "getHealth"))["result"]
    assert (health["oldestLedger"], health["latestLedger"]) == (2, 21)
    assert abs(int(health["latestLedgerCloseTime"]) - time.time()) < 30
    filters = [{"contractIds": [contracts["streams-v2"]]}]
    assert (await call(url, "getEvents", {"startLedger": 2, "filters": filters}))["result"]["events"]

    asked = time.monotonic()
    process.send_signal(number)
    assert process.wait(timeout=5) == 0
    assert time.monotonic() - asked < 5
    rest = process.stdout.read()
    assert "ended" in rest
    assert "Traceback" not in rest


def test_it_can_be_ended_while_it_closes_its_history(start):
    process = start("--port", "0", "--ledgers", "200000")
    read_until(process, "first")
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) == 0


def test_ledgers_are_printed_only_when_asked_for(start):
    chatty = start("--port", "0", "--ledgers", "5", "--close-time", "0.1", "--verbose")
    text = read_until(chatty, "ledger 8 ")
    assert re.search(r"^ledger 7 +\d{4}-\d\d-\d\dT.*Z +\d+ transactions +\d+ events +[0-9a-f]{16}$", text, re.MULTILINE)
    quiet = start("--port", "0", "--ledgers", "5", "--close-time", "0.05")
    read_until(quiet, "Ctrl-C ends it.")
    time.sleep(0.4)
    quiet.send_signal(signal.SIGINT)
    quiet.wait(timeout=5)
    assert "ledger " not in quiet.stdout.read()


def test_a_genesis_time_makes_runs_equal(start):
    flags = ("--port", "0", "--ledgers", "5", "--close-time", "0.1", "-v", "--genesis-time", "2026-01-01T00:00:00Z")
    lines = [re.findall(r"^ledger 7 .*$", read_until(start(*flags), "ledger 8 "), re.MULTILINE) for _ in range(2)]
    assert lines[0] == lines[1]
    assert "2026-01-01T00:00:20Z" in lines[0][0]


def run(tmp_path, *flags: str) -> subprocess.CompletedProcess[str]:
    return commands.run("sandbox", *flags, cwd=tmp_path, env=environment(), timeout=30)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--port", "70000"], "--port"),
        (["--port", "x"], "--port"),
        (["--ledgers", "0"], "--ledgers"),
        (["--close-time", "0"], "--close-time"),
        (["--close-time", "nan"], "close_time"),
        (["--seed", "one"], "--seed"),
        (["--genesis-time", "yesterday"], "--genesis-time"),
        (["--genesis-time", "2026-01-01T00:00:00"], "--genesis-time"),
        (["--retention", "0"], "--retention"),
        (["--lake", "/etc/passwd"], "--lake"),
        (["--host", "203.0.113.1", "--port", "0", "--ledgers", "1"], "203.0.113.1"),
    ],
)
def test_bad_flags_end_with_one_sentence_and_code_2(tmp_path, flags, said):
    done = run(tmp_path, *flags)
    assert done.returncode == 2
    complaint = done.stderr.strip().splitlines()[-1]
    assert said in complaint
    assert "Traceback" not in done.stderr


def test_a_taken_port_ends_with_one_sentence_and_code_2(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(tmp_path, "--port", str(port))
    assert done.returncode == 2
    assert f"Port {port} on 127.0.0.1 is taken" in done.stderr
    assert "--port 0" in done.stderr


def test_the_settings_section_is_read_and_checked(tmp_path):
    (tmp_path / "stellarstream.toml").write_text("[plugins.sandbox]\nretention = 0\n")
    done = run(tmp_path, "--port", "0")
    assert done.returncode == 2
    assert "plugins.sandbox.retention" in done.stderr


def test_a_short_retention_leaves_older_ledgers_to_horizon_and_the_lake(tmp_path, start):
    text = read_until(start("--port", "0", "--ledgers", "20", "--retention", "5", "--lake", "lake"), "Ctrl-C ends it.")
    assert re.search(r"^ledgers +17 to 21, then one every 5 s$", text, re.MULTILINE)
    assert "from 2 on at Horizon, from 2 on in the lake" in text
    assert f" {(tmp_path / 'lake').as_uri()}\n" in text
    assert len(list((tmp_path / "lake").rglob("*.xdr.zst"))) == 20


async def test_the_settings_section_changes_the_network(tmp_path, start):
    (tmp_path / "stellarstream.toml").write_text(
        "[plugins.sandbox]\nretention = 5\ntransactions = 0\nburst_every = 0\n"
    )
    text = read_until(start("--port", "0", "--ledgers", "20"), "Ctrl-C ends it.")
    assert "17 to 21" in text
    (url,) = re.findall(r"^JSON-RPC +(\S+)$", text, re.MULTILINE)
    assert (await call(url, "getEvents", {"startLedger": 17}))["result"]["events"] == []
