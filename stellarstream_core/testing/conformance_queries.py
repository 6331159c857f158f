# ruff: noqa: S101, D102 - a suite of tests is made of assertions, and its names are its documentation
"""The part of the storage conformance suite about finding events; see ``storage_conformance``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random

import pytest

from stellarstream_core.errors import InvalidEventError, UsageError
from stellarstream_core.events import AFTER_ALL_TXS, AFTER_TX, BEFORE_ALL_TXS, ContractEvent
from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_core.storage import CloseTime, EventPage, EventQuery, Storage
from stellarstream_core.testing.conformance_windows import ANY, A, B, C, window
from stellarstream_core.testing.scripted import made_close_time, made_contract, made_event

TOPICS = tuple(b"\x00\x00\x00\x0f\x00\x00\x00\x04" + name for name in (b"mint", b"burn", b"move"))


def made_mixture(first: int, last: int, seed: int = 0) -> list[ContractEvent]:
    """Return a history in id order of several contracts, of events without one, with fees, and with 0 to 6 topics."""
    dice = Random(seed)  # noqa: S311 - a made history, not a secret
    events: list[ContractEvent] = []
    for ledger in range(first, last + 1):
        calls = range(1, dice.randint(1, 4))
        places = [(tx, op, k) for tx in calls for op in (0, 1) for k in range(dice.randint(0, 2))]
        hashes = {tx: made_event(ledger, tx).tx_hash for tx in range(1, 5)}
        fees = [(BEFORE_ALL_TXS, 0), (AFTER_ALL_TXS, 0)]
        for number, (tx, op) in enumerate(fees * 2):
            if dice.random() < 0.5:
                fee = made_event(ledger, tx, number, dice.choice([C, None]), op=op)
                events.append(fee._replace(tx_hash=hashes[dice.randint(1, 4)]))
        for tx, op, k in places:
            event = made_event(ledger, tx, k, dice.choice([A, A, B, C, None]), op=AFTER_TX if op and k else op)
            topics = tuple(dice.choice(TOPICS) for _ in range(dice.choice([0, 1, 2, 2, 3, 4, 6])))
            events.append(event._replace(tx_hash=hashes[tx], topics=topics))
    return sorted(events)


def fits(event: ContractEvent, query: EventQuery) -> bool:
    """Tell whether an event is one of those a query asks for, wherever its page begins."""
    return (
        (not query.contracts or event.contract_id in query.contracts)
        and len(event.topics) >= len(query.topics)
        and all(topic in (None, own) for topic, own in zip(query.topics, event.topics, strict=False))
        and query.tx_hash in (None, event.tx_hash)
        and query.first <= event.ledger <= query.last
    )


def wanted(events: Iterable[ContractEvent], query: EventQuery) -> list[ContractEvent]:
    """Return what is left of a query after ``query.after``, in its order, as plain Python sees it."""
    found = sorted((event for event in events if fits(event, query)), reverse=query.descending)
    if not query.after:
        return found
    return [event for event in found if (event.id < query.after if query.descending else event.id > query.after)]


def check_page(storage: Storage, events: Iterable[ContractEvent], query: EventQuery, limit: int) -> EventQuery | None:
    """Read a page, check it against plain Python, and return the query for the next one."""
    page = storage.find_events(query, limit)
    expected = wanted(events, query)
    assert len(page.events) <= limit
    assert list(page.events) == expected[: len(page.events)]
    if page.resume is None:
        assert len(page.events) == len(expected)
        return None
    rest = replace(query, after=page.resume)
    assert wanted(events, rest) == expected[len(page.events) :], "what resumes goes on where the page ended"
    after = query.after or ("~" if query.descending else "")
    assert page.resume < after if query.descending else page.resume > after, "each page comes further"
    return rest


def read_through(storage: Storage, events: Sequence[ContractEvent], query: EventQuery, limit: int) -> None:
    """Page through a query to its end and check every page."""
    rest: EventQuery | None = query
    while rest is not None:
        rest = check_page(storage, events, rest, limit)


QUERIES = {
    "everything": EventQuery(),
    "one contract": EventQuery((A,)),
    "a contract that is silent": EventQuery((made_contract(99),)),
    "several contracts": EventQuery((C, A, made_contract(99), A)),
    "a range": EventQuery((A, B), first=12, last=17),
    "an empty range": EventQuery((A, B), first=17, last=12),
    "one ledger of everything": EventQuery(first=15, last=15),
    "a topic": EventQuery(topics=(TOPICS[0],)),
    "a topic in the middle": EventQuery((A, B), (None, TOPICS[1])),
    "so many topics": EventQuery((A,), (None, None, None)),
    "topics that are not there": EventQuery((A, C), (b"none", TOPICS[0])),
    "four topics": EventQuery((), (TOPICS[0], None, None, TOPICS[2])),
}


class QueryConformance:
    """Tests of ``find_events`` and ``event``."""

    @pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
    @pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
    def test_paging_through_a_query_yields_each_event_that_fits_once_and_in_order(
        self, storage: Storage, query: EventQuery, descending: bool
    ) -> None:
        events = made_mixture(10, 20)
        storage.commit(window(10, 20, events, ANY.members))
        for limit in (1, 3, 1000):
            read_through(storage, events, replace(query, descending=descending), limit)

    def test_a_page_says_that_nothing_is_left_where_that_is_so(self, storage: Storage) -> None:
        events = [made_event(10, 1, k, A) for k in range(4)]
        storage.commit(window(10, 10, events))
        assert storage.find_events(EventQuery((A,)), 4).resume is None
        assert storage.find_events(EventQuery((A,)), 3).resume == events[2].id
        assert storage.find_events(EventQuery((A,), after=events[3].id), 3) == EventPage([], None)

    @pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
    def test_the_events_of_a_transaction_are_found_with_its_fees(self, storage: Storage, descending: bool) -> None:
        events = made_mixture(10, 20)
        storage.commit(window(10, 20, events, ANY.members))
        for tx_hash in sorted({event.tx_hash for event in events if event.ledger < 14}):
            for query in (
                EventQuery(tx_hash=tx_hash, descending=descending),
                EventQuery((A, C), tx_hash=tx_hash, descending=descending),
                EventQuery((), (TOPICS[0],), tx_hash, descending=descending),
                EventQuery(tx_hash=tx_hash, first=12, descending=descending),
                EventQuery(tx_hash=tx_hash, last=11, descending=descending),
            ):
                for limit in (1, 2, 1000):
                    read_through(storage, events, query, limit)
        assert storage.find_events(EventQuery(tx_hash="00" * 32, descending=descending), 5).events == []

    @pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
    def test_a_query_may_go_on_after_any_event_whether_it_fits_or_not(self, storage: Storage, descending: bool) -> None:
        events = made_mixture(10, 13)
        storage.commit(window(10, 13, events, ANY.members))
        tx_hash = events[len(events) // 2].tx_hash
        for event in events:
            for query in (EventQuery(), EventQuery((B, C)), EventQuery(tx_hash=tx_hash), EventQuery((A,), last=12)):
                check_page(storage, events, replace(query, after=event.id, descending=descending), 3)

    @pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
    def test_events_that_come_late_are_found_on_pages_not_yet_read(self, storage: Storage, descending: bool) -> None:
        events = made_mixture(10, 40)
        late = [event for event in events if event.ledger % 3 == 0]
        there = [event for event in events if event.ledger % 3]
        for ledger in sorted({event.ledger for event in there}):
            storage.commit(window(ledger, ledger, [e for e in there if e.ledger == ledger], ANY.members))
        arriving = sorted({event.ledger for event in late})
        Random(1).shuffle(arriving)  # noqa: S311 - an order, not a secret
        query = EventQuery((A, B, C), descending=descending)
        rest: EventQuery | None = query
        for ledger in arriving:
            rest = check_page(storage, there, rest or query, 4)
            part = [event for event in late if event.ledger == ledger]
            storage.commit(window(ledger, ledger, part, ANY.members))
            there = sorted([*there, *part])
        read_through(storage, events, rest or query, 4)
        read_through(storage, events, query, 100)

    def test_long_stretches_that_do_not_fit_are_passed_page_by_page(self, storage: Storage) -> None:
        events = [made_event(ledger, 1, k, (A, B)[k % 2]) for ledger in range(10, 60) for k in range(30)]
        rare = [made_event(ledger, 2, 0, A)._replace(topics=(TOPICS[2],)) for ledger in (10, 35, 59)]
        events = sorted([*events, *rare])
        storage.commit(window(10, 60, events, (A, B)))
        for query in (EventQuery((A, B), (TOPICS[2],)), EventQuery((), (TOPICS[2],)), EventQuery((B,), (TOPICS[2],))):
            read_through(storage, events, query, 2)
            read_through(storage, events, replace(query, descending=True), 2)

    def test_the_last_ledger_there_can_be_is_found(self, storage: Storage) -> None:
        event = made_event(LAST_LEDGER, AFTER_ALL_TXS - 1, 0xFFFFFFFF, A, op=0xFFE)
        storage.commit(window(LAST_LEDGER, LAST_LEDGER, [event]))
        for query in (EventQuery(), EventQuery((A,)), EventQuery(tx_hash=event.tx_hash), EventQuery(last=2**70)):
            assert storage.find_events(query, 2).events == [event]
            assert storage.find_events(replace(query, descending=True), 2).events == [event]

    @pytest.mark.parametrize(
        ("query", "limit"),
        [
            (EventQuery(), 0),
            (EventQuery(topics=(None,) * 5), 1),
            (EventQuery(after="10"), 1),
            (EventQuery(after="9" * 19 + "-" + "9" * 10), 1),
        ],
        ids=["no events", "five topics", "no id", "no id either"],
    )
    def test_a_query_that_makes_no_sense_is_refused(self, storage: Storage, query: EventQuery, limit: int) -> None:
        with pytest.raises(UsageError):
            storage.find_events(query, limit)

    def test_an_event_is_found_by_its_id(self, storage: Storage) -> None:
        events = made_mixture(10, 12)
        storage.commit(window(10, 12, events, ANY.members))
        assert [storage.event(event.id) for event in events] == events
        assert storage.event(made_event(99, 1, 0, A).id) is None
        for text in ("", "10", "x" * 30, events[0].id + "0", "\x00"):
            assert storage.event(text) is None

    def test_events_are_read_by_their_ids_in_order_each_once(self, storage: Storage) -> None:
        events = made_mixture(10, 30)
        storage.commit(window(10, 30, events, ANY.members))
        asked = [event.id for event in events] * 2
        Random(1).shuffle(asked)  # noqa: S311 - an order, not a secret
        assert list(storage.events_by_id(asked)) == events
        assert list(storage.events_by_id([events[3].id, made_event(99, 1, 0, A).id])) == [events[3]]
        assert list(storage.events_by_id([])) == []
        with pytest.raises(InvalidEventError):
            storage.events_by_id([events[0].id, "10"])

    @pytest.mark.parametrize("contracts", [(A,), (A, C), (B,), (made_contract(99),)])
    def test_a_commits_events_are_paged_by_contract(self, storage: Storage, contracts: tuple[str, ...]) -> None:
        events = made_mixture(10, 20)
        storage.commit(window(10, 12, [event for event in events if event.ledger <= 12][::2], ANY.members))
        commit = storage.commit(window(10, 20, events, ANY.members)).commit
        assert commit is not None
        expected = [event for event in storage.events_of_commit(commit) if event.contract_id in contracts]
        for limit in (1, 3, 1000):
            found: list[ContractEvent] = []
            while page := storage.commit_page(
                commit, after=found[-1].id if found else "", limit=limit, contracts=contracts
            ):
                assert len(page) <= limit
                found += page
            assert found == expected
        assert list(storage.commit_page(commit, skip=2, limit=1000, contracts=contracts)) == expected[2:]

    def test_the_newest_close_time_is_told_by_events_and_by_windows(self, storage: Storage) -> None:
        assert storage.close_time(LAST_LEDGER) is None
        storage.commit(window(10, 14, [made_event(12, 1, 0, A)], closed_at=made_close_time(14)))
        storage.commit(window(20, 24))
        storage.commit(window(30, 34, [made_event(33, 1, 0, A)], closed_at=None))
        known = {ledger: CloseTime(ledger, made_close_time(ledger)) for ledger in (12, 14, 33)}
        upto = {9: None, 11: None, 12: 12, 13: 12, 14: 14, 32: 14, 33: 33, LAST_LEDGER: 33}
        for ledger, newest in upto.items():
            assert storage.close_time(ledger) == (None if newest is None else known[newest])

    def test_the_first_close_time_that_was_told_stays(self, storage: Storage) -> None:
        storage.commit(window(10, 14, closed_at=1_000))
        storage.commit(window(14, 14, (), (B,), closed_at=2_000))
        assert storage.close_time(14) == CloseTime(14, 1_000)

    def test_the_lowest_ledger_of_later_commits_is_told_by_contract(self, storage: Storage) -> None:
        for first, last, scope in ((40, 49, (A, B)), (20, 29, (A,)), (30, 39, (C,)), (50, 59, (A, C))):
            storage.commit(window(first, last, (), scope))
        assert storage.earliest_after(0, [A, B, C, made_contract(99)]) == {A: 20, B: 40, C: 30}
        assert storage.earliest_after(2, [A, B, C]) == {A: 50, C: 30}
        assert storage.earliest_after(4, [A, B, C]) == {}
        storage.commit(window(35, 36, (), ANY.members))
        assert storage.earliest_after(3, [A, B]) == {A: 35, B: 35}
