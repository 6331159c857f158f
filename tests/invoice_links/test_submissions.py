"""What is recorded of transactions for links, what is refused, and that it counts at once."""

from __future__ import annotations

import pytest
from peewee import IntegrityError

from stellarstream_invoice_links.links import link_by_id
from stellarstream_invoice_links.model import LinkStatus
from stellarstream_invoice_links.problems import LinkNotFoundError, SubmittedForAnotherError, TermsMismatchError
from stellarstream_invoice_links.submissions import claim_transaction, record_submission
from stellarstream_invoice_links.tables import InvoiceSubmission
from tests.invoice_links.kit import GEM, ONE, OTHER, THREE
from tests.invoice_links.settle_kit import (
    BEGAN,
    LATER,
    PAYER,
    START,
    Payments,
    ask,
    claim,
    completed,
    everything,
    index,
    read_all_arguments,
    statuses,
    submit,
    take_back,
    told,
)


@pytest.fixture
def payments() -> Payments:
    return Payments()


class TestClaimsAndSubmissions:
    def test_a_submission_is_noted_on_the_link(self, storage, payments):
        link = ask(storage)
        paid = payments.pay(link)
        submit(storage, link, paid, BEGAN + 7)
        found = storage.read(lambda database: link_by_id(database, link.id))
        assert (found.submitted, found.payer, found.updated_at) == (paid.hash, PAYER.public_key, BEGAN + 7)
        assert found.status(BEGAN + 7) is LinkStatus.SIGNED

    def test_recorded_again_it_changes_nothing(self, storage, payments):
        link = ask(storage)
        first, second = payments.pay(link), payments.pay(link)
        submit(storage, link, first, BEGAN + 7)
        submit(storage, link, second, BEGAN + 8)
        submit(storage, link, first, BEGAN + 9)
        found = storage.read(lambda database: link_by_id(database, link.id))
        assert (found.submitted, found.updated_at) == (second.hash, BEGAN + 8)

    def test_a_transaction_is_of_one_link(self, storage, payments):
        links = [ask(storage, contract=ONE) for _ in range(2)]
        paid = payments.pay(links[0])
        submit(storage, links[0], paid, payments.now)
        with pytest.raises(SubmittedForAnotherError):
            submit(storage, links[1], paid, payments.now)
        assert told(storage, links[1]) == []

    def test_nor_does_the_database_take_it_for_a_second_one(self, storage):
        def twice(database):
            for number in range(2):
                row = {"tx_hash": "ab" * 32, "link_id": str(number), "origin": "service", "submitted_at": 1}
                InvoiceSubmission.insert(**row).execute(database)

        with pytest.raises(IntegrityError):
            storage.write(twice)

    def test_what_its_memo_names_is_not_taken_for_another(self, storage, payments):
        link, other = ask(storage), ask(storage)
        paid = payments.pay(link, memo=link.slug)
        with pytest.raises(SubmittedForAnotherError, match="memo"):
            submit(storage, other, paid, payments.now)
        submit(storage, link, paid, payments.now)

    @pytest.mark.parametrize("say", ["submit", "claim"])
    def test_a_payment_is_not_moved_by_whoever_hands_it_in_for_another_link(self, storage, payments, say):
        """Envelopes are public: anybody could hand in somebody else's."""
        link = ask(storage, contract=ONE)
        paid = payments.pay(link)
        everything(storage, payments)
        other = ask(storage, contract=ONE, now=payments.now)
        with pytest.raises(SubmittedForAnotherError, match="has paid"):
            submit(storage, other, paid, payments.now) if say == "submit" else claim(storage, other, paid.hash, LATER)
        assert completed(storage) == {link.id: paid.id}

    @pytest.mark.parametrize(
        "changes",
        [{"receiver": OTHER}, {"token": GEM}, {"contract": THREE}, {"function": "create_batch_streams"}],
        ids=lambda changes: next(iter(changes)),
    )
    def test_what_does_not_pay_the_link_is_not_recorded(self, storage, payments, changes):
        link = ask(storage)
        paid = payments.pay(link, **changes)
        with pytest.raises(TermsMismatchError):
            submit(storage, link, paid, payments.now)

    def test_of_no_link_nothing_is_recorded(self, storage, payments):
        paid = payments.pay()
        with pytest.raises(LinkNotFoundError):
            storage.write(lambda database: record_submission(database, "nobody", paid.envelope, 1))
        with pytest.raises(LinkNotFoundError):
            storage.write(lambda database: claim_transaction(database, "nobody", paid.hash, 1))

    def test_a_claim_before_the_event_waits_for_it(self, storage, payments):
        links = [ask(storage, contract=ONE) for _ in range(2)]
        paid = payments.pay(links[0])
        claim(storage, links[1], paid.hash, payments.now)
        assert statuses(storage, *links) == [LinkStatus.DRAFT, LinkStatus.SIGNED]
        index(storage, payments, START, payments.last)
        assert told(storage, links[1]) == [("transaction", "unverified")]
        read_all_arguments(storage, payments.chain)
        assert completed(storage) == {links[1].id: paid.id}

    def test_claimed_for_two_links_it_is_nobodys(self, storage, payments):
        links = [ask(storage, contract=ONE, amount=amount) for amount in (1_000, 2_000)]
        paid = payments.pay(links[0])
        for link in links:
            claim(storage, link, paid.hash, payments.now)
        everything(storage, payments)
        assert [told(storage, link) for link in links] == [[("transaction", "ambiguous")]] * 2

    def test_a_claim_is_not_lost_when_the_transaction_is_handed_in_too_late(self, storage, payments):
        links = [ask(storage, contract=ONE) for _ in range(2)]
        paid = payments.pay(links[0])
        index(storage, payments, START, payments.last)
        claim(storage, links[1], paid.hash, LATER)
        submit(storage, links[1], paid, LATER)
        assert completed(storage) == {links[1].id: paid.id}

    def test_nor_is_a_transaction_that_was_handed_in_late_and_is_claimed_then(self, storage, payments):
        links = [ask(storage, contract=ONE) for _ in range(2)]
        paid = payments.pay(links[0])
        index(storage, payments, START, payments.last)
        submit(storage, links[1], paid, LATER)
        assert told(storage, links[1]) == [("terms", "ambiguous")]
        claim(storage, links[1], paid.hash, LATER)
        assert completed(storage) == {links[1].id: paid.id}

    def test_a_payment_to_a_deleted_link_is_still_told(self, storage, payments):
        link = ask(storage)
        paid = payments.pay(link)
        submit(storage, link, paid, payments.now)
        take_back(storage, link, payments.now - 1, "deleted_at")
        index(storage, payments, START, payments.last)
        assert told(storage, link) == [("transaction", "after-cancel")]

    def test_a_link_that_is_taken_back_counts_no_more_among_equal_ones(self, storage, payments):
        """The clock of the chain may be a little ahead of the service's."""
        links = [ask(storage, contract=ONE) for _ in range(2)]
        paid = payments.pay(links[0])
        everything(storage, payments)
        assert told(storage, links[1]) == [("terms", "ambiguous")]
        take_back(storage, links[0], payments.now - 1)
        assert completed(storage) == {links[1].id: paid.id}
