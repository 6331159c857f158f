"""``/openapi.json``: the description of all routes."""

from __future__ import annotations

from stellarstream_core.api.models import Nothing
from stellarstream_core.api.routes import NO_CACHE, Answer, Call, Route


async def openapi(call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """Answer ``GET /openapi.json``."""
    return Answer(call.api.openapi, cache=NO_CACHE)


ROUTES = (
    Route(
        method="GET",
        path="/openapi.json",
        base="",
        handler=openapi,
        any_origin=True,
        hidden=True,
        summary="This description",
    ),
)
