"""Following the tip, and whole runs: pace, catching up, stopping, and what is reported."""

from __future__ import annotations

import asyncio

import pytest

from stellarstream_core.errors import (
    ExitCode,
    LeadershipError,
    NetworkMismatchError,
    NetworkResetError,
    SourceError,
    SourceUnusableError,
    SyncInterruptedError,
)
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reach, Reason, Unserved
from stellarstream_core.sync import follow as following
from stellarstream_core.sync.follow import Pacer
from stellarstream_core.sync.progress import Silence
from stellarstream_core.sync.run import SyncRequest, SyncRun
from stellarstream_core.testing.scripted import PASSPHRASE, ScriptedSource, made_contract, made_history

A = made_contract(1)
SCOPE = Scope.of([A])
HISTORY = made_history(LedgerRange(1, 400), [A], seed=3)


def source(**script) -> ScriptedSource:
    return ScriptedSource(**{"history": HISTORY, "latest": 60, **script})


async def run(storage, *sources, stop: asyncio.Event | None = None, passphrase=PASSPHRASE, **request):
    asked = SyncRequest(**{"first": None, "last": None, "scope": SCOPE, **request})
    return await SyncRun(asked, storage, sources, passphrase, Silence()).execute(stop or asyncio.Event())


async def test_the_report_has_the_promised_shape(storage):
    report = await run(storage, source(oldest=11), first=5)
    body = report.to_json()
    assert list(body) == ["from", "to", "covered", "gaps", "events", "sources", "evidence", "seconds"]
    assert (body["from"], body["to"], body["covered"]) == (5, 60, [[11, 60]])
    assert [(g["from"], g["to"], g["reason"]) for g in body["gaps"]] == [(5, 10, "out-of-retention")]
    assert body["events"] == {"new": sum(11 <= e.ledger <= 60 for e in HISTORY), "known": 0, "conflicts": 0}
    assert body["sources"] == {"scripted": [[11, 60]]}
    assert body["evidence"] == {"proven": [], "scanned": [[11, 60]]}
    assert report.exit_code is ExitCode.INCOMPLETE


async def test_going_on_after_the_watermark_takes_only_what_is_new(storage):
    await run(storage, source(), first=1)
    later = source(latest=70)
    report = await run(storage, later)
    assert later.asked == [(LedgerRange(61, 70), SCOPE)]
    assert (report.to_json()["from"], report.exit_code) == (61, ExitCode.OK)


async def test_going_on_with_nothing_new_is_a_covered_answer(storage):
    await run(storage, source(), first=1)
    report = await run(storage, source())
    assert (report.to_json()["covered"], report.exit_code) == ([[60, 60]], ExitCode.OK)


async def test_a_contract_that_is_new_among_known_ones_starts_where_they_did(storage):
    await run(storage, source(), first=5)
    other = Scope.of([A, made_contract(2)])
    report = await run(storage, source(), scope=other)
    assert report.to_json()["from"] == 5


async def test_the_first_wanted_ledger_stays_what_it_was_and_earlier_ranges_are_extra(storage):
    await run(storage, source(), first=20)
    await run(storage, source(), first=1, last=10)
    (state,) = storage.sync_states().values()
    assert (state.start_ledger, state.last_ledger_sequence) == (20, 60)


async def test_the_watermark_waits_at_a_gap_and_jumps_when_it_is_filled(storage):
    await run(storage, source(refused=RangeSet([(30, 31)])), first=1)
    assert storage.sync_states()[A].last_ledger_sequence == 29
    await run(storage, source(), first=30, last=31)
    assert storage.sync_states()[A].last_ledger_sequence == 60


async def test_following_takes_each_new_ledger_and_looks_no_more_often_than_ledgers_close(storage):
    moving = source(latest=50)

    async def close_ledgers() -> None:
        while moving.latest < 90:
            await asyncio.sleep(0.02)
            moving.latest += 1

    moving.ledger_seconds = 0.12
    clock = asyncio.create_task(close_ledgers())
    report = await run(storage, moving, first=41, last=90, follow=True)
    await clock
    assert report.exit_code is ExitCode.OK
    assert report.to_json()["covered"] == [[41, 90]]
    assert moving.looks <= 4 + 0.02 * 50 / 0.12 + 4


async def test_following_waits_out_a_silent_source_and_catches_up_by_windows(storage, monkeypatch):
    monkeypatch.setattr(following, "LONGEST_DELAY", 0.02)
    moving = source(latest=50)

    async def go_away_and_come_back() -> None:
        while storage.sync_states().get(A) is None or storage.sync_states()[A].last_ledger_sequence < 50:
            await asyncio.sleep(0.01)
        moving.silent = True
        await asyncio.sleep(0.2)
        moving.latest = 200
        moving.silent = False

    clock = asyncio.create_task(go_away_and_come_back())
    report = await run(storage, moving, first=41, last=200, follow=True)
    await clock
    assert report.exit_code is ExitCode.OK
    assert (LedgerRange(51, 200), SCOPE) in moving.asked


async def test_following_tries_again_what_failed_for_a_passing_reason(storage, monkeypatch):
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.05)
    moving = source(latest=50, refused=RangeSet([(45, 46)]))

    async def recover() -> None:
        await asyncio.sleep(0.3)
        moving.refused = RangeSet()
        await asyncio.sleep(0.5)
        moving.latest = 60

    clock = asyncio.create_task(recover())
    report = await run(storage, moving, first=41, last=60, follow=True)
    await clock
    assert report.to_json()["covered"] == [[41, 60]]


async def test_stopping_keeps_what_is_committed_and_names_the_rest(storage):
    stop = asyncio.Event()

    class Slow(ScriptedSource):
        async def windows(self, wanted, scope):
            async for item in ScriptedSource.windows(self, wanted, scope):
                yield item
                if self.served == 3:
                    stop.set()
                    await asyncio.sleep(30)

    report = await asyncio.wait_for(run(storage, Slow(HISTORY, 60), first=1, stop=stop), 5)
    assert report.exit_code is ExitCode.INCOMPLETE
    assert {gap["reason"] for gap in report.to_json()["gaps"]} == {"interrupted"}
    again = await run(storage, source(), first=1)
    assert again.exit_code is ExitCode.OK


async def test_stopping_a_follower_that_has_all_is_a_success(storage):
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.3, stop.set)
    report = await asyncio.wait_for(run(storage, source(), first=1, follow=True, stop=stop), 5)
    assert (report.to_json()["covered"], report.exit_code) == ([[1, 60]], ExitCode.OK)


async def test_stopping_before_any_answer_changes_nothing(storage):
    stop = asyncio.Event()
    stop.set()

    class Mute(ScriptedSource):
        async def identity(self):
            await asyncio.sleep(30)
            raise AssertionError("never reached")

    with pytest.raises(SyncInterruptedError):
        await asyncio.wait_for(run(storage, Mute([], 60), first=1, stop=stop), 5)


async def test_only_one_process_follows_a_database(open_sqlite):
    first, second = open_sqlite("shared.db"), open_sqlite("shared.db")
    with first.follow_lock(), pytest.raises(LeadershipError):
        await run(second, source(), first=1, follow=True)


async def test_a_source_of_another_network_is_refused_before_anything_is_fetched(storage):
    wrong = source(passphrase="Another ; 2026")
    with pytest.raises(NetworkMismatchError, match="Another"):
        await run(storage, wrong, first=1)
    assert wrong.asked == []


async def test_a_database_of_another_network_is_refused(storage):
    await run(storage, source(), first=1)
    with pytest.raises(NetworkMismatchError):
        await run(storage, source(passphrase="Another ; 2026"), first=1, passphrase="Another ; 2026")


async def test_another_hash_at_an_anchor_is_a_network_reset_and_deletes_nothing(storage):
    await run(storage, source(), first=1)
    other = source(chain="two", latest=80)
    with pytest.raises(NetworkResetError, match="different histories"):
        await run(storage, other)
    assert other.asked == []
    assert storage.totals().events == sum(e.ledger <= 60 for e in HISTORY)


async def test_a_tip_far_below_what_is_stored_is_a_reset_and_a_slightly_lower_one_is_lag(storage):
    late = made_history(LedgerRange(29_990, 30_210), [A], seed=3)
    high = ScriptedSource(late, 30_200, window=10_000)
    await run(storage, high, first=30_000)
    with pytest.raises(NetworkResetError, match="began again"):
        await run(storage, source(latest=100, oldest=90), first=95)
    lagging = ScriptedSource(late, 30_150)
    report = await run(storage, lagging)
    assert report.exit_code is ExitCode.OK


async def test_without_any_answer_a_definite_range_is_a_named_gap_and_an_open_one_an_error(storage):
    report = await run(storage, source(silent=True), first=1, last=9)
    assert [(g["from"], g["to"], g["reason"]) for g in report.to_json()["gaps"]] == [(1, 9, "unavailable")]
    with pytest.raises(SourceError):
        await run(storage, source(silent=True), first=1)


def test_the_pace_is_that_of_the_ledgers_and_backs_off_when_nobody_answers():
    pacer = Pacer()
    pacer.answered(Reach(1, 2, None, 5.6))
    assert pacer.delay == 5.6
    pacer.failed()
    assert pacer.delay == 5.6
    pacer.failed()
    pacer.failed()
    assert pacer.delay == pytest.approx(22.4)
    for _ in range(50):
        pacer.failed()
    assert pacer.delay == following.LONGEST_DELAY
    pacer.answered(Reach(1, 2))
    assert pacer.delay == 5.6


# --- found by review: each of these once lost or invented something ----------------------------------


async def test_an_end_below_the_watermark_fetches_nothing_and_is_covered(storage):
    await run(storage, source(), first=1)
    later = source(latest=121)
    report = await run(storage, later, last=30)
    assert later.asked == []
    assert (report.to_json()["covered"], report.exit_code) == ([[30, 30]], ExitCode.OK)


async def test_a_ledger_that_a_node_announced_but_did_not_have_is_asked_for_again(storage):
    class Lagging(ScriptedSource):
        lagged = False

        async def windows(self, wanted, scope):
            if wanted.holds(61) and not self.lagged:
                self.lagged = True
                yield Unserved(wanted, scope, Reason.BEYOND_TIP, "another node answered")
                return
            async for item in ScriptedSource.windows(self, wanted, scope):
                yield item

    moving = Lagging(HISTORY, 61)
    asyncio.get_running_loop().call_later(0.2, setattr, moving, "latest", 70)
    report = await asyncio.wait_for(run(storage, moving, first=55, last=70, follow=True), 10)
    assert report.to_json()["covered"] == [[55, 70]]


async def test_an_impossible_tip_told_once_does_not_end_following(storage):
    class Boasting(ScriptedSource):
        async def reach(self):
            reach = await ScriptedSource.reach(self)
            return Reach(reach.oldest, 10**9 if self.looks < 3 else self.latest, None, 0.01)

        async def windows(self, wanted, scope):
            latest = self.latest  # it changes while this goes on
            real = wanted.overlap(LedgerRange(1, latest))
            if real is not None:
                async for item in ScriptedSource.windows(self, real, scope):
                    yield item
            if wanted.last > latest:
                yield Unserved(LedgerRange(max(wanted.first, latest + 1), wanted.last), scope, Reason.BEYOND_TIP, "")

    boasting = Boasting(HISTORY, 60)
    asyncio.get_running_loop().call_later(0.2, setattr, boasting, "latest", 100)
    report = await asyncio.wait_for(run(storage, boasting, first=50, last=100, follow=True), 10)
    assert report.to_json()["covered"] == [[50, 100]]


async def test_following_listens_to_the_source_that_is_furthest(storage):
    stuck, ahead = source(name="stuck", latest=60), source(name="ahead", latest=160)
    report = await asyncio.wait_for(run(storage, stuck, ahead, first=50, last=160, follow=True), 10)
    assert report.to_json()["covered"] == [[50, 160]]
    assert set(report.to_json()["sources"]) == {"stuck", "ahead"}


async def test_one_failed_look_at_the_tip_does_not_end_following(storage):
    class Hiccup(ScriptedSource):
        async def reach(self):
            reach = await ScriptedSource.reach(self)
            if self.looks == 2:
                raise SourceError("a hiccup")
            return reach

    report = await asyncio.wait_for(run(storage, Hiccup(HISTORY, 60), first=50, last=60, follow=True), 10)
    assert report.exit_code is ExitCode.OK


async def test_failed_ranges_are_tried_again_beside_the_tip_not_before_it(storage, monkeypatch):
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.05)

    class Tough(ScriptedSource):
        async def windows(self, wanted, scope):
            if wanted.last < 50:
                await asyncio.sleep(30)
            async for item in ScriptedSource.windows(self, wanted, scope):
                yield item

    moving = Tough(HISTORY, 60, refused=RangeSet([(41, 45)]))

    async def close_ledgers() -> None:
        while moving.latest < 90:
            await asyncio.sleep(0.02)
            moving.latest += 1

    clock = asyncio.create_task(close_ledgers())
    report = await asyncio.wait_for(run(storage, moving, first=41, last=90, follow=True), 10)
    await clock
    assert [(g["from"], g["to"], g["reason"]) for g in report.to_json()["gaps"]] == [(41, 45, "unavailable")]


async def test_coverage_of_everything_is_where_a_contract_goes_on_from(storage):
    await run(storage, source(), scope=Scope.of(["*"]), first=5)
    again = source()
    report = await run(storage, again)
    assert again.asked == []
    assert report.exit_code is ExitCode.OK
    assert storage.sync_states()[A].last_ledger_sequence == 60


async def test_a_first_ledger_that_never_came_is_no_network_reset(storage):
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, stop.set)
    await run(storage, source(), first=30_000, follow=True, stop=stop)
    report = await run(storage, source(), first=50)
    assert report.exit_code is ExitCode.OK


async def test_a_lowered_start_ledger_is_fetched_from(storage):
    await run(storage, source(), first=20, start_ledger=20)
    report = await run(storage, source(), start_ledger=5)
    assert (report.to_json()["from"], report.exit_code) == (5, ExitCode.OK)


async def test_a_source_that_can_never_serve_is_left_out_where_another_can(storage):
    class Old(ScriptedSource):
        async def identity(self):
            raise SourceUnusableError("too old")

    report = await run(storage, Old(HISTORY, 60, name="old"), source(), first=1)
    assert report.exit_code is ExitCode.OK
    with pytest.raises(SourceUnusableError):
        await run(storage, Old(HISTORY, 60, name="old"))


async def test_cancelling_a_run_leaves_nothing_running(storage):
    task = asyncio.create_task(run(storage, source(), first=1, follow=True))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [other for other in asyncio.all_tasks() if other is not asyncio.current_task()] == []


async def test_without_sinks_a_commit_need_not_survive_a_power_cut(storage):
    await run(storage, source(), first=1)
    assert not storage.durable
