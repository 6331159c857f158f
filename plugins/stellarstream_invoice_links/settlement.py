"""Settlement: judging creations in the database, and writing what they are to links.

Functions take a peewee database inside ``Storage.write``, in a transaction that has taken its turn
(:func:`stellarstream_invoice_links.links.take_turn`): nobody else settles meanwhile, or writes what is read here.

Whatever changes what a creation may come to makes it ``due``; what is due is judged, lowest event first, until nothing
is. What one creation completes makes later ones due, never earlier ones: so it ends, and in the same payments whatever
came first (:func:`stellarstream_invoice_links.judging.judge`). A transaction judges what it is asked to and so many
more; the rest stays due, and the projection goes on with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from peewee import Database

from stellarstream_invoice_links.arguments import basis_of
from stellarstream_invoice_links.creations import read_creations
from stellarstream_invoice_links.judging import Creation, Known, Verdict, verdicts_of
from stellarstream_invoice_links.model import COMPLETING, MatchedBy, Outcome
from stellarstream_invoice_links.neighbourhood import Neighbourhood
from stellarstream_nebula import bulk

MOST_AT_ONCE = 500
"""Creations that one transaction judges beyond those that it is asked to."""
PIECE = 200
"""Creations whose surroundings are read together."""


def settle_creations(
    database: Database, event_ids: Iterable[str], *, now: float | None = None, most: int = MOST_AT_ONCE
) -> bool:
    """Judge stored creations, and up to ``most`` of those that are due; tell whether some still are.

    ``now`` is Unix seconds: links that change are marked with it.
    """
    moment = int(time.time() if now is None else now)
    for part in bulk.pieces(sorted(set(event_ids)), PIECE):
        _judge(database, part, moment)
    while most > 0:
        sql = "SELECT event_id FROM invoice_creations WHERE due = 1 ORDER BY event_id LIMIT ?"
        due = [event_id for (event_id,) in bulk.query(database, sql, (min(PIECE, most),))]
        if not due:
            return False
        _judge(database, due, moment)
        most -= len(due)
    return is_due(database)


def settle_transaction(database: Database, tx_hash: str, *, now: float | None = None) -> None:
    """Judge the creations of a transaction (64 hex digits), as far as they are indexed: more is known of it."""
    rows = bulk.query(database, "SELECT event_id FROM invoice_creations WHERE tx_hash = ?", (tx_hash,))
    settle_creations(database, [event_id for (event_id,) in rows], now=now)


def settle_link(database: Database, link_id: str, *, now: float | None = None) -> None:
    """Judge what is tied to a link that was cancelled or deleted just now, where it happened after that.

    Ledgers may close a little ahead of this service's clock.
    """
    sql = """
        SELECT p.event_id, c.closed_at, l.canceled_at, l.deleted_at
        FROM invoice_payments AS p
        JOIN invoice_creations AS c ON c.event_id = p.event_id JOIN invoice_links AS l ON l.id = p.link_id
        WHERE p.link_id = ? AND p.event_id < ? ORDER BY p.event_id DESC LIMIT ?
    """
    later: list[str] = []
    before = "~"  # above every event id
    while rows := bulk.query(database, sql, (link_id, before, PIECE)):
        later += [
            event_id
            for event_id, closed_at, *taken_back in rows
            if any(at is not None and closed_at > at for at in taken_back)
        ]
        before = rows[-1][0]
        if not later or later[-1] != before:  # close times follow the order of events
            break
    settle_creations(database, later, now=now)


def remove_creations(database: Database, event_ids: Sequence[str], *, now: float | None = None) -> None:
    """Remove creations that are none any more, and all that came of them; what that changes is due."""
    piece = _Piece(database, event_ids, int(time.time() if now is None else now))
    for creation in piece.creations:
        piece.write(creation, [])
        bulk.execute(database, "DELETE FROM invoice_creations WHERE event_id = ?", (creation.event_id,))


def is_due(database: Database) -> bool:
    """Tell whether some creation is to be judged."""
    return bool(bulk.query(database, "SELECT 1 FROM invoice_creations WHERE due = 1 ORDER BY event_id LIMIT 1"))


# --- a piece of it ----------------------------------------------------------------------------------


def _judge(database: Database, event_ids: Sequence[str], now: int) -> None:
    """Judge creations, lowest event first; they are not due any more.

    One makes only later ones due. Those of the same piece are judged after it.
    """
    piece = _Piece(database, event_ids, now)
    wanted: dict[bool, list[str]] = {True: [], False: []}
    for creation in piece.creations:
        around = piece.hood.around(creation)
        verdicts = verdicts_of(creation, around)
        piece.write(creation, verdicts)
        unread = creation.known in {Known.UNKNOWN, Known.UNREADABLE}
        wanted[unread and (bool(verdicts) or piece.hood.is_worth_reading(creation, around))].append(creation.event_id)
    for is_wanted, some in wanted.items():
        if some:
            sql = f"UPDATE invoice_creations SET wanted = ?, due = 0 WHERE event_id IN ({bulk.marks(len(some))})"  # noqa: S608 - marks only
            bulk.execute(database, sql, (int(is_wanted), *some))


class _Piece:
    """Some creations, what is around them, and what is stored of them."""

    def __init__(self, database: Database, event_ids: Sequence[str], now: int) -> None:
        self.creations = read_creations(database, event_ids)
        self.hood = Neighbourhood(database, self.creations)
        self._database = database
        self._now = now
        self._stored: dict[str, dict[str, Verdict]] = {event_id: {} for event_id in event_ids}
        sql = "SELECT event_id, link_id, matched_by, outcome, gross FROM invoice_payments WHERE event_id IN"
        for event_id, link_id, by, outcome, gross in bulk.select_in(database, sql, event_ids):
            told = None if gross is None else int(gross)
            self._stored[event_id][link_id] = Verdict(link_id, MatchedBy(by), Outcome(outcome), told)

    def write(self, creation: Creation, verdicts: Sequence[Verdict]) -> None:
        """Write what a creation is to links, over what is stored, and what that makes of the links."""
        before, after = self._stored[creation.event_id], {verdict.link_id: verdict for verdict in verdicts}
        if before == after:
            return
        self._stored[creation.event_id] = after
        for link_id, was in before.items():
            if link_id not in after:
                self._run("DELETE FROM invoice_payments WHERE link_id = ? AND event_id = ?", link_id, creation.event_id)
            if was.outcome in COMPLETING and (link_id not in after or after[link_id].outcome not in COMPLETING):
                self._release(link_id, creation)
        for link_id, verdict in after.items():
            if before.get(link_id) == verdict:
                continue
            if verdict.outcome in COMPLETING:
                self._complete(link_id, creation)
            self._run(
                """
                INSERT INTO invoice_payments (link_id, event_id, matched_by, outcome, gross) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (link_id, event_id)
                DO UPDATE SET matched_by = excluded.matched_by, outcome = excluded.outcome, gross = excluded.gross
                """,
                link_id,
                creation.event_id,
                verdict.by,
                verdict.outcome,
                None if verdict.gross is None else str(verdict.gross),
            )

    def _complete(self, link_id: str, creation: Creation) -> None:
        """Let a creation complete a link. One that did so comes after it, and is a repetition now, or another's."""
        sql = "SELECT completed_event FROM invoice_links WHERE id = ?"
        event_id, former = creation.event_id, bulk.query(self._database, sql, (link_id,))[0][0]
        if former == event_id:
            return
        if former is not None:
            sql = "UPDATE invoice_payments SET outcome = ? WHERE link_id = ? AND event_id = ?"
            self._run(sql, Outcome.REPEATED, link_id, former)
            self._run("UPDATE invoice_creations SET due = 1 WHERE event_id = ?", former)
            if (known := self._stored.get(former)) is not None:
                known[link_id] = known[link_id]._replace(outcome=Outcome.REPEATED)
        self._mark(link_id, event_id, creation.closed_at)
        # these counted the link among those that they fit
        self._run(
            """
            UPDATE invoice_creations SET due = 1 WHERE event_id IN (
                SELECT event_id FROM invoice_payments WHERE link_id = ? AND event_id > ? AND outcome = ?
            )
            """,
            link_id,
            event_id,
            Outcome.AMBIGUOUS,
        )

    def _release(self, link_id: str, creation: Creation) -> None:
        """Let a link be open again, which only other rules can bring about. Whatever may complete it now is due."""
        self._mark(link_id, None, None)
        self._run(
            """
            UPDATE invoice_creations SET due = 1 WHERE event_id > ? AND event_id IN (
                SELECT event_id FROM invoice_payments WHERE link_id = ?
            )
            """,
            creation.event_id,
            link_id,
        )
        sql = "SELECT contract_id, receiver, token, amount, duration FROM invoice_links WHERE id = ?"
        contract, receiver, token, amount, duration = bulk.query(self._database, sql, (link_id,))[0]
        basis = basis_of(contract, receiver, token, int(amount), duration)
        self._run("UPDATE invoice_creations SET due = 1 WHERE basis = ? AND event_id > ?", basis, creation.event_id)

    def _mark(self, link_id: str, event_id: str | None, closed_at: int | None) -> None:
        sql = """
            UPDATE invoice_links SET completed_event = ?, completed_at = ?,
            updated_at = CASE WHEN updated_at > ? THEN updated_at ELSE ? END WHERE id = ?
        """
        self._run(sql, event_id, closed_at, self._now, self._now, link_id)
        self.hood.note(link_id, event_id)

    def _run(self, sql: str, *values: object) -> None:
        bulk.execute(self._database, sql, values)
