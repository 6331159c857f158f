"""What ``/metrics`` tells of links and payments."""

from __future__ import annotations

from collections.abc import Iterable

from peewee import SQL, Case, Database, fn

from stellarstream_core.hookspecs import GaugeSpec
from stellarstream_invoice_links.links_store import status_is
from stellarstream_invoice_links.model import LinkStatus, Outcome
from stellarstream_invoice_links.tables import InvoiceLink as Row
from stellarstream_invoice_links.tables import InvoicePayment as Paid

Samples = Iterable[tuple[tuple[str, ...], float]]


def count_links(database: Database, now: float) -> Samples:
    """Yield how many links are in each status; deleted ones do not count."""
    status = Case(None, [(status_is(one, int(now)), str(one)) for one in LinkStatus])
    query = Row.select(status, fn.COUNT(Row.id)).where(Row.deleted_at.is_null()).group_by(SQL("1"))
    found = dict(query.tuples().execute(database))
    return [((str(one),), found.get(str(one), 0)) for one in LinkStatus]


def count_payments(database: Database, now: float) -> Samples:
    """Yield how many streams came to links with each outcome."""
    query = Paid.select(Paid.outcome, fn.COUNT(Paid.link_id)).group_by(Paid.outcome)
    found = dict(query.tuples().execute(database))
    return [((str(one),), found.get(str(one), 0)) for one in Outcome]


GAUGES = (
    GaugeSpec("invoice_links", "Invoice links that are not deleted, by status.", ("status",), count_links),
    GaugeSpec("invoice_payments", "Streams that came to invoice links, by outcome.", ("outcome",), count_payments),
)
"""The gauges of the plugin."""
