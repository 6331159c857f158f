"""``/events/rate``: how many events closed in each of the last minutes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stellarstream_core.api.minutes import KEPT_MINUTES, Minute
from stellarstream_core.api.models import Nothing, Parameters, Represented
from stellarstream_core.api.routes import NO_CACHE, Answer, Call, Route
from stellarstream_core.api.service import ApiService
from stellarstream_core.events import format_close_time

DEFAULT_MINUTES = 60


class RateQuery(Parameters):
    """What ``GET /events/rate`` takes."""

    minutes: Annotated[int, Field(ge=1, le=KEPT_MINUTES, description="how many minutes")] = DEFAULT_MINUTES


class MinuteModel(Represented):
    """One minute."""

    start: Annotated[str, Field(description="when the minute begins, by the ledgers' close times")]
    events: Annotated[int, Field(ge=0)]


class RateModel(Represented):
    """Events of the last minutes."""

    minutes: Annotated[
        list[MinuteModel],
        Field(
            description="oldest first, up to the moment for which the database speaks; fewer than asked for where "
            "this worker has not counted as far back"
        ),
    ]
    as_of_ledger: Annotated[int, Field(ge=0, description="the last ledger up to which nothing is missing")]


async def rate(call: Call[Nothing, RateQuery, Nothing]) -> Answer:
    """Answer ``GET /events/rate``."""
    api = call.api
    known = await api.known()
    minutes = read_minutes(api, known.as_of, call.query.minutes)
    return Answer(
        RateModel(
            minutes=[MinuteModel(start=format_close_time(one.start), events=one.events) for one in minutes],
            as_of_ledger=known.as_of,
        ),
        cache=NO_CACHE,
    )


def read_minutes(api: ApiService, as_of: int, minutes: int = DEFAULT_MINUTES) -> list[Minute]:
    """Return the last minutes up to about when the ledger ``as_of`` closed, or the newest event's where later."""
    return api.minutes.last(minutes, _closed_about(api, as_of))


def _closed_about(api: ApiService, ledger: int) -> float | None:
    """Return about when a ledger closed, reckoned back from the tip; None where the tip is not known."""
    reach = api.sources.tip.reach
    if not ledger or reach is None or reach.latest_closed_at is None:
        return None
    behind = max(reach.latest - ledger, 0)
    if behind and not reach.ledger_seconds:
        return None
    return reach.latest_closed_at - behind * (reach.ledger_seconds or 0.0)


ROUTES = (
    Route(
        method="GET",
        path="/events/rate",
        handler=rate,
        query=RateQuery,
        answer=RateModel,
        tag="events",
        summary="Events a minute",
        description="Events by the minute in which their ledgers closed. A ledger filled in late counts in its minute.",
    ),
)
