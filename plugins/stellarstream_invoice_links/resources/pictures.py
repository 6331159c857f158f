"""``/invoice-links/{slug}/qr.svg``, ``/qr.png`` and ``/invoice.pdf``: a link to scan, and to print."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Any

import segno
from aiohttp import hdrs
from pydantic import Field

from stellarstream_core.api.models import Nothing, Parameters
from stellarstream_core.api.routes import Answer, Call, Route
from stellarstream_invoice_links.invoice_pdf import InvoiceBusyError, Invoices, document_of
from stellarstream_invoice_links.model import Link
from stellarstream_invoice_links.problems import LinkCancelledError, LinkExpiredError, LinkNotFoundError
from stellarstream_invoice_links.qr import LARGEST, SMALLEST, USUAL, qr_png, qr_svg
from stellarstream_invoice_links.reading import open_link
from stellarstream_invoice_links.represent import pay_url
from stellarstream_invoice_links.resources.links import TAG, SlugPath
from stellarstream_invoice_links.tokens import Tokens

if TYPE_CHECKING:
    from stellarstream_core.api.service import ApiService

SVG, PNG, PDF = "image/svg+xml", "image/png", "application/pdf"
CSP = "default-src 'none'; sandbox; frame-ancestors 'none'"
"""What an SVG that is opened by itself may do: be looked at. Chromium shows no PDF that comes with ``sandbox``."""


class PictureQuery(Parameters):
    """What a PNG takes."""

    size: Annotated[
        int,
        Field(ge=SMALLEST, le=LARGEST, description="pixels a side at most; each module is a whole number of them"),
    ] = USUAL


async def svg(call: Call[SlugPath, Nothing, Nothing]) -> Answer:
    """Answer ``GET /invoice-links/{slug}/qr.svg``."""
    return await _code(call, "svg", qr_svg)


async def png(call: Call[SlugPath, PictureQuery, Nothing]) -> Answer:
    """Answer ``GET /invoice-links/{slug}/qr.png``."""
    return await _code(call, f"{call.query.size}.png", partial(qr_png, size=call.query.size))


async def pdf(call: Call[SlugPath, Nothing, Nothing]) -> Answer:
    """Answer ``GET /invoice-links/{slug}/invoice.pdf``."""
    api = call.api
    link = await _link(api, call.path.slug)
    document = document_of(link, await api.part(Tokens).of(link.terms.token), api.public_url)
    call.unless_unchanged(document.digest)
    made = await api.part(Invoices).pdf(document)
    return Answer(made.body, etag=made.etag, headers=_headers(link, "pdf"))


async def _code(call: Call[SlugPath, Any, Nothing], kind: str, draw: Callable[[str], bytes]) -> Answer:
    """Answer with the code of a link's pay page; drawing takes milliseconds, so that it is done once in a thread."""
    link = await _link(call.api, call.path.slug)
    address = pay_url(link, call.api.public_url)
    tag = blake2b(f"{segno.__version__} {kind} {address}".encode(), digest_size=12).hexdigest()
    call.unless_unchanged(tag)

    async def make() -> Answer:
        return Answer(await asyncio.to_thread(draw, address), etag=tag)

    made = await call.api.kept.of(tag, make)
    return Answer(made.body, etag=tag, headers=_headers(link, kind.rpartition(".")[2]))


async def _link(api: ApiService, slug: str) -> Link:
    """Return a link that is open or paid. Raises the problems of the routes."""
    return await api.database.run(api.database.storage.read, partial(open_link, slug=slug, now=time.time()))


def _headers(link: Link, ending: str) -> dict[str, str]:
    """Return what goes with a picture: sites may show it, and it gets no rights by that."""
    headers = {
        hdrs.CONTENT_DISPOSITION: f'inline; filename="invoice-{link.slug}.{ending}"',
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Referrer-Policy": "no-referrer",
    }
    return headers | {"Content-Security-Policy": CSP} if ending == "svg" else headers


_PROBLEMS = (LinkNotFoundError, LinkExpiredError, LinkCancelledError)
_WHERE = "It holds the address of the pay page, 'payUrl'. Black on white, with the quiet zone around it."

ROUTES = (
    Route(
        method="GET",
        path="/invoice-links/{slug}/qr.svg",
        handler=svg,
        path_model=SlugPath,
        media_type=SVG,
        tag=TAG,
        summary="An invoice link as a QR code, SVG",
        description=_WHERE,
        problems=_PROBLEMS,
    ),
    Route(
        method="GET",
        path="/invoice-links/{slug}/qr.png",
        handler=png,
        path_model=SlugPath,
        query=PictureQuery,
        media_type=PNG,
        tag=TAG,
        summary="An invoice link as a QR code, PNG",
        description=_WHERE,
        problems=_PROBLEMS,
    ),
    Route(
        method="GET",
        path="/invoice-links/{slug}/invoice.pdf",
        handler=pdf,
        path_model=SlugPath,
        media_type=PDF,
        tag=TAG,
        summary="The invoice of a link, PDF",
        description=(
            "Its terms, its description and the code of its pay page; not its status, which changes. The same terms "
            "give the same bytes. While the token does not tell its decimals, the amount is in its smallest unit."
        ),
        problems=(*_PROBLEMS, InvoiceBusyError),
    ),
)
"""The routes of pictures."""
