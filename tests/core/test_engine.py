"""The engine: whatever sources do, what is stored is the history, and what is missing is named."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stellarstream_core.digest import digest_events
from stellarstream_core.errors import SourceError, StorageError
from stellarstream_core.hookspecs import CommittedBatch
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Reason, Window
from stellarstream_core.storage import Storage
from stellarstream_core.sync.engine import SyncEngine
from stellarstream_core.sync.report import NEVER_FETCHED, read_coverage
from stellarstream_core.testing.scripted import ScriptedSource, made_contract, made_event, made_history

A, B, C = sorted(made_contract(n) for n in range(3))
WHOLE = LedgerRange(1, 60)
HISTORY = made_history(WHOLE, [A, B, C])
SCOPE = Scope.of([A, B])


def source(**script) -> ScriptedSource:
    return ScriptedSource(**{"history": HISTORY, "latest": 60, **script})


def stored(storage: Storage, scope: Scope = SCOPE, within: LedgerRange = WHOLE) -> list:
    return list(storage.events(within, scope, limit=100_000))


def expected(scope: Scope = SCOPE) -> list:
    return [event for event in HISTORY if scope.holds(event.contract_id)]


async def fill(storage: Storage, *sources: ScriptedSource, scope: Scope = SCOPE, **options) -> SyncEngine:
    storage.want(scope, WHOLE.first)
    engine = SyncEngine(storage, sources, **options)
    await engine.fill(RangeSet([WHOLE]), scope)
    engine.close()
    return engine


async def test_every_wanted_event_is_stored_once_and_every_ledger_is_covered(storage):
    engine = await fill(storage, source())
    assert stored(storage) == expected()
    assert engine.counts.new == len(expected())
    assert read_coverage(storage, WHOLE, SCOPE).gaps == ()
    assert {s.last_ledger_sequence for s in storage.sync_states().values()} == {60}


async def test_a_second_run_asks_for_nothing(storage):
    await fill(storage, source())
    again = source()
    engine = await fill(storage, again)
    assert again.asked == []
    assert (engine.counts.new, engine.counts.known) == (0, 0)


async def test_adding_a_contract_fetches_only_that_contract(storage):
    await fill(storage, source())
    wider = source()
    await fill(storage, wider, scope=Scope.of([A, B, C]))
    assert wider.asked == [(WHOLE, Scope((C,)))]
    assert stored(storage, Scope.of([A, B, C])) == HISTORY


async def test_coverage_of_everything_covers_each_contract(storage):
    await fill(storage, source(), scope=Scope.of(["*"]))
    again = source()
    await fill(storage, again)
    assert again.asked == []
    assert stored(storage) == expected()


async def test_everything_after_some_contracts_stores_no_event_twice(storage):
    await fill(storage, source())
    engine = await fill(storage, source(), scope=Scope.of(["*"]))
    assert stored(storage, Scope.of(["*"])) == HISTORY
    assert (engine.counts.new, engine.counts.known) == (len(HISTORY) - len(expected()), len(expected()))


SCRIPTS = st.fixed_dictionaries(
    {
        "window": st.integers(1, 20),
        "seed": st.integers(0, 9),
        "oldest": st.integers(1, 30),
        "latest": st.integers(31, 60),
        "fails_after": st.none() | st.integers(0, 5),
        "refused": st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=3).map(
            lambda pairs: RangeSet((a, min(60, a + b)) for a, b in pairs)
        ),
    }
)
NUMBERS = count()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(SCRIPTS, min_size=1, max_size=3), st.integers(1, 4))
def test_after_any_failures_what_is_covered_is_complete_and_the_rest_is_named_then_filled(
    open_sqlite, scripts, workers
):
    storage = open_sqlite(f"{next(NUMBERS)}.db")

    async def scene() -> None:
        for script in scripts:
            engine = await fill(storage, source(**script), workers=workers)
            coverage = read_coverage(storage, WHOLE, SCOPE, engine.reasons)
            named = RangeSet(gap.range for gap in coverage.gaps)
            assert named | coverage.covered == RangeSet([WHOLE])
            assert not named & coverage.covered
            assert all(gap.reason != NEVER_FETCHED for gap in coverage.gaps)
            assert stored(storage) == [e for e in expected() if e.ledger in coverage.covered]
        await fill(storage, source(), workers=workers)
        assert digest_events(stored(storage)) == digest_events(expected())
        assert read_coverage(storage, WHOLE, SCOPE).gaps == ()

    asyncio.run(scene())
    storage.close()


async def test_a_range_that_one_source_gives_up_goes_to_the_next(storage):
    first = source(name="first", oldest=20, refused=RangeSet([(30, 34)]))
    second = source(name="second", evidence=Evidence.PROVEN)
    engine = await fill(storage, first, second)
    coverage = read_coverage(storage, WHOLE, SCOPE, engine.reasons)
    assert coverage.gaps == ()
    assert coverage.sources == {"first": RangeSet([(20, 29), (35, 60)]), "second": RangeSet([(1, 19), (30, 34)])}
    assert coverage.proven == RangeSet([(1, 19), (30, 34)])
    assert stored(storage) == expected()


async def test_what_no_source_reaches_is_named_by_its_reason(storage):
    engine = await fill(storage, source(oldest=11, latest=50, refused=RangeSet([(20, 24)])))
    gaps = read_coverage(storage, WHOLE, SCOPE, engine.reasons).gaps
    assert [(str(gap.range), gap.reason) for gap in gaps] == [
        ("1..10", Reason.OUT_OF_RETENTION),
        ("20..24", Reason.UNAVAILABLE),
        ("51..60", Reason.BEYOND_TIP),
    ]


async def test_a_gap_of_some_contracts_names_them(storage):
    await fill(storage, source(latest=30), scope=Scope.of([A]))
    await fill(storage, source(latest=40), scope=Scope.of([B]))
    (first, second) = read_coverage(storage, WHOLE, SCOPE).gaps
    assert (str(first.range), first.contracts) == ("31..40", (A,))
    assert (str(second.range), second.contracts) == ("41..60", ())


async def test_a_source_that_does_not_answer_leaves_a_named_gap(storage):
    engine = await fill(storage, source(silent=True))
    (gap,) = read_coverage(storage, WHOLE, SCOPE, engine.reasons).gaps
    assert (gap.range, gap.reason) == (WHOLE, Reason.UNAVAILABLE)
    assert "silent" in gap.detail


async def test_a_source_that_hands_over_ledgers_it_was_not_asked_for_is_not_believed(storage):
    class Eager(ScriptedSource):
        async def windows(self, wanted, scope):
            yield Window(LedgerRange(1, 61), scope, [], self.name)

    engine = await fill(storage, Eager(HISTORY, 60))
    (gap,) = read_coverage(storage, WHOLE, SCOPE, engine.reasons).gaps
    assert gap.reason == Reason.MISBEHAVED


async def test_other_bytes_for_a_stored_event_are_a_conflict_and_nothing_is_overwritten(storage):
    await fill(storage, source(history=[*HISTORY, made_event(70, contract=C)]), scope=Scope.of([A]))
    before = stored(storage, Scope.of([A]))
    victim = next(event for event in HISTORY if event.contract_id == A)
    lying = [event._replace(value=b"\0\0\0\3\0\0\0\1") if event == victim else event for event in HISTORY]
    engine = await fill(storage, source(history=lying), scope=Scope.of(["*"]))
    assert engine.counts.conflicts == 1
    assert stored(storage, Scope.of([A])) == before
    coverage = read_coverage(storage, WHOLE, Scope.of(["*"]), engine.reasons)
    assert [(gap.range.first, gap.range.last, gap.reason) for gap in coverage.gaps] == [
        (victim.ledger, victim.ledger, Reason.CONFLICT)
    ]
    await fill(storage, source(), scope=Scope.of(["*"]))
    assert stored(storage, Scope.of(["*"])) == HISTORY, "a later run with the right bytes completes the ledger"


async def test_sinks_hear_of_each_commit_in_order_and_may_fail(storage):
    heard: list[CommittedBatch] = []

    class Good:
        name = "good"

        def publish(self, batch: CommittedBatch) -> None:
            heard.append(batch)

    class Bad:
        name = "bad"

        def publish(self, batch: CommittedBatch) -> None:
            raise RuntimeError("boom")

    engine = await fill(storage, source(), sinks=[Bad(), Good()])
    assert [batch.commit.position for batch in heard] == list(range(1, len(heard) + 1))
    assert sorted(event for batch in heard for event in batch.events) == expected()
    assert engine.sink_failures == {"bad": len(heard)}
    assert list(storage.commits(0)) == [batch.commit for batch in heard]
    assert all(list(storage.events_of_commit(batch.commit)) == list(batch.events) for batch in heard)


async def test_a_database_that_fails_ends_the_run_with_its_error(storage, monkeypatch):
    def full(_window):
        raise StorageError("the disk is full")

    monkeypatch.setattr(storage, "commit", full)
    with pytest.raises(StorageError, match="disk is full"):
        await fill(storage, source(), workers=3)


async def test_a_failing_source_stops_no_other_range_of_a_parallel_run(storage):
    class HalfBlind(ScriptedSource):
        async def windows(self, wanted, scope):
            if wanted.holds(1):
                raise SourceError("cannot see the beginning")
            async for item in ScriptedSource.windows(self, wanted, scope):
                yield item

    engine = await fill(storage, HalfBlind(HISTORY, 60), workers=3)
    (gap,) = read_coverage(storage, WHOLE, SCOPE, engine.reasons).gaps
    assert (str(gap.range), gap.reason) == ("1..20", Reason.UNAVAILABLE)


class Raising(ScriptedSource):
    """A third party's source whose windows raise what no source should."""

    trouble = KeyError("third party bug")

    async def windows(self, wanted, scope):
        raise self.trouble
        yield


class Disordered(ScriptedSource):
    """A source whose window holds an event of another range: the storage refuses it."""

    async def windows(self, wanted, scope):
        yield Window(wanted, scope, [made_event(wanted.last + 1, contract=A)], self.name)


@pytest.mark.parametrize("broken", [Raising, Disordered])
async def test_whatever_a_source_does_its_range_goes_to_the_next(storage, broken):
    engine = await fill(storage, broken(HISTORY, 60, name="broken"), source(name="good"))
    assert stored(storage) == expected()
    assert read_coverage(storage, WHOLE, SCOPE, engine.reasons).gaps == ()


@pytest.mark.parametrize("broken", [Raising, Disordered])
async def test_whatever_the_only_source_does_is_a_named_gap(storage, broken):
    engine = await fill(storage, broken(HISTORY, 60, name="broken"))
    (gap,) = read_coverage(storage, WHOLE, SCOPE, engine.reasons).gaps
    assert (gap.range, gap.reason) == (WHOLE, Reason.MISBEHAVED)
    assert stored(storage) == []


async def test_a_commit_under_way_counts_even_when_the_sync_is_cancelled(storage, monkeypatch):
    import threading

    begun, go_on = threading.Event(), threading.Event()
    commit = storage.commit

    def slow(window):
        begun.set()
        go_on.wait(5)
        return commit(window)

    monkeypatch.setattr(storage, "commit", slow)
    storage.want(SCOPE, WHOLE.first)
    engine = SyncEngine(storage, [source(window=60)])
    running = asyncio.create_task(engine.fill(RangeSet([WHOLE]), SCOPE))
    await asyncio.to_thread(begun.wait, 5)
    running.cancel()
    asyncio.get_running_loop().call_later(0.05, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await running
    engine.close()
    assert engine.counts.new == len(stored(storage)) == len(expected())


async def test_a_commit_that_fails_while_the_sync_is_cancelled_is_told(storage, monkeypatch):
    import threading

    begun, go_on = threading.Event(), threading.Event()

    def full(_window):
        begun.set()
        go_on.wait(5)
        raise StorageError("the disk is full")

    monkeypatch.setattr(storage, "commit", full)
    engine = SyncEngine(storage, [source()])
    running = asyncio.create_task(engine.fill(RangeSet([WHOLE]), SCOPE))
    await asyncio.to_thread(begun.wait, 5)
    running.cancel()
    asyncio.get_running_loop().call_later(0.05, go_on.set)
    with pytest.raises(StorageError, match="disk is full"):
        await running
    engine.close()
