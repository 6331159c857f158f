"""What calls take, as keyword arguments: ``client.create_stream(receiver=…, amount=…)``."""

# annotations are evaluated here: else nobody could tell at run time which arguments may be left out

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Literal, NotRequired, TypeAlias, TypedDict

from nebula_client.models.links import InvoiceLinkStatus
from nebula_client.models.streams import StreamStatus
from nebula_client.models.transactions import Submission

Amount: TypeAlias = str | int
"""A whole number of the token's smallest unit: decimal text or ``int``. Never a ``float``, which would lose digits."""

Moment: TypeAlias = str | datetime
"""RFC 3339 text, or a ``datetime`` with its time zone."""

AnyStreamStatus: TypeAlias = StreamStatus | Literal["ACTIVE", "PAUSED", "COMPLETED", "CANCELED", "ARCHIVED"]

AnyLinkStatus: TypeAlias = InvoiceLinkStatus | Literal["DRAFT", "SIGNED", "COMPLETED", "EXPIRED", "CANCELED"]

Order: TypeAlias = Literal["asc", "desc"]

OnSubmitted: TypeAlias = Callable[[Submission], object | Awaitable[object]]
"""Called before a signed transaction is handed in: keep what it is given, to go on after a crash."""

OnPosition: TypeAlias = Callable[[str], object | Awaitable[object]]
"""Called with a position of a live stream once everything up to it was dealt with."""


class CreateStreamParams(TypedDict):
    """What a stream is to be."""

    receiver: str
    """An account or a contract."""
    amount: Amount
    """What the sender pays, gross, in the token's smallest unit."""
    token_address: str
    """The token's contract (``C…``)."""
    duration: int
    """Seconds from start to end."""
    start_time: NotRequired[Moment | None]
    """Whole seconds; left out: now."""
    cliff_time: NotRequired[Moment | None]
    """Nothing is unlocked before it; left out: the start."""
    yield_enabled: NotRequired[bool | None]
    """Put the money into the token's vault meanwhile; V2 only."""
    contract_id: NotRequired[str | None]
    """Which of the served contracts; left out: the service's default."""
    memo: NotRequired[str | None]
    """1 to 32 of ``A-Z a-z 0-9 _``; V2 only."""


class CreateInvoiceLinkParams(TypedDict):
    """What an invoice link is to ask for. None of it can be changed later."""

    receiver: str
    """Whom the stream pays: an account or a contract."""
    amount: Amount
    """What the payer pays, gross, in the token's smallest unit."""
    token_address: str
    """The token's contract (``C…``)."""
    duration: int
    """Seconds from the stream's start to its end."""
    description: NotRequired[str | None]
    """Plain text for who pays, up to 1,000 characters."""
    pdf_url: NotRequired[str | None]
    """An ``https`` address that is shown to who pays."""
    expires_at: NotRequired[Moment | None]
    """From this moment on the link cannot be paid; left out: it never ends."""
    start_time: NotRequired[Moment | None]
    """Left out: when it is paid."""
    cliff_time: NotRequired[Moment | None]
    """Needs ``start_time``; left out: the start."""
    contract_id: NotRequired[str | None]
    """Which of the served contracts; left out: the service's default."""


class StreamFilter(TypedDict, total=False):
    """Which streams; one is listed where it passes every filter."""

    address: str | None
    """Its sender, receiver or beneficiary."""
    sender: str | None
    receiver: str | None
    token: str | None
    status: AnyStreamStatus | Sequence[AnyStreamStatus] | None
    """One of these."""
    contract: str | Sequence[str] | None
    """One of these."""
    q: str | None
    """Its id, number, memo, one of its addresses, or the hash of a transaction of its."""
    at: Moment | None
    """Amounts and status at this time, by the present terms."""
    limit: int | None
    """How many a page has at the most: 1 to 200."""
    cursor: str | None
    """``next_cursor`` of the page before."""
    offset: int | None
    """How many streams to pass over; not with ``cursor``."""


class EventFilter(TypedDict, total=False):
    """Which contract events."""

    contract: str | Sequence[str] | None
    topic: str | Sequence[str] | None
    """By position: base64 of a ScVal's XDR, or ``*`` for any."""
    tx_hash: str | None
    from_ledger: int | None
    to_ledger: int | None
    order: Order | None
    """``asc``, unless told otherwise."""
    limit: int | None
    cursor: str | None


class LiveFilter(TypedDict, total=False):
    """Which contract events to watch."""

    contract: str | Sequence[str] | None
    topic: str | Sequence[str] | None
    """By position: base64 of a ScVal's XDR, or ``*`` for any."""


class StreamEventFilter(TypedDict, total=False):
    """Which entries of the audit log."""

    contract: str | Sequence[str] | None
    address: str | None
    """Those of streams that it sends, receives or is paid from now."""
    type: str | Sequence[str] | None
    """``event_type``."""
    from_ledger: int | None
    to_ledger: int | None
    order: Order | None
    """``desc``, unless told otherwise."""
    limit: int | None
    cursor: str | None


class InvoiceLinkFilter(TypedDict, total=False):
    """Which of the caller's links."""

    status: AnyLinkStatus | Sequence[AnyLinkStatus] | None
    limit: int | None
    cursor: str | None
