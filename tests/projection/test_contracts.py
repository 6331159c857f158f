"""Contracts come and go: each is taken in alone and once, and nothing of the others is built again."""

from __future__ import annotations

import random
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stellarstream_core.plugins import CORE_MODELS
from stellarstream_core.projection import projector as module
from stellarstream_core.projection.contracts import Phase, Taken, read_contracts
from stellarstream_core.projection.faults import ProjectionFaultError, SupersededError
from stellarstream_core.projection.journal import CLEARED, CLEARING_JOURNAL, CLEARING_OWN, read_pending
from stellarstream_core.projection.reading import reached_in
from stellarstream_core.projection.status import read_projections
from stellarstream_core.projection.tables import UnknownRow
from stellarstream_core.scope import Scope
from stellarstream_core.testing.scripted import made_contract
from stellarstream_sql.storage import open_sqlite
from tests.projection.conftest import commit, project, run, states_of
from tests.projection.test_projector import Dies, cursor_of, expected_journal, journal_of, small
from tests.projection.toy import CONTRACT, OTHER, Toy, fold_all, toy_event

THIRD = made_contract(3)
ALL = (CONTRACT, OTHER, THIRD)
KEYS = "abcd"


def contracts_of(storage) -> dict[str, Taken]:
    return storage.read(lambda database: read_contracts(database, "toy"))


def phases_of(storage) -> dict[str, Phase]:
    return {contract: taken.phase for contract, taken in contracts_of(storage).items()}


def reach_of(storage) -> dict[str, int]:
    found = storage.read(lambda database: reached_in(database, "toy", ALL))
    return {contract: at.ledger for contract, at in found.items()}


def unknown_of(storage) -> dict[tuple[str, str], int]:
    rows = storage.read(lambda database: list(UnknownRow.select().execute(database)))
    return {(row.contract_id, row.shape): row.count for row in rows}


def counted(events) -> dict[tuple[str, str], int]:
    import json

    found: dict[tuple[str, str], int] = {}
    for event in events:
        if shape := json.loads(event.value).get("unknown"):
            found[event.contract_id, shape] = found.get((event.contract_id, shape), 0) + 1
    return found


def made(seed, ledgers=16):
    """Return events of three contracts whose keys they share, and join each other's groups."""
    dice = random.Random(seed)
    events = []
    for ledger in range(10, 10 + ledgers):
        for k in range(dice.randint(0, 4)):
            what = {"begin": dice.random() < 0.4}
            if dice.random() < 0.35:
                what["join"] = dice.choice([*KEYS, "x/", "y/"])
            if dice.random() < 0.2:
                what["unknown"] = "(u64)"
            of = dice.sample([*KEYS, "x/", "y/"], dice.choice([1, 1, 2]))
            events.append(toy_event(ledger, 1, k, *of, contract=dice.choice(ALL), **what))
    return events


def of(events, *contracts):
    return [event for event in events if event.contract_id in contracts]


def check(storage, toy, events):
    """Hold everything that is stored against the events alone."""
    assert states_of(storage) == fold_all(events)
    assert {key: state for key, state in toy.states.items() if state is not None} == fold_all(events)
    assert [tuple(entry) for entry in journal_of(storage)] == expected_journal(events)
    assert sorted((e.event.id, e.key) for e in toy.saved) == expected_journal(events), "each entry was saved once"
    assert unknown_of(storage) == counted(events)


def with_contracts(toy, *contracts):
    """Return the projection of a process that begins with these contracts, over the same database."""
    other = Toy(contracts=contracts)
    other.saved, other.states = toy.saved, toy.states
    return other


def test_a_contract_that_comes_is_taken_in_alone(storage, monkeypatch):
    storage.want(Scope.of([CONTRACT, OTHER]), 10)
    mine = [toy_event(10 + n, 1, 0, "a", begin=True) for n in range(4)]
    came = [toy_event(10 + n, 1, 1, "b", contract=OTHER, begin=True) for n in range(5)]
    commit(storage, *mine, *came, scope=(CONTRACT, OTHER))
    toy = Toy()
    project(storage, toy)
    before = states_of(storage)
    toy = with_contracts(toy, CONTRACT, OTHER)
    projector = small(storage, toy, 2)
    projector.step()
    assert phases_of(storage) == {CONTRACT: Phase.KNOWN, OTHER: Phase.COMING}
    saved = len(toy.saved)
    seen = []
    while not projector.step().idle:
        seen.append(contracts_of(storage)[OTHER].after_event)
        if phases_of(storage)[OTHER] is Phase.COMING:
            assert reach_of(storage) == {CONTRACT: 14}, "that of the others stays, of this nothing is told"
            (state,) = read_projections(storage, ["toy"])
            assert (state.coming, state.complete, state.rebuilding) == (1, False, False)
            assert state.summary == "taking in 1 contract that came"
    assert seen[:4] == [came[1].id, came[3].id, came[4].id, ""]
    assert toy.cleared == 0
    assert [entry.event for entry in toy.saved[saved:]] == came
    assert states_of(storage).items() >= before.items()
    assert reach_of(storage) == {CONTRACT: 14, OTHER: 14}
    assert read_projections(storage, ["toy"])[0].summary == "up to the last commit"
    check(storage, toy, [*mine, *came])


def test_one_that_goes_keeps_what_it_has_and_is_not_followed(storage, logged):
    storage.want(Scope.of([CONTRACT, OTHER]), 10)
    events = made(1)
    first, later = of(events, CONTRACT, OTHER)[:10], of(events, CONTRACT, OTHER)[10:]
    commit(storage, *first, scope=(CONTRACT, OTHER))
    toy = Toy(contracts=[CONTRACT, OTHER])
    project(storage, toy)
    states = states_of(storage)
    toy = with_contracts(toy, CONTRACT)
    projector = project(storage, toy)
    assert states_of(storage) == states
    assert toy.cleared == 0
    assert phases_of(storage) == {CONTRACT: Phase.KNOWN, OTHER: Phase.AWAY}
    assert reach_of(storage).keys() == {CONTRACT}
    commit(storage, *later, scope=(CONTRACT, OTHER))
    run(projector)
    assert states_of(storage) == fold_all([*first, *of(later, CONTRACT)])
    toy = with_contracts(toy, CONTRACT, OTHER)
    project(storage, toy)
    check(storage, toy, [*first, *later])
    assert toy.cleared == 0


def test_one_that_comes_back_with_nothing_new_is_not_folded_again(storage):
    events = made(2)
    commit(storage, *events, scope=ALL)
    toy = Toy(contracts=ALL)
    project(storage, toy)
    toy = with_contracts(toy, CONTRACT)
    project(storage, toy)
    toy = with_contracts(toy, *ALL)
    projector = small(storage, toy, 3)
    run(projector)
    assert toy.folds == 0
    check(storage, toy, events)


@pytest.mark.parametrize("what", ["known", "away", "coming"])
def test_a_contract_whose_own_fingerprint_changes_builds_all_again(storage, what):
    events = made(3)
    commit(storage, *events, scope=ALL)
    toy = Toy(contracts=ALL if what != "coming" else [CONTRACT])
    project(storage, toy)
    if what == "away":
        toy = with_contracts(toy, CONTRACT, THIRD)
        project(storage, toy)
    if what == "coming":
        small(storage, with_contracts(toy, *ALL)).step()
    toy = with_contracts(toy, *ALL)
    toy.contracts[OTHER] = "2"
    project(storage, toy)
    assert toy.cleared == 1
    assert contracts_of(storage)[OTHER] == Taken("2", Phase.KNOWN)
    check(storage, toy, events)


def test_a_changed_contract_that_is_not_followed_changes_nothing(storage):
    commit(storage, *made(3), scope=ALL)
    toy = Toy(contracts=ALL)
    project(storage, toy)
    toy = with_contracts(toy, CONTRACT)
    project(storage, toy)
    assert toy.cleared == 0
    project(storage, Toy("2", contracts=[CONTRACT]))
    assert contracts_of(storage).keys() == {CONTRACT}, "built again, it knows nothing of the others"


def test_before_the_first_commit_is_taken_in_a_contract_is_simply_there(storage):
    events = made(4)
    commit(storage, *events, scope=ALL)
    toy = Toy()
    small(storage, toy).step()
    toy = with_contracts(toy, *ALL)
    small(storage, toy).step()
    assert set(phases_of(storage).values()) == {Phase.KNOWN}
    project(storage, toy)
    check(storage, toy, events)


def test_contracts_may_come_while_a_projection_runs(storage):
    events = made(5)
    commit(storage, *events, scope=ALL)
    toy = Toy()
    projector = project(storage, toy)
    toy.contracts[OTHER] = "1"
    run(projector)
    check(storage, toy, of(events, CONTRACT, OTHER))


def test_two_processes_with_other_contracts_do_not_take_them_in_and_out(storage):
    commit(storage, *made(6), scope=ALL)
    toy = Toy()
    few, more = project(storage, toy), project(storage, with_contracts(toy, *ALL))
    commit(storage, toy_event(90, 1, 0, "a"), scope=ALL)
    with pytest.raises(SupersededError):
        few.step()
    run(more)
    assert set(phases_of(storage).values()) == {Phase.KNOWN}


def test_contracts_without_what_they_depend_on_break_the_promise(storage):
    toy = Toy()
    toy.contracts = [CONTRACT]
    with pytest.raises(ProjectionFaultError, match="contracts is list where a mapping is due"):
        project(storage, toy)


def test_commits_that_come_meanwhile_are_folded_in_turns_and_each_event_once(storage):
    storage.want(Scope.of(ALL), 10)
    first = [toy_event(20 + n, 1, 0, "a", contract=OTHER, begin=True, unknown="(u64)") for n in range(8)]
    commit(storage, *first, scope=ALL)
    toy = Toy()
    project(storage, toy)
    toy = with_contracts(toy, CONTRACT, OTHER)
    projector = small(storage, toy, 2)
    projector.step()
    events = list(first)
    for n in range(4):  # below the paging's place, at it, and above it
        late = [
            toy_event(ledger, 2, n, "a", contract=contract, unknown="(sym)")
            for ledger in (12, 20 + 2 * n, 21 + 2 * n, 40)
            for contract in (CONTRACT, OTHER)
            if contract == OTHER or ledger == 12
        ]
        commit(storage, *{event.id: event for event in late}.values(), scope=ALL)
        events += {event.id: event for event in late}.values()
        position = cursor_of(storage).position
        projector.step()
        projector.step()
        assert cursor_of(storage).position == position + 1 or cursor_of(storage).after_event, "commits have their turn"
    run(projector)
    check(storage, toy, events)


def test_a_commit_that_is_taken_in_halfway_when_a_contract_comes_is_taken_in_once(storage):
    commit(storage, toy_event(9, 1, 0, "a"))
    toy = Toy()
    project(storage, toy)
    events = [
        toy_event(10 + n, 1, 0, "ab"[n % 2], contract=(CONTRACT, OTHER)[n % 3 == 0], begin=True) for n in range(20)
    ]
    commit(storage, *events, scope=ALL)
    small(storage, toy, 4).step()
    assert cursor_of(storage).after_event
    toy = with_contracts(toy, CONTRACT, OTHER)
    run(small(storage, toy, 3))
    check(storage, toy, [toy_event(9, 1, 0, "a"), *events])


def test_far_behind_the_commits_come_first(storage, monkeypatch):
    monkeypatch.setattr(module, "CLOSE_BEHIND", 2)
    commit(storage, toy_event(9, 1, 0, "a", contract=OTHER), scope=ALL)
    toy = Toy()
    project(storage, toy)
    events = [toy_event(10 + n, 1, 0, "a", contract=OTHER, begin=True) for n in range(8)]
    for event in events:
        commit(storage, event, scope=ALL)
    toy = with_contracts(toy, CONTRACT, OTHER)
    projector = small(storage, toy, 1)
    projector.step()
    while cursor_of(storage).position < 6:
        projector.step()
        assert contracts_of(storage)[OTHER].after_event == ""
    run(projector)
    check(storage, toy, [toy_event(9, 1, 0, "a", contract=OTHER), *events])


def test_members_that_are_folded_for_a_contract_that_comes_hold_up_no_others_reach(storage, monkeypatch):
    monkeypatch.setattr(module, "FEW_MEMBERS", 0)
    storage.want(Scope.of([CONTRACT, OTHER]), 10)
    members = [toy_event(12, 1, k, f"k{k}", begin=True, join="g/") for k in range(5)]
    group = toy_event(13, 1, 0, "g/", contract=OTHER)
    commit(storage, *members, group, first=10, last=20, scope=(CONTRACT, OTHER))
    toy = Toy()
    project(storage, toy)
    toy = with_contracts(toy, CONTRACT, OTHER)
    projector = small(storage, toy, 2)
    projector.step()
    projector.step()
    (pending,) = storage.read(lambda database: read_pending(database, "toy"))
    assert (pending.group, pending.from_event_id, pending.floor) == ("g/", group.id, None)
    while storage.read(lambda database: read_pending(database, "toy")):
        assert reach_of(storage) == {CONTRACT: 20}
        projector.step()
    run(projector)
    assert reach_of(storage) == {CONTRACT: 20, OTHER: 20}
    check(storage, toy, [*members, group])


class Mortal:
    """Steps, each in a process of its own, some of which end before, inside or after their write."""

    def __init__(self, storage, monkeypatch, seed):
        self.storage, self.monkeypatch, self.dice = storage, monkeypatch, random.Random(seed)
        self.deaths = 0

    def step(self, toy, size=2):
        """Make a step or die in it; tell whether there was nothing to do."""
        where = self.dice.choice(["before", "inside", "after", "", ""])
        saved, states, cleared = list(toy.saved), dict(toy.states), toy.left
        write = self.storage.write

        def dying(change, **options):
            def inside(database):
                result = change(database)
                if where == "inside":
                    raise Dies
                return result

            if where == "before":
                raise Dies
            write(inside, **options)
            if where == "after":
                raise Dies

        with self.monkeypatch.context() as patched:
            if where:
                patched.setattr(self.storage, "write", dying)
            try:
                return small(self.storage, toy, size).step().idle
            except Dies:
                self.deaths += 1
                if where != "after":
                    toy.saved[:], toy.left = saved, cleared
                    toy.states.clear()
                    toy.states.update(states)
                return False


@pytest.mark.parametrize("seed", range(3))
def test_processes_that_end_while_a_contract_is_taken_in_lose_nothing_and_double_nothing(storage, monkeypatch, seed):
    monkeypatch.setattr(module, "FEW_MEMBERS", 1)
    events = made(seed + 20)
    cut = len(events) // 2
    commit(storage, *events[:cut], scope=ALL)
    toy = Toy()
    project(storage, toy)
    toy = with_contracts(toy, *ALL)
    mortal = Mortal(storage, monkeypatch, seed)
    for event in events[cut:]:
        mortal.step(toy)
        commit(storage, event, scope=ALL)
    for _ in range(1_000):
        if mortal.step(toy):
            break
    assert mortal.deaths > 10
    assert toy.cleared == 0
    run(small(storage, toy))
    check(storage, toy, events)


def test_processes_that_end_while_the_last_build_is_removed_leave_the_rest_to_the_next(storage, monkeypatch):
    events = made(30)
    commit(storage, *events, scope=ALL)
    project(storage, Toy(contracts=ALL))
    toy = Toy("2", contracts=ALL)
    toy.left = 6
    mortal = Mortal(storage, monkeypatch, 4)
    seen = []
    for _ in range(1_000):
        idle = mortal.step(toy)
        seen.append(cursor_of(storage).clearing)
        if seen[-1] == CLEARING_OWN:
            assert len(journal_of(storage)) == len(expected_journal(events))
        if idle:
            break
    begun = seen[seen.index(CLEARING_OWN) :]
    assert begun == sorted(begun, key=[CLEARING_OWN, CLEARING_JOURNAL, CLEARED].index)
    assert toy.left == 0
    assert begun.count(CLEARING_OWN) >= 6
    assert begun.count(CLEARING_JOURNAL) > 3
    assert mortal.deaths > 5
    check(storage, toy, events)


SAID = st.fixed_dictionaries(
    {"begin": st.booleans()}, optional={"join": st.sampled_from([*KEYS, "x/"]), "unknown": st.just("(u64)")}
)
EVENTS = st.lists(
    st.tuples(
        st.integers(10, 16),
        st.integers(0, 3),
        st.sampled_from(ALL),
        st.sets(st.sampled_from([*KEYS, "x/"]), max_size=2),
        SAID,
    ),
    max_size=20,
    unique_by=lambda event: event[:2],
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), drawn=EVENTS, few=st.integers(0, 2), size=st.integers(1, 4), close=st.sampled_from([0, 1, 200]))
def test_whichever_contracts_come_and_go_the_end_is_that_of_a_fresh_build(monkeypatch, data, drawn, few, size, close):
    monkeypatch.setattr(module, "FEW_MEMBERS", few)
    monkeypatch.setattr(module, "CLOSE_BEHIND", close)
    events = [toy_event(ledger, 1, k, *sorted(keys), contract=of, **said) for ledger, k, of, keys, said in drawn]
    order = data.draw(st.permutations(events))
    with closing(open_sqlite("sqlite:///:memory:", [CORE_MODELS])) as storage:
        storage.migrate()
        toy = Toy(contracts=data.draw(st.sets(st.sampled_from(ALL))))
        at = 0
        while at < len(order):
            if data.draw(st.booleans()):
                toy = with_contracts(toy, *data.draw(st.sets(st.sampled_from(ALL))))
            projector = small(storage, toy, size)
            count = data.draw(st.integers(1, 6))
            commit(storage, *order[at : at + count], scope=ALL)
            at += count
            for _ in range(data.draw(st.integers(0, 8))):
                projector.step()
        toy = with_contracts(toy, *ALL)
        run(small(storage, toy, size))
        check(storage, toy, events)
        assert set(phases_of(storage).values()) == {Phase.KNOWN}
