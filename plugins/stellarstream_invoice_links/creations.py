"""Creations in the database: those that some link may be paid by, and what is known of their transactions' calls.

Functions take a peewee database inside ``Storage.write``; the caller has taken its turn.

A creation is kept when the projection is built again: nodes keep transactions for days, and what was read of one may
never be told again. A build marks what it takes in; what an older one took in and the new one does not is removed once
the new one has come past it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from peewee import Database

from stellarstream_core.errors import StellarStreamError
from stellarstream_invoice_links.arguments import CREATE, CallTerms, arguments_of, pack, unpack
from stellarstream_invoice_links.judging import Creation, Known
from stellarstream_nebula import bulk

INTEREST_SECONDS = 86_400
"""How long before the first link of a receiver a creation may have been that is kept all the same. What counts is for
the judge to say; a clock that is wrong must not lose a payment that names its link."""
PIECE = 500
"""Creations written in one statement."""
_EVENT = (
    "stream",
    "contract_id",
    "family",
    "tx_hash",
    "ledger",
    "closed_at",
    "sender",
    "receiver",
    "token",
    "net",
    "start",
    "end",
    "memo",
)
"""The columns that the event tells."""
_CALL = ("known", "arguments", "basis")
_LATEST = 2**63 - 1
"""The latest second that a column holds; an event may tell twice as much, and no call that fits a link does."""


def note_ledger(database: Database, ledger: int) -> None:
    """Note that creations of a ledger were taken in: links that are made from now on come after them."""
    bulk.execute(database, "UPDATE invoice_turn SET ledger = ? WHERE id = 1 AND ledger < ?", (ledger, ledger))


def of_interest(database: Database, creations: Sequence[Creation]) -> list[Creation]:
    """Return those that pay somebody in a token for which there was a link by then, or soon after."""
    pairs = sorted({(one.receiver, one.token) for one in creations})
    oldest: dict[tuple[str, str], int] = {}
    for part in bulk.pieces(pairs, PIECE):
        # a comparison of rows and its order leave one index to take: where nearly all links are of one receiver,
        # PostgreSQL would walk through the others looking for somebody who has none
        sql = f"""
            SELECT asked.column1, asked.column2, (
                SELECT CASE WHEN (receiver, token) = (asked.column1, asked.column2) THEN created_at END
                FROM invoice_links WHERE (receiver, token, created_at) >= (asked.column1, asked.column2, 0)
                ORDER BY receiver, token, created_at LIMIT 1
            ) FROM (VALUES {", ".join(["(?, ?)"] * len(part))}) AS asked
        """  # noqa: S608 - marks only
        rows = bulk.query(database, sql, [value for pair in part for value in pair])
        oldest |= {(receiver, token): at for receiver, token, at in rows if at is not None}
    return [
        one
        for one in creations
        if (at := oldest.get((one.receiver, one.token))) is not None and at <= one.closed_at + INTEREST_SECONDS
    ]


def add_creations(database: Database, creations: Sequence[Creation]) -> None:
    """Store creations, or what their events say now over what was stored; all of them are due to be judged.

    What is known of the calls stays, and what was relayed through this service is known. What nobody could tell is
    asked for again.
    """
    build = bulk.query(database, "SELECT build FROM invoice_turn")[0][0]
    relayed = _relayed(database, {one.tx_hash for one in creations})
    columns = ("event_id", *_EVENT, *_CALL, "wanted", "tries", "next_try", "due", "build")
    for part in bulk.pieces(creations, PIECE):
        rows = [
            (
                one.event_id,
                *_event_columns(one),
                *_call_columns(one, *relayed.get(one.tx_hash, _UNREAD)),
                *(0, 0, 0, 1, build),
            )
            for one in part
        ]
        one_row = f"({bulk.marks(len(columns))})"
        told = ", ".join(f'"{name}" = excluded."{name}"' for name in (*_EVENT, "next_try", "due", "build"))
        # a call that was not read is as good as one that could not be; what is known of one is not forgotten
        known = ", ".join(
            f"{name} = CASE WHEN invoice_creations.known IN ('unknown', 'unreadable') THEN excluded.{name} "
            f"ELSE invoice_creations.{name} END"
            for name in _CALL
        )
        names = ", ".join(f'"{name}"' for name in columns)
        bulk.execute(
            database,
            f"INSERT INTO invoice_creations ({names}) VALUES {', '.join([one_row] * len(rows))} "  # noqa: S608 - names and marks only
            f"ON CONFLICT (event_id) DO UPDATE SET {told}, {known}",
            [value for row in rows for value in row],
        )


def read_creations(database: Database, event_ids: Iterable[str]) -> list[Creation]:
    """Return stored creations in the order of their events."""
    columns = ", ".join(f'"{name}"' for name in ("event_id", *_EVENT, "known", "arguments"))
    rows = bulk.select_in(database, f"SELECT {columns} FROM invoice_creations WHERE event_id IN", event_ids)  # noqa: S608 - names only
    return sorted((_creation(row) for row in rows), key=lambda one: one.event_id)


def learn_call(
    database: Database, tx_hash: str, call: tuple[str, str, Sequence[bytes]] | None, known: Known = Known.OTHER
) -> list[str]:
    """Note what a transaction calls: contract, function, arguments. Return the creations whose calls were not known.

    None where it calls nothing, or (``known``) nobody tells.
    """
    sql = "SELECT event_id FROM invoice_creations WHERE tx_hash = ? AND known IN ('unknown', 'unreadable')"
    ids = [event_id for (event_id,) in bulk.query(database, sql, (tx_hash,))]
    for one in read_creations(database, ids):
        columns = (known, None, None) if call is None else _call_columns(one, *call)
        bulk.execute(
            database,
            "UPDATE invoice_creations SET known = ?, arguments = ?, basis = ? WHERE event_id = ?",
            (*columns, one.event_id),
        )
    return ids


def begin_build(database: Database) -> None:
    """Note that the projection is built again."""
    bulk.execute(database, "UPDATE invoice_turn SET build = build + 1 WHERE id = 1")


def left_over(database: Database, reached: Mapping[str, int], most: int) -> list[str]:
    """Return creations that an older build took in and this one does not, though it has come past their ledgers.

    ``reached`` says by contract up to which ledger every event is taken in.
    """
    build = bulk.query(database, "SELECT build FROM invoice_turn")[0][0]
    found: list[str] = []
    sql = """
        SELECT event_id FROM invoice_creations
        WHERE contract_id = ? AND build < ? AND ledger <= ? ORDER BY build, ledger LIMIT ?
    """
    for contract, ledger in sorted(reached.items()):
        found += [row[0] for row in bulk.query(database, sql, (contract, build, ledger, most - len(found)))]
    return sorted(found)


# --- rows -------------------------------------------------------------------------------------------

_UNREAD: tuple[None, str, tuple[bytes, ...]] = (None, "", ())


def _relayed(database: Database, hashes: Iterable[str]) -> dict[str, tuple[str, str, tuple[bytes, ...]]]:
    """Return the calls of transactions that went through this service."""
    sql = """
        SELECT s.tx_hash, l.contract_id, s.arguments
        FROM invoice_submissions AS s JOIN invoice_links AS l ON l.id = s.link_id
        WHERE s.origin = 'service' AND s.arguments IS NOT NULL AND s.tx_hash IN
    """
    return {
        tx_hash: (contract, CREATE, _unpacked(raw)) for tx_hash, contract, raw in bulk.select_in(database, sql, hashes)
    }


def _event_columns(one: Creation) -> tuple[Any, ...]:
    return (
        one.stream,
        one.contract,
        one.family,
        one.tx_hash,
        one.ledger,
        one.closed_at,
        one.sender,
        one.receiver,
        one.token,
        None if one.net is None else str(one.net),
        one.start if one.start is not None and one.start <= _LATEST else None,
        one.end if one.end is not None and one.end <= _LATEST else None,
        one.memo,
    )


def _call_columns(
    one: Creation, contract: str | None, function: str, arguments: Sequence[bytes]
) -> tuple[Known, bytes | None, str | None]:
    if contract is None:
        return Known.UNKNOWN, None, None
    told = _told(one, contract, function, arguments)
    if told is None or one.with_call(told).told is None:
        return Known.OTHER, None, None
    return Known.KNOWN, pack(arguments), told.basis


def _told(one: Creation, contract: str, function: str, arguments: Sequence[bytes]) -> CallTerms | None:
    return arguments_of(contract, one.family, function, arguments) if contract == one.contract else None


def _creation(row: bulk.Row) -> Creation:
    event_id, stream, contract, family, tx_hash, ledger, closed_at, sender, receiver, token, *others = row
    net, start, end, memo, known, arguments = others
    found = Creation(
        event_id=event_id,
        stream=stream,
        contract=contract,
        family=family,
        tx_hash=tx_hash,
        ledger=ledger,
        closed_at=closed_at,
        sender=sender,
        receiver=receiver,
        token=token,
        net=None if net is None else int(net),
        start=start,
        end=end,
        memo=memo,
    )
    if known != Known.KNOWN:
        return replace(found, known=Known(known))
    return found.with_call(_told(found, contract, CREATE, () if arguments is None else _unpacked(arguments)))


def _unpacked(raw: bytes) -> tuple[bytes, ...]:
    try:
        return unpack(bytes(raw))
    except (StellarStreamError, ValueError):  # deeper than one may be that is a part of another
        return ()
