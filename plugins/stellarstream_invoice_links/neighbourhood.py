"""What there is around creations in the database: the few links that each may be for, however many there are.

Each question is answered along an index and bounded, so that a receiver with a hundred thousand links, or as many with
equal terms, is judged as quickly as any other. Where few of many are looked for, the order that is asked for is the
index's own: whatever PostgreSQL thinks it will find, no other way is shorter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from peewee import Database

from stellarstream_invoice_links.arguments import fingerprints_of
from stellarstream_invoice_links.judging import (
    MOST_CHOICES,
    Around,
    Candidate,
    Creation,
    asks_for,
    gross_between,
    in_order,
    is_open,
    pays,
    starts_late,
)
from stellarstream_invoice_links.links import TERMS, terms_of
from stellarstream_invoice_links.model import CLOCK_SECONDS, SKEW_SECONDS
from stellarstream_nebula import bulk
from stellarstream_nebula.transactions.calls import MOST_I128

_CANDIDATE = """
    l.id, l.slug, l.owner, l.contract_id, l.family, l.receiver, l.token, l.amount, l.duration, l.start, l.cliff,
    l.created_at, l.after_ledger, l.expires_at, l.canceled_at, l.deleted_at, l.completed_event
"""
_DIGITS = 39


@dataclass(slots=True)
class Neighbourhood:
    """What is around some creations: what their memos and transactions name is read at once, the rest when asked for.

    Whoever writes that a link is completed says so (:meth:`note`): it matters to the creations that come after.
    """

    database: Database
    creations: Sequence[Creation]
    _links: dict[str, Candidate] = field(init=False, default_factory=dict)
    _named: dict[str, str] = field(init=False, default_factory=dict)
    _relayed: dict[str, tuple[str, int]] = field(init=False, default_factory=dict)
    _claimed: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        memos = {one.naming for one in self.creations if one.naming is not None}
        hashes = {one.tx_hash for one in self.creations}
        for link in self._read(f"SELECT {_CANDIDATE} FROM invoice_links AS l WHERE l.slug IN", memos):  # noqa: S608 - names only
            self._links[link.id] = link
            self._named[link.slug] = link.id
        sql = "SELECT tx_hash, link_id, submitted_at FROM invoice_submissions WHERE origin = 'service' AND tx_hash IN"
        for tx_hash, link_id, submitted_at in bulk.select_in(self.database, sql, hashes):
            self._relayed[tx_hash] = (link_id, submitted_at)
        relayed = {link_id for link_id, _ in self._relayed.values()}
        for link in self._read(f"SELECT {_CANDIDATE} FROM invoice_links AS l WHERE l.id IN", relayed):  # noqa: S608 - names only
            self._links[link.id] = link
        sql = "SELECT DISTINCT tx_hash FROM invoice_submissions WHERE (claimed = 1 OR origin = 'owner') AND tx_hash IN"
        self._claimed = {tx_hash for (tx_hash,) in bulk.select_in(self.database, sql, hashes)}

    def around(self, creation: Creation) -> Around:
        """Return what there is around one of the creations."""
        named = self._named.get(creation.naming or "")
        relayed = self._relayed.get(creation.tx_hash)
        return Around(
            None if named is None else self._links[named],
            None if relayed is None else (self._links[relayed[0]], relayed[1]),
            self._claiming(creation) if creation.tx_hash in self._claimed else (),
            lambda own: self._equal(creation, own),
        )

    def is_worth_reading(self, creation: Creation, around: Around) -> bool:
        """Tell whether some link may ask for what a creation's call says, which is not known."""
        if around.named is not None:
            return pays(around.named, creation)
        if creation.start is None or creation.end is None or creation.net is None:
            return False
        least, most = gross_between(creation.net)
        same = (creation.receiver, creation.token, creation.contract, creation.end - creation.start)
        sql = """
            SELECT 1 FROM invoice_links
            WHERE (receiver, token, contract_id, duration, amount_key) >= (?, ?, ?, ?, ?)
            AND (receiver, token, contract_id, duration, amount_key) <= (?, ?, ?, ?, ?) AND created_at <= ?
            ORDER BY receiver, token, contract_id, duration, amount_key LIMIT 1
        """
        values = (*same, _key(least), *same, _key(most), creation.closed_at + CLOCK_SECONDS)
        return bool(bulk.query(self.database, sql, values))

    def note(self, link_id: str, completed: str | None) -> None:
        """Take note of which event completes a link now."""
        if (known := self._links.get(link_id)) is not None:
            self._links[link_id] = replace(known, completed=completed)

    # --- within ---------------------------------------------------------------------------------

    def _read(self, sql: str, keys: Iterable[str]) -> list[Candidate]:
        return [_candidate(row) for row in bulk.select_in(self.database, sql, keys)]

    def _claiming(self, creation: Creation) -> list[Candidate]:
        """Return links whose owners name a creation's transaction: the receiver's own, else those of others."""
        sql = f"""
            WITH s AS MATERIALIZED (
                SELECT link_id FROM invoice_submissions WHERE tx_hash = ? AND (claimed = 1 OR origin = 'owner')
            )
            SELECT {_CANDIDATE} FROM s JOIN invoice_links AS l ON l.id = s.link_id
            WHERE l.receiver = ? AND l.token = ? AND l.own = ? AND l.created_at <= ? AND l.after_ledger < ?
            ORDER BY l.created_at, l.id LIMIT ?
        """  # noqa: S608 - names only
        for own in (1, 0):
            values = (creation.tx_hash, creation.receiver, creation.token, own, *_there(creation), MOST_CHOICES)
            if found := [_candidate(row) for row in bulk.query(self.database, sql, values)]:
                return found
        return []

    def _equal(self, creation: Creation, own: bool) -> list[Candidate]:
        """Return the open links that ask for exactly what a creation's call says, the first ones in their order."""
        told = creation.told
        if told is None or not told.plain:
            return []
        condition = """
            l.terms = ? AND l.own = ? AND l.open_until >= ? AND l.created_at <= ? AND l.after_ledger < ?
            AND (l.completed_event IS NULL OR l.completed_event >= ?)
        """
        values = (int(own), creation.closed_at, *_there(creation, SKEW_SECONDS), creation.event_id)
        found: list[bulk.Row] = []
        for fingerprint in fingerprints_of(told, named_start=starts_late(creation, told)):
            # more than can be told are not looked for, but then the first ones in the order in which they were made
            for order, most in (("l.open_until", MOST_CHOICES + 1), ("l.created_at, l.id", MOST_CHOICES)):
                sql = f"SELECT {_CANDIDATE} FROM invoice_links AS l WHERE {condition} ORDER BY {order} LIMIT ?"  # noqa: S608 - names only
                some = bulk.query(self.database, sql, (fingerprint, *values, most))
                if len(some) <= MOST_CHOICES:
                    found += some
                    break
        links = (_candidate(row) for row in found)
        return in_order(link for link in links if is_open(link, creation) and asks_for(link, creation, told))


def _there(creation: Creation, seconds: int = CLOCK_SECONDS) -> tuple[int, int]:
    """Return the values of a condition that a link was there: ``created_at <= ? AND after_ledger < ?``."""
    return creation.closed_at + seconds, creation.ledger


def _key(amount: int) -> str:
    """Return what ``amount_key`` is of an amount."""
    return str(min(max(amount, 0), MOST_I128)).zfill(_DIGITS)


def _candidate(row: bulk.Row) -> Candidate:
    link_id, slug, owner = row[: TERMS.start]
    created_at, after_ledger, expires_at, canceled_at, deleted_at, completed = row[TERMS.stop :]
    return Candidate(
        id=link_id,
        slug=slug,
        owner=owner,
        terms=terms_of(row[TERMS]),
        created_at=created_at,
        after_ledger=after_ledger,
        expires_at=expires_at,
        canceled_at=canceled_at,
        deleted_at=deleted_at,
        completed=completed,
    )
