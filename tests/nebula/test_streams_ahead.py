"""Streams while ledgers are still being folded: each as of what is in it, complete only where nothing is missing."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from stellarstream_core.projection import projector as projecting
from stellarstream_core.projection.pace import Pace
from stellarstream_core.projection.projector import Projector
from stellarstream_core.projection.reading import reached_in
from stellarstream_core.runtime import Runtime
from stellarstream_core.testing.scripted import made_close_time
from stellarstream_nebula import export
from stellarstream_nebula.fold import BLANK, FoldEntry, advance
from stellarstream_nebula.meaning import keys_of
from stellarstream_nebula.model import Curve, StreamFacts
from stellarstream_nebula.queries import FIRST
from stellarstream_nebula.represent import StreamModel, view_of
from stellarstream_nebula.resources.streams import Asked, Page, StreamsQuery, read_page, read_stream
from stellarstream_nebula.stored import NAME, read_rows, write_facts
from tests.nebula.ledgers import (
    COIN,
    FAMILIES,
    GEM,
    MIGRATED_FROM,
    SETTINGS,
    START,
    TWO,
    Ledgers,
    Life,
    made_projection,
    project,
    store,
)
from tests.nebula.test_totals import DECODERS

SETTLED = Runtime(flags={"network": "sandbox", "plugins": SETTINGS}).settings


def page(storage) -> Page:
    asked = Asked(StreamsQuery(limit=200), None, FIRST, 0)
    return storage.read(lambda database: read_page(SETTLED, asked, database))


def one(storage, key: str) -> StreamModel:
    return storage.read(lambda database: read_stream(SETTLED, key, None, database))


def steps(storage, events: int = 1) -> Iterator[None]:
    """Fold so many events, or members of a group, at a time."""
    projector = Projector(made_projection(), storage)
    projector._pace = Pace(events, events, events)
    while not projector.step().idle:
        yield


@pytest.fixture
def bit_by_bit(monkeypatch) -> None:
    """Members of groups are folded in steps of their own."""
    monkeypatch.setattr(projecting, "FEW_MEMBERS", 0)


def test_while_older_ledgers_are_filled_in_a_stream_stays_as_of_the_newest_and_says_that_it_is_not_complete(storage):
    ledgers = Ledgers(ledger=199)
    ledgers.create(TWO, 0, amount=1_000, lasts=1_000)
    ledgers.claim(TWO, 0, 5, 5)
    store(storage, [], START, 109)
    store(storage, ledgers.events, 150, 210, wanted_from=START)
    project(storage)
    key = f"{TWO}-0"
    assert (one(storage, key).as_of_ledger, one(storage, key).complete) == (210, False), "there is a gap below"
    facts = StreamFacts(ledger=ledgers.ledger, curve=Curve.LINEAR, withdrawn=5)
    storage.write(lambda database: write_facts(database, key, facts))
    older = Ledgers(ledger=109)
    for number in range(1, 4):
        older.create(TWO, number)
    store(storage, older.events, 110, 149, wanted_from=START)
    shown = []
    for _ in steps(storage):
        reached = storage.read(lambda database: reached_in(database, NAME, [TWO]))
        if reached and not reached[TWO].complete:
            shown.append(one(storage, key))
            assert not page(storage).complete
            query = export.ExportQuery()
            assert export.missing(storage, SETTLED, query)
    assert shown, "there was something to fold for a while"
    for stream in shown:
        assert (stream.as_of_ledger, stream.complete) == (210, False)
        assert stream.withdrawn == "5"
        created = ledgers.events[0].closed_at
        assert stream.unlocked == str(made_close_time(210) - created)
    done = one(storage, key)
    assert (done.as_of_ledger, done.complete, page(storage).complete) == (210, True, True)


@pytest.mark.usefixtures("bit_by_bit")
def test_while_a_rebalance_goes_through_its_streams_no_list_is_complete(storage):
    ledgers = Ledgers()
    for number in range(5):
        ledgers.create(TWO, number, amount=1_000)
    last = ledgers.ledger
    store(storage, ledgers.events, START, last)
    project(storage)
    rebalanced = ledgers.rebalance(TWO, COIN, 5_000)
    ledgers.claim(TWO, 0, 1, 1)
    store(storage, ledgers.events, last + 1, ledgers.ledger + 1, wanted_from=START)
    between = 0
    for _ in steps(storage):
        found = page(storage)
        amounts = {item.amount for item in found.items}
        for item in found.items:
            if item.complete:
                assert (item.amount == "500") == (item.as_of_ledger >= rebalanced.ledger)
        if len(amounts) > 1 or found.as_of < rebalanced.ledger:
            between += len(amounts) > 1
            assert not found.complete or amounts == {"1000"}
    assert between
    found = page(storage)
    assert found.complete
    assert {item.amount for item in found.items} == {"500"}


@pytest.mark.usefixtures("bit_by_bit")
@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_said_to_be_complete_is_the_fold_of_every_event_up_to_its_ledger(storage, seed):
    life = Life(seed + 60)
    life.play(70)
    events, last = life.ledgers.events, life.ledgers.ledger + 2
    entries = []
    for event in sorted(events, key=lambda event: event.id):
        (decoded,) = DECODERS[FAMILIES[event.contract_id]]([event])
        entries += [FoldEntry(key, event, decoded) for key in keys_of(decoded, event, MIGRATED_FROM)]
    cuts = [START, START + (last - START) // 3, START + 2 * (last - START) // 3, last + 1]
    spans = [(first, end - 1) for first, end in zip(cuts, cuts[1:], strict=False)]
    random.Random(seed).shuffle(spans)
    complete = 0
    for span in spans:
        store(storage, events, *span, wanted_from=START)
        for _ in steps(storage, events=random.Random(seed).choice([1, 5])):
            found = page(storage)
            for item in found.items:
                assert item.as_of_ledger >= item.updated_ledger
                complete += item.complete
                if item.complete:
                    assert item.updated_ledger == expected(entries, item.id, item.as_of_ledger).updated_ledger
                    assert item.amount == str(expected(entries, item.id, item.as_of_ledger).total)
            if found.complete:
                there = {entry.key for entry in entries if entry.event.ledger <= found.as_of and "/" not in entry.key}
                assert {item.id for item in found.items} == there
                assert all(item.complete for item in found.items)
    assert complete
    assert page(storage).complete


def expected(entries, key, ledger):
    groups: frozenset[str] = frozenset()
    while True:
        own = [one for one in entries if one.event.ledger <= ledger and (one.key == key or one.key in groups)]
        fold = advance(BLANK, own, key, MIGRATED_FROM)
        if fold.groups <= groups:
            return fold.state
        groups |= fold.groups


def test_a_stream_of_a_contract_of_which_no_reach_is_known_is_as_of_its_last_event(storage):
    from stellarstream_nebula.represent import Moment

    ledgers = Ledgers()
    ledgers.create(TWO, 0, token=GEM)
    store(storage, ledgers.events, START, ledgers.ledger + 9)
    project(storage)
    row = storage.read(lambda database: read_rows(database, [f"{TWO}-0"]))[f"{TWO}-0"]
    moment = Moment.of(None, None, row.state)
    assert moment == Moment(ledgers.ledger, ledgers.events[0].closed_at, complete=False)
    assert view_of(row, moment, 60).unlocked == 0
