"""What the source says of itself and of its nodes: identity, reach, hashes; and which nodes it never uses."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

import orjson
import pytest

from stellarstream_core.errors import (
    SettingsError,
    SourceMisbehavedError,
    SourceUnavailableError,
    SourceUnusableError,
)
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reason
from stellarstream_core.testing.rpc_history import MadeHistory, made_close_time, varied_history
from stellarstream_core.testing.rpc_node import TRANSIENT, Fault, Faults
from stellarstream_soroban_rpc import register_settings, register_sources
from stellarstream_soroban_rpc.rpc_source import ALL_RANGES_EVERY
from stellarstream_soroban_rpc.settings import SorobanRpcSettings
from stellarstream_soroban_rpc.source import SorobanRpcSource
from tests.paths import fixture
from tests.soroban_rpc.kit import NATIVE, PASSPHRASE, A, B, Clock, assert_exact, node, read, settings, source

DEAD = "http://127.0.0.1:9"


def history(latest: int = 1_000) -> MadeHistory:
    return MadeHistory(varied_history(LedgerRange(300, 600), [A, B, NATIVE], seed=2), 1, latest)


# --- registration ---------------------------------------------------------------------------


async def test_the_plugin_offers_the_source_and_its_settings():
    assert (register_settings().name, register_settings().model) == ("soroban-rpc", SorobanRpcSettings)
    spec, _ = register_sources()
    assert spec.name == "soroban-rpc"
    assert not spec.capabilities.provable
    assert spec.configured(settings("http://127.0.0.1:1"))
    assert not spec.configured(settings())
    opened = await spec.open(settings("http://127.0.0.1:1"))
    assert isinstance(opened, SorobanRpcSource)
    await opened.close()
    await opened.close()


@pytest.mark.parametrize(
    "own", [{"margin": 63}, {"page_limit": 0}, {"page_limit": 10_001}, {"window": 500, "max_window": 100}, {"odd": 1}]
)
def test_settings_that_would_lose_events_or_make_no_sense_are_refused(own):
    with pytest.raises(SettingsError, match="soroban-rpc"):
        settings("http://127.0.0.1:1", **own)


def test_an_endpoint_that_is_no_address_is_a_bad_setting():
    with pytest.raises(SettingsError, match="rpc_url"):
        SorobanRpcSource(settings("not an address"))


# --- identity -------------------------------------------------------------------------------


async def test_identity_tells_network_version_and_endpoints_without_secrets():
    async with node(history()) as made, source(f"{made.url}/v1/a-secret-key?token=another") as opened:
        identity = await opened.identity()
        assert (identity.passphrase, identity.version, identity.protocol) == (PASSPHRASE, "28.0.0", 28)
        assert identity.endpoints == (made.url,)
        assert identity.warnings == ()


async def test_an_old_node_is_refused_before_anything_is_read():
    async with node(history(), version="22.1.5") as made, source(made) as opened:
        with pytest.raises(SourceUnusableError, match=r"22\.1\.5.*v23"):
            await opened.identity()
        assert made.count("getEvents") == 0


async def test_a_node_with_the_filter_bug_and_one_without_version_are_used_with_a_warning():
    async with (
        node(history(), version="27.1.0") as buggy,
        node(history(), version=None) as silent,
        source(buggy, silent) as opened,
    ):
        warnings = (await opened.identity()).warnings
        assert "nothing is lost here" in warnings[0]
        assert "cannot be checked" in warnings[1]


async def test_a_single_endpoint_of_another_network_is_shown_as_what_it_is():
    async with node(history()) as made, source(made, passphrase="Another Network") as opened:
        assert (await opened.identity()).passphrase == PASSPHRASE
        assert made.count("getEvents") == 0


async def test_an_endpoint_of_another_network_is_never_read():
    made = history()
    async with node(made) as foreign, node(made) as right:
        foreign.passphrase = "Another Network"
        async with source(foreign, right) as opened:
            identity = await opened.identity()
            assert identity.passphrase == PASSPHRASE
            assert "another network" in identity.warnings[0]
            result = await read(opened, LedgerRange(200, 700), Scope.of([A]))
            assert_exact(result, LedgerRange(200, 700), Scope.of([A]), made)
            assert not result.gaps
            assert foreign.count("getEvents") == 0


async def test_without_any_endpoint_of_the_network_nothing_is_read_and_the_range_is_named():
    async with node(history()) as foreign, source(foreign, passphrase="Another Network") as opened:
        result = await read(opened, LedgerRange(200, 700), Scope.of([A]))
        assert result.reasons == {Reason.UNSUPPORTED}
        assert "another network" in result.gaps[0].detail
        with pytest.raises(SourceUnusableError):
            await opened.reach()
        with pytest.raises(SourceUnusableError):
            await opened.ledger_hash(300)


async def test_an_endpoint_that_does_not_answer_yet_is_no_obstacle():
    async with node(history()) as made, source(DEAD, made) as opened:
        identity = await opened.identity()
        assert identity.version == "28.0.0"
        assert "does not answer yet" in identity.warnings[0]


async def test_no_endpoint_at_all_is_told():
    async with source() as opened:
        with pytest.raises(SourceUnusableError, match="No Soroban RPC endpoint"):
            await opened.identity()


async def test_endpoints_that_never_answer_end_the_retries_with_one_clear_error():
    clock = Clock()
    async with source(DEAD, clock=clock, max_retries=4) as opened:
        with pytest.raises(SourceUnavailableError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
            await opened.identity()
        assert 1 <= len(clock.slept) <= 5


@pytest.mark.parametrize("fault", [fault for fault in TRANSIENT if fault.name.isupper()])
async def test_start_up_survives_whatever_goes_wrong_once(fault):
    methods = ["getNetwork", "getVersionInfo", "getHealth"]
    for method in methods:
        async with node(history(), faults=Faults([fault], methods=[method])) as made, source(made) as opened:
            assert (await opened.identity()).passphrase == PASSPHRASE


# --- reach ----------------------------------------------------------------------------------


async def test_reach_tells_oldest_latest_close_time_and_pace():
    async with node(history()) as made, source(made) as opened:
        reach = await opened.reach()
        assert (reach.oldest, reach.latest) == (1, 1_000)
        assert reach.latest_closed_at == made_close_time(1_000)
        assert reach.ledger_seconds == 5


async def test_a_stale_node_still_tells_what_it_has():
    async with node(history()) as made, source(made) as opened:
        made.stale = True
        reach = await opened.reach()
        assert (reach.oldest, reach.latest, reach.latest_closed_at) == (1, 1_000, None)


async def test_latest_never_goes_back():
    async with node(history()) as made, source(made) as opened:
        assert (await opened.reach()).latest == 1_000
        made.lag = 20
        assert (await opened.reach()).latest == 1_000
        made.history.latest = 1_100
        assert (await opened.reach()).latest == 1_080


async def test_reach_is_that_of_all_endpoints_together():
    archive, fresh = history(900), history(1_000)
    fresh.oldest = 500
    async with node(fresh) as first, node(archive) as second, source(first, second) as opened:
        reach = await opened.reach()
        assert (reach.oldest, reach.latest) == (1, 1_000)


async def test_the_preferred_endpoint_is_asked_often_and_the_others_now_and_then():
    clock = Clock()
    async with node(history()) as first, node(history()) as second, source(first, second, clock=clock) as opened:
        for _ in range(5):
            await opened.reach()
        assert (first.count("getHealth"), second.count("getHealth")) == (6, 2)
        clock.time += ALL_RANGES_EVERY + 1
        first.lag = 100
        second.history.latest = 1_050
        assert (await opened.reach()).latest == 1_050


async def test_reach_goes_to_the_next_endpoint_where_the_first_fails():
    async with node(history()) as first, node(history(1_010)) as second, source(first, second) as opened:
        await opened.reach()
        first.faults = Faults(rates={Fault.RESET: 1.0}, in_a_row=10**6, methods=["getHealth", "getEvents"])
        assert (await opened.reach()).latest == 1_010


# --- ledger hashes --------------------------------------------------------------------------


async def test_a_ledger_hash_is_told_where_the_node_has_the_ledger():
    async with node(history()) as made, source(made) as opened:
        assert await opened.ledger_hash(500) == made.history.ledger_hash(500)
        assert await opened.ledger_hash(1_001) is None
        made.history.oldest = 600
        assert await opened.ledger_hash(500) is None


async def test_a_recorded_header_is_checked_against_its_hash():
    recorded = orjson.loads(fixture("rpc/rpc-corpus-ledgers.json").read_bytes())["records"]
    one = recorded[0]
    from binascii import a2b_base64

    raw = a2b_base64(one["headerXdr"])
    ledger, true_hash = one["sequence"], raw[:32].hex()
    made = MadeHistory([], ledger - 5, ledger + 5)
    made.ledger_hash = lambda _: true_hash
    async with node(made) as serving, source(serving, max_retries=1) as opened:
        serving.headers = {ledger: one["headerXdr"]}
        assert await opened.ledger_hash(ledger) == true_hash
        made.ledger_hash = lambda _: "0" * 64
        with pytest.raises(SourceMisbehavedError, match="not its header's"):
            await opened.ledger_hash(ledger)
        altered = bytearray(raw)
        altered[100] ^= 1
        serving.headers = {ledger: b64encode(altered).decode()}
        made.ledger_hash = lambda _: true_hash
        with pytest.raises(SourceMisbehavedError, match="not its header's"):
            await opened.ledger_hash(ledger)


async def test_the_hash_of_another_ledger_is_not_taken_and_the_next_endpoint_asked():
    lying = history()
    lying.ledger_hash = lambda ledger: "xyz"
    async with node(lying) as first, node(history()) as second, source(first, second) as opened:
        assert await opened.ledger_hash(500) == sha256(b"ledger 500").hexdigest()


async def test_a_node_without_get_ledgers_tells_no_hash():
    async with node(history()) as made, source(made) as opened:
        await opened.reach()
        made._result = _without(made._result, "getLedgers")
        assert await opened.ledger_hash(500) is None


def _without(answer, method):
    from stellarstream_core.testing.rpc_node import METHOD_NOT_FOUND, NodeError

    def answered(name, params, fault):
        if name == method:
            raise NodeError(METHOD_NOT_FOUND, "method not found")
        return answer(name, params, fault)

    return answered


async def test_a_window_that_ends_at_the_latest_ledger_tells_when_that_closed():
    made = history()
    async with node(made) as one, source(one) as opened:

        async def told(first: int, last: int) -> int | None:
            found = await read(opened, LedgerRange(first, last), Scope.of([A]))
            return {window.range.last: window.closed_at for window in found.windows}[last]

        assert await told(900, 1_000) == made_close_time(1_000)
        made.latest = 1_001
        await opened.reach()
        made.latest = 1_003
        assert await told(1_001, 1_001) == made_close_time(1_001), "it was the latest when its reach was asked for"
        assert await told(1_002, 1_002) is None, "nobody told"
