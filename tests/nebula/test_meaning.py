"""What events mean: every catalogued one has its place, and the audit log shows what it says."""

from __future__ import annotations

import pytest

from stellarstream_core.decoding import DecodedEvent
from stellarstream_core.testing.scripted import made_event
from stellarstream_nebula.meaning import Created, action_of, audit_fields, keys_of
from stellarstream_nebula.model import STREAM_FAMILIES, V1, V2, stream_key
from tests.nebula.known_events import PUBLISHED, identity, label, made_events
from tests.nebula.stream_events import ALICE, BOB, CAROL, COIN, CV1, CV2, DAVE, MIGRATED_FROM

CONTRACTS = {V1: CV1, V2: CV2}

NOT_OF_A_STREAM = {
    (V1, "create", "proposal"),
    (V1, "approve", ""),
    (V1, "RequestCreated", ""),
    (V2, "btch_crt", ""),
    (V2, "req_init", ""),
    (V2, "req_appr", ""),
}
"""Events about requests, proposals and batches that name no stream."""

SILENT = {
    (V1, "RequestExecuted"),
    (V1, "delegate"),
    (V1, "interest"),
    (V1, "mig_strm"),
    (V2, "sig_claim"),
    (V2, "rate_propose"),
    (V2, "rate_cancel"),
    (V2, "req_exec"),
    (V2, "batch_create"),
    (V2, "batch_cr"),
}
"""Events of a stream's journal that change nothing of it."""


def event(contract: str = CV2):
    return made_event(7, contract=contract)


def events_of(entry):
    for made in made_events(entry, 3):
        yield made.decoded


@pytest.mark.parametrize("entry", PUBLISHED, ids=label)
def test_every_catalogued_event_has_its_journal_and_its_meaning(entry):
    family, _, variant = identity(entry)
    contract = CONTRACTS.get(family, CV2)
    entity = (entry["effect"] or {}).get("entity", "")
    for decoded in events_of(entry):
        keys = keys_of(decoded, event(contract), MIGRATED_FROM)
        action = action_of(decoded, event(contract), contract)
        if family not in STREAM_FAMILIES:
            assert (keys, action) == ((), None)
            continue
        of_a_stream = "stream_id" in decoded.fields or "v2_stream_id" in decoded.fields or decoded.name == "rebalance"
        if decoded.fields.get("stream_ids"):
            of_a_stream = True
        if not of_a_stream:
            assert (keys, action) == ((), None)
            assert entity in {"contract", "proposal", "request", "batch"}
            continue
        assert keys
        assert (action is None) == ((family, decoded.name) in SILENT), decoded
        assert (family, decoded.name, variant) not in NOT_OF_A_STREAM


@pytest.mark.parametrize("entry", PUBLISHED, ids=label)
def test_the_audit_log_shows_every_catalogued_event_with_all_its_fields(entry):
    for decoded in events_of(entry):
        shown = audit_fields(decoded)
        assert shown.event_type == decoded.name
        assert set(shown.metadata) == set(decoded.fields) - {"stream_id"}
        assert not any(isinstance(value, bytes | float | tuple) for value in shown.metadata.values())
        for number in (value for value in shown.metadata.values() if isinstance(value, int)):
            assert isinstance(number, bool)


def decoded(family, name, variant="", **fields):
    return DecodedEvent(family, name, variant, {key.rstrip("_"): value for key, value in fields.items()})


def test_a_migration_is_in_the_journals_of_both_streams_where_the_other_contract_is_known():
    migrated = decoded(V2, "migrated", stream_id=5, v2_stream_id=5, v1_stream_id=9, caller=BOB, remaining=1, now=1)
    assert keys_of(migrated, event(), MIGRATED_FROM) == (stream_key(CV2, 5), stream_key(CV1, 9))
    assert keys_of(migrated, event(), {}) == (stream_key(CV2, 5),)


def test_a_batch_that_tells_its_streams_is_in_each_journal_once():
    batch = decoded(V2, "batch_create", "struct", sender=ALICE, stream_ids=(3, 4, 3), total_streams=3)
    assert keys_of(batch, event(), {}) == (stream_key(CV2, 3), stream_key(CV2, 4))


def test_rebalancing_belongs_to_the_group_of_its_token():
    found = decoded(V2, "rebalance", token=COIN, reduction_factor_bps=1)
    assert keys_of(found, event(), MIGRATED_FROM) == (f"{CV2}/{COIN}",)


def test_an_event_without_a_contract_belongs_nowhere():
    created = decoded(V1, "create", "scalar", sender=ALICE, stream_id=0)
    assert keys_of(created, event()._replace(contract_id=None), {}) == ()


def test_a_pause_of_the_contract_is_not_one_of_a_stream():
    of_all = decoded(V1, "pause", "contract-level", pauser=ALICE, paused=True)
    assert keys_of(of_all, event(CV1), {}) == ()
    assert action_of(of_all, event(CV1), CV1) is None


def test_times_come_from_the_event_or_from_its_ledger():
    told = decoded(V1, "pause", stream_id=0, pauser=ALICE, timestamp=77)
    assert action_of(told, event(CV1), CV1).time == 77
    older = decoded(V1, "cancel", "id-topic", stream_id=0, sender=ALICE)
    assert action_of(older, event(CV1), CV1).time == event(CV1).closed_at


def test_v1s_creation_names_no_beneficiary_and_no_cliff():
    created = decoded(
        V1,
        "create",
        "stream",
        stream_id=0,
        sender=ALICE,
        receiver=BOB,
        token=COIN,
        total_amount=1,
        start_time=0,
        end_time=1,
    )
    assert action_of(created, event(CV1), CV1) == Created(
        sender=ALICE, receiver=BOB, token=COIN, total=1, start=0, end=1
    )


@pytest.mark.parametrize(
    ("found", "sender", "receiver", "amount"),
    [
        (
            decoded(V2, "create_v2", stream_id=1, sender=ALICE, receiver=BOB, stream_amount_net_of_fee=9),
            ALICE,
            BOB,
            9,
        ),
        (decoded(V1, "create", stream_id=1, sender=ALICE, receiver=BOB, total_amount=9), ALICE, BOB, 9),
        (decoded(V2, "claim", stream_id=1, beneficiary=CAROL, amount=4, total_withdrawn=9), None, CAROL, 4),
        (decoded(V1, "claim", stream_id=1, receiver=BOB, claimer=BOB, amount=4, total_claimed=9), None, BOB, 4),
        (decoded(V2, "meta_wdrw", stream_id=1, beneficiary=CAROL, to_receiver=4, relayer_fee=1), None, CAROL, 5),
        (
            decoded(V2, "cancel", stream_id=1, caller=ALICE, to_receiver_incl_penalty=4, to_sender=5),
            ALICE,
            None,
            4,
        ),
        (decoded(V2, "top_up", stream_id=1, sender=ALICE, extra_amount=3, new_total_amount=9), ALICE, None, 3),
        (decoded(V2, "benefic", stream_id=1, previous=BOB, new=CAROL), BOB, CAROL, None),
        (decoded(V1, "transfer", stream_id=1, from_=BOB, to=DAVE), BOB, DAVE, None),
        (
            decoded(V1, "CLAWBACK", stream_id=1, officer=ALICE, issuer=DAVE, amount_clawed=8, reason=None),
            ALICE,
            DAVE,
            8,
        ),
        (decoded(V2, "migrated", stream_id=1, caller=BOB, remaining=8, v1_stream_id=0), BOB, None, 8),
        (decoded(V2, "bridge_in", stream_id=1, from_=COIN, receiver=BOB, amount_gross=8), COIN, BOB, 8),
        (decoded(V1, "pause", stream_id=1, pauser=ALICE), ALICE, None, None),
        (decoded(V2, "rate_propose", stream_id=1, proposed_by=BOB, current_rate=1, new_rate=2), BOB, None, None),
    ],
    ids=lambda value: value.name if isinstance(value, DecodedEvent) else None,
)
def test_the_audit_log_names_who_acted_who_gets_and_how_much(found, sender, receiver, amount):
    shown = audit_fields(found)
    assert (shown.sender, shown.receiver, shown.amount) == (sender, receiver, amount)


def test_metadata_keeps_every_kind_of_field_as_json():
    shown = audit_fields(decoded(V2, "executed", op=("Pause", 2**100, b"\x01"), flag=True, nothing=None, key=b"\xff"))
    assert shown.metadata == {"op": ["Pause", str(2**100), "01"], "flag": True, "nothing": None, "key": "ff"}
