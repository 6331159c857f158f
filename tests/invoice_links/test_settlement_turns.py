"""The API settles while the indexer folds: real threads and connections, on SQLite and PostgreSQL."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from time import monotonic, sleep

import pytest

from stellarstream_core.errors import StorageBusyError
from stellarstream_core.projection.projector import Projector
from stellarstream_core.storage import Storage
from stellarstream_invoice_links import projection as projecting
from stellarstream_invoice_links import submissions
from stellarstream_invoice_links.model import COMPLETING
from stellarstream_invoice_links.problems import SubmittedForAnotherError
from stellarstream_nebula import bulk
from tests.invoice_links.kit import ONE
from tests.invoice_links.settle_kit import (
    START,
    Payments,
    ask,
    claim,
    completed,
    index,
    judged,
    made_projection,
    project,
    read_all_arguments,
    read_arguments,
    store,
    submit,
    take_back,
    verdicts,
)

SECONDS = 10.0


@pytest.fixture
def open_another(open_store, database_url) -> Callable[[], Storage]:
    """Return a function that opens the test's database once more: with connections of its own."""
    return lambda: open_store(database_url)


class Held:
    """Lets a function return only when the test says so, inside of the transaction in which it is called."""

    def __init__(self, function):
        self.function, self.done, self.go_on = function, Event(), Event()

    def __call__(self, *arguments, **options):
        found = self.function(*arguments, **options)
        self.done.set()
        assert self.go_on.wait(SECONDS)
        return found


def wait_until_it_waits(storage: Storage, other: Future) -> None:
    """Return when the other one waits for a lock, or has done its work without."""
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
    deadline = monotonic() + SECONDS
    while not other.done() and not storage.read(lambda database: bulk.query(database, waiting)):
        assert monotonic() < deadline
        sleep(0.005)


@pytest.mark.parametrize("first", ["the API", "the indexer"])
def test_a_submission_and_its_event_at_the_same_moment_find_each_other(
    storage, open_another, database_url, monkeypatch, first
):
    """One has done all it does and not committed; the other has begun. Neither sees what the other writes."""
    link, payments = ask(storage, contract=ONE), Payments()
    # equal to it, so that terms alone do not tell which is paid
    ask(storage, contract=ONE)
    paid = payments.pay(link)
    project(storage)  # it has begun, so that what it does next is to take in the event
    store(storage, payments.ledgers.events, START, payments.last, wanted_from=START)
    api, indexer = open_another(), open_another()
    works = [lambda: submit(api, link, paid, payments.now), lambda: project(indexer)]
    if first == "the API":
        held = Held(submissions.settle_transaction)
        monkeypatch.setattr(submissions, "settle_transaction", held)
    else:
        held = Held(projecting.settle_creations)
        monkeypatch.setattr(projecting, "settle_creations", held)
        works.reverse()
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(works[0])
        assert held.done.wait(SECONDS)
        other = threads.submit(works[1])
        if not database_url.startswith("sqlite"):  # where the second one's transaction does not even begin
            wait_until_it_waits(storage, other)
        held.go_on.set()
        one.result(SECONDS)
        other.result(SECONDS)
    assert completed(storage) == {link.id: paid.id}
    assert {key: verdict.by.value for key, verdict in verdicts(storage).items()} == {(link.id, paid.id): "transaction"}


@pytest.mark.parametrize("seed", [1, 2])
def test_payers_owners_and_indexer_at_once_end_in_what_the_judge_says(storage, open_another, seed):
    dice, payments = random.Random(seed), Payments()
    links = [ask(storage, contract=ONE, amount=1_000 + number // 3) for number in range(9)]
    meant = [dice.choice(links) for _ in range(18)]
    paid = [payments.pay(link) for link in meant]
    to_do: dict[str, list[Callable[[Storage], None]]] = {"payer": [], "owner": [], "indexer": [], "reader": []}
    for link, one in zip(meant, paid, strict=True):
        if dice.random() < 0.6:
            to_do["payer"].append(lambda database, link=link, one=one: submit(database, link, one, one.event.closed_at))
        if dice.random() < 0.4:
            to_do["owner"].append(lambda database, link=link, one=one: claim(database, link, one.hash, payments.now))
        ledger = one.event.ledger
        to_do["indexer"].append(lambda database, ledger=ledger: index(database, payments, ledger, ledger))
        to_do["reader"].append(lambda database: read_arguments(database, payments.chain))
    to_do["owner"].append(lambda database: take_back(database, links[8], payments.now))
    for acts in to_do.values():
        dice.shuffle(acts)

    def work(acts: list[Callable[[Storage], None]]) -> None:
        own = open_another()
        for act in acts:
            with suppress(SubmittedForAnotherError):
                act(own)

    with ThreadPoolExecutor(len(to_do)) as threads:
        for done in [threads.submit(work, acts) for acts in to_do.values()]:
            done.result(60)
    index(storage, payments, START, payments.last)
    read_all_arguments(storage, payments.chain)
    assert verdicts(storage) == judged(storage).verdicts
    assert completed(storage) == judged(storage).completed
    assert len(completed(storage)) >= 3


def test_two_indexers_of_one_database_settle_once(storage, open_another):
    """Only one of them moves the projection on; the other finds its work done."""
    link, payments = ask(storage), Payments()
    for _ in range(12):
        payments.pay(link, memo=link.slug)
    for ledger in range(START, payments.last + 1):
        store(storage, payments.ledgers.events, ledger, ledger, wanted_from=START)

    def work() -> None:
        projector = Projector(made_projection(), open_another())
        for _ in range(10_000):
            with suppress(StorageBusyError):
                if projector.step().idle:
                    return

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(work) for _ in range(2)]:
            done.result(60)
    read_all_arguments(storage, payments.chain)
    found = verdicts(storage)
    assert len(found) == 12
    assert sum(verdict.outcome in COMPLETING for verdict in found.values()) == 1
    assert found == judged(storage).verdicts
