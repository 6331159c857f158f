"""A payment that is handed in to be the only one: of two payers at once the second is told, and pays nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from stellar_sdk.xdr import TransactionResultCode as Code

from stellarstream_invoice_links.tables import InvoiceSubmission
from stellarstream_nebula.transactions.relay import LOOK_SECONDS
from tests.api.kit import Running, Said
from tests.invoice_links.kit import put_submission
from tests.invoice_links.pay_kit import (
    PAYER,
    PayChain,
    digest,
    fresh_chain,
    is_accepted,
    link_of,
    paid,
    post,
    submissions,
    submit,
)
from tests.nebula.relay_kit import BOB, result_xdr

EITHER = pytest.mark.parametrize("api", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def api(request, link_api_of) -> Running:
    return link_api_of(getattr(request, "param", "sqlite")).running


@pytest.fixture
def chain(api) -> PayChain:
    return fresh_chain(api)


def submit_alone(api: Running, slug: str, text: str) -> Said:
    return post(api, slug, "submit", {"xdr": text, "alone": True})


@EITHER
def test_of_two_payers_at_once_one_pays_and_the_other_is_told(api, chain):
    link = link_of(api)
    texts = [paid(link, PAYER), paid(link, BOB)]
    together = threading.Barrier(2, timeout=10)

    def hand_in(text: str) -> Said:
        together.wait()
        return submit_alone(api, link.slug, text)

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(hand_in, texts))
    taken, refused = sorted(zip(said, texts, strict=True), key=lambda one: one[0].status)
    assert [taken[0].status, refused[0].status, refused[0].code] == [202, 409, "payment-under-way"]
    assert refused[0].json["txHash"] == digest(taken[1])
    assert [row.tx_hash for row in submissions(api, link)] == [digest(taken[1])]
    assert not is_accepted(api, digest(refused[1]))
    assert len(chain.handed) == 1


def test_the_same_again_is_no_other_one(api, chain):
    link = link_of(api)
    text = paid(link)
    assert [submit_alone(api, link.slug, text).status for _ in range(2)] == [202, 202]


def test_who_does_not_ask_for_that_pays_all_the_same(api, chain):
    link = link_of(api)
    assert submit_alone(api, link.slug, paid(link)).status == 202
    assert submit(api, link.slug, paid(link, BOB)).status == 202
    assert len(chain.handed) == 2


def test_after_one_that_failed_the_next_is_taken(api, chain):
    link = link_of(api)
    first = paid(link)
    submit_alone(api, link.slug, first)
    chain.applied(digest(first), 103, result=result_xdr(Code.txBAD_SEQ))
    chain.skipped += LOOK_SECONDS
    assert api.get(f"/api/v1/transactions/{digest(first)}").json["status"] == "FAILED"
    assert submit_alone(api, link.slug, paid(link, BOB)).status == 202


def test_one_that_is_applied_and_not_indexed_yet_is_under_way(api, chain):
    link = link_of(api)
    first = paid(link)
    submit_alone(api, link.slug, first)
    chain.applied(digest(first), 103)
    chain.skipped += LOOK_SECONDS
    assert api.get(f"/api/v1/transactions/{digest(first)}").json["status"] == "SUCCESS"
    said = submit_alone(api, link.slug, paid(link, BOB))
    assert (said.status, said.code, said.json["txHash"]) == (409, "payment-under-way", digest(first))


def test_that_the_link_s_owner_names_a_payment_hides_no_other(api, chain):
    """Who is paid may name what is not handed in yet; another one is under way all the same."""
    link = link_of(api)
    first, second = paid(link), paid(link, BOB)
    submit_alone(api, link.slug, first)
    put_submission(api.storage, link, digest(second), origin="owner")
    named = InvoiceSubmission.update(submitted_at=2**31).where(InvoiceSubmission.tx_hash == digest(second))
    api.storage.write(named.execute)
    said = submit_alone(api, link.slug, second)
    assert (said.status, said.code, said.json["txHash"]) == (409, "payment-under-way", digest(first))
