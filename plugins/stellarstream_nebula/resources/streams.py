"""``/streams`` and ``/streams/{id}``: payment streams, by every filter or one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from stellarstream_core.api import models
from stellarstream_core.api.models import Listed, ListParameters, Nothing, Parameters
from stellarstream_core.api.problems import FieldError, InvalidCursorError, InvalidParameterError
from stellarstream_core.api.routes import Answer, Call, Route
from stellarstream_core.projection.reading import reached_in
from stellarstream_core.projections import Reached
from stellarstream_core.settings import Settings
from stellarstream_core.storage import EventQuery
from stellarstream_nebula.interest import earnings, interests
from stellarstream_nebula.model import Status
from stellarstream_nebula.queries import FIRST, Found, Place, Wanted, find_streams
from stellarstream_nebula.represent import Moment, StreamModel, stream_model, view_of
from stellarstream_nebula.resources.fields import ContractId, Party
from stellarstream_nebula.served import STREAM_ID, StreamNotFoundError, families_in, key_of, stream_contracts
from stellarstream_nebula.settings import NebulaSettings
from stellarstream_nebula.stored import NAME, StreamRow, read_rows
from stellarstream_nebula.terms import Terms, read_terms
from stellarstream_nebula.totals import newest_journaled

if TYPE_CHECKING:
    from peewee import Database

LIST = "streams"
TAG = "streams"
MOST_CONTRACTS = 25
MOST_OFFSET = 10_000
LONGEST_TEXT = 200
EVENTS_OF_TRANSACTION = 200
"""Events of a transaction whose streams are found by its hash."""


At = Annotated[
    models.Moment | None,
    Field(description="show amounts and status as they are at this moment by the present terms; nothing is undone"),
]


class StreamsQuery(ListParameters):
    """What ``GET /streams`` takes. A stream is listed where it passes every filter that is given."""

    address: Annotated[Party | None, Field(description="sender, receiver or beneficiary")] = None
    sender: Party | None = None
    receiver: Party | None = None
    token: ContractId | None = None
    status: Annotated[tuple[Status, ...], Field(max_length=5, description="several may be given")] = ()
    contract: Annotated[
        tuple[ContractId, ...], Field(max_length=MOST_CONTRACTS, description="several may be given")
    ] = ()
    q: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=LONGEST_TEXT,
            description="a stream's id or number, an address, a token, a memo or a transaction's hash, whole",
        ),
    ] = None
    at: At = None
    offset: Annotated[int, Field(ge=0, le=MOST_OFFSET, description="how many to pass over; not with a cursor")] = 0

    def fingerprint(self) -> str:
        """Return the filters as one text, the same for the same filters; ``at`` counts where it says what is listed."""
        statuses = ",".join(sorted(self.status))
        contracts = ",".join(sorted(set(self.contract)))
        at = self.at.isoformat() if self.at is not None and statuses else ""
        parts = (self.address, self.sender, self.receiver, self.token, statuses, contracts, self.q, at)
        return "|".join(part or "" for part in parts)


class StreamPath(Parameters):
    """Which stream."""

    id: Annotated[
        str, Field(pattern=STREAM_ID, description="the stream's id, or its bare number where one contract is served")
    ]


class StreamQuery(Parameters):
    """What reading one stream takes."""

    at: At = None


class ListOfStreams(Listed[StreamModel]):
    """A page of streams."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A list that was asked for, in plain values; ``events`` are those of the transaction in ``terms``."""

    query: StreamsQuery
    terms: Terms | None
    after: Place
    skip: int
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What one snapshot holds of a list."""

    items: Sequence[StreamModel]
    found: Found
    as_of: int
    complete: bool


async def list_streams(call: Call[Nothing, StreamsQuery, Nothing]) -> Answer:
    """Answer ``GET /streams``."""
    api, query = call.api, call.query
    fingerprint = query.fingerprint()
    after, skip = FIRST, query.offset
    if query.cursor is not None:
        if query.offset:
            raise InvalidParameterError(
                "A page begins at a cursor or at an offset, not at both.",
                errors=[FieldError("query.offset", "is given with a cursor")],
            )
        after, skip = _place(api.cursors.read(LIST, fingerprint, query.cursor))
    asked = Asked(query, None if query.q is None else read_terms(query.q), after, skip)
    storage = api.database.storage
    if asked.terms is not None and asked.terms.tx_hash is not None:
        wanted = EventQuery(tx_hash=asked.terms.tx_hash)
        events = await api.database.run(storage.find_events, wanted, EVENTS_OF_TRANSACTION)
        asked = replace(asked, events=tuple(event.id for event in events.events))
    page = await api.database.run(storage.read, partial(read_page, api.settings, asked))
    resume = page.found.resume
    cursor = None
    if resume is not None:
        cursor = api.cursors.make(LIST, fingerprint, f"{page.found.skip}|{resume.created_event}|{resume.key}")
    body = ListOfStreams(items=list(page.items), next_cursor=cursor, as_of_ledger=page.as_of, complete=page.complete)
    return Answer(body, next_cursor=cursor)


async def one_stream(call: Call[StreamPath, StreamQuery, Nothing]) -> Answer:
    """Answer ``GET /streams/{id}``."""
    api, at = call.api, call.query.at
    asked = None if at is None else int(at.timestamp())
    found = await api.database.run(api.database.storage.read, partial(read_stream, api.settings, call.path.id, asked))
    if found is None:
        raise StreamNotFoundError("No stream of this id is indexed.")
    return Answer(found)


def read_page(settings: Settings, asked: Asked, database: Database) -> Page:
    """Read a page in one snapshot."""
    query = asked.query
    served = stream_contracts(families_in(database, settings))
    contracts = sorted(set(query.contract)) or served
    reached = reached_in(database, NAME, contracts)
    at = None if query.at is None else int(query.at.timestamp())
    moments = {contract: at if at is not None else found.closed_at for contract, found in reached.items()}
    wanted = Wanted(
        address=query.address,
        sender=query.sender,
        receiver=query.receiver,
        token=query.token,
        statuses=frozenset(query.status),
        contracts=query.contract,
        any_of=None if asked.terms is None else asked.terms.walks(database, served, asked.events),
        moments=moments,
        present=at is None,
    )
    found = find_streams(database, wanted, query.limit, asked.after, asked.skip)
    rows = read_rows(database, found.keys)
    shown = show(database, settings, [rows[key] for key in found.keys if key in rows], reached, at)
    items = [item for item in shown if not query.status or item.status in query.status]
    return Page(items, found, *extent(database, contracts, reached))


def read_stream(settings: Settings, text: str, at: int | None, database: Database) -> StreamModel | None:
    """Read one stream in one snapshot; None where there is none."""
    key = key_of(text, stream_contracts(families_in(database, settings)))
    rows = read_rows(database, [key])
    if key not in rows:
        return None
    reached = reached_in(database, NAME, [rows[key].state.contract_id])
    return show(database, settings, [rows[key]], reached, at)[0]


def show(
    database: Database, settings: Settings, rows: Sequence[StreamRow], reached: Mapping[str, Reached], at: int | None
) -> list[StreamModel]:
    """Return streams as the API shows them: each as of what is folded of its contract, or of itself, or at a moment."""
    fresh = settings.section(NebulaSettings).facts_fresh_ledgers
    moments = [Moment.of(reached.get(row.state.contract_id), at, row.state) for row in rows]
    views = [view_of(row, moment, fresh) for row, moment in zip(rows, moments, strict=True)]
    earned = interests(earnings(database, rows, views, moments))
    return [stream_model(shown, moment, earned.get(shown.key)) for shown, moment in zip(views, moments, strict=True)]


def extent(database: Database, contracts: Sequence[str], reached: Mapping[str, Reached]) -> tuple[int, bool]:
    """Return the last ledger that an answer about contracts speaks for, and whether it speaks for that ledger wholly.

    It does not while a gap lies below, and while some streams are ahead of it, because events of ledgers above are
    folded and others are not yet.
    """
    found = [reached.get(contract) for contract in contracts]
    known = [one for one in found if one is not None]
    if not known or len(known) < len(found):
        return 0, False
    newest = newest_journaled(database, contracts)
    complete = all(reached[one].complete and newest.get(one, 0) <= reached[one].ledger for one in contracts)
    return min(one.ledger for one in known), complete


def _place(text: str) -> tuple[Place, int]:
    parts = text.split("|")
    if len(parts) != 3 or not parts[0].isdigit():  # signed by us for another release's list
        raise InvalidCursorError("The cursor is of another release.")
    return Place(parts[1], parts[2]), int(parts[0])


ROUTES = (
    Route(
        method="GET",
        path="/streams",
        handler=list_streams,
        query=StreamsQuery,
        answer=ListOfStreams,
        tag=TAG,
        summary="List payment streams",
        description=(
            "Newest first, by the event that created them; what is created meanwhile moves no page. Each stream is as "
            "of its own 'asOfLedger'; the list's is the least of its contracts'. A page looks at a bounded number of "
            "streams, so under several filters it may be short, or empty, before the list ends: go on while "
            "nextCursor is not null."
        ),
        problems=(InvalidCursorError,),
    ),
    Route(
        method="GET",
        path="/streams/{id}",
        handler=one_stream,
        path_model=StreamPath,
        query=StreamQuery,
        answer=StreamModel,
        tag=TAG,
        summary="Read one payment stream",
        problems=(StreamNotFoundError,),
    ),
)
