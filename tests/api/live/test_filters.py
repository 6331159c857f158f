"""Filters: what an event query finds is what a live filter lets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.api.live.filters import EVERY_EVENT, EventFilter
from stellarstream_core.testing.scripted import made_event
from tests.api.live.kit import A, B, C

topics = st.sampled_from([b"one", b"two", b"three"])
events = st.lists(
    st.builds(
        lambda k, contract, topics: made_event(1, 1 + k % 3, k, contract)._replace(topics=topics),
        st.integers(0, 20),
        st.sampled_from([A, B, None]),
        st.lists(topics, max_size=5).map(tuple),
    ),
    max_size=20,
)
filters = st.builds(
    EventFilter.of,
    st.lists(st.sampled_from([A, B, C]), max_size=3),
    st.lists(st.none() | topics, max_size=4),
)


def plainly(wanted: EventFilter, event) -> bool:
    return (
        (not wanted.contracts or event.contract_id in wanted.contracts)
        and len(event.topics) >= len(wanted.topics)
        and all(want in (None, have) for want, have in zip(wanted.topics, event.topics, strict=False))
    )


@given(filters, events)
def test_a_filter_selects_the_events_that_each_part_of_it_fits(wanted, events):
    assert list(wanted.select(events)) == [at for at, event in enumerate(events) if plainly(wanted, event)]
    assert [wanted.fits(event) for event in events] == [plainly(wanted, event) for event in events]


def test_any_topic_must_exist():
    event = made_event(1)._replace(topics=(b"one",))
    assert EventFilter.of(topics=[None]).fits(event)
    assert not EventFilter.of(topics=[None, None]).fits(event)
    assert not EventFilter.of(topics=[b"one", None]).fits(event)


def test_events_without_a_contract_are_wanted_only_where_no_contract_is_named():
    event = made_event(1, contract=None)
    assert EVERY_EVENT.fits(event)
    assert not EventFilter.of([A]).fits(event)


def test_equal_wishes_are_equal_filters():
    assert EventFilter.of([A, B, A], [b"x"]) == EventFilter.of((B, A), (b"x",))
    assert hash(EventFilter.of([A, B])) == hash(EventFilter.of([B, A]))
    assert EventFilter.of() == EVERY_EVENT


def test_more_than_four_topics_are_refused():
    with pytest.raises(ValueError, match="4 at most"):
        EventFilter.of(topics=[None] * 5)
