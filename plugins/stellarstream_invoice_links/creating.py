"""From the body of ``POST /invoice-links`` to the link it asks for; what no stream could come of is refused."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from stellarstream_core.api.models import Moment, Parameters
from stellarstream_core.api.problems import FieldError
from stellarstream_invoice_links.links_store import NewLink
from stellarstream_invoice_links.model import CLOCK_SECONDS, LinkTerms
from stellarstream_nebula.resources.fields import ContractId, Party
from stellarstream_nebula.resources.transactions import Amount, Second
from stellarstream_nebula.transactions import calls
from stellarstream_nebula.transactions.errors import InvalidTermsError

LONGEST_SECONDS = 10 * 366 * 86_400
"""Ten years: the longest stream, and how far ahead one may start and a link may expire."""
LONGEST_DESCRIPTION = 1_000
LONGEST_URL = 2_048

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}\.)+[A-Za-z](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?"
_PCHAR = r"[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2}"
_REST = rf"(?:/(?:{_PCHAR})*)?(?:\?(?:{_PCHAR}|\?)*)?(?:#(?:{_PCHAR}|\?)*)?"
_PDF_URL = re.compile(rf"https://(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?{_REST}")
"""RFC 3986, of a host that has a name, without a user: nothing that one reader takes for another address."""
_LAST_PORT = 65_535
_LONGEST_HOST = 253
_SPACES = frozenset("\n\t")
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of what follows: a text that holds them need not read as it is written."""
_UNSEEN = frozenset({"Cc", "Zl", "Zp"})


def _description(text: str) -> str | None:
    text = text.replace("\r\n", "\n")
    if any(unicodedata.category(one) in _UNSEEN and one not in _SPACES for one in text):
        raise ValueError("holds control characters; only line ends and tabs may be among them")
    if not _TURNING.isdisjoint(text):
        raise ValueError("holds characters that turn the direction of text (U+202A to U+202E, U+2066 to U+2069)")
    return text if text.strip() else None


def _pdf_url(text: str) -> str:
    if not text.startswith("https://"):
        raise ValueError("must begin with https://")
    found = _PDF_URL.fullmatch(text)
    if found is None or len(found["host"]) > _LONGEST_HOST or not 0 < int(found["port"] or 443) <= _LAST_PORT:
        raise ValueError(
            "is no https address with a host's name and no password in it; what is not ASCII is written as %41, or in "
            "the host as xn--…"
        )
    return text


Description = Annotated[str, Field(max_length=LONGEST_DESCRIPTION), AfterValidator(_description)]
PdfUrl = Annotated[str, Field(max_length=LONGEST_URL), AfterValidator(_pdf_url)]


class InvoiceLinkRequest(Parameters):
    """A link to be made by the caller, who asks to be paid."""

    receiver: Annotated[Party, Field(description="whom the stream pays: an account (G…) or a contract (C…)")]
    amount: Annotated[Amount, Field(description="what the payer pays, gross, in the token's smallest unit")]
    token_address: ContractId
    duration: Annotated[int, Field(ge=1, le=LONGEST_SECONDS, description="seconds from the stream's start to its end")]
    description: Annotated[
        Description | None, Field(description="plain text for whoever pays; line ends may be in it")
    ] = None
    pdf_url: Annotated[
        PdfUrl | None, Field(description="an https address of the invoice; it is shown, and never read")
    ] = None
    expires_at: Annotated[
        Moment | None, Field(description="from then on it cannot be paid, ten years ahead at the most; left out: never")
    ] = None
    start_time: Annotated[
        Second | None,
        Field(description="when the stream starts, ten years ahead at the most; left out: when it is paid"),
    ] = None
    cliff_time: Annotated[
        Second | None, Field(description="nothing is unlocked before it; needs startTime; left out: the start")
    ] = None
    contract_id: Annotated[ContractId | None, Field(description="left out: the service's default")] = None


def new_link(body: InvoiceLinkRequest, owner: str, contract: str, family: str, now: int) -> NewLink:
    """Return the link that an account asks for, whose stream is to be in a contract of a family.

    ``now`` is Unix seconds. Raises ``InvalidTermsError`` with every field that is wrong, and what
    ``stellarstream_nebula.transactions.calls.create`` raises: it is tried here with the link's terms, so that
    whoever is to pay never learns what could have been said to whoever asks.
    """
    start, cliff = _seconds(body.start_time), _seconds(body.cliff_time)
    expires = _seconds(body.expires_at)
    wrong: list[FieldError] = []
    if start is not None and not now - CLOCK_SECONDS <= start <= now + LONGEST_SECONDS:
        wrong.append(FieldError("body.startTime", "lies in the past, or more than ten years ahead"))
    if cliff is not None and start is None:
        wrong.append(FieldError("body.cliffTime", "needs startTime: a stream that starts when it is paid has no cliff"))
    if expires is not None and not now < expires <= now + LONGEST_SECONDS:
        wrong.append(FieldError("body.expiresAt", "does not lie in the future, or more than ten years ahead"))
    if wrong:
        raise InvalidTermsError("A link with these terms cannot be.", errors=wrong)
    terms = LinkTerms(
        contract=contract,
        family=family,
        receiver=body.receiver,
        token=body.token_address,
        amount=int(body.amount),
        duration=body.duration,
        start=start,
        cliff=cliff,
    )
    _try(terms, owner, now)
    return NewLink(owner=owner, terms=terms, description=body.description, pdf_url=body.pdf_url, expires_at=expires)


def _try(terms: LinkTerms, payer: str, now: int) -> None:
    """Raise what creating the stream would raise, whoever pays and whenever."""
    start = now + LONGEST_SECONDS if terms.start is None else terms.start
    calls.create(
        terms.contract,
        terms.family,
        calls.Terms(
            sender=payer,
            receiver=terms.receiver,
            token=terms.token,
            amount=terms.amount,
            start=start,
            cliff=start if terms.cliff is None else terms.cliff,
            end=start + terms.duration,
        ),
    )


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
