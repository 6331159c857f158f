"""Payments in the database: real events through the projector, submissions in any order, on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest
from peewee import IntegrityError

from stellarstream_invoice_links.links import link_by_id
from stellarstream_invoice_links.model import LinkStatus
from stellarstream_invoice_links.tables import InvoicePayment
from tests.invoice_links.kit import COIN, GEM, ONE, OTHER, RECEIVER, THREE, TWO
from tests.invoice_links.settle_kit import (
    BEGAN,
    HOUR,
    LATER,
    PAYER,
    START,
    Payments,
    ask,
    claim,
    completed,
    everything,
    index,
    judged,
    outcomes,
    read_all_arguments,
    rebuild,
    statuses,
    stored_creations,
    submit,
    take_back,
    told,
    verdicts,
)
from tests.nebula.relay_kit import wallet


@pytest.fixture
def payments() -> Payments:
    return Payments()


class TestHowItIsPaid:
    @pytest.mark.parametrize("contract", [ONE, TWO], ids=["V1", "V2"])
    def test_by_a_transaction_that_went_through_the_service_no_node_is_asked(self, storage, payments, contract):
        link = ask(storage, contract=contract)
        paid = payments.pay(link)
        submit(storage, link, paid, payments.now)
        everything(storage, payments)
        assert outcomes(storage, link) == [(paid.id, "transaction", "completed")]
        assert payments.chain.asked == {}
        assert statuses(storage, link) == [LinkStatus.COMPLETED]

    @pytest.mark.parametrize("contract", [ONE, TWO], ids=["V1", "V2"])
    def test_by_an_event_that_was_indexed_before_its_submission_was_recorded(self, storage, payments, contract):
        link, other = ask(storage, contract=contract), ask(storage, contract=contract)
        paid = payments.pay(link)
        index(storage, payments, START, payments.last)
        assert told(storage, link) == []
        submit(storage, link, paid, payments.now)
        assert told(storage, link) == [("transaction", "completed")]
        assert told(storage, other) == []
        assert payments.chain.asked == {}

    def test_by_its_memo_once_the_call_is_read(self, storage, payments):
        link = ask(storage)
        payments.pay(link, memo=link.slug)
        index(storage, payments, START, payments.last)
        assert told(storage, link) == [("memo", "unverified")]
        assert statuses(storage, link) == [LinkStatus.DRAFT]
        read_all_arguments(storage, payments.chain)
        assert told(storage, link) == [("memo", "completed")]
        assert statuses(storage, link) == [LinkStatus.COMPLETED]

    def test_by_its_memo_however_wrong_the_services_clock_was(self, storage, payments):
        link = ask(storage, now=BEGAN + 2 * HOUR)
        payments.pay(link, memo=link.slug)
        everything(storage, payments)
        assert told(storage, link) == [("memo", "completed")]

    @pytest.mark.parametrize("contract", [ONE, TWO], ids=["V1", "V2"])
    def test_by_its_terms_for_a_payer_who_built_their_own(self, storage, payments, contract):
        link = ask(storage, contract=contract)
        paid = payments.pay(link, by=wallet(77))
        everything(storage, payments)
        assert outcomes(storage, link) == [(paid.id, "terms", "completed")]

    def test_by_a_transaction_inside_of_a_fee_bump_that_somebody_else_made_of_it(self, storage, payments):
        link = ask(storage, contract=ONE)
        plain = payments.pay(link)
        payments.ledgers.events.remove(plain.event)
        submit(storage, link, plain, payments.now)
        bumped = payments.pay(link, through=wallet(78))
        assert bumped.envelope.hash == bumped.hash != plain.hash
        everything(storage, payments)
        assert outcomes(storage, link) == [(bumped.id, "terms", "completed")]

    def test_by_a_fee_bump_that_went_through_the_service(self, storage, payments):
        link = ask(storage, contract=ONE)
        bumped = payments.pay(link, through=wallet(78))
        submit(storage, link, bumped, payments.now)
        index(storage, payments, START, payments.last)
        assert outcomes(storage, link) == [(bumped.id, "transaction", "completed")]

    def test_what_it_says_of_the_payment(self, storage, payments):
        link = ask(storage)
        paid = payments.pay(link, memo=link.slug, fee=50)
        everything(storage, payments)
        found = storage.read(lambda database: link_by_id(database, link.id)).completed
        assert (found.stream, found.tx_hash, found.ledger) == (f"{TWO}-0", paid.hash, paid.event.ledger)
        assert (found.gross, found.net, found.payer) == (1_000, 950, PAYER.public_key)
        assert found.closed_at == payments.now


class TestWhatItComesTo:
    @pytest.mark.parametrize(
        ("asked_for", "paid_by", "outcome"),
        [
            ({}, {}, "completed"),
            ({}, {"gross": 1_001}, "overpaid"),
            ({}, {"gross": 999}, "underpaid"),
            ({}, {"duration": HOUR + 1}, "different-terms"),
            ({"start": BEGAN + 500}, {"start": BEGAN + 501}, "different-terms"),
            ({"expires_at": BEGAN + 6}, {}, "completed"),
            ({"expires_at": BEGAN + 5}, {}, "late"),
            ({"canceled_at": BEGAN + 5}, {}, "completed"),
            ({"canceled_at": BEGAN + 4}, {}, "after-cancel"),
            ({"deleted_at": BEGAN + 4}, {}, "after-cancel"),
            ({}, {"called": THREE}, "different-terms"),
            ({}, {"function": "create_batch_streams"}, "different-terms"),
        ],
    )
    def test_each_outcome(self, storage, payments, asked_for, paid_by, outcome):
        link = ask(storage, **asked_for)
        paid = payments.pay(link, memo=link.slug, **paid_by)
        assert payments.now == BEGAN + 5
        everything(storage, payments)
        assert outcomes(storage, link) == [(paid.id, "memo", outcome)]
        assert completed(storage) == ({link.id: paid.id} if outcome in {"completed", "overpaid"} else {})
        assert verdicts(storage) == judged(storage).verdicts

    def test_the_second_is_a_repetition(self, storage, payments):
        link = ask(storage)
        first, second = (payments.pay(link, memo=link.slug) for _ in range(2))
        everything(storage, payments)
        assert outcomes(storage, link) == [(first.id, "memo", "completed"), (second.id, "memo", "repeated")]

    def test_of_two_open_links_with_equal_terms_neither_is_paid_until_the_owner_tells(self, storage, payments):
        links = [ask(storage, contract=ONE) for _ in range(3)]
        paid = payments.pay(links[0])
        everything(storage, payments)
        assert [told(storage, link) for link in links] == [[("terms", "ambiguous")]] * 3
        assert completed(storage) == {}
        claim(storage, links[1], paid.hash, LATER)
        assert [told(storage, link) for link in links] == [[], [("transaction", "completed")], []]

    def test_an_equal_link_that_a_stranger_made_blocks_nobody(self, storage, payments):
        link, stranger = ask(storage, contract=ONE), ask(storage, contract=ONE, owner=OTHER)
        payments.pay(link)
        everything(storage, payments)
        assert told(storage, link) == [("terms", "completed")]
        assert told(storage, stranger) == []

    def test_somebody_elses_stream_with_a_links_slug_as_memo_is_nothing(self, storage, payments):
        link, other = ask(storage), ask(storage, receiver=OTHER)
        payments.pay(link, memo=link.slug, receiver=OTHER)
        payments.pay(link, memo=link.slug, token=GEM)
        payments.pay(link, memo=other.slug)
        everything(storage, payments)
        assert len(stored_creations(storage)) == 2
        assert verdicts(storage) == {}
        assert payments.chain.asked == {}, "nothing that is read could make them a payment"

    def test_two_streams_of_one_transaction_are_none_of_a_plain_call(self, storage, payments):
        link = ask(storage)
        first = payments.pay(link, memo=link.slug, function="create_batch_streams")
        ledgers = payments.ledgers.same()
        ledgers.create(TWO, 99, PAYER.public_key, RECEIVER, COIN, 995, lasts=HOUR, memo=link.slug)
        ledgers.events[-1] = second = ledgers.events[-1]._replace(tx_hash=first.hash)
        everything(storage, payments)
        assert outcomes(storage, link) == [(event_id, "memo", "different-terms") for event_id in (first.id, second.id)]

    def test_a_stream_that_another_contract_makes_in_a_links_own_transaction_is_not_the_one(self, storage, payments):
        """A hostile token could create streams of its own while it is paid."""
        link = ask(storage)
        payments.made = 5
        paid = payments.pay(link)
        ledgers = payments.ledgers.same()
        ledgers.create(THREE, 1, PAYER.public_key, RECEIVER, COIN, 995, lasts=HOUR)
        ledgers.events[-1] = other = ledgers.events[-1]._replace(tx_hash=paid.hash)
        submit(storage, link, paid, payments.now)
        index(storage, payments, START, payments.last)
        assert outcomes(storage, link) == [
            (paid.id, "transaction", "completed"),
            (other.id, "transaction", "different-terms"),
        ]


class TestOrder:
    def test_a_gap_filled_months_later_completes_a_link_that_is_long_over(self, storage, payments):
        link = ask(storage, expires_at=BEGAN + 100)
        cancelled = ask(storage)
        payments.pay(link, memo=link.slug)
        payments.pay(cancelled, memo=cancelled.slug)
        gap = payments.last
        payments.ledgers.skip(1_000)
        index(storage, payments, gap + 1, payments.last)
        take_back(storage, cancelled, BEGAN + 90)
        assert statuses(storage, link, cancelled, now=LATER) == [LinkStatus.EXPIRED, LinkStatus.CANCELED]
        everything(storage, payments)
        assert statuses(storage, link, cancelled, now=LATER) == [LinkStatus.COMPLETED] * 2

    def test_an_earlier_payment_that_is_indexed_later_takes_over(self, storage, payments):
        link = ask(storage)
        early = payments.pay(link, memo=link.slug, gross=1_500)
        between = payments.last
        late = payments.pay(link, memo=link.slug)
        index(storage, payments, between + 1, payments.last)
        read_all_arguments(storage, payments.chain)
        assert completed(storage) == {link.id: late.id}
        everything(storage, payments)
        assert outcomes(storage, link) == [(early.id, "memo", "overpaid"), (late.id, "memo", "repeated")]
        assert completed(storage) == {link.id: early.id}

    def test_what_was_taken_over_by_terms_is_nobodys_then(self, storage, payments):
        link = ask(storage, contract=ONE)
        early = payments.pay(link)
        between = payments.last
        late = payments.pay(link)
        index(storage, payments, between + 1, payments.last)
        read_all_arguments(storage, payments.chain)
        assert outcomes(storage, link) == [(late.id, "terms", "completed")]
        everything(storage, payments)
        assert outcomes(storage, link) == [(early.id, "terms", "completed")]
        assert completed(storage) == {link.id: early.id}

    def test_what_two_links_fitted_pays_the_one_that_an_earlier_payment_leaves(self, storage, payments):
        links = [ask(storage, contract=ONE), ask(storage, contract=ONE)]
        early = payments.pay(links[0])
        between = payments.last
        later = [payments.pay(links[0]) for _ in range(3)]
        index(storage, payments, between + 1, payments.last)
        read_all_arguments(storage, payments.chain)
        assert {verdict.outcome.value for verdict in verdicts(storage).values()} == {"ambiguous"}
        submit(storage, links[0], early, payments.now)
        everything(storage, payments)
        assert completed(storage) == {links[0].id: early.id, links[1].id: later[0].id}
        assert len(verdicts(storage)) == 2

    def test_windows_in_any_order_come_to_the_same(self, open_store, database_url, storage, payments):
        link, other = ask(storage, contract=ONE), ask(storage)
        for _ in range(3):
            payments.pay(link)
            payments.pay(other, memo=other.slug)
        for ledger in reversed(range(START, payments.last + 1)):
            index(storage, payments, ledger, ledger)
            read_all_arguments(storage, payments.chain)
            assert verdicts(storage) == judged(storage).verdicts
        assert [outcome for _, outcome in told(storage, other)] == ["completed", "repeated", "repeated"]

    def test_a_link_that_is_made_after_a_payment_is_not_paid_by_it(self, storage, payments):
        before = ask(storage, contract=ONE)
        paid = payments.pay(before)
        index(storage, payments, START, payments.last)
        after = ask(storage, contract=ONE, now=payments.now)
        read_all_arguments(storage, payments.chain)
        claim(storage, after, "ab" * 32, payments.now)
        assert completed(storage) == {before.id: paid.id}
        rebuild(storage)
        assert completed(storage) == {before.id: paid.id}

    def test_nor_is_one_for_whose_receiver_there_was_none(self, storage, payments):
        paid = payments.pay(contract=ONE)
        index(storage, payments, START, payments.last)
        assert stored_creations(storage) == []
        after = ask(storage, contract=ONE, now=payments.now)
        claim(storage, after, paid.hash, payments.now)
        rebuild(storage)
        read_all_arguments(storage, payments.chain)
        assert verdicts(storage) == {}

    def test_a_batch_of_many_creations_is_settled_at_once(self, storage, payments):
        links = [ask(storage, amount=1_000 + number) for number in range(4)]
        for number in range(450):
            link = links[number % 4]
            payments.ledgers.same() if number % 5 else None
            payments.ledgers.create(
                TWO, number, PAYER.public_key, RECEIVER, COIN, link.terms.amount, lasts=HOUR, memo=link.slug
            )
        index(storage, payments, START, payments.last)
        found = verdicts(storage)
        assert len(found) == 450
        assert {verdict.outcome.value for verdict in found.values()} == {"unverified"}


class TestTheDatabase:
    def test_refuses_a_second_payment_that_completes_a_link(self, storage, payments):
        link = ask(storage)
        paid = payments.pay(link, memo=link.slug)
        everything(storage, payments)
        assert completed(storage) == {link.id: paid.id}
        for outcome in ("completed", "overpaid"):
            row = {"link_id": link.id, "event_id": "another", "matched_by": "memo", "outcome": outcome}
            with pytest.raises(IntegrityError):
                storage.write(lambda database, row=row: InvoicePayment.insert(**row).execute(database))

    def test_takes_times_that_are_out_of_its_range(self, storage, payments):
        ask(storage)
        payments.ledgers.create(TWO, 1, PAYER.public_key, RECEIVER, COIN, 995, start=2**63 + 5, lasts=2**62)
        index(storage, payments, START, payments.last)
        assert [(one.start, one.end) for one in stored_creations(storage)] == [(None, None)]
