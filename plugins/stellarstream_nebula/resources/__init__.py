"""The API of streams: one module a resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from stellarstream_core.api.routes import Call, Handler, Route
from stellarstream_nebula.families import learn

if TYPE_CHECKING:
    from stellarstream_core.api.service import ApiService

MODULES = ("streams", "audit", "verification", "stats", "search", "yields", "transactions")


def all_routes() -> Sequence[Route]:
    """Return the routes of every resource."""
    routes: list[Route] = [route for name in MODULES for route in import_module(f"{__name__}.{name}").ROUTES]
    return [replace(route, handler=_informed(route.handler), at_start=(_Families, *route.at_start)) for route in routes]


class _Families:
    """Made once a worker: by then the worker knows the stream families that plugins offer."""

    def __init__(self, api: ApiService) -> None:
        learn(api.runtime.plugins)


def _informed(handler: Handler) -> Handler:
    async def handle(call: Call[Any, Any, Any]) -> Any:
        call.api.part(_Families)
        return await handler(call)

    return handle
