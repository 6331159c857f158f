"""The call that pays a link, and what is different in one that does not. Times are Unix seconds."""

from __future__ import annotations

from stellarstream_core.api.problems import FieldError
from stellarstream_core.events import format_close_time
from stellarstream_invoice_links.arguments import CallTerms, arguments_of, fits
from stellarstream_invoice_links.model import LATEST_START_SECONDS, Link
from stellarstream_invoice_links.problems import LinkExpiredError, TermsMismatchError
from stellarstream_nebula.model import V2
from stellarstream_nebula.transactions import calls
from stellarstream_nebula.transactions.envelope import Envelope

SHORTEST_SECONDS = 15
"""How long before a link's end a transaction is still built for it: somebody has to look at it and sign."""


def stream_terms(link: Link, payer: str, now: int) -> calls.Terms:
    """Return the terms of the stream with which ``payer`` (G…) pays a link at a moment.

    It starts at that moment where the link names no start; on V2 its memo is the link's slug.
    """
    asked = link.terms
    start = now if asked.start is None else asked.start
    return calls.Terms(
        sender=payer,
        receiver=asked.receiver,
        token=asked.token,
        amount=asked.amount,
        start=start,
        cliff=start if asked.cliff is None else asked.cliff,
        end=start + asked.duration,
        memo=link.slug if asked.family == V2 else None,
    )


def creation(link: Link, terms: calls.Terms) -> calls.Call:
    """Return the call that creates such a stream for a link."""
    return calls.create(link.terms.contract, link.terms.family, terms)


def last_moment(link: Link, now: float) -> int | None:
    """Return the close time of the last ledger in which a link can be paid, None where it does not expire.

    Raises ``LinkExpiredError`` where that comes in less than :data:`SHORTEST_SECONDS`.
    """
    if link.expires_at is None:
        return None
    if link.expires_at - now < SHORTEST_SECONDS:
        raise LinkExpiredError(
            f"This invoice link expires at {format_close_time(link.expires_at)}: too soon to be signed and applied."
        )
    return link.expires_at - 1


def check_terms(link: Link, envelope: Envelope, now: float) -> None:
    """Raise ``TermsMismatchError`` where an envelope is not what a link asks for, naming what differs.

    A transaction without a memo is taken, for those who build their own; one that names something else is not.
    """
    told = arguments_of(envelope.contract, link.terms.family, envelope.function, envelope.arguments)
    if told is None:
        raise TermsMismatchError("The transaction is no call of create_stream as the link's contract takes it.")
    found = _differences(link, told, now)
    if not found and not fits(link.terms, told):
        found.append("what it asks of the contract besides: only a plain stream is taken")
    if link.expires_at is not None and envelope.valid_until >= link.expires_at:
        found.append(f"time bounds: it could be applied after {format_close_time(link.expires_at)}, when the link ends")
    if found:
        raise TermsMismatchError(
            "The transaction is not what the link asks for.", errors=[FieldError("body.xdr", what) for what in found]
        )


def _differences(link: Link, told: CallTerms, now: float) -> list[str]:
    terms = link.terms
    pairs: list[tuple[str, object, object]] = [
        ("contract", told.contract, terms.contract),
        ("receiver", told.receiver, terms.receiver),
        ("token", told.token, terms.token),
        ("amount", told.gross, terms.amount),
        ("duration", told.duration, terms.duration),
        ("start time", told.start, told.start if terms.start is None else terms.start),
        ("cliff time", told.cliff, told.start if terms.cliff is None else terms.cliff),
    ]
    found = [f"{name}: {given} instead of {asked}" for name, given, asked in pairs if given != asked]
    if terms.start is None and told.start > now + LATEST_START_SECONDS:
        found.append(f"start time: more than {LATEST_START_SECONDS // 60} minutes from now")
    if told.memo not in {None, link.slug}:
        found.append(f"memo: another one than {link.slug}")
    return found
