"""``/events/live``: events as they are committed, over Server-Sent Events."""

from __future__ import annotations

from typing import Annotated

from aiohttp import hdrs, web
from multidict import CIMultiDict
from pydantic import Field

from stellarstream_core.api.live.filters import EventFilter
from stellarstream_core.api.live.owners import TooManyReadersOfClientError
from stellarstream_core.api.live.positions import LENGTH, MalformedPositionError, parse_position
from stellarstream_core.api.live.stream import MEDIA_TYPE, stream
from stellarstream_core.api.models import Nothing
from stellarstream_core.api.pipeline import CLIENT, add_common_headers
from stellarstream_core.api.problems import NotAcceptableError, TooManyReadersError
from stellarstream_core.api.resources.events import EventFilters
from stellarstream_core.api.routes import Call, Route

LAST_EVENT_ID = "Last-Event-ID"


class LiveQuery(EventFilters):
    """What ``GET /events/live`` takes."""

    since: Annotated[
        str | None,
        Field(
            max_length=LENGTH, description="the last 'id' that was received; a Last-Event-ID header counts before it"
        ),
    ] = None


async def live(call: Call[Nothing, LiveQuery, Nothing]) -> web.StreamResponse:
    """Answer ``GET /events/live``."""
    api, query, request = call.api, call.query, call.request
    if not _accepts_stream(request.headers.get(hdrs.ACCEPT)):
        raise NotAcceptableError(f"This route answers with {MEDIA_TYPE} only.")
    text = request.headers.get(LAST_EVENT_ID) or query.since
    since = parse_position(text) if text else None
    owners = [f"client {request[CLIENT].group}"]
    if call.identity is not None:
        owners.append(f"account {call.identity.account}")
    with api.feed.subscribe(EventFilter.of(query.contracts, query.topics), since, owners) as reader:
        headers: CIMultiDict[str] = CIMultiDict()
        add_common_headers(api, request, call.route, headers)
        api.metrics.reader_opened()
        try:
            return await stream(request, api.feed, reader, headers)
        finally:
            api.metrics.reader_closed()


def _accepts_stream(accept: str | None) -> bool:
    if accept is None:
        return True
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return not kinds.isdisjoint({MEDIA_TYPE, "text/*", "*/*", ""})


ROUTES = (
    Route(
        method="GET",
        path="/events/live",
        handler=live,
        query=LiveQuery,
        media_type=MEDIA_TYPE,
        time_limit=None,
        tag="events",
        summary="Follow events as they are committed",
        description=(
            "Server-Sent Events in the order of commits, so that a gap that is filled late arrives too. 'data' is an "
            "event; 'id' a resume position: send the last one as Last-Event-ID (or ?since=) and what was missed "
            "follows, nothing of it twice. 'event: reset' says that the position belongs to another history; "
            "'event: dropped' and 'event: bye' come before the service ends the stream. A comment comes at least "
            "every 15 seconds."
        ),
        problems=(MalformedPositionError, NotAcceptableError, TooManyReadersError, TooManyReadersOfClientError),
    ),
)
