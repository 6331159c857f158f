"""Ledger entries through getLedgerEntries: whole, checked, failing over, and never later than one may wait."""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode, b64encode
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Keypair

from stellarstream_core.chain import LedgerEntry, account_signers
from stellarstream_core.errors import SourceError, SourceMisbehavedError, SourceUnavailableError
from stellarstream_core.testing.rpc_history import MadeHistory
from stellarstream_core.testing.rpc_node import Fault, Faults, NodeError
from stellarstream_core.xdr.account import account_ledger_key
from stellarstream_soroban_rpc import register_chain_clients
from stellarstream_soroban_rpc.chain_client import SorobanRpcChainClient
from stellarstream_soroban_rpc.entries import MOST_KEYS, ledger_entries_params, read_ledger_entries
from stellarstream_soroban_rpc.event_list import BadPageError
from tests.soroban_rpc.kit import Clock, node, settings

DEAD = "http://127.0.0.1:9"
LATEST = 1_000
KEYS = [account_ledger_key(Keypair.from_raw_ed25519_seed(n.to_bytes(32, "big")).public_key) for n in range(450)]
SECRET = "sEcReTkEy12345"


def data_of(key: bytes) -> bytes:
    return key + key[4:]


def item(key: bytes, **other) -> dict:
    return {
        "key": b64encode(key).decode(),
        "xdr": b64encode(data_of(key)).decode(),
        "lastModifiedLedgerSeq": 7,
        "extXdr": "AAAAAA==",
        **other,
    }


def known(*keys: bytes, change=None):
    """Return an answer for getLedgerEntries of a node that has these keys; ``change`` spoils it."""

    def answer(params, view):
        if len(params["keys"]) > MOST_KEYS:
            raise NodeError(-32602, f"key count ({len(params['keys'])}) exceeds maximum supported ({MOST_KEYS})")
        asked = [b64decode(text) for text in params["keys"]]
        result = {"entries": [item(key) for key in asked if key in keys], "latestLedger": view.latest}
        return change(result) or result if change else result

    return answer


def chain_node(*keys: bytes, latest: int = LATEST, change=None, faults=(), **options):
    made = node(MadeHistory([], 1, latest), faults=Faults(faults, methods=["getLedgerEntries"]), **options)
    made.ledger_entries = known(*(keys or KEYS), change=change)
    return made


@asynccontextmanager
async def chain(*nodes, clock: Clock | None = None, real_time: bool = False, passphrase: str | None = None, **own):
    urls = [one if isinstance(one, str) else one.url for one in nodes]
    made = settings(*urls, **own) if passphrase is None else settings(*urls, passphrase=passphrase, **own)
    opened = SorobanRpcChainClient(made, None if real_time else (clock or Clock()).timing)
    try:
        yield opened
    finally:
        await opened.close()


async def test_the_plugin_offers_the_client_where_an_endpoint_is_configured():
    (spec,) = register_chain_clients()
    assert spec.configured(settings(DEAD))
    assert not spec.configured(settings())
    opened = await spec.open(settings(DEAD))
    assert (spec.name, opened.name) == ("soroban-rpc", "soroban-rpc")
    await opened.close()
    await opened.close()


# --- answers ----------------------------------------------------------------------------------------


async def test_entries_come_by_key_with_their_ledger_and_what_does_not_exist_is_absent():
    async with chain_node(*KEYS[:2]) as made, chain(made) as opened:
        answer = await opened.ledger_entries(KEYS[:3])
        assert answer.ledger == LATEST
        assert answer.entries == {key: LedgerEntry(key, data_of(key), 7) for key in KEYS[:2]}
        assert (await opened.ledger_entries([KEYS[5]])).entries == {}


async def test_many_keys_take_several_requests_of_at_most_two_hundred_and_none_is_asked_twice():
    async with chain_node() as made, chain(made) as opened:
        answer = await opened.ledger_entries([*KEYS, *KEYS[:100]])
        assert set(answer.entries) == set(KEYS)
        sizes = [len(params["keys"]) for name, params in made.calls if name == "getLedgerEntries"]
        assert sizes == [200, 200, 50]


async def test_the_ledger_of_several_requests_is_the_oldest_of_theirs():
    made = chain_node()
    answer = made.ledger_entries

    def moving(params, view):
        made.history.latest += 3
        return answer(params, view)

    made.ledger_entries = moving
    async with made, chain(made) as opened:
        assert (await opened.ledger_entries(KEYS)).ledger == LATEST


async def test_an_answer_that_goes_back_is_not_believed_over_a_newer_one():
    ledgers = iter([50, 49, 48, 50, 51])

    def change(result):
        result["latestLedger"] = next(ledgers)
        if result["latestLedger"] < 50:
            result["entries"] = []

    async with chain_node(change=change) as made, chain(made) as opened:
        answer = await opened.ledger_entries(KEYS)
        assert (answer.ledger, len(answer.entries)) == (50, len(KEYS))


async def test_a_node_that_is_behind_is_passed_over_for_another():
    async with (
        chain_node(faults=[None, Fault.BUSY]) as ahead,
        chain_node(latest=LATEST - 1) as behind,
        chain(ahead, behind) as opened,
    ):
        answer = await opened.ledger_entries(KEYS)
        assert (answer.ledger, len(answer.entries)) == (LATEST, len(KEYS))
        assert behind.count("getLedgerEntries") >= 1


async def test_a_node_that_stays_behind_is_an_error_and_not_an_older_answer():
    ledgers = iter([50])

    def change(result):
        result["latestLedger"] = next(ledgers, 49)

    async with chain_node(change=change) as made, chain(made, max_retries=2) as opened:
        with pytest.raises(SourceError, match="is at ledger 49, and 50 was answered already"):
            await opened.ledger_entries(KEYS)


async def test_without_a_key_there_is_nothing_to_ask():
    async with chain(DEAD) as opened:
        with pytest.raises(ValueError, match="no key"):
            await opened.ledger_entries([])


async def test_signers_are_read_through_the_client():
    async with chain_node(KEYS[0]) as made, chain(made) as opened:
        account = Keypair.from_raw_ed25519_seed((1).to_bytes(32, "big")).public_key
        assert await account_signers(opened, account) is None


# --- faults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault.BUSY,
        Fault.THROTTLED,
        Fault.RESET,
        Fault.TRUNCATED,
        Fault.TIMEOUT,
        Fault.GARBAGE,
        Fault.NOT_AN_ANSWER,
        Fault.WRONG_ID,
        Fault.WRONG_SHAPE,
        Fault.INTERNAL,
        Fault.PANICKED,
        Fault.QUEUE_FULL,
    ],
)
async def test_after_a_fault_the_same_question_is_put_again(fault):
    async with chain_node(KEYS[0], faults=[fault]) as made, chain(made) as opened:
        assert set((await opened.ledger_entries(KEYS[:2])).entries) == {KEYS[0]}
        assert made.faults.met[fault] == 1


async def test_another_endpoint_answers_where_the_first_does_not():
    async with chain_node() as made, chain(DEAD, made) as opened:
        for _ in range(2):
            assert (await opened.ledger_entries(KEYS[:1])).entries.keys() == {KEYS[0]}


async def test_a_failure_of_all_endpoints_is_told_and_is_no_empty_answer():
    clock = Clock()
    began = clock.time
    async with chain_node(faults=[Fault.BUSY] * 99) as made, chain(DEAD, made, clock=clock) as opened:
        with pytest.raises(SourceUnavailableError) as caught:
            await opened.ledger_entries(KEYS[:1])
    assert SECRET not in str(caught.value)
    assert clock.time - began <= 10


async def test_no_secret_of_an_address_is_told():
    async with chain(f"{DEAD}/{SECRET}?key={SECRET}", max_retries=0) as opened:
        with pytest.raises(SourceUnavailableError, match=r"127\.0\.0\.1") as caught:
            await opened.ledger_entries(KEYS[:1])
    assert SECRET not in str(caught.value)


def alter(**fields):
    def change(result):
        result["entries"][0] |= fields

    return change


def without(field):
    def change(result):
        del result["entries"][0][field]

    return change


WRONG = {
    "a key not asked for": alter(key=b64encode(KEYS[9]).decode()),
    "an entry twice": lambda result: result["entries"].append(result["entries"][0]),
    "key not base64": alter(key="AAAA!AAA"),
    "key base64 with a line break": alter(key=b64encode(KEYS[0]).decode() + "\n"),
    "data not base64": alter(xdr="?"),
    "data no whole words": alter(xdr="AAAAAAA="),
    "no data": alter(xdr=""),
    "data of another kind": alter(xdr="AAAAAQAAAAA="),
    "data no text": alter(xdr=None),
    "key left out": without("key"),
    "data left out": without("xdr"),
    "changed in the future": alter(lastModifiedLedgerSeq=LATEST + 1),
    "changed never": without("lastModifiedLedgerSeq"),
    "changed at a text": alter(lastModifiedLedgerSeq="7"),
    "changed at a truth": alter(lastModifiedLedgerSeq=True),
    "lives until a text": alter(liveUntilLedgerSeq="7"),
    "lives until before all": alter(liveUntilLedgerSeq=-1),
    "entry no object": lambda result: result.update(entries=[7]),
    "entries no list": lambda result: result.update(entries={}),
    "entries left out": lambda result: result.pop("entries") and None,
    "entries null": lambda result: result.update(entries=None),
    "no latest ledger": lambda result: result.pop("latestLedger") and None,
    "latest ledger zero": lambda result: result.update(latestLedger=0),
    "latest ledger a text": lambda result: result.update(latestLedger="1000"),
    "no object": lambda _result: ["nothing"],
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
async def test_an_answer_that_cannot_be_right_is_refused_and_another_endpoint_is_asked(change):
    async with chain_node(change=change) as liar, chain_node() as honest:
        async with chain(liar, max_retries=1) as opened:
            with pytest.raises(SourceMisbehavedError):
                await opened.ledger_entries(KEYS[:2])
        async with chain(liar, honest) as opened:
            assert set((await opened.ledger_entries(KEYS[:2])).entries) == set(KEYS[:2])


async def test_keys_that_a_node_refuses_are_refused_at_once():
    def refuse(_params, _view):
        raise NodeError(-32602, "cannot unmarshal key value AAAA at index 0")

    async with chain_node() as made, chain(made) as opened:
        answers, made.ledger_entries = made.ledger_entries, refuse
        with pytest.raises(SourceError, match="cannot unmarshal key value"):
            await opened.ledger_entries([b"\0\0\0"])
        assert made.count("getLedgerEntries") == 1
        made.ledger_entries = answers
        assert (await opened.ledger_entries(KEYS[:1])).entries, "the endpoint is as good as before"


async def test_a_node_without_the_method_is_not_asked_again():
    async with chain_node() as lacking, chain_node() as made:
        lacking.ledger_entries = None
        async with chain(lacking, made) as opened:
            for _ in range(3):
                assert (await opened.ledger_entries(KEYS[:1])).entries
            assert lacking.count("getLedgerEntries") == 1
        async with chain(lacking) as opened:
            with pytest.raises(SourceUnavailableError, match="does not offer getLedgerEntries"):
                await opened.ledger_entries(KEYS[:1])


async def test_an_endpoint_of_another_network_is_never_asked():
    async with chain_node() as foreign, chain_node() as made:
        foreign.passphrase = "Another Network"
        async with chain(foreign, made) as opened:
            assert (await opened.ledger_entries(KEYS[:1])).entries
        async with chain(foreign) as opened:
            with pytest.raises(SourceUnavailableError, match="of another network"):
                await opened.ledger_entries(KEYS[:1])
        assert foreign.count("getLedgerEntries") == 0


@pytest.mark.parametrize("version", ["20.0.0", None])
async def test_nothing_but_the_network_is_checked_and_that_once(version):
    async with chain_node(version=version) as made, chain(made) as opened:
        made.stale = True
        await asyncio.gather(*(opened.ledger_entries(KEYS[n : n + 1]) for n in range(9)))
        assert [name for name, _ in made.calls if name != "getLedgerEntries"] == ["getNetwork"]


# --- time -------------------------------------------------------------------------------------------


async def test_a_caller_waits_no_longer_than_the_settings_say():
    async with (
        chain_node(faults=[Fault.SLOW] * 99) as made,
        chain(made, real_time=True, chain_seconds=0.5) as opened,
    ):
        began = time.monotonic()
        with pytest.raises(SourceUnavailableError, match=r"did not answer|within 0\.5 seconds"):
            await opened.ledger_entries(KEYS[:1])
        assert time.monotonic() - began < 1.5


async def test_a_silent_endpoint_leaves_time_for_the_next():
    async with (
        chain_node(faults=[Fault.SLOW] * 99) as slow,
        chain_node() as made,
        chain(slow, made, real_time=True, chain_seconds=1.5) as opened,
    ):
        began = time.monotonic()
        assert (await opened.ledger_entries(KEYS[:1])).entries
        assert time.monotonic() - began < 1.4


@pytest.mark.parametrize("method", ["getNetwork", "getLedgerEntries"])
async def test_many_callers_pass_over_a_silent_endpoint_together(method):
    async with chain_node() as slow, chain_node() as made:
        slow.faults = Faults([Fault.SLOW] * 99, methods=[method])
        async with chain(slow, made, real_time=True, chain_seconds=6) as opened:
            answers = await asyncio.gather(*(opened.ledger_entries(KEYS[n : n + 1]) for n in range(30)))
            assert all(answer.entries for answer in answers)


async def test_a_caller_that_goes_away_leaves_the_others_their_check():
    async with chain_node() as made, chain(made, real_time=True) as opened:
        made.delay = 0.1
        first = asyncio.create_task(opened.ledger_entries(KEYS[:1]))
        second = asyncio.create_task(opened.ledger_entries(KEYS[:1]))
        await asyncio.sleep(0.05)
        first.cancel()
        assert (await second).entries
        assert made.count("getNetwork") == 1


async def test_a_closed_client_fails_at_once():
    async with chain_node() as made, chain(made, real_time=True) as opened:
        await opened.ledger_entries(KEYS[:1])
        await opened.close()
        began = time.monotonic()
        with pytest.raises(SourceUnavailableError, match="closed"):
            await opened.ledger_entries(KEYS[:1])
        assert time.monotonic() - began < 1


# --- the reading of an answer -----------------------------------------------------------------------

some_keys = st.lists(st.sampled_from(KEYS), min_size=1, max_size=20, unique=True)


@given(asked=some_keys, data=st.data())
def test_whatever_part_of_the_keys_exists_is_read_in_any_order(asked, data):
    there = data.draw(st.lists(st.sampled_from(asked), unique=True))
    until = data.draw(st.none() | st.integers(0, 2**32 - 1))
    latest = data.draw(st.integers(7, 2**31 - 1))
    result = {"entries": [item(key, liveUntilLedgerSeq=until) for key in there], "latestLedger": latest}
    read = read_ledger_entries(result, asked)
    assert read.ledger == latest
    assert read.entries == {key: LedgerEntry(key, data_of(key), 7, until) for key in there}


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**33) | st.text(max_size=9) | st.sampled_from(["AAAAAA==", "AAAA"]),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(["entries", "latestLedger", "key", "xdr", "lastModifiedLedgerSeq", "liveUntilLedgerSeq"]),
            below,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(result=junk)
def test_any_json_is_an_answer_or_a_refusal(result):
    try:
        read = read_ledger_entries(result, KEYS[:3])
    except BadPageError:
        return
    assert set(read.entries) <= set(KEYS[:3])


def test_keys_are_sent_as_base64_in_the_order_given():
    assert ledger_entries_params(KEYS[:2]) == {"keys": [b64encode(key).decode() for key in KEYS[:2]]}
