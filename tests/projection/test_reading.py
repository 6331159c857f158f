"""What readers of projected state are given: pages of the journal in both orders, states, groups."""

from __future__ import annotations

import pytest

from stellarstream_core.projection import reading
from stellarstream_core.projection.journal import AT_ONCE
from tests.projection.conftest import commit, project, run
from tests.projection.test_projector import made_events
from tests.projection.toy import Toy, fold_all, toy_event

EVENTS = made_events(11, ledgers=20)


@pytest.fixture
def read(storage):
    commit(storage, *EVENTS)
    project(storage, Toy())
    return lambda function, *arguments, **options: storage.read(
        lambda database: function(database, "toy", *arguments, **options)
    )


def journal():
    import json

    return sorted((event.id, key) for event in EVENTS for key in json.loads(event.value)["keys"])


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 1_000])
def test_paging_through_a_journal_yields_each_entry_once_and_in_order(read, descending, limit):
    for key in "abx":
        found, after = [], ""
        while page := read(reading.entries_of_key, key, after=after, descending=descending, limit=limit):
            assert len(page) <= limit
            found += page
            after = page[-1]
        assert found == sorted((i for i, of in journal() if of == key), reverse=descending)
    everything, last = [], None
    while page := read(reading.entries_of_all, after=last, descending=descending, limit=limit):
        everything += page
        last = page[-1]
    assert [tuple(entry) for entry in everything] == sorted(journal(), reverse=descending)


def test_the_keys_of_events_are_told_for_those_that_have_some(read):
    silent = toy_event(99, 1, 0).id
    expected: dict[str, list[str]] = {}
    for event_id, key in journal():
        expected.setdefault(event_id, []).append(key)
    asked = [event.id for event in EVENTS] + [silent]
    assert read(reading.keys_of_events, asked) == expected
    assert read(reading.keys_of_events, []) == {}


def test_states_are_read_by_key_however_many_are_asked_for(read):
    expected = fold_all(EVENTS)
    asked = [*expected, *(f"nobody-{n}" for n in range(2 * AT_ONCE))]
    assert read(reading.states_in, asked) == expected


def test_members_and_groups_name_each_other(read):
    pairs = {(group, key) for key in "abcdwxyz" for group in read(reading.groups_of, key)}
    assert pairs
    found = set()
    for group in "abcdwxyz":
        after = ""
        while page := read(reading.members_of, group, after=after, limit=1):
            found.add((group, page[0]))
            after = page[0]
    assert found == pairs


def test_the_step_grows_with_every_write_and_never_goes_back(storage):
    def step():
        return storage.read(lambda database: reading.step_of(database, "toy"))

    assert step() == 0
    commit(storage, EVENTS[0])
    projector = project(storage, Toy())
    first = step()
    assert first > 0
    run(projector)
    assert step() == first, "nothing was written"
    commit(storage, EVENTS[1])
    run(projector)
    second = step()
    projector.rebuild()
    assert 0 < first < second < step()
