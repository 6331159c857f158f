"""Several sources: the order in which ranges are offered, handing over, and what is said of retention."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.certificates import Flavour, LedgerCertificate
from stellarstream_core.errors import ExitCode
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import EVERYTHING, Scope
from stellarstream_core.sources import Capabilities, Evidence, Reach, Reason, SourceSpec
from stellarstream_core.storage import Anchor
from stellarstream_core.sync.known import ANCHOR_EVERY, KnownLedgers
from stellarstream_core.sync.plan import by_preference, provable_first
from stellarstream_core.sync.progress import Silence
from stellarstream_core.sync.retention import endangered, margin
from stellarstream_core.sync.run import SyncRequest, SyncRun
from stellarstream_core.testing.scripted import PASSPHRASE, ScriptedSource, made_contract, made_history

A = made_contract(1)
SCOPE = Scope.of([A])
WHOLE = LedgerRange(1, 60)
HISTORY = made_history(WHOLE, [A], seed=8)


def source(**script) -> ScriptedSource:
    return ScriptedSource(**{"history": HISTORY, "latest": 60, **script})


def archive(**script) -> ScriptedSource:
    return source(**{"name": "archive", "evidence": Evidence.PROVEN, "archive": True, **script})


async def sync(storage, *sources, stop=None, progress=None, **request):
    asked = SyncRequest(**{"first": 1, "last": 60, "scope": SCOPE, **request})
    run = SyncRun(asked, storage, sources, PASSPHRASE, progress or Silence())
    return await run.execute(stop or asyncio.Event())


class Hanging(ScriptedSource):
    """A source that stops answering: whoever asks waits."""

    hangs = False

    async def reach(self) -> Reach:
        if self.hangs:
            await asyncio.sleep(3600)
        return Reach(1, 2)


class Heard(Silence):
    """Remembers who gave what up, and who was asked next."""

    def __init__(self) -> None:
        self.items: list[tuple[LedgerRange, Reason, str | None]] = []

    def unserved(self, item, next_source=None) -> None:
        self.items.append((item.range, item.reason, next_source))


# --- which source ---------------------------------------------------------------------------


def spec(name: str, **capabilities) -> SourceSpec:
    async def never(_settings):
        raise AssertionError("not opened here")

    return SourceSpec(name, "", Capabilities(**capabilities), lambda _: True, never)


EVENTS = spec("events", max_contracts=100, cost=100)
LAKE = spec("lake", provable=True, cost=200)
LEDGERS = spec("ledgers", provable=True, cost=300)


@pytest.mark.parametrize(("contracts", "order"), [(1, ["events", "lake"]), (100, ["events", "lake"]), (101, ["lake"])])
def test_above_a_hundred_contracts_whole_ledgers_come_first(contracts, order):
    scope = Scope(tuple(f"C{n}" for n in range(contracts)))
    assert [one.name for one in by_preference([LEDGERS, LAKE, EVENTS], scope)][: len(order)] == order


def test_for_everything_whole_ledgers_come_first_and_the_events_source_is_still_there():
    found = [one.name for one in by_preference([EVENTS, LEDGERS, LAKE], Scope((EVERYTHING,)))]
    assert found == ["lake", "ledgers", "events"]


def test_of_equally_cheap_sources_the_one_that_can_prove_comes_first():
    assert by_preference([spec("soft"), spec("hard", provable=True)], SCOPE)[0].name == "hard"


def test_verifying_asks_those_that_can_prove_before_all_others():
    assert [one.name for one in provable_first([EVENTS, LAKE, LEDGERS])] == ["lake", "ledgers", "events"]


# --- handing over ---------------------------------------------------------------------------


async def test_a_range_half_outside_retention_is_completed_by_the_archive_in_one_sync(storage):
    heard = Heard()
    report = await sync(storage, source(oldest=31), archive(latest=50), progress=heard)
    assert report.exit_code is ExitCode.OK
    assert report.to_json()["sources"] == {"archive": [[1, 30]], "scripted": [[31, 60]]}
    assert report.to_json()["evidence"] == {"proven": [[1, 30]], "scanned": [[31, 60]]}
    assert list(storage.events(WHOLE, SCOPE, limit=100_000)) == HISTORY
    assert (LedgerRange(1, 30), Reason.OUT_OF_RETENTION, "archive") in heard.items


@given(st.lists(st.sets(st.integers(1, 60), max_size=20), min_size=1, max_size=4))
def test_whatever_sources_give_up_each_ledger_comes_from_the_first_that_serves_it(refusals):
    from stellarstream_core.plugins import Plugins
    from stellarstream_core.settings import load_settings

    built_in = Plugins.load(built_in_only=True)
    storage = built_in.storages()["sqlite"].open("sqlite:///:memory:", load_settings(environ={}), built_in.models())
    storage.migrate()
    sources = [
        source(name=f"s{n}", refused=RangeSet((ledger, ledger) for ledger in refused))
        for n, refused in enumerate(refusals)
    ]
    report = asyncio.run(sync(storage, *sources))
    nobody = set.intersection(*refusals)
    assert report.coverage.covered == RangeSet([WHOLE]) - RangeSet((n, n) for n in nobody)
    for n, one in enumerate(sources):
        earlier = set.intersection(*refusals[:n]) if n else set(range(1, 61))
        served = RangeSet((ledger, ledger) for ledger in earlier - refusals[n])
        assert report.coverage.sources.get(one.name, RangeSet()) == served
    storage.close()


async def test_a_ledger_that_no_source_serves_keeps_the_reason_of_the_one_that_has_it(storage):
    first = source(refused=RangeSet([(20, 20)]), refused_for=Reason.MISBEHAVED)
    report = await sync(storage, first, archive(oldest=30))
    (gap,) = report.to_json()["gaps"]
    assert (gap["from"], gap["to"], gap["reason"]) == (20, 20, "misbehaved")


async def test_a_source_that_raises_hands_the_rest_of_its_range_to_the_next(storage):
    report = await sync(storage, source(fails_after=3), archive())
    assert report.exit_code is ExitCode.OK
    assert set(report.to_json()["sources"]) == {"archive", "scripted"}


async def test_a_window_that_does_not_follow_on_what_is_known_is_a_named_gap_and_not_stored(storage):
    await sync(storage, archive(), last=20)
    forged = archive(name="forged", chain="other", oldest=21, latest=59)
    report = await sync(storage, forged, first=21, last=59)  # its tip is no anchor, so that opening it shows nothing
    (gap,) = report.to_json()["gaps"]
    assert (report.exit_code, gap["from"], gap["reason"]) == (ExitCode.INCOMPLETE, 21, "proof-failed")
    assert gap["detail"].startswith("chain-break: ledger 21")


@pytest.mark.parametrize("workers", [1, 3])
async def test_two_sources_of_one_run_that_do_not_fit_together_are_noticed(storage, workers):
    first = archive(refused=RangeSet([(21, 60)]), window=20)
    forged = archive(name="forged", chain="other", oldest=21, latest=59, window=100)
    report = await sync(storage, first, forged, last=59, workers=workers)
    (gap,) = report.to_json()["gaps"]
    assert (gap["from"], gap["to"], gap["reason"]) == (21, 59, "proof-failed")
    assert gap["detail"].startswith("chain-break: ledger ")


async def test_a_follower_goes_on_while_a_fallback_is_stuck_and_another_is_silent(storage, monkeypatch):
    monkeypatch.setattr("stellarstream_core.sync.opening.GRACE_SECONDS", 0.2)
    moving = source(latest=30)
    stuck, silent = archive(latest=10), Hanging(history=[], latest=0, name="hanging")
    stop = asyncio.Event()

    async def play() -> None:
        silent.hangs = True
        moving.refused = RangeSet([(35, 35)])
        for _ in range(20):
            moving.latest += 1
            await asyncio.sleep(0.03)
        while storage.sync_states()[A].last_ledger_sequence < 34 or len(storage.coverage(A, WHOLE)) < 2:
            await asyncio.sleep(0.01)
        stop.set()

    playing = asyncio.create_task(asyncio.wait_for(play(), 20))
    report = await sync(storage, moving, stuck, silent, stop=stop, last=None, follow=True)
    await playing
    assert [(gap["from"], gap["to"]) for gap in report.to_json()["gaps"]] == [(35, 35)]


@pytest.mark.parametrize(
    ("script", "lacking"), [({"refused": RangeSet([(20, 22)])}, [[20, 22]]), ({"oldest": 16}, [[1, 15]])]
)
async def test_a_follower_takes_a_source_in_that_did_not_answer_at_the_start(storage, monkeypatch, script, lacking):
    monkeypatch.setattr("stellarstream_core.sync.run.REOPEN_SECONDS", 0.05)
    monkeypatch.setattr("stellarstream_core.sync.follow.RETRY_SECONDS", 0.05)
    moving, late = source(latest=30, **script), archive(latest=30, silent=True)
    stop, whole = asyncio.Event(), RangeSet([(1, 30)])

    async def play() -> None:
        while storage.coverage(A, WHOLE) != whole - RangeSet(tuple(r) for r in lacking):
            await asyncio.sleep(0.01)
        late.silent = False
        while storage.coverage(A, WHOLE) != whole:
            await asyncio.sleep(0.01)
        stop.set()

    playing = asyncio.create_task(asyncio.wait_for(play(), 20))
    report = await sync(storage, moving, late, stop=stop, last=None, follow=True)
    await playing
    assert report.to_json()["sources"]["archive"] == lacking


async def test_a_hole_between_checked_ledgers_is_only_filled_by_what_joins_them_whenever_that_comes(storage):
    """A forged ledger beside holes cannot be noticed when it comes; the honest ones around it show it."""
    island = archive(chain="other", refused=RangeSet([(1, 29), (31, 60)]), latest=59)
    await sync(storage, island, last=59)
    assert storage.coverage(A, WHOLE) == RangeSet([(30, 30)])
    report = await sync(storage, archive(name="honest"))
    gaps = report.to_json()["gaps"]
    assert report.exit_code is ExitCode.INCOMPLETE
    assert all(gap["reason"] == "proof-failed" and gap["detail"].startswith("chain-break") for gap in gaps)
    assert gaps


async def test_what_follows_on_refused_ledgers_is_refused_too(storage):
    await sync(storage, archive(), last=20)
    forged = archive(name="forged", chain="other", oldest=21, latest=59, window=7, seed=0)
    forged.seed = None
    report = await sync(storage, forged, first=21, last=59)
    assert report.coverage.covered.size < 39
    assert {gap["reason"] for gap in report.to_json()["gaps"]} == {"proof-failed"}


# --- ledgers known by their hash --------------------------------------------------------------


def certificate(ledger: int, chain: str = "one") -> LedgerCertificate:
    return LedgerCertificate(ledger, f"{chain}{ledger}", f"{chain}{ledger - 1}", 28, 0, 0, 0, 0, 0, Flavour.UNKNOWN)


def test_certificates_are_held_against_anchors_and_the_windows_before():
    known = KnownLedgers([Anchor(100, "one100")])
    assert known.contradiction([certificate(n) for n in range(98, 103)]) is None
    assert "ledger 100" in (known.contradiction([certificate(n, "two") for n in range(98, 103)]) or "")
    assert "ledger 101" in (known.contradiction([certificate(101, "two")]) or "")
    known.note([certificate(n) for n in range(5, 9)])
    assert "ledger 9" in (known.contradiction([certificate(9, "two")]) or "")
    assert "ledger 4" in (known.contradiction([certificate(4, "two")]) or "")
    assert known.contradiction([certificate(9)]) is None


def test_checked_ledgers_leave_an_anchor_every_so_often_and_only_once():
    known = KnownLedgers()
    span = [certificate(n) for n in range(ANCHOR_EVERY - 2, 2 * ANCHOR_EVERY + 2)]
    assert [anchor.ledger for anchor in known.note(span)] == [ANCHOR_EVERY, 2 * ANCHOR_EVERY]
    assert known.note(span) == []


# --- retention --------------------------------------------------------------------------------

WEEK = Reach(100_000, 220_000, ledger_seconds=5.0)


@pytest.mark.parametrize(
    ("missing", "reaches", "warned"),
    [
        ((101_000, 101_000), {"rpc": WEEK}, True),
        ((150_000, 220_000), {"rpc": WEEK}, False),
        ((101_000, 101_000), {"rpc": WEEK, "lake": Reach(2, 219_000, archive=True)}, False),
        ((101_000, 101_000), {"rpc": WEEK, "lake": Reach(110_000, 219_000, archive=True)}, True),
        ((101_000, 101_000), {"rpc": WEEK, "other": Reach(20_000, 220_000)}, False),
        ((50, 60), {"rpc": WEEK}, False),
        ((2, 5), {"young": Reach(2, 300)}, False),
    ],
)
def test_a_warning_comes_before_missing_ledgers_leave_the_last_source_that_has_them(missing, reaches, warned):
    said = endangered(RangeSet([missing]), reaches)
    assert bool(said) is warned
    if said:
        assert "83 minutes" in said
        assert "lake_url" in said


@pytest.mark.parametrize(
    ("missing", "reaches", "expected"),
    [
        # the ledger that closes next is as safe as a ledger can be
        ([(220_001, 220_001)], {"rpc": WEEK}, (220_001, "rpc", 120_001, 600_005.0)),
        ([(101_000, 101_000), (150_000, 160_000)], {"rpc": WEEK}, (101_000, "rpc", 1_000, 5_000.0)),
        # older than anybody has: lost, and no matter of time any more
        ([(50, 60)], {"rpc": WEEK}, None),
        ([(50, 60), (100_500, 100_500)], {"rpc": WEEK}, (100_500, "rpc", 500, 2_500.0)),
        # what an archive has is safe; what it does not have yet is not
        ([(50, 60), (219_500, 219_500)], {"rpc": WEEK, "lake": Reach(2, 219_000, archive=True)},
         (219_500, "rpc", 119_500, 597_500.0)),
        # a later ledger may be closer to its end than an earlier one that another source has
        ([(4_000, 4_000), (6_001, 6_001)], {"a": Reach(1_000, 5_000), "b": Reach(6_000, 9_000)},
         (6_001, "b", 1, 5.0)),
        ([(4_000, 4_000)], {"a": Reach(1_000, 5_000), "b": Reach(3_999, 9_000)}, (4_000, "a", 3_000, 15_000.0)),
        ([], {"rpc": WEEK}, None),
        ([(7, 7)], {}, None),
    ],
)  # fmt: skip
def test_the_margin_is_that_of_the_ledger_that_will_be_lost_first(missing, reaches, expected):
    found = margin(RangeSet(missing), reaches)
    assert (found and (found.ledger, found.source, found.left, found.seconds)) == expected
    assert found is None or 0 <= found.ratio <= 1


SOURCES = st.builds(
    lambda oldest, size, archive: Reach(oldest, oldest + size, archive=archive),
    st.integers(4, 60), st.integers(0, 40), st.booleans(),
)  # fmt: skip


@given(st.sets(st.integers(3, 110)), st.dictionaries(st.sampled_from("abc"), SOURCES))
def test_the_margin_is_the_least_over_all_ledgers_that_can_still_be_lost(ledgers, reaches):
    archives = [reach for reach in reaches.values() if reach.archive]
    forgetful = [reach for reach in reaches.values() if not reach.archive]
    left = []
    for ledger in ledgers:
        if any(reach.oldest <= ledger <= reach.latest for reach in archives):
            continue
        of = [ledger - reach.oldest for reach in forgetful if reach.oldest <= ledger <= reach.latest + 1]
        left += [max(of)] if of else []
    found = margin(RangeSet((one, one) for one in ledgers), reaches)
    assert (found and found.left) == (min(left) if left else None)
