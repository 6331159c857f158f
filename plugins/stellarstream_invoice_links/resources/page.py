"""``/invoice/{slug}``: the pay page, as HTML in every state, and the files it needs."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from stellarstream_core.api.models import Nothing, Parameters
from stellarstream_core.api.pages.static import bundle_of
from stellarstream_core.api.problems import NotFoundError, problem_of
from stellarstream_core.api.resources.pages import StaticPath, static_file
from stellarstream_core.api.routes import NO_STORE, Answer, Call, Route
from stellarstream_core.errors import StellarStreamError
from stellarstream_invoice_links import page
from stellarstream_invoice_links.links import link_by_slug
from stellarstream_invoice_links.model import Link
from stellarstream_invoice_links.page.render import HEADERS, HTML, render
from stellarstream_invoice_links.page.times import LAST
from stellarstream_invoice_links.page.view import Facts, Shown, view_of
from stellarstream_invoice_links.seen import is_slug
from stellarstream_invoice_links.tables import InvoiceCreation as Creation
from stellarstream_invoice_links.tokens import TokenFacts, Tokens
from stellarstream_nebula.tables import NebulaTransaction
from stellarstream_nebula.transactions.store import State

if TYPE_CHECKING:
    from peewee import Database

    from stellarstream_core.api.service import ApiService

TOKEN_SECONDS = 2.0
"""How long a page waits for what a token says of itself, before it shows the amount in its smallest units."""
_GONE = frozenset({Shown.EXPIRED, Shown.CANCELLED})


class PagePath(Parameters):
    """The path of a page."""

    slug: str


async def pay_page(call: Call[PagePath, Nothing, Nothing]) -> Answer:
    """Answer ``GET /invoice/{slug}``. Whatever is the matter with a link, or with the service, it is a page."""
    api, slug = call.api, call.path.slug
    try:
        facts = await _facts(api, slug) if is_slug(slug) else None
    except StellarStreamError as error:
        problem = problem_of(error)
        body = render("failed.html", problem=problem)
        return Answer(body, status=problem.status, cache=NO_STORE, headers={**HEADERS, **problem.headers})
    if facts is None:
        return Answer(render("unknown.html"), status=404, cache=NO_STORE, headers=HEADERS)
    view = view_of(facts)
    status = 410 if view.shown in _GONE else 200
    return Answer(render("pay.html", view=view), status=status, cache=NO_STORE, headers=HEADERS)


async def static(call: Call[StaticPath, Nothing, Nothing]) -> Answer:
    """Answer ``GET /invoice/static/{digest}/{name}``."""
    return static_file(bundle_of(page.__name__), call.path)


async def _facts(api: ApiService, slug: str) -> Facts | None:
    """Return what the page of a link is made of, None where there is none, or a deleted one that is not paid."""
    found = await api.database.run(api.database.storage.read, partial(_read, slug))
    if found is None:
        return None
    link, fate, ran = found
    return Facts(
        link=link,
        token=await _token(api, link.terms.token),
        now=time.time(),
        network=api.settings.network,
        passphrase=api.settings.passphrase,
        fate=fate,
        ran=ran,
    )


def _read(slug: str, database: Database) -> tuple[Link, State | None, tuple[int, int] | None] | None:
    link = link_by_slug(database, slug)
    if link is None or (link.deleted_at is not None and link.completed is None):
        return None
    return link, _fate(database, link.submitted), _ran(database, link)


def _fate(database: Database, tx_hash: str | None) -> State | None:
    """Return what is stored of a transaction's fate; the page's script asks for it again and again."""
    if tx_hash is None:
        return None
    stored = NebulaTransaction.select(NebulaTransaction.status).where(NebulaTransaction.hash == tx_hash)
    return next((State(status) for (status,) in stored.tuples().execute(database)), None)


def _ran(database: Database, link: Link) -> tuple[int, int] | None:
    """Return start and end of the stream that paid a link."""
    if link.completed is None:
        return None
    rows = Creation.select(Creation.start, Creation.end).where(Creation.event_id == link.completed.event_id)
    start, end = next(iter(rows.tuples().execute(database)), (None, None))
    return (start, end) if start is not None and end is not None and start < end <= LAST else None


async def _token(api: ApiService, token: str) -> TokenFacts | None:
    try:
        async with asyncio.timeout(TOKEN_SECONDS):
            return await api.part(Tokens).of(token)
    except (TimeoutError, StellarStreamError):
        return None


ROUTES = (
    Route(
        method="GET",
        path="/invoice/{slug}",
        base="",
        handler=pay_page,
        path_model=PagePath,
        media_type=HTML,
        hidden=True,
        summary="The pay page of an invoice link",
    ),
    Route(
        method="GET",
        path="/invoice/static/{digest}/{name}",
        base="",
        handler=static,
        path_model=StaticPath,
        media_type="application/octet-stream",
        hidden=True,
        limited=False,
        summary="A file of the pay page",
        problems=(NotFoundError,),
    ),
)
