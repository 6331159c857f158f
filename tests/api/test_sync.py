"""``/sync``: of what it speaks, what it says of several contracts, and that many who ask cost one reading."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial
from time import monotonic

import orjson
import pytest

from stellarstream_core.api.resources import pages
from stellarstream_core.api.sources import SourceState
from stellarstream_core.api.sync_model import MOST_RANGES, SyncModel, sync_model
from stellarstream_core.cli.status import read_status
from stellarstream_core.errors import StorageError
from stellarstream_core.plugins import Plugins
from stellarstream_core.projection.tables import ProjectionRow, ReachRow, UnknownRow
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Reach
from stellarstream_core.storage import CoveredRange, Totals
from stellarstream_core.sync.report import Gap, read_coverage, stored_bounds
from stellarstream_core.sync.state import State, Tip, read_state
from stellarstream_core.testing.scripted import made_contract, made_event
from tests.api.conftest import heard, store

A, B, C = (made_contract(number) for number in range(3))
EVENTS = [made_event(ledger, contract=A) for ledger in range(100, 121)]
SHAPE = {
    "network": str,
    "contracts": list,
    "startLedger": int,
    "watermark": int,
    "heldBackBy": list,
    "lastCoveredLedger": int,
    "tip": None,
    "tipClosedAt": None,
    "lag": None,
    "lagSeconds": None,
    "asOfLedger": int,
    "complete": bool,
    "coverage": list,
    "gaps": list,
    "moreRanges": int,
    "evidence": dict,
    "sources": list,
    "projections": list,
    "events": int,
    "conflicts": int,
    "position": int,
    "livePosition": str,
}


@pytest.fixture
def served(served):
    """Return a coroutine that serves a database; the sources, which are not there, are given up at once."""
    at_once = {"soroban-rpc": {"max_retries": 0, "retry_seconds": 0}}
    return partial(served, plugins=at_once)


@pytest.fixture
def ask(client):
    """Return a coroutine that reads ``/sync`` of an API."""

    async def sync(api, *contracts: str) -> dict:
        params = [("contract", contract) for contract in contracts]
        async with client.get(f"{api.url}/api/v1/sync", params=params) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "application/json"
            return orjson.loads(await response.read())

    return sync


@pytest.fixture
def told(client):
    """Return a coroutine that reads the numbers of ``/metrics``."""

    async def metrics(api) -> dict[str, float]:
        async with client.get(f"{api.url}/metrics") as response:
            lines = [line for line in (await response.text()).splitlines() if not line.startswith("#")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    return metrics


def counted(api, monkeypatch, name: str = "covered_ranges") -> list[object]:
    """Note each call of a storage's method."""
    storage, calls = api.service.database.storage, []
    plain = getattr(storage, name)
    monkeypatch.setattr(storage, name, lambda *given, **more: calls.append(given) or plain(*given, **more))
    return calls


async def quiet(api) -> None:
    """Wait until the sources that are not there are known to be away, so that nothing new is said any more."""
    async with asyncio.timeout(10):
        while any(one.trouble is None for one in await api.service.sources.look()):
            await asyncio.sleep(0.02)
    api.service.sources._next = float("inf")


# --- its shape --------------------------------------------------------------------------------


async def test_it_has_every_field_that_is_promised(database_url, filled, served, ask):
    storage = filled(database_url, (100, 120), [A], EVENTS)
    api = await served(database_url)
    await heard(api, storage)
    found = await ask(api)
    assert list(found) == list(SHAPE)
    for name, kind in SHAPE.items():
        assert found[name] is None if kind is None else isinstance(found[name], kind), name
    assert found["coverage"] == [
        {"from": 100, "to": 120, "evidence": "proven", "source": "soroban-rpc", "flavour": None, "contracts": None}
    ]
    assert (found["startLedger"], found["watermark"], found["asOfLedger"], found["complete"]) == (100, 120, 120, True)
    assert found["evidence"] == {"provenLedgers": 21, "scannedLedgers": 0}
    source = found["sources"][0]
    assert set(source) == {"name", "summary", "state", "oldest", "latest", "coveredLedgers", "trouble"}
    assert (source["name"], source["coveredLedgers"]) == ("soroban-rpc", 21)
    assert (found["events"], found["conflicts"], found["position"]) == (21, 0, 1)
    assert found["livePosition"] == str(api.service.feed.now)


async def test_it_tells_how_far_projections_are_and_so_do_the_metrics(
    database_url, filled, served, ask, told, monkeypatch
):
    storage = filled(database_url, (100, 120), [A], EVENTS)
    rows = [
        (ProjectionRow, ("toy", "f", "e", 0, "", 5, 0, 1, None, 1_700_000_000)),
        (ProjectionRow, ("stuck", "f", "e", 1, "", 5, 0, 1, "route() raised KeyError", 1_700_000_000)),
        (ProjectionRow, ("removed", "f", "e", 0, "", 5, 0, 1, None, 1_700_000_000)),
        (ReachRow, ("toy", A, 119, 1_700_000_000, 1, 119, 100)),
        (UnknownRow, ("toy", A, "(u64, sym x)", 3, EVENTS[0].id, EVENTS[2].id)),
        (UnknownRow, ("toy", A, "(sym y)", 1, EVENTS[1].id, EVENTS[1].id)),
    ]
    for model, row in rows:
        storage.write(lambda database, model=model, row=row: model.insert_many([row]).execute(database))
    monkeypatch.setattr(Plugins, "projections", lambda self: dict.fromkeys(["toy", "stuck", "never begun"]))
    api = await served(database_url)
    stuck, toy = (await ask(api))["projections"]
    shapes = [
        {"contract": A, "shape": "(u64, sym x)", "count": 3, "lastEventId": EVENTS[2].id},
        {"contract": A, "shape": "(sym y)", "count": 1, "lastEventId": EVENTS[1].id},
    ]
    assert toy == {
        "name": "toy",
        "position": 0,
        "behind": 1,
        "asOfLedger": 119,
        "complete": True,
        "rebuilding": True,
        "trouble": None,
        "updatedAt": "2023-11-14T22:13:20Z",
        "unknown": {"events": 4, "shapes": shapes},
    }
    assert (stuck["name"], stuck["behind"], stuck["asOfLedger"]) == ("stuck", 0, None)
    assert stuck["trouble"] == "route() raised KeyError"
    found = {name: value for name, value in (await told(api)).items() if "_projection_" in name}
    assert found == {
        'stellarstream_projection_position{projection="toy"}': 0,
        'stellarstream_projection_position{projection="stuck"}': 1,
        'stellarstream_projection_lag_commits{projection="toy"}': 1,
        'stellarstream_projection_lag_commits{projection="stuck"}': 0,
        'stellarstream_projection_ledger{projection="toy"}': 119,
        'stellarstream_projection_up{projection="toy"}': 1,
        'stellarstream_projection_up{projection="stuck"}': 0,
        'stellarstream_projection_rebuilding{projection="toy"}': 1,
        'stellarstream_projection_rebuilding{projection="stuck"}': 0,
        'stellarstream_projection_unknown_events{projection="toy"}': 4,
        'stellarstream_projection_unknown_events{projection="stuck"}': 0,
    }


async def test_of_an_empty_database_it_says_so(database_url, served, ask, told):
    api = await served(database_url)
    found = await ask(api)
    assert (found["contracts"], found["startLedger"], found["watermark"], found["lastCoveredLedger"]) == (
        [],
        None,
        None,
        None,
    )
    assert (found["asOfLedger"], found["complete"], found["gaps"], found["coverage"]) == (0, False, [], [])
    assert (await told(api))["stellarstream_gaps"] == 0
    assert "stellarstream_watermark_ledger" not in await told(api)


async def test_it_is_not_sent_twice(sqlite_url, filled, served, client):
    filled(sqlite_url, (100, 120), [A], EVENTS)
    api = await served(sqlite_url)
    await quiet(api)
    url = f"{api.url}/api/v1/sync"
    async with client.get(url) as response:
        etag = response.headers["ETag"]
        assert response.headers["Cache-Control"] == "no-cache"
    async with client.get(url, headers={"If-None-Match": etag}) as response:
        assert (response.status, await response.read()) == (304, b"")


def model(first: int, last: int, reach: Reach, *found: SourceState) -> SyncModel:
    """Return what is told of a complete stretch of ledgers, of sources and of the best of their reaches."""
    state = State(Scope.of([A]), first, first, last, {A: last}, {A: ()})
    return sync_model(
        network="testnet",
        scope=state.scope,
        state=state,
        totals=Totals(0, 0, 0, None, None),
        sources=found,
        reach=reach,
        live_position=None,
    )


def test_tip_and_lag_are_told_as_the_source_tells_them():
    reach = Reach(1, 132, 1_800_000_000, 5.0)
    found = model(100, 120, reach, SourceState("soroban-rpc", "a source", reach))
    assert (found.tip, found.lag, found.lag_seconds) == (132, 12, 60.0)
    assert datetime.fromisoformat(found.tip_closed_at).timestamp() == 1_800_000_000


@pytest.mark.parametrize(
    ("tips", "late"),
    [
        ({"rpc": 206}, {"rpc": 56}),
        ({"rpc": 260}, {}),
        ({"rpc": 263, "lake": 180}, {}),
        ({"rpc": 206, "lake": 240}, None),
    ],
)
def test_sources_that_are_all_behind_what_is_stored_say_so(tips, late):
    answers = [SourceState(name, "a source", Reach(1, tip)) for name, tip in tips.items()]
    found = model(2, 262, Reach(1, max(tips.values())), *answers)
    assert found.lag == max(max(tips.values()) - 262, 0)
    assert {one.state for one in found.sources} == {"up"}
    said = {one.name: one.trouble.split(";")[0] for one in found.sources if one.trouble}
    late = {name: 262 - tip for name, tip in tips.items()} if late is None else late
    assert said == {name: f"its tip is {count} ledgers behind what is stored" for name, count in late.items()}


def test_a_tip_that_was_told_a_while_ago_says_nothing_of_now():
    old = SourceState("rpc", "a source", Reach(1, 206), since=monotonic() - 60)
    found = model(2, 262, old.reach, old)
    assert found.sources[0].trouble is None


# --- of what it speaks ------------------------------------------------------------------------


@pytest.fixture
def once_wanted(database_url, filled):
    """A database in which B was wanted once and never followed."""
    storage = filled(database_url, (100, 120), [A], EVENTS)
    store(storage, (100, 105), [B], [])
    return storage


async def test_the_configured_contracts_are_what_is_spoken_of(
    once_wanted, database_url, served, client, ask, told, runtime_of
):
    api = await served(database_url, contracts=[A])
    await quiet(api)
    found = await ask(api)
    assert (found["contracts"], found["watermark"], found["heldBackBy"]) == ([A], 120, [])
    assert (found["complete"], found["gaps"]) == (True, [])
    metrics = await told(api)
    assert (metrics["stellarstream_watermark_ledger"], metrics["stellarstream_gaps"]) == (120, 0)
    for path in ("/", "/dashboard/state"):
        async with client.get(api.url + path) as response:
            html = await response.text()
        assert "Complete from ledger 100 to 120" in html
        assert B not in html
    runtime = runtime_of(database_url, contracts=[A])
    status = read_status(runtime, once_wanted, runtime.scope((), once_wanted), Tip())
    for name in ("startLedger", "watermark", "heldBackBy", "lastCoveredLedger", "gaps"):
        assert status[name] == found[name], name


async def test_without_any_all_that_were_ever_synced_are(once_wanted, database_url, served, ask, told):
    api = await served(database_url)
    found = await ask(api)
    assert (found["contracts"], found["watermark"], found["heldBackBy"]) == (sorted([A, B]), 105, [B])
    assert found["gaps"] == [{"from": 106, "to": 120, "reason": "not-fetched", "contracts": [B]}]
    assert (await told(api))["stellarstream_gaps"] == 1


async def test_those_asked_for_are_whatever_is_configured(once_wanted, database_url, served, ask):
    api = await served(database_url, contracts=[A])
    found = await ask(api, B)
    assert (found["contracts"], found["watermark"], found["complete"]) == ([B], 105, True)
    assert (await ask(api, B, A, B))["contracts"] == sorted([A, B])


async def test_a_contract_that_was_never_synced_is_named_and_nothing_is_known_of_it(
    once_wanted, database_url, served, client, ask
):
    api = await served(database_url, contracts=[C])
    for found in (await ask(api), await ask(api, C)):
        assert (found["contracts"], found["startLedger"], found["asOfLedger"], found["complete"]) == (
            [C],
            None,
            0,
            False,
        )
    async with client.get(api.url + "/") as response:
        assert "Nothing synced yet" in await response.text()


async def test_everything_is_null(sqlite_url, filled, served, client, ask):
    filled(sqlite_url, (100, 120), ["*"], EVENTS)
    api = await served(sqlite_url, contracts=["*"])
    assert (await ask(api))["contracts"] is None
    async with client.get(api.url + "/") as response:
        assert "every contract" in await response.text()


# --- several contracts ------------------------------------------------------------------------


async def test_gaps_and_evidence_name_the_contracts_they_are_of(database_url, filled, served, ask):
    storage = filled(database_url, (100, 120), [A, B], EVENTS)
    store(storage, (121, 130), [A], [])
    store(storage, (131, 140), [A, B], [], Evidence.SCANNED)
    store(storage, (151, 160), [A, B], [])
    found = await ask(await served(database_url))
    assert (found["watermark"], found["heldBackBy"], found["lastCoveredLedger"]) == (120, [B], 160)
    assert found["gaps"] == [
        {"from": 121, "to": 130, "reason": "not-fetched", "contracts": [B]},
        {"from": 141, "to": 150, "reason": "not-fetched", "contracts": None},
    ]
    assert [(part["from"], part["to"], part["evidence"], part["contracts"]) for part in found["coverage"]] == [
        (100, 120, "proven", [B]),
        (100, 130, "proven", [A]),
        (131, 140, "scanned", None),
        (151, 160, "proven", None),
    ]
    # what all have: 100-120, 131-140, 151-160
    assert found["evidence"] == {"provenLedgers": 31, "scannedLedgers": 10}
    assert found["complete"] is False


def test_the_one_reading_agrees_with_the_ways_that_read_parts_of_it(filled, database_url):
    storage = filled(database_url, (100, 120), [A, B], EVENTS)
    store(storage, (90, 94), [A], [])
    store(storage, (125, 130), [A], [], Evidence.SCANNED)
    scope = Scope.of([A, B, C])
    state = read_state(storage, scope)
    bounds = stored_bounds(storage, scope)
    assert (state.first, state.last, state.start) == (bounds.first, bounds.last, 100)
    assert state.coverage == read_coverage(storage, bounds, scope)
    assert (state.covered, state.proven) == (state.coverage.covered, state.coverage.proven) == (RangeSet(), RangeSet())
    assert (state.marks, state.as_of) == ({A: 120, B: 120, C: 99}, 99)
    assert read_state(storage, Scope.of([C])) is None
    two = read_state(storage, Scope.of([A, B]))
    assert two.covered == two.proven == RangeSet([(100, 120)])


# --- many gaps --------------------------------------------------------------------------------


def fragmented(pieces: int) -> State:
    ranges = [
        CoveredRange(LedgerRange(10 * number, 10 * number + 4), Evidence.PROVEN, "soroban-rpc", "")
        for number in range(1, pieces + 1)
    ]
    return State(Scope.of([A]), 10, 10, 10 * pieces + 4, {A: 14}, {A: ranges})


async def test_of_many_gaps_the_newest_are_listed_and_all_are_counted(sqlite_url, served, ask, told, monkeypatch):
    from stellarstream_core.api import sync_reader

    monkeypatch.setattr(sync_reader, "read_state", lambda storage, scope: fragmented(MOST_RANGES + 501))
    api = await served(sqlite_url, contracts=[A])
    found = await ask(api)
    assert len(found["gaps"]) == len(found["coverage"]) == MOST_RANGES
    assert found["moreRanges"] == 501 + 500
    assert found["gaps"][-1] == {"from": 15_005, "to": 15_009, "reason": "not-fetched", "contracts": None}
    assert found["evidence"]["provenLedgers"] == 5 * (MOST_RANGES + 501)
    assert found["complete"] is False
    assert (await told(api))["stellarstream_gaps"] == MOST_RANGES + 500


async def test_nothing_is_made_in_the_loop(sqlite_url, served, ask, client, monkeypatch):
    import threading

    from stellarstream_core.api import sync_reader

    threads: set[threading.Thread] = set()

    def noted(function):
        return lambda *given, **more: threads.add(threading.current_thread()) or function(*given, **more)

    for module, name in ((sync_reader, "sync_model"), (pages, "view_of"), (pages, "render")):
        monkeypatch.setattr(module, name, noted(getattr(module, name)))
    api = await served(sqlite_url)
    await ask(api)
    for path in ("/", "/dashboard/state"):
        async with client.get(api.url + path) as response:
            assert response.status == 200
    assert threads
    assert threading.main_thread() not in threads


# --- read once --------------------------------------------------------------------------------


async def test_of_fifty_who_ask_at_once_one_reads(database_url, filled, served, ask, told, client, monkeypatch):
    filled(database_url, (100, 120), [A], EVENTS)
    api = await served(database_url)
    await quiet(api)
    calls = counted(api, monkeypatch)
    found = await asyncio.gather(*(ask(api) for _ in range(50)))
    assert all(one == found[0] for one in found)
    assert len(calls) == 1
    await told(api)
    for path in ("/", "/dashboard/state"):
        async with client.get(api.url + path) as response:
            assert response.status == 200
    assert len(calls) == 1, "the pages and the metrics tell the same reading"


async def test_in_which_order_contracts_are_named_makes_no_difference(sqlite_url, filled, served, ask, monkeypatch):
    filled(sqlite_url, (100, 120), [A, B], EVENTS)
    api = await served(sqlite_url)
    await quiet(api)
    calls = counted(api, monkeypatch, "totals")
    await asyncio.gather(ask(api, A, B), ask(api, B, A), ask(api, A, B, A))
    assert len(calls) == 1


async def test_what_is_committed_shows_at_once(database_url, filled, served, ask, monkeypatch):
    storage = filled(database_url, (100, 120), [A], EVENTS)
    api = await served(database_url)
    await quiet(api)
    monkeypatch.setattr(api.service.sync._kept, "_lasts", lambda _: 1e9)
    for last in range(121, 140):
        store(storage, (last, last), [A], [])  # whether or not the worker has heard of it
        assert (await ask(api))["watermark"] == last


async def test_what_fails_is_told_to_those_who_wait_and_read_anew_for_the_next(
    sqlite_url, filled, served, client, ask, monkeypatch
):
    filled(sqlite_url, (100, 120), [A], EVENTS)
    api = await served(sqlite_url)
    await quiet(api)

    def gone(*_):
        raise StorageError("the database is away")

    async def status() -> int:
        async with client.get(f"{api.url}/api/v1/sync") as response:
            return response.status

    with monkeypatch.context() as patch:
        patch.setattr(api.service.database.storage, "covered_ranges", gone)
        assert set(await asyncio.gather(*(status() for _ in range(20)))) == {503}
    assert (await ask(api))["watermark"] == 120


async def test_what_nobody_tells_of_shows_after_a_while(sqlite_url, filled, served, ask, monkeypatch):
    storage = filled(sqlite_url, (100, 120), [A], EVENTS)
    api = await served(sqlite_url)
    await quiet(api)
    monkeypatch.setattr(api.service.sync._kept, "_lasts", lambda _: 0.2)
    assert (await ask(api))["contracts"] == [A]
    storage.want(Scope.of([B]), 100)  # commits nothing
    async with asyncio.timeout(3):
        while (await ask(api))["contracts"] != sorted([A, B]):
            await asyncio.sleep(0.02)


def test_a_gap_is_no_gap_of_the_watermark_alone():
    state = fragmented(3)
    assert [gap.range for gap in state.coverage.gaps] == [LedgerRange(15, 19), LedgerRange(25, 29)]
    assert state.coverage.gaps[0] == Gap(LedgerRange(15, 19), "not-fetched")
    assert state.held_back_by == []
