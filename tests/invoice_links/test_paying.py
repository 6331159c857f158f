"""Paying: the transaction that a link asks for, built for whoever asks, and only that one taken back signed."""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from stellar_sdk import Keypair, MuxedAccount
from stellar_sdk.sep.stellar_uri import TransactionStellarUri
from stellar_sdk.xdr import TransactionResultCode as Code

from stellarstream_core.events import format_close_time
from stellarstream_core.xdr.scval import Arm, ScValue, decode_scval, encode_scval
from stellarstream_invoice_links.arguments import pack
from stellarstream_invoice_links.model import LATEST_START_SECONDS, Link
from stellarstream_invoice_links.payment_terms import SHORTEST_SECONDS
from stellarstream_nebula.transactions import calls
from stellarstream_nebula.transactions.relay import LOOK_SECONDS
from stellarstream_nebula.transactions.service import Transactions
from tests.api.kit import Running, Said
from tests.invoice_links.kit import LINKS, RECEIVER, THREE, TWO, put_payment, put_submission
from tests.invoice_links.pay_kit import (
    PAYER,
    PayChain,
    arguments_in,
    bounds_of,
    build,
    call_of,
    change,
    digest,
    envelope_of,
    fresh_chain,
    is_accepted,
    link_of,
    paid,
    post,
    read_back,
    status_of,
    submissions,
    submit,
)
from tests.nebula.relay_kit import BOB, FOREIGN, PASSPHRASE, PUBNET, result_xdr, signed, works
from tests.nebula.test_build import created_v2

FORM = "Content-Type: application/x-www-form-urlencoded"
PUBLIC_URL = "https://pay.example.org"
KEY = Keypair.from_raw_ed25519_seed(bytes(range(32)))
VERSIONS = pytest.mark.parametrize("version", ["v1", "v2"])


EITHER = pytest.mark.parametrize("api", ["sqlite", "postgresql"], indirect=True)
"""For what the database has a part in."""


@pytest.fixture
def api(request, link_api_of) -> Running:
    sections = {"invoice-links": {"uri_signing_key": KEY.secret}}
    return link_api_of(getattr(request, "param", "sqlite"), sections=sections, public_url=PUBLIC_URL).running


@pytest.fixture
def chain(api) -> PayChain:
    """The chain that the service reads: made anew, with what the service keeps for its own."""
    return fresh_chain(api)


def refused(said: Said, status: int, code: str) -> Said:
    assert (said.status, said.code) == (status, code), said.body
    return said


# --- a transaction to sign ------------------------------------------------------------------------


@VERSIONS
def test_a_payer_gets_the_transaction_that_the_link_asks_for_starting_now(api, chain, version):
    link = link_of(api, version)
    before = int(time.time())
    said = build(api, link.slug)
    after = int(time.time())
    assert said.status == 200, said
    assert set(said.json) == {"transaction", "stream", "sep7Uri"}
    transaction, stream = said.json["transaction"], said.json["stream"]
    envelope = read_back(transaction["xdr"])
    assert not envelope.signatures
    assert (transaction["hash"], transaction["networkPassphrase"]) == (envelope.hash_hex(), PASSPHRASE)
    assert transaction["validUntil"] == format_close_time(bounds_of(transaction["xdr"])[1])
    start = int(datetime.fromisoformat(stream["startTime"]).timestamp())
    assert before <= start <= after
    memo = link.slug if version == "v2" else None
    asked = calls.Terms(
        sender=PAYER.public_key,
        receiver=RECEIVER,
        token=link.terms.token,
        amount=1_000,
        start=start,
        cliff=start,
        end=start + 3_600,
        memo=memo,
    )
    wanted = calls.create(link.terms.contract, link.terms.family, asked)
    call = envelope.transaction.operations[0].host_function.invoke_contract
    assert call.function_name.sc_symbol == b"create_stream"
    assert arguments_in(transaction["xdr"]) == list(wanted.arguments)
    assert (stream["contractId"], stream["version"], stream["memo"]) == (link.terms.contract, version, memo)
    assert (stream["sender"], stream["receiver"], stream["grossAmount"]) == (PAYER.public_key, RECEIVER, "1000")
    assert said.header("Cache-Control") == "no-store"


def test_start_and_cliff_are_the_links_own_where_it_names_them(api, chain):
    begin = int(time.time()) + 5_000
    link = link_of(api, start=begin, cliff=begin + 60)
    stream = build(api, link.slug).json["stream"]
    assert stream["startTime"] == format_close_time(begin)
    assert stream["cliffTime"] == format_close_time(begin + 60)
    assert stream["endTime"] == format_close_time(begin + 3_600)


def test_the_preview_tells_what_the_contract_keeps(api, chain):
    chain.simulation = works([created_v2(TWO, net=995)])
    stream = build(api, link_of(api).slug).json["stream"]
    assert (stream["grossAmount"], stream["amount"], stream["fee"]) == ("1000", "995", "5")


def test_a_transaction_cannot_be_applied_when_the_link_is_over(api, chain):
    link = link_of(api, expires_in=100)
    text = build(api, link.slug).json["transaction"]["xdr"]
    assert bounds_of(text) == (0, link.expires_at - 1)
    endless = build(api, link_of(api).slug).json["transaction"]["xdr"]
    assert bounds_of(endless)[1] > time.time() + 250


def test_just_before_a_link_expires_nothing_is_built_any_more(api, chain):
    said = refused(build(api, link_of(api, expires_in=SHORTEST_SECONDS - 2).slug), 410, "link-expired")
    assert "too soon" in said.json["detail"]
    assert chain.asked == {}


CLOSED = {
    "unknown": (None, 404, "link-not-found"),
    "deleted": ({"deleted_at": 5}, 404, "link-not-found"),
    "cancelled and deleted": ({"canceled_at": 5, "deleted_at": 6}, 404, "link-not-found"),
    "expired": ({"expires_at": 5}, 410, "link-expired"),
    "cancelled": ({"canceled_at": 5}, 410, "link-cancelled"),
    "paid": ({}, 409, "link-paid"),
    "paid and deleted": ({"deleted_at": 5}, 409, "link-paid"),
}


@pytest.mark.parametrize(("values", "status", "code"), CLOSED.values(), ids=list(CLOSED))
def test_a_link_that_is_not_open_cannot_be_paid(api, chain, values, status, code):
    link = link_of(api)
    slug = link.slug if values is not None else "aB3dE5gH7jK9"
    stream = put_payment(api.storage, link).completed.stream if status == 409 else None
    if values:
        link = change(api, link, **values)
    text = paid(link)
    for said in (build(api, slug), submit(api, slug, text), submit(api, slug, "junk")):
        refused(said, status, code)
        assert stream is None or stream in said.json["detail"]
    assert (submissions(api, link), is_accepted(api, digest(text)), chain.asked) == ([], False, {})


NO_SLUGS = {
    "dots": ("..%2Fhealthz", 404),
    "a quote": ("%27%20OR%201=1--", 404),
    "capitals changed": ("{swapped}", 404),
    "more behind it": ("{slug}x", 404),
    "an id": ("{id}", 404),
    "letters of elsewhere": ("%C3%A9%F0%9F%8D%8A", 404),
    "no text": ("%ff%fe", 404),
    "a zero byte": ("a%00b", 400),
    "too long": ("a" * 65, 400),
    "nothing": ("", 404),
}


@EITHER
@pytest.mark.parametrize(("slug", "status"), NO_SLUGS.values(), ids=list(NO_SLUGS))
def test_what_is_no_slug_finds_no_link(api, chain, slug, status):
    link = link_of(api)
    asked = slug.format(slug=link.slug, swapped=link.slug.swapcase(), id=link.id)
    for said in (build(api, asked), submit(api, asked, paid(link))):
        assert said.status == status, said.body
        assert said.header("Content-Type") == "application/problem+json"
    assert (submissions(api, link), chain.asked) == ([], {})


WRONG_PAYERS = {
    "a contract": {"account": TWO},
    "a muxed account": {"account": MuxedAccount(PAYER.public_key, 7).account_muxed},
    "a seed": {"account": PAYER.secret},
    "another checksum": {"account": PAYER.public_key[:-1] + "A"},
    "nothing": {"account": ""},
    "no text": {"account": 7},
    "nobody": {},
    "and something else": {"account": PAYER.public_key, "amount": "1"},
}


@pytest.mark.parametrize("body", WRONG_PAYERS.values(), ids=list(WRONG_PAYERS))
def test_the_payer_must_be_an_account(api, chain, body):
    said = refused(post(api, link_of(api).slug, "transaction", body), 422, "invalid-body")
    assert said.json["errors"]
    assert PAYER.secret not in said.body.decode()
    assert chain.asked == {}


def test_what_the_chain_says_of_the_payer_is_told(api, chain):
    link = link_of(api)
    refused(build(api, link.slug, Keypair.random().public_key), 422, "account-not-found")
    chain.simulation = None
    refused(build(api, link.slug), 422, "simulation-failed")
    chain.down = True
    refused(build(api, link.slug), 503, "chain-unavailable")


def test_a_link_whose_contract_is_served_no_more_cannot_be_paid_here(api, chain):
    link = change(api, link_of(api), contract_id=FOREIGN)
    refused(build(api, link.slug), 422, "contract-not-served")
    refused(submit(api, link.slug, paid(link)), 422, "foreign-call")
    assert submissions(api, link) == []


def test_the_request_to_sign_carries_the_transaction_and_leads_back_here(api, chain):
    link = link_of(api)
    said = build(api, link.slug).json
    read = TransactionStellarUri.from_uri(said["sep7Uri"], PASSPHRASE)
    assert read.transaction_envelope.to_xdr() == said["transaction"]["xdr"]
    assert read.callback == f"{PUBLIC_URL}/api/v1/invoice-links/{link.slug}/submit"
    assert (read.pubkey, read.origin_domain) == (PAYER.public_key, "pay.example.org")
    assert link.slug in read.msg
    assert RECEIVER in read.msg
    assert said["sep7Uri"].rpartition("&")[2].startswith("signature=")
    assert KEY.secret not in said["sep7Uri"]


@EITHER
def test_who_asks_is_told_of_a_transaction_that_is_under_way(api, chain):
    link = link_of(api)
    first, second = paid(link), paid(link, BOB)
    submit(api, link.slug, first)
    assert build(api, link.slug).json["underWay"] == digest(first)
    submit(api, link.slug, second)
    assert build(api, link.slug).json["underWay"] in {digest(first), digest(second)}
    for tx_hash in (digest(first), digest(second)):
        chain.applied(tx_hash, 103, result=result_xdr(Code.txBAD_SEQ))
    chain.skipped += LOOK_SECONDS
    for tx_hash in (digest(first), digest(second)):
        assert api.get(f"/api/v1/transactions/{tx_hash}").json["status"] == "FAILED"
    assert "underWay" not in build(api, link.slug).json
    assert "underWay" not in build(api, link_of(api).slug).json


def test_a_transaction_that_is_applied_is_under_way_until_its_stream_is_indexed(api, chain):
    link, other = link_of(api), link_of(api)
    text = paid(link)
    submit(api, link.slug, text)
    put_submission(api.storage, other, digest(text), origin="owner")  # whatever its owner says: it pays another link
    assert build(api, other.slug).json["underWay"] == digest(text)
    chain.applied(digest(text), 103)
    chain.skipped += LOOK_SECONDS
    assert api.get(f"/api/v1/transactions/{digest(text)}").json["status"] == "SUCCESS"
    assert build(api, link.slug).json["underWay"] == digest(text)
    assert "underWay" not in build(api, other.slug).json


# --- the signed one -------------------------------------------------------------------------------


@VERSIONS
def test_what_was_built_is_taken_when_it_is_signed(api, chain, version):
    link = link_of(api, version, expires_in=1_000)
    envelope = read_back(build(api, link.slug).json["transaction"]["xdr"])
    text = signed(envelope, PAYER)
    said = submit(api, link.slug, text)
    assert said.status == 202, said
    assert said.json == {"txHash": digest(text), "status": "PENDING", "linkStatus": "SIGNED"}
    assert said.header("Location") == f"/api/v1/transactions/{digest(text)}"
    assert [b64encode(raw).decode() for raw in chain.handed] == [text]
    (row,) = submissions(api, link)
    assert (row.tx_hash, row.origin, row.payer) == (digest(text), "service", PAYER.public_key)
    assert bytes(row.arguments) == pack(arguments_in(text))
    shown = api.get(f"{LINKS}/{link.slug}").json
    assert (shown["status"], shown["payer"], shown["txHash"]) == ("SIGNED", PAYER.public_key, digest(text))


def test_a_wallet_calls_back_with_a_form(api, chain):
    for encoded in (urlencode, lambda values: f"xdr={values['xdr']}", lambda values: f"xdr={quote(values['xdr'])}"):
        link = link_of(api)
        text = paid(link)
        while "+" not in text:
            text = paid(link)
        body = encoded({"xdr": text}).encode()
        said = api.get(f"{LINKS}/{link.slug}/submit", FORM, method="POST", body=body)
        assert (said.status, said.json["txHash"]) == (202, digest(text)), said.body
        assert [row.tx_hash for row in submissions(api, link)] == [digest(text)]


def test_wallets_of_every_origin_may_call_back(api, chain):
    link = link_of(api)
    path = f"{LINKS}/{link.slug}/submit"
    origin = "Origin: https://wallet.example"
    asked = api.get(path, origin, "Access-Control-Request-Method: POST", method="OPTIONS")
    assert asked.header("Access-Control-Allow-Origin") == "*"
    body = urlencode({"xdr": paid(link)}).encode()
    said = api.get(path, origin, FORM, method="POST", body=body)
    assert (said.status, said.header("Access-Control-Allow-Origin")) == (202, "*")


@EITHER
def test_the_same_transaction_again_gets_the_same_answer_and_is_sent_once(api, chain):
    link = link_of(api)
    text = paid(link)
    first, second = submit(api, link.slug, text), submit(api, link.slug, text)
    assert (first.status, first.json) == (second.status, second.json) == (202, first.json)
    assert len(chain.handed) == len(submissions(api, link)) == 1


def test_a_memo_may_be_left_out_by_those_who_build_their_own(api, chain):
    link = link_of(api)
    assert submit(api, link.slug, paid(link, memo=None)).status == 202


def test_another_may_submit_for_the_payer_and_the_payer_may_be_anybody(api, chain):
    link = link_of(api)
    text = paid(link, BOB)
    assert submit(api, link.slug, text).status == 202
    assert [row.payer for row in submissions(api, link)] == [BOB.public_key]


def field(call: calls.Call, name: str, value: ScValue) -> calls.Call:
    """Return a V2 call with another value for one field of its struct."""
    entries = decode_scval(call.arguments[0]).value
    assert name in {key.value for key, _ in entries}
    changed = tuple((key, value if key.value == name else old) for key, old in entries)
    return replace(call, arguments=(encode_scval(ScValue(Arm.MAP, changed)),))


def nth(call: calls.Call, position: int, value: ScValue) -> calls.Call:
    """Return a V1 call with another argument."""
    given = list(call.arguments)
    given[position] = encode_scval(value)
    return replace(call, arguments=tuple(given))


def now() -> int:
    return int(time.time())


Change = Callable[[Link], calls.Call]

OTHER_TERMS: dict[str, tuple[Change, str]] = {
    "another receiver": (lambda link: call_of(link, receiver=BOB.public_key), "receiver"),
    "less": (lambda link: call_of(link, amount=999), "amount: 999 instead of 1000"),
    "more": (lambda link: call_of(link, amount=1_001), "amount"),
    "another token": (lambda link: call_of(link, token=FOREIGN), "token"),
    "a shorter stream": (lambda link: call_of(link, end=now() + 3_500), "duration"),
    "a longer stream": (lambda link: call_of(link, end=now() + 3_700), "duration"),
    "a cliff": (lambda link: call_of(link, cliff=now() + 100), "cliff time"),
    "a start in ten years": (lambda link: later(link, 315_360_000), "start time"),
    "a start after the latest": (lambda link: later(link, LATEST_START_SECONDS + 60), "start time"),
}
OTHER_V1: dict[str, tuple[Change, str]] = {
    "another curve": (lambda link: nth(call_of(link), 7, ScValue(Arm.U32, 1)), "plain stream"),
    "bound to its receiver": (lambda link: nth(call_of(link), 8, ScValue(Arm.BOOL, True)), "plain stream"),
}
OTHER_V2: dict[str, tuple[Change, str]] = {
    "another's memo": (lambda link: call_of(link, memo="aB3dE5gH7jK9"), "memo"),
    "another contract": (lambda link: replace(call_of(link), contract=THREE), "contract"),
    "a vault": (lambda link: call_of(link, vault=FOREIGN), "plain stream"),
    "a penalty": (lambda link: field(call_of(link), "penalty_bps", ScValue(Arm.U32, 10_000)), "plain stream"),
    "an affiliate": (
        lambda link: field(call_of(link), "affiliate", ScValue(Arm.ADDRESS, BOB.public_key)),
        "plain stream",
    ),
    "a split": (lambda link: field(call_of(link), "split_bps", ScValue(Arm.U32, 5_000)), "plain stream"),
    "again and again": (lambda link: field(call_of(link), "is_recurrent", ScValue(Arm.BOOL, True)), "plain stream"),
}


def later(link: Link, seconds: int) -> calls.Call:
    start = now() + seconds
    return call_of(link, start=start, cliff=start, end=start + link.terms.duration)


CASES = [
    *[("v1", name, *case) for name, case in {**OTHER_TERMS, **OTHER_V1}.items()],
    *[("v2", name, *case) for name, case in {**OTHER_TERMS, **OTHER_V2}.items()],
]


def none_of_it(api: Running, chain: PayChain, link: Link, tx_hash: str) -> None:
    """Check that nothing was stored or sent, nor the link touched."""
    assert (submissions(api, link), is_accepted(api, tx_hash), chain.handed) == ([], False, [])
    assert status_of(api, link) == "DRAFT"


@pytest.mark.parametrize(("version", "case", "changed", "told"), CASES, ids=[f"{v} {name}" for v, name, *_ in CASES])
def test_any_other_stream_is_refused_with_what_differs(api, chain, version, case, changed, told):
    link = link_of(api, version)
    text = signed(envelope_of(changed(link)), PAYER)
    said = refused(submit(api, link.slug, text), 422, "terms-mismatch")
    assert {error["field"] for error in said.json["errors"]} == {"body.xdr"}
    assert any(told in error["detail"] for error in said.json["errors"]), said.json["errors"]
    none_of_it(api, chain, link, digest(text))


def test_start_and_cliff_that_the_link_names_are_held_to(api, chain):
    begin = now() + 1_000
    link = link_of(api, start=begin, cliff=begin + 60)
    for more in ({"start": begin - 1, "end": begin + 3_599}, {"cliff": begin + 61}, {"cliff": begin}):
        text = paid(link, **more)
        refused(submit(api, link.slug, text), 422, "terms-mismatch")
        none_of_it(api, chain, link, digest(text))
    assert submit(api, link.slug, paid(link)).status == 202


def test_what_could_be_applied_when_the_link_is_over_is_refused(api, chain):
    link = link_of(api, expires_in=100)
    for end, good in ((link.expires_at + 50, False), (link.expires_at, False), (link.expires_at - 1, True)):
        text = signed(envelope_of(call_of(link), bounds=(0, end)), PAYER)
        said = submit(api, link.slug, text)
        if good:
            assert said.status == 202
        else:
            assert "time bounds" in refused(said, 422, "terms-mismatch").json["errors"][0]["detail"]
            none_of_it(api, chain, link, digest(text))


def operations(link: Link, count: int) -> str:
    envelope = envelope_of(call_of(link))
    envelope.transaction.operations = envelope.transaction.operations * count
    return signed(envelope, PAYER)


def function(link: Link, name: str) -> str:
    return signed(envelope_of(replace(call_of(link), function=name)), PAYER)


def at_source(link: Link, **more: Any) -> str:
    return signed(envelope_of(call_of(link), **more), PAYER)


def extra(link: Link) -> str:
    call = call_of(link)
    return signed(envelope_of(replace(call, arguments=(*call.arguments, call.arguments[-1]))), PAYER)


def voids(link: Link) -> str:
    call = call_of(link)
    return signed(
        envelope_of(replace(call, arguments=(encode_scval(ScValue(Arm.VOID, None)),) * len(call.arguments))), PAYER
    )


WRONG_ENVELOPES: dict[str, tuple[Callable[[Link], str], str]] = {
    "unsigned": (lambda link: envelope_of(call_of(link)).to_xdr(), "envelope-unsigned"),
    "signed by somebody else": (lambda link: signed(envelope_of(call_of(link)), BOB), "wrong-signer"),
    "of another network": (lambda link: at_source(link, passphrase=PUBNET), "wrong-network"),
    "of two operations": (lambda link: operations(link, 2), "not-a-contract-call"),
    "of no operation": (lambda link: operations(link, 0), "not-a-contract-call"),
    "of another function": (lambda link: function(link, "create_swap_stream"), "terms-mismatch"),
    "of a function nobody relays": (lambda link: function(link, "set_admin"), "terms-mismatch"),
    "with an argument too many": (extra, "terms-mismatch"),
    "with arguments of another kind": (voids, "terms-mismatch"),
    "without an end": (lambda link: at_source(link, bounds=None), "envelope-timeless"),
    "over": (lambda link: at_source(link, bounds=(0, now() - 100)), "envelope-expired"),
    "not prepared": (lambda link: at_source(link, prepared=False), "envelope-not-prepared"),
    "no XDR": (lambda _: "junk", "envelope-invalid"),
    "half of one": (lambda link: at_source(link)[:400], "envelope-invalid"),
    "nothing": (lambda _: "", "invalid-body"),
    "more than an envelope may have": (lambda _: "A" * 50_000, "invalid-body"),
}


@VERSIONS
@pytest.mark.parametrize(("made", "code"), WRONG_ENVELOPES.values(), ids=list(WRONG_ENVELOPES))
def test_an_envelope_that_is_not_fit_to_be_sent_is_refused(api, chain, version, made, code):
    link = link_of(api, version)
    text = made(link)
    said = refused(submit(api, link.slug, text), 422, code)
    assert len(text) < 20 or text not in said.body.decode()
    none_of_it(api, chain, link, "")
    assert chain.asked.keys() <= {"ledger_entries"}


def test_a_huge_body_is_not_read(api, chain):
    link = link_of(api)
    path = f"{LINKS}/{link.slug}/submit"
    for kind in (FORM, "Content-Type: application/json"):
        refused(api.get(path, kind, method="POST", body=b"xdr=" + b"A" * 70_000), 413, "body-too-large")
    refused(api.get(path, "Content-Type: text/plain", method="POST", body=b"xdr=AAAA"), 415, "unsupported-media-type")


@VERSIONS
def test_one_transaction_pays_one_link(api, chain, version):
    first, second = link_of(api, version), link_of(api, version)
    text = paid(first, memo=None)
    assert submit(api, first.slug, text).status == 202
    refused(submit(api, second.slug, text), 409, "submitted-for-another-link")
    assert ([row.tx_hash for row in submissions(api, first)], submissions(api, second)) == ([digest(text)], [])
    assert status_of(api, second) == "DRAFT"
    assert submit(api, first.slug, text).status == 202


@EITHER
def test_one_transaction_pays_one_link_though_both_come_at_once(api, chain):
    first, second = link_of(api, "v1"), link_of(api, "v1")
    text = paid(first)
    together = threading.Barrier(2, timeout=10)

    def hand_in(link: Link) -> Said:
        together.wait()
        return submit(api, link.slug, text)

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(hand_in, (first, second)))
    assert sorted(one.status for one in said) == [202, 409]
    taken = [link for link, one in zip((first, second), said, strict=True) if one.status == 202]
    for link in (first, second):
        assert [row.tx_hash for row in submissions(api, link)] == ([digest(text)] if link in taken else [])
    assert len(chain.handed) == 1


@EITHER
def test_it_is_recorded_before_anything_is_sent_together_with_what_is_to_be_sent(api, chain):
    link = link_of(api)
    text = paid(link)
    seen: list[tuple[int, bool, str]] = []

    def look() -> None:  # the process could die here: what is there now is what is there then
        seen.append((len(submissions(api, link)), is_accepted(api, digest(text)), status_of(api, link)))

    chain.before_send = look
    assert submit(api, link.slug, text).status == 202
    assert seen == [(1, True, "SIGNED")]


@pytest.mark.parametrize(
    ("values", "status", "code"),
    [({"canceled_at": 5}, 410, "link-cancelled"), ({"expires_at": 5}, 410, "link-expired"), ({}, 409, "link-paid")],
    ids=["cancelled", "expired", "paid"],
)
def test_what_happens_to_the_link_while_it_is_checked_is_minded(api, chain, values, status, code):
    link = link_of(api)
    text = paid(link)

    def happen() -> None:
        chain.before_read = lambda: None
        if values:
            change(api, link, **values)
        else:
            put_payment(api.storage, link)

    chain.before_read = happen
    refused(submit(api, link.slug, text), status, code)
    assert (submissions(api, link), is_accepted(api, digest(text)), chain.handed) == ([], False, [])


def test_what_was_built_before_the_link_expired_is_not_taken_afterwards(api, chain):
    link = link_of(api, expires_in=1_000)
    envelope = read_back(build(api, link.slug).json["transaction"]["xdr"])
    change(api, link, expires_at=now())
    refused(submit(api, link.slug, signed(envelope, PAYER)), 410, "link-expired")
    assert (submissions(api, link), chain.handed) == ([], [])


@pytest.mark.parametrize(
    ("values", "link_status"),
    [({"canceled_at": 5}, "CANCELED"), ({"expires_at": 5}, "EXPIRED"), ({}, "COMPLETED")],
    ids=["cancelled", "expired", "paid"],
)
def test_what_was_taken_while_the_link_was_open_is_answered_for_afterwards(api, chain, values, link_status):
    link = link_of(api)
    text = paid(link)
    first = submit(api, link.slug, text)
    if values:
        change(api, link, **values)
    else:
        put_payment(api.storage, link)
    again = submit(api, link.slug, text)
    assert (again.status, again.json) == (202, {**first.json, "linkStatus": link_status})
    assert again.header("Location") == first.header("Location")
    assert submit(api, link.slug, paid(link)).status in {409, 410}
    assert len(submissions(api, link)) == len(chain.handed) == 1


def test_nothing_of_a_cancelled_link_is_sent_once_it_is_forgotten(api, chain):
    from stellarstream_nebula.tables import NebulaTransaction

    link = link_of(api)
    text = paid(link)
    submit(api, link.slug, text)
    forget = NebulaTransaction.delete().where(NebulaTransaction.hash == digest(text))
    api.storage.write(forget.execute)
    change(api, link, canceled_at=5)
    refused(submit(api, link.slug, text), 410, "link-cancelled")
    assert (is_accepted(api, digest(text)), len(chain.handed)) == (False, 1)


@EITHER
def test_a_transaction_that_was_relayed_without_the_link_is_recorded_for_it_afterwards(api, chain):
    link = link_of(api)
    text = paid(link)
    api.run(api.service.part(Transactions).submit(text))
    assert submit(api, link.slug, text).json["linkStatus"] == "SIGNED"
    assert (len(submissions(api, link)), len(chain.handed)) == (1, 1)


@EITHER
def test_a_transaction_that_comes_for_the_link_and_without_it_at_once_is_recorded(api, chain):
    link = link_of(api)
    text = paid(link)
    reading, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        chain.before_read = lambda: None
        reading.set()
        assert go_on.wait(10)

    chain.before_read = wait
    with ThreadPoolExecutor(1) as pool:
        plain = pool.submit(api.run, api.service.part(Transactions).submit(text))
        assert reading.wait(10)
        linked = submit(api, link.slug, text)
        go_on.set()
        assert plain.result(20).hash == digest(text)
    assert linked.json["linkStatus"] == "SIGNED"
    assert [row.tx_hash for row in submissions(api, link)] == [digest(text)]


@EITHER
@pytest.mark.parametrize("relayed", [False, True], ids=["straight to the network", "through this service"])
def test_what_was_applied_before_it_came_is_refused(api, chain, relayed):
    """Once it is in a ledger everybody has it: who hands it in for a link of theirs proves nothing."""
    link = link_of(api, "v1")
    text = paid(link)
    sequence = read_back(text).transaction.sequence
    if relayed:
        api.run(api.service.part(Transactions).submit(text))
    chain.account(PAYER.public_key, sequence=sequence)
    handed = len(chain.handed)
    refused(submit(api, link.slug, text), 409, "already-applied")
    assert (submissions(api, link), status_of(api, link), len(chain.handed)) == ([], "DRAFT", handed)
    chain.account(PAYER.public_key)


@EITHER
def test_what_was_taken_for_the_link_is_answered_for_when_it_comes_again_applied(api, chain):
    link = link_of(api)
    text = paid(link)
    assert submit(api, link.slug, text).status == 202
    chain.account(PAYER.public_key, sequence=read_back(text).transaction.sequence)
    assert submit(api, link.slug, text).status == 202
    assert len(submissions(api, link)) == 1
    chain.account(PAYER.public_key)
