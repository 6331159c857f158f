"""What the pay page shows of a link, worked out: every word that depends on it, so that templates only place them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from stellarstream_core.api.pages.text import visible
from stellarstream_core.events import format_close_time
from stellarstream_core.settings import NETWORKS
from stellarstream_invoice_links.human import duration_text
from stellarstream_invoice_links.model import Link, LinkStatus, Outcome
from stellarstream_invoice_links.page.chart import Schedule, percent_text, schedule, unlocked_percent
from stellarstream_invoice_links.page.money import DAY, HOUR, MINUTE, Money, money_of, rate_of
from stellarstream_invoice_links.page.times import Time, time_of
from stellarstream_invoice_links.texts import lines_of
from stellarstream_invoice_links.tokens import TokenFacts
from stellarstream_nebula.transactions.store import State


class Shown(StrEnum):
    """The states of the page. Those of a link, but that one whose transaction failed is open again."""

    OPEN = "open"
    UNDER_WAY = "under-way"
    PAID = "paid"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a page is made of.

    ``fate`` is what is stored of the transaction that was submitted last, None where nothing is. ``ran`` are start and
    end (Unix seconds) of the stream that paid, as far as they are known. ``now`` is Unix seconds.
    """

    link: Link
    token: TokenFacts | None
    now: float
    network: str
    passphrase: str
    fate: State | None = None
    ran: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Outside:
    """A link that leads away: where to, and whose it is."""

    url: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How a link was paid. ``paid`` and ``streamed`` are None where they are not known."""

    payer: str | None
    stream: str
    tx_hash: str
    ledger: int
    at: Time
    paid: Money | None
    streamed: Money | None
    more_than_asked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The page of a link, in any of its states."""

    slug: str
    shown: Shown
    status: LinkStatus
    title: str
    amount: Money
    known_token: bool
    decimals: int | None
    symbol: str
    token: str
    token_name: str
    contract: str
    receiver: str
    owner: str
    duration: str
    rate: str | None
    start: Time | None
    cliff: Time | None
    end: Time | None
    already: str | None
    description: Sequence[str]
    pdf: Outside | None
    expires: Time | None
    expires_in: str | None
    created: Time
    cancelled: Time | None
    tx_hash: str | None
    payer: str | None
    in_ledger: bool
    failed: bool
    receipt: Receipt | None
    chart: Schedule
    network: str
    passphrase: str
    is_test: bool
    updated_at: str


def view_of(facts: Facts) -> View:
    """Return what the page of a link shows."""
    link, terms, token, now = facts.link, facts.link.terms, facts.token, facts.now
    status = link.status(now)
    shown = _shown(status, facts.fate)
    amount = money_of(terms.amount, token)
    start, end, cliff = terms.start, None, terms.cliff
    if facts.ran is not None:
        start, end = facts.ran
    elif start is not None:
        end = start + terms.duration
    return View(
        slug=link.slug,
        shown=shown,
        status=status,
        title=_title(shown, amount),
        amount=amount,
        known_token=token is not None,
        decimals=None if token is None else token.decimals,
        symbol="" if token is None else visible(token.symbol),
        token=terms.token,
        token_name="" if token is None else _name(token),
        contract=terms.contract,
        receiver=terms.receiver,
        owner=link.owner,
        duration=duration_text(terms.duration),
        rate=rate_of(terms.amount, terms.duration, token),
        start=_time(start),
        cliff=_time(cliff),
        end=_time(end),
        already=_already(facts) if shown is not Shown.PAID else None,
        description=() if link.description is None else lines_of(link.description),
        pdf=_outside(link.pdf_url),
        expires=_time(link.expires_at),
        expires_in=_until(link.expires_at, now),
        created=time_of(link.created_at),
        cancelled=_time(link.canceled_at),
        tx_hash=link.submitted,
        payer=link.payer,
        in_ledger=facts.fate is State.SUCCESS,
        failed=status is LinkStatus.SIGNED and facts.fate is State.FAILED,
        receipt=_receipt(link, token),
        chart=schedule(_length(start, end, terms.duration), start, cliff, now if _is_running(shown) else None),
        network=_network(facts.network, facts.passphrase),
        passphrase=facts.passphrase,
        is_test=facts.passphrase != NETWORKS["pubnet"].passphrase,
        updated_at=format_close_time(link.updated_at),
    )


def _shown(status: LinkStatus, fate: State | None) -> Shown:
    if status is LinkStatus.SIGNED:
        return Shown.OPEN if fate is State.FAILED else Shown.UNDER_WAY
    return {
        LinkStatus.DRAFT: Shown.OPEN,
        LinkStatus.COMPLETED: Shown.PAID,
        LinkStatus.EXPIRED: Shown.EXPIRED,
        LinkStatus.CANCELED: Shown.CANCELLED,
    }[status]


def _is_running(shown: Shown) -> bool:
    return shown not in {Shown.EXPIRED, Shown.CANCELLED}


def _title(shown: Shown, amount: Money) -> str:
    words = {
        Shown.OPEN: "Pay",
        Shown.UNDER_WAY: "Under way:",
        Shown.PAID: "Paid:",
        Shown.EXPIRED: "Expired:",
        Shown.CANCELLED: "Cancelled:",
    }
    return f"{words[shown]} {amount.text}"


# --- times ------------------------------------------------------------------------------------------


def _time(seconds: int | None) -> Time | None:
    return None if seconds is None else time_of(seconds)


def _until(seconds: int | None, now: float) -> str | None:
    """Return about how long it is until a moment, in one unit; None where it is over."""
    if seconds is None or seconds <= now:
        return None
    left = int(seconds - now)
    for name, size in (("days", DAY), ("hours", HOUR), ("minutes", MINUTE)):
        if left >= 2 * size:
            return f"{left // size:,} {name}"
    return "less than two minutes"


def _length(start: int | None, end: int | None, duration: int) -> int:
    return duration if start is None or end is None or end <= start else end - start


def _already(facts: Facts) -> str | None:
    """Return what is unlocked at once where the stream's start is over when it is paid."""
    terms = facts.link.terms
    if terms.start is None:
        return None
    percent = unlocked_percent(terms.duration, terms.start, terms.cliff, facts.now)
    if percent <= 0:
        return None
    return f"The start is over: who is paid can take {percent_text(percent)} of it at once."


# --- strangers' words ---------------------------------------------------------------------------------


def _name(token: TokenFacts) -> str:
    """Return a token's name where it says more than its symbol."""
    return "" if token.name == token.symbol else visible(token.name)


def _outside(url: str | None) -> Outside | None:
    """Return an address of a link's maker, None where it is not plain https: that is not for following."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port
    except ValueError:
        return None
    if parts.scheme != "https" or not host or not host.isascii() or "@" in parts.netloc:
        return None
    return Outside(url, host if port in {None, 443} else f"{host}:{port}")


def _network(name: str, passphrase: str) -> str:
    known = {network.passphrase: title for title, network in NETWORKS.items()}.get(passphrase)
    titles = {"pubnet": "Stellar", "testnet": "Testnet", "futurenet": "Futurenet", "sandbox": "Sandbox"}
    return titles[known] if known is not None else visible(name)


def _receipt(link: Link, token: TokenFacts | None) -> Receipt | None:
    paid = link.completed
    if paid is None:
        return None
    return Receipt(
        payer=paid.payer,
        stream=paid.stream,
        tx_hash=paid.tx_hash,
        ledger=paid.ledger,
        at=time_of(paid.closed_at),
        paid=None if paid.gross is None else money_of(paid.gross, token),
        streamed=None if paid.net is None or paid.net == paid.gross else money_of(paid.net, token),
        more_than_asked=paid.outcome is Outcome.OVERPAID,
    )
