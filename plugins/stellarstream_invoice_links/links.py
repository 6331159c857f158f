"""Links in the database: reading them whole. Functions take a peewee database, inside ``Storage.read`` or ``write``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from peewee import JOIN, Database

from stellarstream_invoice_links.model import Link, LinkTerms, MatchedBy, Outcome, Payment
from stellarstream_invoice_links.tables import InvoiceCreation as Creation
from stellarstream_invoice_links.tables import InvoiceLink as Row
from stellarstream_invoice_links.tables import InvoicePayment as Paid
from stellarstream_invoice_links.tables import InvoiceTurn

MOST_PAYMENTS = 20
"""Payments of one link that are shown, the first ones: anybody may send more."""

TERMS = slice(3, 11)
"""Where a row has a link's terms: behind its id, slug and owner. Who selects columns keeps to that."""
_LINK = (
    Row.id,
    Row.slug,
    Row.owner,
    Row.contract_id,
    Row.family,
    Row.receiver,
    Row.token,
    Row.amount,
    Row.duration,
    Row.start,
    Row.cliff,
    Row.description,
    Row.pdf_url,
    Row.expires_at,
    Row.created_at,
    Row.updated_at,
    Row.canceled_at,
    Row.deleted_at,
    Row.submitted,
    Row.payer,
)
_PAYMENT = (
    Paid.event_id,
    Creation.stream,
    Creation.tx_hash,
    Creation.ledger,
    Creation.closed_at,
    Creation.sender,
    Paid.gross,
    Creation.net,
    Paid.matched_by,
    Paid.outcome,
)


def take_turn(database: Database) -> None:
    """Wait until nobody else settles, and keep them away until this transaction ends.

    First thing in every transaction that settles, or writes what settlement reads (links, submissions, creations): what
    is read after it was committed before.
    """
    InvoiceTurn.update(changes=InvoiceTurn.changes + 1).where(InvoiceTurn.id == 1).execute(database)


def link_by_slug(database: Database, slug: str) -> Link | None:
    """Return the link of a slug, a deleted one too; None where there is none."""
    return next(iter(read_links(database, Row.slug == slug)), None)


def link_by_id(database: Database, link_id: str) -> Link | None:
    """Return a link by its id, a deleted one too; None where there is none."""
    return next(iter(read_links(database, Row.id == link_id)), None)


def read_links(database: Database, condition: Any, order: Sequence[Any] = (), limit: int | None = None) -> list[Link]:
    """Return the links for which a condition holds, each with the payment that completed it."""
    query = (
        Row.select(*_LINK, *_PAYMENT)
        .join(Paid, JOIN.LEFT_OUTER, on=(Paid.link_id == Row.id) & (Paid.event_id == Row.completed_event))
        .join(Creation, JOIN.LEFT_OUTER, on=Creation.event_id == Paid.event_id)
        .where(condition)
    )
    if order:
        query = query.order_by(*order)
    if limit is not None:
        query = query.limit(limit)
    return [_link(row) for row in query.tuples().execute(database)]


def payments_of(database: Database, link_ids: Iterable[str]) -> dict[str, list[Payment]]:
    """Return the payments that are tied to each of the links, in the chain's order, at most :data:`MOST_PAYMENTS`."""
    found: dict[str, list[Payment]] = {}
    for link_id in link_ids:
        rows = (
            Paid.select(*_PAYMENT)
            .join(Creation, on=Creation.event_id == Paid.event_id)
            .where(Paid.link_id == link_id)
            .order_by(Paid.event_id)
            .limit(MOST_PAYMENTS)
        )
        found[link_id] = [_payment(row) for row in rows.tuples().execute(database)]
    return found


def terms_of(row: Sequence[Any]) -> LinkTerms:
    """Return the terms of a row's columns from ``contract_id`` to ``cliff``, in the table's order."""
    contract, family, receiver, token, amount, duration, start, cliff = row
    return LinkTerms(
        contract=contract,
        family=family,
        receiver=receiver,
        token=token,
        amount=int(amount),
        duration=duration,
        start=start,
        cliff=cliff,
    )


def _link(row: Sequence[Any]) -> Link:
    link_id, slug, owner = row[: TERMS.start]
    others = row[TERMS.stop : len(_LINK)]
    description, pdf_url, expires_at, created_at, updated_at, canceled_at, deleted_at, submitted, payer = others
    payment = row[len(_LINK) :]
    return Link(
        id=link_id,
        slug=slug,
        owner=owner,
        terms=terms_of(row[TERMS]),
        description=description,
        pdf_url=pdf_url,
        expires_at=expires_at,
        created_at=created_at,
        updated_at=updated_at,
        canceled_at=canceled_at,
        deleted_at=deleted_at,
        submitted=submitted,
        payer=payer,
        completed=_payment(payment) if payment[0] is not None else None,
    )


def _payment(row: Sequence[Any]) -> Payment:
    event_id, stream, tx_hash, ledger, closed_at, payer, gross, net, matched_by, outcome = row
    return Payment(
        event_id=event_id,
        stream=stream,
        tx_hash=tx_hash,
        ledger=ledger,
        closed_at=closed_at,
        payer=payer,
        gross=None if gross is None else int(gross),
        net=None if net is None else int(net),
        by=MatchedBy(matched_by),
        outcome=Outcome(outcome),
    )
