"""Finding events: any query in any pages gives what plain Python gives, and every page is a walk along an index."""

from __future__ import annotations

import dataclasses
import itertools
import re
from contextlib import closing, contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stellarstream_core.storage import EventQuery
from stellarstream_core.testing.conformance_queries import TOPICS, check_page, made_mixture, read_through
from stellarstream_core.testing.conformance_windows import A, B, C
from stellarstream_core.testing.scripted import made_contract, made_event
from stellarstream_sql import finding, reading
from stellarstream_sql import statements as texts
from stellarstream_sql.batch import tx_order
from stellarstream_sql.rows import to_row
from tests.sql.conftest import open_url

HISTORY = made_mixture(1, 25, seed=7)
IDS = [event.id for event in HISTORY]

queries = st.builds(
    EventQuery,
    contracts=st.lists(st.sampled_from([A, B, C, made_contract(99)]), max_size=4).map(tuple),
    topics=st.lists(st.none() | st.sampled_from([*TOPICS, b"none"]), max_size=3).map(tuple),
    tx_hash=st.none() | st.sampled_from(sorted({event.tx_hash for event in HISTORY})),
    first=st.sampled_from([1, 1, 1, 5, 20]),
    last=st.sampled_from([2**31 - 1, 25, 21, 6]),
    descending=st.booleans(),
    after=st.just("") | st.sampled_from(IDS),
)


def fill(storage, events) -> None:
    """Write events and their transactions past all checks, quickly."""
    places = {event.tx_hash: [event.tx_hash, event.ledger, None] for event in events}
    for event in events:
        places[event.tx_hash][2] = places[event.tx_hash][2] or tx_order(event.id)
    with storage._backend.write() as transaction:
        transaction.run("DELETE FROM transactions WHERE ledger IN (SELECT ledger FROM events)")
        transaction.run("DELETE FROM events")
        write(transaction, events, places.values())


def write(transaction, events, places) -> None:
    for place in places:
        transaction.run(
            "INSERT INTO transactions VALUES (?, ?, ?) ON CONFLICT (tx_hash) DO UPDATE "
            "SET tx_order = coalesce(transactions.tx_order, excluded.tx_order)",
            place,
        )
    transaction.add_events([to_row(event, (1,)) for event in events])


numbers = st.integers(0, len(HISTORY) - 1)
scenes = {
    "query": queries,
    "absent": st.sets(numbers),
    "steps": st.lists(st.tuples(st.integers(1, 40), st.sets(numbers, max_size=6)), max_size=12),
    "bounds": st.tuples(st.sampled_from([1, 7, 40, 20_000]), st.sampled_from([1, 2, 256]), st.sampled_from([1, 4, 99])),
}


def play(storage, query, absent, steps, bounds) -> None:
    """Page through a query by limits of the scene's, while absent events arrive between the pages."""
    present = set(range(len(HISTORY))) - absent
    fill(storage, [HISTORY[number] for number in sorted(present)])
    rest = query
    with pytest.MonkeyPatch.context() as patch:
        for name, bound in zip(("BUDGET", "FIRST_STEP", "LONGEST_STEP"), bounds, strict=True):
            patch.setattr(finding, name, bound)
        for limit, late in steps:
            rest = check_page(storage, [HISTORY[number] for number in present], rest, limit)
            if rest is None:
                return
            new = [HISTORY[number] for number in sorted(late - present)]
            present |= late
            with storage._backend.write() as transaction:
                write(transaction, new, [(e.tx_hash, e.ledger, tx_order(e.id)) for e in new])
        read_through(storage, [HISTORY[number] for number in present], rest, 5)


@contextmanager
def opened(url):
    with closing(open_url(url)) as storage:
        storage.migrate()
        yield storage


def test_any_pages_on_sqlite_are_those_of_plain_python():
    with opened("sqlite://") as storage:

        @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
        @given(**scenes)
        def pages(**scene):
            play(storage, **scene)

        pages()


def test_any_pages_on_postgresql_are_those_of_plain_python(postgres_url):
    with opened(postgres_url) as storage:

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(**scenes)
        def pages(**scene):
            play(storage, **scene)

        pages()


# --- what a page costs -------------------------------------------------------------------------------


class Looking:
    """Counts the rows that walks look at, and keeps the texts they run."""

    def __init__(self, monkeypatch) -> None:
        self.rows = 0
        self.texts: list[tuple[str, tuple]] = []
        query = finding.query

        def counted(database, sql, values):
            rows = query(database, sql, values)
            if "looked" in sql:
                self.rows += sum(count or 0 for _, count in rows)
                self.texts.append((sql, values))
            return rows

        monkeypatch.setattr(finding, "query", counted)


@pytest.fixture
def looking(monkeypatch) -> Looking:
    return Looking(monkeypatch)


def many(count: int, per_ledger: int = 50):
    """Many events of A, a few of B, and three of C: at the beginning, in the middle and at the end."""
    for number in range(count):
        contract = C if number in {0, count // 2, count - 1} else B if number % 50 == 7 else A
        yield made_event(10 + number // per_ledger, 1, number % per_ledger, contract)


COSTS = [
    (EventQuery(), 11),
    (EventQuery((A,)), 11),
    (EventQuery((C,)), 3),
    (EventQuery((A, B, C, made_contract(99))), 25),
    (EventQuery((A,), first=60), 11),
    (EventQuery((C,), last=20), 1),
    (EventQuery((A, B, C), (None,)), 256 * 3),
    (EventQuery((A,), (b"none",)), 1_000 + 4096),
    (EventQuery((), (b"none",)), 1_000 + 4096),
    (EventQuery((A, B, C), (b"none",)), 1_000 + 4096),
]


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
def test_a_page_looks_at_a_bounded_number_of_rows(storage, looking, monkeypatch, descending):
    monkeypatch.setattr(finding, "BUDGET", 1_000)
    fill(storage, list(many(8_000)))
    for query, rows in COSTS:
        looking.rows = 0
        page = storage.find_events(dataclasses.replace(query, descending=descending), 10)
        assert looking.rows <= rows, query
        if query.topics == (b"none",):
            assert (list(page.events), page.resume is None) == ([], False)


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
def test_sqlite_walks_one_index_and_sorts_nothing(tmp_path, looking, descending):
    with opened(f"sqlite:///{tmp_path / 'plan.db'}") as storage:
        fill(storage, HISTORY)
        run_queries(storage, descending)
        plans = sqlite_plans(storage, looking)
    key = r"\(([a-z_,]+)\)>\([?,]+\) AND \(\1\)<\([?,]+\)"  # of both ends, as many columns
    for plan in plans:
        (step,) = [step for step in plan if "events" in step]
        assert re.fullmatch(rf"SEARCH events USING (?:PRIMARY KEY|(?:COVERING )?INDEX \w+) \({key}\)", step)
        assert not any("B-TREE" in step for step in plan), plan


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
def test_postgresql_walks_one_index_and_sorts_nothing(postgres_url, looking, monkeypatch, descending, mode):
    monkeypatch.setattr(finding, "FIRST_STEP", 4096)  # the longer a step, the more a planner is drawn to sorting
    with opened(postgres_url) as storage:
        fill(storage, list(many(20_000)))
        with storage._backend.write() as transaction:
            transaction.run("ANALYZE events")
        run_queries(storage, descending)
    for plan in postgresql_plans(postgres_url, looking, mode):
        assert not re.search("Sort|Seq Scan|Bitmap|(?<!One-Time )Filter: [^f]", plan), plan
        (index,) = re.findall(r"Index (?:Only )?Scan (?:Backward )?using (\w+) on events", plan)
        (condition,) = re.findall(r"Index Cond: (.*)", plan)
        for part in CONDITIONS[index]:
            assert part in condition, plan


CONDITIONS = {
    "events_pkey": ("ROW(ledger, id) >", "ROW(ledger, id) <"),
    "events_contract": ("contract_id = ANY", "ROW(ledger, id) >", "ROW(ledger, id) <"),
    "events_identity": ("ledger =", "tx_hash =", "event_index >", "event_index <"),
}


def run_queries(storage, descending) -> None:
    """Ask queries of every kind."""
    tx_hash = storage.find_events(EventQuery(), 1).events[0].tx_hash
    for query in (
        EventQuery((A,)),
        EventQuery((C,)),
        EventQuery((C, made_contract(99)), (None, b"none")),
        EventQuery((), (b"none",)),
        EventQuery((A,), (b"none",), first=12, last=14),
        EventQuery(tx_hash=tx_hash),
        EventQuery((A,), (b"none",), tx_hash),
    ):
        storage.find_events(dataclasses.replace(query, descending=descending), 50)


def sqlite_plans(storage, looking):
    """Return the plan of each text that was run."""
    return storage.read(
        lambda database: [
            [row[3] for row in reading.query(database, f"EXPLAIN QUERY PLAN {sql}", values)]
            for sql, values in looking.texts
        ]
    )


def postgresql_plans(url, looking, mode):
    """Yield the plan of each text that was run, as a prepared statement gets it."""
    import psycopg

    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(texts.WALKING_POSTGRESQL.prepare)
        connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        for sql, values in looking.texts:
            number = itertools.count(1)
            connection.execute(f"PREPARE walk AS {re.sub('[?]', lambda _: f'${next(number)}', sql)}")  # noqa: B023 - used at once
            marks = ", ".join(["%s"] * len(values))
            plan = connection.execute(f"EXPLAIN EXECUTE walk ({marks})", values).fetchall()
            connection.execute("DEALLOCATE walk")
            yield "\n".join(row[0] for row in plan)


def test_events_are_read_by_their_keys(tmp_path):
    with opened(f"sqlite:///{tmp_path / 'plan.db'}") as storage:
        plan = storage.read(
            lambda database: reading.query(database, f"EXPLAIN QUERY PLAN {texts.events_at(2)}", (1, IDS[0], 2, IDS[1]))
        )
    assert plan[-1][3] == "SEARCH e USING PRIMARY KEY (ledger=? AND id=?)"
