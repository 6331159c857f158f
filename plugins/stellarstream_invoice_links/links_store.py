"""Links in the database: making, finding, cancelling and deleting them.

Functions take a peewee database. Those that write do so inside ``Storage.write``, and each waits for its turn before
it reads: what it decides by is what it changes, whatever other clients do meanwhile. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import uuid4

from peewee import Database, fn

from stellarstream_invoice_links.links import link_by_id, read_links, take_turn
from stellarstream_invoice_links.model import DELETABLE, LEGAL, Link, LinkStatus, LinkTerms
from stellarstream_invoice_links.problems import (
    IllegalMoveError,
    LinkNotFoundError,
    NotDeletableError,
    TooManyLinksError,
)
from stellarstream_invoice_links.settlement import settle_link
from stellarstream_invoice_links.slugs import make_slug
from stellarstream_invoice_links.tables import InvoiceLink as Row
from stellarstream_invoice_links.tables import InvoicePayment as Paid

MOST_TRIES = 8
"""How often another slug is tried. That two clash is as good as impossible, that eight do means a broken generator."""
LOOKED_AT = 5_000
"""Links that a page looks at, at the most: under a filter it may be short, or empty, before the list ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLink:
    """A link that is to be made."""

    owner: str
    terms: LinkTerms
    description: str | None = None
    pdf_url: str | None = None
    expires_at: int | None = None


class Place(NamedTuple):
    """Where a list goes on: behind a link, in the order of the list."""

    created_at: int
    link_id: str


class Found(NamedTuple):
    """A page of links; ``resume`` is where the next one begins, None at the end."""

    links: Sequence[Link]
    resume: Place | None


def insert(database: Database, new: NewLink, now: int, most_open: int, slugs: Callable[[], str] = make_slug) -> Link:
    """Store a link under a slug that no other has, and return it.

    Raises :class:`TooManyLinksError` where its owner has ``most_open`` links open.
    """
    take_turn(database)
    if count_open(database, new.owner, now, most_open) >= most_open:
        raise TooManyLinksError(f"The account {new.owner} has {most_open} open links, as many as one may have.")
    link_id, terms = str(uuid4()), new.terms
    for _ in range(MOST_TRIES):
        made = (
            Row.insert(
                id=link_id,
                slug=slugs(),
                owner=new.owner,
                contract_id=terms.contract,
                family=terms.family,
                receiver=terms.receiver,
                token=terms.token,
                amount=str(terms.amount),
                duration=terms.duration,
                start=terms.start,
                cliff=terms.cliff,
                terms=terms.fingerprint,
                description=new.description,
                pdf_url=new.pdf_url,
                expires_at=new.expires_at,
                created_at=now,
                updated_at=now,
            )
            .on_conflict(action="NOTHING", conflict_target=[Row.slug])
            .returning(Row.id)
        )
        if list(made.tuples().execute(database)):
            return _required(link_by_id(database, link_id))
    raise RuntimeError(f"{MOST_TRIES} new slugs were all taken")


def count_open(database: Database, owner: str, now: int, most: int) -> int:
    """Return how many links of an account are neither paid nor over, at most ``most``."""
    found = 0
    for until in (Row.expires_at.is_null(), Row.expires_at > now):  # each is a stretch of one index
        rows = Row.select(Row.id).where(Row.owner == owner, *_IN_PLAY, until).limit(most - found)
        found += int(Row.select(fn.COUNT(1)).from_(rows).scalar(database))
    return found


def own_link(database: Database, owner: str, ref: str) -> Link:
    """Return a link of an account by its id or its slug.

    Raises :class:`LinkNotFoundError` where there is none, it is somebody else's, or deleted: as if it were not there.
    """
    found = read_links(database, ((Row.id == ref) | (Row.slug == ref)) & (Row.owner == owner))
    if not found or found[0].deleted_at is not None:
        raise LinkNotFoundError("None of your invoice links is this one.")
    return found[0]


def require_move(link: Link, wanted: LinkStatus, now: float) -> None:
    """Raise :class:`IllegalMoveError` where a link cannot be brought to a status by its owner."""
    status = link.status(now)
    legal = LEGAL[status]
    if wanted not in legal:
        told = f"can be set to {' or '.join(legal)}" if legal else "cannot be changed any more"
        raise IllegalMoveError(
            f"The link is {status} and cannot be set to {wanted}: it {told}.", members={"legal": list(legal)}
        )


def cancel(database: Database, owner: str, ref: str, now: int) -> Link:
    """Take a link back, and return it as it is then. One that is taken back already stays as it is.

    Raises :class:`LinkNotFoundError` and :class:`IllegalMoveError`.
    """
    take_turn(database)
    link = own_link(database, owner, ref)
    if link.status(now) is LinkStatus.CANCELED:
        return link
    require_move(link, LinkStatus.CANCELED, now)
    Row.update(canceled_at=now, updated_at=now).where(Row.id == link.id).execute(database)
    settle_link(database, link.id, now=now)
    return _required(link_by_id(database, link.id))


def delete(database: Database, owner: str, ref: str, now: int) -> None:
    """Delete a link: nobody sees it any more, and its slug is never given again.

    Raises :class:`LinkNotFoundError`, and :class:`NotDeletableError` where it is paid or a transaction was submitted.
    """
    take_turn(database)
    link = own_link(database, owner, ref)
    status = link.status(now)
    if status not in DELETABLE:
        raise NotDeletableError(f"The link is {status}.")
    Row.update(deleted_at=now, updated_at=now).where(Row.id == link.id).execute(database)
    settle_link(database, link.id, now=now)


def list_links(
    database: Database,
    owner: str,
    now: int,
    *,
    statuses: Collection[LinkStatus] = (),
    after: Place | None = None,
    limit: int,
) -> Found:
    """Return links of an account, newest first: those in one of the statuses, without any all.

    Deleted ones are among them only where a stream came for them.
    """
    mine = Row.owner == owner
    if after is not None:
        mine &= _behind(after)
    order = (Row.created_at.desc(), Row.id.desc())
    ends = Row.select(Row.created_at, Row.id).where(mine).order_by(*order).offset(LOOKED_AT - 1).limit(1)
    end = next((Place(*row) for row in ends.tuples().execute(database)), None)
    if end is not None:
        mine &= _up_to(end)
    # a value, not EXISTS: PostgreSQL may read all payments beforehand for that one
    paid = Paid.select(Paid.event_id).where(Paid.link_id == Row.id).limit(1)
    shown = mine & (Row.deleted_at.is_null() | (fn.COALESCE(paid, "") != ""))
    if statuses:
        shown &= _any_of([status_is(status, now) for status in sorted(set(statuses))])
    links = read_links(database, shown, order, limit + 1)
    if len(links) > limit:
        last = links[limit - 1]
        return Found(links[:limit], Place(last.created_at, last.id))
    return Found(links, end)


def status_is(status: LinkStatus, now: int) -> Any:
    """Return the condition that a link is in a status at a moment: ``Link.status`` as SQL."""
    if status is LinkStatus.COMPLETED:
        return Row.completed_event.is_null(False)
    if status is LinkStatus.CANCELED:
        return Row.completed_event.is_null() & Row.canceled_at.is_null(False)
    alive = Row.completed_event.is_null() & Row.canceled_at.is_null()
    if status is LinkStatus.EXPIRED:
        return alive & (Row.expires_at <= now)
    alive &= Row.expires_at.is_null() | (Row.expires_at > now)
    return alive & Row.submitted.is_null(status is LinkStatus.DRAFT)


_IN_PLAY = (Row.completed_event.is_null(), Row.canceled_at.is_null(), Row.deleted_at.is_null())
"""The condition of the index ``invoice_links_open``."""


# in both the first condition alone bounds the walk along the index


def _behind(place: Place) -> Any:
    same = Row.created_at == place.created_at
    return (Row.created_at <= place.created_at) & (~same | (Row.id < place.link_id))


def _up_to(place: Place) -> Any:
    same = Row.created_at == place.created_at
    return (Row.created_at >= place.created_at) & (~same | (Row.id >= place.link_id))


def _any_of(conditions: Sequence[Any]) -> Any:
    whole = conditions[0]
    for condition in conditions[1:]:
        whole |= condition
    return whole


def _required(link: Link | None) -> Link:
    if link is None:
        raise RuntimeError("a link that was written is not there")
    return link
