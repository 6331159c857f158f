"""Events a minute: whatever comes from the database and from commits, each event counts once, in its minute."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.api import minutes as module
from stellarstream_core.api.minutes import KEPT_MINUTES, EventMinutes, Minute
from stellarstream_core.errors import StorageError
from stellarstream_core.storage import EventPage, EventQuery, Totals
from stellarstream_core.testing.scripted import made_contract, made_event

from .conftest import heard, store

FIRST = 1_700_000_040
"""A moment at which a minute begins."""
CONTRACT = made_contract(1)


def event(ledger: int, k: int = 0, *, minute: int = 0):
    return made_event(ledger, k=k, contract=CONTRACT)._replace(closed_at=FIRST + 60 * minute + ledger % 60)


class Stored:
    """What ``load`` needs of a storage, with a page size of its own."""

    def __init__(self, events, page: int = 3, position: int = 0) -> None:
        self.events = sorted(events, key=lambda one: one.id, reverse=True)
        self.page = page
        self.position = position
        self.pages = 0

    def find_events(self, query: EventQuery, limit: int) -> EventPage:
        assert query.descending
        self.pages += 1
        rest = [one for one in self.events if not query.after or one.id < query.after]
        found = rest[: self.page]
        return EventPage(found, found[-1].id if len(rest) > self.page else None)

    def totals(self) -> Totals:
        return Totals(len(self.events), 0, self.position, None, None)


def test_minutes_without_events_are_told_too_and_the_last_one_is_the_newest_events():
    counter = EventMinutes()
    counter.load(Stored([event(1), event(2, minute=3), event(2, 1, minute=3)]))
    assert counter.last(5) == [
        Minute(FIRST - 60, 0),
        Minute(FIRST, 1),
        Minute(FIRST + 60, 0),
        Minute(FIRST + 120, 0),
        Minute(FIRST + 180, 2),
    ]


def test_quiet_minutes_up_to_the_moment_for_which_the_database_speaks_are_zeros():
    counter = EventMinutes()
    counter.load(Stored([event(1)]))
    assert counter.last(3, FIRST + 125) == [Minute(FIRST, 1), Minute(FIRST + 60, 0), Minute(FIRST + 120, 0)]


def test_a_moment_ahead_of_the_clock_does_not_empty_the_chart(monkeypatch):
    monkeypatch.setattr(module, "time", lambda: FIRST + 61)
    counter = EventMinutes()
    counter.load(Stored([event(1)]))
    assert counter.last(2, FIRST + 10**9) == [Minute(FIRST, 1), Minute(FIRST + 60, 0)]


def test_nothing_is_told_before_anything_was_counted():
    assert EventMinutes().last(60) == []
    empty = EventMinutes()
    empty.load(Stored([]))
    assert empty.last(60) == []


@given(
    stored=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 2), st.integers(0, 30)), unique_by=lambda t: t[:2]),
    data=st.data(),
)
def test_an_event_that_is_loaded_and_told_of_by_a_commit_counts_once(stored, data):
    events = [event(ledger, k, minute=minute) for ledger, k, minute in stored]
    early = data.draw(st.lists(st.sampled_from(events), unique=True)) if events else []
    both = data.draw(st.lists(st.sampled_from(events), unique=True)) if events else []
    both = [one for one in both if one not in early]
    new = [event(1000, k, minute=30) for k in range(data.draw(st.integers(0, 3)))]
    counter = EventMinutes()
    counter.committed(1, early)  # the feed tells of it before it is loaded
    counter.load(Stored(events, position=2))
    counter.committed(2, both)  # committed before it was loaded, told of later
    counter.committed(3, new)
    expected = Counter((one.closed_at - FIRST) // 60 for one in [*events, *new])
    counted = {(minute.start - FIRST) // 60: minute.events for minute in counter.last(KEPT_MINUTES) if minute.events}
    assert counted == expected


def test_a_ledger_filled_in_late_counts_in_its_minute_and_one_too_old_not_at_all():
    counter = EventMinutes()
    counter.load(Stored([event(500, minute=KEPT_MINUTES)]))
    counter.committed(1, [event(400, minute=KEPT_MINUTES - 2), event(1, minute=0)])
    found = counter.last(KEPT_MINUTES)
    assert [minute.events for minute in found[-3:]] == [1, 0, 1]
    assert sum(minute.events for minute in found) == 2
    assert len(found) == KEPT_MINUTES


def test_minutes_that_were_not_counted_whole_are_left_out(monkeypatch):
    monkeypatch.setattr(module, "LOAD_EVENTS", 4)
    events = [event(ledger, minute=ledger // 2) for ledger in range(20)]
    storage = Stored(events, page=2)
    counter = EventMinutes()
    counter.load(storage)
    assert storage.pages == 2
    # ledgers 19 to 16 were read: minute 9 is whole; of minute 8 more might have come
    assert counter.last(60) == [Minute(FIRST + 9 * 60, 2)]


def test_loading_ends_by_the_clock(monkeypatch):
    moments = iter(range(100))
    monkeypatch.setattr(module, "monotonic", lambda: float(next(moments)))
    storage = Stored([event(ledger, minute=ledger) for ledger in range(50)], page=1)
    EventMinutes().load(storage)
    assert storage.pages == 1


def test_loading_stops_at_the_horizon():
    storage = Stored([event(ledger, minute=ledger * 10) for ledger in range(1, 60)], page=1)
    counter = EventMinutes()
    counter.load(storage)
    assert storage.pages <= KEPT_MINUTES // 10 + 1
    assert sum(minute.events for minute in counter.last(KEPT_MINUTES)) == KEPT_MINUTES // 10


def test_a_database_that_cannot_be_read_leaves_the_count_to_begin_now(monkeypatch):
    monkeypatch.setattr(module, "time", lambda: FIRST + 30)

    class Broken(Stored):
        def find_events(self, query, limit):
            raise StorageError("gone")

    counter = EventMinutes()
    counter.load(Broken([]))
    counter.committed(1, [event(1), event(2, minute=1)])
    assert counter.last(60) == [Minute(FIRST + 60, 1)]


def test_another_history_begins_anew(monkeypatch):
    monkeypatch.setattr(module, "time", lambda: FIRST + 30)
    counter = EventMinutes()
    counter.load(Stored([event(1)], position=7))
    counter.committed(8, [event(2)])
    counter.committed(3, ())
    assert counter.last(60) == []
    counter.committed(4, [event(3, minute=1)])
    assert counter.last(60) == [Minute(FIRST + 60, 1)]


async def test_the_rate_counts_what_is_stored_and_what_is_committed(database_url, filled, served, client):
    events = [made_event(ledger, k=k, contract=CONTRACT) for ledger in range(100, 160) for k in range(ledger % 3)]
    storage = filled(database_url, (100, 159), [CONTRACT], events)
    api = await served(database_url)
    more = [made_event(160, k=k, contract=CONTRACT) for k in range(5)]
    store(storage, (160, 160), [CONTRACT], more)
    await heard(api, storage)
    async with client.get(f"{api.url}/api/v1/events/rate?minutes=60") as response:
        body = await response.json()
        assert response.status == 200, body
    assert sum(minute["events"] for minute in body["minutes"]) == len(events) + 5
    assert body["minutes"][-1]["start"].endswith(":00Z")
    assert body["asOfLedger"] == 160
    async with client.get(f"{api.url}/api/v1/events/rate?minutes=0") as response:
        assert response.status == 400
