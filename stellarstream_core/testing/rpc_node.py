"""A Soroban RPC node on 127.0.0.1 that shows, on request, everything real ones were seen to do wrong.

What ``getEvents`` answers is a function passed in (the sandbox plugin has one that answers as
stellar-rpc does); the node adds the other methods, HTTP, and faults: by a script, at random from a
seed, or always, by its attributes.
"""

from __future__ import annotations

import asyncio
import random
from binascii import a2b_base64, b2a_base64
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from email.utils import formatdate
from enum import StrEnum
from typing import Any, Protocol, Self

import orjson
from aiohttp import web

Params = Mapping[str, Any]
GetEvents = Callable[..., dict[str, Any]]
"""``(params, history, *, max_limit, scan_limit)`` to a result; may raise an error with ``code`` and ``message``."""

INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
PROCESSING_LIMIT = -32001
PANIC = -32003
SYSTEM_ERROR = -32098


class NodeHistory(Protocol):
    """The ledgers a node serves; see :class:`stellarstream_core.testing.rpc_history.MadeHistory`."""

    oldest: int
    latest: int

    def close_time(self, ledger: int) -> int:
        """Return a ledger's close time in Unix seconds."""
        ...

    def events(self, first_ledger: int, last_ledger: int) -> Iterable[Any]:
        """Yield the events of these ledgers, both included, in id order."""
        ...

    def ledger_hash(self, ledger: int) -> str:
        """Return a ledger's header hash."""
        ...


class Fault(StrEnum):
    """Something that goes wrong with one request."""

    BUSY = "503"
    THROTTLED = "429 with Retry-After in seconds"
    THROTTLED_UNTIL = "429 with Retry-After as a date"
    TIMEOUT = "504"
    RESET = "connection closed without an answer"
    LOST = "request carried out, and the connection closed before the answer"
    TRUNCATED = "body shorter than its length"
    SLOW = "answer later than anyone waits"
    GARBAGE = "not JSON"
    NOT_AN_ANSWER = "JSON that is not JSON-RPC"
    WRONG_ID = "answer to another request"
    WRONG_SHAPE = "result of the wrong shape"
    HUGE = "answer larger than anyone reads"
    INTERNAL = "error -32603 in HTTP 200"
    PANICKED = "error -32003 in HTTP 200"
    TOO_MUCH = "error -32001 in HTTP 200"
    DB_READ_FAILED = "error -32600 for a failed read"
    QUEUE_FULL = "error of the request queue"
    LAGGING = "another node answers, whose tip is lower"
    TRIMMED = "retention moves between reading the range and reading the events"
    CURSOR_EMPTY = "nothing after a cursor, though there is more"
    CURSOR_BACK = "cursor before the place asked for"
    CURSOR_STUCK = "cursor that does not move"
    OVERCLAIMED = "cursor past the latest ledger"
    DOUBLED = "one event twice"
    DISORDERED = "two events in the wrong order"
    FOREIGN = "an event of a contract not asked for"
    MISPLACED = "an event whose ledger is not its id's"
    ALTERED = "a value that is not base64"
    LEDGER_LEFT_OUT = "a ledger missing between others"
    LEDGERS_TURNED = "ledgers in descending order"
    LEDGER_TWICE = "the same ledger twice"
    LEDGER_FOREIGN = "a ledger that was not asked for"
    META_ABSENT = "a ledger without its meta"
    META_EMPTY = "a ledger with an empty meta"
    META_CUT = "a meta that is cut short"
    META_SWAPPED = "the meta of the neighbour"
    META_FLIPPED = "a meta with one bit changed"
    HASH_SWAPPED = "the hash of the neighbour"
    HEADER_SWAPPED = "the header of the neighbour"


TRANSIENT = (
    Fault.BUSY,
    Fault.THROTTLED,
    Fault.THROTTLED_UNTIL,
    Fault.RESET,
    Fault.TRUNCATED,
    Fault.GARBAGE,
    Fault.NOT_AN_ANSWER,
    Fault.WRONG_ID,
    Fault.WRONG_SHAPE,
    Fault.INTERNAL,
    Fault.PANICKED,
    Fault.TOO_MUCH,
    Fault.DB_READ_FAILED,
    Fault.QUEUE_FULL,
    Fault.LAGGING,
    Fault.CURSOR_EMPTY,
    Fault.CURSOR_BACK,
    Fault.CURSOR_STUCK,
    Fault.OVERCLAIMED,
    Fault.DOUBLED,
    Fault.DISORDERED,
    Fault.FOREIGN,
    Fault.MISPLACED,
    Fault.ALTERED,
)
"""Faults after which the same request may succeed, and that cost no waiting."""

LEDGER_FAULTS = (
    Fault.LEDGER_LEFT_OUT,
    Fault.LEDGERS_TURNED,
    Fault.LEDGER_TWICE,
    Fault.LEDGER_FOREIGN,
    Fault.META_ABSENT,
    Fault.META_EMPTY,
    Fault.META_CUT,
    Fault.META_SWAPPED,
    Fault.META_FLIPPED,
    Fault.HASH_SWAPPED,
    Fault.HEADER_SWAPPED,
)
"""What an answer to ``getLedgers`` was seen, or is feared, to have wrong."""

_HTTP = {Fault.BUSY: 503, Fault.THROTTLED: 429, Fault.THROTTLED_UNTIL: 429, Fault.TIMEOUT: 504}
_ERRORS = {
    Fault.INTERNAL: (INTERNAL_ERROR, "could not get ledger range"),
    Fault.PANICKED: (PANIC, "internal error"),
    Fault.TOO_MUCH: (PROCESSING_LIMIT, "request exceeded processing limit threshold"),
    Fault.DB_READ_FAILED: (INVALID_REQUEST, "db read failed for requested parameter"),
    Fault.QUEUE_FULL: (SYSTEM_ERROR, "rpc queue for getEvents surpassed queue limit of 1000 requests"),
}


class Faults:
    """Which fault the next request meets. ``script`` comes first, then chance, at most ``in_a_row`` times."""

    def __init__(
        self,
        script: Iterable[Fault | None] = (),
        *,
        rates: Mapping[Fault, float] | None = None,
        seed: int = 0,
        in_a_row: int = 3,
        methods: Iterable[str] = ("getEvents",),
    ) -> None:
        self.script = deque(script)
        self.rates = dict(rates or {})
        self.methods = frozenset(methods)
        self.met: Counter[Fault] = Counter()
        self._dice = random.Random(seed)  # noqa: S311 - chance that can be repeated
        self._in_a_row = in_a_row
        self._run = 0

    def next(self, method: str) -> Fault | None:
        """Return the fault of a request for ``method``, or None."""
        if method not in self.methods:
            return None
        fault = self.script.popleft() if self.script else self._chance()
        self._run = self._run + 1 if fault else 0
        if fault:
            self.met[fault] += 1
        return fault

    def _chance(self) -> Fault | None:
        point = self._dice.random()
        if self._run >= self._in_a_row:
            return None
        for fault, rate in self.rates.items():
            point -= rate
            if point < 0:
                return fault
        return None


class NodeError(Exception):
    """A JSON-RPC error answer."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class _View:
    """A history seen with another oldest or latest ledger, or trimmed below ``kept_from`` already."""

    def __init__(self, history: NodeHistory, oldest: int, latest: int, kept_from: int = 0) -> None:
        self._history = history
        self.oldest = oldest
        self.latest = latest
        self._kept_from = kept_from

    def close_time(self, ledger: int) -> int:
        return self._history.close_time(ledger)

    def events(self, first_ledger: int, last_ledger: int) -> Iterable[Any]:
        return self._history.events(max(first_ledger, self._kept_from), min(last_ledger, self.latest))


class RpcNode:
    """A node that listens while it is entered (``async with node: node.url``).

    Attributes may be changed between requests: ``version`` (None: no getVersionInfo), ``stale``
    (getHealth is an error), ``lag`` (ledgers its tip is behind the history's), ``delay`` (seconds
    before every answer), ``max_limit``, ``scan_limit``, ``most_events_scanned`` (-32001 above it),
    ``poison`` (ledgers whose read panics), ``loses_filters`` (the multi-filter bug before 27.1.1),
    ``trim_by`` (ledgers a ``TRIMMED`` fault trims), ``query_events`` (an answer for queryEvents),
    ``ledger_entries``, ``simulate``, ``send``, ``transaction`` (answers for getLedgerEntries, simulateTransaction,
    sendTransaction and getTransaction; None: the node does not offer it),
    ``headers`` (headerXdr by ledger), ``behind`` (returns the history that answers the next request,
    where several nodes are behind the address), ``max_ledgers`` (in a page), ``most_ledgers_read``
    (-32001 above it), ``offers_ledgers`` (or getLedgers is unknown). ``calls`` are the requests that
    came in.
    """

    def __init__(
        self,
        history: NodeHistory,
        get_events: GetEvents,
        *,
        passphrase: str,
        version: str | None = "28.0.0",
        faults: Faults | None = None,
        remember: bool = False,
    ) -> None:
        self.history = history
        self.passphrase = passphrase
        self.version = version
        self.faults = faults or Faults()
        self.stale = False
        self.lag = 0
        self.delay = 0.0
        self.max_limit = 10_000
        self.scan_limit = 10_000
        self.most_events_scanned: int | None = None
        self.poison: frozenset[int] = frozenset()
        self.loses_filters = False
        self.trim_by = 0
        self.query_events: Callable[[Params, Any], dict[str, Any]] | None = None
        self.ledger_entries: Callable[[Params, Any], dict[str, Any]] | None = None
        self.simulate: Callable[[Params, Any], dict[str, Any]] | None = None
        self.send: Callable[[Params, Any], dict[str, Any]] | None = None
        self.transaction: Callable[[Params, Any], dict[str, Any]] | None = None
        self.headers: Mapping[int, str] = {}
        self.behind: Callable[[], NodeHistory] | None = None
        self.max_ledgers = 200
        self.most_ledgers_read: int | None = None
        self.offers_ledgers = True
        self.calls: list[tuple[str, Params]] = []
        self.most_in_flight = 0
        self._get_events = get_events
        self._remembered: dict[bytes, bytes] | None = {} if remember else None
        self._in_flight = 0
        self._runner: web.AppRunner | None = None
        self._url = ""
        self._leaving = False

    @property
    def url(self) -> str:
        """The address, on a free port of 127.0.0.1."""
        return self._url

    def count(self, method: str) -> int:
        """How many requests for a method came in."""
        return sum(1 for name, _ in self.calls if name == method)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=512 * 1024)
        app.router.add_post("/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self._url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leaving = True
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
        call = orjson.loads(await request.read())
        method, params = call["method"], call.get("params") or {}
        self.calls.append((method, params))
        fault = self.faults.next(method)
        if self.delay:
            await asyncio.sleep(self.delay)
        if fault is Fault.SLOW:
            await self._abandoned(request)
        if fault is Fault.RESET:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if fault in _HTTP:
            return web.Response(status=_HTTP[fault], headers=_pause(fault), text="try later")
        body = self._body(call, method, params, fault)
        if fault is Fault.LOST:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if fault is Fault.TRUNCATED:
            response = web.StreamResponse(headers={"Content-Length": str(len(body))})
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            if request.transport is not None:
                request.transport.close()
            return response
        return web.Response(body=body, content_type="application/json")

    async def _abandoned(self, request: web.Request) -> None:
        """Wait until whoever asked has gone away, of which aiohttp tells nobody."""
        while not self._leaving:
            if request.transport is None or request.transport.is_closing():
                return
            await asyncio.sleep(0.01)

    def _body(self, call: Params, method: str, params: Params, fault: Fault | None) -> bytes:
        if fault is Fault.GARBAGE:
            return b'{"jsonrpc":"2.0","result":{"events":['
        if fault is Fault.NOT_AN_ANSWER:
            return b"[]"
        if fault is Fault.HUGE:
            return b" " * (1024 * 1024)
        if fault is Fault.WRONG_SHAPE:
            return _answer(call.get("id"), b'{"events":{},"cursor":7}')
        number = -1 if fault is Fault.WRONG_ID else call.get("id")
        key = orjson.dumps([method, params])
        if self._remembered is not None and key in self._remembered:
            return _answer(number, self._remembered[key])
        try:
            if fault in _ERRORS:
                raise NodeError(*_ERRORS[fault])
            result = orjson.dumps(self._result(method, params, fault))
        except Exception as error:
            code, message = getattr(error, "code", None), getattr(error, "message", None)
            if code is None:
                raise
            problem = {"code": code, "message": message}
            if (data := getattr(error, "data", None)) is not None:
                problem["data"] = data
            return orjson.dumps({"jsonrpc": "2.0", "id": number, "error": problem})
        if self._remembered is not None and method == "getEvents":
            self._remembered[key] = result
        return _answer(number, result)

    # --- methods ----------------------------------------------------------------------------

    def _result(self, method: str, params: Params, fault: Fault | None) -> Any:
        if self.behind is not None:
            self.history = self.behind()
        view = self._view(fault)
        match method:
            case "getHealth":
                return self._health(view)
            case "getNetwork":
                return {"passphrase": self.passphrase, "protocolVersion": 28}
            case "getVersionInfo" if self.version is not None:
                return {"version": self.version, "commitHash": "0" * 40, "protocolVersion": 28}
            case "getLatestLedger":
                return {"id": self.history.ledger_hash(view.latest), "protocolVersion": 28, "sequence": view.latest}
            case "getLedgers" if self.offers_ledgers:
                return self._ledgers(params, view, fault)
            case "getEvents":
                return self._events(params, view, fault)
            case "queryEvents" if self.query_events is not None:
                return self.query_events(params, view)
            case "getLedgerEntries" if self.ledger_entries is not None:
                return self.ledger_entries(params, view)
            case "simulateTransaction" if self.simulate is not None:
                return self.simulate(params, view)
            case "sendTransaction" if self.send is not None:
                return self.send(params, view)
            case "getTransaction" if self.transaction is not None:
                return self.transaction(params, view)
        raise NodeError(METHOD_NOT_FOUND, "method not found")

    def _view(self, fault: Fault | None) -> _View:
        oldest, latest = self.history.oldest, self.history.latest - self.lag
        if fault is Fault.LAGGING:
            latest = max(oldest, latest - 10)
        if fault is Fault.TRIMMED:
            # As seen by this request the range is what it was; the events are gone already.
            self.history.oldest = min(oldest + self.trim_by, self.history.latest)
        return _View(self.history, oldest, latest, self.history.oldest)

    def _health(self, view: _View) -> dict[str, Any]:
        if self.stale:
            raise NodeError(INTERNAL_ERROR, "latency (2m0s) since last known ledger closed is too high (>30s)")
        return {
            "status": "healthy",
            "latestLedger": view.latest,
            "latestLedgerCloseTime": str(view.close_time(view.latest)),
            "oldestLedger": view.oldest,
            "oldestLedgerCloseTime": str(view.close_time(view.oldest)),
            "ledgerRetentionWindow": view.latest - view.oldest + 1,
        }

    def _ledgers(self, params: Params, view: _View, fault: Fault | None) -> dict[str, Any]:
        """Answer ``getLedgers`` as stellar-rpc does: by start or cursor, up to the tip, without an end."""
        pagination = params.get("pagination") or {}
        limit, cursor = pagination.get("limit") or 50, pagination.get("cursor")
        between = f"the oldest ledger: {view.oldest} and the latest ledger: {view.latest} for this rpc instance"
        if limit > self.max_ledgers:
            raise NodeError(INVALID_REQUEST, f"limit must not exceed {self.max_ledgers}")
        first = params["startLedger"] if cursor is None else int(cursor) + 1
        if not view.oldest <= first <= view.latest:
            if cursor is None:
                raise NodeError(INVALID_REQUEST, f"start ledger ({first}) must be between {between}")
            raise NodeError(INVALID_PARAMS, f"cursor ('{cursor}') must be between {between}")
        if self.most_ledgers_read is not None and limit > self.most_ledgers_read:
            raise NodeError(*_ERRORS[Fault.TOO_MUCH])
        last = min(first + limit - 1, view.latest)
        if self.poison.intersection(range(first, last + 1)):
            raise NodeError(*_ERRORS[Fault.PANICKED])
        ledgers = [self._ledger(ledger, view) for ledger in range(max(first, self.history.oldest), last + 1)]
        if fault is not None and ledgers:
            _spoil_ledgers(fault, ledgers)
        return {
            "ledgers": ledgers,
            "cursor": str(last),
            "latestLedger": view.latest,
            "latestLedgerCloseTime": view.close_time(view.latest),
            "oldestLedger": view.oldest,
            "oldestLedgerCloseTime": view.close_time(view.oldest),
        }

    def _ledger(self, ledger: int, view: _View) -> dict[str, Any]:
        if (whole := getattr(self.history, "entry", None)) is not None:
            entry: dict[str, Any] = whole(ledger)
            return entry
        entry = {
            "hash": self.history.ledger_hash(ledger),
            "sequence": ledger,
            "ledgerCloseTime": str(view.close_time(ledger)),
        }
        if ledger in self.headers:
            entry["headerXdr"] = self.headers[ledger]
        return entry

    def _events(self, params: Params, view: _View, fault: Fault | None) -> dict[str, Any]:
        asked = self._with_lost_filters(params) if self.loses_filters else params
        result = self._get_events(asked, view, max_limit=self.max_limit, scan_limit=self.scan_limit)
        first, last = _scanned(params, result)
        if self.poison.intersection(range(first, last + 1)):
            raise NodeError(*_ERRORS[Fault.PANICKED])
        if self.most_events_scanned is not None:
            scanned = sum(1 for _ in view.events(first, last))
            if scanned > self.most_events_scanned and first < last:
                raise NodeError(*_ERRORS[Fault.TOO_MUCH])
        if fault is not None:
            _spoil(fault, params, result)
        return result

    def _with_lost_filters(self, params: Params) -> Params:
        """Do as nodes before 27.1.1: one field that a filter constrains constrains all of them."""
        filters = params.get("filters") or []
        constrained = [one for one in filters if one.get("contractIds")]
        return {**params, "filters": constrained} if constrained else params


def _pause(fault: Fault) -> dict[str, str]:
    if fault is Fault.THROTTLED:
        return {"Retry-After": "7"}
    return {"Retry-After": formatdate(usegmt=True)} if fault is Fault.THROTTLED_UNTIL else {}


def _answer(number: object, result: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":' + orjson.dumps(number) + b',"result":' + result + b"}"


def _scanned(params: Params, result: dict[str, Any]) -> tuple[int, int]:
    cursor = (params.get("pagination") or {}).get("cursor")
    first = int(cursor[:19]) >> 32 if cursor else params["startLedger"]
    return first, int(result["cursor"][:19]) >> 32


def _cursor_at(ledger: int) -> str:
    return f"{(ledger + 1 << 32) - 1:019d}-4294967295"


def _spoil(fault: Fault, params: Params, result: dict[str, Any]) -> None:
    """Make an answer wrong the way ``fault`` says, where it has what that takes."""
    events = result["events"]
    asked = params.get("startLedger")
    match fault:
        case Fault.CURSOR_EMPTY if asked is None:
            result["events"] = []
            result["cursor"] = _cursor_at(result["latestLedger"])
        case Fault.CURSOR_BACK if asked is not None:
            result["events"] = []
            result["cursor"] = _cursor_at(asked - 2)
        case Fault.CURSOR_STUCK:
            result["events"] = []
            result["cursor"] = params["pagination"].get("cursor") or _cursor_at((asked or 1) - 1)
        case Fault.OVERCLAIMED:
            result["cursor"] = _cursor_at(result["latestLedger"] + 5)
        case Fault.DOUBLED if events:
            events.append(dict(events[-1]))
        case Fault.DISORDERED if len(events) > 1:
            events[0], events[1] = events[1], events[0]
        case Fault.FOREIGN if events and params.get("filters"):
            events[0]["contractId"] = "CAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD2KM"
        case Fault.MISPLACED if events:
            events[-1]["ledger"] += 1
        case Fault.ALTERED if events:
            events[-1]["value"] = events[-1]["value"][:-3] + "!!!"
        case _:
            pass


def _spoil_ledgers(fault: Fault, ledgers: list[dict[str, Any]]) -> None:
    """Make a list of ledgers wrong the way ``fault`` says, in its middle where it has one."""
    at = len(ledgers) // 2
    one, neighbour = ledgers[at], ledgers[at - 1]
    match fault:
        case Fault.LEDGER_LEFT_OUT:
            del ledgers[at]
        case Fault.LEDGERS_TURNED:
            ledgers.reverse()
        case Fault.LEDGER_TWICE:
            ledgers.append(dict(one))
        case Fault.LEDGER_FOREIGN:
            one["sequence"] += 1_000
        case Fault.META_ABSENT:
            del one["metadataXdr"]
        case Fault.META_EMPTY:
            one["metadataXdr"] = ""
        case Fault.META_CUT:
            one["metadataXdr"] = one["metadataXdr"][: len(one["metadataXdr"]) // 8 * 4]
        case Fault.META_SWAPPED if one is not neighbour:
            one["metadataXdr"] = neighbour["metadataXdr"]
        case Fault.META_FLIPPED:
            raw = bytearray(a2b_base64(one["metadataXdr"]))
            raw[len(raw) * 2 // 3] ^= 1
            one["metadataXdr"] = b2a_base64(raw, newline=False).decode("ascii")
        case Fault.HASH_SWAPPED if one is not neighbour:
            one["hash"] = neighbour["hash"]
        case Fault.HEADER_SWAPPED if one is not neighbour:
            one["headerXdr"] = neighbour["headerXdr"]
        case _:
            pass
