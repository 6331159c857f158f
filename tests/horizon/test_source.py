"""The source's promise over servers that behave: whole, exact, proven, with few requests, never a secret."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from stellarstream_core.errors import SettingsError, SourceUnavailableError, SourceUnusableError
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Reason
from stellarstream_core.testing.rpc_node import Faults
from stellarstream_horizon.source import HorizonSource
from stellarstream_horizon.toid import ledger_token, transaction_token
from tests.horizon.history import History, get_events_expected, pubnet_ledger, sandbox_history
from tests.horizon.kit import EVERYTHING, assert_exact, read, settings, source
from tests.horizon.node import Fault, HorizonNode

PUBNET = "Public Global Stellar Network ; September 2015"
ALL = LedgerRange(2, 201)


@pytest.mark.parametrize("sequence", [51000294, 63092988, 63092996])
@pytest.mark.parametrize("prove", [True, False])
async def test_a_recorded_pubnet_ledger_gives_the_very_rows_that_stellar_rpc_gives(sequence, prove):
    expected = get_events_expected(sequence)
    history = History({sequence: pubnet_ledger(sequence)}, expected, PUBNET)
    async with HorizonNode(history) as node, source(node, prove=prove) as opened:
        result = await read(opened, LedgerRange(sequence, sequence))
    (window,) = result.windows
    assert list(window.events) == expected
    assert len(expected) > 500
    assert window.evidence is (Evidence.PROVEN if prove else Evidence.SCANNED)
    assert window.flavour == ("meta-v4-backfilled" if sequence < 60_000_000 else "meta-v4-classic")


@pytest.mark.parametrize(
    "wanted", [ALL, LedgerRange(2, 2), LedgerRange(201, 201), LedgerRange(50, 51), LedgerRange(100, 190)]
)
async def test_any_range_is_whole_exact_and_proven(wanted):
    history = sandbox_history()
    async with HorizonNode(history) as node, source(node) as opened:
        assert_exact(await read(opened, wanted), wanted, EVERYTHING, history)


async def test_a_scope_gets_its_own_events_and_no_others():
    history = sandbox_history()
    scope = Scope.of([history.contracts["streams-v2"], history.contracts["streams-v1"]])
    async with HorizonNode(history) as node, source(node) as opened:
        result = await read(opened, ALL, scope)
    assert_exact(result, ALL, scope, history)
    assert {event.contract_id for event in result.events} == set(scope.members)


async def test_unproven_reading_gives_the_same_rows():
    history = sandbox_history()
    async with HorizonNode(history) as node, source(node, prove=False) as opened:
        assert_exact(await read(opened, ALL), ALL, EVERYTHING, history, Evidence.SCANNED)


async def test_numbers_may_be_text_and_the_server_may_live_below_a_path():
    history = sandbox_history()
    async with HorizonNode(history, path="/horizon/api") as node:
        node.text_numbers = True
        async with source(f"{node.url}/", passphrase=history.passphrase) as opened:
            assert (await opened.identity()).passphrase == history.passphrase
            assert_exact(await read(opened, ALL), ALL, EVERYTHING, history)
            assert all(path.startswith("/horizon/api/") for _, path in node.requests)


async def test_small_pages_and_small_pieces_change_nothing():
    history = sandbox_history()
    async with (
        HorizonNode(history) as node,
        source(node, page_limit=7, piece_transactions=40, pieces_in_flight=5, max_in_flight=3) as opened,
    ):
        node.delay = 0.001
        assert_exact(await read(opened, ALL), ALL, EVERYTHING, history)
        assert node.most_in_flight == 3


async def test_a_server_that_takes_smaller_pages_only_gets_smaller_ones():
    history = sandbox_history()
    async with HorizonNode(history) as node, source(node) as opened:
        node.max_limit = 30
        assert_exact(await read(opened, ALL), ALL, EVERYTHING, history)


async def test_an_answer_that_is_too_large_is_asked_for_in_smaller_pages():
    history = sandbox_history()
    async with HorizonNode(history) as node, source(node, max_response_bytes=100_000) as opened:
        assert_exact(await read(opened, LedgerRange(2, 120)), LedgerRange(2, 120), EVERYTHING, history)


# --- how many requests ----------------------------------------------------------------------


async def opened_and_known(opened: HorizonSource, node: HorizonNode) -> None:
    await opened.reach()
    node.requests.clear()


async def test_a_long_range_is_read_by_pages_with_no_more_requests_than_its_records_need():
    history = sandbox_history()
    transactions = sum(len(ledger.transactions) for ledger in history.ledgers.values())
    async with HorizonNode(history) as node, source(node) as opened:
        await opened_and_known(opened, node)
        await read(opened, ALL)
        pieces = 2
        assert node.counts() == {"ledgers": pieces, "transactions": node.count("transactions")}
        assert node.count("transactions") <= -(-transactions // 200) + pieces - 1


async def test_one_ledger_is_read_by_itself_with_two_requests():
    history = sandbox_history()
    async with HorizonNode(history) as node, source(node) as opened:
        await opened_and_known(opened, node)
        await read(opened, LedgerRange(201, 201))
        assert node.counts() == {"ledger": 1, "ledger-transactions": 1}


async def test_where_pages_save_nothing_each_ledger_is_asked_for_by_itself():
    history = sandbox_history(ledgers=12, transactions=60, seed=4)
    async with HorizonNode(history) as node, source(node, page_limit=30) as opened:
        await opened_and_known(opened, node)
        full = [ledger for ledger, one in history.ledgers.items() if len(one.transactions) > 30]
        await read(opened, LedgerRange(2, 13))
        by_ledger = sum(-(-len(one.transactions) // 30) for one in history.ledgers.values())
        by_page = -(-sum(len(one.transactions) for one in history.ledgers.values()) // 30)
        assert full
        assert by_page < by_ledger
        assert node.count("transactions", "ledger-transactions") <= by_ledger


async def test_ledgers_without_transactions_cost_no_request_of_their_own():
    history = sandbox_history(ledgers=40, transactions=0)
    async with HorizonNode(history) as node, source(node) as opened:
        await opened_and_known(opened, node)
        assert_exact(await read(opened, LedgerRange(2, 41)), LedgerRange(2, 41), EVERYTHING, history)
        busy = sum(bool(one.transactions) for one in history.ledgers.values())
        assert node.count("ledgers", "ledger") == 1
        assert node.count("transactions", "ledger-transactions") <= busy


async def test_a_range_that_begins_after_the_oldest_ledger_is_not_clamped_to_it():
    """To Horizon the oldest ledger's own token is a cursor before its history."""
    history = sandbox_history()
    history.oldest = 20
    async with HorizonNode(history) as node, source(node) as opened:
        await opened_and_known(opened, node)
        assert_exact(await read(opened, LedgerRange(22, 60)), LedgerRange(22, 60), EVERYTHING, history)
        assert node.count("ledgers") == 1
        assert node.count("ledger", "root") == 0


async def test_a_server_that_fails_is_not_asked_for_all_the_rest():
    history = sandbox_history()
    async with HorizonNode(history) as node, source(node, page_limit=20, max_retries=2, pieces_in_flight=1) as opened:
        await opened_and_known(opened, node)
        node.faults = Faults(rates={Fault.BUSY: 1.0}, in_a_row=10**9, methods=["transactions"])
        result = await read(opened, ALL)
        assert result.missing.ranges == (ALL,)
        assert node.count("transactions") <= 4 * 2 * (3 + 2 + 2)


async def test_failed_transactions_are_always_asked_for():
    history = sandbox_history()
    assert any(not one.succeeded for ledger in history.ledgers.values() for one in ledger.transactions)
    async with HorizonNode(history) as node, source(node) as opened:
        await read(opened, ALL)
        asked = [path for kind, path in node.requests if "transactions" in kind]
        assert asked
        assert all("include_failed=true" in path for path in asked)


# --- what a server has ----------------------------------------------------------------------


async def test_the_reach_is_what_the_server_keeps_and_its_latest_never_goes_back():
    history = sandbox_history()
    history.oldest = 20
    async with HorizonNode(history) as node, source(node) as opened:
        reach = await opened.reach()
        assert (reach.oldest, reach.latest, reach.ledger_seconds) == (20, 201, 5.0)
        assert reach.latest_closed_at == history.ledgers[201].close_time
        node.lag = 30
        assert (await opened.reach()).latest == 201


async def test_ledgers_outside_the_reach_are_named():
    history = sandbox_history()
    history.oldest, history.latest = 20, 180
    async with HorizonNode(history) as node, source(node) as opened:
        result = await read(opened, ALL)
    assert_exact(result, ALL, EVERYTHING, history)
    assert {(gap.range, gap.reason) for gap in result.gaps} == {
        (LedgerRange(2, 19), Reason.OUT_OF_RETENTION),
        (LedgerRange(181, 201), Reason.BEYOND_TIP),
    }


async def test_a_clamped_page_is_never_taken_for_the_ledgers_asked_for():
    """The server says that it keeps ledger 2 and begins at 40 without a word."""
    history = sandbox_history()
    history.oldest = 40
    async with HorizonNode(history) as node, source(node) as opened:
        node.elder_said = 2
        assert (await opened.reach()).oldest == 2
        result = await read(opened, ALL)
    assert_exact(result, ALL, EVERYTHING, history)
    assert result.missing.ranges == (LedgerRange(2, 39),)
    assert result.reasons == {Reason.MISSING}


async def test_a_clamped_single_ledger_is_named_as_gone():
    history = sandbox_history()
    history.oldest = 40
    async with HorizonNode(history) as node, source(node) as opened:
        node.elder_said = 2
        result = await read(opened, LedgerRange(5, 5))
    assert [(gap.range, gap.reason) for gap in result.gaps] == [(LedgerRange(5, 5), Reason.OUT_OF_RETENTION)]


async def test_ledgers_dropped_while_they_are_read_are_named_and_the_rest_is_exact():
    history = sandbox_history()
    async with HorizonNode(history) as node, source(node) as opened:
        await opened.reach()
        node.reap_by = 60
        result = await read(opened, ALL)
    assert_exact(result, ALL, EVERYTHING, history)
    assert result.reasons == {Reason.OUT_OF_RETENTION}
    assert result.missing.ranges[0].first == 2
    assert result.covered.ranges[-1].last == 201


@pytest.mark.parametrize("holes", [{100}, {150, 151, 152}, set(range(60, 170)), {201}, {2}])
async def test_holes_in_a_servers_history_are_named_as_missing_and_cost_few_requests(holes):
    history = sandbox_history()
    async with HorizonNode(history) as node, source(node) as opened:
        await opened.reach()
        node.holes = frozenset(holes)
        result = await read(opened, ALL)
    assert_exact(result, ALL, EVERYTHING, history)
    assert {ledger for gap in result.missing for ledger in range(gap.first, gap.last + 1)} == holes
    assert result.reasons <= {Reason.MISSING, Reason.BEYOND_TIP}
    assert node.count() < 60


async def test_the_hash_of_a_ledger_is_its_headers_and_none_where_it_is_not_there():
    history = sandbox_history()
    history.oldest = 20
    async with HorizonNode(history) as node, source(node) as opened:
        await opened.reach()
        node.holes = frozenset({50})
        assert await opened.ledger_hash(100) == history.ledgers[100].hash.hex()
        assert await opened.ledger_hash(50) is None
        assert await opened.ledger_hash(10) is None


# --- who can serve --------------------------------------------------------------------------


async def test_identity_says_which_network_and_server_this_is():
    history = sandbox_history()
    async with HorizonNode(history) as node, source(node) as opened:
        identity = await opened.identity()
    assert identity.passphrase == history.passphrase
    assert (identity.version, identity.protocol, identity.warnings) == ("28.0.0-made", 28, ())
    assert identity.endpoints == (node.url,)


@pytest.mark.parametrize("metas", ["skipped", "emptied"])
async def test_a_server_without_meta_is_refused_at_start_with_what_to_use_instead(metas):
    async with HorizonNode(sandbox_history()) as node, source(node) as opened:
        node.metas = metas
        with pytest.raises(SourceUnusableError, match="result_meta_xdr") as caught:
            await opened.identity()
        assert "lake_url" in caught.value.help
        assert "rpc_url" in caught.value.help
        result = await read(opened, ALL)
        assert result.missing.ranges == (ALL,)
        assert result.reasons == {Reason.UNSUPPORTED}


async def test_meta_is_looked_for_further_back_where_the_latest_transactions_show_nothing():
    """The latest ledgers hold no transaction, or failed ones only, whose meta says nothing."""
    history = sandbox_history(ledgers=60)
    for sequence in range(30, 62):
        one = history.ledgers[sequence]
        failed = tuple(t for t in one.transactions if not t.succeeded) if sequence < 50 else ()
        history.ledgers = {
            **history.ledgers,
            sequence: type(one)(one.sequence, one.hash, one.header, one.previous_hash, one.close_time, failed),
        }
    async with HorizonNode(history) as node:
        async with source(node, page_limit=2) as opened:
            assert (await opened.identity()).version
        node.metas = lambda ledger: "kept" if ledger >= 30 else "emptied"
        async with source(node) as opened:
            with pytest.raises(SourceUnusableError, match="is empty"):
                await opened.identity()


async def test_ledgers_that_were_stored_without_meta_are_named_and_the_others_are_exact():
    history = sandbox_history()
    async with HorizonNode(history) as node, source(node) as opened:
        node.metas = lambda ledger: "emptied" if 100 <= ledger < 140 else "kept"
        result = await read(opened, ALL)
    assert_exact(result, ALL, EVERYTHING, history)
    empty = {ledger for ledger in range(100, 140) if history.ledgers[ledger].succeeded}
    assert {ledger for gap in result.missing for ledger in range(gap.first, gap.last + 1)} == empty
    assert result.reasons == {Reason.UNSUPPORTED}
    assert any("is empty" in gap.detail for gap in result.gaps)


async def test_where_nothing_can_be_read_the_rest_is_not_tried():
    history = sandbox_history()
    async with HorizonNode(history) as node, source(node, piece_transactions=60) as opened:
        await opened.reach()
        node.metas = "skipped"
        result = await read(opened, ALL)
    assert_exact(result, ALL, EVERYTHING, history)
    assert not [window for window in result.windows if window.events]
    assert node.count() < 45


async def test_another_network_is_told_by_its_passphrase():
    history = sandbox_history()
    async with HorizonNode(history) as node, source(node, passphrase="Another Network") as opened:
        assert (await opened.identity()).passphrase == history.passphrase
        result = await read(opened, LedgerRange(5, 9))
        assert result.reasons == {Reason.UNSUPPORTED}


async def test_a_server_of_another_network_beside_a_good_one_is_left_out_with_a_warning():
    good, other = sandbox_history(), sandbox_history()
    async with HorizonNode(good) as node, HorizonNode(other) as foreign:
        foreign.passphrase = "Another Network"
        async with source(foreign, node) as opened:
            identity = await opened.identity()
            assert identity.passphrase == good.passphrase
            assert "another network" in identity.warnings[0]
            assert_exact(await read(opened, ALL), ALL, EVERYTHING, good)
        assert foreign.count("transactions") == 0


async def test_an_address_without_a_horizon_is_unavailable():
    history = sandbox_history()
    async with HorizonNode(history, path="/horizon") as node:
        wrong = node.url.replace("/horizon", "/elsewhere")
        async with source(wrong, passphrase=history.passphrase, max_retries=1) as opened:
            with pytest.raises(Exception, match="no Horizon at this address"):
                await opened.identity()


async def test_nobody_listening_is_a_named_failure_without_waiting_for_ever():
    async with source("http://127.0.0.1:9/horizon", passphrase="x") as opened:
        with pytest.raises(SourceUnavailableError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
            await opened.identity()
        result = await read(opened, LedgerRange(5, 9))
        assert result.reasons == {Reason.UNAVAILABLE}


async def test_without_an_address_the_source_says_what_to_set():
    opened = HorizonSource(settings(passphrase="x"))
    with pytest.raises(SourceUnusableError, match="No Horizon") as caught:
        await opened.identity()
    assert "horizon_url" in caught.value.help
    await opened.close()


def test_a_bad_address_is_a_bad_setting():
    with pytest.raises(SettingsError, match="horizon_url"):
        HorizonSource(settings("ftp://host.example", passphrase="x"))


async def test_classic_events_that_the_server_does_not_keep_are_named_where_they_are_needed():
    """Horizon's default: meta of version 4 without classic and fee events (EMIT_VERBOSE_META off)."""
    history = sandbox_history(ledgers=40)
    stripped = {sequence: _without_fee_events(one) for sequence, one in history.ledgers.items()}
    bare = History(stripped, history.events, history.passphrase, history.contracts)
    ours = Scope.of([history.contracts["streams-v2"]])
    wanted = LedgerRange(2, 41)
    async with HorizonNode(bare) as node:
        async with source(node) as opened:
            assert_exact(await read(opened, wanted, ours), wanted, ours, history)
        async with source(node) as opened:
            result = await read(opened, wanted)
            assert result.reasons == {Reason.UNSUPPORTED}
            assert not result.events
        async with source(node, classic_events="optional") as opened:
            result = await read(opened, wanted)
            assert not result.gaps
            assert {window.flavour for window in result.windows} == {"meta-v4"}


def _without_fee_events(ledger):
    from stellar_sdk import xdr

    def stripped(transaction):
        meta = xdr.TransactionMeta.from_xdr_bytes(transaction.meta)
        meta.v4.events = []
        return replace(transaction, meta=meta.to_xdr_bytes())

    return type(ledger)(
        ledger.sequence,
        ledger.hash,
        ledger.header,
        ledger.previous_hash,
        ledger.close_time,
        tuple(map(stripped, ledger.transactions)),
    )


# --- failing over ---------------------------------------------------------------------------


async def test_a_server_that_goes_away_is_replaced_by_the_next():
    one, two = sandbox_history(), sandbox_history()
    async with HorizonNode(one) as first, HorizonNode(two) as second, source(first, second) as opened:
        await opened.identity()
        first.faults = Faults(rates={Fault.BUSY: 1.0}, in_a_row=10**9, methods=["ledgers", "transactions", "root"])
        assert_exact(await read(opened, ALL), ALL, EVERYTHING, one)
        assert second.count("transactions") > 0


async def test_what_the_first_server_no_longer_keeps_the_second_serves():
    one, two = sandbox_history(), sandbox_history()
    one.oldest = 150
    async with HorizonNode(one) as first, HorizonNode(two) as second, source(first, second) as opened:
        result = await read(opened, ALL)
        assert_exact(result, ALL, EVERYTHING, two)
        assert not result.gaps


async def test_what_one_server_lacks_another_serves():
    one, two = sandbox_history(), sandbox_history()
    async with HorizonNode(one) as first, HorizonNode(two) as second, source(first, second) as opened:
        await opened.reach()
        first.holes = frozenset(range(50, 90))
        second.holes = frozenset(range(120, 125))
        first.metas = lambda ledger: "emptied" if ledger > 170 else "kept"
        result = await read(opened, ALL)
        assert_exact(result, ALL, EVERYTHING, two)
        assert not result.gaps


async def test_closing_the_generator_ends_its_requests():
    history = sandbox_history()
    async with HorizonNode(history) as node, source(node, piece_transactions=20, page_limit=5) as opened:
        await opened.reach()
        node.holes = frozenset({20})
        items = opened.windows(ALL, EVERYTHING)
        await anext(items)
        await items.aclose()
        asked = node.count()
        assert asked < 200
        await asyncio.sleep(0.05)
        assert node.count() == asked


async def test_a_ledger_that_follows_is_joined_to_the_one_before_without_asking_for_it():
    """Another chain's ledger after one that was handed over is named, not stored."""
    history, other = sandbox_history(), sandbox_history(seed=2)
    async with HorizonNode(history) as node, source(node) as opened:
        await read(opened, LedgerRange(50, 50))
        node.requests.clear()
        assert not (await read(opened, LedgerRange(51, 51))).gaps
        assert node.counts() == {"ledger": 1, "ledger-transactions": 1}
        node.history = other
        result = await read(opened, LedgerRange(52, 52))
        assert result.reasons == {Reason.PROOF_FAILED}
        assert "chain-break" in result.gaps[0].detail


@pytest.mark.parametrize("secret", ["k3y9", "a-longer-secret-key"])
async def test_no_secret_of_an_address_is_ever_shown(secret):
    from loguru import logger

    logger.enable("stellarstream_horizon")
    logger.enable("stellarstream_core.endpoints")
    shown: list[str] = []
    sink = logger.add(shown.append, level="DEBUG")
    history = sandbox_history(ledgers=20)
    faults = Faults([Fault.BUSY, Fault.GARBAGE, Fault.RESET], methods=["root"])
    async with HorizonNode(history, path=f"/{secret}", faults=faults) as node:
        url = f"{node.url.replace('http://', f'http://user:{secret}@')}?apikey={secret}"
        async with source(url, passphrase=history.passphrase) as opened:
            identity = await opened.identity()
            node.holes = frozenset({10})
            result = await read(opened, LedgerRange(2, 25))
        assert [path for _, path in node.requests if secret in path]
        assert all(f"apikey={secret}" in path for _, path in node.requests)
    logger.remove(sink)
    said = [*shown, str(identity), *(gap.detail for gap in result.gaps)]
    assert len(said) > 5
    assert not [line for line in said if secret in line]


def test_tokens_are_those_of_sep_35():
    """As recorded: a transaction of ledger 52476803 has the token 225386152684322816."""
    assert transaction_token(52476803, 168) == 225386152684322816
    assert ledger_token(52476803) == 52476803 << 32
