"""Which links a stream on chain pays, and what it is to them: pure functions of links, submissions and creations.

The result depends on these three sets alone, not on the order in which they became known. Creations are judged in the
order of their events, and what one completes matters to later ones only; :func:`judge` does so for whole sets and says
what settlement must come to, piece by piece, in the database.

A creation is tied to links by the first of these that finds any. All pay the same receiver in the same token, and were
there when it happened.

1. Its memo is the slug of a link: that one, or none at all where that link asks for another receiver or token.
2. Its transaction was submitted for a link through this service before the chain had applied it: that one.
3. Links that the receiver made and names it for; else those that ask for exactly what its call says and were open.
4. Links that others made for the receiver, which ask for exactly what its call says and were open. So nobody takes a
   payment from a receiver's own link by making an equal one.
5. Links whose makers, who are not paid by them, name it. That shows what it is to them and completes nothing: a
   transaction's hash is public, and anybody can make a link for any receiver.

A transaction's envelope is public once its ledger has closed: who hands one in later proves nothing by it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from stellarstream_invoice_links.arguments import CallTerms, fits
from stellarstream_invoice_links.model import (
    CLOCK_SECONDS,
    COMPLETING,
    LATEST_START_SECONDS,
    SKEW_SECONDS,
    LinkTerms,
    MatchedBy,
    Outcome,
)

RULES = 1
"""Raised whenever the same links, submissions and creations make other payments: all are judged again then."""
MOST_CHOICES = 10
"""Links to which one creation is tied at the most, where it fits several."""
MOST_FEE_BPS = 500
"""What a V2 contract keeps of a payment at the most, in hundredths of a percent."""


class Known(StrEnum):
    """How far the arguments of a creation's transaction are known."""

    UNKNOWN = "unknown"
    """They are not read yet."""
    KNOWN = "known"
    """It is a call of ``create_stream``, and this creation is what it made."""
    OTHER = "other"
    """It is another call, or one that cannot be read, or the creation is not what it says."""
    UNREADABLE = "unreadable"
    """The nodes that are asked do not keep the transaction any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """A stream that was created on chain: what its event says, and what its transaction's call says.

    ``stream`` is its key (``C…-7``), ``net`` what it holds. ``told`` is there where ``known`` is ``KNOWN``, and nowhere
    else.
    """

    event_id: str
    stream: str
    contract: str
    family: str
    tx_hash: str
    ledger: int
    closed_at: int
    receiver: str
    token: str
    sender: str | None = None
    net: int | None = None
    start: int | None = None
    end: int | None = None
    memo: str | None = None
    known: Known = Known.UNKNOWN
    told: CallTerms | None = None

    @property
    def naming(self) -> str | None:
        """Its memo, as the event tells it, else the call: older contracts leave it out of their events."""
        return self.memo if self.memo is not None or self.told is None else self.told.memo

    def with_call(self, told: CallTerms | None) -> Creation:
        """Return it with the call of its transaction: None for one that is no readable ``create_stream``.

        A transaction may publish more events than its call's own: of another contract that a token calls, say. One
        that does not say what the call says is none of its making.
        """
        if told is None or not self._is_made_by(told):
            return replace(self, known=Known.OTHER, told=None)
        return replace(self, known=Known.KNOWN, told=told)

    def _is_made_by(self, told: CallTerms) -> bool:
        return (
            (told.contract, told.receiver, told.token) == (self.contract, self.receiver, self.token)
            and self.sender in {None, told.sender}
            and self.start in {None, told.start}
            and self.end in {None, told.start + told.duration}
            and self.memo in {None, told.memo}
            and (self.net is None or self.net <= told.gross)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A link as far as settlement asks of it. ``completed`` is the event that completes it, as far as is known.

    ``after_ledger`` is the newest ledger whose creations were taken in when the link was made: those up to it were
    there before the link. Where others were being filled in meanwhile, times tell.
    """

    id: str
    slug: str
    owner: str
    terms: LinkTerms
    created_at: int
    after_ledger: int = 0
    expires_at: int | None = None
    canceled_at: int | None = None
    deleted_at: int | None = None
    completed: str | None = None

    @property
    def is_own(self) -> bool:
        """Whether its owner is who is paid."""
        return self.owner == self.terms.receiver

    @property
    def taken_back_at(self) -> int | None:
        """When its owner cancelled or deleted it, whichever came first."""
        return min((at for at in (self.canceled_at, self.deleted_at) if at is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A transaction that was submitted for a link: ``relayed`` through this service, ``claimed`` by the link's owner.

    ``told`` is what the relayed one's call says.
    """

    tx_hash: str
    link_id: str
    submitted_at: int
    relayed: bool
    claimed: bool = False
    told: CallTerms | None = None


class Verdict(NamedTuple):
    """What a creation is to a link. ``gross`` is what the payer paid, None while that is not known."""

    link_id: str
    by: MatchedBy
    outcome: Outcome
    gross: int | None


Equal = Callable[[bool], Sequence[Candidate]]
"""Returns the open links that ask for exactly what a creation's call says: the receiver's own (True), or others'."""


@dataclass(frozen=True, slots=True)
class Around:
    """What there is around a creation. Whatever is not for it is passed over, so more may be named than counts.

    ``named`` is the link whose slug is its memo, ``relayed`` that for which its transaction went through this service,
    and since when, ``claiming`` those whose owners name its transaction.
    """

    named: Candidate | None
    relayed: tuple[Candidate, int] | None
    claiming: Sequence[Candidate]
    equal: Equal


# --- one creation -----------------------------------------------------------------------------------


def was_there(link: Candidate, creation: Creation) -> bool:
    """Tell whether a link was made before a creation: none is paid by what happened before it."""
    return link.after_ledger < creation.ledger and link.created_at <= creation.closed_at + CLOCK_SECONDS


def is_for(link: Candidate, creation: Creation) -> bool:
    """Tell whether a creation may be tied to a link at all."""
    return pays(link, creation) and was_there(link, creation)


def pays(link: Candidate, creation: Creation) -> bool:
    """Tell whether a creation pays a link's receiver in its token."""
    return (link.terms.receiver, link.terms.token) == (creation.receiver, creation.token)


def in_time(submitted_at: int, creation: Creation) -> bool:
    """Tell whether a transaction was submitted before its ledger closed, as clocks go."""
    return submitted_at <= creation.closed_at + CLOCK_SECONDS


def is_open(link: Candidate, creation: Creation) -> bool:
    """Tell whether a link could be paid when a creation happened, as far as earlier ones did not complete it."""
    closed_at, taken_back = creation.closed_at, link.taken_back_at
    return (
        is_for(link, creation)
        and link.created_at <= closed_at + SKEW_SECONDS
        and (link.expires_at is None or closed_at < link.expires_at)
        and (taken_back is None or closed_at <= taken_back)
        and (link.completed is None or link.completed >= creation.event_id)
    )


def asks_for(link: Candidate, creation: Creation, told: CallTerms) -> bool:
    """Tell whether a link asks for exactly what a creation's call says."""
    late = link.terms.start is None and starts_late(creation, told)
    return fits(link.terms, told) and told.gross == link.terms.amount and not late


def starts_late(creation: Creation, told: CallTerms) -> bool:
    """Tell whether a stream starts too long after it was paid for, unless its link names that start."""
    return told.start > creation.closed_at + LATEST_START_SECONDS


def may_ask_for(link: Candidate, creation: Creation) -> bool:
    """Tell whether a link may ask for what a creation's call says, by its event alone: it is worth reading the call."""
    if creation.start is None or creation.end is None or creation.net is None:  # a ``create_stream`` tells them
        return False
    least, most = gross_between(creation.net)
    return (
        is_for(link, creation)
        and link.terms.contract == creation.contract
        and link.terms.duration == creation.end - creation.start
        and least <= link.terms.amount <= most
    )


def gross_between(net: int) -> tuple[int, int]:
    """Return what a payer has paid at least and at the most for a stream that holds ``net``."""
    return net, (net + 3) * 10_000 // (10_000 - MOST_FEE_BPS)


def matched(creation: Creation, around: Around) -> tuple[MatchedBy, Sequence[Candidate]] | None:
    """Return the links that a creation is tied to, and by what; None where it is tied to none."""
    if around.named is not None:  # nobody can write a slug before it is given out
        return (MatchedBy.MEMO, [around.named]) if pays(around.named, creation) else None
    if (link := _submitted_for(creation, around)) is not None:
        return MatchedBy.TRANSACTION, [link]
    claiming = [link for link in around.claiming if is_for(link, creation)]
    if own := [link for link in claiming if link.is_own]:
        return MatchedBy.TRANSACTION, own
    if creation.told is not None and (equal := around.equal(True) or around.equal(False)):
        return MatchedBy.TERMS, equal
    return (MatchedBy.TRANSACTION, claiming) if claiming else None


def _submitted_for(creation: Creation, around: Around) -> Candidate | None:
    """Return the link for which a creation's transaction was submitted through this service in time."""
    if around.relayed is None:
        return None
    link, submitted_at = around.relayed
    return link if in_time(submitted_at, creation) and is_for(link, creation) else None


def outcome_of(creation: Creation, link: Candidate) -> Outcome:
    """Return what a creation that is tied to one link is to it."""
    if creation.known in {Known.UNKNOWN, Known.UNREADABLE}:
        return Outcome.UNVERIFIED
    told, terms, taken_back = creation.told, link.terms, link.taken_back_at
    if told is None or not fits(terms, told) or (terms.start is None and starts_late(creation, told)):
        return Outcome.DIFFERENT_TERMS
    if told.gross < terms.amount:
        return Outcome.UNDERPAID
    if link.expires_at is not None and creation.closed_at >= link.expires_at:
        return Outcome.LATE
    if taken_back is not None and creation.closed_at > taken_back:
        return Outcome.AFTER_CANCEL
    if link.completed is not None and link.completed < creation.event_id:
        return Outcome.REPEATED
    return Outcome.OVERPAID if told.gross > terms.amount else Outcome.COMPLETED


def verdicts_of(creation: Creation, around: Around) -> list[Verdict]:
    """Return what a creation is to links, as far as earlier ones completed them (:attr:`Candidate.completed`)."""
    found = matched(creation, around)
    if found is None:
        return []
    by, links = found
    gross = None if creation.told is None else creation.told.gross
    if len(links) == 1:
        (link,) = links
        outcome = outcome_of(creation, link)
        claimed = by is MatchedBy.TRANSACTION and _submitted_for(creation, around) is None
        if claimed and not link.is_own and outcome in _FULL and not _could_ask_for(link, creation):
            outcome = Outcome.DIFFERENT_TERMS
        return [Verdict(link.id, by, outcome, gross)]
    return [Verdict(link.id, by, Outcome.AMBIGUOUS, gross) for link in in_order(links)[:MOST_CHOICES]]


_FULL = COMPLETING | {Outcome.REPEATED}


def _could_ask_for(link: Candidate, creation: Creation) -> bool:
    """Tell whether a creation is exactly what a link asked for while it could be paid, had nothing completed it."""
    told = creation.told
    return told is not None and is_open(replace(link, completed=None), creation) and asks_for(link, creation, told)


def in_order(links: Iterable[Candidate]) -> list[Candidate]:
    """Return links in the order in which they were made."""
    return sorted(links, key=lambda link: (link.created_at, link.id))


# --- whole sets -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judged:
    """What whole sets come to: what creations are to links by (link, event), and what completes each link."""

    verdicts: Mapping[tuple[str, str], Verdict]
    completed: Mapping[str, str]


def judge(links: Iterable[Candidate], submissions: Iterable[Submission], creations: Iterable[Creation]) -> Judged:
    """Return what creations are to links. Links' own ``completed`` is not looked at.

    What the call of a relayed transaction says is known of every creation of that transaction.
    """
    known = {link.id: replace(link, completed=None) for link in links}
    by_hash: dict[str, list[Submission]] = defaultdict(list)
    for submission in submissions:
        by_hash[submission.tx_hash].append(submission)
    verdicts: dict[tuple[str, str], Verdict] = {}
    completed: dict[str, str] = {}
    for plain in sorted(creations, key=lambda one: one.event_id):
        own = by_hash[plain.tx_hash]
        calls = [one.told for one in own if one.relayed]
        creation = plain.with_call(calls[0]) if calls else plain
        relayed = next(((known[one.link_id], one.submitted_at) for one in own if one.relayed), None)
        around = Around(
            next((link for link in known.values() if creation.naming == link.slug), None),
            relayed,
            [known[one.link_id] for one in own if one.claimed],
            lambda own, creation=creation: [  # type: ignore[misc]
                link
                for link in known.values()
                if link.is_own is own
                and is_open(link, creation)
                and creation.told is not None
                and asks_for(link, creation, creation.told)
            ],
        )
        for verdict in verdicts_of(creation, around):
            verdicts[verdict.link_id, creation.event_id] = verdict
            if verdict.outcome in COMPLETING:
                completed[verdict.link_id] = creation.event_id
                known[verdict.link_id] = replace(known[verdict.link_id], completed=creation.event_id)
    return Judged(verdicts, completed)
