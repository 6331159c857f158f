"""Verifying: every way in which what is stored can differ is found, and a repair adds without overwriting."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.certificates import Doubt
from stellarstream_core.digest import digest_events
from stellarstream_core.errors import ExitCode, NetworkMismatchError, NetworkResetError, SourceError
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Reason, Window
from stellarstream_core.sync.findings import Findings, Unproven, Verdict
from stellarstream_core.sync.progress import Silence
from stellarstream_core.sync.run import SyncRequest, SyncRun
from stellarstream_core.sync.verification import Verification
from stellarstream_core.sync.verify import compare
from stellarstream_core.testing.scripted import PASSPHRASE, ScriptedSource, made_contract, made_event, made_history

A, B = sorted(made_contract(n) for n in range(2))
SCOPE = Scope.of([A, B])
WHOLE = LedgerRange(1, 60)
HISTORY = made_history(WHOLE, [A, B], seed=5)


def source(**script) -> ScriptedSource:
    return ScriptedSource(**{"history": HISTORY, "latest": 60, **script})


def prover(**script) -> ScriptedSource:
    return source(**{"name": "prover", "evidence": Evidence.PROVEN, "archive": True, **script})


async def sync(storage, *sources, passphrase=PASSPHRASE, **request):
    asked = SyncRequest(**{"first": 1, "last": 60, "scope": SCOPE, **request})
    return await SyncRun(asked, storage, sources, passphrase, Silence()).execute(asyncio.Event())


async def verify(storage, *sources, repair=False, wanted=WHOLE, scope=SCOPE, passphrase=PASSPHRASE):
    run = Verification(storage, sources, passphrase, scope, wanted, Silence(), repair)
    return await run.execute(asyncio.Event())


def commit(storage, events, span, **window) -> None:
    storage.commit(Window(span, SCOPE, events, "test", **window))


def contents(storage):
    return (
        list(storage.events(WHOLE, SCOPE, limit=100_000)),
        storage.totals(),
        [storage.covered_ranges(contract, WHOLE) for contract in SCOPE],
        storage.anchors(),
        storage.conflicts(),
    )


async def test_equal_events_from_a_source_that_proves_are_proven(storage):
    await sync(storage, source())
    report = await verify(storage, prover())
    assert (report.verdict, report.verdict.exit_code) == (Verdict.PROVEN, ExitCode.OK)
    assert report.to_json()["proven"] == [[1, 60]]
    assert report.digest == digest_events(HISTORY)


async def test_equal_events_from_a_source_that_cannot_prove_are_matching(storage):
    await sync(storage, source())
    report = await verify(storage, source())
    assert (report.verdict, report.verdict.exit_code) == (Verdict.MATCHING, ExitCode.OK)
    assert report.to_json()["unproven"] == [{"from": 1, "to": 60, "reason": "not-provable"}]


async def test_verifying_writes_nothing_whatever_it_finds(storage):
    await sync(storage, source(history=HISTORY[::2], oldest=5))
    before = contents(storage)
    await verify(storage, prover(history=[*HISTORY[:10], *HISTORY[11:]]))
    assert contents(storage) == before


async def test_an_event_that_is_not_stored_is_missing(storage):
    lost = HISTORY[7]
    await sync(storage, source(history=[event for event in HISTORY if event != lost]))
    report = await verify(storage, prover())
    assert (report.verdict, report.to_json()["missing"]) == (Verdict.INCOMPLETE, [lost.id])
    assert lost.ledger not in report.proven


async def test_an_event_that_the_ledgers_do_not_have_is_extra(storage):
    phantom = made_event(30, tx=9, contract=A)
    await sync(storage, source(history=sorted([*HISTORY, phantom])))
    report = await verify(storage, prover())
    assert (report.verdict, report.to_json()["extra"]) == (Verdict.DIFFERENT, [phantom.id])
    assert report.verdict.exit_code is ExitCode.CONFLICT


async def test_other_bytes_under_the_same_id_are_different(storage):
    at = HISTORY[9]
    await sync(storage, source(history=[e if e != at else e._replace(value=e.value[:-1] + b"!") for e in HISTORY]))
    report = await verify(storage, prover())
    assert (report.verdict, report.to_json()["different"]) == (Verdict.DIFFERENT, [at.id])


async def test_ledgers_that_are_not_covered_make_it_incomplete_even_where_they_hold_no_event(storage):
    await sync(storage, source(history=(), refused=RangeSet([(20, 22)])))
    report = await verify(storage, prover(history=()))
    assert report.verdict is Verdict.INCOMPLETE
    assert [(gap["from"], gap["to"]) for gap in report.to_json()["gaps"]] == [(20, 22)]


async def test_ledgers_that_cannot_be_read_again_make_it_incomplete_and_say_why(storage):
    await sync(storage, source())
    report = await verify(storage, prover(refused=RangeSet([(20, 22)]), oldest=5))
    assert report.verdict is Verdict.INCOMPLETE
    assert {(item["from"], item["to"], item["reason"]) for item in report.to_json()["unproven"]} == {
        (1, 4, "out-of-retention"),
        (20, 22, "unavailable"),
    }


async def test_what_one_source_gives_up_is_read_again_from_the_next(storage):
    await sync(storage, source())
    first = prover(refused=RangeSet([(20, 22)]), oldest=5)
    report = await verify(storage, first, prover(name="second"))
    assert report.verdict is Verdict.PROVEN
    assert report.to_json()["sources"] == {"prover": [[5, 19], [23, 60]], "second": [[1, 4], [20, 22]]}


async def test_a_source_that_raises_half_way_is_followed_by_the_next(storage):
    await sync(storage, source())
    report = await verify(storage, prover(fails_after=3), prover(name="second"))
    assert report.verdict is Verdict.PROVEN


async def test_a_broken_proof_is_named_even_where_another_source_is_right(storage):
    await sync(storage, source())
    liar = prover(refused=RangeSet([(20, 20)]), refused_for=Reason.PROOF_FAILED)
    report = await verify(storage, liar, prover(name="second"))
    assert report.verdict is Verdict.DIFFERENT
    assert report.to_json()["broken"] == [{"ledger": 20, "reason": "prover refuses by script (prover)"}]


async def test_a_source_of_another_history_is_refused_before_anything_is_compared(storage):
    await sync(storage, source(chain="one"))
    with pytest.raises(NetworkResetError, match="different histories"):
        await verify(storage, prover(chain="other", latest=70))


async def test_ledgers_of_another_chain_are_broken_where_those_stored_were_checked(storage):
    await sync(storage, prover(chain="one"))
    report = await verify(storage, prover(chain="other", latest=70))
    assert report.verdict is Verdict.DIFFERENT
    assert 60 in [entry["ledger"] for entry in report.to_json()["broken"]]


async def test_windows_of_two_sources_that_do_not_join_are_broken(storage):
    await sync(storage, source())
    first = prover(refused=RangeSet([(20, 60)]), seed=1)
    forged = prover(name="second", chain="forged", oldest=20, latest=59)
    report = await verify(storage, first, forged, wanted=LedgerRange(1, 59))
    assert report.verdict is Verdict.DIFFERENT
    assert all(entry["reason"].startswith("chain-break") for entry in report.to_json()["broken"])
    assert 20 in [entry["ledger"] for entry in report.to_json()["broken"]]


async def test_a_repair_adds_what_is_missing_and_upgrades_evidence_without_storing_twice(storage):
    lost = HISTORY[7]
    await sync(storage, source(history=[event for event in HISTORY if event != lost], refused=RangeSet([(40, 44)])))
    known = storage.totals().events
    position = storage.totals().position
    report = await verify(storage, prover(), repair=True)
    assert report.verdict is Verdict.PROVEN
    assert list(storage.events(WHOLE, SCOPE, limit=100_000)) == HISTORY
    assert report.findings.added.count == len(HISTORY) - known
    assert storage.totals().position > position
    assert {part.evidence for part in storage.covered_ranges(A, WHOLE)} == {Evidence.PROVEN}
    again = storage.totals()
    assert (await verify(storage, prover(), repair=True)).verdict is Verdict.PROVEN
    assert storage.totals() == again


async def test_a_repair_overwrites_nothing_and_proves_no_ledger_that_differs(storage):
    phantom, at = made_event(30, tx=9, contract=A), HISTORY[9]
    ours = sorted([*(e if e != at else e._replace(value=e.value[:-1] + b"!") for e in HISTORY), phantom])
    await sync(storage, source(history=ours))
    report = await verify(storage, prover(), repair=True)
    assert report.verdict is Verdict.DIFFERENT
    assert list(storage.events(WHOLE, SCOPE, limit=100_000)) == ours
    proven = RangeSet(p.range for p in storage.covered_ranges(A, WHOLE) if p.evidence is Evidence.PROVEN)
    assert RangeSet([WHOLE]) - proven == RangeSet([(30, 30), (at.ledger, at.ledger)])


async def test_what_no_hash_covers_is_recorded_beside_the_proof(storage):
    await sync(storage, source())
    report = await verify(storage, prover(doubts=frozenset({Doubt.CLASSIC_EVENTS})))
    assert report.verdict is Verdict.PROVEN
    assert report.to_json()["unproven"] == [{"from": 1, "to": 60, "reason": "classic-events"}]


async def test_a_difference_between_flavours_is_named_as_one(storage):
    at = HISTORY[9]
    ours = [e if e != at else e._replace(value=e.value[:-1] + b"!") for e in HISTORY]
    await sync(storage, source(history=ours, flavour="meta-v3"))
    report = await verify(storage, prover(flavour="meta-v4-backfilled"))
    assert report.verdict is Verdict.DIFFERENT
    assert "stored from meta-v3, read again as meta-v4-backfilled" in str(report.to_json()["flavours"])


async def test_the_same_input_gives_the_same_verdict_and_digest_in_any_order(storage):
    await sync(storage, source())
    bodies = []
    for seed in range(3):
        body = (await verify(storage, prover(seed=seed, window=3 + seed))).to_json()
        del body["seconds"]
        bodies.append(body)
    assert bodies[0] == bodies[1] == bodies[2]


async def test_a_database_of_another_network_is_refused(storage):
    await sync(storage, source())
    with pytest.raises(NetworkMismatchError):
        await verify(storage, prover(), passphrase="Another ; network")


async def test_without_any_source_that_answers_the_reason_is_told(storage):
    await sync(storage, source())
    with pytest.raises(SourceError, match="silent"):
        await verify(storage, prover(silent=True))


async def test_stopping_a_verification_says_nothing_of_the_range(storage):
    await sync(storage, source())
    stop = asyncio.Event()
    stop.set()
    run = Verification(storage, [prover()], PASSPHRASE, SCOPE, WHOLE, Silence())
    assert await run.execute(stop) is None


# --- sync --verify ----------------------------------------------------------------------------


async def test_sync_with_verify_proves_what_was_only_scanned(storage):
    request = SyncRequest(1, 60, SCOPE, verify=True)
    run = SyncRun(request, storage, [source()], PASSPHRASE, Silence(), provers=[prover()])
    report = await run.execute(asyncio.Event())
    assert report.to_json()["evidence"] == {"proven": [[1, 60]], "scanned": []}
    assert report.to_json()["verified"]["added"] == 0
    assert report.exit_code is ExitCode.OK


async def test_sync_with_verify_finds_what_the_first_source_left_out_and_adds_it(storage):
    run = SyncRun(
        SyncRequest(1, 60, SCOPE, verify=True),
        *(storage, [source(history=HISTORY[1:])], PASSPHRASE, Silence()),
        provers=[prover()],
    )
    report = await run.execute(asyncio.Event())
    assert report.to_json()["verified"]["added"] == 1
    assert list(storage.events(WHOLE, SCOPE, limit=100_000)) == HISTORY


async def test_sync_with_verify_ends_with_a_conflict_where_stored_events_are_not_in_the_ledgers(storage):
    run = SyncRun(
        SyncRequest(1, 60, SCOPE, verify=True),
        *(storage, [source()], PASSPHRASE, Silence()),
        provers=[prover(history=HISTORY[1:])],
    )
    report = await run.execute(asyncio.Event())
    assert report.exit_code is ExitCode.CONFLICT
    assert report.to_json()["verified"]["extra"] == 1


async def test_following_with_verify_proves_behind_the_tip(storage, monkeypatch):
    monkeypatch.setattr("stellarstream_core.sync.upgrade.PAUSE_SECONDS", 0.02)
    moving, lagging = source(latest=20), prover(latest=15)
    stop = asyncio.Event()

    async def play() -> None:
        while _proven(storage) != RangeSet([(1, 15)]):
            await asyncio.sleep(0.01)
        moving.latest, lagging.latest = 40, 38
        while _proven(storage) != RangeSet([(1, 38)]):
            await asyncio.sleep(0.01)
        stop.set()

    playing = asyncio.create_task(asyncio.wait_for(play(), 20))
    request = SyncRequest(1, None, SCOPE, follow=True, verify=True)
    report = await SyncRun(request, storage, [moving], PASSPHRASE, Silence(), provers=[lagging]).execute(stop)
    await playing
    assert report.to_json()["evidence"]["proven"] == [[1, 38]]


def _proven(storage) -> RangeSet:
    parts = [p for p in storage.covered_ranges(A, LedgerRange(1, 100)) if p.evidence is Evidence.PROVEN]
    return RangeSet(part.range for part in parts)


# --- comparing --------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 3), min_size=0, max_size=30))
def test_comparing_sorts_every_event_into_the_one_place_it_belongs(fates):
    """0: on both sides, 1: missing, 2: extra, 3: different."""
    events = [made_event(ledger, contract=A) for ledger in range(1, len(fates) + 1)]
    stored = [
        replace_value(event) if fate == 3 else event for event, fate in zip(events, fates, strict=True) if fate != 1
    ]
    read = [event for event, fate in zip(events, fates, strict=True) if fate != 2]
    found = compare(stored, read)
    for name, fate in (("missing", 1), ("extra", 2), ("different", 3)):
        assert getattr(found, name) == [e.id for e, f in zip(events, fates, strict=True) if f == fate]


def replace_value(event):
    return event._replace(value=event.value + b"\0\0\0\0")


@given(st.permutations([(n, n) for n in range(1, 9)]))
def test_doubts_of_neighbouring_ledgers_become_one_in_whatever_order_they_come(spans):
    found = Findings()
    for span in spans:
        found.doubt(RangeSet([span]), "classic-events")
    assert found.unproven == [Unproven(LedgerRange(1, 8), "classic-events")]


def test_lists_are_capped_and_counts_stay_exact():
    found = Findings()
    found.missing.add([str(n) for n in range(25_000)])
    found.breaks(LedgerRange(1, 5_000), "why")
    assert (len(found.missing.ids), found.missing.count) == (10_000, 25_000)
    assert (len(found.broken), found.broken_count) == (1_000, 5_000)
    found.breaks(LedgerRange(1, 5_000), "again, at another source")
    assert found.broken_count == 5_000
