"""Codes and invoices over HTTP: for whoever may see the link, revalidated, and harmless where they are opened."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256

import pytest

from stellarstream_core.testing.scripted import made_contract
from stellarstream_invoice_links.invoice_pdf import Invoices, document_of
from stellarstream_invoice_links.qr import qr_png, qr_svg
from stellarstream_invoice_links.tokens import TokenFacts
from tests.api.kit import Said
from tests.invoice_links.kit import COIN, LINKS, PUBLIC, put_link, put_payment, put_submission
from tests.invoice_links.picture_kit import COIN_SAYS, TokenChain, drawn, pdf_text, read_png, scanned

KINDS = {
    "qr.svg": ("image/svg+xml", "svg"),
    "qr.png": ("image/png", "png"),
    "invoice.pdf": ("application/pdf", "pdf"),
}
EVERY = pytest.mark.parametrize("name", sorted(KINDS))


@pytest.fixture
def api(links):
    """An API whose chain knows the token of the links."""
    if not isinstance(links.running.service.chain, TokenChain):
        links.running.service.chain = TokenChain({COIN: COIN_SAYS})
    return links


def get(api, slug: str, name: str, *headers: str) -> Said:
    return api.running.get(f"{LINKS}/{slug}/{name}", *headers)


# --- what comes -------------------------------------------------------------------------------------


def test_the_svg_is_the_code_of_the_pay_page(api):
    link = put_link(api.storage)
    said = get(api, link.slug, "qr.svg")
    assert (said.status, said.body) == (200, qr_svg(f"{PUBLIC}/invoice/{link.slug}"))
    assert scanned(drawn(said.body)) == [api.read(link.slug).json["payUrl"]]


def test_the_png_is_the_code_of_the_pay_page(api):
    link = put_link(api.storage)
    said = get(api, link.slug, "qr.png")
    assert (said.status, said.body) == (200, qr_png(f"{PUBLIC}/invoice/{link.slug}", 512))
    assert scanned(read_png(said.body)) == [api.read(link.slug).json["payUrl"]]


@pytest.mark.parametrize("size", [128, 300, 2_048])
def test_a_png_has_the_size_that_is_asked_for(api, size):
    link = put_link(api.storage)
    said = get(api, link.slug, f"qr.png?size={size}")
    assert said.body == qr_png(f"{PUBLIC}/invoice/{link.slug}", size)


@pytest.mark.parametrize("query", ["size=127", "size=2049", "size=0", "size=-512", "size=9e9", "size=", "scale=4"])
def test_another_size_is_refused(api, query):
    link = put_link(api.storage)
    said = get(api, link.slug, f"qr.png?{query}")
    assert (said.status, said.code) == (400, "invalid-parameter")


def test_the_invoice_says_the_terms_in_the_tokens_own_decimals(api):
    link = put_link(api.storage, amount=15_000_000, description='for #strong("work")')
    said = get(api, link.slug, "invoice.pdf")
    text = pdf_text(said.body)
    assert "1.5 USDC" in text
    assert "exactly 15000000" in text
    assert link.terms.receiver in text
    assert 'for #strong("work")' in text
    assert api.read(link.slug).json["payUrl"] in text


def test_an_invoice_of_what_is_no_token_tells_the_smallest_unit(api):
    link = put_link(api.storage, amount=15_000_000, token=made_contract(77))
    said = get(api, link.slug, "invoice.pdf")
    assert said.status == 200
    assert "15,000,000 15000000 in the token's smallest unit" in pdf_text(said.body)


# --- how it comes -----------------------------------------------------------------------------------


@EVERY
def test_it_has_its_type_and_a_safe_name_and_no_rights(api, name):
    link = put_link(api.storage)
    said = get(api, link.slug, name)
    kind, ending = KINDS[name]
    assert said.header("Content-Type") == kind
    assert said.header("Content-Disposition") == f'inline; filename="invoice-{link.slug}.{ending}"'
    assert said.header("X-Content-Type-Options") == "nosniff"
    assert said.header("Referrer-Policy") == "no-referrer"
    assert said.header("Cross-Origin-Resource-Policy") == "cross-origin"
    assert said.header("Cache-Control") == "no-cache"


def test_an_svg_that_is_opened_may_do_nothing(api):
    said = get(api, put_link(api.storage).slug, "qr.svg")
    policy = said.header("Content-Security-Policy").split("; ")
    assert {"default-src 'none'", "sandbox", "frame-ancestors 'none'"} == set(policy)


@EVERY
def test_it_is_sent_again_only_where_it_changed(api, name):
    link = put_link(api.storage)
    said = get(api, link.slug, name)
    held = said.header("ETag")
    assert held.startswith('"')
    again = get(api, link.slug, name, f"If-None-Match: {held}")
    assert (again.status, again.body, again.header("ETag")) == (304, b"", held)
    assert get(api, put_link(api.storage).slug, name, f"If-None-Match: {held}").status == 200


def test_sizes_have_tags_of_their_own(api):
    link = put_link(api.storage)
    tags = {get(api, link.slug, name).header("ETag") for name in ("qr.svg", "qr.png?size=300", "qr.png?size=600")}
    assert len(tags) == 3


@EVERY
def test_a_link_that_is_paid_is_shown_with_the_same_bytes(api, name):
    link = put_link(api.storage)
    before = get(api, link.slug, name)
    put_submission(api.storage, link, sha256(link.id.encode()).hexdigest())
    put_payment(api.storage, link)
    after = get(api, link.slug, name)
    assert (after.status, after.body, after.header("ETag")) == (200, before.body, before.header("ETag"))


# --- whose it is ------------------------------------------------------------------------------------


@EVERY
def test_an_unknown_link_has_none(api, name):
    said = get(api, "AbCdEfGhIj99", name)
    assert (said.status, said.code) == (404, "link-not-found")


@EVERY
@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"expires_at": 100}, 410, "link-expired"),
        ({"canceled_at": 100}, 410, "link-cancelled"),
        ({"deleted_at": 100}, 404, "link-not-found"),
    ],
)
def test_a_link_that_is_over_has_none_even_where_it_was_seen_before(api, name, changes, status, code):
    link = put_link(api.storage, **changes)
    held = document_of(link, TokenFacts(COIN, 7, "USDC", "US Dollar", 100), PUBLIC).digest
    said = get(api, link.slug, name, f'If-None-Match: "{held}", *')
    assert (said.status, said.code) == (status, code)
    assert api.read(link.slug).code == code


@EVERY
def test_a_paid_link_has_them_for_ever(api, name):
    link = put_link(api.storage, expires_at=int(time.time()) + 1_000)
    put_payment(api.storage, link)
    for changes in ({"expires_at": 100}, {"deleted_at": 100}):
        paid = put_payment(api.storage, put_link(api.storage, **changes))
        assert get(api, paid.slug, name).status == 200


@pytest.mark.parametrize("slug", ["short", "A" * 33, "AbCdEfGhIj1%00", "..%2f..%2fetc", "AbCdEfGhIj1%22"])
@EVERY
def test_what_is_no_slug_is_no_file(api, slug, name):
    assert get(api, slug, name).status in {400, 404}


# --- how often it is made ---------------------------------------------------------------------------


def test_many_who_ask_for_an_invoice_have_it_made_once(api, monkeypatch):
    link = put_link(api.storage, description="once")
    made = []
    set_it = Invoices._set

    def counted(self, document):
        made.append(document.digest)
        return set_it(self, document)

    monkeypatch.setattr(Invoices, "_set", counted)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: get(api, link.slug, "invoice.pdf"), range(16)))
    assert {(said.status, said.body) for said in answers} == {(200, answers[0].body)}
    assert len(made) == 1
    assert f'"{made[0]}"' == answers[0].header("ETag")
    token = TokenFacts(COIN, 7, "USDC", "US Dollar", 100)
    assert made[0] == document_of(link, token, PUBLIC).digest
    assert made[0] != document_of(replace(link, description="twice"), token, PUBLIC).digest
