"""Links and payments as values: what a link asks for, what the chain holds for it, and what state that makes.

Times are Unix seconds, amounts integers in the token's smallest unit. A link's status is never stored: it follows
from what happened to it (submitted, cancelled, paid) and from the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

CLOCK_SECONDS = 60
"""How far the service's clock and the ledgers' may differ, where a payment is held against a link's creation."""
SKEW_SECONDS = 10
"""How far the service's clock may be ahead of the ledgers' where equal terms alone tie a payment to a link: a link that
was made when a ledger had closed must not get what that ledger holds."""
LATEST_START_SECONDS = 3600
"""How long after its ledger a stream may start where the link names no start: nobody is paid by one in ten years."""


class LinkStatus(StrEnum):
    """The states of a link."""

    DRAFT = "DRAFT"
    """Made; nothing was submitted for it."""
    SIGNED = "SIGNED"
    """A transaction for it was submitted. It may have failed: another one may follow."""
    COMPLETED = "COMPLETED"
    """Its stream is on chain. Final."""
    EXPIRED = "EXPIRED"
    """Its time passed without a payment. A payment in time that is indexed later still completes it."""
    CANCELED = "CANCELED"
    """Its owner took it back. A payment from before, indexed later, still completes it."""


class MatchedBy(StrEnum):
    """What ties a stream to a link."""

    TRANSACTION = "transaction"
    """Its transaction was submitted for the link."""
    MEMO = "memo"
    """Its memo is the link's slug (V2)."""
    TERMS = "terms"
    """The arguments of its transaction are the link's terms, and no other open link's."""


class Outcome(StrEnum):
    """What a payment is to its link. ``COMPLETED`` and ``OVERPAID`` complete it; the others do not."""

    COMPLETED = "completed"
    OVERPAID = "overpaid"
    """More than was asked, and all else as asked."""
    UNDERPAID = "underpaid"
    """Less than was asked. Several of these do not add up: each is a stream of its own."""
    DIFFERENT_TERMS = "different-terms"
    """It names the link and pays its receiver in its token, but the stream is another one than was asked for."""
    REPEATED = "repeated"
    """An earlier payment completed the link."""
    LATE = "late"
    """Its ledger closed when the link's time was over."""
    AFTER_CANCEL = "after-cancel"
    """Its ledger closed when the owner had taken the link back."""
    AMBIGUOUS = "ambiguous"
    """It fits several links, and tells none of them."""
    UNVERIFIED = "unverified"
    """It names the link, but its transaction's arguments could not be read (yet)."""


COMPLETING = frozenset({Outcome.COMPLETED, Outcome.OVERPAID})


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTerms:
    """What a link asks for. They never change.

    ``contract`` is where the stream is to be created, ``family`` how that is called. ``amount`` is what the payer
    pays, gross. ``start`` and ``cliff`` are None where the stream starts when it is paid.
    """

    contract: str
    family: str
    receiver: str
    token: str
    amount: int
    duration: int
    start: int | None = None
    cliff: int | None = None

    @property
    def fingerprint(self) -> str:
        """A digest (64 hex digits) that links with the same terms share."""
        parts = (self.contract, self.receiver, self.token, self.amount, self.duration, self.start, self.cliff)
        return sha256("|".join("" if part is None else str(part) for part in parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A stream on chain that is tied to a link.

    ``stream`` is the stream's key (``C…-7``), ``gross`` what the payer paid, None while its transaction's arguments
    are not known; ``net`` what the stream holds of it.
    """

    event_id: str
    stream: str
    tx_hash: str
    ledger: int
    closed_at: int
    payer: str | None
    gross: int | None
    net: int | None
    by: MatchedBy
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link with what happened to it.

    ``owner`` is the account that made it. ``submitted`` is the hash of the transaction that was submitted last, and
    ``payer`` who is its source; ``completed`` the payment that completed it.
    """

    id: str
    slug: str
    owner: str
    terms: LinkTerms
    created_at: int
    updated_at: int
    description: str | None = None
    pdf_url: str | None = None
    expires_at: int | None = None
    canceled_at: int | None = None
    deleted_at: int | None = None
    submitted: str | None = None
    payer: str | None = None
    completed: Payment | None = None

    def status(self, now: float) -> LinkStatus:
        """Return the state at a moment (Unix seconds). Reading it changes nothing."""
        if self.completed is not None:
            return LinkStatus.COMPLETED
        if self.canceled_at is not None:
            return LinkStatus.CANCELED
        if self.expires_at is not None and now >= self.expires_at:
            return LinkStatus.EXPIRED
        return LinkStatus.DRAFT if self.submitted is None else LinkStatus.SIGNED


LEGAL: dict[LinkStatus, tuple[LinkStatus, ...]] = {
    LinkStatus.DRAFT: (LinkStatus.SIGNED, LinkStatus.CANCELED),
    LinkStatus.SIGNED: (LinkStatus.SIGNED, LinkStatus.CANCELED),
    LinkStatus.COMPLETED: (),
    LinkStatus.EXPIRED: (),
    LinkStatus.CANCELED: (),
}
"""What a link's owner may set from each state. COMPLETED and EXPIRED come from chain and clock alone."""
DELETABLE = frozenset({LinkStatus.DRAFT, LinkStatus.EXPIRED, LinkStatus.CANCELED})
