"""What the Python clients do where a service, or what lies before it, fails: sent again only where that is safe."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nebula_client import (
    ApiError,
    AsyncNebulaClient,
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    ConfigurationError,
    ConflictError,
    GoneError,
    NebulaClient,
    NebulaError,
    NetworkError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    UnprocessableError,
)
from nebula_client._core import retries
from nebula_client._core.config import Clock
from nebula_client.errors import api_error
from tests.sdk.faults import cut, half, hang, problem, says

pytestmark = pytest.mark.timeout(60)

SYNC = {
    "network": "sandbox",
    "contracts": None,
    "startLedger": None,
    "watermark": None,
    "heldBackBy": [],
    "lastCoveredLedger": None,
    "tip": None,
    "tipClosedAt": None,
    "lag": None,
    "lagSeconds": None,
    "asOfLedger": 0,
    "complete": False,
    "coverage": [],
    "gaps": [],
    "moreRanges": 0,
    "evidence": {"provenLedgers": 0, "scannedLedgers": 0},
    "sources": [],
    "projections": [],
    "events": 0,
    "conflicts": 0,
    "position": 0,
    "livePosition": None,
}
TRANSACTION = {"txHash": "ab" * 32, "status": "PENDING"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(retries, "BASE_SECONDS", 0.001)


# --- sent again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        cut,
        half,
        problem(429, "rate-limited"),
        problem(429, "rate-limited", Retry_After="0"),
        problem(502, "bad-gateway"),
        problem(503, "database-busy", Retry_After="0"),
        says(504, b"<html>"),
        says(200, b'{"network": "sand'),
        says(200, b""),
    ],
    ids=["cut", "half", "429", "429-at-once", "502", "503", "504", "broken", "empty"],
)
def test_a_reading_is_sent_again_after_what_may_pass(faults, client_of, fault):
    faults.lay("GET /sync", fault, fault, fault, says(200, SYNC))
    assert client_of(faults.url).get_sync().network == "sandbox"
    assert faults.count("GET /sync") == 4
    faults.lay("GET /sync", fault, fault)
    with pytest.raises(NebulaError):
        client_of(faults.url, max_retries=1).get_sync()
    assert faults.count("GET /sync") == 6


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid-cursor", BadRequestError),
        (401, "token-malformed", AuthenticationError),
        (403, "forbidden", PermissionDeniedError),
        (404, "not-found", NotFoundError),
        (409, "link-paid", ConflictError),
        (410, "link-expired", GoneError),
        (418, "teapot", ApiError),
        (422, "invalid-body", UnprocessableError),
        (500, "internal", ServerError),
    ],
)
def test_what_does_not_pass_is_an_error_of_its_own_at_once(faults, client_of, status, code, kind):
    faults.lay("GET /sync", problem(status, code, X_Request_ID="the-id"))
    with pytest.raises(kind) as refused:
        client_of(faults.url).get_sync()
    error = refused.value
    assert type(error) is kind
    assert (error.status, error.code, error.request_id, error.title) == (status, code, "the-id", code)
    assert str(error) == f"Said {code}. ({status} {code})"
    assert faults.count("GET /sync") == 1


def test_something_else_in_between_is_told_apart(faults, client_of):
    faults.lay("GET /sync", says(403, b"<html>token=abc"), says(302, b"", Location="http://127.0.0.1:9/"))
    with pytest.raises(PermissionDeniedError) as refused:
        client_of(faults.url).get_sync()
    assert refused.value.code == "http-error"
    assert "abc" not in str(refused.value)
    with pytest.raises(BadResponseError, match="base_url"):
        client_of(faults.url).get_sync()


def test_an_answer_of_another_shape_is_refused_without_being_shown(faults, client_of):
    faults.lay("GET /sync", says(200, {**SYNC, "asOfLedger": "the secret"}), says(200, {"hello": "the secret"}))
    for _ in range(2):
        with pytest.raises(BadResponseError, match=r"asOfLedger|network") as refused:
            client_of(faults.url).get_sync()
        assert "the secret" not in str(refused.value) + repr(refused.value.__cause__)
    assert faults.count("GET /sync") == 2


def test_what_is_new_in_an_answer_does_no_harm(faults, client_of):
    faults.lay("GET /sync", says(200, {**SYNC, "phaseOfTheMoon": "full"}))
    assert client_of(faults.url).get_sync().model_extra == {"phaseOfTheMoon": "full"}
    faults.lay("GET /transactions", says(200, {**TRANSACTION, "status": "DREAMING"}))
    status = client_of(faults.url).get_transaction("ab" * 32).status
    assert (status, repr(status)) == ("DREAMING", "<TransactionStatus.DREAMING: 'DREAMING'>")


# --- how long to wait --------------------------------------------------------------------------------------


@pytest.mark.parametrize("long", ["31", "3600"])
def test_nobody_waits_for_longer_than_half_a_minute(faults, client_of, long):
    faults.lay("GET /sync", problem(429, "rate-limited", Retry_After=long))
    with pytest.raises(RateLimitedError) as refused:
        client_of(faults.url).get_sync()
    assert refused.value.retry_after == float(long)
    assert faults.count("GET /sync") == 1


def test_a_time_to_ask_again_is_heeded(faults, client_of):
    faults.lay("GET /sync", problem(503, "shutting-down", Retry_After="1"), says(200, SYNC))
    begun = time.monotonic()
    client_of(faults.url).get_sync()
    assert time.monotonic() - begun >= 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), (" 7 ", 7.0), (formatdate(1_000_060, usegmt=True), 60.0), (formatdate(5, usegmt=True), 0.0)]
    + [(text, None) for text in ("", "soon", "-1", "1.5", "Mon, 99 Foo 2020 00:00:00 GMT")]
    + [(None, None)],
)
def test_a_time_to_ask_again_is_a_number_or_a_date(text, seconds):
    assert retries.retry_after(text, Clock(wall=lambda: 1_000_000.0)) == seconds


@given(attempt=st.integers(0, 5000), chance=st.floats(0, 1))
def test_pauses_grow_and_stay_bearable(attempt, chance):
    pause = retries.back_off(attempt, Clock(chance=lambda: chance))
    assert 0 <= pause <= min(retries.BASE_SECONDS * 2 ** min(attempt, 60), retries.MOST_SECONDS)


@given(
    error=st.one_of(
        st.builds(
            lambda status, code, wait: api_error(status, {"code": code}, retry_after=wait),
            st.integers(400, 599),
            st.sampled_from(["internal", "idempotency-running", "link-paid"]),
            st.none() | st.floats(0, 1000),
        ),
        st.builds(lambda maybe: NetworkError("x", maybe_sent=maybe), st.booleans()),
        st.builds(lambda maybe: RequestTimeoutError("x", maybe_sent=maybe), st.booleans()),
        st.just(BadResponseError("x")),
    )
)
def test_what_changes_something_is_sent_again_only_if_it_was_not_carried_out(error):
    pause = retries.pause_after(error, 0, Clock(), safe=False)
    if pause is not None:
        assert (isinstance(error, ApiError) and error.status == 429) or not error.maybe_sent
        assert retries.pause_after(error, 0, Clock(), safe=True) is not None
        assert 0 <= pause <= retries.LONGEST_RETRY_AFTER


# --- no answer -----------------------------------------------------------------------------------------------


def test_an_attempt_has_its_time(faults, client_of):
    faults.lay("GET /sync", hang, hang)
    with pytest.raises(RequestTimeoutError) as late:
        client_of(faults.url, timeout=0.2, max_retries=1).get_sync()
    assert (late.value.code, late.value.maybe_sent) == ("timeout", True)
    assert "no answer within 0.2 s" in str(late.value)
    assert faults.count("GET /sync") == 2


def test_an_answer_that_drips_has_its_time_as_a_whole(faults, client_of):
    def drip(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n")
        while not handler.faults.over.wait(0.05):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    faults.lay("GET /sync", drip)
    with pytest.raises(RequestTimeoutError):
        client_of(faults.url, timeout=0.3, max_retries=0).get_sync()


def test_a_service_that_is_not_there_was_sent_nothing(client_of):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(NetworkError) as unreached:
        client_of(url, token="a.b.c").delete_invoice_link("x")
    assert (unreached.value.code, unreached.value.maybe_sent) == ("network-error", False)
    assert "cannot be reached" in str(unreached.value)


def test_a_service_that_comes_back_is_asked_also_for_a_change(faults, client_of):
    """A connection that was refused was sent nothing: it is safe to try again."""
    client = client_of("http://127.0.0.1:9", token="a.b.c", transport=_refusing_first(client_of, faults.url))
    faults.lay("DELETE", says(204, b""))
    assert client.delete_invoice_link("x") is None
    assert faults.count("DELETE") == 1


def _refusing_first(client_of, url):
    """Return a transport whose first connection is refused; the rest go to another address."""
    import httpx2

    from tests.sdk.kit import Waiting

    is_async = _kind(client_of) is Waiting
    base = httpx2.AsyncHTTPTransport if is_async else httpx2.HTTPTransport

    class Refusing(base):
        refused = False

        def _turned(self, request):
            if not self.refused:
                self.refused = True
                return request
            request.url = httpx2.URL(url).copy_with(raw_path=request.url.raw_path)
            return request

        if is_async:

            async def handle_async_request(self, request):
                return await super().handle_async_request(self._turned(request))
        else:

            def handle_request(self, request):
                return super().handle_request(self._turned(request))

    return Refusing()


def _kind(client_of):
    probe = client_of("http://127.0.0.1:9")
    return type(probe)


async def test_a_cancelled_call_ends_at_once_and_leaves_nothing_open(faults):
    faults.lay("GET /sync", hang)
    async with AsyncNebulaClient(faults.url) as client:
        task = asyncio.create_task(client.get_sync())
        await asyncio.to_thread(faults.until, "GET /sync", 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        faults.lay("GET /sync", problem(503, "busy", Retry_After="30"))
        task = asyncio.create_task(client.get_sync())
        await asyncio.to_thread(faults.until, "GET /sync", 2)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        faults.lay("GET /sync", hang)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.get_sync(), 0.1)
        pool = client._driver._http._transport._pool
        assert pool.connections == []


def test_threads_share_a_client(faults):
    faults.lay("GET /sync", *[says(200, SYNC)] * 40)
    with NebulaClient(faults.url) as client:
        done = []
        threads = [
            threading.Thread(target=lambda: done.extend(client.get_sync().network for _ in range(5))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert done == ["sandbox"] * 40


# --- how a client is set up -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://a.test", "http://a.test/api/v1"),
        ("http://a.test/", "http://a.test/api/v1"),
        ("https://a.test:8443/api/v1", "https://a.test:8443/api/v1"),
        ("https://a.test/api/v1/", "https://a.test/api/v1"),
        (" https://a.test/below//", "https://a.test/below/api/v1"),
        ("http://[::1]:3000", "http://[::1]:3000/api/v1"),
    ],
)
def test_an_address_is_given_with_or_without_the_path(client_of, given, base):
    client = client_of(given)
    assert client._core.config.base == base
    assert repr(client.client).endswith(f"({base.removesuffix('/api/v1')!r})")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "a.test",
        "ftp://a.test",
        "http://",
        "http://u:secret@a.test",
        "http://a.test?k=secret",
        "http://a.test/#x",
        "http://a.test:port",
        "http://[::1",
        None,
        7,
    ],
)
def test_an_address_that_is_none_is_refused_without_its_secrets(given):
    for kind in (NebulaClient, AsyncNebulaClient):
        with pytest.raises(ConfigurationError) as refused:
            kind(given)
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": "5"},
        {"timeout": float("nan")},
        {"confirm_timeout": float("inf")},
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"token": "a\nb"},
        {"token": ""},
        {"api_key": "a b"},
        {"headers": {"Authorization": "x"}},
        {"headers": {"X-Thing": "a\r\nb: c"}},
        {"headers": {"X Thing": "a"}},
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ConfigurationError):
        NebulaClient("http://a.test", **options)


def test_unknown_options_and_filters_are_refused(client_of):
    with pytest.raises(TypeError, match="time_out"):
        NebulaClient("http://a.test", time_out=3)
    with pytest.raises(TypeError, match="unknown argument: sendr; known are"):
        client_of("http://127.0.0.1:9").list_streams(sendr="G")


@pytest.mark.parametrize("bad", ["", ".", "..", None, 5])
def test_what_is_no_id_is_not_asked_for(client_of, bad):
    with pytest.raises(ConfigurationError):
        client_of("http://127.0.0.1:9").get_stream(bad)


def test_an_id_cannot_lead_elsewhere(faults, client_of):
    faults.lay("GET", problem(404, "not-found"))
    with pytest.raises(NotFoundError):
        client_of(faults.url).get_stream("../stats?x=1#y z/é")
    assert faults.asked[0].target == "/api/v1/streams/..%2Fstats%3Fx%3D1%23y%20z%2F%C3%A9"


def test_headers_and_who_asks_are_sent(faults, client_of):
    faults.lay("GET /sync", says(200, SYNC), says(200, SYNC))
    client_of(faults.url, headers={"X-Thing": "a"}, api_key="ss_key").get_sync()
    client_of(faults.url, headers={"User-Agent": "mine"}, token="a.b.c").get_sync()
    first, second = (asked.headers for asked in faults.asked)
    assert (first["x-thing"], first["x-api-key"], first["accept"]) == ("a", "ss_key", "application/json")
    assert first["user-agent"].startswith("nebula-client/")
    assert (second["user-agent"], second["authorization"]) == ("mine", "Bearer a.b.c")
