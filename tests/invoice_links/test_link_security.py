"""What strangers, guessers and hostile makers of links try, and what comes of it."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import aiohttp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError
from yarl import URL

from stellarstream_invoice_links.creating import LONGEST_URL, InvoiceLinkRequest
from stellarstream_invoice_links.links import link_by_id
from stellarstream_invoice_links.slugs import make_slug
from stellarstream_invoice_links.tables import InvoiceLink
from tests.invoice_links.kit import BODY, COIN, LINKS, OTHER, OWNER, LinkApi, key_of, put_link, put_submission
from tests.nebula.ledgers import PEOPLE
from tests.nebula.relay_kit import wallet

CLIENTS = 8


@pytest.fixture
def sandbox(link_api_of) -> LinkApi:
    return link_api_of("sqlite")


def stored(links: LinkApi, link_id: str):
    return links.storage.read(lambda database: link_by_id(database, link_id))


def count_of(links: LinkApi, owner: str) -> int:
    return links.storage.read(lambda database: InvoiceLink.select().where(InvoiceLink.owner == owner).count(database))


# --- other people's links ---------------------------------------------------------------------------


@pytest.mark.parametrize("ref", ["id", "slug"])
def test_nobody_else_changes_a_link_nor_learns_that_it_is_there(links, ref):
    made = links.make()
    before = stored(links, made["id"])
    answers = {
        links.set_status(made[ref], "CANCELED", account=OTHER).body,
        links.set_status(made[ref], "SIGNED", account=OTHER, txHash="ab" * 32).body,
        links.set_status(made[ref], "COMPLETED", account=OTHER).body,
        links.delete(made[ref], account=OTHER).body,
    }
    nothing = links.delete("0" * 12, account=OTHER)
    assert (nothing.status, nothing.code) == (404, "link-not-found")
    assert {without_request(body) for body in answers} == {without_request(nothing.body)}
    assert stored(links, made["id"]) == before


def without_request(body: bytes) -> str:
    return json.dumps({name: value for name, value in json.loads(body).items() if name != "instance"}, sort_keys=True)


def test_who_is_not_logged_in_changes_nothing(links):
    made = links.make()
    before = stored(links, made["id"])
    answers = [
        links.set_status(made["id"], "CANCELED", account=None),
        links.delete(made["id"], account=None),
        links.try_to_make(account=None),
        links.ask("GET", "/invoice-links", account=None),
    ]
    assert {said.status for said in answers} == {401}
    assert stored(links, made["id"]) == before


def test_a_key_that_may_only_read_changes_nothing(sandbox):
    made = sandbox.make()
    read_only = f"X-API-Key: {key_of(sandbox.storage, OWNER, 'read')}"

    def ask(method: str, path: str, body: object = None):
        return sandbox.ask(method, path, body, account=None, headers=(read_only,))

    assert ask("GET", "/invoice-links").status == 200
    assert ask("POST", "/invoice-links", BODY).status == 403
    assert ask("PATCH", f"/invoice-links/{made['id']}/status", {"status": "CANCELED"}).status == 403
    assert ask("DELETE", f"/invoice-links/{made['id']}").status == 403


def test_an_owner_s_other_links_are_not_found_from_one(links):
    """A payer sees the account that made a link; that leads to none of its others."""
    secret = links.make(description="for somebody else")
    for query in (f"sender={OWNER}", f"owner={OWNER}", f"account={OWNER}"):
        said = links.ask("GET", f"/invoice-links?{query}", account=OTHER)
        assert (said.status, said.code) == (400, "invalid-parameter")
    assert secret["id"] not in {one["id"] for one in links.own(account=OTHER)}


# --- guessing ---------------------------------------------------------------------------------------


def test_who_guesses_slugs_is_stopped_and_told_the_same_of_each(link_api_of):
    api = link_api_of("sqlite", rate_limit="12/minute")
    real = put_link(api.storage)
    said = [api.read(make_slug()) for _ in range(30)]
    assert Counter(one.status for one in said) == {404: 12, 429: 18}
    assert len({without_request(one.body) for one in said if one.status == 404}) == 1
    assert all(int(one.header("Retry-After")) >= 1 for one in said if one.status == 429)
    assert api.read(real.slug).status == 429


# --- texts ------------------------------------------------------------------------------------------

NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</textarea><svg/onload=alert(1)>",
    "'; DROP TABLE invoice_links; --",
    "{{7*7}} ${7*7} <%= 7 %> #{7}",
    "=cmd|' /C calc'!A0",
    "\\u003cscript\\u003e \\\\ \\n",
    "line one\nline two\ttabbed",
    "שלום עולם, مرحبا",
    "🌊👩‍👩‍👧‍👦 é e\u0301",
    "x" * 1_000,
    "🌊" * 1_000,
)


@pytest.mark.parametrize("text", NASTY)
def test_a_description_comes_back_as_it_was_given_and_as_json_alone(links, text):
    made = links.make(description=text)
    said = links.read(made["slug"])
    assert said.json["description"] == made["description"] == text
    assert said.header("Content-Type") == "application/json"
    assert said.header("X-Content-Type-Options") == "nosniff"


@pytest.mark.parametrize(
    "text",
    [
        *(f"a{chr(code)}b" for code in (*range(1, 9), 11, 12, *range(14, 32), *range(127, 160))),
        "a\rb",
        "a\u2028b",
        "a\u2029b",
        "pay \u202etxt.exe",
        *(f"a{chr(code)}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))),
    ],
)
def test_what_is_not_seen_or_turns_text_around_is_refused(sandbox, text):
    said = sandbox.try_to_make(description=text)
    assert (said.status, said.code) == (422, "invalid-body")
    assert [error["field"] for error in said.json["errors"]] == ["body.description"]


@pytest.mark.parametrize("body", [b'"a\\u0000b"', b'"\\ud800"', b'"\xff"'])
def test_what_is_no_text_is_refused(sandbox, body):
    raw = json.dumps({**BODY, "description": "HERE"}).encode().replace(b'"HERE"', body)
    said = sandbox.ask("POST", "/invoice-links", raw)
    assert (said.status, said.code) == (400, "malformed-body")


@pytest.mark.parametrize("field", ["receiver", "tokenAddress", "contractId", "amount", "pdfUrl", "expiresAt"])
@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\u202e", "\u0007", "a\nb", " "])
def test_no_other_field_takes_a_text(sandbox, field, text):
    said = sandbox.try_to_make(**{field: text})
    assert said.status == 422
    assert "<script" not in said.body.decode() or said.header("Content-Type") == "application/problem+json"


@pytest.mark.parametrize("place", ["before", "after", "between"])
@pytest.mark.parametrize("mark", ["\u202e", "\u200b", "\n", "\t", " ", "\u0000"])
def test_nothing_hides_in_an_address(sandbox, place, mark):
    for field, whole in (("receiver", BODY["receiver"]), ("tokenAddress", COIN)):
        text = {"before": mark + whole, "after": whole + mark, "between": whole[:9] + mark + whole[9:]}[place]
        assert sandbox.try_to_make(**{field: text}).status in {400, 422}


@given(st.text(max_size=40))
@example("a\r\nb")
@example("\r\n")
def test_any_description_is_taken_as_it_is_or_refused(text):
    try:
        taken = InvoiceLinkRequest.model_validate({**BODY, "description": text}).description
    except ValidationError:
        assert any(unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for one in text)
        return
    plain = text.replace("\r\n", "\n")
    assert taken == (plain if plain.strip() else None)
    assert not any(unicodedata.category(one) == "Cc" for one in (taken or "").translate({10: None, 9: None}))


# --- addresses of PDFs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/",
        "https://files.example.co.uk:8443/a/b.pdf?x=1&y=%20#page=2",
        "https://xn--bcher-kva.example/rechnung.pdf",
        "https://example.com?q",
        "https://a-b.example:65535/(1)/~x//!$&'*+,;=:@?/?#/?",
        "https://example.com/" + "a" * (LONGEST_URL - 20),
    ],
)
def test_an_https_address_of_a_pdf_is_taken(sandbox, url):
    assert sandbox.make(pdfUrl=url)["pdfUrl"] == url


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "http://example.com/a.pdf",
        "HTTPS://example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "//example.com",
        "/invoice.pdf",
        "example.com",
        "",
        " https://example.com",
        "https://example.com ",
        "https://example.com/a b",
        "https://example.com/\n",
        "https://exa\tmple.com",
        "https://",
        "https:///a.pdf",
        "https://?x",
        "https://#x",
        "https://.",
        "https://.com",
        "https://example.com.",
        "https://example..com",
        "https://-a.example",
        "https://a-.example",
        "https://localhost/a.pdf",
        "https://intranet",
        "https://127.0.0.1/a.pdf",
        "https://2130706433",
        "https://0x7f.0x1",
        "https://1.2.3.0x7f",
        "https://[::1]/a.pdf",
        "https://user@example.com",
        "https://user:password@example.com",
        "https://example.com@evil.example",
        "https://example.com:443@evil.example",
        "https://example.com\\@evil.example",
        "https:\\\\example.com",
        "https:/example.com",
        "https:example.com",
        "https://example.com:",
        "https://example.com:x",
        "https://example.com:0",
        "https://example.com:65536",
        "https://example.com:123456",
        "https://exämple.com",
        "https://example.com/ä",
        "https://example.com/\u202efdp.exe",
        "https://example.com/%",
        "https://example.com/%g0",
        "https://example.com/[1]",
        "https://example.com/a#b#c",
        "https://example.com/<script>",
        'https://example.com/"onclick="x',
        "https://example.com/`x`",
        "https://example.com/{x}|^",
        "https://" + "a." * 130 + "example",
        "https://example.com/" + "a" * LONGEST_URL,
        5,
        ["https://example.com"],
    ],
)
def test_any_other_address_is_refused(sandbox, url):
    said = sandbox.try_to_make(pdfUrl=url)
    assert (said.status, said.code) == (422, "invalid-body"), said.body
    assert {error["field"] for error in said.json["errors"]} == {"body.pdfUrl"}


URL_PIECES = st.sampled_from(
    ["https://", "http://", "a", "example", ".", "com", ":", "443", "/", "\\", "@", "?", "#", "%20", "%", "[", "]",
     "::1", " ", "\n", "\t", "ä", "。", "xn--", "-", "_", "0x7f", "127.0.0.1", "&", ";", "'", '"', "<", ">"]
)  # fmt: skip


@given(st.lists(URL_PIECES, max_size=8).map(lambda pieces: "https://example.com" + "".join(pieces)) | st.text())
@example("https://example.com:443@evil.example")
def test_an_address_that_is_taken_means_the_same_to_everybody_who_reads_it(text):
    try:
        taken = InvoiceLinkRequest.model_validate({**BODY, "pdfUrl": text}).pdf_url
    except ValidationError:
        return
    assert taken == text
    read, other = urlsplit(text), URL(text)
    assert (read.scheme, other.scheme) == ("https", "https")
    assert read.hostname == other.host
    assert "." in read.hostname
    assert (read.username, read.password, other.user, other.password) == (None, None, None, None)
    assert text.isascii()
    assert text.isprintable()
    assert not set(text) & set('\\ "<>`^{|}')


# --- amounts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "amount",
    [
        0, 1, 1000, 1.5, -1, True, None, [], {}, "", " ", "0", "-1", "+1", "-0", "01", "1.0", "1.5", "1e3", "1E3",
        "0x10", "1_000", "1,000", " 1", "1 ", "1\n", "１０００", "١٠٠٠", "𝟙𝟘", "1\u200b", "NaN", "Infinity", "∞",
        "9" * 40, "1" + "0" * 5_000,
    ],
)  # fmt: skip
def test_what_is_no_whole_amount_in_plain_digits_is_refused(sandbox, amount):
    raw = json.dumps({**BODY, "amount": amount}).encode()
    said = sandbox.ask("POST", "/invoice-links", raw)
    assert (said.status, said.code) == (422, "invalid-body")
    assert [error["field"] for error in said.json["errors"]] == ["body.amount"]


def test_amounts_are_taken_up_to_what_a_contract_can_hold_and_not_one_more(links):
    most = 2**127 - 1
    assert links.make(amount=str(most))["amount"] == str(most)
    said = links.try_to_make(amount=str(most + 1))
    assert (said.status, [error["field"] for error in said.json["errors"]]) == (422, ["body.amount"])
    assert links.make(amount="1")["amount"] == "1"


# --- repeating --------------------------------------------------------------------------------------


def test_a_create_that_is_repeated_with_its_key_makes_one_link(links):
    owner = PEOPLE[0]
    key = ("Idempotency-Key: invoice-7",)
    first = links.try_to_make(account=owner, headers=key)
    again = links.try_to_make(account=owner, headers=key)
    assert (first.status, again.status) == (201, 201)
    assert (again.body, again.header("Location")) == (first.body, first.header("Location"))
    assert (first.header("Idempotency-Replayed"), again.header("Idempotency-Replayed")) == (None, "true")
    other = links.try_to_make(account=owner, headers=key, amount="1001")
    assert (other.status, other.code) == (422, "idempotency-conflict")
    assert count_of(links, owner) == 1
    mine = links.try_to_make(account=PEOPLE[1], headers=key)
    assert (mine.status, mine.json["sender"]) == (201, PEOPLE[1])
    assert mine.json["id"] != first.json["id"]


def test_a_create_that_was_repeated_later_tells_the_link_as_it_was_made(links):
    """The stored answer is that of the first request, also when the link is taken back or gone by then."""
    owner = PEOPLE[2]
    first = links.try_to_make(account=owner, headers=("Idempotency-Key: k",))
    assert links.set_status(first.json["id"], "CANCELED", account=owner).status == 200
    assert links.delete(first.json["id"], account=owner).status == 204
    assert links.try_to_make(account=owner, headers=("Idempotency-Key: k",)).body == first.body
    assert count_of(links, owner) == 1


def test_a_create_that_was_refused_may_be_tried_again_with_its_key(links):
    owner = PEOPLE[3]
    key = ("Idempotency-Key: k",)
    assert links.try_to_make(account=owner, headers=key, contractId=COIN).code == "contract-not-served"
    assert links.try_to_make(account=owner, headers=key).status == 201


def test_where_the_answer_cannot_be_kept_there_is_no_link_either(links, monkeypatch):
    from stellarstream_core.api.limits import idempotency

    def lost(*_: object) -> None:
        raise idempotency.ClaimLostError("Another request has the key now.")

    owner = PEOPLE[4]
    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "finish_within", lost)
        said = links.try_to_make(account=owner, headers=("Idempotency-Key: k",))
    assert (said.status, said.code) == (409, "idempotency-claim-lost")
    assert count_of(links, owner) == 0


def posted(links: LinkApi, owner: str, each: int, headers: dict[str, str]) -> list[tuple[int, dict]]:
    """Let eight clients ask for links at once, each so many times, and return what they were told."""
    url, key = f"{links.running.url}{LINKS}", key_of(links.storage, owner)

    async def one(session: aiohttp.ClientSession) -> list[tuple[int, dict]]:
        told = []
        for _ in range(each):
            async with session.post(url, json=BODY, headers={"X-API-Key": key, **headers}) as response:
                told.append((response.status, await response.json(content_type=None)))
        return told

    async def everybody() -> list[tuple[int, dict]]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CLIENTS)) as session:
            told = await asyncio.gather(*(one(session) for _ in range(CLIENTS)))
        return [one for client in told for one in client]

    return asyncio.run(everybody())


def test_the_same_create_from_eight_clients_at_once_makes_one_link(links):
    owner = wallet(77).public_key
    told = posted(links, owner, 2, {"Idempotency-Key": "the-same"})
    assert {(status, body.get("code")) for status, body in told} <= {(201, None), (409, "idempotency-running")}
    assert len({body["id"] for status, body in told if status == 201}) == 1
    assert count_of(links, owner) == 1


# --- making many ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_mass_creation_by_eight_clients_ends_exactly_at_the_limit(link_api_of, dialect):
    api = link_api_of(dialect, sections={"invoice-links": {"most_open_links": 11}})
    told = posted(api, OWNER, 4, {})
    assert Counter((status, body.get("code")) for status, body in told) == {
        (201, None): 11,
        (429, "too-many-links"): 21,
    }
    assert count_of(api, OWNER) == 11
    assert len({body["slug"] for status, body in told if status == 201}) == 11
    assert api.try_to_make(account=OTHER).status == 201, "the limit is each account's own"
    refused = api.try_to_make()
    assert int(refused.header("Retry-After")) >= 1
    first = next(body for status, body in told if status == 201)
    assert api.set_status(first["id"], "CANCELED").status == 200
    assert api.try_to_make().status == 201, "what is over makes room"
    assert api.try_to_make().code == "too-many-links"


def test_clients_that_cancel_delete_and_sign_at_once_leave_one_story(links):
    """Whatever comes first: a link that was deleted is never signed later, nor one that was cancelled."""
    for _ in range(3):
        link = put_link(links.storage)
        acts = [
            lambda link=link: links.set_status(link.id, "CANCELED"),
            lambda link=link: links.set_status(link.id, "SIGNED", txHash="ab" * 32),
            lambda link=link: links.delete(link.id),
        ] * 2
        with ThreadPoolExecutor(len(acts)) as pool:
            said = [one.status for one in pool.map(lambda act: act(), acts)]
        assert set(said) <= {200, 204, 404, 409}
        found = stored(links, link.id)
        assert said.count(204) == int(found.deleted_at is not None)
        if found.deleted_at is not None:
            assert found.submitted is None or found.canceled_at is not None
        elif found.submitted is not None and found.canceled_at is None:
            raise AssertionError("two clients cancelled it")


def test_a_signed_link_is_deleted_only_after_it_is_cancelled(links):
    link = put_submission(links.storage, put_link(links.storage))
    assert links.delete(link.slug).code == "link-not-deletable"
    assert stored(links, link.id) == link
