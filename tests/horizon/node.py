"""A Horizon over a made history that behaves like the real thing, its traps included, and lies when told to."""

from __future__ import annotations

import asyncio
import math
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from enum import Enum, auto
from itertools import islice, pairwise
from typing import Any

import orjson
from aiohttp import web

from stellarstream_core.events import format_close_time
from stellarstream_core.testing.rpc_node import Faults
from tests.horizon.history import HeldLedger, HeldTransaction, History

ACCOUNT = "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ"
HELLO = b'retry: 1000\nevent: open\ndata: "hello"\n\n'
BYEBYE = b'retry: 10\nevent: close\ndata: "byebye"\n\n'
Resource = tuple[int, Callable[[], dict[str, Any]]]
"""A paging token, and what makes its record."""


class Fault(Enum):
    """What may go wrong with one answer."""

    # honest troubles
    BUSY = auto()
    THROTTLED = auto()
    TIMEOUT = auto()
    RESET = auto()
    TRUNCATED = auto()
    GARBAGE = auto()
    NOT_AN_OBJECT = auto()
    NOT_A_PAGE = auto()
    HUGE = auto()
    SLOW = auto()
    STALE = auto()
    LAGGING = auto()
    SHORT_PAGE = auto()
    # lies about pages
    EMPTY = auto()
    DROPPED = auto()
    DOUBLED = auto()
    SWAPPED = auto()
    CLAMPED = auto()
    # lies about a transaction
    WRONG_TOKEN = auto()
    OTHER_LEDGER = auto()
    OTHER_TRANSACTION = auto()
    INNER_HASH = auto()
    OTHER_RESULT = auto()
    OTHER_END = auto()
    ALTERED_EVENT = auto()
    NO_META = auto()
    EMPTY_META = auto()
    BAD_META = auto()
    # lies about a ledger
    OTHER_SEQUENCE = auto()
    OTHER_HEADER = auto()
    OTHER_HASH = auto()
    OTHER_PREVIOUS = auto()
    OTHER_COUNTS = auto()
    MOVED_COUNTS = auto()
    NO_COUNTS = auto()
    OTHER_TIME = auto()
    LONG_NUMBER = auto()


TROUBLES = (
    Fault.BUSY,
    Fault.THROTTLED,
    Fault.TIMEOUT,
    Fault.RESET,
    Fault.TRUNCATED,
    Fault.GARBAGE,
    Fault.NOT_AN_OBJECT,
    Fault.NOT_A_PAGE,
    Fault.LAGGING,
    Fault.SHORT_PAGE,
)
"""Troubles that cost no waiting."""

LIES = tuple(fault for fault in Fault if fault.value >= Fault.EMPTY.value)

_STATUS = {Fault.BUSY: 503, Fault.STALE: 503, Fault.THROTTLED: 429, Fault.TIMEOUT: 504}
_TITLES = {
    400: "Bad Request",
    404: "Resource Missing",
    410: "Data Requested Is Before Recorded History",
    429: "Rate Limit Exceeded",
    503: "Server Over Capacity",
    504: "Timeout",
}


class ProblemError(Exception):
    def __init__(self, status: int, **more: Any) -> None:
        super().__init__(status)
        self.status = status
        self.more = more


class HorizonNode:
    """A server that listens while it is entered (``async with node: node.url``), below ``path``.

    Attributes may be changed between requests. ``metas``: "kept", "skipped" (SKIP_TXMETA: no key) or
    "emptied" (an empty one in the database), or a function of the ledger to one of these; ``holes``:
    ledgers that are not there; ``allowance``: requests that are let through before 429, ``rate``: how
    many a second come back; ``max_limit``; ``streams``; ``lag``; ``reap_by``: ledgers dropped after
    each page of ledgers; ``requests`` are those that came in, as kind and path with query.
    """

    def __init__(self, history: History, *, path: str = "", faults: Faults | None = None) -> None:
        self.history = history
        self.path = path
        self.faults = faults or Faults()
        self.passphrase = history.passphrase
        self.metas: str | Callable[[int], str] = "kept"
        self.holes: frozenset[int] = frozenset()
        self.text_numbers = False
        self.allowance: float | None = None
        self.rate = 1.0
        self.clock: Callable[[], float] | None = None
        self.max_limit = 200
        self.streams = True
        self.events_a_stream = 10**9
        self.stream_error = ""
        self.spoil_stream: Callable[[dict[str, Any]], bytes] = orjson.dumps
        self.lag = 0
        self.reap_by = 0
        self.elder_said: int | None = None
        self.delay = 0.0
        self.requests: list[tuple[str, str]] = []
        self.headers_seen: list[dict[str, str]] = []
        self.refused = 0
        self.most_in_flight = 0
        self._in_flight = 0
        self._left: float | None = None
        self._left_at = 0.0
        self._closed = asyncio.Event()
        self._news: dict[asyncio.Event, web.Request] = {}
        self._runner: web.AppRunner | None = None
        self._url = ""

    @property
    def url(self) -> str:
        return self._url

    def count(self, *kinds: str) -> int:
        return sum(not kinds or kind in kinds for kind, _ in self.requests)

    def counts(self) -> dict[str, int]:
        return dict(Counter(kind for kind, _ in self.requests))

    def close_ledger(self, count: int = 1) -> None:
        """Let ledgers close that the history holds beyond its latest."""
        self.history.latest += count
        for event in self._news:
            event.set()

    @property
    def listening(self) -> bool:
        """Whether anybody listens to a stream."""
        return bool(self._news)

    def drop_streams(self) -> None:
        """Cut the connections of all streams."""
        for request in self._news.values():
            request.transport.abort()

    async def __aenter__(self):
        app = web.Application()
        app.router.add_get("/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self._url = f"http://{host}:{port}{self.path}"
        return self

    async def __aexit__(self, *_):
        self._closed.set()
        if self._runner is not None:
            await self._runner.cleanup()

    # --- HTTP -------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            return await self._respond(request)
        finally:
            self._in_flight -= 1

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        path = "/" + request.path.removeprefix(self.path).strip("/")
        streaming = request.headers.get("Accept") == "text/event-stream"
        kind = "stream" if streaming else _kind(path)
        self.requests.append((kind, request.path_qs))
        self.headers_seen.append(dict(request.headers))
        headers, allowed = self._limits()
        if self.delay:
            await asyncio.sleep(self.delay)
        if not request.path.startswith(self.path):
            return self._problem(404, headers)
        if not allowed:
            self.refused += 1
            return self._problem(429, headers)
        fault = self.faults.next(kind)
        if fault is Fault.SLOW:
            await asyncio.wait([asyncio.ensure_future(self._closed.wait())], timeout=5)
        if fault is Fault.RESET:
            request.transport.abort()
            return web.Response()
        if fault in _STATUS:
            more = {"Retry-After": "3"} if fault is Fault.THROTTLED else {}
            return self._problem(_STATUS[fault], {**headers, **more})
        if streaming:
            return await self._stream(request) if self.streams else self._problem(406, headers)
        try:
            body = self._body(path, request, fault)
        except ProblemError as problem:
            return self._problem(problem.status, headers, **problem.more)
        if fault is Fault.TRUNCATED:
            response = web.StreamResponse(headers={"Content-Length": str(len(body))})
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            request.transport.close()
            return response
        return web.Response(body=body, content_type="application/hal+json", headers=headers)

    def _problem(self, status: int, headers: dict[str, str], **more: Any) -> web.Response:
        title = _TITLES.get(status, "?")
        body = {"type": f"https://stellar.org/horizon-errors/{status}", "title": title, "status": status, **more}
        return web.Response(
            status=status, body=orjson.dumps(body), content_type="application/problem+json", headers=headers
        )

    def _limits(self) -> tuple[dict[str, str], bool]:
        """Count a request as Horizon's limiter does: what was used comes back steadily."""
        if self.allowance is None:
            return {}, True
        now = self.clock() if self.clock else asyncio.get_running_loop().time()
        if self._left is None:
            self._left, self._left_at = self.allowance, now
        self._left = min(self.allowance, self._left + (now - self._left_at) * self.rate)
        self._left_at = now
        allowed = self._left >= 1
        if allowed:
            self._left -= 1
        headers = {
            "X-RateLimit-Limit": str(int(self.allowance)),
            "X-RateLimit-Remaining": str(int(self._left)),
            "X-RateLimit-Reset": str(math.ceil((self.allowance - self._left) / self.rate)),
        }
        return headers if allowed else {**headers, "Retry-After": str(math.ceil((1 - self._left) / self.rate))}, allowed

    # --- streams ----------------------------------------------------------------------------

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        news = asyncio.Event()
        self._news[news] = request
        cursor = request.headers.get("Last-Event-ID") or request.query.get("cursor", "")
        at = self.history.latest if cursor == "now" else int(cursor) >> 32
        left = min(int(request.query.get("limit", 10)), self.events_a_stream)
        try:
            await response.write(HELLO)
            while not self._closed.is_set():
                news.clear()
                while at < self.history.latest and left:
                    at, left = at + 1, left - 1
                    if self.stream_error:
                        await response.write(f"event: error\ndata: {self.stream_error}\n\n".encode())
                        return response
                    record = self.spoil_stream(self._ledger_record(self.history.ledgers[at]))
                    event = b"id: %d\ndata: %b\n\n" % (at << 32, record)
                    await response.write(event[:40])  # in pieces, as networks do
                    await response.write(event[40:])
                if not left:
                    await response.write(BYEBYE)
                    return response
                waits = [asyncio.ensure_future(one.wait()) for one in (news, self._closed)]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for one in waits:
                    one.cancel()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            del self._news[news]
        return response

    # --- resources --------------------------------------------------------------------------

    def _body(self, path: str, request: web.Request, fault: Fault | None) -> bytes:
        if fault is Fault.GARBAGE:
            return b'{"_embedded":{"records":['
        if fault is Fault.NOT_AN_OBJECT:
            return b"[]"
        if fault is Fault.NOT_A_PAGE:
            return b'{"_embedded":{"records":{}}}'
        if fault is Fault.HUGE:
            return b" " * (1024 * 1024)
        if fault is Fault.LONG_NUMBER:
            return orjson.dumps(self._result(path, request, None)).replace(b'"ledger":', b'"ledger":' + b"1" * 400)
        result = self._result(path, request, fault)
        if self.text_numbers:
            result = _as_text(result)
        return orjson.dumps(result)

    def _result(self, path: str, request: web.Request, fault: Fault | None) -> Any:
        oldest = self.history.oldest
        latest = max(oldest, self.history.latest - self.lag - (10 if fault is Fault.LAGGING else 0))
        match path.strip("/").split("/"):
            case [""]:
                return self._root(oldest, latest)
            case ["ledgers"]:
                return self._page(request, self._shown(oldest, latest), self._ledger, oldest, fault)
            case ["ledgers", sequence]:
                found = self._one_ledger(int(sequence), oldest, latest)
                (found,) = _spoiled(fault, [found], self.history)
                return found
            case ["ledgers", sequence, "transactions"]:
                self._one_ledger(int(sequence), oldest, latest)
                return self._page(request, [int(sequence)], self._transactions, oldest, fault)
            case ["transactions"]:
                return self._page(request, self._shown(oldest, latest), self._transactions, oldest, fault)
        raise ProblemError(404)

    def _root(self, oldest: int, latest: int) -> dict[str, Any]:
        return {
            "_links": {
                "self": {"href": self.url},
                "ledgers": {"href": f"{self.url}/ledgers{{?cursor}}", "templated": True},
            },
            "horizon_version": "28.0.0-made",
            "core_version": "stellar-core 28.0.0",
            "ingest_latest_ledger": latest,
            "history_latest_ledger": latest,
            "history_latest_ledger_closed_at": format_close_time(self.history.ledgers[latest].close_time),
            "history_elder_ledger": oldest if self.elder_said is None else self.elder_said,
            "core_latest_ledger": latest,
            "network_passphrase": self.passphrase,
            "current_protocol_version": 28,
            "core_supported_protocol_version": 28,
        }

    def _one_ledger(self, sequence: int, oldest: int, latest: int) -> dict[str, Any]:
        if sequence < oldest:
            raise ProblemError(410)
        if sequence > latest or sequence in self.holes:
            raise ProblemError(404)
        return self._ledger_record(self.history.ledgers[sequence])

    def _shown(self, oldest: int, latest: int) -> list[int]:
        return [ledger for ledger in range(oldest, latest + 1) if ledger not in self.holes]

    def _ledger(self, sequence: int, _request: web.Request) -> list[Resource]:
        return [(sequence << 32, lambda: self._ledger_record(self.history.ledgers[sequence]))]

    def _transactions(self, sequence: int, request: web.Request) -> list[Resource]:
        with_failed = request.query.get("include_failed") == "true"
        ledger = self.history.ledgers[sequence]
        return [
            (token, lambda one=one, token=token: self._transaction_record(ledger, token, one))
            for token, one in ((sequence << 32 | order << 12, one) for order, one in enumerate(ledger.transactions, 1))
            if with_failed or one.succeeded
        ]

    def _page(
        self,
        request: web.Request,
        shown: list[int],
        of_ledger: Callable[[int, web.Request], list[Resource]],
        oldest: int,
        fault: Fault | None,
    ) -> dict[str, Any]:
        limit = int(request.query.get("limit", 10))
        if limit > self.max_limit:
            raise ProblemError(
                400, extras={"invalid_field": "limit", "reason": "over limit"}, detail="The limit is too high."
            )
        ascending = request.query.get("order", "asc") == "asc"
        cursor = request.query.get("cursor")
        if ascending:
            after = int(cursor or 0)
            if after <= oldest << 32:  # the clamp, which the oldest ledger's own token is subject to
                after = (oldest << 32) - 1
            if fault is Fault.CLAMPED:
                after = (oldest + 3 << 32) - 1
            held = (of_ledger(ledger, request) for ledger in shown if ledger >= after >> 32)
            found = (build for resources in held for token, build in resources if token > after)
        else:
            below = int(cursor or 2**63 - 1)
            held = (of_ledger(ledger, request) for ledger in reversed(shown) if ledger <= below >> 32)
            found = (build for resources in held for token, build in reversed(resources) if token < below)
        records = [build() for build in islice(found, limit)]
        if fault is Fault.SHORT_PAGE:
            records = records[: max(1, len(records) // 3)]
        records = _spoiled(fault, records, self.history)
        if self.reap_by and request.path.endswith("/ledgers"):
            self.history.oldest = min(self.history.oldest + self.reap_by, self.history.latest)
        here = f"{self.url}{request.path.removeprefix(self.path)}"
        links = {name: {"href": f"{here}?cursor=&limit={limit}"} for name in ("self", "next", "prev")}
        return {"_links": links, "_embedded": {"records": records}}

    # --- records ----------------------------------------------------------------------------

    def _ledger_record(self, ledger: HeldLedger) -> dict[str, Any]:
        return {
            "_links": {"self": {"href": f"{self.url}/ledgers/{ledger.sequence}"}},
            "id": ledger.hash.hex(),
            "paging_token": str(ledger.sequence << 32),
            "hash": ledger.hash.hex(),
            "prev_hash": ledger.previous_hash.hex(),
            "sequence": ledger.sequence,
            "successful_transaction_count": ledger.succeeded,
            "failed_transaction_count": len(ledger.transactions) - ledger.succeeded,
            "operation_count": len(ledger.transactions),
            "tx_set_operation_count": len(ledger.transactions),
            "closed_at": format_close_time(ledger.close_time),
            "protocol_version": int.from_bytes(ledger.header[:4], "big"),
            "header_xdr": b64encode(ledger.header).decode(),
        }

    def _transaction_record(self, ledger: HeldLedger, token: int, one: HeldTransaction) -> dict[str, Any]:
        record = {
            "_links": {"ledger": {"href": f"{self.url}/ledgers/{ledger.sequence}"}},
            "id": one.hash.hex(),
            "paging_token": str(token),
            "successful": one.succeeded,
            "hash": one.hash.hex(),
            "ledger": ledger.sequence,
            "created_at": format_close_time(ledger.close_time),
            "source_account": ACCOUNT,
            "fee_charged": str(int.from_bytes(one.result[:8], "big")),
            "operation_count": 1,
            "result_xdr": b64encode(one.result).decode(),
            "memo_type": "none",
        }
        metas = self.metas if isinstance(self.metas, str) else self.metas(ledger.sequence)
        if metas != "skipped":
            record["envelope_xdr"] = b64encode(one.envelope).decode()
            record["result_meta_xdr"] = b64encode(emptied(one.meta) if metas == "emptied" else one.meta).decode()
        if one.inner_hash is not None:
            record["fee_bump_transaction"] = {"hash": one.hash.hex(), "signatures": []}
            record["inner_transaction"] = {"hash": one.inner_hash.hex(), "signatures": [], "max_fee": "100"}
        return record


def emptied(meta: bytes) -> bytes:
    """Return the empty meta of a version: what SKIP_TXMETA leaves in the database."""
    words = {0: 1, 1: 2, 2: 3, 3: 5, 4: 7}[meta[3]]
    return meta[:4] + bytes(4 * words)


def _kind(path: str) -> str:
    parts = path.strip("/").split("/")
    if parts == [""]:
        return "root"
    if parts[0] == "ledgers":
        return {1: "ledgers", 2: "ledger", 3: "ledger-transactions"}[min(len(parts), 3)]
    return parts[0]


def _as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_text(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_as_text(one) for one in value]
    return str(value) if type(value) is int else value


def _spoiled(fault: Fault | None, records: list[dict[str, Any]], history: History) -> list[dict[str, Any]]:
    """Make records wrong the way a fault says, where they have what that takes."""
    if fault is None or not records:
        return records
    records = list(records)
    middle = len(records) // 2
    one = records[middle] = dict(records[middle])
    is_ledger = "header_xdr" in one
    match fault:
        case Fault.EMPTY if len(records) > 1:
            return []
        case Fault.DROPPED if len(records) > 1:
            del records[middle]
        case Fault.DOUBLED if len(records) > 1:
            records.insert(middle, one)
        case Fault.SWAPPED if len(records) > 1:
            records[middle - 1], records[middle] = records[middle], records[middle - 1]
        case Fault.OTHER_SEQUENCE if is_ledger:
            one["sequence"] += 1
        case Fault.OTHER_HEADER if is_ledger:
            other = history.ledgers.get(one["sequence"] - 1) or history.ledgers[one["sequence"] + 1]
            one["header_xdr"] = b64encode(other.header).decode()
        case Fault.OTHER_HASH if is_ledger:
            one["hash"] = one["id"] = "ab" * 32
        case Fault.OTHER_PREVIOUS if is_ledger:
            one["prev_hash"] = "cd" * 32
        case Fault.OTHER_COUNTS if is_ledger:
            one["failed_transaction_count"] += 1
        case Fault.MOVED_COUNTS if is_ledger and one["successful_transaction_count"]:
            one["successful_transaction_count"] -= 1
            one["failed_transaction_count"] += 1
        case Fault.NO_COUNTS if is_ledger:
            one["failed_transaction_count"] = None
        case Fault.OTHER_TIME if is_ledger:
            one["closed_at"] = "2020-01-01T00:00:00Z"
        case Fault.WRONG_TOKEN if not is_ledger:
            one["paging_token"] = str(int(one["paging_token"]) + 4096)
        case Fault.OTHER_LEDGER if not is_ledger:
            one["ledger"] += 1
        case Fault.OTHER_TRANSACTION if not is_ledger:
            kept = {key: one[key] for key in ("paging_token", "ledger")}
            ledger = history.ledgers[one["ledger"]]
            other = next((b for a, b in pairwise(ledger.transactions) if a.hash.hex() == one["hash"]), None)
            if other is not None:
                records[middle] = {
                    **one,
                    "hash": other.hash.hex(),
                    "result_xdr": b64encode(other.result).decode(),
                    **kept,
                }
        case Fault.INNER_HASH:
            for at, record in enumerate(records):
                if "inner_transaction" in record:
                    records[at] = {**record, "hash": record["inner_transaction"]["hash"]}
        case Fault.OTHER_RESULT if not is_ledger:
            held = next(t for t in history.ledgers[one["ledger"]].transactions if t.hash.hex() == one["hash"])
            fee = int.from_bytes(held.result[:8], "big") + 1
            one["result_xdr"] = b64encode(fee.to_bytes(8, "big") + held.result[8:]).decode()
        case Fault.OTHER_END if not is_ledger:
            one["successful"] = not one["successful"]
        case Fault.NO_META if not is_ledger:
            one.pop("result_meta_xdr", None)
        case Fault.BAD_META if not is_ledger and "result_meta_xdr" in one:
            one["result_meta_xdr"] = one["result_meta_xdr"][: len(one["result_meta_xdr"]) // 8 * 4]
        case Fault.EMPTY_META | Fault.ALTERED_EVENT if not is_ledger:
            for at, record in enumerate(records):
                held = next(t for t in history.ledgers[record["ledger"]].transactions if t.hash.hex() == record["hash"])
                if held.event is not None:
                    meta = emptied(held.meta) if fault is Fault.EMPTY_META else _altered(held)
                    records[at] = {**record, "result_meta_xdr": b64encode(meta).decode()}
                    break
        case _:
            pass
    return records


def _altered(held: HeldTransaction) -> bytes:
    """Flip a byte of an event that the transaction's result commits to: one of its contract's id."""
    at = held.meta.index(held.event) + 12
    return held.meta[:at] + bytes([held.meta[at] ^ 1]) + held.meta[at + 1 :]
