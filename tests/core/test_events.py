"""Event identity: TOIDs, counters and the stable key, by stellar-rpc's numbering since v23."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.errors import InvalidEventError
from stellarstream_core.events import (
    AFTER_ALL_TXS,
    AFTER_TX,
    BEFORE_ALL_TXS,
    MAX_COUNTER,
    MAX_OP,
    MAX_TX_ORDER,
    EventId,
    event_index,
    format_close_time,
    format_event_id,
    parse_close_time,
    parse_event_id,
)
from stellarstream_core.ranges import LAST_LEDGER
from tests.paths import fixture

IDS = st.builds(
    EventId,
    st.integers(0, LAST_LEDGER),
    st.integers(0, MAX_TX_ORDER),
    st.integers(0, MAX_OP),
    st.integers(0, MAX_COUNTER),
)


@given(IDS)
def test_an_id_survives_its_text(event_id):
    assert parse_event_id(str(event_id)) == event_id


@given(IDS, IDS)
def test_the_order_of_texts_is_the_order_of_events(a, b):
    assert (str(a) < str(b)) == (tuple(a) < tuple(b))


def in_place(event_id: EventId) -> bool:
    """Whether the id is one that ledgers hold: fees before and after all transactions have op 0."""
    return event_id.op == 0 if event_id.tx in (BEFORE_ALL_TXS, AFTER_ALL_TXS) else True


@given(IDS.filter(in_place), IDS.filter(in_place))
def test_inside_one_ledger_and_transaction_the_index_tells_events_apart(a, b):
    same_place = (a.tx, a.op, a.counter) == (b.tx, b.op, b.counter)
    kinds = {BEFORE_ALL_TXS, AFTER_ALL_TXS}
    if a.tx in kinds or b.tx in kinds or a.tx == b.tx:
        assert (a.event_index == b.event_index) == same_place


def test_the_events_of_a_soroban_transaction_are_numbered_from_nought():
    assert [event_index(7, 0, k) for k in range(3)] == [0, 1, 2]


def test_fee_events_have_fields_of_their_own():
    assert event_index(BEFORE_ALL_TXS, 0, 5) == 0x2000 << 32 | 5
    assert event_index(AFTER_ALL_TXS, 0, 5) == 0x4000 << 32 | 5
    assert event_index(3, AFTER_TX, 5) == 4095 << 32 | 5


@pytest.mark.parametrize(
    "text",
    ["", "1-1", "0000001529008361472-000000000", "0000001529008361472_0000000000", "٠" * 19 + "-0000000000",
     "9999999999999999999-0000000000", "0000001529008361472-4294967296", " 000001529008361472-0000000000",
     "0000001529008361472-0000000000\n"],
)  # fmt: skip
def test_what_is_no_id_is_refused(text):
    with pytest.raises(InvalidEventError):
        parse_event_id(text)


@pytest.mark.parametrize(
    "parts", [(-1, 1, 0, 0), (LAST_LEDGER + 1, 1, 0, 0), (1, 1 << 20, 0, 0), (1, 1, 4096, 0), (1, 1, 0, 1 << 32)]
)
def test_parts_that_do_not_fit_their_bits_are_refused(parts):
    with pytest.raises(InvalidEventError):
        format_event_id(*parts)


@pytest.mark.parametrize("ledger", [51000294, 63092988, 63092996])
def test_ids_of_recorded_pubnet_events_are_made_of_their_own_fields(ledger):
    with gzip.open(fixture(f"pubnet-ledgers/getEvents-expected-{ledger}.jsonl.gz"), "rt") as lines:
        events = [json.loads(line) for line in lines]
    keys = set()
    for event in events:
        place = parse_event_id(event["id"])
        assert (place.ledger, place.tx, place.op) == (ledger, event["transactionIndex"], event["operationIndex"])
        assert format_event_id(*place) == event["id"]
        keys.add((event["txHash"], place.event_index))
    assert len(keys) == len(events)
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)


@given(st.integers(0, 4_000_000_000))
def test_close_times_survive_their_text(seconds):
    assert parse_close_time(format_close_time(seconds)) == seconds


def test_a_close_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        parse_close_time("2026-06-19T00:22:11")
