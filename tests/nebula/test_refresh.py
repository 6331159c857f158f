"""What no event tells, read from the chain: true at a ledger that is folded, each stream once, nothing lost."""

from __future__ import annotations

import asyncio

import pytest
from loguru import logger
from stellar_sdk import scval

from stellarstream_core.projections import FollowUp, Reached
from stellarstream_core.storage import CloseTime
from stellarstream_core.testing.scripted import made_close_time
from stellarstream_nebula import backlog, refresh
from stellarstream_nebula.model import V1, V2, Curve, StreamFacts
from stellarstream_nebula.projection import NebulaProjection
from stellarstream_nebula.refresh import closed_at
from stellarstream_nebula.settings import NebulaSettings
from stellarstream_nebula.yields import REFERENCE, Sample, newest_samples
from tests.nebula.ledgers import ALICE, COIN, FAMILIES, ONE, START, TWO, Ledgers, i128, project, store, u64
from tests.nebula.ledgers import address as sc_address
from tests.nebula.refresh_kit import ENABLED, OTHER_VAULT, VAULT, MadeVault, Rounds, StreamChain, address

FIRST = {ONE: V1}


@pytest.fixture
def told():
    """What is logged as a warning."""
    lines: list[str] = []
    number = logger.add(lambda line: lines.append(str(line)), level="WARNING", format="{message}")
    yield lines
    logger.remove(number)


@pytest.fixture
def chain():
    return StreamChain()


def filled(storage, streams: int = 3, contract: str = TWO) -> Ledgers:
    """Create streams, and fold up to five ledgers after the last."""
    ledgers = Ledgers()
    for number in range(streams):
        (ledgers.create_v1 if contract == ONE else ledgers.create)(contract, number)
    store(storage, ledgers.events, START, ledgers.ledger + 5)
    project(storage)
    ledgers.skip(5)
    return ledgers


def go_on(storage, ledgers: Ledgers, upto: int) -> None:
    """Store and fold on, up to a ledger."""
    store(storage, ledgers.events, ledgers.ledger + 1, upto, wanted_from=START)
    ledgers.ledger = upto
    project(storage)


# --- V2 ---------------------------------------------------------------------------------------------


async def test_a_read_is_held_until_the_fold_has_come_to_its_ledger(storage, chain):
    ledgers = filled(storage, 1)
    chain.ledger = ledgers.ledger + 3
    chain.put_v2(TWO, 0, step_duration=scval.to_int128(60))
    rounds = Rounds(storage, chain)
    for _ in range(2):
        await rounds.round()
        assert rounds.facts(f"{TWO}-0") is None
    go_on(storage, ledgers, chain.ledger - 1)
    await rounds.round()
    assert rounds.facts(f"{TWO}-0") is None
    go_on(storage, ledgers, chain.ledger)
    await rounds.round()
    assert rounds.facts(f"{TWO}-0").ledger == ledgers.ledger
    assert rounds.facts(f"{TWO}-0").curve is Curve.STEPS
    assert chain.asked["ledger_entries"] == 1, "while a read is held no other one is made"


async def test_a_stream_is_read_once(storage, chain):
    ledgers = filled(storage, 3)
    chain.ledger = ledgers.ledger
    for number in range(3):
        chain.put_v2(TWO, number)
    rounds = Rounds(storage, chain)
    for _ in range(4):
        await rounds.round()
    assert chain.asked["ledger_entries"] == 1
    ledgers.create(TWO, 3)
    chain.put_v2(TWO, 3)
    chain.ledger = ledgers.ledger
    store(storage, ledgers.events, ledgers.ledger, ledgers.ledger, wanted_from=START)
    project(storage)
    await rounds.round()
    assert rounds.facts(f"{TWO}-3") is not None
    assert [len(keys) for keys in chain.keys] == [3, 1]


async def test_the_chain_is_asked_no_more_often_than_the_settings_say(storage, chain):
    filled(storage, 1, ONE)
    chain.put_v1(ONE, 0)
    rounds = Rounds(storage, chain, NebulaSettings(facts_seconds=10), FIRST)
    for _ in range(10):
        await rounds.round(seconds=2.5)
    assert chain.asked["ledger_entries"] == 3


async def test_an_entry_that_is_not_there_is_missing_but_not_where_the_node_is_behind(storage, chain):
    ledgers = filled(storage, 2)
    created = [event.ledger for event in ledgers.events]
    chain.ledger = created[0]
    rounds = Rounds(storage, chain)
    await rounds.round()
    assert rounds.facts(f"{TWO}-0") == StreamFacts(ledger=created[0], missing=True)
    assert rounds.facts(f"{TWO}-1") is None
    chain.ledger = ledgers.ledger
    await rounds.round()
    assert rounds.facts(f"{TWO}-1") == StreamFacts(ledger=ledgers.ledger, missing=True)


async def test_an_entry_that_was_not_there_is_asked_for_again_by_the_next_walk(storage, chain):
    ledgers = filled(storage, 3)
    begin = ledgers.ledger + 1
    ledgers._second(TWO, 1, "archived", u64(1), i128(1_000), i128(1_000), sc_address(ALICE), u64(ledgers.next_time()))
    store(storage, ledgers.events, begin, ledgers.ledger + 5, wanted_from=START)
    project(storage)
    chain.ledger = ledgers.ledger + 5
    chain.put_v2(TWO, 2)
    rounds = Rounds(storage, chain)
    for _ in range(3):
        await rounds.round()
    assert [len(keys) for keys in chain.keys] == [3], "not again at once"
    assert [rounds.facts(f"{TWO}-{number}").missing for number in range(3)] == [True, True, False]
    chain.put_v2(TWO, 0)
    chain.put_v2(TWO, 1)
    await rounds.round(seconds=backlog.AGAIN_SECONDS)
    assert [len(keys) for keys in chain.keys] == [3, 1], "an event tells that the other one was deleted"
    assert [rounds.facts(f"{TWO}-{number}").missing for number in range(3)] == [False, True, False]
    await rounds.round(seconds=backlog.AGAIN_SECONDS)
    assert len(chain.keys) == 2


async def test_the_newest_come_first_and_the_backlog_goes_on(storage, chain, monkeypatch):
    monkeypatch.setattr(refresh, "MOST_READ", 3)
    monkeypatch.setattr(backlog, "HEAD", 2)
    monkeypatch.setattr(backlog, "WALK", 4)
    ledgers = filled(storage, 17)
    chain.ledger = ledgers.ledger
    for number in range(17):
        chain.put_v2(TWO, number)
    rounds = Rounds(storage, chain)
    await rounds.round()
    first = [number for number in range(17) if rounds.facts(f"{TWO}-{number}") is not None]
    assert {16, 15} <= set(first)
    assert len(first) <= 3
    for _ in range(12):
        await rounds.round()
    assert all(rounds.facts(f"{TWO}-{number}") is not None for number in range(17))
    assert sum(len(keys) for keys in chain.keys) == 17, "none was asked for twice"


async def test_streams_that_come_in_late_are_found_by_the_next_walk(storage, chain, monkeypatch):
    monkeypatch.setattr(backlog, "HEAD", 2)
    ledgers = Ledgers()
    for number in range(9):
        ledgers.create(TWO, number)
        chain.put_v2(TWO, number)
    chain.ledger = ledgers.ledger
    store(storage, ledgers.events, START + 4, ledgers.ledger)
    project(storage)
    rounds = Rounds(storage, chain)
    await rounds.round()
    await rounds.round()
    store(storage, ledgers.events, START, START + 3)
    project(storage)
    await rounds.round()
    assert rounds.facts(f"{TWO}-0") is None
    await rounds.round(seconds=backlog.AGAIN_SECONDS)
    await rounds.round()
    assert all(rounds.facts(f"{TWO}-{number}") is not None for number in range(9))


async def test_a_rush_of_new_streams_is_read_at_once(storage, chain, monkeypatch):
    monkeypatch.setattr(backlog, "HEAD", 2)
    ledgers = filled(storage, 1)
    chain.ledger = ledgers.ledger
    rounds = Rounds(storage, chain)
    await rounds.round()
    begin = ledgers.ledger + 1
    for number in range(1, 9):
        ledgers.create(TWO, number)
        chain.put_v2(TWO, number)
    chain.ledger = ledgers.ledger
    store(storage, ledgers.events, begin, ledgers.ledger, wanted_from=START)
    project(storage)
    await rounds.round()
    assert all(rounds.facts(f"{TWO}-{number}") is not None for number in range(1, 9))


async def test_many_are_asked_for_in_requests_of_one_ledger_each(storage, chain, monkeypatch):
    monkeypatch.setattr(refresh, "IN_ONE_REQUEST", 2)
    ledgers = filled(storage, 5)
    chain.ledger = ledgers.ledger - 4
    for number in range(5):
        chain.put_v2(TWO, number)
    answer = chain.ledger_entries

    async def later(keys):
        chain.ledger += 1
        return await answer(keys)

    chain.ledger_entries = later
    rounds = Rounds(storage, chain)
    await rounds.round()
    ledgers_read = {rounds.facts(f"{TWO}-{number}").ledger for number in range(5)}
    assert ledgers_read == {ledgers.ledger - 3, ledgers.ledger - 2, ledgers.ledger - 1}


async def test_what_cannot_be_read_is_told_once_and_keeps_nobody_else(storage, chain, told):
    ledgers = filled(storage, 2)
    chain.ledger = ledgers.ledger
    chain.put_v2(TWO, 0, packed=77)
    chain.put_v2(TWO, 1)
    rounds = Rounds(storage, chain)
    for _ in range(4):
        await rounds.round()
    assert rounds.facts(f"{TWO}-0") is None
    assert rounds.facts(f"{TWO}-1") is not None
    assert [f"{TWO}-0" in line for line in told] == [True]
    assert [len(keys) for keys in chain.keys] == [2]


@pytest.mark.parametrize("contract", [ONE, TWO])
async def test_a_chain_that_is_down_is_told_once_and_asked_again(storage, chain, told, contract):
    ledgers = filled(storage, 2, contract)
    chain.ledger = ledgers.ledger
    for number in range(2):
        (chain.put_v1 if contract == ONE else chain.put_v2)(contract, number)
    chain.down = True
    rounds = Rounds(storage, chain, families={contract: FAMILIES[contract]})
    for _ in range(3):
        await rounds.round()
    assert len(told) == 1
    chain.down = False
    await rounds.round()
    assert all(rounds.facts(f"{contract}-{number}") is not None for number in range(2))


async def test_a_failure_in_the_middle_leaves_nobody_out(storage, chain, monkeypatch):
    monkeypatch.setattr(refresh, "IN_ONE_REQUEST", 2)
    monkeypatch.setattr(backlog, "HEAD", 1)
    ledgers = filled(storage, 6)
    chain.ledger = ledgers.ledger
    for number in range(6):
        chain.put_v2(TWO, number)
    answer, calls = chain.ledger_entries, []

    async def failing(keys):
        calls.append(keys)
        chain.down = len(calls) == 2
        return await answer(keys)

    chain.ledger_entries = failing
    rounds = Rounds(storage, chain)
    for _ in range(3):
        await rounds.round()
    assert all(rounds.facts(f"{TWO}-{number}") is not None for number in range(6))


async def test_without_a_chain_nothing_is_read_and_nothing_fails(storage):
    filled(storage, 1)
    rounds = Rounds(storage, None)
    await rounds.round()
    assert rounds.facts(f"{TWO}-0") is None


# --- V1 ---------------------------------------------------------------------------------------------


async def test_one_entry_tells_all_streams_of_a_v1_contract(storage, chain):
    ledgers = filled(storage, 5, ONE)
    chain.ledger = ledgers.ledger
    for number in range(4):
        chain.put_v1(ONE, number, withdrawn_amount=scval.to_int128(number))
    rounds = Rounds(storage, chain, families=FIRST)
    await rounds.round()
    assert [rounds.facts(f"{ONE}-{number}").withdrawn for number in range(4)] == [0, 1, 2, 3]
    assert rounds.facts(f"{ONE}-4") == StreamFacts(ledger=ledgers.ledger, missing=True)
    assert [len(keys) for keys in chain.keys] == [1]


async def test_a_silent_payment_is_seen_and_what_stays_the_same_is_written_rarely(storage, chain):
    ledgers = filled(storage, 2, ONE)
    chain.ledger = ledgers.ledger
    chain.put_v1(ONE, 0)
    chain.put_v1(ONE, 1, state=scval.to_uint32(2))
    rounds = Rounds(storage, chain, NebulaSettings(facts_fresh_ledgers=8), FIRST)
    seen = []
    for step in range(8):
        if step == 5:
            chain.put_v1(ONE, 0, withdrawn_amount=scval.to_int128(500))
        go_on(storage, ledgers, ledgers.ledger + 1)
        chain.ledger = ledgers.ledger
        await rounds.round()
        seen.append((rounds.facts(f"{ONE}-0").ledger, rounds.facts(f"{ONE}-0").withdrawn))
    begin = seen[0][0]
    assert seen == [
        (begin, 7),
        (begin, 7),
        (begin + 2, 7),
        (begin + 2, 7),
        (begin + 4, 7),
        (begin + 5, 500),
        (begin + 5, 500),
        (begin + 7, 500),
    ]
    assert rounds.facts(f"{ONE}-1").ledger == begin, "a closed stream does not change any more"


async def test_a_read_ahead_of_the_fold_never_shows(storage, chain):
    ledgers = filled(storage, 1, ONE)
    chain.put_v1(ONE, 0)
    rounds = Rounds(storage, chain, families=FIRST)
    for ahead in (2, 0, 3, 1, 2):
        chain.ledger = ledgers.ledger + ahead
        chain.put_v1(ONE, 0, withdrawn_amount=scval.to_int128(chain.ledger))
        await rounds.round()
        facts = rounds.facts(f"{ONE}-0")
        assert facts is None or facts.withdrawn == facts.ledger <= ledgers.ledger
        go_on(storage, ledgers, ledgers.ledger + 1)
    await rounds.round()
    assert rounds.facts(f"{ONE}-0").ledger <= ledgers.ledger


async def test_a_v1_contract_that_is_not_there_is_told(storage, chain, told):
    filled(storage, 1, ONE)
    rounds = Rounds(storage, chain, families=FIRST)
    await rounds.round()
    assert any(f"no contract {ONE}" in line for line in told)
    assert rounds.facts(f"{ONE}-0") is None


# --- vaults -----------------------------------------------------------------------------------------


def samples(storage, vault: str = VAULT) -> list[Sample]:
    return storage.read(lambda database: newest_samples(database, vault, 100))


async def test_the_vaults_of_streams_that_earn_are_sampled(storage, chain):
    ledgers = filled(storage, 4)
    chain.ledger = ledgers.ledger
    chain.put_v2(TWO, 0, ENABLED, vault_address=address(VAULT), token=address(COIN))
    chain.put_v2(TWO, 1, ENABLED, vault_address=address(VAULT), token=address(COIN))
    chain.put_v2(TWO, 2, 0, vault_address=address(OTHER_VAULT))
    chain.put_v2(TWO, 3, ENABLED | 1, vault_address=address(OTHER_VAULT))
    chain.vaults[VAULT] = MadeVault(7, REFERENCE + 8)
    rounds = Rounds(storage, chain, NebulaSettings(yield_seconds=60))
    for _ in range(12):
        await rounds.round()
    assert samples(storage) == [
        Sample(VAULT, ledgers.ledger, made_close_time(ledgers.ledger), REFERENCE, 7, REFERENCE + 8, COIN)
    ]
    assert samples(storage, OTHER_VAULT) == [], "one stream has no yield, the other is cancelled"
    assert len(chain.calls) == 2
    await rounds.round(seconds=60)
    assert len(chain.calls) == 4


async def test_vaults_are_found_again_after_a_restart(storage, chain):
    ledgers = filled(storage, 1)
    chain.ledger = ledgers.ledger
    chain.put_v2(TWO, 0, ENABLED, vault_address=address(VAULT))
    chain.vaults[VAULT] = MadeVault()
    await Rounds(storage, chain).round()
    again = Rounds(storage, chain)
    go_on(storage, ledgers, ledgers.ledger + 1)
    chain.ledger = ledgers.ledger
    await again.round()
    assert [sample.ledger for sample in samples(storage)] == [ledgers.ledger, ledgers.ledger - 1]
    assert sum(len(keys) for keys in chain.keys) == 1


async def test_a_vault_nobody_uses_any_more_is_left_alone(storage, chain):
    ledgers = filled(storage, 1)
    chain.ledger = ledgers.ledger
    chain.put_v2(TWO, 0, ENABLED, vault_address=address(VAULT))
    chain.vaults[VAULT] = MadeVault()
    rounds = Rounds(storage, chain, NebulaSettings(yield_seconds=1))
    for _ in range(3):
        await rounds.round()
    ledgers.cancel(TWO, 0, 1, 999)
    store(storage, ledgers.events, ledgers.ledger, ledgers.ledger, wanted_from=START)
    project(storage)
    for _ in range(3):
        await rounds.round(seconds=backlog.AGAIN_SECONDS)
    calls = len(chain.calls)
    await rounds.round()
    assert len(chain.calls) == calls


async def test_a_sample_has_the_close_time_of_its_ledger_and_waits_for_it(storage, chain):
    ledgers = filled(storage, 1)
    chain.ledger = ledgers.ledger
    chain.put_v2(TWO, 0, ENABLED, vault_address=address(VAULT))
    chain.vaults[VAULT] = MadeVault(5, None)
    rounds = Rounds(storage, chain, NebulaSettings(yield_seconds=1))
    await rounds.round()
    chain.ledger = ledgers.ledger + 2
    await rounds.round()
    assert len(samples(storage)) == 1
    go_on(storage, ledgers, ledgers.ledger + 4)
    await rounds.round()
    newest = samples(storage)[0]
    assert (newest.ledger, newest.closed_at) == (chain.ledger, made_close_time(chain.ledger))
    assert (newest.interest, newest.value) == (5, None)


async def test_a_vault_that_tells_nothing_is_told_once(storage, chain, told):
    ledgers = filled(storage, 1)
    chain.ledger = ledgers.ledger
    chain.put_v2(TWO, 0, ENABLED, vault_address=address(VAULT))
    rounds = Rounds(storage, chain, NebulaSettings(yield_seconds=1))
    for _ in range(4):
        await rounds.round()
    assert [VAULT in line for line in told] == [True]
    chain.vaults[VAULT] = MadeVault()
    await rounds.round()
    assert len(samples(storage)) == 1


@pytest.mark.parametrize(
    ("ledger", "below", "wanted"),
    [(50, CloseTime(50, 700), 700), (55, CloseTime(50, 700), 750), (60, None, 800), (59, CloseTime(57, 770), 790)],
)
def test_a_close_time_that_is_not_known_lies_between_those_that_are(ledger, below, wanted):
    assert closed_at(ledger, below, Reached(60, 800, True, 60)) == wanted


# --- as the projection's follow-up ------------------------------------------------------------------


async def test_the_projection_follows_up_and_remembers_between_calls(storage, chain, runtime_of, sqlite_url):
    ledgers = filled(storage, 1)
    chain.ledger = ledgers.ledger + 1
    chain.put_v2(TWO, 0)
    projection = NebulaProjection({TWO: V2})
    context = FollowUp(storage, runtime_of(sqlite_url).settings, chain, asyncio.to_thread)
    await projection.follow_up(context)
    go_on(storage, ledgers, ledgers.ledger + 1)
    await projection.follow_up(context)
    assert Rounds(storage, chain).facts(f"{TWO}-0") is not None
    assert chain.asked["ledger_entries"] == 1
