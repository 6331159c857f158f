"""Invoice links: docs/invoice-links.md says what the fields mean."""

from __future__ import annotations

from nebula_client.models.base import Amount, Model, Named, Time
from nebula_client.models.streams import Stream


class InvoiceLinkStatus(Named):
    """The states of a link."""

    DRAFT = "DRAFT"
    SIGNED = "SIGNED"
    COMPLETED = "COMPLETED"
    EXPIRED = "EXPIRED"
    CANCELED = "CANCELED"


class PaymentOutcome(Named):
    """What a stream is to a link. ``COMPLETED`` and ``OVERPAID`` complete it; the others do not."""

    COMPLETED = "completed"
    OVERPAID = "overpaid"
    UNDERPAID = "underpaid"
    DIFFERENT_TERMS = "different-terms"
    REPEATED = "repeated"
    LATE = "late"
    AFTER_CANCEL = "after-cancel"
    AMBIGUOUS = "ambiguous"
    UNVERIFIED = "unverified"


class MatchedBy(Named):
    """What ties a stream to a link."""

    TRANSACTION = "transaction"
    MEMO = "memo"
    TERMS = "terms"


class InvoiceLink(Model, frozen=True):
    """An invoice link, as everybody sees it who has its slug."""

    id: str
    slug: str
    share_url: str
    pay_url: str
    sender: str
    receiver: str
    amount: Amount
    token_address: str
    duration: int
    start_time: Time | None = None
    cliff_time: Time | None = None
    contract_id: str
    description: str | None = None
    pdf_url: str | None = None
    xdr_params: str
    status: InvoiceLinkStatus
    payer: str | None = None
    tx_hash: str | None = None
    stream_id: str | None = None
    expires_at: Time | None = None
    created_at: Time
    updated_at: Time


class InvoicePayment(Model, frozen=True):
    """A stream on chain that is tied to a link, and what it is to it."""

    event_id: str
    stream_id: str
    tx_hash: str
    ledger: int
    closed_at: Time
    payer: str | None
    gross_amount: Amount | None
    amount: Amount | None
    matched_by: MatchedBy
    outcome: PaymentOutcome


class OwnInvoiceLink(InvoiceLink, frozen=True):
    """An invoice link, as its owner sees it."""

    canceled_at: Time | None = None
    deleted_at: Time | None = None
    payments: list[InvoicePayment]


class InvoiceLinkState(Model, frozen=True):
    """Where a link is, as ``watch_invoice_link`` tells it."""

    status: InvoiceLinkStatus
    tx_hash: str | None = None
    stream_id: str | None = None
    updated_at: Time


class PaidInvoiceLink(Model, frozen=True):
    """A link as its payment left it, ``COMPLETED`` unless it had ended before, and the stream that pays it."""

    link: InvoiceLink
    stream: Stream
