"""The projection of links: what it takes in, building it again, and going on with what one transaction leaves."""

from __future__ import annotations

import pytest

from stellarstream_core.projection.projector import Projector
from stellarstream_invoice_links import projection as projecting
from stellarstream_invoice_links.judging import Known
from stellarstream_invoice_links.links import take_turn
from stellarstream_invoice_links.model import LinkStatus
from stellarstream_invoice_links.settlement import is_due, settle_creations
from stellarstream_nebula import bulk
from stellarstream_nebula.model import V1, V2
from tests.invoice_links.kit import GEM, ONE, OTHER, THREE, TWO
from tests.invoice_links.settle_kit import (
    START,
    Payments,
    ask,
    completed,
    everything,
    index,
    judged,
    made_projection,
    outcomes,
    project,
    read_all_arguments,
    rebuild,
    run_sql,
    statuses,
    store,
    stored_creations,
    submit,
    told,
    verdicts,
)


@pytest.fixture
def payments() -> Payments:
    return Payments()


class TestBuildingAgain:
    def _filled(self, storage, payments):
        links = [ask(storage), ask(storage, contract=ONE), ask(storage, contract=ONE, amount=7)]
        payments.pay(links[0], memo=links[0].slug)
        payments.pay(links[1])
        payments.pay(links[0], memo=links[0].slug, gross=1)
        submit(storage, links[2], payments.pay(links[2]), payments.now)
        everything(storage, payments)
        assert len(completed(storage)) == 3
        return links

    def _rows(self, storage):
        tables = {"links": "id", "payments": "link_id, event_id", "creations": "event_id", "submissions": "tx_hash"}

        def read(database):
            sql = "SELECT * FROM invoice_{} ORDER BY {}"
            found = {table: bulk.query(database, sql.format(table, key)) for table, key in tables.items()}
            # but for the number of the build, which comes last
            found["creations"] = [row[:-1] for row in found["creations"]]
            return found

        return storage.read(read)

    def test_comes_to_the_same_rows_without_asking_any_node(self, storage, payments):
        self._filled(storage, payments)
        before, asked = self._rows(storage), dict(payments.chain.asked)
        rebuild(storage)
        read_all_arguments(storage, payments.chain)
        assert self._rows(storage) == before
        assert payments.chain.asked == asked

    def test_leaves_links_paid_all_the_time(self, storage, payments):
        links = self._filled(storage, payments)
        projector = Projector(made_projection(), storage, events=20)
        projector.rebuild()
        while not projector.step().idle:
            assert statuses(storage, *links) == [LinkStatus.COMPLETED] * 3

    def test_finds_an_earlier_payment_together_with_the_one_that_was_known(self, storage, payments):
        link = ask(storage)
        early, late = (payments.pay(link) for _ in range(2))
        for paid in (early, late):
            submit(storage, link, paid, payments.now)
        index(storage, payments, payments.last, payments.last)
        assert completed(storage) == {link.id: late.id}
        store(storage, payments.ledgers.events, START, payments.last - 1, wanted_from=START)
        rebuild(storage)
        assert outcomes(storage, link) == [(early.id, "transaction", "completed"), (late.id, "transaction", "repeated")]
        assert completed(storage) == {link.id: early.id}

    def test_judges_again_under_other_rules(self, storage, payments, monkeypatch):
        links = self._filled(storage, payments)
        run_sql(storage, "UPDATE invoice_payments SET outcome = 'underpaid'")
        run_sql(storage, "UPDATE invoice_links SET completed_event = NULL, completed_at = NULL")
        project(storage)
        assert statuses(storage, *links) == [LinkStatus.DRAFT] * 2 + [LinkStatus.SIGNED]
        monkeypatch.setattr(projecting.judging, "RULES", projecting.judging.RULES + 1)
        project(storage)
        assert statuses(storage, *links) == [LinkStatus.COMPLETED] * 3
        assert verdicts(storage) == judged(storage).verdicts

    def test_removes_what_is_no_creation_any_more_and_lets_the_next_complete(self, storage, payments):
        link = ask(storage, contract=ONE)
        other = ask(storage)
        paid = [payments.pay(link) for _ in range(2)]
        named = [payments.pay(other, memo=other.slug) for _ in range(2)]
        everything(storage, payments)
        assert completed(storage) == {link.id: paid[0].id, other.id: named[0].id}
        projection = made_projection()
        gone = {paid[0].id, named[0].id}
        decoders = projection.decoders

        class Changed:
            version = "other"

            def __init__(self, family):
                self.family = family

            def decode(self, events):
                found = decoders[self.family].decode(events)
                return [None if event.id in gone else one for event, one in zip(events, found, strict=True)]

        changed = made_projection()
        changed.decoders = {family: Changed(family) for family in (V1, V2)}
        changed.__post_init__()
        project(storage, changed)
        assert completed(storage) == {link.id: paid[1].id, other.id: named[1].id}
        assert {one.event_id for one in stored_creations(storage)} == {paid[1].id, named[1].id}
        assert verdicts(storage) == judged(storage).verdicts

    def test_keeps_payments_of_contracts_that_are_not_served_any_more(self, storage, payments):
        links = self._filled(storage, payments)
        projection = made_projection(families={TWO: V2})
        project(storage, projection)
        projector = Projector(projection, storage)
        projector.rebuild()
        project(storage, projection)
        assert statuses(storage, *links) == [LinkStatus.COMPLETED] * 3

    def test_asks_again_for_what_nobody_could_tell(self, storage, payments):
        link = ask(storage)
        paid = payments.pay(link, memo=link.slug)
        payments.chain.fate.clear()
        everything(storage, payments)
        run_sql(storage, "UPDATE invoice_creations SET known = 'unreadable', next_try = 9999999999")
        payments.keep(paid.hash, paid.event.ledger, paid.text)
        rebuild(storage)
        read_all_arguments(storage, payments.chain)
        assert told(storage, link) == [("memo", "completed")]


class TestInBoundedPieces:
    def test_what_one_transaction_does_not_come_to_the_projection_goes_on_with(self, storage, payments):
        links = [ask(storage, contract=ONE) for _ in range(2)]
        early = payments.pay(links[0])
        between = payments.last
        later = [payments.pay(links[0]) for _ in range(6)]
        index(storage, payments, between + 1, payments.last)
        read_all_arguments(storage, payments.chain)
        assert len(verdicts(storage)) == 12

        submit(storage, links[0], early, payments.now)
        store(storage, payments.ledgers.events, START, between, wanted_from=START)
        projection = made_projection()
        projector, settle = Projector(projection, storage), projecting.settle_creations
        calls = []

        def settle_little(database, event_ids, **more):
            calls.append(settle(database, event_ids, **{**more, "most": 2}))
            return calls[-1]

        projecting.settle_creations = settle_little
        try:
            for _ in range(100):
                if projector.step().idle:
                    break
        finally:
            projecting.settle_creations = settle
        assert calls.count(True) >= 2
        assert not storage.read(is_due)
        assert completed(storage) == {links[0].id: early.id, links[1].id: later[0].id}
        assert verdicts(storage) == judged(storage).verdicts

    def test_what_is_asked_for_is_judged_before_what_waits(self, storage, payments):
        link = ask(storage)
        paid = [payments.pay(link, memo=link.slug) for _ in range(3)]
        everything(storage, payments)
        run_sql(storage, "DELETE FROM invoice_payments")
        run_sql(storage, "UPDATE invoice_links SET completed_event = NULL")
        run_sql(storage, "UPDATE invoice_creations SET due = 1")

        def settle(database, ids, most):
            take_turn(database)
            return settle_creations(database, ids, now=1, most=most)

        assert storage.write(lambda database: settle(database, [paid[2].id], 1))
        assert outcomes(storage, link) == [(paid[0].id, "memo", "completed"), (paid[2].id, "memo", "repeated")]
        assert not storage.write(lambda database: settle(database, [], 500))
        assert verdicts(storage) == judged(storage).verdicts


def test_creations_of_interest_alone_are_kept(storage, payments):
    link = ask(storage)
    kept = payments.pay(link)
    payments.pay(link, receiver=OTHER)
    payments.pay(link, token=GEM)
    index(storage, payments, START, payments.last)
    assert [(one.event_id, one.known) for one in stored_creations(storage)] == [(kept.id, Known.UNKNOWN)]


def test_only_families_that_this_service_can_call_are_followed():
    projection = made_projection(families={ONE: V1, TWO: V2, THREE: "splitter-v3", GEM: "of-a-plugin"})
    assert set(projection.contracts) == {ONE, TWO}
    assert {family.split()[0] for family in projection.contracts.values()} == {V1, V2}
