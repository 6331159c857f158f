"""``/stats``: totals by token and status."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from stellarstream_core.api.models import Nothing, Represented
from stellarstream_core.api.routes import Answer, Call, Route
from stellarstream_core.events import format_close_time
from stellarstream_core.projection.reading import reached_in
from stellarstream_core.projections import Reached
from stellarstream_core.settings import Settings
from stellarstream_nebula.hookspecs import TokenPrice
from stellarstream_nebula.model import Status
from stellarstream_nebula.prices import prices_of, worth
from stellarstream_nebula.represent import Amount, Time
from stellarstream_nebula.resources.streams import extent
from stellarstream_nebula.served import families_in, stream_contracts
from stellarstream_nebula.statistics import MOST_TOKENS, Statistics, TokenTotals, read_statistics
from stellarstream_nebula.stored import NAME

if TYPE_CHECKING:
    from peewee import Database

Count = Annotated[int, Field(ge=0)]
Dollars = Annotated[str, Field(pattern=r"^-?[0-9]+\.[0-9]{2}$", description="US dollars")]


class StatusCounts(Represented):
    """How many streams have each status."""

    total: Count
    active: Annotated[int, Field(alias="ACTIVE", ge=0)]
    paused: Annotated[int, Field(alias="PAUSED", ge=0)]
    completed: Annotated[int, Field(alias="COMPLETED", ge=0)]
    canceled: Annotated[int, Field(alias="CANCELED", ge=0)]
    archived: Annotated[int, Field(alias="ARCHIVED", ge=0)]


class Volume(Represented):
    """What moved in the last day."""

    since: Annotated[Time | None, Field(description="from when on it is counted: whole hours, at least 24")]
    created: Annotated[Amount, Field(description="put into new streams")]
    topped_up: Annotated[Amount, Field(description="added to streams")]
    withdrawn: Annotated[Amount, Field(description="paid out, cancellations included")]


class Worth(Represented):
    """The same in US dollars, by a plugin's price of one whole token."""

    price: Annotated[str, Field(description="US dollars of one whole token")]
    decimals: int
    as_of: Time
    source: str
    locked: Dollars
    created: Dollars
    topped_up: Dollars
    withdrawn: Dollars


class TokenStats(Represented):
    """The totals of one token."""

    token_address: Annotated[str | None, Field(description="null: the streams whose token is not known")]
    streams: StatusCounts
    amount: Annotated[Amount, Field(description="the sum of all streams' amounts")]
    withdrawn: Amount
    locked: Annotated[Amount, Field(description="what contracts still owe (TVL), as far as it is known")]
    locked_unknown: Annotated[int, Field(ge=0, description="streams that are left out of 'locked': nothing tells")]
    volume24h: Annotated[Volume, Field(alias="volume24h")]
    usd: Annotated[Worth | None, Field(description="null where no plugin gives a price")]


class IndexedLedgers(Represented):
    """Which ledgers are indexed."""

    first: Annotated[int, Field(ge=0, description="the first that is wanted; 0: none")]
    last: Annotated[int, Field(ge=0, description="the last that is folded")]
    covered: Annotated[int, Field(ge=0, description="how many of them are there")]


class StatsModel(Represented):
    """Totals of all streams, as of the close time of 'asOfLedger'."""

    streams: StatusCounts
    tokens: Annotated[list[TokenStats], Field(description=f"those with the most streams first, at most {MOST_TOKENS}")]
    tokens_total: Annotated[int, Field(ge=0, description="how many tokens have streams")]
    senders: Count
    receivers: Count
    events: Annotated[int, Field(ge=0, description="events in streams' histories")]
    ledgers: IndexedLedgers
    as_of: Time | None
    as_of_ledger: Annotated[int, Field(ge=0)]
    complete: bool


async def stats(call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """Answer ``GET /stats``."""
    api = call.api
    run, storage = api.database.run, api.database.storage
    served = stream_contracts(await run(storage.read, partial(families_in, settings=api.settings)))
    known = await api.known(served)
    reached, found, (as_of, complete) = await run(storage.read, partial(_read, api.settings))
    tokens = [one.token for one in found.tokens if one.token is not None]
    prices = prices_of(api.runtime.plugins, api.settings, tokens)
    latest = [one.closed_at for one in reached.values()]
    covered = sum(span.last - span.first + 1 for span in known.covered.ranges)
    return Answer(
        StatsModel(
            streams=_counts(found.statuses),
            tokens=[_token(one, found.since, prices.get(one.token or "")) for one in found.tokens],
            tokens_total=found.tokens_known,
            senders=found.senders,
            receivers=found.receivers,
            events=found.events,
            ledgers=IndexedLedgers(first=known.first if served else 0, last=as_of, covered=covered if served else 0),
            as_of=format_close_time(min(latest)) if latest and as_of else None,
            as_of_ledger=as_of,
            complete=complete,
        )
    )


def _read(settings: Settings, database: Database) -> tuple[dict[str, Reached], Statistics, tuple[int, bool]]:
    contracts = stream_contracts(families_in(database, settings))
    reached = reached_in(database, NAME, contracts)
    return reached, read_statistics(database, contracts, reached), extent(database, contracts, reached)


def _counts(statuses: Mapping[Status, int]) -> StatusCounts:
    return StatusCounts(
        total=sum(statuses.values()),
        active=statuses.get(Status.ACTIVE, 0),
        paused=statuses.get(Status.PAUSED, 0),
        completed=statuses.get(Status.COMPLETED, 0),
        canceled=statuses.get(Status.CANCELED, 0),
        archived=statuses.get(Status.ARCHIVED, 0),
    )


def _token(found: TokenTotals, since: int | None, price: TokenPrice | None) -> TokenStats:
    moved = found.moved
    return TokenStats(
        token_address=found.token,
        streams=_counts(found.statuses),
        amount=str(found.sums.amount),
        withdrawn=str(found.sums.withdrawn),
        locked=str(found.sums.held),
        locked_unknown=found.sums.untold,
        volume24h=Volume(
            since=None if since is None else format_close_time(since),
            created=str(moved.created),
            topped_up=str(moved.topped_up),
            withdrawn=str(moved.withdrawn),
        ),
        usd=None if price is None else _worth(found, price),
    )


def _worth(found: TokenTotals, price: TokenPrice) -> Worth:
    return Worth(
        price=f"{price.usd:f}",
        decimals=price.decimals,
        as_of=format_close_time(price.as_of),
        source=price.source,
        locked=str(worth(found.sums.held, price)),
        created=str(worth(found.moved.created, price)),
        topped_up=str(worth(found.moved.topped_up, price)),
        withdrawn=str(worth(found.moved.withdrawn, price)),
    )


ROUTES = (
    Route(
        method="GET",
        path="/stats",
        handler=stats,
        answer=StatsModel,
        tag="statistics",
        summary="Totals by token and status",
        description=(
            "Amounts are in each token's smallest unit, and are never added up over tokens. US dollars are there only "
            "where a plugin gives prices."
        ),
    ),
)
