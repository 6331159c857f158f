"""An event as JSON: the bytes that are sent are those of the object."""

from __future__ import annotations

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from stellarstream_core.errors import XdrError
from stellarstream_core.event_json import event_bytes, event_record, event_to_json
from stellarstream_core.events import ContractEvent, event_index, format_event_id
from stellarstream_core.testing.scripted import made_contract
from tests.core import scval_oracle as oracle

places = st.tuples(
    st.integers(1, 2**31 - 1), st.integers(0, 2**20 - 1), st.integers(0, 2**12 - 1), st.integers(0, 2**32 - 1)
)
values = oracle.any_scval.map(lambda made: made.to_xdr_bytes())
anything = values | st.binary(max_size=12)


@settings(max_examples=150, deadline=None)
@given(
    places,
    st.integers(0, 2**33),
    st.none() | st.just(made_contract(1)),
    st.sampled_from(["contract", "system"]),
    st.lists(anything, max_size=5),
    anything,
)
def test_the_bytes_of_an_event_are_those_of_its_object(place, closed_at, contract, kind, topics, value):
    event = ContractEvent(
        format_event_id(*place),
        place[0],
        closed_at,
        "ab" * 32,
        event_index(*place[1:]),
        contract,
        kind,
        tuple(topics),
        value,
    )
    try:
        expected = event_to_json(event)
    except XdrError:
        expected = event_record(event)
    for _ in range(2):  # the second time with what was kept of the topics
        assert event_bytes(event) == orjson.dumps(expected)
