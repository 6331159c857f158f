"""Every event once, whatever happens; state is the fold of the set of events, in whatever order they came."""

from __future__ import annotations

import random

import pytest

from stellarstream_core.errors import StorageError
from stellarstream_core.projection import projector as module
from stellarstream_core.projection.faults import OvertakenError, ProjectionFaultError, SupersededError
from stellarstream_core.projection.journal import CLEARING_OWN, OTHER_SHAPES, read_cursor, read_pending
from stellarstream_core.projection.pace import Pace
from stellarstream_core.projection.projector import Projector
from stellarstream_core.projection.reading import entries_of_all, groups_of, members_of
from stellarstream_core.projection.tables import UnknownRow
from stellarstream_core.projections import Folded, Routed
from stellarstream_core.testing.scripted import made_event
from tests.projection.conftest import commit, project, run, states_of
from tests.projection.toy import CONTRACT, OTHER, Toy, fold_all, toy_event


def small(storage, toy, size=2):
    """Return a projector that takes in a few events at a time."""
    projector = Projector(toy, storage)
    projector._pace = Pace(size, 1, size)
    projector._page_pace = Pace(size, 1, size)
    projector._clearing_pace = Pace(size, 1, size)
    return projector


def made_events(seed, ledgers=12, keys="abcd", groups="xyz"):
    """Return events of keys that begin, join groups and are joined by others, and of groups, in id order."""
    dice = random.Random(seed)
    events = []
    for ledger in range(10, 10 + ledgers):
        for k in range(dice.randint(0, 3)):
            what = {"begin": dice.random() < 0.4}
            if dice.random() < 0.35:
                what["join"] = dice.choice(groups + keys)
            of = dice.sample(keys + groups, dice.choice([1, 1, 1, 2]))
            events.append(toy_event(ledger, 1, k, *of, **what))
    return events


def spread(dice, events):
    """Return the events in commits of a few each, in any order."""
    rest = list(events)
    dice.shuffle(rest)
    while rest:
        size = dice.randint(1, 5)
        yield rest[:size]
        rest = rest[size:]


def journal_of(storage):
    return storage.read(lambda database: entries_of_all(database, "toy", limit=100_000))


def cursor_of(storage):
    return storage.read(lambda database: read_cursor(database, "toy"))


def expected_journal(events):
    import json

    return sorted((event.id, key) for event in events for key in json.loads(event.value)["keys"])


def test_events_are_folded_by_key_in_the_order_of_their_ids(storage):
    events = [toy_event(10, 1, 0, "a", begin=True), toy_event(10, 1, 1, "b", begin=True), toy_event(11, 1, 0, "a")]
    commit(storage, *events)
    toy = Toy()
    project(storage, toy)
    assert states_of(storage) == fold_all(events) == toy.states
    assert [tuple(entry) for entry in journal_of(storage)] == expected_journal(events)
    assert [(entry.key, entry.event) for entry in toy.saved] == [("a", events[0]), ("b", events[1]), ("a", events[2])]
    assert cursor_of(storage).position == 1


def test_a_key_goes_on_from_its_state_where_all_that_is_new_comes_after_it(storage):
    events = [toy_event(ledger, 1, 0, "a", begin=True) for ledger in range(10, 15)]
    toy = Toy()
    handed = []
    advance = toy.advance
    toy.advance = lambda key, state, entries: (
        handed.append((state is None, len(entries))),
        advance(key, state, entries),
    )[1]
    projector = Projector(toy, storage)
    for event in (events[0], events[1], events[3], events[2], events[4]):
        commit(storage, event)
        run(projector)
    assert handed == [(True, 1), (False, 1), (False, 1), (True, 4), (False, 1)]
    assert states_of(storage) == fold_all(events)


def test_events_of_other_contracts_are_not_handed_over(storage):
    mine = toy_event(10, 1, 0, "a", begin=True)
    commit(storage, mine, made_event(10, 2, 0, OTHER), made_event(11, 1, 0, None), scope=("*",))
    toy = Toy()
    project(storage, toy)
    assert [entry.event for entry in toy.saved] == [mine]
    assert cursor_of(storage).position == 1


def test_a_key_whose_beginning_is_missing_keeps_its_events_until_it_comes(storage):
    later, first = toy_event(12, 1, 0, "a"), toy_event(10, 1, 0, "a", begin=True)
    commit(storage, later)
    toy = Toy()
    projector = project(storage, toy)
    assert states_of(storage) == {}
    assert toy.states == {}, "a change from nothing to nothing is none"
    assert len(journal_of(storage)) == 1
    commit(storage, first)
    run(projector)
    assert states_of(storage) == fold_all([first, later]) == toy.states


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_order_and_the_commits_the_states_are_those_of_the_sorted_set(storage, monkeypatch, seed):
    monkeypatch.setattr(module, "FEW_MEMBERS", seed % 3)
    dice = random.Random(seed)
    events = made_events(seed)
    toy = Toy()
    projector = small(storage, toy, 1 + seed % 4)
    for part in spread(dice, events):
        commit(storage, *part)
        for _ in range(dice.randint(0, 4)):
            projector.step()
    run(projector)
    assert states_of(storage) == fold_all(events) == {k: v for k, v in toy.states.items() if v is not None}
    assert [tuple(entry) for entry in journal_of(storage)] == expected_journal(events)
    assert sorted((e.event.id, e.key) for e in toy.saved) == expected_journal(events), "each entry was saved once"


class Dies(BaseException):
    """What ends a process in the middle of a step."""


@pytest.mark.parametrize("where", ["before the write", "inside the write", "after the write"])
def test_a_process_that_ends_in_the_middle_of_a_step_loses_nothing_and_doubles_nothing(storage, monkeypatch, where):
    monkeypatch.setattr(module, "FEW_MEMBERS", 1)
    dice = random.Random(where)
    events = made_events(99, ledgers=16)
    for part in spread(dice, events):
        commit(storage, *part)
    write = storage.write
    toy = Toy()

    def dying(change, **options):
        def inside(database):
            result = change(database)
            if where == "inside the write":
                raise Dies
            return result

        if where == "before the write":
            raise Dies
        write(inside, **options)
        if where == "after the write":
            raise Dies

    for _ in range(1_000):
        before = list(toy.saved), dict(toy.states)
        with monkeypatch.context() as patched:
            if dice.random() < 0.5:
                patched.setattr(storage, "write", dying)
            try:
                done = small(storage, toy, 3).step()  # each time a process of its own
            except Dies:
                if where != "after the write":
                    toy.saved, toy.states = before  # what was not committed is not there
                continue
        if done.idle:
            break
    else:
        raise AssertionError("it comes to no end")
    assert states_of(storage) == fold_all(events) == {k: v for k, v in toy.states.items() if v is not None}
    assert sorted((e.event.id, e.key) for e in toy.saved) == expected_journal(events)


def test_two_projectors_of_one_projection_share_the_work_and_double_nothing(open_storage, monkeypatch):
    monkeypatch.setattr(module, "FEW_MEMBERS", 1)
    first, second = open_storage(), open_storage()
    first.migrate()
    dice = random.Random(5)
    events = made_events(7, ledgers=16)
    for part in spread(dice, events):
        commit(first, *part)
    toys = [Toy(), Toy()]
    shared: dict = {}
    for toy in toys:
        toy.states = shared
        toy.clear = lambda database: shared.clear()
    racers = [small(first, toys[0], 3), small(second, toys[1], 2)]
    lost = 0
    while True:
        slow, quick = dice.sample(racers, 2)
        # the slow one has read and folded; before it writes the quick one makes a step of its own
        write = slow.storage.write

        def late(change, write=write, slow=slow, quick=quick, **options):
            slow.storage.write = write
            quick.step()
            return write(change, **options)

        slow.storage.write = late
        try:
            before = cursor_of(first)
            slow._step()
        except OvertakenError:
            lost += 1
        slow.storage.write = write
        if cursor_of(first) == before:
            break
    run(racers[0])
    assert lost > 5
    assert states_of(first) == fold_all(events) == {k: v for k, v in shared.items() if v is not None}
    saved = [(entry.event.id, entry.key) for toy in toys for entry in toy.saved]
    assert sorted(saved) == expected_journal(events)


def test_a_huge_commit_is_taken_in_page_by_page(storage):
    events = [toy_event(10 + n // 7, 1, n % 7, "ab"[n % 2], begin=True) for n in range(30)]
    commit(storage, *events)
    toy = Toy()
    projector = small(storage, toy, 4)
    seen = []
    while not (step := projector.step()).idle:
        seen.append((step.events, cursor_of(storage).position, cursor_of(storage).after_event))
    sizes = [events for events, *_ in seen if events]
    assert sizes == [4] * 7 + [2]
    assert seen[-1][1:] == (1, "")
    assert any(position == 0 and after for _, position, after in seen)
    assert states_of(storage) == fold_all(events)


# --- groups -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("few", [0, 100], ids=["bit by bit", "at once"])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2), (2, 3, 0, 1)])
def test_a_groups_events_are_folded_by_its_members_whenever_they_come(storage, monkeypatch, few, order):
    monkeypatch.setattr(module, "FEW_MEMBERS", few)
    events = [
        toy_event(9, 1, 0, "g"),  # before anybody is in the group
        toy_event(10, 1, 0, "a", begin=True, join="g"),
        toy_event(11, 1, 0, "g"),
        toy_event(12, 1, 0, "a"),
    ]
    projector = small(storage, Toy())
    for number in order:
        commit(storage, events[number])
        run(projector)
    assert states_of(storage) == fold_all(events)
    assert storage.read(lambda database: groups_of(database, "toy", "a")) == ["g"]
    assert storage.read(lambda database: members_of(database, "toy", "g", limit=9)) == ["a"]


def test_a_group_may_lead_to_another_and_a_key_may_be_a_group(storage):
    events = [
        toy_event(10, 1, 0, "old", begin=True, join="token"),  # old is a key, and a group of new
        toy_event(11, 1, 0, "token"),
        toy_event(12, 1, 0, "new", begin=True, join="old"),
        toy_event(13, 1, 0, "token"),
        toy_event(14, 1, 0, "old"),
    ]
    for event in reversed(events):
        commit(storage, event)
    project(storage, Toy())
    assert states_of(storage) == fold_all(events)
    assert storage.read(lambda database: groups_of(database, "toy", "new")) == ["old", "token"]


def test_a_large_group_is_folded_in_bounded_steps_that_go_on_after_a_restart(storage, monkeypatch):
    monkeypatch.setattr(module, "FEW_MEMBERS", 3)
    keys = [f"k{n:02}" for n in range(20)]
    events = [toy_event(10, 1, n, key, begin=True, join="g") for n, key in enumerate(keys)]
    commit(storage, *events)
    toy = Toy()
    project(storage, toy)
    event = toy_event(12, 1, 0, "g")
    late = toy_event(11, 1, 0, "k05")
    commit(storage, event)
    small(storage, toy, 6).step()
    (pending,) = storage.read(lambda database: read_pending(database, "toy"))
    assert (pending.group, pending.from_event_id, pending.after_key) == ("g", event.id, "")
    folds = toy.folds
    small(storage, toy, 6).step()
    assert toy.folds - folds == 6, "a bounded number, each on from its state"
    (pending,) = storage.read(lambda database: read_pending(database, "toy"))
    assert pending.after_key == "k05"
    commit(storage, late)
    run(small(storage, toy, 6))
    assert storage.read(lambda database: read_pending(database, "toy")) == []
    assert states_of(storage) == fold_all([*events, event, late])


def test_a_key_that_names_ever_more_groups_breaks_its_projection(storage):
    toy = Toy()
    commit(storage, *(toy_event(10, 1, n, f"g{n}") for n in range(60)), toy_event(11, 1, 0, "a", begin=True))
    toy.advance = lambda key, state, entries: Folded(b"", frozenset(f"g{n}" for n in range(len(entries))) | {"g0"})
    with pytest.raises(ProjectionFaultError, match="ever more groups"):
        project(storage, toy)


# --- building again -----------------------------------------------------------------------------------


def test_another_fingerprint_builds_the_projection_again(storage):
    events = made_events(3)
    commit(storage, *events)
    project(storage, Toy("1"))
    toy = Toy("2")
    projector = small(storage, toy, 3)
    assert projector.step().rebuilding
    assert toy.cleared == 0
    assert projector.step().rebuilding
    assert toy.cleared == 1
    run(projector)
    assert states_of(storage) == fold_all(events)
    assert sorted((e.event.id, e.key) for e in toy.saved) == expected_journal(events)
    cleared = toy.cleared
    run(Projector(toy, storage))
    assert toy.cleared == cleared, "under the same fingerprint nothing is built again"


def test_a_new_epoch_builds_the_projection_again(storage):
    events = made_events(4)
    commit(storage, *events)
    toy = Toy()
    projector = project(storage, toy)
    epoch = storage.begin_epoch()
    run(projector)
    assert toy.cleared == 2
    assert cursor_of(storage).epoch == epoch
    assert states_of(storage) == fold_all(events)


def test_a_position_that_the_store_does_not_have_builds_the_projection_again(storage):
    from stellarstream_core.projection.tables import ProjectionRow

    events = made_events(4)
    commit(storage, *events)
    toy = Toy()
    project(storage, toy)
    for beyond in ({"position": 9}, {"after_event": events[0].id}):
        storage.write(lambda database, beyond=beyond: ProjectionRow.update(beyond).execute(database))
        project(storage, toy)
        assert cursor_of(storage).position == 1
        assert states_of(storage) == fold_all(events)
    assert toy.cleared == 3


def test_rebuilding_on_demand_begins_with_the_first_commit(storage):
    events = made_events(5)
    commit(storage, *events)
    toy = Toy()
    projector = project(storage, toy)
    projector.rebuild()
    cursor = cursor_of(storage)
    assert (cursor.position, cursor.clearing, cursor.target) == (0, CLEARING_OWN, 1)
    run(projector)
    assert states_of(storage) == fold_all(events)
    assert sorted((e.event.id, e.key) for e in toy.saved) == expected_journal(events)


def test_two_processes_with_other_rules_do_not_build_it_back_and_forth(storage):
    commit(storage, *made_events(6))
    old, new = project(storage, Toy("old")), Projector(Toy("new"), storage)
    run(new)
    with pytest.raises(SupersededError):
        old.step()
    assert new.step().idle


def test_what_is_left_of_a_killed_removal_is_removed_before_anything_is_folded(storage):
    events = made_events(8)
    commit(storage, *events)
    project(storage, Toy())
    for _ in range(3):
        small(storage, Toy("2"), 2).step()
    assert 0 < len(journal_of(storage)) < len(expected_journal(events))
    project(storage, Toy("2"))
    assert states_of(storage) == fold_all(events)


# --- unknown shapes and faults --------------------------------------------------------------------------


def test_unknown_shapes_are_counted_once_by_contract_and_shape(storage):
    events = [toy_event(ledger, 1, 0, unknown="(u64)" if ledger % 2 else "(sym)") for ledger in range(10, 17)]
    commit(storage, *events[3:])
    projector = small(storage, Toy(), 2)
    run(projector)
    commit(storage, *events[:3])
    run(projector)

    def read(database):
        return sorted(UnknownRow.select().tuples().execute(database))

    odd, even = [e.id for e in events if e.ledger % 2], [e.id for e in events if not e.ledger % 2]
    expected = [("toy", CONTRACT, "(sym)", 4, even[0], even[-1]), ("toy", CONTRACT, "(u64)", 3, odd[0], odd[-1])]
    assert storage.read(read) == expected
    projector.rebuild()
    run(projector)
    assert storage.read(read) == expected, "counted anew, not twice"


def test_shapes_that_somebody_invents_without_end_are_not_all_kept(storage, monkeypatch):
    monkeypatch.setattr("stellarstream_core.projection.journal.MOST_SHAPES", 5)
    commit(storage, *(toy_event(10, 1, n, unknown=f"(shape {n})") for n in range(20)))
    project(storage, Toy())

    def read(database):
        return {row.shape: row.count for row in UnknownRow.select().execute(database)}

    found = storage.read(read)
    assert len(found) == 6
    assert sum(found.values()) == 20
    assert found[OTHER_SHAPES] == 15


@pytest.mark.parametrize("method", ["route", "advance", "save", "reached", "clear"])
def test_a_projection_that_raises_is_told_and_nothing_of_the_step_is_kept(storage, method):
    commit(storage, *made_events(9))
    toy = Toy()
    toy.breaks[method] = KeyError("what it wanted")
    with pytest.raises(ProjectionFaultError, match=rf"{method}\(\) raised KeyError: 'what it wanted'") as raised:
        project(storage, toy)
    assert isinstance(raised.value.__cause__, KeyError)
    assert states_of(storage) == {}
    project(storage, Toy())  # as the next process does
    assert states_of(storage) == fold_all(made_events(9))


def test_a_statement_that_the_database_refuses_is_the_projections_fault(storage):
    commit(storage, *made_events(9))
    toy = Toy()
    toy.save = lambda database, *_: database.execute_sql(
        "INSERT INTO projections SELECT * FROM projections"
    )  # a key that is there already
    with pytest.raises(ProjectionFaultError, match="IntegrityError"):
        project(storage, toy)


def test_a_missing_table_is_told_as_what_it_is(storage):
    commit(storage, *made_events(9))
    toy = Toy()
    toy.save = lambda database, *_: database.execute_sql("INSERT INTO no_such_table VALUES (1)")
    with pytest.raises((StorageError, ProjectionFaultError), match="no_such_table"):
        project(storage, toy)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("route", None),
        ("route", Routed([("a", made_event(99))])),
        ("route", Routed([("", made_event(99))])),
        ("advance", None),
        ("advance", Folded("text")),
    ],
)
def test_a_projection_that_breaks_its_promise_is_told(storage, method, answer):
    from stellarstream_core.projections import Entry

    commit(storage, toy_event(10, 1, 0, "a", begin=True))
    toy = Toy()
    if isinstance(answer, Routed):
        answer = Routed([Entry(*entry) for entry in answer.entries])
    setattr(toy, method, lambda *_: answer)
    with pytest.raises(ProjectionFaultError, match=method):
        project(storage, toy)


def test_why_it_stopped_is_kept_until_it_goes_on(storage):
    commit(storage, toy_event(10, 1, 0, "a", begin=True))
    projector = project(storage, Toy())
    projector.stop("route() raised KeyError")
    assert cursor_of(storage).trouble == "route() raised KeyError"
    commit(storage, toy_event(11, 1, 0, "a"))
    run(projector)
    assert cursor_of(storage).trouble is None


def test_who_has_more_to_seal_is_called_again_until_it_has_not(storage):
    commit(storage, toy_event(10, 1, 0, "a", begin=True))
    toy = Toy()
    toy.more = 4
    project(storage, toy)
    assert len(toy.reaches) == 4
    project(storage, toy)
    assert len(toy.reaches) == 5, "once at each start"


def test_an_event_that_was_lost_and_brought_back_is_folded_once(storage):
    events = [toy_event(ledger, 1, 0, "a", begin=ledger == 10) for ledger in range(10, 15)]
    commit(storage, *events)
    toy = Toy()
    project(storage, toy)
    before = states_of(storage)
    lost = events[2]
    storage.write(lambda database: database.execute_sql(f"DELETE FROM events WHERE id = '{lost.id}'"))
    commit(storage, lost)
    project(storage, toy)
    assert states_of(storage) == before
    assert len(journal_of(storage)) == len(events)
    assert [entry.event for entry in toy.saved] == events, "the second time it is nothing new"
