"""Finding streams: every filter, alone and with others, is what a plain look at every stream finds."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellarstream_core.projection.reading import reached_in
from stellarstream_core.storage import Storage
from stellarstream_nebula import bulk, queries
from stellarstream_nebula.model import Status
from stellarstream_nebula.queries import FIRST, Wanted, address_walks, find_streams
from stellarstream_nebula.represent import Moment, view_of
from stellarstream_nebula.stored import NAME, StreamRow, complete_due, read_rows
from stellarstream_nebula.tables import NebulaStream
from tests.nebula.ledgers import COIN, FAMILIES, GEM, ONE, PEOPLE, START, THREE, TWO, Life, project, store

FRESH = 60
ANYBODY = [*PEOPLE, ONE]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def full(request, store_of) -> Storage:
    """A store with some two hundred streams of three contracts."""
    storage = store_of(request.param)
    life = Life(77)
    life.play(500)
    store(storage, life.ledgers.events, START, life.ledgers.ledger + 3)
    project(storage)
    return storage


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Pages of many steps and budgets that end, with few streams."""
    monkeypatch.setattr(queries, "FIRST_STEP", 7)
    monkeypatch.setattr(queries, "LONGEST_STEP", 13)
    monkeypatch.setattr(queries, "BUDGET", 40)
    monkeypatch.setattr(queries, "NARROW", 5)


def all_rows(storage: Storage) -> list[tuple[StreamRow, str]]:
    """Return every stream, newest first, with its place."""

    def read(database):
        keys = [key for (key,) in NebulaStream.select(NebulaStream.key).tuples().execute(database)]
        return list(read_rows(database, keys).values())

    found = [(row, row.state.first_event) for row in storage.read(read)]
    return sorted(found, key=lambda pair: (pair[1], pair[0].key), reverse=True)


def expected(storage: Storage, wanted: Wanted, at: int | None = None) -> list[str]:
    """Look at every stream, and at nothing but how it is shown."""
    reached = storage.read(lambda database: reached_in(database, NAME, FAMILIES))
    found = []
    for row, _ in all_rows(storage):
        shown = view_of(row, Moment.of(reached[row.state.contract_id], at), FRESH)
        parties = {shown.sender, shown.receiver, shown.beneficiary}
        values = {
            "key": row.key,
            "sender": shown.sender,
            "receiver": shown.receiver,
            "beneficiary": shown.beneficiary,
            "token": shown.token,
            "contract_id": row.state.contract_id,
            "tx_hash": row.state.tx_hash,
            "memo": row.state.memo,
        }
        if (
            (wanted.address is None or wanted.address in parties)
            and (wanted.sender is None or wanted.sender == shown.sender)
            and (wanted.receiver is None or wanted.receiver == shown.receiver)
            and (wanted.token is None or wanted.token == shown.token)
            and (not wanted.contracts or row.state.contract_id in wanted.contracts)
            and (not wanted.statuses or shown.status in wanted.statuses)
            and (wanted.any_of is None or any(values[column] == value for column, value in wanted.any_of))
        ):
            found.append(row.key)
    return found


def moments(storage: Storage, at: int | None = None) -> dict[str, int]:
    reached = storage.read(lambda database: reached_in(database, NAME, FAMILIES))
    return {contract: found.closed_at if at is None else at for contract, found in reached.items()}


def pages(storage: Storage, wanted: Wanted, limits: Iterator[int], skip: int = 0) -> list[str]:
    """Page through, each page with another limit."""
    after, keys = FIRST, []
    for limit in limits:
        found = storage.read(
            lambda database, after=after, skip=skip, limit=limit: find_streams(database, wanted, limit, after, skip)
        )
        assert len(found.keys) <= limit
        keys += found.keys
        if found.resume is None:
            return keys
        after, skip = found.resume, found.skip
    raise AssertionError("the pages do not end")


def endless(seed: int) -> Iterator[int]:
    dice = random.Random(seed)
    return (dice.choice([1, 2, 3, 10, 50]) for _ in range(1_000))


ADDRESS = st.none() | st.sampled_from(ANYBODY)
WANTED = st.fixed_dictionaries(
    {
        "address": ADDRESS,
        "sender": ADDRESS,
        "receiver": ADDRESS,
        "token": st.sampled_from([None, None, COIN, GEM, ONE]),
        "statuses": st.frozensets(st.sampled_from(list(Status)), max_size=5),
        "contracts": st.sampled_from([(), (), (ONE,), (TWO,), (TWO, THREE), (COIN,)]),
    }
)


def test_the_store_has_streams_of_every_status(full):
    found = {status: expected(full, Wanted(statuses=frozenset({status}))) for status in Status}
    assert all(found[status] for status in Status), {status: len(keys) for status, keys in found.items()}


@settings(max_examples=60, deadline=None)
@given(filters=WANTED, seed=st.integers(0, 10**6), later=st.sampled_from([None, None, 0, 300, 10**6]))
def test_pages_of_any_filters_are_all_streams_that_pass_each_of_them_once_and_newest_first(full, filters, seed, later):
    at = None if later is None else max(moments(full).values()) - 500 + later
    wanted = Wanted(**filters, moments=moments(full, at), present=at is None)
    assert pages(full, wanted, endless(seed)) == expected(full, wanted, at)


@pytest.mark.parametrize("name", ["address", "sender", "receiver"])
@pytest.mark.parametrize("who", PEOPLE[:3])
def test_each_address_filter_alone(full, name, who):
    wanted = Wanted(**{name: who}, moments=moments(full))
    found = pages(full, wanted, endless(1))
    assert found == expected(full, wanted)
    assert found


@pytest.mark.parametrize("status", list(Status))
def test_each_status_alone(full, status):
    wanted = Wanted(statuses=frozenset({status}), moments=moments(full))
    assert pages(full, wanted, endless(2)) == expected(full, wanted)


def test_a_status_is_as_of_the_moment_of_each_contract(full):
    early = {**moments(full), TWO: 0}
    active = Wanted(statuses=frozenset({Status.ACTIVE}), contracts=(TWO,), moments=early, present=False)
    completed = Wanted(statuses=frozenset({Status.COMPLETED}), contracts=(TWO,), moments=early, present=False)
    assert len(pages(full, active, endless(3))) > len(expected(full, Wanted(**{**vars_of(active), "moments": {}})))
    paid = [key for key in pages(full, completed, endless(3)) if key.startswith(TWO)]
    assert set(paid) < set(expected(full, Wanted(statuses=frozenset({Status.COMPLETED}), contracts=(TWO,))))


@pytest.mark.parametrize("narrow", [3, 1_000])
@pytest.mark.parametrize("later", [20, 200, 10**6])
@pytest.mark.parametrize("statuses", [{Status.COMPLETED}, {Status.ACTIVE}, {Status.COMPLETED, Status.PAUSED}])
def test_what_is_over_and_not_yet_noted_to_be_is_listed_by_the_clock(full, monkeypatch, narrow, later, statuses):
    monkeypatch.setattr(queries, "NARROW", narrow)  # few are looked up one by one, many are walked
    at = max(moments(full).values()) + later
    wanted = Wanted(statuses=frozenset(statuses), moments=moments(full, at))
    assert pages(full, wanted, endless(8)) == expected(full, wanted, at)


def test_what_the_clock_has_completed_is_noted_bit_by_bit(store_of):
    storage = store_of("sqlite")
    life = Life(5)
    life.play(120)
    store(storage, life.ledgers.events, START, life.ledgers.ledger + 300)
    project(storage)
    reached = moments(storage)
    storage.write(lambda database: bulk.execute(database, "UPDATE nebula_streams SET shown_status = base_status"))
    steps = 1
    while not storage.write(lambda database: complete_due(database, reached, 3)):
        steps += 1
    assert steps > 3
    rows = storage.read(lambda database: list(NebulaStream.select().dicts().execute(database)))
    for row in rows:
        over = row["completes_at"] is not None and row["completes_at"] <= reached[row["contract_id"]]
        expected_status = "COMPLETED" if row["base_status"] == "ACTIVE" and over else row["base_status"]
        assert row["shown_status"] == expected_status


def vars_of(wanted: Wanted) -> dict[str, object]:
    return {name: getattr(wanted, name) for name in Wanted.__dataclass_fields__}


@settings(max_examples=40, deadline=None)
@given(
    filters=WANTED,
    skip=st.integers(0, 60),
    limit=st.integers(1, 20),
)
def test_an_offset_passes_over_as_many_as_it_says(full, filters, skip, limit):
    wanted = Wanted(**filters, moments=moments(full))
    assert pages(full, wanted, iter([limit] * 300), skip) == expected(full, wanted)[skip:]


@pytest.mark.parametrize(
    "any_of",
    [
        (("memo", "rent"),),
        (("key", f"{TWO}-0"), ("key", f"{THREE}-0"), ("key", f"{ONE}-999")),
        (*address_walks(PEOPLE[0]), ("token", COIN)),
        (("contract_id", ONE), ("memo", "pay_7")),
    ],
)
def test_any_of_several_columns_may_fit(full, any_of):
    wanted = Wanted(any_of=any_of, moments=moments(full))
    found = pages(full, wanted, endless(4))
    assert found == expected(full, wanted)
    assert found
    more = Wanted(any_of=any_of, token=GEM, statuses=frozenset({Status.ACTIVE}), moments=moments(full))
    assert pages(full, more, endless(5)) == expected(full, more)


def test_nothing_that_could_fit_is_nothing_found(full):
    assert pages(full, Wanted(any_of=()), endless(6)) == []
    assert pages(full, Wanted(sender=COIN), endless(6)) == []


def test_a_page_looks_at_a_bounded_number_of_streams_and_says_where_to_go_on(full, monkeypatch):
    monkeypatch.setattr(queries, "BUDGET", 10)
    monkeypatch.setattr(queries, "NARROW", 1)
    rare = Wanted(token=COIN, statuses=frozenset({Status.ARCHIVED}), moments=moments(full))
    every = expected(full, rare)
    first = full.read(lambda database: find_streams(database, rare, 50))
    assert len(first.keys) < len(every)
    assert first.resume is not None
    asked = 0

    def counted() -> Iterator[int]:
        nonlocal asked
        while True:
            asked += 1
            yield 50

    assert pages(full, rare, counted()) == every
    assert asked > len(expected(full, Wanted(token=COIN))) / (10 + 50 + 13)
