"""``/events`` and ``/events/{id}``: stored events, page by page or one."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field

from stellarstream_core import __version__
from stellarstream_core.api.knowledge import Known
from stellarstream_core.api.live.filters import MOST_TOPICS
from stellarstream_core.api.models import Listed, ListParameters, Nothing, Parameters, Represented
from stellarstream_core.api.problems import FieldError, InvalidCursorError, InvalidParameterError, NotFoundError
from stellarstream_core.api.routes import FOR_EVER, NO_CACHE, Answer, Call, Route
from stellarstream_core.api.service import ApiService
from stellarstream_core.errors import InvalidEventError, InvalidStrkeyError, XdrError
from stellarstream_core.event_json import event_bytes
from stellarstream_core.events import parse_event_id
from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER
from stellarstream_core.storage import EventPage, EventQuery, Storage
from stellarstream_core.xdr.scval import decode_scval
from stellarstream_core.xdr.strkey import contract_id_bytes

MOST_CONTRACTS = 25
ANYTHING = "*"
LONGEST_TOPIC = 4096

LIST = "events"
_UNDECODED = b'"decoded":null'
"""A quote inside of a text would be escaped, so this stands for itself only."""


def _contract(text: str) -> str:
    try:
        contract_id_bytes(text)
    except InvalidStrkeyError as error:
        raise ValueError(error.message) from None
    return text


def _topic(text: str) -> str:
    if text != ANYTHING:
        topic_bytes(text)
    return text


def topic_bytes(text: str) -> bytes | None:
    """Return the XDR of a topic written in base64, None for ``*``. Raises ``ValueError``."""
    if text == ANYTHING:
        return None
    try:
        raw = b64decode(text.encode("ascii"), validate=True)
        decode_scval(raw)
    except (UnicodeEncodeError, Base64Error, XdrError):
        raise ValueError("not an ScVal in base64, nor '*'") from None
    return raw


ContractId = Annotated[
    str, Field(pattern=r"^C[A-Z2-7]{55}$", description="a contract id (SEP-23)"), AfterValidator(_contract)
]
Topic = Annotated[str, Field(max_length=LONGEST_TOPIC), AfterValidator(_topic)]
Ledger = Annotated[int, Field(ge=FIRST_LEDGER, le=LAST_LEDGER)]


class EventFilters(Parameters):
    """Which events: those that pass every filter that is given."""

    contract: Annotated[
        tuple[ContractId, ...], Field(max_length=MOST_CONTRACTS, description="contract id; several may be given")
    ] = ()
    topic: Annotated[
        tuple[Topic, ...],
        Field(
            max_length=MOST_TOPICS,
            description="a topic by position: base64 of its ScVal, or '*' for any; an event may have more topics",
        ),
    ] = ()

    @property
    def contracts(self) -> tuple[str, ...]:
        """The contracts, each once, in order."""
        return tuple(sorted(set(self.contract)))

    @property
    def topics(self) -> tuple[bytes | None, ...]:
        """The topics by position."""
        return tuple(map(topic_bytes, self.topic))


class EventsQuery(EventFilters, ListParameters):
    """What ``GET /events`` takes."""

    tx_hash: Annotated[
        str | None, Field(pattern=r"^[0-9a-f]{64}$", description="hash of the transaction, in lower-case hex")
    ] = None
    from_ledger: Annotated[Ledger | None, Field(description="first ledger")] = None
    to_ledger: Annotated[Ledger | None, Field(description="last ledger")] = None
    order: Annotated[Literal["asc", "desc"], Field(description="by id: oldest or newest first")] = "asc"

    def fingerprint(self) -> str:
        """Return the filters as one text, the same for the same filters."""
        topics = ",".join(self.topic)
        ledgers = f"{self.from_ledger or ''}-{self.to_ledger or ''}"
        return f"{','.join(self.contracts)}|{topics}|{self.tx_hash or ''}|{ledgers}|{self.order}"


def _event_id(text: str) -> str:
    try:
        parse_event_id(text)
    except InvalidEventError as error:
        raise ValueError(error.message) from None
    return text


class EventPath(Parameters):
    """The path of one event."""

    id: Annotated[
        str,
        Field(pattern=r"^[0-9]{19}-[0-9]{10}$", description="the event's id, as getEvents gives it"),
        AfterValidator(_event_id),
    ]


class Decoded(Represented):
    """An event's values for reading; the mapping is documented."""

    topics: list[Any]
    value: Any


class EventModel(Represented):
    """A stored event: the keys of ``getEvents``, and ours."""

    id: str
    type: str
    ledger: int
    ledger_closed_at: str
    contract_id: str | None
    tx_hash: str
    transaction_index: int
    operation_index: int
    event_index: int
    topic: list[str]
    value: str
    decoded: Annotated[Decoded | None, Field(description="null where a value cannot be decoded by this version")]


class ListOfEvents(Listed[EventModel]):
    """A page of events."""


async def list_events(call: Call[Nothing, EventsQuery, Nothing]) -> Answer:
    """Answer ``GET /events``."""
    api, query = call.api, call.query
    asked = _asked(query)
    fingerprint = query.fingerprint()
    if query.cursor is not None:
        asked = replace(asked, after=_after(call, fingerprint, query.cursor))
    key = (api.cursors.name, fingerprint, asked.after, query.limit, api.feed.histories)
    for_ever = _etag("for ever", api.feed.epoch, *key)
    if (kept := api.kept.get(for_ever)) is not None:
        return kept
    moment = await api.moments.now()
    known = await api.knowledge.of(asked.contracts, moment)
    # cursors of a secret that was made for this process end with it, and so must the pages that hold them
    lasting = api.settings.secret_key is not None and query.contract and query.from_ledger and query.to_ledger
    if lasting and moment.epoch == api.feed.epoch and known.settled(asked.first, asked.last):
        tag = for_ever
    else:  # weak: what is committed while it is read may be in it
        tag = "W/" + _etag("until", moment, known.first, known.as_of, *key)
    call.unless_unchanged(tag)
    return await api.kept.of(tag, partial(_page, api, asked, query, fingerprint, known, tag))


async def _page(
    api: ApiService, asked: EventQuery, query: EventsQuery, fingerprint: str, known: Known, tag: str
) -> Answer:
    page, items = await api.database.run(_read_page, api.database.storage, asked, query.limit)
    cursor = None if page.resume is None else api.cursors.make(LIST, fingerprint, page.resume)
    as_of = min(known.as_of, asked.last)
    lowest = query.from_ledger or min(known.first, asked.last)
    complete = known.complete(lowest, max(_reach(page, asked, as_of), as_of))
    # what this version cannot decode, a later one may
    for_ever = not tag.startswith("W/") and _UNDECODED not in items
    return Answer(
        _body(items, cursor, as_of, complete), etag=tag, cache=FOR_EVER if for_ever else NO_CACHE, next_cursor=cursor
    )


async def one_event(call: Call[EventPath, Nothing, Nothing]) -> Answer:
    """Answer ``GET /events/{id}``."""
    api, event_id = call.api, call.path.id
    # an event never changes; only we give out this tag, and only with the event
    tag = _etag("event", api.feed.epoch, api.feed.histories, event_id)
    call.unless_unchanged(tag, wildcard=False)
    if api.feed.epoch and (kept := api.kept.get(tag)) is not None:
        return kept
    body = await api.database.run(_read_event, api.database.storage, event_id)
    if body is None:
        raise NotFoundError(
            "No event of this id is stored.",
            help="It may lie in a ledger that is not indexed, or belong to a contract that is not.",
        )
    answer = Answer(body, etag=tag, cache=NO_CACHE)
    if api.feed.epoch:
        api.kept.put(tag, answer)
    return answer


def _asked(query: EventsQuery) -> EventQuery:
    first, last = query.from_ledger or FIRST_LEDGER, query.to_ledger or LAST_LEDGER
    if first > last:
        raise InvalidParameterError(
            "The range of ledgers is reversed.", errors=[FieldError("query.fromLedger", "lies after toLedger")]
        )
    return EventQuery(query.contracts, query.topics, query.tx_hash, first, last, descending=query.order == "desc")


def _after(call: Call[Any, Any, Any], fingerprint: str, cursor: str) -> str:
    key = call.api.cursors.read(LIST, fingerprint, cursor)
    try:
        parse_event_id(key)
    except InvalidEventError:  # signed by us for another release's list
        raise InvalidCursorError("The cursor is of another release.") from None
    return key


def _reach(page: EventPage, asked: EventQuery, as_of: int) -> int:
    """Return the highest ledger that a page speaks of."""
    if asked.descending:
        if asked.after:
            return parse_event_id(asked.after).ledger
        return asked.last if asked.last < LAST_LEDGER else max([as_of, *(event.ledger for event in page.events[:1])])
    if page.resume is not None:
        return parse_event_id(page.resume).ledger
    return asked.last if asked.last < LAST_LEDGER else max([as_of, *(event.ledger for event in page.events[-1:])])


def _read_page(storage: Storage, asked: EventQuery, limit: int) -> tuple[EventPage, bytes]:
    page = storage.find_events(asked, limit)
    return page, b",".join(map(event_bytes, page.events))


def _read_event(storage: Storage, event_id: str) -> bytes | None:
    event = storage.event(event_id)
    return None if event is None else event_bytes(event)


def _body(items: bytes, cursor: str | None, as_of: int, complete: bool) -> bytes:
    return b'{"items":[%b],"nextCursor":%b,"asOfLedger":%d,"complete":%b}' % (
        items,
        orjson.dumps(cursor),
        as_of,
        b"true" if complete else b"false",
    )


def _etag(*parts: object) -> str:
    # with the version: another release may write the same event otherwise
    return blake2b("\0".join(map(str, (__version__, *parts))).encode(), digest_size=16).hexdigest()


ROUTES = (
    Route(
        method="GET",
        path="/events",
        handler=list_events,
        query=EventsQuery,
        answer=ListOfEvents,
        tag="events",
        summary="List stored events",
        description=(
            "In the order of their ids. Filters narrow the list; topics have no index, so a page under a topic "
            "filter may be short, or empty, before the list ends: go on while nextCursor is not null. Pages that "
            "name contracts, fromLedger and toLedger at or below their watermark, all of it proven, never change "
            "and may be cached for ever."
        ),
        problems=(InvalidCursorError,),
    ),
    Route(
        method="GET",
        path="/events/{id}",
        handler=one_event,
        path_model=EventPath,
        answer=EventModel,
        tag="events",
        summary="Read one event",
        problems=(NotFoundError,),
    ),
)
