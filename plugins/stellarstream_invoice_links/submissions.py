"""Transactions that were submitted for links: what is written of them, and that it counts at once.

Functions take a peewee database inside ``Storage.write`` and wait for their turn.

What completes a link is never taken from it: a transaction that pays one already is not taken for another. Without
that, whoever hands in somebody else's transaction, which is public, could move its payment.
"""

from __future__ import annotations

from collections.abc import Sequence

from peewee import Database

from stellarstream_invoice_links.arguments import arguments_of, pack
from stellarstream_invoice_links.creations import learn_call
from stellarstream_invoice_links.links import link_by_id, take_turn
from stellarstream_invoice_links.model import COMPLETING, Link
from stellarstream_invoice_links.problems import LinkNotFoundError, SubmittedForAnotherError, TermsMismatchError
from stellarstream_invoice_links.settlement import settle_transaction
from stellarstream_invoice_links.tables import InvoiceCreation as Creation
from stellarstream_invoice_links.tables import InvoiceLink as Row
from stellarstream_invoice_links.tables import InvoicePayment as Paid
from stellarstream_invoice_links.tables import InvoiceSubmission as Submitted
from stellarstream_nebula.transactions.envelope import Envelope


def record_submission(database: Database, link_id: str, envelope: Envelope, now: int) -> None:
    """Note that a transaction went through this service for a link (``now``: Unix seconds), and settle.

    Recording it again changes nothing. Raises :class:`SubmittedForAnotherError` where it is another link's: one that it
    was submitted for, that its memo names, or that it completes; :class:`TermsMismatchError` where it does not pay this
    link's receiver in its token by its contract, and :class:`LinkNotFoundError`.
    """
    take_turn(database)
    link, tx_hash = _link(database, link_id), envelope.hash
    told = arguments_of(envelope.contract, link.terms.family, envelope.function, envelope.arguments)
    asked = (link.terms.contract, link.terms.receiver, link.terms.token)
    if told is None or (told.contract, told.receiver, told.token) != asked:
        raise TermsMismatchError("The transaction does not pay this link's receiver as the link asks.")
    if told.memo is not None and Row.select().where(Row.slug == told.memo, Row.id != link_id).exists(database):
        raise SubmittedForAnotherError("The transaction's memo names another invoice link.")
    _refuse_payment_of_another(database, link_id, tx_hash)
    others = Submitted.select(Submitted.link_id).where(Submitted.tx_hash == tx_hash, Submitted.origin == "service")
    for (other,) in others.tuples().execute(database):
        if other != link_id:
            raise SubmittedForAnotherError("The transaction was submitted for another invoice link.")
        return
    arguments, payer = pack(envelope.arguments), envelope.account
    same = (Submitted.tx_hash == tx_hash) & (Submitted.link_id == link_id)
    # the owner may have named it before; when that was counts
    if (
        not Submitted.update(origin="service", claimed=1, payer=payer, arguments=arguments)
        .where(same)
        .execute(database)
    ):
        Submitted.insert(
            tx_hash=tx_hash, link_id=link_id, origin="service", payer=payer, arguments=arguments, submitted_at=now
        ).execute(database)
    _note(database, link_id, tx_hash, payer, now)
    learn_call(database, tx_hash, (envelope.contract, envelope.function, envelope.arguments))
    settle_transaction(database, tx_hash, now=now)


def claim_transaction(database: Database, link_id: str, tx_hash: str, now: int) -> None:
    """Note that a link's owner names a transaction (64 hex digits) as its payment (``now``: Unix seconds), and settle.

    Raises :class:`SubmittedForAnotherError` where it completes another link, and :class:`LinkNotFoundError`.
    """
    take_turn(database)
    _link(database, link_id)
    _refuse_payment_of_another(database, link_id, tx_hash)
    same = (Submitted.tx_hash == tx_hash) & (Submitted.link_id == link_id)
    known: Sequence[tuple[str | None]] = list(Submitted.select(Submitted.payer).where(same).tuples().execute(database))
    if known:
        Submitted.update(claimed=1).where(same).execute(database)
    else:
        Submitted.insert(tx_hash=tx_hash, link_id=link_id, origin="owner", submitted_at=now, claimed=1).execute(
            database
        )
    _note(database, link_id, tx_hash, known[0][0] if known else None, now)
    settle_transaction(database, tx_hash, now=now)


def _link(database: Database, link_id: str) -> Link:
    link = link_by_id(database, link_id)
    if link is None:
        raise LinkNotFoundError("There is no such invoice link.")
    return link


def _refuse_payment_of_another(database: Database, link_id: str, tx_hash: str) -> None:
    completing = (
        Paid.select()
        .join(Creation, on=Creation.event_id == Paid.event_id)
        .where(Creation.tx_hash == tx_hash, Paid.outcome.in_(sorted(COMPLETING)), Paid.link_id != link_id)
    )
    if completing.exists(database):
        raise SubmittedForAnotherError("The transaction has paid another invoice link.")


def _note(database: Database, link_id: str, tx_hash: str, payer: str | None, now: int) -> None:
    Row.update(submitted=tx_hash, payer=payer, updated_at=now).where(Row.id == link_id).execute(database)
