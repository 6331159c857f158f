"""Links among the results of ``/search``: for whoever holds a slug or an id, and paid ones by their transaction."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest

from stellarstream_invoice_links import search
from stellarstream_invoice_links.model import MatchedBy, Outcome
from stellarstream_nebula.hookspecs import SearchQuery, SearchResult
from tests.invoice_links.kit import COIN, OWNER, PAYER, RECEIVER, TWO, put_link, put_payment, put_submission

BASE = "/api/v1"


@pytest.fixture
def storage(kept_storage):
    return kept_storage


@pytest.fixture
def find(storage):
    """Return a function that searches for a text, or for a transaction, as the hook is asked."""

    def ask(text: str, limit: int = 20) -> list[SearchResult]:
        tx_hash = text.lower() if len(text) == 64 else None
        query = SearchQuery(text, None, tx_hash)
        return list(storage.read(lambda database: search.find_links(database, query, limit)))

    return ask


def of(link, matched: str, status: str) -> SearchResult:
    return SearchResult("invoice-link", link.id, matched, f"Invoice link, {status}", f"/invoice-links/{link.slug}")


def test_a_link_is_found_by_its_whole_slug_and_by_its_id(find, make_link):
    link, _ = make_link(description="secret"), make_link()
    assert find(link.slug) == [of(link, "slug", "draft")]
    assert find(link.id) == [of(link, "id", "draft")]
    for text in (link.slug[:-1], link.slug + "x", link.slug.swapcase(), link.id[:-1], link.id.upper()):
        assert find(text) == []


@pytest.mark.parametrize(
    "text", [OWNER, RECEIVER, PAYER, COIN, TWO, "secret", "Rent for May", "1000", "draft", "%", ""]
)
def test_nothing_else_of_a_link_finds_it(find, make_link, text):
    make_link(description="Rent for May secret", pdf_url="https://example.com/secret")
    assert find(text) == []


@pytest.mark.parametrize("over", ["expires_at", "canceled_at", "deleted_at"])
def test_a_link_that_is_not_shown_is_not_found_unless_it_is_paid(storage, find, make_link, over):
    link = make_link(**{over: int(time.time()) - 1})
    assert find(link.slug) == find(link.id) == []
    put_payment(storage, link)
    assert find(link.slug) == [of(link, "slug", "completed")]


def test_a_paid_link_is_found_by_the_transactions_that_paid_it_or_were_submitted_for_it(storage, find, make_link):
    link = put_submission(storage, make_link())
    link = put_payment(storage, link, 1)
    put_payment(storage, link, 2, outcome=Outcome.REPEATED, ledger=101)
    repeated = f"{101:032x}{2:032x}"
    for tx_hash in (link.completed.tx_hash, link.submitted, repeated, link.submitted.upper()):
        assert find(tx_hash) == [of(link, "txHash", "completed")]
    assert find("0" * 64) == []


def test_a_link_that_is_open_is_not_found_by_a_transaction(storage, find, make_link):
    """Transactions are public: that would tell the slug to whoever watches the network."""
    link = put_submission(storage, make_link())
    put_payment(storage, link, 3, outcome=Outcome.UNDERPAID)
    assert find(link.submitted) == find(f"{100:032x}{3:032x}") == []


def test_what_its_owner_alone_says_or_what_fits_many_finds_no_link(storage, find, make_link):
    link = put_submission(storage, make_link(), origin="owner")
    link = put_payment(storage, link, 4)
    put_payment(storage, link, 5, outcome=Outcome.AMBIGUOUS, by=MatchedBy.TERMS, ledger=102)
    assert find(link.completed.tx_hash) == [of(link, "txHash", "completed")]
    assert find(link.submitted) == find(f"{102:032x}{5:032x}") == []


def test_no_more_are_found_than_are_asked_for(storage, find, make_link):
    for number in range(4):
        link = put_payment(storage, make_link(), number, ledger=200 + number)
        put_payment(storage, link, 9, outcome=Outcome.REPEATED)
    assert len(find(f"{100:032x}{9:032x}")) == 4
    assert len(find(f"{100:032x}{9:032x}", limit=2)) == 2


# --- over HTTP --------------------------------------------------------------------------------------


def test_whoever_searches_for_a_slug_gets_the_link_s_place_and_no_text_of_its_maker_s(links):
    made = links.make(description="<script>alert(1)</script>")
    for text, matched in ((made["slug"], "slug"), (f" {made['id']} ", "id")):
        said = links.ask("GET", f"/search?q={quote(text)}", account=None)
        assert said.json["items"] == [
            {
                "kind": "invoice-link",
                "id": made["id"],
                "matched": matched,
                "title": "Invoice link, draft",
                "path": f"/invoice-links/{made['slug']}",
                "stream": None,
            }
        ]
        assert links.ask("GET", said.json["items"][0]["path"], account=None).json["id"] == made["id"]
    links.set_status(made["id"], "CANCELED")
    assert links.ask("GET", f"/search?q={made['slug']}", account=None).json["items"] == []


def test_the_transaction_of_a_paid_link_finds_it(links):
    link = put_payment(links.storage, put_link(links.storage))
    items = links.ask("GET", f"/search?q={link.completed.tx_hash}", account=None).json["items"]
    assert [(item["kind"], item["id"]) for item in items] == [("invoice-link", link.id)]
