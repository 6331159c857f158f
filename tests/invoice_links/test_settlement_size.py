"""However many links and streams a receiver has: what one settle reads is bounded, and found by indexes."""

from __future__ import annotations

import re
from itertools import islice
from uuid import uuid4

import pytest

from stellarstream_core.storage import Storage
from stellarstream_invoice_links.judging import MOST_CHOICES
from stellarstream_invoice_links.links import take_turn
from stellarstream_invoice_links.model import LinkTerms
from stellarstream_nebula import bulk
from stellarstream_nebula.model import V1
from tests.invoice_links.kit import COIN, ONE, OTHER, RECEIVER
from tests.invoice_links.settle_kit import (
    BEGAN,
    HOUR,
    START,
    Payments,
    ask,
    claim,
    completed,
    index,
    outcomes,
    read_all_arguments,
    submit,
    take_back,
    told,
    verdicts,
)

MANY = 4_000
TERMS = LinkTerms(contract=ONE, family=V1, receiver=RECEIVER, token=COIN, amount=1_000, duration=HOUR)
BOUND = 120
"""Rows that one settle reads at the most, and statements that it makes."""


SCANS = r"SCAN (invoice_\w+|[lcp])\b(?!.* invoice_creations_(due|wanted|newest)\b)|Seq Scan on invoice_"
"""What a plan says where a table is read as a whole; the indexes that are excepted hold what is to be read alone."""


def fill_links(storage: Storage, count: int, **changes: object) -> None:
    """Store links with equal terms, ``changes`` to their rows."""
    row = {
        "owner": RECEIVER,
        "contract_id": ONE,
        "family": V1,
        "receiver": RECEIVER,
        "token": COIN,
        "amount": "1000",
        "duration": HOUR,
        "terms": TERMS.fingerprint,
        "updated_at": BEGAN,
        **changes,
    }
    columns = ("id", "slug", "created_at", *row)
    made = ((str(uuid4()), uuid4().hex[:20], BEGAN - 10**6 + number, *row.values()) for number in range(count))

    def write(database):
        while some := list(islice(made, 500)):
            bulk.insert_new(database, "invoice_links", columns, ("id",), some)

    storage.write(write)


def fill_creations(storage: Storage, count: int) -> None:
    """Store streams that paid the receiver long ago, for whatever they were."""
    columns = ("event_id", "stream", "contract_id", "family", "tx_hash", "ledger", "closed_at", "receiver", "token")
    more = {"known": "unknown", "wanted": 1, "tries": 3, "next_try": 9 * 10**9, "net": "1000", "build": 9}

    def rows():
        for number in range(count):
            event_id = f"{number:019d}-0000000000"
            yield (event_id, f"{ONE}-{number}", ONE, V1, f"{number:064x}", 1, 1, RECEIVER, COIN, *more.values())

    made = rows()

    def write(database):
        while some := list(islice(made, 500)):
            bulk.insert_new(database, "invoice_creations", (*columns, *more), ("event_id",), some)

    storage.write(write)


class Watched:
    """Statements that are made, with their values and how many rows they returned."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[str, tuple[object, ...], int]] = []
        query, execute = bulk.query, bulk.execute

        def watched_query(database, sql, values=()):
            found = query(database, sql, values)
            self.made.append((sql, tuple(values), len(found)))
            return found

        def watched_execute(database, sql, values=()):
            self.made.append((sql, tuple(values), 0))
            execute(database, sql, values)

        monkeypatch.setattr(bulk, "query", watched_query)
        monkeypatch.setattr(bulk, "execute", watched_execute)

    def check(self, storage: Storage, dialect: str) -> None:
        """Everything is found by an index, and there is little of it."""
        made, self.made = self.made, []
        assert 0 < len(made) <= BOUND
        assert sum(rows for _, _, rows in made) <= BOUND
        explain = "EXPLAIN QUERY PLAN " if dialect == "sqlite" else "EXPLAIN "

        def plans(database):
            if dialect == "postgresql":  # which is right to read a small table as a whole, if it may
                bulk.execute(database, "SET LOCAL enable_seqscan = off")
            return [
                (sql, [str(row[-1]) for row in bulk.query(database, explain + sql, values)])
                for sql, values, _ in made
                if "invoice_turn" not in sql
            ]

        found = storage.write(plans)
        self.made = []
        for sql, plan in found:
            for line in plan:
                assert not re.search(SCANS, line), (sql, plan)


@pytest.fixture
def dialect(database_url) -> str:
    return "sqlite" if database_url.startswith("sqlite") else "postgresql"


@pytest.fixture
def watched(monkeypatch) -> Watched:
    return Watched(monkeypatch)


def analyze(storage: Storage) -> None:
    storage.write(lambda database: bulk.execute(database, "ANALYZE"))


def test_a_shop_with_many_links_of_one_price_that_are_paid_or_over(storage, dialect, watched):
    payments = Payments()
    fill_links(storage, MANY // 2, completed_event="0", completed_at=BEGAN - 500)
    fill_links(storage, MANY // 4, expires_at=BEGAN - 500)
    fill_links(storage, MANY // 4, canceled_at=BEGAN - 500)
    fill_creations(storage, MANY)
    link = ask(storage, contract=ONE)
    analyze(storage)
    paid = payments.pay(link)
    watched.made.clear()
    index(storage, payments, START, payments.last)
    watched.check(storage, dialect)
    read_all_arguments(storage, payments.chain)
    watched.check(storage, dialect)
    assert outcomes(storage, link) == [(paid.id, "terms", "completed")]


def test_many_open_links_of_one_price(storage, dialect, watched):
    payments = Payments()
    fill_links(storage, MANY)
    fill_creations(storage, MANY)
    link = ask(storage, contract=ONE)
    analyze(storage)
    paid = payments.pay(link)
    index(storage, payments, START, payments.last)
    watched.made.clear()
    read_all_arguments(storage, payments.chain)
    watched.check(storage, dialect)
    assert len(verdicts(storage)) == MOST_CHOICES
    assert completed(storage) == {}
    watched.made.clear()
    claim(storage, link, paid.hash, payments.now)
    watched.check(storage, dialect)
    assert told(storage, link) == [("transaction", "completed")]
    more = payments.pay(link)
    watched.made.clear()
    submit(storage, link, more, payments.now)
    index(storage, payments, payments.last, payments.last)
    watched.check(storage, dialect)
    assert told(storage, link) == [("transaction", "completed"), ("transaction", "repeated")]


def test_many_equal_links_that_strangers_made(storage, dialect, watched):
    payments = Payments()
    fill_links(storage, MANY, owner=OTHER)
    link = ask(storage, contract=ONE)
    analyze(storage)
    payments.pay(link)
    index(storage, payments, START, payments.last)
    watched.made.clear()
    read_all_arguments(storage, payments.chain)
    watched.check(storage, dialect)
    assert told(storage, link) == [("terms", "completed")]


def test_a_link_with_many_payments_that_is_taken_back(storage, dialect, watched):
    link = ask(storage, contract=ONE)
    fill_creations(storage, MANY)

    def write(database):
        take_turn(database)
        bulk.execute(
            database,
            "INSERT INTO invoice_payments (link_id, event_id, matched_by, outcome) "
            "SELECT ?, event_id, 'memo', 'underpaid' FROM invoice_creations",
            (link.id,),
        )

    storage.write(write)
    analyze(storage)
    watched.made.clear()
    take_back(storage, link, BEGAN)
    assert sum(rows for _, _, rows in watched.made) <= 2 * BOUND
