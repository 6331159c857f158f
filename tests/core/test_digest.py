"""A digest stands for a set of events, and for nothing else."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stellarstream_core.digest import digest_events, event_digest, event_frame
from stellarstream_core.errors import InvalidEventError
from stellarstream_core.events import ContractEvent
from stellarstream_core.testing.scripted import made_contract, made_event

events = st.builds(
    ContractEvent,
    id=st.sampled_from(["1-1", "1-12", "11-2"]),
    ledger=st.just(1),
    closed_at=st.integers(0, 3),
    tx_hash=st.sampled_from(["", "a", "ab"]),
    event_index=st.integers(0, 3),
    contract_id=st.none() | st.sampled_from(["", "C", "CC"]),
    type=st.sampled_from(["contract", "system", ""]),
    topics=st.lists(st.sampled_from([b"", b"\x00", b"\x00\x00\x00\x01"]), max_size=3).map(tuple),
    value=st.sampled_from([b"", b"\x00", b"\x00\x00\x00\x00"]),
)


@given(events, events)
def test_different_events_have_different_frames(one, other):
    assume(one != other)
    assert event_frame(one) != event_frame(other)


def test_the_frame_is_the_documented_one():
    event = made_event(7, 1, 2, made_contract(1))

    def text(value: bytes) -> bytes:
        return len(value).to_bytes(4, "big") + value

    frame = (
        text(event.id.encode())
        + text(event.tx_hash.encode())
        + (2).to_bytes(8, "big")
        + b"\x01"
        + text(event.contract_id.encode())
        + text(b"contract")
        + (1).to_bytes(4, "big")
        + text(event.topics[0])
        + text(event.value)
        + event.closed_at.to_bytes(8, "big")
    )
    assert event_frame(event) == frame
    assert event_digest(event) == sha256(frame).hexdigest()


def test_the_digest_reads_a_stream_once():
    some = [made_event(ledger, 1, 0) for ledger in range(1, 9)]
    assert digest_events(iter(some)) == digest_events(some)
    assert digest_events([]) == sha256().hexdigest()
    assert digest_events(some[:-1]) != digest_events(some)


@pytest.mark.parametrize("order", [[1, 0], [0, 0]])
def test_events_out_of_order_or_doubled_are_refused(order):
    some = [made_event(1, 1, 0), made_event(2, 1, 0)]
    with pytest.raises(InvalidEventError):
        digest_events([some[at] for at in order])
