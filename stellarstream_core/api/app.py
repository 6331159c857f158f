"""The aiohttp application: every route behind the pipeline."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from aiohttp import web

from stellarstream_core.api.openapi import describe
from stellarstream_core.api.pipeline import Endpoint, Pipeline
from stellarstream_core.api.resources import (
    authentication,
    description,
    events,
    health,
    live,
    metrics,
    pages,
    rate,
    sync,
)
from stellarstream_core.api.routes import Route
from stellarstream_core.api.service import ApiService
from stellarstream_core.plugins import FAULTS, Plugins

CORE_ROUTES: Sequence[Route] = (
    *events.ROUTES,
    *live.ROUTES,
    *rate.ROUTES,
    *sync.ROUTES,
    *authentication.ROUTES,
    *health.ROUTES,
    *metrics.ROUTES,
    *description.ROUTES,
    *pages.ROUTES,
)
"""The framework's own routes."""

API: web.AppKey[ApiService] = web.AppKey("api", ApiService)
_STREAM = "text/event-stream"


def all_routes(plugins: Plugins) -> tuple[Route, ...]:
    """Return the framework's routes and the plugins'.

    A plugin with a route that is the framework's own, or that cannot be described or added, is taken
    out with everything it offers.
    """
    own = {route.name for route in CORE_ROUTES}
    offered = plugins.routes()
    together = (*CORE_ROUTES, *offered.values())
    each = not _can_be_described(together)  # then one by one, to find whose it is
    broken = False
    for name, route in offered.items():
        try:
            if name in own:
                raise ValueError(f"the route {name} is the framework's own")
            web.UrlDispatcher().add_route(route.method, route.full_path, _no_head)
            if each:
                describe([route], public_url="http://localhost")
        except FAULTS as error:  # whatever is wrong with it, the others are served
            plugins.blame("register_routes", name, error)
            broken = True
    return (*CORE_ROUTES, *plugins.routes().values()) if broken else together


def _can_be_described(routes: Sequence[Route]) -> bool:
    try:
        describe(routes, public_url="http://localhost")
    except FAULTS:
        return False
    return True


def build_app(api: ApiService) -> web.Application:
    """Return the application that answers ``api.routes``."""
    app = web.Application(middlewares=[Pipeline(api).middleware()])
    app[API] = api
    paths = {route.full_path for route in api.routes}
    for route in api.routes:
        handle = Endpoint(api, route).handle
        pattern = _pattern(route.full_path, paths)
        app.router.add_route(route.method, pattern, handle)
        if route.method == "GET":
            # a stream has no end, so there is nothing to say about it without sending it
            app.router.add_route("HEAD", pattern, handle if route.media_type != _STREAM else _no_head)
    return app


def _pattern(path: str, paths: Collection[str]) -> str:
    """Return a path as aiohttp matches it: a placeholder takes no word that another path has in its place.

    So a path without placeholders is preferred for every method, as OpenAPI has it: where ``/streams/{id}`` can be
    read and ``/streams/cancel`` only posted, reading the latter is not allowed, instead of being a stream's id.
    """
    segments = path.split("/")
    for at, segment in enumerate(segments):
        if not (segment.startswith("{") and segment.endswith("}")):
            continue
        here = path.split("/")
        others = [other for other in map(_split, paths) if len(other) == len(here)]
        beside = [other[at] for other in others if other[:at] == here[:at] and other[at + 1 :] == here[at + 1 :]]
        taken = sorted(re.escape(word) for word in beside if not word.startswith("{"))
        if taken:
            segments[at] = f"{segment[:-1]}:(?!(?:{'|'.join(taken)})(?:/|$))[^{{}}/]+}}"
    return "/".join(segments)


def _split(path: str) -> list[str]:
    return path.split("/")


async def _no_head(request: web.Request) -> web.StreamResponse:
    raise web.HTTPMethodNotAllowed(request.method, ["GET"])
