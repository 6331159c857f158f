"""A stream is shown as what is known of it at a moment: null rather than wrong, and never a fact of the future."""

from __future__ import annotations

import pytest

from stellarstream_nebula.model import V1, V2, Curve, Status, StreamFacts, StreamState, stream_key
from stellarstream_nebula.view import index_of, usable, view
from tests.nebula.stream_events import ALICE, BOB, CAROL, COIN, CV1, CV2

CREATED = 100
START, CLIFF, END = 1000, 1010, 1100


def v1(**changed) -> StreamState:
    known = {
        "contract_id": CV1,
        "stream_id": 0,
        "family": V1,
        "first_event": "e1",
        "tx_hash": "aa",
        "created_at": START,
        "created_ledger": CREATED,
        "updated_ledger": CREATED,
        "updated_at": START,
        "last_event": "e1",
        "sender": ALICE,
        "receiver": BOB,
        "token": COIN,
        "total": 1000,
        "start": START,
        "end": END,
        "withdrawn_told": False,
        "touched_ledger": CREATED,
        "terms_ledger": CREATED,
        "parties_ledger": CREATED,
    }
    return StreamState(**{**known, **changed})


def v2(**changed) -> StreamState:
    known = {"contract_id": CV2, "family": V2, "beneficiary": BOB, "cliff": CLIFF, "withdrawn_told": True}
    return v1(**{**known, **changed})


def read(ledger: int = CREATED + 10, **changed) -> StreamFacts:
    known = {
        "sender": ALICE,
        "receiver": BOB,
        "beneficiary": BOB,
        "token": COIN,
        "total": 1000,
        "start": START,
        "cliff": CLIFF,
        "end": END,
        "withdrawn": 0,
    }
    return StreamFacts(ledger=ledger, **{**known, **changed})


def shown(state, facts=None, at=START + 50, as_of=CREATED + 20, fresh=60):
    key = stream_key(state.contract_id, state.stream_id)
    return view(key, state, facts, as_of_ledger=as_of, at=at, fresh_ledgers=fresh)


def amounts(found) -> tuple[int | None, int | None, int | None]:
    return found.withdrawn, found.unlocked, found.withdrawable


# --- V2 -------------------------------------------------------------------------------------


def test_v2_without_a_read_knows_what_was_withdrawn_but_not_what_a_curve_unlocked():
    assert amounts(shown(v2(withdrawn=200))) == (200, None, None)
    assert amounts(shown(v2(), at=CLIFF - 1)) == (0, 0, 0)
    assert amounts(shown(v2(withdrawn=200), at=END)) == (200, 1000, 800)
    found = shown(v2())
    assert (found.curve, found.yield_enabled, found.state_ledger, found.cliff) == (None, None, None, CLIFF)


def test_v2_with_any_read_knows_its_amounts():
    for ledger in (CREATED, CREATED + 10, CREATED + 500):
        assert amounts(shown(v2(withdrawn=200, touched_ledger=CREATED + 15), read(ledger))) == (200, 500, 300)


def test_v2_unlocks_by_the_curve_that_was_read():
    assert shown(v2(), read(curve=Curve.EXPONENTIAL)).unlocked == 250
    steps = read(curve=Curve.STEPS, step_duration=50, multiplier_bps=10_000)
    assert shown(v2(), steps).unlocked == 333


def test_a_curve_that_would_trap_the_contract_unlocks_nothing_that_is_known():
    steps = read(curve=Curve.STEPS, step_duration=2**119, multiplier_bps=1)
    assert amounts(shown(v2(), steps)) == (0, None, None)


def test_events_after_a_read_win_over_it():
    later = v2(withdrawn=300, touched_ledger=CREATED + 11, total=2000, end=END + 100, terms_ledger=CREATED + 11)
    found = shown(later, read(withdrawn=100))
    assert (found.withdrawn, found.total, found.end) == (300, 2000, END + 100)


def test_a_read_after_the_events_tells_what_they_left_open():
    permit = v2(sender=None, start=None, end=None)
    found = shown(permit, read())
    assert (found.sender, found.start, found.end, found.unlocked) == (ALICE, START, END, 500)
    assert shown(permit).completes_at is None
    assert shown(permit, at=END).status is Status.ACTIVE
    swap = v2(total=None, terms_ledger=CREATED + 12)
    assert shown(swap, read()).total is None  # it may have changed since
    assert shown(swap, read(CREATED + 12)).total == 1000


def test_a_missing_entry_tells_nothing():
    found = shown(v2(), StreamFacts(ledger=CREATED + 10, missing=True))
    assert (found.unlocked, found.state_ledger, found.total) == (None, None, 1000)


def test_a_reader_sees_the_beneficiary_of_the_last_event():
    found = shown(v2(beneficiary=CAROL), read())
    assert (found.receiver, found.beneficiary) == (BOB, CAROL)


# --- V1 -------------------------------------------------------------------------------------


def test_v1_needs_a_fresh_read_for_amounts_and_any_for_cliff_and_curve():
    fresh = shown(v1(), read(withdrawn=100), as_of=CREATED + 70)
    assert amounts(fresh) == (100, 500, 400)
    stale = shown(v1(), read(withdrawn=100), as_of=CREATED + 71)
    assert amounts(stale) == (None, None, None)
    assert (stale.cliff, stale.curve, stale.state_ledger) == (CLIFF, Curve.LINEAR, CREATED + 10)


def test_v1_without_a_read_knows_only_what_no_silent_withdrawal_can_have_changed_yet():
    young = shown(v1(), as_of=CREATED + 59)
    assert amounts(young) == (0, None, None)
    assert (young.cliff, young.curve) == (None, None)
    assert amounts(shown(v1(), as_of=CREATED + 60)) == (None, None, None)
    assert amounts(shown(v1(), at=START, as_of=CREATED + 59)) == (0, 0, 0)
    assert amounts(shown(v1(), at=END, as_of=CREATED + 59)) == (0, 1000, 1000)


def test_v1s_cancellation_shows_in_the_read_alone():
    found = shown(v1(), read(closed=True, withdrawn=300), as_of=CREATED + 1000)
    assert found.status is Status.CANCELED
    assert amounts(found) == (300, 300, 0)
    assert found.completes_at is None


def test_a_read_of_the_future_says_only_what_cannot_change_back():
    future = CREATED + 25
    closed = shown(v1(), read(future, closed=True, withdrawn=300))
    assert closed.status is Status.ACTIVE
    assert closed.withdrawn == 0
    still_open = shown(v1(updated_ledger=1, touched_ledger=1), read(future, withdrawn=300), as_of=CREATED + 20, fresh=2)
    assert amounts(still_open) == (None, 500, None)


def test_v1s_receiver_is_whom_the_read_names():
    found = shown(v1(), read(receiver=CAROL, beneficiary=CAROL))
    assert (found.receiver, found.beneficiary) == (CAROL, CAROL)
    assert (shown(v1()).receiver, shown(v1()).beneficiary) == (BOB, BOB)


def test_an_event_after_the_read_wins_over_whom_the_read_names():
    later = CREATED + 11
    handed_on = v1(receiver=CAROL, parties_ledger=later)
    found = shown(handed_on, read(CREATED + 10, withdrawn=100))
    assert (found.receiver, found.beneficiary, found.withdrawn) == (CAROL, CAROL, 100)
    back = shown(handed_on, read(later))
    assert (back.receiver, back.beneficiary) == (BOB, BOB)
    receipt = shown(v1(beneficiary=CAROL, parties_ledger=later), read(CREATED + 10))
    assert (receipt.receiver, receipt.beneficiary) == (BOB, CAROL)


def test_v1_fully_paid_stays_known_however_old_the_read():
    found = shown(v1(), read(withdrawn=1000), as_of=CREATED + 10_000)
    assert found.status is Status.COMPLETED
    assert amounts(found) == (1000, 500, 0)


def test_a_pause_holds_the_amounts_and_blocks_withdrawals():
    paused = v1(paused_at=START + 30, paused_before=10)
    found = shown(paused, read(withdrawn=100), at=START + 80)
    assert found.status is Status.PAUSED
    assert amounts(found) == (100, 200, 0)
    assert found.completes_at is None


def test_pauses_move_the_end_of_the_clock():
    found = shown(v1(paused_before=40), read(), at=END + 39)
    assert (found.status, found.completes_at, found.unlocked) == (Status.ACTIVE, END + 40, 990)
    assert shown(v1(paused_before=40), read(), at=END + 40).status is Status.COMPLETED


@pytest.mark.parametrize("frozen", [{"state": {"frozen": True}}, {"facts": {"frozen": True}}])
def test_frozen_streams_unlock_and_pay_nothing(frozen):
    found = shown(v1(**frozen.get("state", {})), read(**frozen.get("facts", {})))
    assert found.status is Status.ACTIVE
    assert amounts(found) == (0, 500, 0)


# --- ends -----------------------------------------------------------------------------------


def test_the_clock_completes_a_stream_that_nobody_claimed():
    found = shown(v2(), read(), at=END)
    assert found.status is Status.COMPLETED
    assert amounts(found) == (0, 1000, 1000)
    assert found.completes_at == END
    assert shown(v2(), read(), at=END - 1).status is Status.ACTIVE


def test_a_cancelled_stream_keeps_what_counted_as_unlocked():
    told = v2(closed=Status.CANCELED, closed_time=START + 30, settled_unlocked=300, withdrawn=300)
    assert amounts(shown(told)) == (300, 300, 0)
    assert shown(told, at=END + 1).status is Status.CANCELED


def test_where_the_penalty_is_not_told_the_formula_or_a_later_read_tells_what_was_unlocked():
    open_end = v2(closed=Status.CANCELED, closed_time=START + 30, withdrawn=100, touched_ledger=CREATED + 5)
    assert amounts(shown(open_end)) == (None, None, 0)
    assert amounts(shown(open_end, read(CREATED + 1))) == (300, 300, 0)
    assert amounts(shown(open_end, read(CREATED + 6, closed=True, withdrawn=299))) == (299, 299, 0)


def cancelled(by=ALICE, returned=0, **changed):
    """Return a V2 stream cancelled at 30 % of its time, whose event leaves open what was unlocked."""
    told = {"closed": Status.CANCELED, "closed_time": START + 30, "withdrawn": 100, "touched_ledger": CREATED + 5}
    return v2(**{**told, "cancelled_by": by, "returned": returned, **changed})


@pytest.mark.parametrize(
    ("penalty", "returned", "unlocked"),
    [(0, 700, 300), (0, 699, 301), (1_000, 630, 300), (10_000, 0, 300), (1_000, 631, None), (9_999, 0, None)],
)
def test_the_penalty_that_was_read_settles_what_a_sender_cancelled(penalty, returned, unlocked):
    found = shown(cancelled(returned=returned), read(CREATED + 1, penalty_bps=penalty))
    assert amounts(found) == (unlocked, unlocked, 0)
    assert found.penalty_bps == penalty


def test_without_a_penalty_the_terms_need_not_be_known():
    unknown = {"start": None, "end": None, "cliff": None}
    nameless = read(CREATED + 1, start=None, end=None, cliff=None)
    assert amounts(shown(cancelled(returned=640, **unknown), nameless)) == (360, 360, 0)
    read_sender = read(CREATED + 1, start=None, end=None, cliff=None, penalty_bps=5_000)
    assert amounts(shown(cancelled(by=BOB, returned=640, sender=None, **unknown), read_sender)) == (360, 360, 0)
    assert amounts(shown(cancelled(returned=640, **unknown), read_sender)) == (None, None, 0)


def test_a_read_after_the_cancellation_wins_over_the_formula():
    after = read(CREATED + 6, closed=True, withdrawn=299, penalty_bps=1_000)
    assert amounts(shown(cancelled(returned=630), after)) == (299, 299, 0)


def test_a_split_is_what_was_read_until_an_event_sets_another():
    told = read(split_address=CAROL, split_bps=25)
    assert (shown(v2()).split_address, shown(v2()).split_bps) == (None, None)
    assert (shown(v2(), told).split_address, shown(v2(), told).split_bps) == (CAROL, 25)
    assert shown(v2(), read()).split_bps == 0
    taken_back = v2(split_address=None, split_bps=25, split_ledger=CREATED + 11)
    assert (shown(taken_back, told).split_address, shown(taken_back, told).split_bps) == (None, 0)
    set_before = v2(split_address=ALICE, split_bps=7, split_ledger=CREATED + 10)
    assert (shown(set_before, told).split_address, shown(set_before, None).split_address) == (CAROL, ALICE)
    assert shown(v1(), read()).split_bps is None


def test_a_migrated_stream_is_archived_and_its_amounts_come_from_the_read_after_it():
    gone = v1(closed=Status.ARCHIVED, closed_time=START + 30, touched_ledger=CREATED + 5)
    assert shown(gone).status is Status.ARCHIVED
    assert amounts(shown(gone, read(CREATED + 4))) == (None, None, 0)
    assert amounts(shown(gone, read(CREATED + 5, closed=True, withdrawn=300))) == (300, 300, 0)


def test_a_deleted_entry_is_completed_with_everything_paid():
    gone = v2(removed=True, withdrawn=1000)
    found = shown(gone, StreamFacts(ledger=CREATED + 10, missing=True))
    assert found.status is Status.COMPLETED
    assert amounts(found) == (1000, 1000, 0)
    assert found.completes_at is None


def test_more_withdrawn_than_unlocked_leaves_nothing_to_withdraw():
    assert amounts(shown(v2(withdrawn=700), read(withdrawn=700))) == (700, 500, 0)


# --- lists ----------------------------------------------------------------------------------


def test_the_index_has_the_status_without_the_clock_and_what_is_still_owed():
    index = index_of(v2(beneficiary=CAROL, withdrawn=200), None)
    assert (index.base_status, index.completes_at) == (Status.ACTIVE, END)
    assert index.parties == {ALICE, BOB, CAROL}
    assert (index.total, index.withdrawn, index.held, index.token) == (1000, 200, 800, COIN)


def test_the_index_counts_v1_as_of_its_last_read_and_not_at_all_before():
    assert (index_of(v1(), None).withdrawn, index_of(v1(), None).held) == (None, None)
    index = index_of(v1(), read(withdrawn=100), as_of_ledger=10**6)
    assert (index.withdrawn, index.held) == (100, 900)
    ahead = index_of(v1(), read(withdrawn=100), as_of_ledger=CREATED)
    assert ahead.held is None


@pytest.mark.parametrize("status", [Status.CANCELED, Status.ARCHIVED])
def test_an_ended_stream_owes_nothing(status):
    index = index_of(v2(closed=status, closed_time=START, settled_unlocked=5), None)
    assert (index.base_status, index.held, index.completes_at) == (status, 0, None)


def test_a_paused_or_paid_stream_has_no_completion_ahead():
    assert index_of(v1(paused_at=START), read()).base_status is Status.PAUSED
    assert index_of(v1(paused_at=START), read()).completes_at is None
    paid = index_of(v2(withdrawn=1000), None)
    assert (paid.base_status, paid.completes_at, paid.held) == (Status.COMPLETED, None, 0)


def test_a_stream_of_which_little_is_known_has_an_index_all_the_same():
    index = index_of(v2(sender=None, receiver=None, beneficiary=None, token=None, total=None, end=None), None)
    assert (index.parties, index.held, index.completes_at) == (frozenset(), None, None)


def test_the_newest_read_that_is_not_of_the_future_is_the_one_to_use():
    reads = [read(10), read(30), read(20)]
    assert [usable(reads, ledger) for ledger in (9, 10, 25, 99)] == [None, reads[0], reads[2], reads[1]]


def test_another_moment_is_the_same_formula_on_the_same_state():
    state = v2(withdrawn=400)
    found = [shown(state, read(withdrawn=400), at=moment).unlocked for moment in (START + 20, START + 50, END + 9)]
    assert found == [200, 500, 1000]
