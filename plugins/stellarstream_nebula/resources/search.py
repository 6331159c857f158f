"""``/search``: streams, transactions, contracts and what plugins add, by id, address, hash or memo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from stellarstream_core.api.models import Listed, Nothing, Parameters, Represented
from stellarstream_core.api.problems import FieldError, InvalidParameterError
from stellarstream_core.api.routes import Answer, Call, Route
from stellarstream_core.plugins import Plugins
from stellarstream_core.projection.reading import reached_in
from stellarstream_core.settings import Settings
from stellarstream_core.storage import EventQuery
from stellarstream_nebula import bulk
from stellarstream_nebula.hookspecs import SearchQuery, SearchResult
from stellarstream_nebula.queries import Wanted, find_streams, prepare
from stellarstream_nebula.represent import StreamModel
from stellarstream_nebula.resources.streams import EVENTS_OF_TRANSACTION, LONGEST_TEXT, extent, show
from stellarstream_nebula.served import families_in, stream_contracts, version_of
from stellarstream_nebula.stored import NAME, read_rows
from stellarstream_nebula.terms import Terms, read_terms

if TYPE_CHECKING:
    from peewee import Database

HOOK = "nebula_search"
SHORTEST_MEMO = 2
"""Characters from which on a memo is found by its beginning."""


class SearchParameters(Parameters):
    """What searching takes."""

    q: Annotated[
        str,
        Field(
            min_length=1,
            max_length=LONGEST_TEXT,
            description="a stream's id or number, an address, a transaction's hash, a slug, or how a memo begins",
        ),
    ]
    limit: Annotated[int, Field(ge=1, le=50, description="how many of each kind at the most")] = 20


class SearchItem(Represented):
    """Something that was found."""

    kind: Annotated[str, Field(description="stream, transaction, contract, or a plugin's kind (invoice-link)")]
    id: str
    matched: Annotated[str, Field(description="what of it fits: id, sender, receiver, beneficiary, token, memo, …")]
    title: Annotated[str, Field(description="a line for people")]
    path: Annotated[str, Field(description="where the API has it")]
    stream: Annotated[StreamModel | None, Field(description="the stream, where it is one")]


class SearchAnswer(Listed[SearchItem]):
    """What was found; for more streams than are here ask ``/streams?q=``."""


async def search(call: Call[Nothing, SearchParameters, Nothing]) -> Answer:
    """Answer ``GET /search``."""
    api, query = call.api, call.query
    terms = read_terms(query.q)
    if not terms.text:
        raise InvalidParameterError(
            "Parameters are not what the route takes.", errors=[FieldError("query.q", "holds nothing but space")]
        )
    storage = api.database.storage
    events: tuple[str, ...] = ()
    if terms.tx_hash is not None:
        wanted = EventQuery(tx_hash=terms.tx_hash)
        found = await api.database.run(storage.find_events, wanted, EVENTS_OF_TRANSACTION)
        events = tuple(event.id for event in found.events)
    read = partial(_read, api.settings, api.runtime.plugins, terms, events, query.limit)
    return Answer(await api.database.run(storage.read, read))


def _read(
    settings: Settings, plugins: Plugins, terms: Terms, events: Sequence[str], limit: int, database: Database
) -> SearchAnswer:
    families = families_in(database, settings)
    contracts = stream_contracts(families)
    reached = reached_in(database, NAME, contracts)
    rows = read_rows(database, keys := _streams(database, terms, contracts, events, limit))
    shown = show(database, settings, [rows[key] for key in keys if key in rows], reached, None)
    items = [*_contracts(families, terms), *_transactions(database, terms, events)]
    items += [_stream_item(stream, terms) for stream in shown]
    as_of, complete = extent(database, contracts, reached)
    # comes last: a query of a plugin's that fails may leave nothing to be read in this snapshot
    asked = SearchQuery(terms.text, terms.address, terms.tx_hash)
    items += [_item(result) for result in _offered(plugins, database, asked, limit)]
    return SearchAnswer(items=items, next_cursor=None, as_of_ledger=as_of, complete=complete)


def _streams(
    database: Database, terms: Terms, contracts: Sequence[str], events: Sequence[str], limit: int
) -> list[str]:
    """Return the streams that fit: whole matches newest first, then those whose memo begins so."""
    walks = terms.walks(database, contracts, events)
    keys = list(find_streams(database, Wanted(any_of=walks), limit).keys)
    if terms.memo is not None and len(terms.memo) >= SHORTEST_MEMO and len(keys) < limit:
        prepare(database)
        rows = bulk.query(
            database,
            """
            SELECT key FROM nebula_streams WHERE memo > ? AND memo < ?
            ORDER BY memo, created_event, key LIMIT ?
            """,
            (terms.memo, f"{terms.memo}~", limit - len(keys)),
        )
        keys += [row[0] for row in rows]
    return list(dict.fromkeys(keys))


def _stream_item(stream: StreamModel, terms: Terms) -> SearchItem:
    fits = (
        ("id", stream.id == terms.key or (terms.number is not None and stream.stream_id == str(terms.number))),
        ("sender", stream.sender == terms.address),
        ("receiver", stream.receiver == terms.address),
        ("beneficiary", stream.beneficiary == terms.address),
        ("token", stream.token_address == terms.address),
        ("contract", stream.contract_id == terms.address),
        ("txHash", terms.tx_hash is not None),
    )
    known = terms.address is not None
    parties = {"sender", "receiver", "beneficiary", "token", "contract"}
    matched = next((name for name, fit in fits if fit and (known or name not in parties)), "memo")
    title = f"Stream {stream.stream_id}, {stream.status.value.lower()}" + (f", {stream.memo}" if stream.memo else "")
    return SearchItem(
        kind="stream", id=stream.id, matched=matched, title=title, path=f"/streams/{stream.id}", stream=stream
    )


def _contracts(families: Mapping[str, str], terms: Terms) -> list[SearchItem]:
    family = None if terms.address is None else families.get(terms.address)
    if family is None or terms.address is None:
        return []
    title = f"Contract, {version_of(family)}"
    path = f"/streams?contract={terms.address}"
    return [SearchItem(kind="contract", id=terms.address, matched="id", title=title, path=path, stream=None)]


def _transactions(database: Database, terms: Terms, events: Sequence[str]) -> list[SearchItem]:
    if terms.tx_hash is None:
        return []
    relayed = bulk.query(database, "SELECT status FROM nebula_transactions WHERE hash = ?", (terms.tx_hash,))
    if not relayed and not events:
        return []
    title = "Transaction, indexed" if events else f"Transaction, {relayed[0][0].lower()}"
    path = f"/transactions/{terms.tx_hash}"
    return [SearchItem(kind="transaction", id=terms.tx_hash, matched="txHash", title=title, path=path, stream=None)]


def _offered(plugins: Plugins, database: Database, query: SearchQuery, limit: int) -> list[SearchResult]:
    """Return what other plugins found; who breaks the promise is taken out."""
    found: list[SearchResult] = []
    for plugin, answer in plugins.ask_offered(HOOK, database=database, query=query, limit=limit):
        try:
            found += _checked(answer)[:limit]
        except TypeError as error:
            plugins.blame(HOOK, plugin, error)
    return found


def _checked(answer: object) -> list[SearchResult]:
    if not isinstance(answer, (list, tuple)):
        raise TypeError(f"{HOOK} must return a list, not {type(answer).__name__}")
    for result in answer:
        if not isinstance(result, SearchResult):
            raise TypeError(f"{HOOK} returned {type(result).__name__} where SearchResult is due")
        texts = (result.kind, result.id, result.matched, result.title, result.path)
        if not all(isinstance(text, str) for text in texts):
            raise TypeError(f"{HOOK} returned a result whose fields are no texts: {result!r:.100}")
    return list(answer)


def _item(result: SearchResult) -> SearchItem:
    return SearchItem(
        kind=result.kind, id=result.id, matched=result.matched, title=result.title, path=result.path, stream=None
    )


ROUTES = (
    Route(
        method="GET",
        path="/search",
        handler=search,
        query=SearchParameters,
        answer=SearchAnswer,
        tag="search",
        summary="Search streams, transactions, contracts and links",
        description=(
            "What fits wholly comes first; a memo is found by its beginning, too. There is one page: for more streams "
            "ask /streams?q=."
        ),
    ),
)
