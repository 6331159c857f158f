"""One call, one answer or one named failure; and no secret in any of them."""

from __future__ import annotations

import asyncio

import pytest

from stellarstream_core.endpoints.http import Transport
from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.testing.rpc_history import MadeHistory
from stellarstream_core.testing.rpc_node import Fault, Faults, RpcNode
from stellarstream_soroban_rpc.client import RpcClient
from stellarstream_soroban_rpc.failures import (
    LaggingError,
    LimitTooHighError,
    OverlongError,
    RetentionError,
    RpcError,
    TimedOutError,
    TooMuchError,
    UnreachableError,
    UnsupportedError,
    WrongAnswerError,
    refined,
)
from tests.soroban_rpc.kit import node

SECRET = "sEcReTkEy12345"


@pytest.fixture
async def transport():
    opened = Transport(max_in_flight=2, timeout_seconds=0.2, max_response_bytes=200_000, timing=Timing())
    yield opened
    await opened.close()


async def failure(transport, *faults: Fault):
    async with node(MadeHistory([], 1, 9), faults=Faults(faults, methods=["getHealth"])) as made:
        client = RpcClient(f"{made.url}/v1/{SECRET}?apikey={SECRET}", transport)
        for _ in faults[:-1]:
            with pytest.raises(Exception, match=r"."):
                await client.call("getHealth")
        with pytest.raises(Exception, match=r".") as caught:
            await client.call("getHealth")
        assert SECRET not in str(caught.value)
        assert client.shown in str(caught.value)
        assert caught.value.__cause__ is None
        return caught.value


async def test_an_answer_comes_with_its_size(transport):
    async with node(MadeHistory([], 1, 9)) as made:
        answer = await RpcClient(made.url, transport).call("getHealth")
        assert answer.result["latestLedger"] == 9
        assert answer.size > 100


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.BUSY, UnreachableError),
        (Fault.RESET, UnreachableError),
        (Fault.TRUNCATED, UnreachableError),
        (Fault.TIMEOUT, TimedOutError),
        (Fault.SLOW, TimedOutError),
        (Fault.GARBAGE, WrongAnswerError),
        (Fault.NOT_AN_ANSWER, WrongAnswerError),
        (Fault.WRONG_ID, WrongAnswerError),
        (Fault.HUGE, OverlongError),
        (Fault.INTERNAL, RpcError),
    ],
)
async def test_each_fault_is_a_failure_of_its_own_kind(transport, fault, kind):
    assert type(await failure(transport, fault)) is kind


async def test_a_pause_asked_for_in_seconds_is_passed_on(transport):
    assert (await failure(transport, Fault.THROTTLED)).retry_after == 7


async def test_a_pause_asked_for_as_a_date_is_passed_on(transport):
    assert 0 <= (await failure(transport, Fault.THROTTLED_UNTIL)).retry_after <= 2


async def test_a_refused_connection_shows_only_scheme_host_and_port(transport):
    client = RpcClient(f"http://user:{SECRET}@127.0.0.1:9/{SECRET}?key={SECRET}", transport)
    with pytest.raises(UnreachableError) as caught:
        await client.call("getHealth")
    assert "http://127.0.0.1:9 " in str(caught.value)
    assert SECRET not in repr(caught.value)


async def test_an_address_repeated_by_the_node_is_not_shown(transport):
    def complain(params, history, **_):
        error = ValueError()
        error.code, error.message = -32603, f"no route for /{SECRET}\x1b[31m" + "x" * 500
        raise error

    async with RpcNode(MadeHistory([], 1, 9), complain, passphrase="x") as made:
        with pytest.raises(RpcError) as caught:
            await RpcClient(f"{made.url}/{SECRET}", transport).call("getEvents", {"startLedger": 1})
    assert SECRET not in caught.value.message
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("address", ["{}/v1/k3y9x", "{}/rpc;token=k3y9x", "{}/?key=k3y9x", "{}/?a=1;k3y9x"])
async def test_a_short_key_in_another_letter_case_is_not_shown_either(transport, address):
    def complain(params, history, **_):
        error = ValueError()
        error.code, error.message = -32603, "no route for K3Y9X"
        raise error

    async with RpcNode(MadeHistory([], 1, 9), complain, passphrase="x") as made:
        with pytest.raises(RpcError, match=r"no route for …$"):
            await RpcClient(address.format(made.url), transport).call("getEvents", {"startLedger": 1})


async def test_no_more_requests_are_under_way_than_allowed(transport):
    async with node(MadeHistory([], 1, 9)) as made:
        made.delay = 0.02
        client = RpcClient(made.url, transport)
        await asyncio.gather(*(client.call("getHealth") for _ in range(6)))
        assert made.most_in_flight == 2


async def test_a_closed_transport_is_a_failure_and_closes_twice(transport):
    await transport.close()
    await transport.close()
    with pytest.raises(UnreachableError):
        await RpcClient("http://127.0.0.1:9", transport).call("getHealth")


@pytest.mark.parametrize(
    ("code", "text", "data", "kind"),
    [
        (-32001, "request exceeded processing limit threshold", None, TooMuchError),
        (-32600, "startLedger must be within the ledger range: 50 - 60", None, RetentionError),
        (-32600, "startLedger must be within the ledger range: 10 - 30", None, LaggingError),
        (-32600, "startLedger must be within the ledger range: 10 - 60", None, WrongAnswerError),
        (-32600, "db read failed for requested parameter", None, RpcError),
        (-32603, "could not get ledger range", None, RpcError),
        (-32003, "internal error", None, RpcError),
        (-32098, "rpc queue for getEvents surpassed queue limit of 5 requests", None, RpcError),
        (-32602, "limit must not exceed 500", None, LimitTooHighError),
        (-32602, "filter 1 invalid: contract ID 1 invalid", None, UnsupportedError),
        (-32601, "method not found", None, UnsupportedError),
        (-32602, "bad cursor", {"reason": "cursor_malformed"}, RpcError),
        (
            -32602,
            "ledger 40 is not held",
            {"reason": "ledger_out_of_range", "missingLedger": 40, "oldestLedger": 50, "latestLedger": 60},
            RetentionError,
        ),
    ],
)
def test_an_error_answer_means_what_its_code_and_words_say(code, text, data, kind):
    meaning = refined(RpcError("https://host.example", code, text, data), 40)
    assert isinstance(meaning, kind)
    assert kind is not RpcError or not isinstance(meaning, UnsupportedError | RetentionError | TooMuchError)
