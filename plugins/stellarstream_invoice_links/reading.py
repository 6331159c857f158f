"""A link as everybody may read it: there, unknown, over, or taken back."""

from __future__ import annotations

from peewee import Database

from stellarstream_core.events import format_close_time
from stellarstream_invoice_links.links import link_by_slug
from stellarstream_invoice_links.model import Link, LinkStatus
from stellarstream_invoice_links.problems import LinkCancelledError, LinkExpiredError, LinkNotFoundError


def open_link(database: Database, slug: str, now: float) -> Link:
    """Return the link of a slug, where everybody may see it at a moment (Unix seconds).

    One that is paid is always there, deleted or not. Raises :class:`LinkNotFoundError` where there is none or it is
    deleted, :class:`LinkExpiredError` and :class:`LinkCancelledError`.
    """
    link = link_by_slug(database, slug)
    status = None if link is None else link.status(now)
    if link is None or (link.deleted_at is not None and status is not LinkStatus.COMPLETED):
        raise LinkNotFoundError("There is no invoice link at this address.")
    if status is LinkStatus.CANCELED:
        raise LinkCancelledError("This invoice link was cancelled by whoever made it.")
    if status is LinkStatus.EXPIRED:
        over = "" if link.expires_at is None else f" at {format_close_time(link.expires_at)}"
        raise LinkExpiredError(f"This invoice link expired{over}.")
    return link


def is_shown(link: Link, now: float) -> bool:
    """Tell whether :func:`open_link` would return a link at a moment."""
    status = link.status(now)
    if status is LinkStatus.COMPLETED:
        return True
    return link.deleted_at is None and status in {LinkStatus.DRAFT, LinkStatus.SIGNED}
