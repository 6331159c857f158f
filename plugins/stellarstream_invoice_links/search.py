"""Links among the results of ``/search``: by slug, by id, and paid ones by their transaction.

Never by address or description: a slug is what its holder was given, and whoever knows whom somebody asks for money
must not get at the slug by that. A transaction finds paid links alone: it is public, and of a link that is still open
it would tell the slug to whoever watches the network.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from peewee import Database

from stellarstream_invoice_links.links import read_links
from stellarstream_invoice_links.model import Link, Outcome
from stellarstream_invoice_links.reading import is_shown
from stellarstream_invoice_links.tables import InvoiceCreation as Creation
from stellarstream_invoice_links.tables import InvoiceLink as Row
from stellarstream_invoice_links.tables import InvoicePayment as Paid
from stellarstream_invoice_links.tables import InvoiceSubmission as Submission
from stellarstream_nebula.hookspecs import SearchQuery, SearchResult

KIND = "invoice-link"
MOST_LOOKED_AT = 100
"""Links of one transaction that are looked at: it makes few streams, each for few links."""
_SLUG = re.compile(r"[0-9A-Za-z]{11,32}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def find_links(database: Database, query: SearchQuery, limit: int) -> Sequence[SearchResult]:
    """Return the links that a search finds: only those that ``GET /invoice-links/{slug}`` shows now."""
    now, text = time.time(), query.text
    found: list[tuple[str, Link]] = []
    if _SLUG.fullmatch(text):
        found += [("slug", link) for link in read_links(database, Row.slug == text)]
    if _ID.fullmatch(text):
        found += [("id", link) for link in read_links(database, Row.id == text)]
    if query.tx_hash is not None:
        found += [("txHash", link) for link in _paid_by(database, query.tx_hash, limit)]
    return [_result(matched, link, now) for matched, link in found if is_shown(link, now)][:limit]


def _paid_by(database: Database, tx_hash: str, limit: int) -> list[Link]:
    """Return paid links that a transaction was submitted for, or whose streams it created.

    Not those of which only their owner says so, nor those that it would fit like others.
    """
    submitted = Submission.select(Submission.link_id).where(
        Submission.tx_hash == tx_hash, Submission.origin == "service"
    )
    paid = (
        Paid.select(Paid.link_id)
        .join(Creation, on=Creation.event_id == Paid.event_id)
        .where(Creation.tx_hash == tx_hash, Paid.outcome != Outcome.AMBIGUOUS)
    )
    # asked for one by one: PostgreSQL would look through every link for one that is among either
    ids = {
        link_id for some in (submitted, paid) for (link_id,) in some.limit(MOST_LOOKED_AT).tuples().execute(database)
    }
    if not ids:
        return []
    wanted = Row.id.in_(sorted(ids)) & Row.completed_event.is_null(False)
    return read_links(database, wanted, (Row.created_at, Row.id), limit)


def _result(matched: str, link: Link, now: float) -> SearchResult:
    # nothing that its maker wrote: a title stands among titles of this service's own
    title = f"Invoice link, {link.status(now).lower()}"
    return SearchResult(KIND, link.id, matched, title, f"/invoice-links/{link.slug}")
