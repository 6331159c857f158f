"""The invoice of a link as PDF: its terms, never its status, for terms stay and a status does not.

typst sets it. What a link says goes in as data and is never read as markup; the fonts are those that typst brings. The
same terms give the same bytes: the document's date is the link's, and no clock has a say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from hashlib import blake2b
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import orjson
import typst

from stellarstream_core.api.cache import AnswerCache
from stellarstream_core.api.pages.text import visible
from stellarstream_core.api.problems import ApiProblem
from stellarstream_core.api.routes import Answer
from stellarstream_invoice_links.human import amount_text, duration_text, moment_text
from stellarstream_invoice_links.model import Link
from stellarstream_invoice_links.qr import qr_svg
from stellarstream_invoice_links.represent import pay_url
from stellarstream_invoice_links.texts import lines_of
from stellarstream_invoice_links.tokens import TokenFacts

if TYPE_CHECKING:
    from stellarstream_core.api.service import ApiService

MOST_WAITING = 16
"""Invoices that a worker makes or is about to; more are refused at once. It makes one at a time."""
KEPT_BYTES = 8 * 1024 * 1024
"""Invoices that a worker keeps in memory."""
STANDARDS: tuple[Any, ...] = ("a-2a", "ua-1")
"""What an invoice keeps to, for archives and for those who listen to it. Both want every letter drawn."""


class InvoiceBusyError(ApiProblem):
    """So many invoices are being made that this one would take too long."""

    code = "invoice-busy"
    title = "Too many invoices at once"
    status = 503
    retry_after = 2
    help = "Try again after as many seconds as Retry-After says."


@dataclass(frozen=True, slots=True)
class Document:
    """What an invoice says, as the template reads it (JSON), the address in its code, and its date (Unix seconds)."""

    data: bytes
    address: str
    date: int

    @property
    def digest(self) -> str:
        """What tells it from every other document, and from the same one as another release sets it."""
        parts = (self.data, self.address.encode(), b"%d" % self.date, template(), _typesetters())
        return blake2b(b"\0".join(parts), digest_size=12).hexdigest()


# --- what it says -----------------------------------------------------------------------------------


def document_of(link: Link, token: TokenFacts | None, public_url: str) -> Document:
    """Return the invoice of a link. ``token`` None: what the token says of itself is not known."""
    address = pay_url(link, public_url)
    said = {
        "title": f"Invoice {link.slug}",
        "author": link.owner,
        "amount": amount_text(link.terms.amount, None if token is None else token.decimals),
        "symbol": "" if token is None else token.symbol,
        "exactly": _exactly(link.terms.amount, token),
        "rows": _rows(link, token),
        "description": lines_of(link.description or ""),
        "payUrl": address,
    }
    return Document(orjson.dumps(said), address, link.created_at)


def _exactly(amount: int, token: TokenFacts | None) -> str:
    if token is None:
        return f"{amount} in the token's smallest unit; how many of them are a whole token is not known"
    return f"exactly {amount} in the token's smallest unit ({token.decimals} decimals)"


def _rows(link: Link, token: TokenFacts | None) -> list[dict[str, Any]]:
    terms = link.terms
    starts = "When it is paid" if terms.start is None else moment_text(terms.start)
    rows = [
        _row("Receiver", address=terms.receiver),
        _row("Token", address=terms.token, notes=[] if token is None else _called(token)),
        _row("Stream contract", address=terms.contract),
        _row("Duration", duration_text(terms.duration), notes=[f"{terms.duration} seconds"]),
        _row("Starts", starts),
    ]
    if terms.cliff is not None:
        rows.append(_row("Cliff", moment_text(terms.cliff), notes=["nothing is unlocked before"]))
    rows.append(_row("Expires", "Never" if link.expires_at is None else moment_text(link.expires_at)))
    if link.pdf_url is not None:
        rows.append(
            _row("Document", visible(link.pdf_url), notes=["given by whoever made the link, checked by nobody"])
        )
    rows.append(_row("Made by", address=link.owner))
    rows.append(_row("Made", moment_text(link.created_at)))
    return rows


def _row(name: str, text: str = "", *, address: str = "", notes: Sequence[str] = ()) -> dict[str, Any]:
    return {"name": name, "text": text, "address": address, "notes": notes}


def _called(token: TokenFacts) -> list[str]:
    names = [f"{what}: {said}" for what, said in (("symbol", token.symbol), ("name", token.name)) if said]
    return [*names, "a token calls itself what it likes: its address tells which it is"] if names else []


# --- setting it -------------------------------------------------------------------------------------


@cache
def template() -> bytes:
    """Return the template."""
    return files(__package__).joinpath("invoice.typ").read_bytes()


@cache
def _typesetters() -> bytes:
    return f"{version('typst')} {version('segno')}".encode()


class Typesetter:
    """Makes PDFs, one after the other: it must not be used by two threads at a time.

    One compiler gets one document after the other: its fonts are loaded once, and what it computed for those before
    does not pile up, as it can with ``typst.compile``.
    """

    def __init__(self) -> None:
        fonts = typst.Fonts(include_system_fonts=False)
        self._compiler = typst.Compiler(font_paths=fonts, ignore_system_fonts=True)

    def pdf(self, document: Document) -> bytes:
        """Return a document as PDF. Letters that no font has are boxes, and a line says so."""
        try:
            return self._compiled(document, STANDARDS, boxes="no")
        except typst.TypstError:  # one of its letters is in no font
            return self._compiled(document, (), boxes="yes")

    def _compiled(self, document: Document, standards: tuple[Any, ...], boxes: str) -> bytes:
        made = self._compiler.compile(
            template(),
            format="pdf",
            sys_inputs={"data": document.data.decode(), "qr": qr_svg(document.address).decode(), "boxes": boxes},
            pdf_standards=list(standards),
            timestamp=document.date,
        )
        if not isinstance(made, bytes):
            raise TypeError("typst made no PDF")
        return made


class Invoices:
    """The invoices of a worker, made in a thread and kept for a while: ``call.api.part(Invoices)``."""

    def __init__(self, _api: ApiService) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="invoices")
        self._kept = AnswerCache(KEPT_BYTES)
        self._typesetter: Typesetter | None = None
        self._making = 0

    async def pdf(self, document: Document) -> Answer:
        """Return a document as PDF. Raises :class:`InvoiceBusyError` where too many others are waited for."""
        return await self._kept.of(document.digest, partial(self._made, document))

    async def _made(self, document: Document) -> Answer:
        if self._making >= MOST_WAITING:
            raise InvoiceBusyError("Many other invoices are being made.")
        self._making += 1
        try:
            pdf = await asyncio.get_running_loop().run_in_executor(self._thread, self._set, document)
        finally:
            self._making -= 1
        return Answer(pdf, etag=document.digest)

    def _set(self, document: Document) -> bytes:
        if self._typesetter is None:
            self._typesetter = Typesetter()
        try:
            return self._typesetter.pdf(document)
        except Exception:
            raise
        except BaseException as error:  # a panic of typst's; its compiler may be in no state to go on
            self._typesetter = None
            raise RuntimeError(f"typst failed: {error}") from error

    async def close(self) -> None:
        """Make no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
