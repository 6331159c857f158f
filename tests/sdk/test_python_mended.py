"""Money moves once where several things go wrong at a time; clients that are closed, called twice, or logged out."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from nebula_client import (
    AsyncNebulaClient,
    BadResponseError,
    ConfigurationError,
    ConflictError,
    NebulaClient,
    NebulaError,
    PaymentUnderWayError,
    PermissionDeniedError,
    RateLimitedError,
    RequestTimeoutError,
    SigningError,
    TransactionPendingError,
)
from nebula_client._core import watching
from tests.sdk.faults import cut, lose, problem, says
from tests.sdk.kit import AMOUNT, until

pytestmark = pytest.mark.timeout(110)

PAGE = {"items": [], "nextCursor": "same", "asOfLedger": 1, "complete": True}


@pytest.fixture
def streams_with(deployed):
    def find(memo: str) -> list[str]:
        with NebulaClient(deployed.url) as reader:
            return [stream.id for stream in reader.search_streams(memo)]

    return find


class Wallet:
    """Signs by another signer, after something else was done."""

    def __init__(self, signer, before=lambda _number: None):
        self.public_key, self._signer, self._before, self.count = signer.public_key, signer, before, 0

    def sign_transaction(self, xdr, *, network_passphrase, address=None):
        self.count += 1
        self._before(self.count)
        return self._signer.sign_transaction(xdr, network_passphrase=network_passphrase)


def goes_on(client, error, once, streams_with):
    """Assert that what was pending is one stream in the end, however often it is gone on with."""
    client.submit_transaction(error.signed_xdr)
    done = client.wait_for_transaction(error.tx_hash)
    assert done.stream_ids == streams_with(once["memo"])
    assert len(done.stream_ids) == 1


# --- once it is signed -------------------------------------------------------------------------------


def test_no_credential_is_needed_once_it_is_handed_in(proxy, client_of, deployed, once, payer, streams_with):
    client = client_of(proxy.url, signer=payer, token=client_of(deployed.url).login(payer))
    stream = client.create_stream(**once)
    assert streams_with(once["memo"]) == [stream.id]
    at = next(at for at, one in enumerate(proxy.asked) if f"{one.method} {one.path}" == "POST /transactions")
    assert "authorization" in proxy.asked[at].headers
    after = proxy.asked[at + 1 :]
    assert {one.method for one in after} == {"GET"}
    assert not any({"authorization", "x-api-key"} & one.headers.keys() for one in after)


@pytest.mark.parametrize("where", ["GET /transactions", "GET /streams/"])
def test_a_refusal_while_waiting_tells_how_to_go_on(proxy, client_of, once, payer, streams_with, where):
    client = client_of(proxy.url, signer=payer)
    proxy.lay(where, says(403, b"<html>"))
    with pytest.raises(TransactionPendingError) as pending:
        client.create_stream(**once)
    assert isinstance(pending.value.__cause__, PermissionDeniedError)
    goes_on(client, pending.value, once, streams_with)


@pytest.mark.parametrize(
    ("second", "cause"),
    [
        (says(403, b"<html>"), PermissionDeniedError),
        (problem(403, "scope-missing"), PermissionDeniedError),
        (problem(429, "too-many-pending", Retry_After="60"), RateLimitedError),
        (says(200, b"[" * 100_000), BadResponseError),
    ],
    ids=["proxy", "scope", "too-many", "nonsense"],
)
def test_a_refusal_after_a_lost_answer_tells_how_to_go_on(proxy, client_of, once, payer, streams_with, second, cause):
    client = client_of(proxy.url, signer=payer, max_retries=1)
    proxy.lay("POST /transactions", lose, second)
    with pytest.raises(TransactionPendingError) as pending:
        client.create_stream(**once)
    assert isinstance(pending.value.__cause__, cause)
    goes_on(client, pending.value, once, streams_with)


def test_a_proxy_s_refusal_tells_how_to_go_on(proxy, client_of, once, payer, streams_with):
    client = client_of(proxy.url, signer=payer)
    proxy.lay("POST /transactions", says(403, b"<html>"))
    with pytest.raises(TransactionPendingError) as pending:
        client.create_stream(**once)
    goes_on(client, pending.value, once, streams_with)


def test_the_service_s_refusal_of_the_first_attempt_is_said_as_it_is(proxy, client_of, once, payer, streams_with):
    client = client_of(proxy.url, signer=payer)
    proxy.lay("POST /transactions", problem(403, "scope-missing"))
    with pytest.raises(PermissionDeniedError) as refused:
        client.create_stream(**once)
    assert refused.value.code == "scope-missing"
    assert streams_with(once["memo"]) == []


def test_a_login_that_is_refused_at_the_end_tells_how_to_go_on(proxy, client_of, once, payer, streams_with):
    def refuse(number):
        if number == 3:
            raise RuntimeError("no more")

    client = client_of(proxy.url, signer=Wallet(payer, refuse))
    proxy.lay("POST /transactions", lose, problem(401, "token-expired"))
    with pytest.raises(TransactionPendingError) as pending:
        client.create_stream(**once)
    assert isinstance(pending.value.__cause__, SigningError)
    goes_on(client, pending.value, once, streams_with)


def test_the_time_that_a_wallet_takes_is_not_the_network_s(proxy, client_of, once, payer):
    client = client_of(proxy.url, signer=payer)
    client.login()
    proxy.lay("GET /transactions", *[problem(404, "transaction-not-found")] * 40)
    slow = Wallet(payer, lambda _number: time.sleep(2.5))
    with pytest.raises(TransactionPendingError):
        client.limited(confirm_timeout=2).create_stream(**once, signer=slow)
    assert proxy.count("GET /transactions") > 1  # one look alone: time was over before the first


def test_a_wait_that_is_cut_short_keeps_the_hash_in_its_cause(proxy, payer, once):
    async def main():
        async with AsyncNebulaClient(proxy.url, signer=payer) as client:
            proxy.lay("GET /transactions", *[problem(404, "transaction-not-found")] * 200)
            kept = []
            signed = asyncio.Event()
            task = asyncio.create_task(
                client.create_stream(**once, on_submitted=lambda this: (kept.append(this), signed.set()))
            )
            await signed.wait()
            with pytest.raises(TimeoutError) as late:
                await asyncio.wait_for(task, 0.2)
            assert kept[0].tx_hash in "".join(late.value.__cause__.__notes__)

    asyncio.run(main())


# --- several at once ------------------------------------------------------------------------------------


@pytest.mark.parametrize("alike", [True, False], ids=["equal-terms", "other-terms"])
def test_payments_of_one_account_at_once_are_as_many_streams(deployed, once, payer, streams_with, alike):
    amounts = [AMOUNT + (0 if alike else at) for at in range(3)]
    with NebulaClient(deployed.url, signer=payer) as client, ThreadPoolExecutor(3) as pool:
        made = [pool.submit(client.create_stream, **{**once, "amount": amount}) for amount in amounts]
        found = {one.result().id for one in made}
    assert len(found) == 3
    assert set(streams_with(once["memo"])) == found


async def test_payments_of_one_account_in_tasks_are_as_many_streams(deployed, once, payer, streams_with):
    async with AsyncNebulaClient(deployed.url, signer=payer) as client:
        other = client.with_options(max_retries=5)  # takes turns with the client that it came from
        made = await asyncio.gather(*(one.create_stream(**once) for one in (client, other, client)))
    found = {one.id for one in made}
    assert len(found) == 3
    assert set(streams_with(once["memo"])) == found


def test_a_payment_inside_of_a_payment_is_refused_at_once(proxy, client_of, once, payer):
    client = client_of(proxy.url, signer=payer)
    with pytest.raises(ConfigurationError, match="wait for itself"):
        client.create_stream(**once, on_submitted=lambda _: client.client.create_stream(**once))
    assert proxy.count("POST /transactions") == 0


def test_a_link_that_was_paid_meanwhile_is_not_paid_again(deployed, proxy, client_of, terms, payer, payee):
    link = client_of(deployed.url, signer=payee).create_invoice_link(**terms)
    other = deployed.wallet()

    def overtake(_number):
        with NebulaClient(deployed.url) as first:
            first.pay_invoice_link(link.slug, signer=other)

    told = []
    with pytest.raises(PaymentUnderWayError) as under_way:
        client_of(proxy.url).pay_invoice_link(link.slug, signer=Wallet(payer, overtake), on_submitted=told.append)
    assert under_way.value.slug == link.slug
    assert told == []
    assert proxy.count(f"POST /invoice-links/{link.slug}/submit") == 0
    paid = client_of(deployed.url).get_invoice_link(link.slug)
    assert (paid.payer, paid.tx_hash) == (other.public_key, under_way.value.tx_hash)


def under_way(**members):
    """Refuse a payment that comes in the same moment as another one."""
    said = {"type": "about:blank", "title": "Under way", "status": 409, "detail": "Somebody pays it."}
    return says(409, {**said, "code": "payment-under-way", **members})


@pytest.mark.parametrize(("members", "tx_hash"), [({"txHash": "ab" * 32}, "ab" * 32), ({}, "unknown")])
def test_a_link_that_is_paid_in_the_same_moment_is_not_paid_again(
    deployed, proxy, client_of, terms, payer, payee, members, tx_hash
):
    link = client_of(deployed.url, signer=payee).create_invoice_link(**terms)
    proxy.lay(f"POST /invoice-links/{link.slug}/submit", under_way(**members))
    with pytest.raises(PaymentUnderWayError) as refused:
        client_of(proxy.url).pay_invoice_link(link.slug, signer=payer)
    assert (refused.value.slug, refused.value.tx_hash) == (link.slug, tx_hash)
    assert isinstance(refused.value.__cause__, ConflictError)
    assert proxy.count(f"POST /invoice-links/{link.slug}/submit") == 1
    assert client_of(deployed.url).get_invoice_link(link.slug).status == "DRAFT"


def test_a_payment_that_is_refused_after_a_lost_answer_may_have_been_taken(
    deployed, proxy, client_of, terms, payer, payee
):
    link = client_of(deployed.url, signer=payee).create_invoice_link(**terms)
    proxy.lay(f"POST /invoice-links/{link.slug}/submit", lose, under_way(txHash="ab" * 32))
    client = client_of(proxy.url)
    with pytest.raises(TransactionPendingError) as pending:
        client.pay_invoice_link(link.slug, signer=payer)
    assert client.wait_for_transaction(pending.value.tx_hash).status == "SUCCESS"


@pytest.mark.parametrize("code", ["link-paid", "submitted-for-another-link"])
def test_other_conflicts_of_a_payment_are_said_as_they_are(deployed, proxy, client_of, terms, payer, payee, code):
    link = client_of(deployed.url, signer=payee).create_invoice_link(**terms)
    proxy.lay(f"POST /invoice-links/{link.slug}/submit", problem(409, code))
    with pytest.raises(ConflictError) as refused:
        client_of(proxy.url).pay_invoice_link(link.slug, signer=payer)
    assert refused.value.code == code


# --- closed ------------------------------------------------------------------------------------------------


def test_a_closed_client_says_so(client_of, faults):
    client = client_of(faults.url)
    if isinstance(client.client, NebulaClient):
        client.client.close()
    else:
        client._run(client.client.close())
    with pytest.raises(ConfigurationError, match="closed"):
        client.get_stats()
    with pytest.raises(ConfigurationError, match="closed"):
        next(client.watch_events())
    assert faults.asked == []


def test_closing_ends_what_another_thread_watches(proxy):
    client, ended = NebulaClient(proxy.url), []

    def watch():
        try:
            for _ in client.watch_events():
                pass
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    proxy.until("GET /events/live", 1)
    until(lambda: client._driver._open, bool)
    client.close()
    thread.join(10)
    assert not thread.is_alive()
    assert isinstance(ended[0], NebulaError)
    assert client._driver._open == set()


def test_closing_ends_what_another_task_watches(proxy):
    async def main():
        client = AsyncNebulaClient(proxy.url)

        async def watch():
            async for _ in client.watch_events():
                pass

        task = asyncio.create_task(watch())
        async with asyncio.timeout(30):
            while not client._driver._open:
                await asyncio.sleep(0.01)
        await client.close()
        with pytest.raises(NebulaError):
            await asyncio.wait_for(task, 10)
        assert client._driver._open == set()

    asyncio.run(main())


# --- logins ------------------------------------------------------------------------------------------------


def test_a_signer_that_logs_its_own_account_in_is_told_so(deployed, payer):
    with NebulaClient(deployed.url) as client:
        wallet = Wallet(payer, lambda _number: client.login(wallet))
        with pytest.raises(ConfigurationError, match="wait for itself"):
            client.login(wallet)


def test_a_slow_wallet_keeps_no_other_account_from_logging_in(deployed, payer, payee):
    asked, go_on = threading.Event(), threading.Event()

    def wait(_number):
        asked.set()
        assert go_on.wait(60)

    with NebulaClient(deployed.url) as client, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.login, Wallet(payer, wait))
        try:
            assert asked.wait(30)
            assert client.login(payee)
            assert not slow.done()
        finally:
            go_on.set()
        assert slow.result()


def test_who_logged_out_while_the_wallet_was_asked_is_logged_out(proxy, client_of, payer, payee, terms):
    client = client_of(proxy.url)
    client.login(Wallet(payer, lambda _number: client.logout()))
    before = len(proxy.asked)
    client.get_stats()
    assert "authorization" not in proxy.asked[before].headers
    session = client.client._core.session
    assert (session.logins, session.account, session.actor) == ({}, None, None)


# --- answers and arguments that cannot be ---------------------------------------------------------------------


def test_a_cursor_that_comes_again_ends_the_list_with_an_error(faults, client_of):
    client = client_of(faults.url, max_retries=0)
    faults.lay("GET /streams", *[says(200, PAGE)] * 6)
    with pytest.raises(BadResponseError, match="cursor"):
        client.get_streams("G")
    with pytest.raises(BadResponseError, match="cursor"):
        list(client.iterate_streams())
    assert faults.count("GET /streams") == 4


def test_half_a_character_is_refused_before_anything_is_sent(faults, client_of):
    client = client_of(faults.url)
    for call in (lambda: client.get_stream("\ud800"), lambda: client.search_streams("\ud800")):
        with pytest.raises(ConfigurationError):
            call()
    assert faults.asked == []


def test_a_problem_that_is_nested_without_end_is_a_bad_response(faults, client_of):
    faults.lay("GET /stats", says(422, b'{"a":' * 50_000))
    with pytest.raises(BadResponseError):
        client_of(faults.url).get_stats()


def test_a_new_stream_s_curve_is_told_soon(proxy, client_of, once, payer, monkeypatch):
    monkeypatch.setattr(watching, "UNREAD_SECONDS", 0.1)
    monkeypatch.setattr(watching, "QUIET_SECONDS", 10_000.0)
    client = client_of(proxy.url, signer=payer)
    stream = client.create_stream(**{**once, "duration": 40_000})
    for seen in client.watch_stream(stream.id):
        if seen.curve is not None:
            break
    assert seen.state_ledger is not None
    assert (datetime.now(UTC) - stream.created_at).total_seconds() < 60


# --- time -------------------------------------------------------------------------------------------------


def test_a_body_that_drips_is_cut_off(client_of):
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def drip():
            connection, _ = server.accept()
            with connection:
                connection.recv(9999)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                try:
                    while not over.wait(0.05):
                        connection.sendall(b"1\r\n \r\n")
                except OSError:
                    pass

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        client = client_of(f"http://127.0.0.1:{server.getsockname()[1]}", timeout=0.5, max_retries=0)
        try:
            with pytest.raises(RequestTimeoutError):
                client.get_stats()
        finally:
            over.set()
            thread.join(10)


def test_lost_and_cut_hand_ins_stay_one_stream(proxy, client_of, once, payer, streams_with):
    client = client_of(proxy.url, signer=payer)
    proxy.lay("POST /transactions", cut, lose)
    assert streams_with(once["memo"]) == []
    assert [client.create_stream(**once).id] == streams_with(once["memo"])
