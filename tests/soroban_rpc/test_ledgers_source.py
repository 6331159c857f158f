"""Every trap of getLedgers, shown by a node, and what must hold in spite of it."""

from __future__ import annotations

import asyncio
import random
import time
from hashlib import sha256

import pytest
from stellar_sdk import xdr

from stellarstream_core.certificates import Breach
from stellarstream_core.errors import ProtocolUpgradeNeededError, SourceUnusableError
from stellarstream_core.ledger_windows import LedgerWindows
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reason, Unserved, Window
from stellarstream_core.testing.rpc_node import LEDGER_FAULTS, Fault, Faults
from stellarstream_soroban_rpc import ledgers_reading, register_sources
from stellarstream_soroban_rpc.ledgers_source import SorobanRpcLedgersSource
from tests.soroban_rpc.kit import Clock, read, settings
from tests.soroban_rpc.ledgers_kit import (
    CONFIG,
    EVERY,
    FIRST,
    LAST,
    WHOLE,
    assert_exact,
    contracts,
    expected,
    history,
    node,
    simulation,
    source,
)

DEAD = "http://127.0.0.1:9"
TRANSPORT_FAULTS = (
    Fault.BUSY,
    Fault.THROTTLED,
    Fault.RESET,
    Fault.TRUNCATED,
    Fault.GARBAGE,
    Fault.NOT_AN_ANSWER,
    Fault.WRONG_ID,
    Fault.WRONG_SHAPE,
    Fault.INTERNAL,
    Fault.PANICKED,
    Fault.TOO_MUCH,
    Fault.DB_READ_FAILED,
    Fault.QUEUE_FULL,
    Fault.LAGGING,
)
HARMLESS = {Fault.LEDGERS_TURNED}


def of_ledgers(*script: Fault | None, **options) -> Faults:
    """Return faults of getLedgers; the first request is the source's own question whether the node has it."""
    return Faults([None, *script], methods=["getLedgers"], **options)


def always(fault: Fault) -> Faults:
    return of_ledgers(rates={fault: 1.0}, in_a_row=10**6)


async def whole(opened, wanted: LedgerRange = WHOLE, scope: Scope = EVERY):
    """Read a range of which nothing may be missing."""
    result = await read(opened, wanted, scope)
    assert_exact(result, wanted, scope)
    assert not result.gaps, result.gaps
    return result


# --- what it is -----------------------------------------------------------------------------------


async def test_the_plugin_offers_the_source():
    _, spec = register_sources()
    assert spec.name == "soroban-rpc-ledgers"
    capabilities = spec.capabilities
    assert (capabilities.provable, capabilities.max_contracts, capabilities.live, capabilities.cost) == (
        True,
        None,
        True,
        300,
    )
    assert spec.configured(settings("http://127.0.0.1:1"))
    assert not spec.configured(settings())
    opened = await spec.open(settings("http://127.0.0.1:1"))
    assert isinstance(opened, SorobanRpcLedgersSource)
    await opened.close()


async def test_identity_and_reach_are_those_of_the_node():
    async with node() as made, source(made) as opened:
        identity = await opened.identity()
        assert (identity.passphrase, identity.version, identity.warnings) == (CONFIG.passphrase, "28.0.0", ())
        reach = await opened.reach()
        assert (reach.oldest, reach.latest, reach.ledger_seconds) == (FIRST, LAST, 5.0)
        assert await opened.ledger_hash(50) == history().ledger_hash(50)


@pytest.mark.parametrize("version", ["22.1.5", "27.1.0", None])
async def test_any_version_will_do_because_ids_are_made_here(version):
    async with node(version=version) as made, source(made) as opened:
        assert (await opened.identity()).warnings == ()
        await whole(opened, LedgerRange(30, 40))


async def test_a_node_without_get_ledgers_is_unusable_and_says_so():
    async with node() as made, source(made) as opened:
        made.offers_ledgers = False
        with pytest.raises(SourceUnusableError, match="does not offer getLedgers") as caught:
            await opened.identity()
        assert "rpc_url" in caught.value.help


async def test_a_node_without_get_ledgers_is_left_for_one_that_has_it():
    async with node() as without, node() as made, source(without, made) as opened:
        without.offers_ledgers = False
        assert "does not offer getLedgers. It is not used." in (await opened.identity()).warnings[0]
        await whole(opened, LedgerRange(30, 40))


@pytest.mark.parametrize("fault", [Fault.META_ABSENT, Fault.META_EMPTY])
async def test_a_node_that_hands_out_no_metas_is_unusable(fault):
    async with node(faults=Faults([fault], methods=["getLedgers"])) as made, source(made) as opened:
        with pytest.raises(SourceUnusableError, match="without their metadataXdr"):
            await opened.identity()


async def test_a_node_of_another_network_is_named_by_its_passphrase():
    async with node() as made:
        made.passphrase = "another network"
        async with source(made) as opened:
            assert (await opened.identity()).passphrase == "another network"
            assert made.count("getLedgers") == 0


# --- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [1, 2, 7, 200])
async def test_everything_is_read_and_proven_whatever_the_length_of_a_page(page):
    async with node() as made, source(made, page_ledgers=page) as opened:
        result = await whole(opened)
        assert len(result.windows) == 1
        for method, params in made.calls:
            if method == "getLedgers":
                assert "cursor" not in params["pagination"]


async def test_a_scope_gets_its_events_only():
    streams = Scope.of([contract for name, contract in contracts().items() if name.startswith("streams")])
    async with node() as made, source(made) as opened:
        assert (await whole(opened, scope=streams)).events()


async def test_without_proofs_the_same_events_come_as_scanned():
    scope = Scope.of([contracts()["silent"]])
    async with node() as made, source(made, prove=False) as opened:
        result = await read(opened, WHOLE, scope)
        assert_exact(result, WHOLE, scope, proven=False)


@pytest.mark.parametrize("wanted", [(2, 2), (2, 3), (50, 50), (60, 77), (121, 121), (120, 121)])
async def test_any_range_is_joined_to_its_neighbours_where_they_are_held(wanted):
    wanted = LedgerRange(*wanted)
    async with node() as made, source(made, page_ledgers=3) as opened:
        await opened.reach()
        before = len(made.calls)
        await whole(opened, wanted)
        asked = [params for method, params in made.calls[before:] if method == "getLedgers"]
        assert min(one["startLedger"] for one in asked) == max(wanted.first - 1, FIRST)
        assert max(one["startLedger"] + one["pagination"]["limit"] - 1 for one in asked) == min(wanted.last + 1, LAST)


async def test_following_asks_for_each_ledger_once():
    held = history(latest=100)
    async with node(held) as made, source(made) as opened:
        await whole(opened, LedgerRange(90, 100))
        before = made.count("getLedgers")
        for tip in range(101, 111):
            held.latest = tip
            assert (await opened.reach()).latest == tip
            await whole(opened, LedgerRange(tip, tip))
        asked = [params["startLedger"] for method, params in made.calls if method == "getLedgers"][before:]
        assert asked == list(range(101, 111))


async def test_pages_grow_while_ledgers_are_small_up_to_what_the_operator_allows():
    async with node() as made, source(made, ledger_pages_in_flight=1) as opened:
        made.max_ledgers = 20
        await whole(opened)
        limits = [params["pagination"]["limit"] for method, params in made.calls if method == "getLedgers"]
        assert limits[1:4] == [5, 10, 20]
        assert max(limits[4:-1]) <= 40
        assert made.count("getLedgers") < 14


async def test_pages_do_not_grow_where_ledgers_are_large(monkeypatch):
    monkeypatch.setattr(ledgers_reading, "ROOMY", 200_000)
    async with node() as made, source(made) as opened:
        await whole(opened)
        assert max(p["pagination"]["limit"] for method, p in made.calls if method == "getLedgers") < 20


async def test_an_answer_that_is_too_large_is_asked_for_in_shorter_pages():
    async with node() as made, source(made, max_response_bytes=100_000, page_ledgers=50) as opened:
        wanted = LedgerRange(2, 55)
        await whole(opened, wanted)


async def test_one_ledger_that_is_larger_than_what_is_read_is_a_gap_of_its_own():
    async with node() as made, source(made, max_response_bytes=65_536, max_retries=3) as opened:
        wanted = LedgerRange(56, 64)  # 60 has a transaction with 62 events
        result = await read(opened, wanted, EVERY)
        assert_exact(result, wanted, EVERY)
        sizes = {ledger: len(meta) * 4 // 3 for ledger, meta in simulation()[1].items() if wanted.holds(ledger)}
        large = [ledger for ledger, size in sizes.items() if size > 60_000]
        assert [item for gap in result.gaps for item in range(gap.range.first, gap.range.last + 1)] == large
        assert all("more than 65536 bytes" in gap.detail for gap in result.gaps)


async def test_a_smaller_page_limit_of_the_operator_is_kept_to():
    async with node() as made, source(made, page_ledgers=50) as opened:
        made.max_ledgers = 7
        await whole(opened)
        assert [p["pagination"]["limit"] for m, p in made.calls if m == "getLedgers"][-1] <= 7


async def test_error_32001_halves_the_page_for_good():
    async with node() as made, source(made, page_ledgers=40, ledger_pages_in_flight=1) as opened:
        made.most_ledgers_read = 12
        await whole(opened)
        limits = [p["pagination"]["limit"] for m, p in made.calls if m == "getLedgers"]
        assert limits[1:4] == [40, 20, 10]
        assert max(limits[3:]) == 10


async def test_one_ledger_that_stalls_every_node_is_a_gap_of_its_own():
    async with node() as made, source(made, max_retries=4, page_ledgers=1) as opened:
        made.poison = frozenset({57})
        result = await read(opened, WHOLE, EVERY)
        assert_exact(result, WHOLE, EVERY)
        assert (result.missing, result.reasons) == (RangeSet([(57, 57)]), {Reason.UNAVAILABLE})


# --- faults -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [*TRANSPORT_FAULTS, *LEDGER_FAULTS])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_passing_fault_costs_nothing_but_time(fault, times):
    faults = of_ledgers(*[fault] * times)
    async with node(faults=faults) as made, source(made, page_ledgers=6) as opened:
        await whole(opened, LedgerRange(10, 60))
        assert faults.met[fault] == times


@pytest.mark.parametrize("seed", range(6))
async def test_everything_is_read_though_every_third_answer_is_wrong(seed, monkeypatch):
    monkeypatch.setattr(ledgers_reading, "ROOMY", 1)
    rates = dict.fromkeys([*TRANSPORT_FAULTS, *LEDGER_FAULTS], 0.02)
    faults = Faults([None], rates=rates, seed=seed, methods=["getLedgers"], in_a_row=1)
    async with node(faults=faults) as made, source(made, page_ledgers=2, max_retries=40) as opened:
        result = await read(opened, LedgerRange(10, 80), EVERY)
        assert_exact(result, LedgerRange(10, 80), EVERY)
        assert faults.met.total() > 5


@pytest.mark.parametrize("fault", LEDGER_FAULTS)
async def test_a_node_that_lies_is_left_for_another_and_named_where_there_is_none(fault):
    wanted = LedgerRange(10, 60)
    async with node(faults=always(fault)) as liar, node() as honest, source(liar, honest, page_ledgers=6) as opened:
        await whole(opened, wanted)
    async with node(faults=always(fault)) as liar, source(liar, max_retries=3, page_ledgers=6) as opened:
        result = await read(opened, wanted, EVERY)
        assert_exact(result, wanted, EVERY)
        if fault in HARMLESS:
            assert not result.gaps
        elif fault is Fault.META_FLIPPED:
            assert result.reasons <= {Reason.PROOF_FAILED, Reason.MISBEHAVED}
            assert result.gaps
        elif result.gaps:
            assert result.reasons <= {Reason.MISSING, Reason.MISBEHAVED}


async def test_a_bit_flipped_in_any_ledger_is_named_with_the_broken_link_or_comes_from_another_endpoint():
    held = history()
    dice = random.Random(7)
    altered = sorted(dice.sample(range(12, 58), 6))
    for ledger in altered:
        raw = bytearray(held.metas[ledger])
        body = len(held.header(ledger).xdr) + 60
        raw[dice.randrange(body, len(raw))] ^= 1 << dice.randrange(8)
        held.metas[ledger] = bytes(raw)
    wanted = LedgerRange(10, 60)
    async with node(held) as forger, node() as honest:
        async with source(forger) as opened:
            result = await read(opened, wanted, EVERY)
            for gap in result.gaps:
                assert gap.range.size == 1
                assert gap.range.first in altered
                assert gap.reason in (Reason.PROOF_FAILED, Reason.MISBEHAVED)
                assert forger.url in gap.detail
            for window in result.windows:  # fees are in no hash: only there a bit may go unnoticed
                for event, true in zip(window.events, expected(window.range, None), strict=True):
                    assert event == true or event.ledger in altered
        async with source(forger, honest) as opened:
            result = await read(opened, wanted, EVERY)
            assert not result.gaps


async def test_an_event_dropped_from_an_invocation_is_the_link_that_is_named():
    held = history()
    held.metas[30] = without_its_last_event(held.metas[30])
    async with node(held) as made, source(made) as opened:
        result = await read(opened, LedgerRange(20, 40), EVERY)
        assert_exact(result, LedgerRange(20, 40), EVERY)
        (gap,) = result.gaps
        assert (gap.range, gap.reason) == (LedgerRange(30, 30), Reason.PROOF_FAILED)
        assert gap.detail.startswith(Breach.EVENTS.value)


def without_its_last_event(raw: bytes) -> bytes:
    """Return a ledger's meta without the last event of its first invocation that has any."""
    meta = xdr.LedgerCloseMeta.from_xdr_bytes(raw)
    for one in meta.v2.tx_processing:
        applied = one.tx_apply_processing.v4
        if applied.soroban_meta is not None and applied.operations and applied.operations[0].events:
            applied.operations[0].events.pop()
            return meta.to_xdr_bytes()
    raise AssertionError("there is no invocation with events")


# --- another chain -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [10, 11, 12, 35, 59, 60])
@pytest.mark.parametrize("page", [1, 6, 100])
async def test_one_ledger_of_another_chain_is_asked_for_elsewhere_before_it_is_a_gap(at, page):
    held = history()
    held.exchange(at, simulation(seed=2)[1][at])
    wanted = LedgerRange(10, 60)
    async with node(held) as forger, node() as honest:
        async with source(forger, honest, page_ledgers=page) as opened:
            await whole(opened, wanted)
        async with source(forger, page_ledgers=page) as opened:
            result = await read(opened, wanted, EVERY)
            assert at in result.missing
            assert result.reasons == {Reason.PROOF_FAILED}
            assert all(gap.detail.startswith(Breach.CHAIN.value) for gap in result.gaps)
            for window in result.windows:
                assert list(window.events) == expected(window.range, None)


async def test_a_stretch_of_another_chain_is_replaced_wholly():
    held = history()
    for ledger in range(30, 37):
        held.exchange(ledger, simulation(seed=2)[1][ledger])
    async with node(held) as forger, node() as honest, source(forger, honest, page_ledgers=4) as opened:
        await whole(opened, LedgerRange(10, 60))


async def test_the_ledger_before_ties_a_range_to_the_chain():
    held = history()
    for ledger in range(41, 46):
        held.exchange(ledger, simulation(seed=2)[1][ledger])
    async with node(held) as forger, source(forger) as opened:
        result = await read(opened, LedgerRange(41, 45), EVERY)
        assert not result.windows
        assert result.reasons == {Reason.PROOF_FAILED}


async def test_a_range_that_follows_on_one_that_was_handed_over_is_tied_to_it():
    first, other = history(latest=50), history(seed=2)
    async with node(first) as made, node() as honest, source(made, honest) as opened:
        await whole(opened, LedgerRange(40, 50))
        made.history = other
        await whole(opened, LedgerRange(51, 51))


# --- retention and the tip -----------------------------------------------------------------------------------


async def test_what_is_older_than_retention_is_named_and_the_rest_read():
    async with node(history(oldest=50)) as made, source(made) as opened:
        result = await read(opened, LedgerRange(30, 80), EVERY)
        assert_exact(result, LedgerRange(30, 80), EVERY)
        assert [(gap.range, gap.reason) for gap in result.gaps] == [(LedgerRange(30, 49), Reason.OUT_OF_RETENTION)]


async def test_ledgers_trimmed_while_they_are_read_are_named():
    held = history()
    async with node(held, faults=of_ledgers(None, Fault.TRIMMED)) as made, source(made, page_ledgers=5) as opened:
        made.trim_by = 30
        result = await read(opened, LedgerRange(2, 80), EVERY)
        assert_exact(result, LedgerRange(2, 80), EVERY)
        assert result.reasons == {Reason.OUT_OF_RETENTION}
        assert result.covered.covers(LedgerRange(32, 80))


async def test_what_one_endpoint_has_trimmed_another_serves():
    async with node(history(oldest=60)) as short, node() as archive, source(short, archive) as opened:
        await whole(opened, LedgerRange(30, 90))


@pytest.mark.parametrize("seed", range(5))
async def test_twins_behind_one_address_that_trimmed_differently_lose_nothing(seed):
    dice = random.Random(seed)
    twins = [history(oldest=10), history(oldest=40)]
    async with node(twins[0]) as made, source(made, page_ledgers=4, max_retries=30) as opened:
        await opened.reach()
        made.behind = lambda: dice.choice(twins)
        result = await read(opened, LedgerRange(20, 80), EVERY)
        assert_exact(result, LedgerRange(20, 80), EVERY)
        assert result.reasons <= {Reason.OUT_OF_RETENTION}
        assert result.covered.covers(LedgerRange(40, 80))


async def test_ledgers_beyond_the_tip_are_named():
    async with node(history(latest=100)) as made, source(made) as opened:
        result = await read(opened, LedgerRange(95, 110), EVERY)
        assert_exact(result, LedgerRange(95, 110), EVERY)
        assert [(gap.range, gap.reason) for gap in result.gaps] == [(LedgerRange(101, 110), Reason.BEYOND_TIP)]


async def test_a_lagging_node_is_left_for_one_that_is_not_and_named_where_there_is_none():
    async with node() as slow, node() as fast, source(slow, fast) as opened:
        await opened.reach()
        slow.lag = 20
        await whole(opened, LedgerRange(90, LAST))
    async with node() as slow, source(slow, max_retries=4) as opened:
        await opened.reach()
        slow.lag = 20
        result = await read(opened, LedgerRange(90, LAST), EVERY)
        assert_exact(result, LedgerRange(90, LAST), EVERY)
        assert (result.missing, result.reasons) == (RangeSet([(102, LAST)]), {Reason.BEYOND_TIP})


async def test_a_node_that_is_behind_for_a_moment_is_waited_for():
    faults = of_ledgers(Fault.LAGGING, Fault.LAGGING, Fault.LAGGING)
    async with node(faults=faults) as made, source(made) as opened:
        await whole(opened, LedgerRange(115, LAST))


# --- outages, memory, closing ----------------------------------------------------------------------------------


async def test_with_every_endpoint_down_the_range_is_given_up_in_bounded_time():
    clock = Clock()
    async with node(faults=always(Fault.BUSY)) as made, source(made, DEAD, clock=clock, page_ledgers=2) as opened:
        await opened.reach()
        began = clock.time
        result = await read(opened, WHOLE, EVERY)
        assert_exact(result, WHOLE, EVERY)
        assert result.reasons == {Reason.UNAVAILABLE}
        assert clock.time - began < 4 * 180


async def test_a_source_that_never_answered_names_the_whole_range():
    async with source(DEAD, max_retries=2) as opened:
        result = await read(opened, LedgerRange(5, 10), EVERY)
        assert [(gap.range, gap.reason) for gap in result.gaps] == [(LedgerRange(5, 10), Reason.UNAVAILABLE)]


async def test_a_slow_consumer_holds_the_reading_back(monkeypatch):
    monkeypatch.setattr("stellarstream_core.ledger_windows.MAX_LEDGERS", 3)
    async with node() as made, source(made, page_ledgers=2, ledger_pages_in_flight=3) as opened:
        monkeypatch.setattr(ledgers_reading, "ROOMY", 1)
        await opened.reach()
        windows = opened.windows(WHOLE, EVERY)
        assert isinstance(await anext(windows), Window)
        await asyncio.sleep(0.1)
        assert made.count("getLedgers") < 12
        await windows.aclose()
        before = len(made.calls)
        await asyncio.sleep(0.05)
        assert len(made.calls) == before


async def test_pages_are_read_side_by_side():
    async with node() as made, source(made, page_ledgers=3, ledger_pages_in_flight=4) as opened:
        await opened.reach()
        made.delay = 0.03
        await whole(opened)
        assert made.most_in_flight == 4


async def test_the_event_loop_goes_on_while_ledgers_are_taken_apart(monkeypatch):
    real = LedgerWindows.read

    def slow(self, sequence, meta):
        time.sleep(0.02)
        return real(self, sequence, meta)

    monkeypatch.setattr(LedgerWindows, "read", slow)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - began)

    async with node() as made, source(made, page_ledgers=20) as opened:
        watching = asyncio.create_task(watch())
        await whole(opened, LedgerRange(2, 60))
        watching.cancel()
    assert longest < 0.25


async def test_an_unknown_protocol_stops_the_source_after_what_comes_before_it(monkeypatch):
    real = LedgerWindows.read

    def newer(self, sequence, meta):
        if sequence == 40:
            raise ProtocolUpgradeNeededError("ledger 40: union arm 9 of TransactionMeta is not known")
        return real(self, sequence, meta)

    monkeypatch.setattr(LedgerWindows, "read", newer)
    found: list[Window | Unserved] = []
    async with node() as made, source(made, page_ledgers=6) as opened:
        windows = opened.windows(LedgerRange(20, 60), EVERY)
        found.append(await anext(windows))
        with pytest.raises(ProtocolUpgradeNeededError, match="ledger 40"):
            await anext(windows)
    assert RangeSet(item.range for item in found if isinstance(item, Window)) == RangeSet([(20, 39)])
    assert sha256(b"".join(event.value for item in found for event in item.events)).digest() == (
        sha256(b"".join(event.value for event in expected(LedgerRange(20, 39), None))).digest()
    )
