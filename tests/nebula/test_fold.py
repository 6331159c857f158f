"""A stream's state is the fold of its events, whatever the order they arrive in."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellarstream_nebula.fold import BLANK, Fold, FoldEntry, Origin, advance
from stellarstream_nebula.model import V1, V2, Status, StreamState, stream_key
from stellarstream_nebula.state_codec import StateError, decode, encode, state_of
from stellarstream_nebula.view import index_of
from tests.nebula.stream_events import ALICE, BOB, CAROL, COIN, CV1, CV2, DAVE, MIGRATED_FROM, OTHER_COIN, T0, Journal

S1, S2 = stream_key(CV1, 0), stream_key(CV2, 0)


def is_completed(state: StreamState) -> bool:
    """Whether it counts as completed without the clock: everything is paid."""
    return index_of(state, None).base_status is Status.COMPLETED


# --- creation -------------------------------------------------------------------------------


def test_v1s_creation_tells_neither_cliff_nor_what_is_paid_later():
    journal = Journal()
    journal.create_v1()
    state = journal.state(S1)
    assert (state.family, state.sender, state.receiver, state.token) == (V1, ALICE, BOB, COIN)
    assert (state.total, state.start, state.cliff, state.end) == (1000, T0 + 5, None, T0 + 105)
    assert (state.withdrawn, state.withdrawn_told, state.closed, state.beneficiary) == (0, False, None, None)
    assert state.first_event == state.last_event == journal.entries[0].event.id
    assert (state.created_ledger, state.created_at, state.tx_hash) == (101, T0 + 5, f"{101:064x}")


def test_v2s_creation_tells_terms_parties_and_memo():
    journal = Journal()
    journal.create_v2(memo="inv_1")
    state = journal.state(S2)
    assert (state.family, state.beneficiary, state.cliff, state.memo) == (V2, BOB, T0 + 5, "inv_1")
    assert state.withdrawn_told
    assert journal.fold(S2).groups == {f"{CV2}/{COIN}"}


@pytest.mark.parametrize(
    ("name", "fields", "known"),
    [
        (
            "permit",
            {"receiver": BOB, "token": COIN, "stream_amount_net": 990, "cliff_time": 7, "nonce": 1, "now": T0},
            {"receiver": BOB, "beneficiary": BOB, "token": COIN, "total": 990, "cliff": 7},
        ),
        (
            "permit",
            {"receiver": BOB, "token": COIN, "total_amount": 990, "nonce": 1, "sender_pubkey": b"k", "timestamp": T0},
            {"receiver": BOB, "beneficiary": BOB, "token": COIN, "total": 990},
        ),
        (
            "swap_stream",
            {
                "sender": ALICE,
                "receiver": BOB,
                "asset_in": OTHER_COIN,
                "asset_out": COIN,
                "amount_in": 5,
                "amount_out_gross": 1000,
                "min_amount_out": 1,
                "now": T0,
            },
            {"sender": ALICE, "receiver": BOB, "beneficiary": BOB, "token": COIN, "gross": 1000},
        ),
        (
            "create_v2",
            {
                "sender": ALICE,
                "receiver": BOB,
                "token": COIN,
                "total_amount": 1000,
                "start_time": 1,
                "cliff_time": 2,
                "end_time": 3,
                "timestamp": T0,
            },
            {
                "sender": ALICE,
                "receiver": BOB,
                "beneficiary": BOB,
                "token": COIN,
                "total": 1000,
                "start": 1,
                "cliff": 2,
                "end": 3,
            },
        ),
    ],
)
def test_other_creations_leave_open_what_they_do_not_say(name, fields, known):
    journal = Journal()
    journal.add(CV2, name, stream_id=0, **fields)
    state = journal.state(S2)
    terms = ("sender", "receiver", "beneficiary", "token", "total", "gross", "start", "cliff", "end", "memo")
    assert {name: getattr(state, name) for name in terms} == {**dict.fromkeys(terms), **known}


def test_the_oldest_creation_tells_only_that_there_is_a_stream():
    journal = Journal()
    journal.add(CV1, "create", "scalar", sender=ALICE, stream_id=0)
    journal.add(CV1, "withdraw", receiver=BOB, stream_id=0, amount=10)
    journal.add(CV1, "withdraw", receiver=BOB, stream_id=0, amount=5)
    state = journal.state(S1)
    assert (state.sender, state.receiver, state.total, state.withdrawn) == (ALICE, None, None, 15)
    journal.add(CV1, "cancel", "id-topic", stream_id=0, sender=ALICE)
    state = journal.state(S1)
    assert (state.closed, state.settled_unlocked) == (Status.CANCELED, None)


def test_a_claim_by_signature_creates_nothing():
    journal = Journal()
    journal.add(
        CV2,
        "sig_claim",
        stream_id=0,
        receiver=BOB,
        token=COIN,
        stream_amount_net=1,
        expiration_ledger=1,
        nonce=0,
        now=T0,
    )
    assert journal.fold(S2) == BLANK


def test_a_proposal_is_no_stream():
    journal = Journal()
    assert journal.add(CV1, "create", "proposal", proposal_id=0, sender=ALICE, receiver=BOB, total_amount=1) == []
    assert journal.add(CV1, "approve", approver=ALICE, proposal_id=0) == []


def test_a_second_event_about_the_creation_fills_only_what_the_first_left_open():
    journal = Journal()
    journal.add(CV2, "permit", stream_id=0, receiver=BOB, token=COIN, stream_amount_net=990, cliff_time=7, now=T0)
    journal.create_v2(same_ledger=True, receiver=CAROL, start_time=3)
    state = journal.state(S2)
    assert (state.receiver, state.total, state.cliff, state.sender, state.start) == (BOB, 990, 7, ALICE, 3)


def test_soulbound_comes_before_the_creation_and_stays():
    journal = Journal()
    journal.add(CV1, "soulbound", stream_id=0, receiver=BOB)
    before = journal.fold(S1)
    assert before.state is None
    assert before != BLANK
    journal.create_v1(same_ledger=True)
    assert journal.state(S1).soulbound


def test_a_bridged_stream_keeps_its_creation_and_learns_the_gross_amount():
    journal = Journal()
    journal.create_v2(sender=COIN)
    journal.add(CV2, "bridge_in", stream_id=0, from_=COIN, receiver=BOB, amount_gross=1003, duration=100, now=T0)
    journal.add(CV2, "split_exec", stream_id=0, sender=ALICE, receiver=BOB, stream_amount=1000, memo="inv", now=T0)
    state = journal.state(S2)
    assert (state.total, state.gross, state.memo) == (1000, 1003, "inv")


# --- V1 -------------------------------------------------------------------------------------


def test_pauses_add_up_and_a_second_pause_keeps_the_first_moment():
    journal = Journal()
    journal.create_v1()
    journal.add(CV1, "pause", stream_id=0, pauser=ALICE, timestamp=T0 + 30)
    journal.add(CV1, "pause", "address-topic", caller=ALICE, stream_id=0, pauser=ALICE, timestamp=T0 + 40)
    assert journal.state(S1).paused_at == T0 + 30
    journal.add(CV1, "resume", stream_id=0, resumer=ALICE, paused_duration=20, timestamp=T0 + 50)
    journal.add(CV1, "pause", stream_id=0, pauser=ALICE, timestamp=T0 + 60)
    journal.add(CV1, "unpause", caller=ALICE, stream_id=0, unpauser=ALICE, paused_duration=5, timestamp=T0 + 65)
    state = journal.state(S1)
    assert (state.paused_at, state.paused_before) == (None, 25)


def test_the_pause_of_the_whole_contract_pauses_no_stream():
    journal = Journal()
    journal.create_v1()
    assert journal.add(CV1, "pause", "contract-level", pauser=ALICE, paused=True) == []
    assert journal.add(CV2, "pause", admin=ALICE, now=T0) == []
    assert journal.state(S1).paused_at is None


def test_top_ups_replace_total_and_end():
    journal = Journal()
    journal.create_v1()
    journal.add(CV1, "topup", stream_id=0, sender=ALICE, amount=100, new_total=1100, new_end_time=T0 + 115)
    state = journal.state(S1)
    assert (state.total, state.end, state.terms_ledger, state.touched_ledger) == (1100, T0 + 115, 102, 101)


def test_an_older_v1_cancellation_tells_what_was_unlocked():
    journal = Journal()
    journal.create_v1()
    journal.add(CV1, "claim", receiver=BOB, claimer=BOB, stream_id=0, amount=100, total_claimed=100, timestamp=T0)
    journal.add(CV1, "cancel", "struct", caller=BOB, canceller=BOB, stream_id=0, to_receiver=200, to_sender=700)
    state = journal.state(S1)
    assert (state.closed, state.settled_unlocked, state.withdrawn) == (Status.CANCELED, 300, 300)
    assert state.closed_time == journal.time


@pytest.mark.parametrize(
    ("name", "fields", "unlocked"),
    [
        ("CLAWBACK", {"amount_clawed": 900, "issuer": DAVE, "officer": DAVE, "reason": None}, 100),
        ("resolve", {"arbiter": DAVE, "to_receiver": 500, "to_sender": 400}, 600),
    ],
)
def test_an_arbiter_or_an_issuer_ends_a_stream(name, fields, unlocked):
    journal = Journal()
    journal.create_v1()
    journal.add(CV1, "claim", receiver=BOB, claimer=BOB, stream_id=0, amount=100, total_claimed=100, timestamp=T0)
    journal.add(CV1, name, stream_id=0, timestamp=T0 + 50, **fields)
    state = journal.state(S1)
    assert (state.closed, state.closed_time, state.settled_unlocked) == (Status.CANCELED, T0 + 50, unlocked)


def test_transfers_change_the_receiver_or_who_holds_the_receipt():
    journal = Journal()
    journal.create_v1()
    journal.add(CV1, "transfer", "receipt", from_=BOB, to=CAROL, stream_id=0, timestamp=T0)
    journal.add(CV1, "transfer", "receiver-1", stream_id=0, new_receiver=DAVE)
    state = journal.state(S1)
    assert (state.receiver, state.beneficiary) == (DAVE, CAROL)
    journal.add(CV1, "transfer", "receiver-2", stream_id=0, new_receiver=BOB)
    assert journal.state(S1).receiver == BOB


def test_a_frozen_stream_keeps_its_clock():
    journal = Journal()
    journal.create_v1()
    journal.add(CV1, "freeze", stream_id=0, arbiter=DAVE, timestamp=T0)
    state = journal.state(S1)
    assert (state.frozen, state.paused_at, state.closed) == (True, None, None)


# --- V2 -------------------------------------------------------------------------------------


def claim(journal, amount, total):
    journal.add(CV2, "claim", stream_id=0, beneficiary=BOB, amount=amount, total_withdrawn=total, now=journal.time + 5)


def test_claims_set_the_total_and_relayed_ones_add_to_it():
    journal = Journal()
    journal.create_v2()
    claim(journal, 100, 100)
    journal.add(CV2, "meta_wdrw", stream_id=0, beneficiary=BOB, to_receiver=40, relayer_fee=2, now=T0)
    state = journal.state(S2)
    assert (state.withdrawn, state.touched_ledger) == (142, 103)
    claim(journal, 858, 1000)
    assert is_completed(journal.state(S2))


def test_topping_up_a_completed_stream_makes_it_active_again():
    journal = Journal()
    journal.create_v2()
    claim(journal, 1000, 1000)
    journal.add(CV2, "top_up", stream_id=0, extra_amount=10, new_total_amount=1010, new_end_time=T0 + 500, now=T0)
    state = journal.state(S2)
    assert (is_completed(state), state.total, state.end) == (False, 1010, T0 + 500)


def test_a_refill_begins_a_cycle_with_the_same_total():
    journal = Journal()
    journal.create_v2()
    claim(journal, 1000, 1000)
    journal.add(CV2, "refill", stream_id=0, sender=ALICE, amount=1000, new_start_time=105, new_end_time=205, now=T0)
    state = journal.state(S2)
    assert (state.withdrawn, is_completed(state), state.total, state.start, state.end) == (0, False, 1000, 105, 205)


def test_only_an_accepted_rate_moves_the_end():
    journal = Journal()
    journal.create_v2()
    journal.add(CV2, "rate_propose", stream_id=0, proposed_by=ALICE, current_rate=10, new_rate=20, new_end_time=9)
    journal.add(CV2, "rate_cancel", stream_id=0, caller=ALICE, reason=1, now=T0)
    state = journal.state(S2)
    assert (state.end, state.updated_ledger, state.terms_ledger) == (T0 + 105, 103, 101)
    journal.add(CV2, "rate_accept", stream_id=0, accepted_by=BOB, new_rate=20, new_end_time=T0 + 60, now=T0)
    assert journal.state(S2).end == T0 + 60


def test_who_may_claim_changes_even_after_a_cancellation():
    journal = Journal()
    journal.create_v2()
    journal.add(CV2, "cancel", stream_id=0, caller=BOB, to_receiver_incl_penalty=300, to_sender=700, now=T0 + 35)
    journal.add(CV2, "benefic", stream_id=0, previous=BOB, new=CAROL, now=T0)
    state = journal.state(S2)
    assert (state.receiver, state.beneficiary, state.closed) == (BOB, CAROL, Status.CANCELED)
    journal.add(CV2, "benefic", "struct", stream_id=0, previous_beneficiary=CAROL, new_beneficiary=DAVE)
    assert journal.state(S2).beneficiary == DAVE


def test_a_cancellation_by_the_sender_may_hold_a_penalty_that_no_event_tells():
    journal = Journal()
    journal.create_v2()
    journal.add(CV2, "cancel", stream_id=0, caller=ALICE, to_receiver_incl_penalty=370, to_sender=630, now=T0 + 35)
    state = journal.state(S2)
    assert (state.closed, state.closed_time, state.settled_unlocked) == (Status.CANCELED, T0 + 35, None)


def test_one_release_tells_the_penalty():
    journal = Journal()
    journal.create_v2()
    journal.add(
        CV2, "cancel", "struct", caller=ALICE, canceller=ALICE, stream_id=0, penalty=70, to_receiver=370, to_sender=630
    )
    assert journal.state(S2).settled_unlocked == 300


def test_splits_are_told_by_their_setting_and_by_dust():
    journal = Journal()
    journal.create_v2()
    journal.add(CV2, "dust", stream_id=0, split_address=DAVE, split_bps=50, dust_amount=3, split_amount=1)
    assert (journal.state(S2).split_address, journal.state(S2).split_bps) == (DAVE, 50)
    journal.add(CV2, "split", stream_id=0, beneficiary=BOB, split_address=None, split_bps=0, timestamp=T0)
    assert (journal.state(S2).split_address, journal.state(S2).split_bps) == (None, 0)


def test_archiving_means_completed_and_gone():
    journal = Journal()
    journal.create_v2()
    journal.add(CV2, "archived", stream_id=0, total_amount=1000, withdrawn_amount=1000, caller=BOB, now=T0)
    state = journal.state(S2)
    assert (state.removed, is_completed(state), state.closed, state.withdrawn) == (True, True, None, 1000)


def test_a_cancelled_stream_that_is_archived_stays_cancelled_and_tells_what_was_unlocked():
    journal = Journal()
    journal.create_v2()
    journal.add(CV2, "cancel", stream_id=0, caller=ALICE, to_receiver_incl_penalty=1000, to_sender=0, now=T0)
    journal.add(CV2, "archived", stream_id=0, total_amount=1000, withdrawn_amount=1000, caller=BOB, now=T0)
    state = journal.state(S2)
    assert (state.removed, state.closed, state.settled_unlocked) == (True, Status.CANCELED, 1000)


# --- groups ---------------------------------------------------------------------------------


def rebalance(journal, token=COIN, bps=5000):
    return journal.add(
        CV2, "rebalance", token=token, total_remaining=1, contract_balance=1, reduction_factor_bps=bps, now=T0
    )


def test_rebalancing_cuts_what_every_open_stream_of_the_token_has_not_paid():
    journal = Journal()
    rebalance(journal)  # before there was a stream
    for stream_id in range(4):
        journal.create_v2(stream_id, token=OTHER_COIN if stream_id == 3 else COIN)
    claim(journal, 101, 101)
    journal.add(CV2, "cancel", stream_id=1, caller=BOB, to_receiver_incl_penalty=0, to_sender=1000, now=T0)
    rebalance(journal, bps=3333)
    totals = [journal.state(stream_key(CV2, stream_id)).total for stream_id in range(4)]
    assert totals == [101 + 899 * 3333 // 10000, 1000, 333, 1000]
    assert journal.state(stream_key(CV2, 1)).updated_ledger < journal.ledger
    assert journal.state(stream_key(CV2, 2)).terms_ledger == journal.ledger


def migrate(journal, remaining=700):
    journal.add(
        CV2, "migrated", stream_id=0, v2_stream_id=0, v1_stream_id=0, caller=BOB, remaining=remaining, now=T0 + 35
    )


def test_a_migration_archives_the_v1_stream_and_goes_on_as_a_v2_stream():
    journal = Journal()
    journal.create_v1()
    journal.add(CV1, "topup", stream_id=0, sender=ALICE, amount=10, new_total=1010, new_end_time=T0 + 106)
    journal.add(CV1, "cancel", "struct", caller=BOB, canceller=BOB, stream_id=0, to_receiver=310, to_sender=700)
    migrate(journal)
    old, new = journal.state(S1), journal.state(S2)
    assert (old.closed, old.migrated_to, old.settled_unlocked) == (Status.ARCHIVED, S2, 310)
    assert (new.migrated_from, new.sender, new.receiver, new.beneficiary, new.token) == (S1, ALICE, BOB, BOB, COIN)
    assert (new.total, new.start, new.cliff, new.end) == (700, T0 + 35, T0 + 35, T0 + 106)
    assert journal.fold(S2).groups == {S1, f"{CV2}/{COIN}"}


def test_a_migrated_stream_is_rebalanced_by_the_token_that_only_the_v1_stream_tells():
    journal = Journal()
    journal.create_v1()
    migrate(journal)
    rebalance(journal)
    assert journal.state(S2).total == 350


def test_a_migration_from_an_unknown_contract_leaves_open_what_it_does_not_say():
    journal = Journal(migrated_from={})
    journal.create_v1()
    migrate(journal)
    new = journal.state(S2)
    assert (new.migrated_from, new.sender, new.token, new.end, new.total) == (None, None, None, None, 700)
    assert journal.state(S1).closed is None


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("migrate", {"v1_stream_id": 0, "v2_stream_id": 0, "caller": BOB, "remaining": 700}),
        ("migrated", {"v1_stream_id": 0, "v2_stream_id": 0, "caller": BOB, "migrated_amount": 700, "timestamp": 1}),
    ],
)
def test_older_migrations_mean_the_same(name, fields):
    journal = Journal()
    journal.create_v1()
    journal.add(CV2, name, **fields)
    assert (journal.state(S2).total, journal.state(S1).closed) == (700, Status.ARCHIVED)
    assert journal.state(S2).start == fields.get("timestamp", journal.time)


# --- order and parts ------------------------------------------------------------------------


def test_without_its_beginning_there_is_no_state_and_with_it_later_the_right_one():
    journal = Journal()
    journal.create_v2()
    claim(journal, 100, 100)
    entries = journal.of(S2)
    assert advance(BLANK, entries[1:], S2, MIGRATED_FROM) == BLANK
    assert advance(BLANK, entries, S2, MIGRATED_FROM).state.withdrawn == 100


ACTIONS = {
    CV1: [
        ("soulbound", {}),
        (
            "create",
            {"sender": ALICE, "receiver": BOB, "token": COIN, "total_amount": 900, "start_time": 5, "end_time": 9},
        ),
        ("pause", {"timestamp": 50}),
        ("resume", {"paused_duration": 7}),
        ("topup", {"new_total": 1200, "new_end_time": 99}),
        ("claim", {"amount": 10, "total_claimed": 10}),
        ("withdraw", {"amount": 10}),
        ("cancel", {"canceller": BOB, "to_receiver": 4, "to_sender": 100}),
        ("RequestExecuted", {"executor": DAVE, "request_id": 1}),
        ("transfer", {"new_receiver": CAROL}),
    ],
    CV2: [
        (
            "create_v2",
            {
                "sender": ALICE,
                "receiver": BOB,
                "token": COIN,
                "stream_amount_net_of_fee": 1000,
                "start_time": 5,
                "cliff_time": 5,
                "end_time": 50,
            },
        ),
        ("permit", {"receiver": CAROL, "token": COIN, "stream_amount_net": 500}),
        ("claim", {"amount": 10, "total_withdrawn": 100}),
        ("meta_wdrw", {"to_receiver": 10, "relayer_fee": 1}),
        ("migrated", {"v2_stream_id": 0, "v1_stream_id": 0, "caller": BOB, "remaining": 300}),
        ("rebalance", {"token": COIN, "reduction_factor_bps": 5000}),
        ("rebalance", {"token": OTHER_COIN, "reduction_factor_bps": 5000}),
        ("top_up", {"new_total_amount": 1500, "new_end_time": 80}),
        ("refill", {"new_start_time": 80, "new_end_time": 90}),
        ("cancel", {"caller": ALICE, "to_receiver_incl_penalty": 1, "to_sender": 5}),
        ("archived", {"total_amount": 10, "withdrawn_amount": 10}),
        ("benefic", {"new": DAVE}),
    ],
}
STEPS = st.lists(
    st.sampled_from([(contract, name, fields) for contract, known in ACTIONS.items() for name, fields in known]),
    max_size=14,
)


def written(steps) -> Journal:
    journal = Journal()
    for contract, name, told in steps:
        journal.add(contract, name, stream_id=0, **told)
    return journal


@settings(max_examples=300)
@given(STEPS, st.data())
def test_folding_in_parts_is_folding_at_once_and_bytes_carry_everything(steps, data):
    journal = written(steps)
    for key in (S1, S2):
        entries = journal.of(key, frozenset({f"{CV2}/{COIN}", S1}) if key == S2 else frozenset())
        whole = advance(BLANK, entries, key, MIGRATED_FROM)
        cuts = sorted(data.draw(st.sets(st.integers(0, len(entries)))) | {0, len(entries)})
        raw = None
        for low, high in zip(cuts, cuts[1:], strict=False):
            raw = encode(advance(decode(raw), entries[low:high], key, MIGRATED_FROM))
        assert decode(raw) == whole


@given(STEPS)
def test_the_journals_of_both_streams_may_stand_in_either_order_at_one_event(steps):
    journal = written(steps)
    entries = journal.of(S2, frozenset({S1}))
    swapped = sorted(entries, key=lambda entry: (entry.event.id, entry.key != S1))
    other = sorted(entries, key=lambda entry: (entry.event.id, entry.key == S1))
    assert advance(BLANK, swapped, S2, MIGRATED_FROM) == advance(BLANK, other, S2, MIGRATED_FROM)


def test_the_codec_keeps_every_field_and_numbers_of_any_size():
    values = {
        field.name: {
            "int": 2**130 + index,
            "int | None": -(2**130) - index,
            "bool": True,
            "Status | None": Status.ARCHIVED,
        }.get(str(field.type), f"text {index}")
        for index, field in enumerate(fields(StreamState))
    }
    state = StreamState(**values)
    raw = encode(Fold(state))
    assert decode(raw) == Fold(state)
    assert state_of(raw) == state


def test_a_fold_of_nothing_is_bytes_too_and_no_bytes_are_a_fold_of_nothing():
    assert decode(encode(BLANK)) == decode(None) == BLANK
    assert state_of(encode(BLANK)) is None
    assert state_of(None) is None
    waiting = Fold(None, soulbound=True, origin=Origin(ALICE, COIN, 2**64 + 7))
    assert decode(encode(waiting)) == waiting


def test_numbers_beyond_every_column_stop_no_fold():
    journal = Journal()
    journal.create_v1(total_amount=2**127 - 1, end_time=2**64 - 1)
    for _ in range(3):
        journal.add(CV1, "unpause", stream_id=0, unpauser=ALICE, paused_duration=2**64 - 1, timestamp=T0)
        journal.add(CV1, "withdraw", receiver=BOB, stream_id=0, amount=2**127 - 1)
    journal.add(CV1, "cancel", canceller=ALICE, stream_id=0, to_receiver=0, to_sender=-(2**127), timestamp=2**64 - 1)
    state = journal.state(S1)
    assert (state.paused_before, state.settled_unlocked) == (2**64 - 3, -1)
    assert decode(encode(Fold(state))) == Fold(state)


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[2]", b"[1,null,false,null]", b"[2,[1,2],false,null]", b"[2,null,1,[1]]"]
)
def test_bytes_of_another_version_are_refused(raw):
    with pytest.raises(StateError):
        decode(raw)


def test_an_entry_of_an_unknown_name_only_counts_as_seen():
    journal = Journal()
    journal.create_v2()
    event, decoded = journal.entries[0].event, journal.entries[0].decoded
    later = FoldEntry(S2, event._replace(id="9" + event.id[1:], ledger=500), decoded.__class__(V2, "later", "", {}))
    before = advance(BLANK, journal.entries, S2, MIGRATED_FROM).state
    after = advance(Fold(before), [later], S2, MIGRATED_FROM).state
    assert after.updated_ledger == 500
    assert after.total == before.total
