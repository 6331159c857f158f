"""``POST /invoice-links/{slug}/transaction`` and ``…/submit``: how a link is paid, by anybody and without a login.

Nothing here is anybody's secret: a transaction is built unsigned, for whichever account is named, and what comes back
signed is checked against the link's terms before it is relayed. The link's row of it is written in the transaction
that accepts the envelope, before anything is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeVar

from peewee import Database
from pydantic import AfterValidator, Field

from stellarstream_core.api.auth.identity import Access
from stellarstream_core.api.models import Nothing, OrAbsent, Parameters, Represented
from stellarstream_core.api.routes import BASE, Answer, Call, Route
from stellarstream_core.errors import InvalidStrkeyError
from stellarstream_core.xdr.strkey import account_id_bytes
from stellarstream_invoice_links.links import link_by_slug, take_turn
from stellarstream_invoice_links.model import Link, LinkStatus
from stellarstream_invoice_links.payment_terms import check_terms, creation, last_moment, stream_terms
from stellarstream_invoice_links.problems import (
    LinkCancelledError,
    LinkExpiredError,
    LinkNotFoundError,
    LinkPaidError,
    PaymentUnderWayError,
    SubmittedForAnotherError,
    TermsMismatchError,
)
from stellarstream_invoice_links.reading import open_link
from stellarstream_invoice_links.resources.links import TAG, SlugPath
from stellarstream_invoice_links.sep7 import request_uri
from stellarstream_invoice_links.settings import InvoiceLinkSettings
from stellarstream_invoice_links.submissions import record_submission
from stellarstream_invoice_links.tables import InvoiceSubmission as Submission
from stellarstream_nebula.resources.transaction_models import (
    SECONDS,
    StreamPreview,
    TransactionModel,
    UnsignedTransaction,
    Xdr,
    stream_preview,
    transaction_model,
    unsigned_transaction,
)
from stellarstream_nebula.tables import NebulaTransaction
from stellarstream_nebula.transactions.envelope import Envelope, parsed
from stellarstream_nebula.transactions.errors import (
    BUILD_PROBLEMS,
    CHAIN_PROBLEMS,
    ENVELOPE_PROBLEMS,
    AlreadyAppliedError,
    EnvelopeError,
    TooManyPendingError,
)
from stellarstream_nebula.transactions.preview import created_stream
from stellarstream_nebula.transactions.relay import Fate
from stellarstream_nebula.transactions.service import Transactions
from stellarstream_nebula.transactions.store import State
from stellarstream_nebula.transactions.threads import in_thread

T = TypeVar("T")
LINK_PROBLEMS = (LinkNotFoundError, LinkExpiredError, LinkCancelledError, LinkPaidError)


def _account(text: str) -> str:
    try:
        account_id_bytes(text)
    except InvalidStrkeyError:
        raise ValueError("must be an account (G…)") from None
    return text


class Payer(Parameters):
    """Who is going to pay."""

    account: Annotated[
        str, Field(max_length=128, description="the account (G…) that pays and signs"), AfterValidator(_account)
    ]


class SignedPayment(Parameters):
    """The transaction as the payer's wallet signed it."""

    xdr: Xdr
    alone: Annotated[
        bool,
        Field(description="take it only while no other payment of the link is under way (409 payment-under-way)"),
    ] = False


class PaymentToSignModel(Represented):
    """An unsigned transaction that pays a link."""

    transaction: UnsignedTransaction
    stream: StreamPreview
    sep7_uri: Annotated[str, Field(description="a request to sign it, for a wallet on the same machine (SEP-7)")]
    under_way: Annotated[
        OrAbsent[str],
        Field(description="a transaction for the link that is not known to have failed: paying again may pay twice"),
    ] = None


class SubmittedModel(TransactionModel):
    """What became of a transaction that was submitted for a link, and of the link."""

    link_status: LinkStatus


# --- a transaction to sign ------------------------------------------------------------------------


async def transaction(call: Call[SlugPath, Nothing, Payer]) -> Answer:
    """Answer ``POST /invoice-links/{slug}/transaction``."""
    own, slug, payer, now = call.api.part(Transactions), call.path.slug, call.body.account, int(time.time())
    link, under_way = await _read(call, partial(_to_pay, slug=slug, now=now))
    until = last_moment(link, now)
    (await own.served()).to_create(link.terms.contract)  # it may be served no more
    terms = stream_terms(link, payer, now)
    wanted = creation(link, terms)
    built = await own.builder.build(wanted, payer, until=until)
    state = created_stream(built.simulation, wanted, now)
    uri = await in_thread(
        request_uri,
        built.xdr,
        passphrase=call.api.settings.passphrase,
        callback=f"{call.api.public_url}{BASE}/invoice-links/{slug}/submit",
        payer=payer,
        message=f"Invoice {slug}: a payment stream to {link.terms.receiver}",
        public_url=call.api.public_url,
        key=call.api.settings.section(InvoiceLinkSettings).uri_signing_key,
    )
    return Answer(
        PaymentToSignModel(
            transaction=unsigned_transaction(built, call.api.settings.passphrase),
            stream=stream_preview(wanted, terms, state),
            sep7_uri=uri,
            under_way=under_way,
        )
    )


# --- the signed one -------------------------------------------------------------------------------


async def submit(call: Call[SlugPath, Nothing, SignedPayment]) -> Answer:
    """Answer ``POST /invoice-links/{slug}/submit``."""
    slug, now = call.path.slug, time.time()
    # a form's space is a '+' that the wallet did not encode: base64 has no spaces
    text = call.body.xdr.strip().replace(" ", "+")
    try:
        link = await _read(call, partial(_payable, slug=slug, now=now))
    except (LinkExpiredError, LinkCancelledError, LinkPaidError):
        fate = await _answered_before(call, text)
        if fate is None:
            raise
    else:
        envelope = await in_thread(parsed, text, call.api.settings.passphrase)
        check_terms(link, envelope, now)
        fate = await _submitted(call, text, envelope)
    status = await _read(call, partial(_status, slug=slug, now=time.time()))
    told = transaction_model(fate)
    body = SubmittedModel(**{name: getattr(told, name) for name in TransactionModel.model_fields}, link_status=status)
    return Answer(body, status=202, headers={"Location": f"{BASE}/transactions/{fate.hash}"})


async def _submitted(call: Call[SlugPath, Nothing, SignedPayment], text: str, envelope: Envelope) -> Fate:
    """Relay an envelope for the link. One that the chain has applied already was not submitted for it.

    Unless it was, and comes again.
    """
    noted = partial(_record, slug=call.path.slug, envelope=envelope, alone=call.body.alone)
    again = partial(_is_recorded, slug=call.path.slug, tx_hash=envelope.hash)
    try:
        return await call.api.part(Transactions).submit(text, noted=noted, fresh=not await _read(call, again))
    except AlreadyAppliedError:
        fate = await _answered_before(call, text)  # it came twice at the same time, and the other one was quicker
        if fate is None:
            raise
        return fate


async def _answered_before(call: Call[SlugPath, Nothing, SignedPayment], text: str) -> Fate | None:
    """Return the fate of an envelope that was submitted for the link while it was open, None for any other."""
    try:
        envelope = await in_thread(parsed, text, call.api.settings.passphrase)
    except EnvelopeError:
        return None
    if not await _read(call, partial(_is_recorded, slug=call.path.slug, tx_hash=envelope.hash)):
        return None
    return await call.api.part(Transactions).look(envelope.hash)


# --- the database ---------------------------------------------------------------------------------


async def _read(call: Call[Any, Any, Any], read: Callable[[Database], T]) -> T:
    return await call.api.database.run(call.api.database.storage.read, read)


def _payable(database: Database, slug: str, now: float) -> Link:
    """Return a link that can be paid at a moment. Raises one of :data:`LINK_PROBLEMS`."""
    link = open_link(database, slug, now)
    if link.completed is not None:
        raise LinkPaidError(f"This invoice link is paid: by the stream {link.completed.stream}.")
    return link


def _to_pay(database: Database, slug: str, now: float) -> tuple[Link, str | None]:
    link = _payable(database, slug, now)
    return link, _under_way(database, link.id)


def _status(database: Database, slug: str, now: float) -> LinkStatus:
    link = link_by_slug(database, slug)
    if link is None:
        raise LinkNotFoundError("There is no invoice link at this address.")
    return link.status(now)


def _under_way(database: Database, link_id: str, but: str = "") -> str | None:
    """Return the newest transaction, ``but`` this one, that may pay a link which is not paid yet, or None.

    It waits for a ledger, or it was checked here and is in one whose events are not indexed yet.
    """
    waits = NebulaTransaction.status == State.PENDING
    applied = (NebulaTransaction.status == State.SUCCESS) & (Submission.origin == "service")
    found = (
        Submission.select(Submission.tx_hash)
        .join(NebulaTransaction, on=NebulaTransaction.hash == Submission.tx_hash)
        .where(Submission.link_id == link_id, Submission.tx_hash != but, waits | applied)
        .order_by(Submission.submitted_at.desc(), Submission.tx_hash)
        .limit(1)
    )
    return next((tx_hash for (tx_hash,) in found.tuples().execute(database)), None)


def _is_recorded(database: Database, slug: str, tx_hash: str) -> bool:
    """Tell whether a transaction was relayed for a link."""
    link = link_by_slug(database, slug)
    if link is None:
        return False
    own = (Submission.link_id == link.id) & (Submission.tx_hash == tx_hash) & (Submission.origin == "service")
    return bool(Submission.select().where(own).exists(database))


def _record(database: Database, slug: str, envelope: Envelope, alone: bool) -> None:
    """Record what is accepted in this transaction, unless the link was paid or closed meanwhile by somebody else.

    ``alone``: nor while somebody else's payment is under way. Turns are taken, so of two at once the second is refused.
    """
    take_turn(database)
    if _is_recorded(database, slug, envelope.hash):
        return
    now = int(time.time())
    link = _payable(database, slug, now)
    if alone and (other := _under_way(database, link.id, but=envelope.hash)) is not None:
        raise PaymentUnderWayError(f"The transaction {other} may pay the link already.", members={"txHash": other})
    record_submission(database, link.id, envelope, now)


ROUTES = (
    Route(
        method="POST",
        path="/invoice-links/{slug}/transaction",
        handler=transaction,
        path_model=SlugPath,
        body=Payer,
        answer=PaymentToSignModel,
        access=Access.PUBLIC,
        tag=TAG,
        time_limit=SECONDS,
        summary="Build the transaction that pays a link",
        description="For any account: simulated and prepared, for its wallet to sign. Nothing is sent.",
        problems=(*LINK_PROBLEMS, *BUILD_PROBLEMS),
    ),
    Route(
        method="POST",
        path="/invoice-links/{slug}/submit",
        handler=submit,
        path_model=SlugPath,
        body=SignedPayment,
        form=True,
        answer=SubmittedModel,
        status=202,
        access=Access.PUBLIC,
        any_origin=True,
        tag=TAG,
        time_limit=SECONDS,
        summary="Submit the signed transaction that pays a link",
        description=(
            "Also what a wallet calls back (SEP-7). Only a create_stream with the link's terms is relayed; the same "
            "one again gets the same answer."
        ),
        problems=(
            *LINK_PROBLEMS,
            TermsMismatchError,
            SubmittedForAnotherError,
            PaymentUnderWayError,
            AlreadyAppliedError,
            *CHAIN_PROBLEMS,
            *ENVELOPE_PROBLEMS,
            TooManyPendingError,
        ),
        at_start=(Transactions,),
    ),
)
"""The routes that anybody may pay with."""
