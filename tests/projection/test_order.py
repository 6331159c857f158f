"""As a property: whatever the events, their order, their commits and the pauses between, the fold is the same."""

from __future__ import annotations

from contextlib import closing

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stellarstream_core.plugins import CORE_MODELS
from stellarstream_core.projection import projector as module
from stellarstream_core.projection.reading import entries_of_all
from stellarstream_sql.storage import open_sqlite
from tests.projection.conftest import commit, run, states_of
from tests.projection.test_projector import expected_journal, small
from tests.projection.toy import Toy, fold_all, toy_event

KEYS = "abcd"
GROUPS = "wxyz"

SAID = st.fixed_dictionaries(
    {"begin": st.booleans()}, optional={"join": st.sampled_from(KEYS + GROUPS), "unknown": st.just("(u64)")}
)
EVENTS = st.lists(
    st.tuples(st.integers(10, 20), st.integers(0, 3), st.sets(st.sampled_from(KEYS + GROUPS), max_size=3), SAID),
    max_size=24,
    unique_by=lambda event: event[:2],
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), drawn=EVENTS, few=st.integers(0, 3), size=st.integers(1, 4))
def test_states_are_those_of_the_sorted_set_however_it_was_committed(monkeypatch, data, drawn, few, size):
    monkeypatch.setattr(module, "FEW_MEMBERS", few)
    events = [toy_event(ledger, 1, k, *sorted(keys), **said) for ledger, k, keys, said in drawn]
    order = data.draw(st.permutations(events))
    with closing(open_sqlite("sqlite:///:memory:", [CORE_MODELS])) as storage:
        storage.migrate()
        toy = Toy()
        projector = small(storage, toy, size)
        at = 0
        while at < len(order):
            count = data.draw(st.integers(1, 6))
            commit(storage, *order[at : at + count])
            at += count
            for _ in range(data.draw(st.integers(0, 3))):
                projector.step()
        run(projector)
        assert states_of(storage) == fold_all(events)
        assert toy.states == {**dict.fromkeys(toy.states), **fold_all(events)}
        journal = storage.read(lambda database: entries_of_all(database, "toy", limit=10_000))
        assert [tuple(entry) for entry in journal] == expected_journal(events)
        assert sorted((entry.event.id, entry.key) for entry in toy.saved) == expected_journal(events)


@given(drawn=EVENTS, cut=st.integers(0, 24))
def test_the_toy_itself_keeps_the_law_of_advance(drawn, cut):
    from stellarstream_core.projections import Entry
    from tests.projection.toy import fold_entries

    events = sorted(toy_event(ledger, 1, k, "a", **{**said, "begin": True}) for ledger, k, _, said in drawn)
    entries = [Entry("a", event) for event in events]
    first = fold_entries(entries[:cut])
    assert fold_entries(entries[cut:], first.state).state == fold_entries(entries).state
