"""Bytes on a connection: requests of two minds, too long, too slow, cut off. One answer each, and then the end."""

from __future__ import annotations

import logging
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger

from stellarstream_core.api import parsing, server
from tests.api.kit import HISTORY, Running, Wire

ALIVE = b"GET /healthz/live HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/v1/quotes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = b'{"amount":"1"}'
SMUGGLED = b"GET /healthz/live HTTP/1.1\r\nHost: smuggled\r\n\r\n"


@pytest.fixture(autouse=True)
def failures(caplog) -> Iterator[list[str]]:
    """Collect what is logged as an error, by whom ever: nothing that a client sends is one."""
    found: list[str] = []
    sink = logger.add(lambda message: found.append(message.record["message"]), level="ERROR")
    with caplog.at_level(logging.WARNING):
        yield found
    logger.remove(sink)
    assert found == []
    assert [record.getMessage() for record in caplog.records] == []


@pytest.fixture
def api(running) -> Running:
    return running()


def answers(wire: Wire) -> list[tuple[int, str | None]]:
    """Return the status and the problem of every answer until the connection ends."""
    found = []
    while True:
        try:
            said = wire.answer()
        except (EOFError, ConnectionResetError):
            return found
        found.append((said.status, said.code))


CHUNKED = b"Transfer-Encoding: chunked\r\n"
TWO_MINDS = {
    "length and chunks": POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "chunks and length": POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 14\r\nContent-Length: 0\r\n\r\n" + BODY,
    "the same length twice": POST + b"Content-Length: 14\r\nContent-Length: 14\r\n\r\n" + BODY,
    "a list of lengths": POST + b"Content-Length: 14, 14\r\n\r\n" + BODY,
    "a length with a sign": POST + b"Content-Length: +14\r\n\r\n" + BODY,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n" + BODY,
    "a length with an underscore": POST + b"Content-Length: 1_4\r\n\r\n" + BODY,
    "a hexadecimal length": POST + b"Content-Length: 0xe\r\n\r\n" + BODY,
    "a length of many digits": POST + b"Content-Length: 99999999999999999999999\r\n\r\n" + BODY,
    "an empty length": POST + b"Content-Length: \r\n\r\n" + BODY,
    "chunks of another name": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks that are not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunks twice": POST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "no number of bytes": POST + CHUNKED + b"\r\nzz\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a negative number of bytes": POST + CHUNKED + b"\r\n-e\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a number with 0x": POST + CHUNKED + b"\r\n0xe\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a number that overflows": POST + CHUNKED + b"\r\n" + b"f" * 17 + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk that is longer than it says": POST + CHUNKED + b"\r\n3\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk ended by LF": POST + CHUNKED + b"\r\ne\n" + BODY + b"\n0\n\n",
    "a folded header": ALIVE + b"X-A: a\r\n b\r\n\r\n",
    "a folded first header": b"GET /healthz/live HTTP/1.1\r\n Host: x\r\n\r\n",
    "lines ended by LF": b"GET /healthz/live HTTP/1.1\nHost: x\n\n",
    "lines ended by CR": b"GET /healthz/live HTTP/1.1\rHost: x\r\r",
    "a header without a colon": ALIVE + b"X-A\r\n\r\n",
    "a header without a name": ALIVE + b": a\r\n\r\n",
    "a name with a space": ALIVE + b"X A: a\r\n\r\n",
    "a name with a quote": ALIVE + b'X"A: a\r\n\r\n',
    "no host": b"GET /healthz/live HTTP/1.1\r\n\r\n",
    "two hosts": ALIVE + b"Host: y\r\n\r\n",
    "a version to come": b"GET /healthz/live HTTP/1.2\r\nHost: x\r\n\r\n",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("1603010200010001fc0303") + bytes(100) + b"\r\n\r\n",
    "a method of small letters": b"get /healthz/live HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method that is none": b"BREW /healthz/live HTTP/1.1\r\nHost: x\r\n\r\n",
    "a host where a path belongs": b"GET evil.example:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "an address that is none": b"GET http://[x/healthz/live HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space in the path": b"GET /healthz/li ve HTTP/1.1\r\nHost: x\r\n\r\n",
    "a byte that is no ASCII in the path": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "a NUL in the path": b"GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n",
    "an encoding that is not taken": POST + b"Content-Encoding: br\r\nContent-Length: 14\r\n\r\n" + BODY,
    "a method without end": b"A" * 9_000 + b" / HTTP/1.1\r\nHost: x\r\n\r\n",
    "more headers than anybody sends": ALIVE + b"".join(b"X-%d: a\r\n" % n for n in range(5_000)) + b"\r\n",
}


@pytest.mark.parametrize("data", TWO_MINDS.values(), ids=list(TWO_MINDS))
def test_a_request_that_can_be_read_in_two_ways_is_refused_and_nothing_after_it_is_read(api, data):
    with api.wire() as wire:
        with suppress(BrokenPipeError, ConnectionResetError):  # it may be refused before all was sent
            wire.send(data + SMUGGLED)
        assert answers(wire) in ([(400, "malformed-request")], [])
    with api.wire() as wire:
        wire.send(data)
        assert answers(wire) == [(400, "malformed-request")]


def test_a_transfer_coding_that_is_not_undone_is_not_taken_for_a_body(api):
    with api.wire() as wire:
        wire.send(POST + b"Transfer-Encoding: gzip, chunked\r\n\r\ne\r\n" + BODY + b"\r\n0\r\n\r\n" + ALIVE + b"\r\n")
        first, second = wire.answer(), wire.answer()
    assert first.status in {200, 400}
    assert second.json == {"status": "alive"}


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/v1/events?cursor=" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        ALIVE + b"X-A: " + b"a" * 9_000 + b"\r\n\r\n",
        ALIVE + b"X" * 9_000 + b": a\r\n\r\n",
        ALIVE + b"Cookie: " + b"a=b; " * 50_000 + b"\r\n\r\n",
    ],
)
def test_a_line_that_is_too_long_is_a_problem_of_its_own(api, data):
    with api.wire() as wire:
        with suppress(BrokenPipeError, ConnectionResetError):
            wire.send(data)
        found = answers(wire)
    # what is still on its way when the connection ends may cost the answer
    assert found == [(431, "header-too-large")] or (found == [] and len(data) > 100_000)


def test_pipelined_requests_are_answered_one_by_one_in_order(api):
    names = [f"r{number}" for number in range(40)]
    with api.wire() as wire:
        wire.send(b"".join(ALIVE + f"X-Request-ID: {name}\r\n\r\n".encode() for name in names))
        assert [wire.answer().header("X-Request-ID") for _ in names] == names


def test_a_body_that_nobody_wants_is_not_taken_for_a_request(api):
    with api.wire() as wire:
        wire.send(
            ALIVE + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED + ALIVE + b"X-Request-ID: mine\r\n\r\n"
        )
        assert [wire.answer().status, wire.answer().header("X-Request-ID")] == [200, "mine"]
        for start in (b"POST /api/v1/orders", b"POST /api/v1/nothing", b"PUT /api/v1/events"):
            wire.send(start + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED)
            assert wire.answer().status in {401, 404, 405}
        wire.send(POST + b"Content-Length: 3\r\n\r\n{{{" + ALIVE + b"\r\n")
        assert [wire.answer().code, wire.answer().status] == ["malformed-body", 200]


def test_a_broken_compressed_body_is_malformed(api):
    with api.wire() as wire:
        wire.send(POST + b"Content-Encoding: gzip\r\nContent-Length: 14\r\n\r\n" + BODY)
        assert answers(wire) == [(400, "malformed-body")]


def test_only_the_usual_expectation_is_met(api):
    with api.wire() as wire:
        wire.send(POST + b"Expect: 100-continue\r\nContent-Length: 14\r\n\r\n")
        assert wire.answer().status == 100
        wire.send(BODY)
        assert wire.answer().status == 200
        for path in (b"/healthz/live", b"/api/v1/nothing"):
            with api.wire() as other:
                other.send(b"GET %b HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n" % path)
                assert answers(other) == [(417, "expectation-failed")]


@pytest.mark.parametrize("to", [b"websocket", b"h2c", b"TLS/1.0"])
def test_another_protocol_is_not_begun(api, to):
    with api.wire() as wire:
        wire.send(ALIVE + b"Connection: Upgrade\r\nUpgrade: %b\r\nSec-WebSocket-Key: AAAA\r\n\r\n" % to)
        assert wire.answer().status == 200
        wire.send(ALIVE + b"\r\n")
        assert wire.answer().status == 200


def test_it_is_no_proxy(api):
    with api.wire() as wire:
        wire.send(b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.answer().code in {"unknown-route", "method-not-allowed", "malformed-request"}
    said = api.get("http://127.0.0.1:22/healthz/live")
    assert said.json == {"status": "alive"}


# --- slow -----------------------------------------------------------------------------------------


def drip(wire: Wire, data: bytes, pause: float) -> float:
    """Send byte by byte until the other side ends the connection; return after how many seconds it did."""
    began = time.monotonic()
    wire.sock.settimeout(pause)
    for byte in data:
        try:
            wire.send(bytes([byte]))
            if wire.sock.recv(1000) == b"":
                return time.monotonic() - began
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            return time.monotonic() - began
    raise AssertionError("it waited for everything")


def test_who_sends_no_whole_head_in_time_is_cut_off(api, monkeypatch):
    monkeypatch.setattr(server, "FIRST_REQUEST_SECONDS", 0.4)
    with api.wire() as wire:
        assert 0.3 < drip(wire, ALIVE + b"X-A: " + b"a" * 8_000, 0.05) < 3
    with api.wire() as silent:
        began = time.monotonic()
        assert silent.ends()
        assert 0.3 < time.monotonic() - began < 3


def test_a_kept_connection_is_cut_off_too_however_busy_it_looks(running, monkeypatch):
    monkeypatch.setattr(server, "KEEP_ALIVE_SECONDS", 0.4)
    api = running(session_seconds=4_000)  # one that is started now
    with api.wire() as wire:
        assert wire.ask("/healthz/live").status == 200
        assert 0.3 < drip(wire, ALIVE + b"X-A: " + b"a" * 8_000, 0.05) < 3
    with api.wire() as idle:
        assert idle.ask("/healthz/live").status == 200
        began = time.monotonic()
        assert idle.ends()
        assert 0.3 < time.monotonic() - began < 3


def test_a_body_that_does_not_come_in_time_is_a_problem_and_the_end(api, monkeypatch):
    monkeypatch.setattr(parsing, "BODY_SECONDS", 0.3)
    for start in (POST + b"Content-Length: 14\r\n\r\n", POST + CHUNKED + b"\r\n"):
        with api.wire() as wire:
            wire.send(start + b'{"am' if b"chunked" not in start else start + b'4\r\n{"am\r\n')
            began = time.monotonic()
            said = wire.answer()
            assert (said.status, said.code) == (408, "request-timeout")
            assert said.header("Connection") == "close"
            assert 0.2 < time.monotonic() - began < 3


def test_who_does_not_take_an_answer_is_cut_off_and_who_takes_it_slowly_is_not(api, monkeypatch):
    monkeypatch.setattr(server, "UNREAD_SECONDS", 0.5)
    page = b"GET /api/v1/events?limit=200 HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
    size = len(api.get("/api/v1/events?limit=200").body)
    assert size > len(HISTORY) * 300

    def small() -> Wire:
        wire = api.wire()
        wire.sock.close()
        wire.sock = socket.socket()
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        wire.sock.settimeout(10)
        wire.sock.connect(api.address)
        return wire

    many = 12_000_000 // size  # more than the system's buffers take
    with small() as wire:
        wire.send(page * many)
        time.sleep(2)
        taken = 0
        try:
            while piece := wire.sock.recv(1_000_000):
                taken += len(piece)
        except ConnectionResetError:
            pass
        assert taken < many * size
    with small() as wire:
        wire.send(page * 40)
        for _ in range(40):
            time.sleep(0.02)
            assert wire.answer().status == 200


# --- cut off --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET",
        ALIVE,
        ALIVE + b"\r\n",
        POST + b"Content-Length: 14\r\n\r\n" + BODY[:4],
        POST + CHUNKED + b"\r\n4\r\n",
    ],
)
@pytest.mark.parametrize("how", ["half closed", "closed", "reset"])
def test_who_goes_away_leaves_nothing_behind(api, data, how):
    with api.wire() as wire:
        wire.send(data)
        if how == "half closed":
            wire.sock.shutdown(socket.SHUT_WR)
            assert answers(wire) in ([], [(200, None)])
        elif how == "reset":
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert api.get("/healthz/live").status == 200


def test_who_goes_away_while_its_body_is_read_is_no_fault_of_the_service(api):
    lines = []
    sink = logger.add(lambda message: lines.append(message.record), level="INFO")
    with api.wire() as wire:
        wire.send(POST + b"X-Request-ID: gone\r\nContent-Length: 14\r\n\r\n" + BODY[:4])
        time.sleep(0.1)
    for _ in range(100):
        found = [line for line in lines if line["extra"].get("route") == "/api/v1/quotes"]
        if found:
            break
        time.sleep(0.02)
    logger.remove(sink)
    assert [line["extra"]["status"] for line in found] == [499]


# --- anything -------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        ALIVE,
        POST,
        CHUNKED,
        BODY,
        b"Content-Length: 14\r\n",
        b"Content-Length: 0\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"0\r\n\r\n",
        b"e\r\n",
        b" ",
        b"\t",
        b"\0",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"Connection: upgrade\r\nUpgrade: x\r\n",
        b"Content-Encoding: gzip\r\n",
        b"GET /api/v1/events?limit=1 HTTP/1.0\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(PIECES | st.binary(max_size=8), max_size=10),
    st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), max_size=2),
)
def test_whatever_is_sent_is_answered_as_it_should_be_or_cut_off(api, pieces, flaws):
    raw = bytearray(b"".join(pieces))
    for place, byte in flaws if raw else ():
        raw[place % len(raw)] = byte
    with api.wire() as wire:
        try:
            wire.send(bytes(raw))
            wire.sock.shutdown(socket.SHUT_WR)
            said = wire.rest()
        except (BrokenPipeError, ConnectionResetError, OSError):
            return
    for line in said.split(b"\r\n"):
        if line.startswith(b"HTTP/"):
            assert 100 <= int(line[9:12]) < 500, (raw, line)
