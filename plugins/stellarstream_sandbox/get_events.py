"""What stellar-rpc v28 answers to ``getEvents``: a pure function of the request and a history.

Everything a client can observe is kept: which requests are refused and with which words, how far
one answer scans, which cursor it ends with, and where the answer is surprising (a silently clamped
end, a cursor that points backwards, no ``topic`` key for an event without topics).
"""

from __future__ import annotations

from binascii import Error as BinasciiError
from binascii import a2b_base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from stellarstream_core.errors import InvalidStrkeyError, XdrError
from stellarstream_core.events import MAX_COUNTER, MAX_OP, MAX_TX_ORDER, EventId, format_close_time
from stellarstream_core.xdr.scval import decode_scval
from stellarstream_core.xdr.strkey import contract_id_bytes
from stellarstream_sandbox.jsonrpc import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, JsonRpcError

LEDGER_SCAN_LIMIT = 10_000
"""How many ledgers one answer scans at most."""

DEFAULT_LIMIT = 100
MAX_LIMIT = 10_000
MAX_FILTERS = 5
MAX_CONTRACT_IDS = 5
MAX_TOPIC_FILTERS = 5
MAX_TOPICS = 4

ANY_ONE = "*"
ANY_MORE = "**"
EVENT_TYPES = frozenset({"contract", "system"})

_UINT32 = 2**32


class EventRecord(NamedTuple):
    """One event of a history: ``contract_id`` is "" where it has none, topics and value are base64 XDR."""

    id: str
    type: str
    contract_id: str
    tx_hash: str
    closed_at: int
    topics: tuple[str, ...]
    value: str


class EventHistory(Protocol):
    """The ledgers a node has, both ends included, and their events."""

    @property
    def oldest(self) -> int:
        """The oldest ledger retained."""
        ...

    @property
    def latest(self) -> int:
        """The last closed ledger; 0 while there is none."""
        ...

    def close_time(self, ledger: int) -> int:
        """Return a retained ledger's close time in Unix seconds."""
        ...

    def events(self, first_ledger: int, last_ledger: int) -> Iterator[EventRecord]:
        """Yield the events of these ledgers, both included, in id order."""
        ...


T = TypeVar("T")
Matcher = Callable[[EventRecord], bool]


def get_events(
    params: Mapping[str, Any],
    history: EventHistory,
    *,
    max_limit: int = MAX_LIMIT,
    default_limit: int = DEFAULT_LIMIT,
    scan_limit: int = LEDGER_SCAN_LIMIT,
) -> dict[str, Any]:
    """Return the ``result`` of a ``getEvents`` call; raise :class:`JsonRpcError` as the node would.

    ``startLedger`` is inclusive, ``endLedger`` exclusive. The answer scans at most ``scan_limit``
    ledgers, never past the tip, and ignores an earlier call's ``endLedger`` when it goes on from a
    cursor. Its cursor is the last event's id where the page is full, and otherwise the greatest id
    of the last ledger scanned, which lies before the start where ``endLedger`` did.
    """
    request = _Request.of(params, max_limit)
    oldest, latest = history.oldest, history.latest
    if latest < 1:
        raise JsonRpcError(INTERNAL_ERROR, "DB is empty")

    start = request.start
    end_ledger = min(start.ledger + scan_limit, latest + 1)
    if request.end_ledger:
        end_ledger = min(end_ledger, request.end_ledger)
    if not oldest <= start.ledger <= latest:
        raise JsonRpcError(INVALID_REQUEST, f"startLedger must be within the ledger range: {oldest} - {latest}")

    limit = request.limit or default_limit
    matches = request.matches
    start_id = str(start)
    found: list[EventRecord] = []
    for event in history.events(start.ledger, end_ledger - 1) if end_ledger > start.ledger else ():
        if event.id >= start_id and matches(event):
            found.append(event)
            if len(found) == limit:
                break

    full = len(found) == limit
    cursor = found[-1].id if full else str(EventId(end_ledger - 1, MAX_TX_ORDER, MAX_OP, MAX_COUNTER))
    return {
        "events": list(_rendered(found)),
        "cursor": cursor,
        "latestLedger": latest,
        "oldestLedger": oldest,
        "latestLedgerCloseTime": str(history.close_time(latest)),
        "oldestLedgerCloseTime": str(history.close_time(oldest)),
    }


def _rendered(events: list[EventRecord]) -> Iterator[dict[str, Any]]:
    times: dict[int, str] = {}
    for event in events:
        toid = int(event.id[:19])
        closed_at = times.get(event.closed_at)
        if closed_at is None:
            closed_at = times[event.closed_at] = format_close_time(event.closed_at)
        body: dict[str, Any] = {
            "type": event.type,
            "ledger": toid >> 32,
            "ledgerClosedAt": closed_at,
            "contractId": event.contract_id,
            "id": event.id,
            "operationIndex": toid & MAX_OP,
            "transactionIndex": toid >> 12 & MAX_TX_ORDER,
            "txHash": event.tx_hash,
            "inSuccessfulContractCall": True,
        }
        if event.topics:  # the node's JSON leaves an empty list out
            body["topic"] = list(event.topics)
        body["value"] = event.value
        yield body


# --- the request ----------------------------------------------------------------------------


class _Request(NamedTuple):
    """A valid request. ``limit`` and ``end_ledger`` are 0 where they were not given."""

    start: EventId
    end_ledger: int
    limit: int
    matches: Matcher

    @classmethod
    def of(cls, params: Mapping[str, Any], max_limit: int) -> _Request:
        """Read and check a request in the node's order: types first, then the rules."""
        start_ledger = _unsigned(params, "startLedger")
        end_ledger = _unsigned(params, "endLedger")
        pagination = _typed(params, "pagination", dict) or {}
        cursor_text = _typed(pagination, "cursor", str)
        cursor = None if cursor_text is None else _cursor(cursor_text)
        limit = _unsigned(pagination, "limit")
        raw_filters = _typed(params, "filters", list) or []
        filters = [_Filter.of(raw) for raw in raw_filters]

        _check_format(_typed(params, "xdrFormat", str) or "")
        if cursor is not None:
            if start_ledger or end_ledger:
                raise _invalid("ledger ranges and cursor cannot both be set")
        elif not start_ledger:
            raise _invalid("startLedger must be positive")
        if limit > max_limit:
            raise _invalid(f"limit must not exceed {max_limit}")
        if len(filters) > MAX_FILTERS:
            raise _invalid(f"maximum {MAX_FILTERS} filters per request")
        for number, one in enumerate(filters, 1):
            one.check(number)
        return cls(cursor or EventId(start_ledger, 0, 0, 0), end_ledger, limit, _matcher(filters))


def _matcher(filters: list[_Filter]) -> Matcher:
    if not filters:
        return lambda _event: True
    return lambda event: any(one.matches(event) for one in filters)


class _Filter(NamedTuple):
    """One filter: its fields are ANDed, an empty one admits everything."""

    types: frozenset[str]
    contract_ids: tuple[str, ...]
    topics: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, raw: object) -> _Filter:
        if not isinstance(raw, dict):
            raise _unreadable("filters", "a list of objects")
        joined = _typed(raw, "type", str)
        topics = _typed(raw, "topics", list) or []
        return cls(
            frozenset(joined.split(",")) if joined else frozenset(),
            tuple(_texts(_typed(raw, "contractIds", list) or [], "contractIds")),
            tuple(tuple(_texts(topic, "topics")) for topic in topics),
        )

    def check(self, number: int) -> None:
        """Raise what the node says of the first fault; ``number`` counts filters from 1."""
        if not self.types <= EVENT_TYPES:
            raise _invalid(
                f"filter {number} invalid: filter type invalid: if set, type must be either 'system' or 'contract'"
            )
        if len(self.contract_ids) > MAX_CONTRACT_IDS:
            raise _invalid(f"filter {number} invalid: maximum {MAX_CONTRACT_IDS} contract IDs per filter")
        if len(self.topics) > MAX_TOPIC_FILTERS:
            raise _invalid(f"filter {number} invalid: maximum {MAX_TOPIC_FILTERS} topics per filter")
        for at, contract in enumerate(self.contract_ids, 1):
            try:
                contract_id_bytes(contract)
            except InvalidStrkeyError:
                raise _invalid(f"filter {number} invalid: contract ID {at} invalid") from None
        for at, topic in enumerate(self.topics, 1):
            if fault := _topic_fault(topic):
                raise _invalid(f"filter {number} invalid: topic {at} invalid: {fault}")

    def matches(self, event: EventRecord) -> bool:
        """Tell whether the event passes all three fields."""
        if self.types and event.type not in self.types:
            return False
        if self.contract_ids and event.contract_id not in self.contract_ids:
            return False
        return not self.topics or any(_topic_matches(topic, event.topics) for topic in self.topics)


def _topic_fault(topic: tuple[str, ...]) -> str | None:
    if not topic:
        return "topic must have at least 1 segment"
    segments = topic[:-1] if topic[-1] == ANY_MORE else topic
    if ANY_MORE in segments:
        return f"segment {segments.index(ANY_MORE) + 1} invalid: wildcard '**' is only allowed as the last segment"
    if len(segments) > MAX_TOPICS:
        return f"topic cannot have more than {MAX_TOPICS} segments"
    return None


def _topic_matches(wanted: tuple[str, ...], topics: tuple[str, ...]) -> bool:
    if wanted[-1] == ANY_MORE:
        wanted = wanted[:-1]
        if len(topics) < len(wanted):
            return False
    elif len(topics) != len(wanted):
        return False
    return all(segment in (ANY_ONE, topic) for segment, topic in zip(wanted, topics, strict=False))


def _check_scval(segment: str) -> None:
    try:
        decode_scval(a2b_base64(segment, strict_mode=True))
    except (BinasciiError, XdrError):
        raise _unreadable("topics", "base64 XDR of ScVals, '*' or '**'") from None


# --- reading JSON as the node's decoder does ------------------------------------------------


def _cursor(text: str) -> EventId:
    """Return the place right after the cursor, where the scan goes on."""
    toid, dash, counter = text.partition("-")
    if not dash or not (toid.isascii() and toid.isdigit() and counter.isascii() and counter.isdigit()):
        raise _invalid(f"invalid event id {text}")
    place, number = int(toid), int(counter)
    if place >= 2**63 or number >= _UINT32:
        raise _invalid(f"invalid event id {text}")
    # The node adds one in 32 bits, so the greatest id of a ledger wraps to counter 0 of a place
    # (transaction 0xFFFFF, operation 0xFFF) where no event ever stands.
    return EventId(place >> 32, place >> 12 & MAX_TX_ORDER, place & MAX_OP, (number + 1) % _UINT32)


def _check_format(name: str) -> None:
    if name == "json":
        raise _invalid("xdrFormat 'json' is not supported by this simulated node: use base64")
    if name not in {"", "base64"}:
        raise _invalid(f"got '{name}': expected base64, json for optional 'xdrFormat'")


def _unsigned(params: Mapping[str, Any], key: str) -> int:
    value = params.get(key)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value < _UINT32:
        raise _unreadable(key, "an unsigned 32-bit number")
    return value


def _typed(params: Mapping[str, Any], key: str, kind: type[T]) -> T | None:
    value = params.get(key)
    if value is None or isinstance(value, kind):
        return value
    raise _unreadable(key, {"dict": "an object", "list": "a list", "str": "a string"}[kind.__name__])


def _texts(values: object, key: str) -> Iterator[str]:
    if not isinstance(values, list):
        raise _unreadable(key, "a list")
    for value in values:
        if not isinstance(value, str):
            raise _unreadable(key, "a list of strings")
        if key == "topics" and value not in {ANY_ONE, ANY_MORE}:
            _check_scval(value)
        yield value


def _unreadable(key: str, wanted: str) -> JsonRpcError:
    return _invalid(f"invalid parameters: {key} must be {wanted}")


def _invalid(message: str) -> JsonRpcError:
    return JsonRpcError(INVALID_PARAMS, message)
