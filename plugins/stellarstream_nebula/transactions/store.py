"""The table of accepted envelopes. Functions take a peewee database, inside ``Storage.read`` or ``Storage.write``.

A row is written before anything is sent, so any worker can hand its envelope in again after a crash. It is PENDING
until its fate is proven, and final then. What a node says when it refuses an envelope is kept beside PENDING: another
node may have taken it, or take it later.

How much one account can have stored is bounded, but for what is in a ledger, which the account paid for; and nothing
is kept for longer than :data:`KEPT_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from peewee import Database, fn

from stellarstream_nebula.tables import NebulaTransaction as Row
from stellarstream_nebula.transactions.envelope import Envelope
from stellarstream_nebula.transactions.errors import TooManyPendingError
from stellarstream_nebula.transactions.results import Failure

MOST_PENDING = 32
"""Envelopes of one account that may wait for a ledger. Their sequence numbers follow each other."""
MOST_ENDED = 100
"""Envelopes of one account that came into no ledger and are kept, the newest."""
KEPT_SECONDS = 30 * 86_400
"""How long after its time is over an envelope is kept, with what became of it."""
_REMOVED_AT_ONCE = 200
"""Rows removed when one is added: more than are added, and few enough for a short transaction."""


Noted = Callable[[Database], None]
"""Writes, in the transaction that stores an envelope, what its caller has to say of it; raising refuses it."""


class State(StrEnum):
    """What became of a transaction, as far as it is known."""

    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Stored:
    """An accepted envelope. Times are Unix seconds; see the table for the rest."""

    hash: str
    envelope: bytes
    account: str
    sequence: int
    contract: str
    function: str
    state: State
    valid_until: int
    accepted_ledger: int
    sent_at: int | None
    ledger: int | None
    failure: Failure | None

    @property
    def refused(self) -> bool:
        """Whether a node refused it when it was handed in last: it may be taken another time."""
        return self.state is State.PENDING and self.failure is not None


_COLUMNS = (
    Row.hash,
    Row.envelope,
    Row.account,
    Row.sequence,
    Row.contract_id,
    Row.function,
    Row.status,
    Row.valid_until,
    Row.accepted_ledger,
    Row.sent_at,
    Row.ledger,
    Row.error_code,
    Row.error_text,
)


def find(database: Database, tx_hash: str) -> Stored | None:
    """Return the envelope of that hash, None where none was accepted."""
    for row in Row.select(*_COLUMNS).where(Row.hash == tx_hash).tuples().execute(database):
        found, envelope, account, sequence, contract, function, status, *others = row
        valid_until, accepted, sent_at, ledger, code, text = others
        return Stored(
            hash=found,
            envelope=bytes(envelope),
            account=account,
            sequence=sequence,
            contract=contract,
            function=function,
            state=State(status),
            valid_until=valid_until,
            accepted_ledger=accepted,
            sent_at=sent_at,
            ledger=ledger,
            failure=Failure(code, text or "") if code is not None else None,
        )
    return None


Place = tuple[int, str]
"""Where an envelope stands among those that wait: when its time is over (Unix seconds), and its hash."""


def waiting(database: Database, ends: int, untouched_since: int, after: Place | None, most: int) -> list[Place]:
    """Return up to ``most`` places, in order and behind ``after``, of those that wait and end at ``ends`` or later.

    Only those that were last handed in, or else taken, at ``untouched_since`` or before (Unix seconds).
    """
    touched = fn.COALESCE(Row.sent_at, Row.submitted_at)
    rows = Row.select(Row.valid_until, Row.hash).where(
        Row.valid_until >= ends, Row.status == State.PENDING, touched <= untouched_since
    )
    if after is not None:
        end, tx_hash = after
        rows = rows.where((Row.valid_until > end) | ((Row.valid_until == end) & (Row.hash > tx_hash)))
    return list(rows.order_by(Row.valid_until, Row.hash).limit(most).tuples().execute(database))


def accept(database: Database, envelope: Envelope, ledger: int, now: int, noted: Noted | None = None) -> Stored:
    """Store an envelope that passed every check, unless it is there already; return what is there.

    ``ledger`` is one in which, and before which, it cannot be. ``noted`` comes last, also where it is there. Raises
    :class:`TooManyPendingError`, and what ``noted`` raises.
    """
    stored = find(database, envelope.hash) or _added(database, envelope, ledger, now)
    if noted is not None:
        noted(database)
    return stored


def _added(database: Database, envelope: Envelope, ledger: int, now: int) -> Stored:
    _make_room(database, envelope.account, now)
    Row.insert(
        hash=envelope.hash,
        envelope=envelope.raw,
        account=envelope.account,
        sequence=envelope.sequence,
        contract_id=envelope.contract,
        function=envelope.function,
        status=State.PENDING,
        submitted_at=now,
        valid_until=envelope.valid_until,
        accepted_ledger=ledger,
        updated_at=now,
    ).on_conflict_ignore().execute(database)
    found = find(database, envelope.hash)
    assert found is not None  # noqa: S101 - it was just written
    return found


def _make_room(database: Database, account: str, now: int) -> None:
    """Remove what is kept no longer; raise :class:`TooManyPendingError` where too much of an account waits."""
    old = Row.select(Row.hash).where(Row.valid_until < now - KEPT_SECONDS).limit(_REMOVED_AT_ONCE)
    _remove(database, old)
    own = (Row.account == account) & Row.ledger.is_null()
    waiting = (Row.status == State.PENDING) & (Row.valid_until >= now)
    if Row.select().where(own & waiting).count(database) >= MOST_PENDING:
        raise TooManyPendingError(f"{MOST_PENDING} transactions of {account} wait for a ledger already.")
    ended = Row.select(Row.hash).where(own & ~waiting).order_by(Row.submitted_at.desc(), Row.hash)
    _remove(database, ended.limit(_REMOVED_AT_ONCE).offset(MOST_ENDED - 1))


def _remove(database: Database, rows: Any) -> None:
    hashes = [tx_hash for (tx_hash,) in rows.tuples().execute(database)]
    if hashes:
        Row.delete().where(Row.hash.in_(hashes)).execute(database)


def note_sent(database: Database, tx_hash: str, now: int) -> Stored | None:
    """Note that a node has it; return what is there."""
    _open(tx_hash, sent_at=now, error_code=None, error_text=None, updated_at=now).execute(database)
    return find(database, tx_hash)


def note_refused(database: Database, tx_hash: str, now: int, why: Failure) -> Stored | None:
    """Note that a node refused it, which is no last word; return what is there."""
    _open(tx_hash, sent_at=now, error_code=why.code, error_text=why.text, updated_at=now).execute(database)
    return find(database, tx_hash)


def finish(
    database: Database,
    tx_hash: str,
    state: State,
    now: int,
    *,
    ledger: int | None = None,
    result: bytes | None = None,
    failed: Failure | None = None,
) -> Stored | None:
    """Store what became of a transaction, unless that is known already; return what is there.

    A ledger wins over what was concluded without one.
    """
    values = {
        "status": state,
        "ledger": ledger,
        "result": result,
        "error_code": failed.code if failed is not None else None,
        "error_text": failed.text if failed is not None else None,
        "updated_at": now,
    }
    if ledger is None:
        _open(tx_hash, **values).execute(database)
    else:
        Row.update(**values).where((Row.hash == tx_hash) & Row.ledger.is_null()).execute(database)
    return find(database, tx_hash)


def _open(tx_hash: str, **values: Any) -> Any:
    return Row.update(**values).where((Row.hash == tx_hash) & (Row.status == State.PENDING))
