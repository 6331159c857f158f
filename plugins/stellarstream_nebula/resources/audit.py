"""``/audit-log`` and ``/audit-log/{streamId}``: what happened to streams, linked in chains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from stellarstream_core.api.models import Listed, ListParameters, Nothing, OrAbsent, Parameters, Represented
from stellarstream_core.api.problems import FieldError, InvalidCursorError, InvalidParameterError
from stellarstream_core.api.routes import Answer, Call, Route
from stellarstream_core.events import ContractEvent, format_close_time
from stellarstream_core.projection.reading import groups_of, reached_in
from stellarstream_core.projections import Reached
from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER
from stellarstream_core.settings import Settings
from stellarstream_core.storage import Storage
from stellarstream_nebula import bulk
from stellarstream_nebula.audit import Chain, Place, end_of, genesis, read_chains
from stellarstream_nebula.history import (
    HIGHEST,
    LOWEST,
    FoundEntries,
    Logged,
    WantedEntries,
    find_entries,
    find_entries_of,
)
from stellarstream_nebula.interest import earnings
from stellarstream_nebula.meaning import AuditFields, audit_fields
from stellarstream_nebula.represent import AuditEntryModel, Moment, StreamModel, entry_model, view_of
from stellarstream_nebula.resources.fields import ContractId, Party
from stellarstream_nebula.resources.streams import MOST_CONTRACTS, extent, show
from stellarstream_nebula.resources.yield_model import YieldModel, yield_model
from stellarstream_nebula.served import STREAM_ID, StreamNotFoundError, families_in, key_of, stream_contracts
from stellarstream_nebula.settings import NebulaSettings
from stellarstream_nebula.stored import NAME, StreamRow, read_rows
from stellarstream_nebula.yields import growth_in

if TYPE_CHECKING:
    from peewee import Database

    from stellarstream_core.api.service import ApiService
    from stellarstream_core.decoding import DecoderSpec

TAG = "audit log"
LIST, HISTORY = "audit-log", "audit-log/stream"
MOST_REVISIONS = 100

Order = Literal["asc", "desc"]
Ledger = Annotated[int, Field(ge=FIRST_LEDGER, le=LAST_LEDGER)]
EventType = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,32}$")]


class AuditQuery(ListParameters):
    """What ``GET /audit-log`` takes."""

    contract: Annotated[
        tuple[ContractId, ...],
        Field(max_length=MOST_CONTRACTS, description="entries of this contract's streams; several may be given"),
    ] = ()
    address: Annotated[
        Party | None, Field(description="entries of the streams it sends, receives or is paid from now")
    ] = None
    type: Annotated[tuple[EventType, ...], Field(max_length=10, description="eventType; several may be given")] = ()
    from_ledger: Annotated[Ledger | None, Field(description="first ledger")] = None
    to_ledger: Annotated[Ledger | None, Field(description="last ledger")] = None
    order: Annotated[Order, Field(description="by event id: newest or oldest first")] = "desc"

    def fingerprint(self) -> str:
        """Return the filters as one text, the same for the same filters."""
        contracts, types = ",".join(sorted(set(self.contract))), ",".join(sorted(set(self.type)))
        ledgers = f"{self.from_ledger or ''}-{self.to_ledger or ''}"
        return f"{contracts}|{self.address or ''}|{types}|{ledgers}|{self.order}"


class HistoryPath(Parameters):
    """Whose history."""

    stream_id: Annotated[
        str, Field(pattern=STREAM_ID, description="the stream's id, or its bare number where one contract is served")
    ]


class HistoryQuery(ListParameters):
    """What the history of one stream takes."""

    order: Annotated[Order, Field(description="by event id: oldest or newest first")] = "asc"


class ListOfEntries(Listed[AuditEntryModel]):
    """A page of the audit log."""


class RevisionModel(Represented):
    """An end that the chain had, until an event came to belong before it."""

    revision: int
    links: int
    head: str
    last_event: str
    replaced_by_event: Annotated[str, Field(description="the first of the entries that it lacked")]
    replaced_at: Annotated[str, Field(description="RFC 3339, UTC")]


class ChainModel(Represented):
    """The end of a stream's chain."""

    links: Annotated[int, Field(ge=0, description="entries that are sealed")]
    head: Annotated[str, Field(description="SHA-256, hex; with no links the hash that the chain begins with")]
    last_event: Annotated[str | None, Field(description="null with no links")]
    revision: Annotated[int, Field(ge=0, description="how often it was linked anew")]
    replaced: Annotated[list[RevisionModel], Field(description="heads that counted before, oldest first")]


class HistoryModel(Represented):
    """A stream, and what happened to it."""

    stream: Annotated[StreamModel | None, Field(description="null while its creation is not indexed")]
    events: list[AuditEntryModel]
    yield_: Annotated[
        OrAbsent[YieldModel],
        Field(
            alias="yield", description="as GET /yield/{streamId}, by the newest stored sample; absent without a yield"
        ),
    ] = None
    chain: ChainModel
    next_cursor: Annotated[str | None, Field(description="where the next page of events begins; null at the end")]
    as_of_ledger: Annotated[int, Field(ge=0)]
    complete: bool


@dataclass(frozen=True, slots=True)
class Read:
    """What one snapshot holds of a part of the log."""

    found: FoundEntries
    families: Mapping[str, str]
    as_of: int
    complete: bool
    stream: StreamModel | None = None
    chain: ChainModel | None = None
    earned: YieldModel | None = None


async def list_entries(call: Call[Nothing, AuditQuery, Nothing]) -> Answer:
    """Answer ``GET /audit-log``."""
    api, query = call.api, call.query
    first, last = query.from_ledger or FIRST_LEDGER, query.to_ledger or LAST_LEDGER
    if first > last:
        raise InvalidParameterError(
            "The range of ledgers is reversed.", errors=[FieldError("query.fromLedger", "lies after toLedger")]
        )
    fingerprint = query.fingerprint()
    after = None if query.cursor is None else _place(api.cursors.read(LIST, fingerprint, query.cursor))
    wanted = WantedEntries(
        contracts=tuple(sorted(set(query.contract))),
        address=query.address,
        types=tuple(sorted(set(query.type))),
        first=LOWEST if query.from_ledger is None else end_of(first - 1),
        end=HIGHEST if query.to_ledger is None else end_of(last),
        descending=query.order == "desc",
    )
    read, items = await _entries(api, partial(_list, api.settings, wanted, query.limit, after))
    cursor = _cursor(call, LIST, fingerprint, read.found.resume)
    as_of = min(read.as_of, last)
    complete = read.complete and (query.to_ledger is None or query.to_ledger <= read.as_of)
    body = ListOfEntries(items=items, next_cursor=cursor, as_of_ledger=as_of, complete=complete)
    return Answer(body, next_cursor=cursor)


async def history(call: Call[HistoryPath, HistoryQuery, Nothing]) -> Answer:
    """Answer ``GET /audit-log/{streamId}``."""
    api, query = call.api, call.query
    fingerprint = f"{call.path.stream_id}|{query.order}"
    after = None if query.cursor is None else _place(api.cursors.read(HISTORY, fingerprint, query.cursor))
    read, items = await _entries(api, partial(_history, api.settings, call.path.stream_id, query, after))
    if read.chain is None:
        raise StreamNotFoundError("No stream of this id is indexed.")
    cursor = _cursor(call, HISTORY, fingerprint, read.found.resume)
    body = HistoryModel(
        stream=read.stream,
        events=items,
        yield_=read.earned,
        chain=read.chain,
        next_cursor=cursor,
        as_of_ledger=read.as_of,
        complete=read.complete,
    )
    return Answer(body, next_cursor=cursor)


async def _entries(api: ApiService, read: Callable[[Database], Read]) -> tuple[Read, list[AuditEntryModel]]:
    return await api.database.run(_read_entries, api.database.storage, api.runtime.plugins.decoders(), read)


# --- in the database's thread -----------------------------------------------------------------------


def _read_entries(
    storage: Storage, decoders: Mapping[str, DecoderSpec], read: Callable[[Database], Read]
) -> tuple[Read, list[AuditEntryModel]]:
    """Read entries in one snapshot, and then their events, which never change once they are there."""
    found = storage.read(read)
    entries = found.found.entries
    events = {event.id: event for event in storage.events_by_id([entry.event_id for entry in entries])}
    there = [events[entry.event_id] for entry in entries if entry.event_id in events]
    said = decode_entries(there, found.families, decoders)
    return found, [
        entry_model(
            entry.key, events[entry.event_id], said.get(entry.event_id) or _untold(entry), entry.hash, entry.since
        )
        for entry in entries
        if entry.event_id in events
    ]


def decode_entries(
    events: Sequence[ContractEvent], families: Mapping[str, str], decoders: Mapping[str, DecoderSpec]
) -> dict[str, AuditFields]:
    """Return what the log shows of events, by id; events that no decoder knows (any more) are left out."""
    by_family: dict[str, list[ContractEvent]] = defaultdict(list)
    for event in events:
        by_family[families.get(event.contract_id or "", "")].append(event)
    found: dict[str, AuditFields] = {}
    for family, some in by_family.items():
        if (spec := decoders.get(family)) is None:
            continue
        for event, decoded in zip(some, spec.decode(some), strict=True):
            if decoded is not None:
                found[event.id] = audit_fields(decoded)
    return found


def _untold(entry: Logged) -> AuditFields:
    return AuditFields(entry.type, None, None, None, {})


def _list(settings: Settings, wanted: WantedEntries, limit: int, after: Place | None, database: Database) -> Read:
    families = families_in(database, settings)
    contracts = wanted.contracts or stream_contracts(families)
    as_of, complete = extent(database, contracts, reached_in(database, NAME, contracts))
    return Read(find_entries(database, wanted, limit, after), families, as_of, complete)


def _history(settings: Settings, text: str, query: HistoryQuery, after: Place | None, database: Database) -> Read:
    families = families_in(database, settings)
    key = key_of(text, stream_contracts(families), "path.streamId")
    row = read_rows(database, [key]).get(key)
    spans = [(key, LOWEST, HIGHEST)]
    if row is not None:
        # what concerns all streams of its token belongs to it from its creation to the last event it heeded
        first, last = f"{row.state.first_event}~", f"{row.state.last_event}~"
        spans += [(group, first, last) for group in groups_of(database, NAME, key) if "/" in group]
    found = find_entries_of(database, spans, query.limit, after, descending=query.order == "desc")
    contract = key.partition("-")[0]
    reached = reached_in(database, NAME, [contract])
    as_of, complete = extent(database, [contract], reached)
    read = Read(found, families, as_of, complete)
    chain = read_chains(database, [key]).get(key)
    if row is None and chain is None and not found.entries and after is None:
        return read
    read = replace(read, chain=_chain_model(database, key, chain))
    if row is None:
        return read
    stream = show(database, settings, [row], reached, None)[0]
    return replace(read, stream=stream, earned=_yield(database, settings, row, reached.get(contract)))


def _yield(database: Database, settings: Settings, row: StreamRow, reached: Reached | None) -> YieldModel | None:
    moment = Moment.of(reached, None, row.state)
    shown = view_of(row, moment, settings.section(NebulaSettings).facts_fresh_ledgers)
    earned = earnings(database, [row], [shown], [moment]).get(row.key)
    if earned is None:
        return None
    return yield_model(shown, moment, earned, growth_in(database, earned.vault))


def _chain_model(database: Database, key: str, chain: Chain | None) -> ChainModel:
    rows = bulk.query(
        database,
        """
        SELECT revision, links, head, last_event, replaced_by_event, replaced_at FROM nebula_chain_revisions
        WHERE key = ? ORDER BY revision DESC LIMIT ?
        """,
        (key, MOST_REVISIONS),
    )
    replaced = [
        RevisionModel(
            revision=revision,
            links=links,
            head=bytes(head).hex(),
            last_event=last,
            replaced_by_event=event,
            replaced_at=format_close_time(at),
        )
        for revision, links, head, last, event, at in reversed(rows)
    ]
    return ChainModel(
        links=0 if chain is None else chain.links,
        head=(genesis(key) if chain is None else chain.head).hex(),
        last_event=chain.last_event or None if chain is not None else None,
        revision=0 if chain is None else chain.revision,
        replaced=replaced,
    )


# --- cursors ----------------------------------------------------------------------------------------


def _cursor(call: Call[Any, Any, Any], what: str, fingerprint: str, resume: Place | None) -> str | None:
    if resume is None:
        return None
    return call.api.cursors.make(what, fingerprint, f"{resume.event_id}|{resume.key}")


def _place(text: str) -> Place:
    parts = text.split("|")
    if len(parts) != 2:  # signed by us for another release's list
        raise InvalidCursorError("The cursor is of another release.")
    return Place(*parts)


ROUTES = (
    Route(
        method="GET",
        path="/audit-log",
        handler=list_entries,
        query=AuditQuery,
        answer=ListOfEntries,
        tag=TAG,
        summary="List what happened to streams",
        description=(
            "Newest first. An event that belongs to two streams (a migration) is there once for each. A page looks at "
            "a bounded number of entries, so under filters it may be short, or empty, before the list ends: go on "
            "while nextCursor is not null."
        ),
        problems=(InvalidCursorError,),
    ),
    Route(
        method="GET",
        path="/audit-log/{streamId}",
        handler=history,
        path_model=HistoryPath,
        query=HistoryQuery,
        answer=HistoryModel,
        tag=TAG,
        summary="Read one stream's history",
        description="The stream, its events (oldest first), and the end of the chain that links them.",
        problems=(StreamNotFoundError, InvalidCursorError),
    ),
)
