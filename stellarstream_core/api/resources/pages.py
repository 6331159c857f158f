"""The pages: ``/``, ``/docs``, ``/docs/problems``, and the files they need."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import time
from typing import Annotated, Any

from aiohttp import hdrs
from pydantic import Field

from stellarstream_core.api.models import Nothing, Parameters
from stellarstream_core.api.pages.dashboard import REASONS, SHOWN_CONTRACTS, Facts, database_kind, view_of
from stellarstream_core.api.pages.events import BLANK, event_rows
from stellarstream_core.api.pages.problems import problem_page, problems_page
from stellarstream_core.api.pages.reference import reference_page
from stellarstream_core.api.pages.render import HEADERS, HTML, render
from stellarstream_core.api.pages.static import Bundle, bundle
from stellarstream_core.api.problems import NotFoundError, Problem, TimedOutError, problem_of
from stellarstream_core.api.resources.health import read_readiness
from stellarstream_core.api.resources.rate import read_minutes
from stellarstream_core.api.routes import FOR_EVER, NO_CACHE, NO_STORE, Answer, Call, Route
from stellarstream_core.api.service import ApiService
from stellarstream_core.api.sync_model import SyncModel, source_model
from stellarstream_core.errors import StellarStreamError
from stellarstream_core.events import ContractEvent
from stellarstream_core.storage import EventQuery

SHOWN_EVENTS = 20
READ_SECONDS = 8.0
"""How long a page waits for the database and the sources before it says that they do not answer."""


class StaticPath(Parameters):
    """The path of a file: the digest of all files of the release, and its name."""

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]
    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}\.[a-z]{1,8}$")]


class ProblemPath(Parameters):
    """The path of a problem's page."""

    code: Annotated[str, Field(max_length=64)]


# --- the dashboard --------------------------------------------------------------------------------


async def dashboard(call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """Answer ``GET /``: the dashboard as of now. Also with a database that cannot be read it is a page."""
    api = call.api
    # read before the events: what is committed meanwhile arrives twice rather than never
    since = str(api.feed.now or "")
    facts, events = await asyncio.gather(_facts(api), _latest(api))
    return await _dashboard(
        facts,
        "dashboard.html",
        here="dashboard",
        events=None if events is None else event_rows(events),
        blank=BLANK,
        since=since,
    )


async def state(call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """Answer ``GET /dashboard/state``: the parts of the dashboard that change, as HTML."""
    return await _dashboard(await _facts(call.api), "fragment.html")


_WORDS: dict[str, Any] = {"reasons": REASONS, "shown_contracts": SHOWN_CONTRACTS}


async def _dashboard(facts: Facts, template: str, **context: Any) -> Answer:
    # in a thread: with many gaps it takes milliseconds, and every open page asks every few seconds
    body = await asyncio.to_thread(lambda: render(template, view=view_of(facts), **context, **_WORDS))
    problem = facts.problem
    headers = HEADERS if problem is None else {**HEADERS, **problem.headers}
    return Answer(body, status=200 if problem is None else problem.status, cache=NO_STORE, headers=headers)


async def _facts(api: ApiService) -> Facts:
    readiness, (sync, problem) = await asyncio.gather(read_readiness(api), _sync(api))
    settings = api.settings
    cluster = await asyncio.to_thread(api.cluster.read) if api.cluster is not None else None
    sources = () if sync else [source_model(one) for one in await api.sources.look()]
    return Facts(
        network=settings.network,
        database=database_kind(settings.database_url),
        contracts=settings.contracts,
        plugins=sorted(api.runtime.plugins.all, key=lambda plugin: plugin.state != "broken"),
        now=time(),
        sync=sync,
        problem=problem,
        readiness=readiness,
        minutes=read_minutes(api, sync.as_of_ledger if sync else 0),
        sources=sources,
        cluster=cluster,
    )


async def _sync(api: ApiService) -> tuple[SyncModel | None, Problem | None]:
    """Return how far the database is, or the problem that keeps it from being told."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            return (await api.sync.read()).model, None
    except TimeoutError:
        return None, problem_of(TimedOutError(f"The database did not answer within {READ_SECONDS:g} seconds."))
    except StellarStreamError as error:
        return None, problem_of(error)


async def _latest(api: ApiService) -> Sequence[ContractEvent] | None:
    """Return the newest events, None where they cannot be read."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            page = await api.database.run(api.database.storage.find_events, EventQuery(descending=True), SHOWN_EVENTS)
    except (TimeoutError, StellarStreamError):
        return None
    return page.events


# --- the documentation ----------------------------------------------------------------------------


async def reference(call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """Answer ``GET /docs``."""
    return _page(reference_page(call.api.openapi))


async def problems(call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """Answer ``GET /docs/problems``."""
    return _page(problems_page(call.api.routes))


async def problem(call: Call[ProblemPath, Nothing, Nothing]) -> Answer:
    """Answer ``GET /docs/problems/{code}``."""
    body = problem_page(call.path.code, call.api.routes, call.api.public_url, call.api.openapi)
    if body is None:
        raise NotFoundError("There is no problem of this code.", help="All of them are listed at /docs/problems.")
    return _page(body)


def _page(body: bytes) -> Answer:
    return Answer(body, cache=NO_CACHE, headers=HEADERS)


# --- files ----------------------------------------------------------------------------------------


async def static(call: Call[StaticPath, Nothing, Nothing]) -> Answer:
    """Answer ``GET /static/{digest}/{name}``."""
    return static_file(bundle(), call.path)


def static_file(files: Bundle, path: StaticPath) -> Answer:
    """Answer with a file of a bundle, for whichever page it is.

    While releases change, a page of one may ask a worker of the other: it gets the file that is
    there, and keeps it for as long as it is right only. Raises ``NotFoundError``.
    """
    found = files.files.get(path.name)
    if found is None:
        raise NotFoundError("There is no such file.")
    return Answer(
        found.body,
        cache=FOR_EVER if path.digest == files.digest else NO_CACHE,
        headers={hdrs.CONTENT_TYPE: found.media_type, "Cross-Origin-Resource-Policy": "same-origin"},
    )


async def favicon(_call: Call[Nothing, Nothing, Nothing]) -> Answer:
    """Answer ``GET /favicon.ico``, which browsers ask for beside answers that are no pages."""
    found = bundle().files["icon.svg"]
    return Answer(found.body, cache="public, max-age=86400", headers={hdrs.CONTENT_TYPE: found.media_type})


ROUTES = (
    Route(method="GET", path="/", base="", handler=dashboard, media_type=HTML, hidden=True, summary="The dashboard"),
    Route(
        method="GET",
        path="/dashboard/state",
        base="",
        handler=state,
        media_type=HTML,
        hidden=True,
        summary="The dashboard's parts that change",
    ),
    Route(
        method="GET", path="/docs", base="", handler=reference, media_type=HTML, hidden=True, summary="The API's pages"
    ),
    Route(
        method="GET",
        path="/docs/problems",
        base="",
        handler=problems,
        media_type=HTML,
        hidden=True,
        summary="All problems",
    ),
    Route(
        method="GET",
        path="/docs/problems/{code}",
        base="",
        handler=problem,
        path_model=ProblemPath,
        media_type=HTML,
        hidden=True,
        summary="One problem",
        problems=(NotFoundError,),
    ),
    Route(
        method="GET",
        path="/favicon.ico",
        base="",
        handler=favicon,
        media_type="image/svg+xml",
        hidden=True,
        limited=False,
        summary="The pages' picture",
    ),
    Route(
        method="GET",
        path="/static/{digest}/{name}",
        base="",
        handler=static,
        path_model=StaticPath,
        media_type="application/octet-stream",
        hidden=True,
        limited=False,
        summary="A file of the pages",
        problems=(NotFoundError,),
    ),
)
