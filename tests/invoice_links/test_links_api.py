"""``/invoice-links`` over HTTP: what is promised of a link, who sees what, and what its owner may do with it."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import UUID

import pytest

from stellarstream_core.events import format_close_time, parse_close_time
from stellarstream_core.projection.journal import write_reach
from stellarstream_core.projections import Reached
from stellarstream_invoice_links.links import link_by_id
from stellarstream_invoice_links.model import LEGAL, LinkStatus, Outcome
from stellarstream_invoice_links.projection import NAME
from stellarstream_invoice_links.tables import InvoiceSubmission
from tests.api.test_schemathesis import attack
from tests.invoice_links.kit import (
    BASE,
    COIN,
    FRONTEND,
    GEM,
    ONE,
    OTHER,
    OWNER,
    PAYER,
    PUBLIC,
    RECEIVER,
    THREE,
    TWO,
    LinkApi,
    key_of,
    put_link,
    put_payment,
    put_submission,
)
from tests.nebula.ledgers import PEOPLE
from tests.nebula.relay_kit import wallet

HASH = "ab" * 32
ALWAYS = {
    "id", "slug", "shareUrl", "payUrl", "sender", "receiver", "amount", "tokenAddress", "duration", "contractId",
    "xdrParams", "status", "createdAt", "updatedAt",
}  # fmt: skip
MAYBE = {"description", "pdfUrl", "startTime", "cliffTime", "expiresAt", "payer", "txHash", "streamId"}
PRIVATE = {"payments", "canceledAt", "deletedAt"}


@pytest.fixture
def sandbox(link_api_of) -> LinkApi:
    """An API on SQLite, for what no database has a say in."""
    return link_api_of("sqlite")


def ahead(**more: float) -> str:
    """Return a time that lies ahead."""
    return (datetime.now(UTC).replace(microsecond=0) + timedelta(**more)).strftime("%Y-%m-%dT%H:%M:%SZ")


def fields(said) -> list[str]:
    return [error["field"] for error in said.json["errors"]]


# --- making -----------------------------------------------------------------------------------------


def test_a_link_of_the_least_that_is_needed_is_as_promised(links):
    before = int(time.time())
    said = links.try_to_make()
    made = said.json
    assert said.status == 201
    assert said.header("Location") == f"{BASE}/invoice-links/{made['slug']}"
    assert set(made) == ALWAYS | {"payments"}
    assert UUID(made["id"]).version == 4
    assert (made["shareUrl"], made["payUrl"]) == (
        f"{FRONTEND}/invoice/{made['slug']}",
        f"{PUBLIC}/invoice/{made['slug']}",
    )
    assert (made["sender"], made["receiver"], made["contractId"]) == (OWNER, RECEIVER, TWO)
    assert (made["amount"], made["tokenAddress"], made["duration"]) == ("1000", COIN, 3_600)
    assert (made["status"], made["payments"]) == ("DRAFT", [])
    assert made["createdAt"] == made["updatedAt"]
    assert before <= parse_close_time(made["createdAt"]) <= time.time()
    assert json.loads(b64decode(made["xdrParams"], validate=True)) == {
        "receiver": RECEIVER,
        "amount": "1000",
        "tokenAddress": COIN,
        "duration": 3_600,
        "startTime": parse_close_time(made["createdAt"]),
    }


def test_a_link_with_everything_keeps_everything(links):
    start, cliff, expires = ahead(days=30), ahead(days=40), ahead(days=20)
    wanted = {
        "receiver": PEOPLE[0],
        "amount": str(2**127 - 1),
        "tokenAddress": GEM,
        "duration": 40 * 86_400,
        "description": "First line,\nsecond one.",
        "pdfUrl": "https://files.example.com/invoice%20.pdf?v=1#page=2",
        "expiresAt": expires,
        "startTime": start,
        "cliffTime": cliff,
        "contractId": THREE,
    }
    made = links.make(**wanted)
    assert {name: made[name] for name in wanted} == wanted
    assert json.loads(b64decode(made["xdrParams"]))["startTime"] == parse_close_time(start)
    read = links.read(made["slug"]).json
    assert read == {name: value for name, value in made.items() if name not in PRIVATE}


def test_a_v1_contract_takes_a_cliff_too(links):
    start, cliff = ahead(days=1), ahead(days=2)
    made = links.make(contractId=ONE, duration=2 * 86_400, startTime=start, cliffTime=cliff)
    assert (made["contractId"], made["startTime"], made["cliffTime"]) == (ONE, start, cliff)


def test_times_with_an_offset_are_told_in_utc_and_an_end_is_cut_to_the_second(sandbox):
    made = sandbox.make(startTime="2030-01-01T02:00:00.000+02:00", expiresAt="2029-01-01T00:00:00.750Z")
    assert (made["startTime"], made["expiresAt"]) == ("2030-01-01T00:00:00Z", "2029-01-01T00:00:00Z")


@pytest.mark.parametrize("empty", ["", " ", "\n\t\r\n"])
def test_a_description_that_says_nothing_is_none(sandbox, empty):
    assert "description" not in sandbox.make(description=empty)


def test_without_a_login_nothing_is_made(sandbox):
    assert sandbox.try_to_make(account=None).status == 401
    assert sandbox.ask("GET", "/invoice-links", account=None).status == 401


@pytest.mark.parametrize(
    ("changes", "status", "code", "field"),
    [
        ({"receiver": None}, 422, "invalid-body", "body.receiver"),
        ({"receiver": RECEIVER[:-1] + "A"}, 422, "invalid-body", "body.receiver"),
        ({"receiver": RECEIVER.lower()}, 422, "invalid-body", "body.receiver"),
        ({"receiver": "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUAAAAAAAAAAAACJUQ"}, 422, "invalid-body",
         "body.receiver"),
        ({"tokenAddress": None}, 422, "invalid-body", "body.tokenAddress"),
        ({"tokenAddress": OWNER}, 422, "invalid-body", "body.tokenAddress"),
        ({"tokenAddress": "native"}, 422, "invalid-body", "body.tokenAddress"),
        ({"duration": None}, 422, "invalid-body", "body.duration"),
        ({"duration": 0}, 422, "invalid-body", "body.duration"),
        ({"duration": -1}, 422, "invalid-body", "body.duration"),
        ({"duration": 10 * 366 * 86_400 + 1}, 422, "invalid-body", "body.duration"),
        ({"duration": 1.5}, 422, "invalid-body", "body.duration"),
        ({"duration": "3600"}, 422, "invalid-body", "body.duration"),
        ({"description": "x" * 1_001}, 422, "invalid-body", "body.description"),
        ({"description": 5}, 422, "invalid-body", "body.description"),
        ({"expiresAt": 1_900_000_000}, 422, "invalid-body", "body.expiresAt"),
        ({"expiresAt": "tomorrow"}, 422, "invalid-body", "body.expiresAt"),
        ({"expiresAt": "2030-01-01T00:00:00"}, 422, "invalid-body", "body.expiresAt"),
        ({"startTime": "2030-01-01T00:00:00.5Z"}, 422, "invalid-body", "body.startTime"),
        ({"contractId": "C"}, 422, "invalid-body", "body.contractId"),
        ({"contractId": GEM}, 422, "contract-not-served", None),
        ({"memo": "x"}, 422, "invalid-body", "body.memo"),
        ({"sender": OWNER}, 422, "invalid-body", "body.sender"),
        ({"status": "COMPLETED"}, 422, "invalid-body", "body.status"),
        ({"slug": "abcdefabcdef"}, 422, "invalid-body", "body.slug"),
    ],
)  # fmt: skip
def test_what_is_no_link_is_refused_and_the_field_is_named(sandbox, changes, status, code, field):
    said = sandbox.try_to_make(**changes)
    assert (said.status, said.code) == (status, code)
    if field is not None:
        assert fields(said) == [field]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"expiresAt": {"seconds": -1}}, "body.expiresAt"),
        ({"expiresAt": {"days": 10 * 366 + 1}}, "body.expiresAt"),
        ({"startTime": {"minutes": -2}}, "body.startTime"),
        ({"startTime": {"days": 10 * 366 + 1}}, "body.startTime"),
        ({"cliffTime": {"minutes": 5}}, "body.cliffTime"),
        ({"startTime": {"minutes": 5}, "cliffTime": {"minutes": 4}}, "body.cliffTime"),
        ({"startTime": {"minutes": 5}, "cliffTime": {"minutes": 66}}, "body.cliffTime"),
    ],
)
def test_times_that_cannot_be_are_refused(sandbox, changes, field):
    said = sandbox.try_to_make(**{name: ahead(**lies) for name, lies in changes.items()})
    assert (said.status, said.code, fields(said)) == (422, "invalid-terms", [field])


@pytest.mark.parametrize(
    "changes",
    [
        {"expiresAt": {"minutes": 1}},
        {"expiresAt": {"days": 10 * 366, "minutes": -1}},
        {"startTime": {"seconds": -20}},
        {"startTime": {"days": 10 * 366, "minutes": -1}},
        {"startTime": {"minutes": 5}, "cliffTime": {"minutes": 5}},
        {"startTime": {"minutes": 5}, "cliffTime": {"minutes": 65}},
    ],
)
def test_times_that_can_be_are_taken_to_their_limits(sandbox, changes):
    sandbox.make(**{name: ahead(**lies) for name, lies in changes.items()})


def test_every_field_that_is_wrong_is_named_at_once(sandbox):
    said = sandbox.try_to_make(startTime=ahead(days=-1), expiresAt=ahead(days=-1))
    assert fields(said) == ["body.startTime", "body.expiresAt"]
    said = sandbox.try_to_make(receiver="x", amount="0", pdfUrl="http://x.example")
    assert fields(said) == ["body.receiver", "body.amount", "body.pdfUrl"]


def test_where_no_contract_is_the_default_one_of_several_has_to_be_named(link_api_of):
    api = link_api_of("sqlite", sections={"nebula": {"contracts": {TWO: "v2", THREE: "v2"}}})
    said = api.try_to_make()
    assert (said.status, said.code) == (422, "contract-ambiguous")
    assert api.make(contractId=THREE)["contractId"] == THREE


# --- reading ----------------------------------------------------------------------------------------


def test_everybody_reads_a_link_by_its_slug_and_nothing_private_is_in_it(links):
    made = links.make(description="Rent")
    said = links.read(made["slug"])
    assert said.status == 200
    assert set(said.json) == ALWAYS | {"description"}
    assert said.header("Cache-Control") == "no-cache"
    by_owner = links.ask("GET", f"/invoice-links/{made['slug']}")
    assert by_owner.json == said.json


def test_what_a_client_has_already_is_not_sent_again_until_it_changes(links):
    made = links.make()
    etag = links.read(made["slug"]).header("ETag")
    held = f"If-None-Match: {etag}"
    assert links.ask("GET", f"/invoice-links/{made['slug']}", account=None, headers=(held,)).status == 304
    put_submission(links.storage, link_of(links, made))
    assert links.ask("GET", f"/invoice-links/{made['slug']}", account=None, headers=(held,)).status == 200


def link_of(links: LinkApi, made: dict):
    return links.storage.read(lambda database: link_by_id(database, made["id"]))


@pytest.mark.parametrize("slug", ["abcdefabcdef", "x", "0" * 64, "%", "%20", "a-b", "🌊", "..;"])
def test_a_slug_that_is_nobody_s_is_not_found(sandbox, slug):
    said = sandbox.read(quote(slug))
    assert (said.status, said.code) == (404, "link-not-found")


def test_a_link_is_not_read_by_its_id(sandbox):
    assert sandbox.read(sandbox.make()["id"]).code == "link-not-found"


def test_unknown_expired_cancelled_and_deleted_are_told_apart(links):
    now = int(time.time())
    expired = put_link(links.storage, expires_at=now - 1)
    cancelled = put_link(links.storage, canceled_at=now, expires_at=now - 1)
    deleted = put_link(links.storage, deleted_at=now, canceled_at=now)
    said = [(one.status, one.code) for one in (links.read(link.slug) for link in (expired, cancelled, deleted))]
    assert said == [(410, "link-expired"), (410, "link-cancelled"), (404, "link-not-found")]
    assert format_close_time(now - 1) in links.read(expired.slug).json["detail"]


@pytest.mark.parametrize("over", ["expires_at", "canceled_at", "deleted_at"])
def test_a_paid_link_is_always_there(links, over):
    link = put_payment(links.storage, put_link(links.storage, **{over: int(time.time()) - 1}))
    read = links.read(link.slug)
    assert read.status == 200
    assert set(read.json) <= ALWAYS | MAYBE
    assert (read.json["status"], read.json["payer"]) == ("COMPLETED", PAYER)
    assert (read.json["txHash"], read.json["streamId"]) == (link.completed.tx_hash, f"{TWO}-0")


def test_a_submitted_link_names_its_payer_and_transaction(links):
    link = put_submission(links.storage, put_link(links.storage))
    read = links.read(link.slug).json
    assert (read["status"], read["payer"], read["txHash"]) == ("SIGNED", PAYER, link.submitted)
    assert "streamId" not in read


def test_reading_writes_nothing(links):
    link = put_link(links.storage, expires_at=int(time.time()) - 1)
    for _ in range(3):
        assert links.read(link.slug).status == 410
        links.own(f"status={LinkStatus.EXPIRED}")
    assert links.storage.read(lambda database: link_by_id(database, link.id)) == link


# --- lists ------------------------------------------------------------------------------------------


def test_the_list_holds_the_caller_s_links_and_what_came_for_them(links):
    owner = PEOPLE[1]
    plain, paid, gone, forgotten = (put_link(links.storage, now=1_700_000_000 + n, owner=owner) for n in range(4))
    put_payment(links.storage, paid, 11)
    put_payment(links.storage, paid, 12, outcome=Outcome.REPEATED, gross=None, net=None, ledger=101)
    put_payment(links.storage, gone, 13, outcome=Outcome.AFTER_CANCEL)
    for link in (gone, forgotten):
        assert links.delete(link.id, account=owner).status == 204
    found = links.own(account=owner)
    assert [one["id"] for one in found] == [gone.id, paid.id, plain.id]
    assert [set(one) & PRIVATE for one in found] == [{"payments", "deletedAt"}, {"payments"}, {"payments"}]
    assert [[payment["outcome"] for payment in one["payments"]] for one in found] == [
        ["after-cancel"], ["completed", "repeated"], [],
    ]  # fmt: skip
    first, second = found[1]["payments"]
    assert first == {
        "eventId": f"{100 << 32 | 1 << 12:019d}-0000000011",
        "streamId": f"{TWO}-11",
        "txHash": found[1]["txHash"],
        "ledger": 100,
        "closedAt": format_close_time(paid.created_at + 10),
        "payer": PAYER,
        "grossAmount": "1000",
        "amount": "995",
        "matchedBy": "memo",
        "outcome": "completed",
    }
    assert (second["grossAmount"], second["amount"]) == (None, None)
    assert not {one["id"] for one in links.own(account=OTHER)} & {one["id"] for one in found}


def test_a_list_is_private_and_pages_lead_on(links):
    owner = PEOPLE[2]
    made = [links.make(account=owner)["id"] for _ in range(5)]
    found, query = [], ""
    for _ in range(3):
        said = links.ask("GET", f"/invoice-links?limit=2{query}", account=owner)
        assert said.header("Cache-Control") == "private, no-cache"
        found += [one["id"] for one in said.json["items"]]
        query = f"&cursor={said.json['nextCursor']}"
        assert (said.header("Link") is None) == (said.json["nextCursor"] is None)
    assert said.json["nextCursor"] is None
    assert sorted(found) == sorted(made)


def test_a_cursor_is_good_for_its_own_account_and_filter_alone(sandbox):
    for _ in range(2):
        sandbox.make(account=PEOPLE[3])
        sandbox.make(account=PEOPLE[4])
    page = sandbox.ask("GET", "/invoice-links?limit=1", account=PEOPLE[3])
    cursor = f"/invoice-links?limit=1&cursor={page.json['nextCursor']}"
    assert sandbox.ask("GET", cursor, account=PEOPLE[3]).status == 200
    assert sandbox.ask("GET", cursor, account=PEOPLE[4]).code == "invalid-cursor"
    assert sandbox.ask("GET", f"{cursor}&status=DRAFT", account=PEOPLE[3]).code == "invalid-cursor"


def test_a_list_is_narrowed_down_by_status(links):
    owner, now = PEOPLE[5], int(time.time())
    made = {
        "DRAFT": put_link(links.storage, owner=owner),
        "SIGNED": put_submission(links.storage, put_link(links.storage, owner=owner)),
        "EXPIRED": put_link(links.storage, owner=owner, expires_at=now - 1),
        "CANCELED": put_link(links.storage, owner=owner, canceled_at=now),
        "COMPLETED": put_payment(links.storage, put_link(links.storage, owner=owner), 21),
    }
    for status, link in made.items():
        assert [(one["id"], one["status"]) for one in links.own(f"status={status}", account=owner)] == [
            (link.id, status)
        ]
    both = links.own("status=DRAFT&status=SIGNED", account=owner)
    assert {one["status"] for one in both} == {"DRAFT", "SIGNED"}
    assert links.ask("GET", "/invoice-links?status=PAID").code == "invalid-parameter"


# --- life -------------------------------------------------------------------------------------------


def test_an_owner_cancels_a_link_and_may_do_so_again(links):
    made = links.make()
    first = links.set_status(made["id"], "CANCELED")
    assert (first.status, first.json["status"]) == (200, "CANCELED")
    assert first.json["canceledAt"] == first.json["updatedAt"]
    again = links.set_status(made["slug"], "CANCELED")
    assert (again.status, again.json) == (200, first.json)
    assert links.read(made["slug"]).code == "link-cancelled"


def test_an_owner_names_the_transaction_that_pays(links):
    made = links.make()
    said = links.set_status(made["id"], "SIGNED", txHash=HASH.upper())
    assert (said.status, said.json["status"], said.json["txHash"]) == (200, "SIGNED", HASH)
    another = links.set_status(made["id"], "SIGNED", txHash="cd" * 32)
    assert (another.status, another.json["txHash"]) == (200, "cd" * 32)
    noted = InvoiceSubmission.select(InvoiceSubmission.tx_hash).where(InvoiceSubmission.link_id == made["id"])
    found = links.storage.read(lambda database: [row[0] for row in noted.tuples().execute(database)])
    assert sorted(found) == [HASH, "cd" * 32]


@pytest.mark.parametrize("status", LinkStatus)
@pytest.mark.parametrize("wanted", LinkStatus)
def test_only_what_is_legal_is_set_and_a_refusal_names_it(sandbox, status, wanted):
    now, storage = int(time.time()), sandbox.storage
    link = put_link(
        storage,
        expires_at=now - 1 if status == "EXPIRED" else None,
        **({"canceled_at": now} if status == "CANCELED" else {}),
    )
    if status == "SIGNED":
        link = put_submission(storage, link)
    if status == "COMPLETED":
        link = put_payment(storage, link)
    more = {"txHash": HASH} if wanted == "SIGNED" else {}
    said = sandbox.set_status(link.id, wanted, **more)
    if wanted in LEGAL[status] or (status, wanted) == ("CANCELED", "CANCELED"):
        assert (said.status, said.json["status"]) == (200, wanted)
        return
    assert (said.status, said.code) == (409, "illegal-link-status")
    assert said.json["legal"] == list(LEGAL[status])
    assert storage.read(lambda database: link_by_id(database, link.id)) == link


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.status"),
        ({"status": "canceled"}, "body.status"),
        ({"status": "PAID"}, "body.status"),
        ({"status": "SIGNED"}, "body.txHash"),
        ({"status": "SIGNED", "txHash": None}, "body.txHash"),
        ({"status": "SIGNED", "txHash": "ab"}, "body.txHash"),
        ({"status": "SIGNED", "txHash": "g" * 64}, "body.txHash"),
        ({"status": "SIGNED", "txHash": HASH + "\n"}, "body.txHash"),
        ({"status": "CANCELED", "txHash": HASH}, "body.txHash"),
        ({"status": "CANCELED", "amount": "1"}, "body.amount"),
    ],
)
def test_a_status_that_is_none_changes_nothing(sandbox, body, field):
    made = sandbox.make()
    said = sandbox.ask("PATCH", f"/invoice-links/{made['id']}/status", body)
    assert (said.status, said.code, fields(said)) == (422, "invalid-body", [field])
    assert sandbox.read(made["slug"]).json["status"] == "DRAFT"


def test_terms_are_nothing_that_can_be_changed(sandbox):
    made = sandbox.make()
    for method in ("PUT", "PATCH", "POST"):
        assert sandbox.ask(method, f"/invoice-links/{made['slug']}", {"amount": "1"}).status == 405


def test_a_deleted_link_is_gone_and_its_slug_is_too(links):
    made = links.make()
    assert links.delete(made["slug"]).status == 204
    assert links.read(made["slug"]).code == "link-not-found"
    assert made["id"] not in {one["id"] for one in links.own()}
    for said in (links.delete(made["id"]), links.set_status(made["id"], "CANCELED")):
        assert (said.status, said.code) == (404, "link-not-found")


def test_a_link_that_is_paid_or_signed_is_not_deleted_and_one_that_is_cancelled_then_is(links):
    signed = put_submission(links.storage, put_link(links.storage))
    paid = put_payment(links.storage, put_link(links.storage), 31)
    for link in (signed, paid):
        said = links.delete(link.id)
        assert (said.status, said.code) == (409, "link-not-deletable")
        assert links.read(link.slug).status == 200
    assert links.set_status(signed.id, "CANCELED").status == 200
    assert links.delete(signed.id).status == 204


# --- how far ----------------------------------------------------------------------------------------


def test_a_list_says_up_to_which_ledger_payments_are_found(link_api_of):
    api = link_api_of("sqlite", sections={"nebula": {"contracts": {ONE: "v1", TWO: "v2"}}})

    def extent(**reached: Reached) -> tuple[int, bool]:
        contracts = {{"one": ONE, "two": TWO, "three": THREE}[name]: at for name, at in reached.items()}
        api.storage.write(lambda database: write_reach(database, NAME, contracts))
        said = api.ask("GET", "/invoice-links").json
        return said["asOfLedger"], said["complete"]

    assert extent() == (0, False)
    assert extent(two=Reached(100, 1, True, 100)) == (0, False)
    assert extent(one=Reached(90, 1, True, 90), two=Reached(100, 1, True, 100)) == (90, True)
    assert extent(one=Reached(90, 1, True, 90), two=Reached(80, 1, False, 70)) == (80, False)
    put_link(api.storage, contract=THREE)  # of a contract that is not served any more
    assert extent(one=Reached(90, 1, True, 90), two=Reached(100, 1, True, 100)) == (0, False)
    said = extent(one=Reached(90, 1, True, 90), two=Reached(100, 1, True, 100), three=Reached(95, 1, True, 95))
    assert said == (90, True)


# --- what is described and measured -----------------------------------------------------------------


def test_metrics_count_links_by_status_and_payments_by_outcome(link_api_of):
    api = link_api_of("sqlite", sections={"invoice-links": {"most_open_links": 3}})
    put_link(api.storage)
    put_payment(api.storage, put_link(api.storage))
    told = api.running.get("/metrics").body.decode().splitlines()
    assert 'stellarstream_invoice_links{status="DRAFT"} 1.0' in told
    assert 'stellarstream_invoice_links{status="COMPLETED"} 1.0' in told
    assert 'stellarstream_invoice_links{status="EXPIRED"} 0.0' in told
    assert 'stellarstream_invoice_payments{outcome="completed"} 1.0' in told
    assert 'stellarstream_invoice_payments{outcome="late"} 0.0' in told


def test_whoever_makes_links_gets_what_is_described(sandbox, tmp_path):
    header = f"X-API-Key: {key_of(sandbox.storage, wallet(5).public_key)}"
    options = ("--header", header, "--generation-with-security-parameters", "false", "--phases", "coverage,fuzzing")
    only = ("--include-path-regex", r"/invoice-links(/\{(slug|id)\}(/status)?)?$")
    report = attack(sandbox.running, tmp_path, *options, *only, examples=10)
    assert report["operations"]["tested"] == 5
    assert report["test_cases"]["generated"] > 200
