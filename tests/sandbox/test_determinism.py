"""The same seed gives the same network, byte for byte, wherever it runs."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256

import pytest
from stellar_sdk import StrKey

from stellarstream_sandbox.config import FIRST_LEDGER, SandboxConfig
from stellarstream_sandbox.dice import Dice
from tests.sandbox.conftest import GENESIS_TIME, closed
from tests.sandbox.ready import grown

DIGEST = """
from hashlib import sha256
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.simulation import Simulation
config = SandboxConfig(seed={seed}, ledgers=30, genesis_time={genesis_time}, burst_every=20, burst_events=50)
simulation = Simulation(config)
digest = sha256()
for ledger in simulation.close_history():
    digest.update(ledger.meta)
print(digest.hexdigest(), *simulation.contracts.values())
"""


def in_another_process(seed: int, hash_seed: str) -> str:
    code = DIGEST.format(seed=seed, genesis_time=GENESIS_TIME)
    environment = {"PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    ).stdout


def test_two_processes_make_the_same_ledgers_and_contracts():
    assert in_another_process(7, "1") == in_another_process(7, "2")


def test_a_seed_keeps_its_ledgers_from_one_python_to_the_next():
    # Changes only when what the sandbox generates changes on purpose.
    _, ledgers = closed(SandboxConfig(ledgers=30, genesis_time=GENESIS_TIME, burst_every=20, burst_events=50))
    assert ledgers[-1].hash.hex() == "7e3fec16ce97275998ad3e42e020e0fd75ca3c8dcbb6e8fad27ad42244ca5627"


def test_copies_of_a_closed_history_go_on_like_a_network_that_closed_it_itself():
    config = SandboxConfig(ledgers=30, genesis_time=GENESIS_TIME)
    closed_itself, _ = closed(config)
    ends = []
    for simulation in (grown(config), closed_itself, grown(config)):
        simulation.friendbot.fund(StrKey.encode_ed25519_public_key(bytes(32)))
        ends.append([simulation.close_ledger(burst).meta for burst in (0, 20, 0, 0)])
    assert ends[0] == ends[1] == ends[2]


def test_another_seed_is_another_network():
    one, _ = closed(SandboxConfig(seed=1, ledgers=1, genesis_time=GENESIS_TIME))
    other, _ = closed(SandboxConfig(seed=2, ledgers=1, genesis_time=GENESIS_TIME))
    ours, theirs = one.contracts, other.contracts
    # the native asset's contract follows from the passphrase alone
    assert {name for name in ours if ours[name] == theirs[name]} == {"token-xlm"}


def test_a_longer_history_begins_with_the_shorter_one():
    _, short = closed(SandboxConfig(ledgers=20, genesis_time=GENESIS_TIME, close_time=5, history_spacing=5))
    _, long = closed(SandboxConfig(ledgers=40, genesis_time=GENESIS_TIME, close_time=5, history_spacing=5))
    assert [ledger.meta for ledger in long[:20]] == [ledger.meta for ledger in short]


def test_live_ledgers_are_the_same_as_closed_ones():
    simulation, ledgers = closed(SandboxConfig(ledgers=20, genesis_time=GENESIS_TIME))
    _, all_closed = closed(SandboxConfig(ledgers=25, genesis_time=GENESIS_TIME))
    ledgers += [simulation.close_ledger() for _ in range(5)]
    assert [ledger.hash for ledger in ledgers] == [ledger.hash for ledger in all_closed]


def test_retention_and_address_change_nothing():
    _, one = closed(SandboxConfig(ledgers=10, genesis_time=GENESIS_TIME))
    _, other = closed(SandboxConfig(ledgers=10, genesis_time=GENESIS_TIME, retention=3, port=1234, live=False))
    assert [ledger.meta for ledger in one] == [ledger.meta for ledger in other]


def test_close_times_follow_from_the_genesis_time():
    config = SandboxConfig(ledgers=10, genesis_time=GENESIS_TIME, history_spacing=5, close_time=0.25)
    times = [config.close_time_of(sequence) for sequence in range(FIRST_LEDGER, FIRST_LEDGER + 18)]
    assert times[:10] == [GENESIS_TIME + 5 * number for number in range(10)]
    assert times[10:] == [times[9] + number // 4 for number in range(1, 9)]
    _, ledgers = closed(config)
    assert [ledger.close_time for ledger in ledgers] == times[:10]


def test_without_a_genesis_time_the_history_ends_at_the_start():
    config = SandboxConfig(ledgers=100, history_spacing=5).started_at(1_800_000_123.9)
    assert config.close_time_of(config.history_end) == 1_800_000_123
    assert config.genesis_time == 1_800_000_123 - 99 * 5


def test_the_first_choices_of_a_seed_stay_what_they_are():
    dice = Dice("1/2")
    assert [dice.below(1000) for _ in range(6)] == [88, 822, 553, 431, 518, 964]
    assert sha256(Dice("bytes").raw(8)).hexdigest()[:8] == "b059106b"


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_certain_chances_are_certain(probability):
    dice = Dice("x")
    assert {dice.chance(probability) for _ in range(100)} == {bool(probability)}
