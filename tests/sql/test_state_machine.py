"""Any sequence of windows, true or lying, gives what a few lines of plain Python say it must."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from stellarstream_core.digest import digest_events
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import EVERYTHING, Scope
from stellarstream_core.sources import Window
from stellarstream_core.testing.scripted import made_history
from stellarstream_core.testing.storage_conformance import ALL, A, B, C, stored
from stellarstream_sql.batch import tx_order
from stellarstream_sql.storage import SqlStorage, open_postgresql, open_sqlite

LEDGERS = 30
HISTORY = made_history(LedgerRange(1, LEDGERS), [A, B, C, None], seed=11)
HASHES = sorted({event.tx_hash for event in HISTORY})
SCOPES = [(A,), (B,), (A, B), (B, C), (A, B, C), (EVERYTHING,)]


class Model:
    """What the database must hold, without a database."""

    def __init__(self) -> None:
        self.events: dict[str, tuple] = {}
        self.covered: dict[str, RangeSet] = {}
        self.start: dict[str, int] = {}
        self.position = 0

    def coverage(self, contract: str) -> RangeSet:
        return self.covered.get(contract, RangeSet()) | self.covered.get(EVERYTHING, RangeSet())

    def commit(self, window: Window):
        """Return the new events, how many were known and the ledgers in conflict."""
        identities = {(event.tx_hash, event.event_index): key for key, event in self.events.items()}
        places: dict[str, list] = {}
        for event in self.events.values():
            places.setdefault(event.tx_hash, []).append((event.ledger, tx_order(event.id)))
        known = {event.id for event in window.events if self.events.get(event.id) == event}
        offered: dict[str, tuple] = {}
        conflicts: set[int] = set()
        for event in window.events:
            if event.id in known:
                offered.setdefault(event.tx_hash, (event.ledger, tx_order(event.id)))
                continue
            here = event.ledger, tx_order(event.id)
            told = [*places.get(event.tx_hash, []), *([offered[event.tx_hash]] if event.tx_hash in offered else [])]
            offered.setdefault(event.tx_hash, here)
            if (
                event.id in self.events
                or (event.tx_hash, event.event_index) in identities
                or any(place != here for place in told)
            ):
                conflicts.add(event.ledger)
        new = [e for e in window.events if e.id not in known and e.ledger not in conflicts]
        rest = RangeSet([window.range]) - RangeSet([(ledger, ledger) for ledger in conflicts])
        lacking = any(rest - self.coverage(contract) for contract in window.scope)
        if new or lacking:
            self.position += 1
        self.events |= {event.id: event for event in new}
        for contract in window.scope:
            self.covered[contract] = self.covered.get(contract, RangeSet()) | rest
        return new, len(known), sorted(conflicts)


class Machine(RuleBasedStateMachine):
    """Commits windows and compares."""

    def __init__(self, open_new: Callable[[], SqlStorage]) -> None:
        super().__init__()
        self.open_new = open_new

    @initialize()
    def begin(self) -> None:
        self.storage = self.open_new()
        self.storage.migrate()
        self.model = Model()

    @rule(scope=st.sampled_from(SCOPES), start=st.integers(1, LEDGERS))
    def want(self, scope, start) -> None:
        self.storage.want(Scope.of(scope), start)
        for contract in scope:
            self.model.start.setdefault(contract, start)

    @rule(
        scope=st.sampled_from(SCOPES),
        first=st.integers(1, LEDGERS),
        length=st.integers(0, 12),
        lies=st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["value", "hash"]), st.integers(0, 3)), max_size=2),
    )
    def commit(self, scope, first, length, lies) -> None:
        within = LedgerRange(first, min(LEDGERS, first + length))
        chosen = Scope.of(scope)
        events = [e for e in HISTORY if within.holds(e.ledger) and chosen.holds(e.contract_id)]
        for number, what, how in lies:
            if events:
                at = number % len(events)
                change = {"value": bytes([how]) * 4} if what == "value" else {"tx_hash": HASHES[how * 5]}
                events[at] = events[at]._replace(**change)
        window = Window(within, chosen, events, "machine")
        new, known, conflicts = self.model.commit(window)
        before = self.model.position
        result = self.storage.commit(window)
        assert (list(result.new), result.known) == (new, known)
        assert [ledger for r in result.conflicts for ledger in range(r.first, r.last + 1)] == conflicts
        assert self.storage.totals().position == before
        if result.commit is not None:
            assert list(self.storage.events_of_commit(result.commit)) == new

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        if not hasattr(self, "storage"):
            return
        expected = sorted(self.model.events.values())
        assert digest_events(stored(self.storage)) == digest_events(expected)
        assert self.storage.totals().events == len(expected)
        for contract in (A, B, C, EVERYTHING):
            covered = self.model.coverage(contract)
            assert self.storage.coverage(contract, ALL) == covered
            assert RangeSet([f.range for f in self.storage.covered_ranges(contract, ALL)]) == covered
        for contract, state in self.storage.sync_states().items():
            start = self.model.start[contract]
            reached = self.model.coverage(contract).unbroken_from(start)
            assert (state.start_ledger, state.last_ledger_sequence) == (start, reached)

    def teardown(self) -> None:
        if hasattr(self, "storage"):
            self.storage.close()


def run_machine(open_new: Callable[[], SqlStorage], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        lambda: Machine(open_new),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_sequence_on_sqlite() -> None:
    run_machine(lambda: open_sqlite("sqlite://"), examples=60, steps=15)


def test_any_sequence_on_postgresql(postgres_url) -> None:
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        schema = connection.execute("SELECT current_schema()").fetchone()[0]

        def open_new() -> SqlStorage:
            fresh = f"{schema}_{uuid4().hex[:8]}"
            connection.execute(f'CREATE SCHEMA "{fresh}"')
            made.append(fresh)
            return open_postgresql(postgres_url.replace(schema, fresh))

        made: list[str] = []
        try:
            run_machine(open_new, examples=12, steps=12)
        finally:
            for fresh in made:
                connection.execute(f'DROP SCHEMA "{fresh}" CASCADE')


@pytest.mark.parametrize("kind", ["value", "hash"])
def test_the_model_itself_knows_a_lie(kind) -> None:
    model = Model()
    event = next(e for e in HISTORY if e.contract_id == A)
    one = Window(LedgerRange(event.ledger, event.ledger), Scope.of([A]), [event], "x")
    assert model.commit(one) == ([event], 0, [])
    other = event._replace(value=b"lie.") if kind == "value" else event._replace(tx_hash="ab" * 32)
    assert model.commit(Window(one.range, one.scope, [other], "x")) == ([], 0, [event.ledger])


def test_closing_a_database_in_memory_forgets_it() -> None:
    with closing(open_sqlite("sqlite://")) as storage:
        storage.migrate()
    with closing(open_sqlite("sqlite://")) as storage:
        assert storage.schema().applied == ()
