"""Following: new ledgers are heard of by a stream, without asking; and asked for where there is none."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from contextlib import asynccontextmanager
from hashlib import sha256

import orjson
import pytest

from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.testing.rpc_node import Faults
from stellarstream_horizon.source import HorizonSource
from stellarstream_horizon.tip import NOT_WANTED_AFTER
from tests.horizon.history import History, sandbox_history
from tests.horizon.kit import EVERYTHING, assert_exact, read, settings
from tests.horizon.node import Fault, HorizonNode


class Hands:
    """A clock that is moved by hand; who sleeps wakes up soon."""

    def __init__(self) -> None:
        self.time = 1_000.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(min(seconds, 0.002))

    @property
    def timing(self) -> Timing:
        return Timing(now=lambda: self.time, sleep=self.sleep, random=lambda: 0.5)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def history() -> History:
    made = sandbox_history(ledgers=120)
    made.latest = 60
    return made


@asynccontextmanager
async def following(history: History, hands: Hands, *nodes: HorizonNode, **own):
    """Open a source over nodes and ask for its reach as a follower does."""
    opened = HorizonSource(settings(*(n.url for n in nodes), passphrase=history.passphrase, **own), hands.timing)
    try:
        for _ in range(3):
            assert (await opened.reach()).latest == history.latest
            hands.time += 5
        yield opened
    finally:
        await opened.close()


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


async def streaming(node: HorizonNode) -> None:
    await until(lambda: node.listening)


async def test_new_ledgers_are_heard_of_without_a_request(history, hands):
    async with HorizonNode(history) as node, following(history, hands, node) as opened:
        await streaming(node)
        node.close_ledger()
        await until(lambda: opened._pool.latest == 61)
        node.requests.clear()
        for expected in range(61, 66):
            await until(lambda expected=expected: opened._pool.latest == expected)
            reach = await opened.reach()
            assert (reach.latest, reach.latest_closed_at) == (expected, history.ledgers[expected].close_time)
            hands.time += 2
            node.close_ledger()
        assert node.counts() == {}


async def test_a_ledger_that_was_heard_of_is_read_with_two_requests(history, hands):
    async with HorizonNode(history) as node, following(history, hands, node) as opened:
        await streaming(node)
        node.close_ledger()
        await until(lambda: opened._pool.latest == 61)
        node.requests.clear()
        result = await read(opened, LedgerRange(61, 61))
        assert_exact(result, LedgerRange(61, 61), EVERYTHING, history)
        assert node.count() == 2


async def test_two_questions_are_nobody_following(history, hands):
    async with HorizonNode(history) as node:
        opened = HorizonSource(settings(node.url, passphrase=history.passphrase), hands.timing)
        for _ in range(2):
            await opened.reach()
        hands.time += 600
        await opened.reach()
        await asyncio.sleep(0.02)
        assert node.count("stream") == 0
        await opened.close()


async def test_the_server_is_asked_all_the_same_now_and_then(history, hands):
    async with HorizonNode(history) as node, following(history, hands, node) as opened:
        await streaming(node)
        node.close_ledger()
        await until(lambda: opened._pool.latest == 61)
        history.oldest = 20
        hands.time += 31
        assert (await opened.reach()).oldest == 20


async def test_a_stream_that_says_goodbye_is_taken_up_where_it_ended(history, hands):
    async with HorizonNode(history) as node:
        node.events_a_stream = 2
        async with following(history, hands, node) as opened:
            await streaming(node)
            for _ in range(7):
                node.close_ledger()
                await asyncio.sleep(0.01)
            await until(lambda: opened._pool.latest == 67)
            assert node.count("stream") >= 3
            asked = [
                headers for (kind, _), headers in zip(node.requests, node.headers_seen, strict=True) if kind == "stream"
            ]
            assert "Last-Event-ID" not in asked[0]
            assert [headers["Last-Event-ID"] for headers in asked[1:3]] == [str(62 << 32), str(64 << 32)]
            assert 0.01 in hands.slept


@pytest.mark.parametrize("own", [{}, {"stream": "never"}])
async def test_without_a_stream_the_server_is_asked_each_time(history, hands, own):
    async with HorizonNode(history) as node:
        node.streams = False
        async with following(history, hands, node, **own) as opened:
            for expected in range(61, 65):
                node.close_ledger()
                hands.time += 5
                assert (await opened.reach()).latest == expected
                await asyncio.sleep(0.01)
            assert node.count("stream") == (0 if own else 1)


async def test_a_server_that_does_not_stream_is_passed_over_for_one_that_does(history, hands):
    other = sandbox_history(ledgers=120)
    other.latest = 60
    async with HorizonNode(history) as mute, HorizonNode(other) as node:
        mute.streams = False
        async with following(history, hands, mute, node) as opened:
            await until(lambda: mute.count("stream") == 1)
            await asyncio.sleep(0.01)
            await opened.reach()
            await streaming(node)


async def test_an_error_in_the_stream_is_a_pause_and_the_server_is_asked_meanwhile(history, hands):
    async with HorizonNode(history) as node:
        node.stream_error = "Rate limit exceeded"
        async with following(history, hands, node) as opened:
            await streaming(node)
            node.close_ledger()
            await until(lambda: node.count("stream") >= 2)
            hands.time += 5
            assert (await opened.reach()).latest == 61
            assert max(hands.slept) >= 1
            node.stream_error = ""
            node.close_ledger()
            await until(lambda: opened._pool.latest == 62)


async def test_a_lost_connection_is_made_again_and_no_ledger_is_overlooked(history, hands):
    faults = Faults([Fault.BUSY, Fault.RESET], methods=["stream"])
    async with HorizonNode(history, faults=faults) as node, following(history, hands, node) as opened:
        await streaming(node)
        node.close_ledger()
        await until(lambda: opened._pool.latest == 61)
        node.drop_streams()
        node.close_ledger(3)
        await until(lambda: opened._pool.latest == 64)


@pytest.mark.parametrize("spoiled", ["hash", "header_xdr", "sequence", "leap", "json", "list"])
async def test_what_a_stream_says_is_not_believed_if_it_cannot_be_right(history, hands, spoiled):
    from stellar_sdk import xdr

    def spoil(record):
        if spoiled == "json":
            return b"{"
        if spoiled == "list":
            return b"[1,2]"
        if spoiled == "leap":
            header = xdr.LedgerHeader.from_xdr(record["header_xdr"])
            header.ledger_seq.uint32 = 2**31 - 1
            forged = header.to_xdr_bytes()
            sound = {"header_xdr": b64encode(forged).decode(), "hash": sha256(forged).hexdigest()}
            record = {**record, **sound, "sequence": 2**31 - 1}
        else:
            other = {"hash": "ab" * 32, "header_xdr": "AAAA", "sequence": record["sequence"] + 1}
            record = {**record, spoiled: other[spoiled]}
        record.pop("paging_token")
        return orjson.dumps(record)

    async with HorizonNode(history) as node:
        node.spoil_stream = spoil
        async with following(history, hands, node) as opened:
            await streaming(node)
            node.close_ledger()
            await until(lambda: node.count("stream") >= 2)
            assert opened._pool.latest == 60
            hands.time += 5
            assert (await opened.reach()).latest == 61


async def test_a_stream_that_falls_silent_is_not_relied_on(history, hands):
    async with HorizonNode(history) as node, following(history, hands, node) as opened:
        await streaming(node)
        node.close_ledger()
        await until(lambda: opened._pool.latest == 61)
        history.latest = 63  # and the stream does not hear of it
        assert (await opened.reach()).latest == 61
        hands.time += 21
        assert (await opened.reach()).latest == 63


async def test_a_stream_that_nobody_asks_about_ends(history, hands):
    async with HorizonNode(history) as node, following(history, hands, node) as opened:
        await streaming(node)
        node.close_ledger()
        await until(lambda: opened._pool.latest == 61)
        hands.time += NOT_WANTED_AFTER
        node.close_ledger()
        await until(lambda: not node.listening)
        await until(lambda: not any(stream.running for stream in opened._streams))


async def test_closing_the_source_ends_the_stream(history, hands):
    async with HorizonNode(history) as node:
        async with following(history, hands, node) as opened:
            await streaming(node)
        await opened.close()
        node.close_ledger()
        await until(lambda: not node.listening)
