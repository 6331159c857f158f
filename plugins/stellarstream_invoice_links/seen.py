"""What everybody may see of a link that changes: its state and what it was paid by, as it is told to who watches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from peewee import Database

from stellarstream_core.events import format_close_time
from stellarstream_invoice_links.links import read_links
from stellarstream_invoice_links.model import Link, LinkStatus
from stellarstream_invoice_links.problems import LinkNotFoundError
from stellarstream_invoice_links.slugs import ALPHABET
from stellarstream_invoice_links.tables import InvoiceLink

MOST_IN_ONE = 500
"""Links that one statement asks for; a look at more takes several, in one snapshot."""
_LETTERS = frozenset(ALPHABET)


def is_slug(text: str) -> bool:
    """Tell whether a text can be a slug; what cannot is not looked for."""
    return _LETTERS.issuperset(text)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a watcher is told of a link. ``updated_at`` is in Unix seconds."""

    status: LinkStatus
    tx_hash: str | None
    stream_id: str | None
    updated_at: int

    def frame(self) -> bytes:
        """Return it as a Server-Sent Event."""
        told = {"status": self.status.value, "txHash": self.tx_hash, "streamId": self.stream_id}
        present = {name: value for name, value in told.items() if value is not None}
        return _event("status", {**present, "updatedAt": format_close_time(self.updated_at)})


def seen_of(link: Link, now: float) -> Seen | None:
    """Return what everybody may see of a link at a moment; None where it is deleted, and so not there."""
    status, paid = link.status(now), link.completed
    if link.deleted_at is not None and paid is None:
        return None
    return Seen(
        status,
        link.submitted if paid is None else paid.tx_hash,
        None if paid is None else paid.stream,
        link.updated_at,
    )


def seen_in(slugs: Sequence[str], now: float, database: Database) -> dict[str, Seen]:
    """Read the states of links by their slugs, those that are there."""
    found: dict[str, Seen] = {}
    for first in range(0, len(slugs), MOST_IN_ONE):
        for link in read_links(database, InvoiceLink.slug.in_(slugs[first : first + MOST_IN_ONE])):
            seen = seen_of(link, now)
            if seen is not None:
                found[link.slug] = seen
    return found


def _event(event: str, body: dict[str, str]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.encode(), orjson.dumps(body))


def gone() -> bytes:
    """Return the last word to who watches a link that is not there any more."""
    return _event("gone", {"code": LinkNotFoundError.code, "detail": "The link was deleted."})
