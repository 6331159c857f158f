"""The table of accepted envelopes. Functions take a peewee database, inside ``Storage.read`` or ``Storage.write``.

A row is written before anything is sent, so any worker can hand its envelope in again after a crash. Once final
(SUCCESS, or FAILED in a ledger or by the clock) it does not change any more; only what a node refused before it was
in a ledger can be tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from peewee import Database

from stellarstream_nebula.tables import NebulaTransaction as Row
from stellarstream_nebula.transactions.envelope import Envelope
from stellarstream_nebula.transactions.results import EXPIRED, Failure


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
        """Whether a node refused it before it was in a ledger: it may be taken another time."""
        return self.state is State.FAILED and self.ledger is None and not self.expired

    @property
    def expired(self) -> bool:
        """Whether its time was over before it was in a ledger."""
        return self.failure is not None and self.failure.code == EXPIRED


_COLUMNS = (
    Row.hash,
    Row.envelope,
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
        found, envelope, contract, function, status, valid_until, accepted, sent_at, ledger, code, text = row
        return Stored(
            hash=found,
            envelope=bytes(envelope),
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


def accept(database: Database, envelope: Envelope, ledger: int, now: int) -> Stored:
    """Store an envelope that passed every check, unless it is there already; return what is there.

    ``ledger`` is the chain's newest as it is known.
    """
    Row.insert(
        hash=envelope.hash,
        envelope=envelope.raw,
        account=envelope.account,
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


def note_sent(database: Database, tx_hash: str, now: int) -> Stored | None:
    """Note that a node has it; return what is there."""
    _open(tx_hash, sent_at=now, updated_at=now).execute(database)
    return find(database, tx_hash)


def reopen(database: Database, tx_hash: str, now: int) -> None:
    """Make what a node refused pending again: it is about to be handed in another time."""
    Row.update(status=State.PENDING, error_code=None, error_text=None, result=None, sent_at=None, updated_at=now).where(
        (Row.hash == tx_hash) & (Row.status == State.FAILED) & Row.ledger.is_null() & (Row.error_code != EXPIRED)
    ).execute(database)


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

    A ledger wins over what a node refused: the same envelope may have reached the network another way.
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
