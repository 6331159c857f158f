"""Links and payments as the API shows them: what everybody may see, and what only the owner does."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from pydantic import Field

from stellarstream_core.api.models import OrAbsent, Represented
from stellarstream_core.events import format_close_time
from stellarstream_invoice_links.model import Link, LinkStatus, MatchedBy, Outcome, Payment

Amount = Annotated[str, Field(pattern=r"^[0-9]+$", description="in the token's smallest unit")]
Time = Annotated[str, Field(description="RFC 3339, UTC")]


class InvoiceLinkModel(Represented):
    """An invoice link, as everybody sees it who has its slug."""

    id: str
    slug: Annotated[str, Field(description="what its addresses end with; letters and digits, capitals matter")]
    share_url: Annotated[str, Field(description="the frontend's page of it")]
    pay_url: Annotated[str, Field(description="this service's own pay page")]
    sender: Annotated[str, Field(description="the account that made the link, which asks to be paid")]
    receiver: Annotated[str, Field(description="whom the stream pays")]
    amount: Annotated[Amount, Field(description="what the payer pays, gross, in the token's smallest unit")]
    token_address: str
    duration: Annotated[int, Field(description="seconds from the stream's start to its end")]
    start_time: Annotated[OrAbsent[Time], Field(description="absent: the stream starts when it is paid")] = None
    cliff_time: Annotated[OrAbsent[Time], Field(description="nothing is unlocked before it; absent: the start")] = None
    contract_id: Annotated[str, Field(description="the contract that holds the stream")]
    description: Annotated[OrAbsent[str], Field(description="plain text, written by whoever made the link")] = None
    pdf_url: Annotated[OrAbsent[str], Field(description="an https address, given by whoever made the link")] = None
    xdr_params: Annotated[
        str,
        Field(
            description=(
                "base64 of JSON with receiver, amount, tokenAddress, duration and startTime (Unix seconds; of a link "
                "that names no start, when it was made)"
            )
        ),
    ]
    status: LinkStatus
    payer: Annotated[OrAbsent[str], Field(description="who paid, or whose transaction was submitted last")] = None
    tx_hash: Annotated[OrAbsent[str], Field(description="the transaction that paid, or was submitted last")] = None
    stream_id: Annotated[OrAbsent[str], Field(description="'id' of the stream that paid: {contractId}-{n}")] = None
    expires_at: OrAbsent[Time] = None
    created_at: Time
    updated_at: Time


class PaymentModel(Represented):
    """A stream on chain that is tied to a link."""

    event_id: Annotated[str, Field(description="the event that created it")]
    stream_id: Annotated[str, Field(description="'id' of the stream: {contractId}-{n}")]
    tx_hash: str
    ledger: int
    closed_at: Time
    payer: str | None
    gross_amount: Annotated[Amount | None, Field(description="what was paid; null while that is not known")]
    amount: Annotated[Amount | None, Field(description="what the stream holds of it, net of the contract's fee")]
    matched_by: Annotated[MatchedBy, Field(description="what ties it to the link")]
    outcome: Annotated[Outcome, Field(description="completed and overpaid complete the link, the others do not")]


class OwnLinkModel(InvoiceLinkModel):
    """An invoice link, as its owner sees it."""

    canceled_at: OrAbsent[Time] = None
    deleted_at: Annotated[
        OrAbsent[Time], Field(description="a deleted link is shown only where a stream came for it")
    ] = None
    payments: Annotated[list[PaymentModel], Field(description="the first streams that came for it, oldest first")]


def link_model(link: Link, public_url: str, frontend_url: str, now: float) -> InvoiceLinkModel:
    """Return what everybody may see of a link at a moment (Unix seconds). The addresses are this service's."""
    return InvoiceLinkModel(**_public(link, public_url, frontend_url, now))


def own_link_model(
    link: Link, payments: Sequence[Payment], public_url: str, frontend_url: str, now: float
) -> OwnLinkModel:
    """Return what the owner sees of a link, with the payments that are tied to it."""
    return OwnLinkModel(
        **_public(link, public_url, frontend_url, now),
        canceled_at=_time(link.canceled_at),
        deleted_at=_time(link.deleted_at),
        payments=[payment_model(payment) for payment in payments],
    )


def payment_model(payment: Payment) -> PaymentModel:
    """Return a payment as the API shows it."""
    return PaymentModel(
        event_id=payment.event_id,
        stream_id=payment.stream,
        tx_hash=payment.tx_hash,
        ledger=payment.ledger,
        closed_at=format_close_time(payment.closed_at),
        payer=payment.payer,
        gross_amount=_amount(payment.gross),
        amount=_amount(payment.net),
        matched_by=payment.by,
        outcome=payment.outcome,
    )


def xdr_params(link: Link) -> str:
    """Return the terms as the frontend reads them: base64 of JSON."""
    terms = link.terms
    told = {
        "receiver": terms.receiver,
        "amount": str(terms.amount),
        "tokenAddress": terms.token,
        "duration": terms.duration,
        "startTime": link.created_at if terms.start is None else terms.start,
    }
    return b64encode(orjson.dumps(told)).decode()


def share_url(link: Link, frontend_url: str) -> str:
    """Return the address of a link's page at the frontend."""
    return f"{frontend_url.rstrip('/')}/invoice/{link.slug}"


def pay_url(link: Link, public_url: str) -> str:
    """Return the address of a link's pay page at this service."""
    return f"{public_url.rstrip('/')}/invoice/{link.slug}"


def _public(link: Link, public_url: str, frontend_url: str, now: float) -> dict[str, Any]:
    terms, paid = link.terms, link.completed
    return {
        "id": link.id,
        "slug": link.slug,
        "share_url": share_url(link, frontend_url),
        "pay_url": pay_url(link, public_url),
        "sender": link.owner,
        "receiver": terms.receiver,
        "amount": str(terms.amount),
        "token_address": terms.token,
        "duration": terms.duration,
        "start_time": _time(terms.start),
        "cliff_time": _time(terms.cliff),
        "contract_id": terms.contract,
        "description": link.description,
        "pdf_url": link.pdf_url,
        "xdr_params": xdr_params(link),
        "status": link.status(now),
        "payer": link.payer if paid is None else paid.payer,
        "tx_hash": link.submitted if paid is None else paid.tx_hash,
        "stream_id": None if paid is None else paid.stream,
        "expires_at": _time(link.expires_at),
        "created_at": format_close_time(link.created_at),
        "updated_at": format_close_time(link.updated_at),
    }


def _amount(value: int | None) -> str | None:
    return None if value is None else str(value)


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else format_close_time(seconds)
