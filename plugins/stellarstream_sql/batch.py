"""A window made ready for the database: checked, and compared with what is stored. Pure, no database.

Nothing is written before a window went through here, so that a mistake of a source plugin is told
as one instead of being stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from stellarstream_core.errors import InvalidEventError
from stellarstream_core.events import AFTER_ALL_TXS, BEFORE_ALL_TXS, MAX_OP, ContractEvent, event_index, parse_event_id
from stellarstream_core.sources import Window
from stellarstream_sql.rows import Row, to_row

_TX_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_TYPES = frozenset({"contract", "system"})


class ConflictKind(StrEnum):
    """How an offered event differs from what is stored."""

    CONTENT = "content"
    """Its id is stored with other content."""
    IDENTITY = "identity"
    """Its (tx_hash, event_index) is stored under another id."""
    TRANSACTION = "transaction"
    """Its transaction is known in another ledger, or at another place in this one."""


class TransactionPlace(NamedTuple):
    """Where a transaction is: its ledger, and its apply order unless only fee events told of it."""

    tx_hash: str
    ledger: int
    tx_order: int | None


class Disputed(NamedTuple):
    """An offered event that cannot be right if what is stored is."""

    event: ContractEvent
    kind: ConflictKind


@dataclass(frozen=True, slots=True)
class Batch:
    """A checked window with its transactions; ``disputed`` are events at odds with earlier ones of the same window."""

    window: Window
    transactions: Mapping[str, TransactionPlace]
    disputed: Sequence[Disputed] = field(default=())

    def places(self, excluded: frozenset[int]) -> dict[str, TransactionPlace]:
        """Return the transactions, less those in excluded ledgers."""
        if not excluded:
            return dict(self.transactions)
        return {tx_hash: place for tx_hash, place in self.transactions.items() if place.ledger not in excluded}


def prepare(window: Window) -> Batch:
    """Check a window; raise ``InvalidEventError`` where it contradicts itself.

    Checked are: the order of ids, each id against ledger and event index, range and scope, the
    form of hash and type. A transaction in two places of one window is no such error but a
    dispute: the first place counts, as if two windows had told of it.
    """
    first, last = window.range
    everything, members = window.scope.everything, frozenset(window.scope.members)
    places: dict[str, TransactionPlace] = {}
    disputed: list[Disputed] = []
    previous = toid = told = ""
    number = base = tx = 0
    doubtful = False
    for event in window.events:
        event_id, ledger, _, tx_hash, index, contract_id, kind, _, _ = event
        if event_id <= previous:
            raise InvalidEventError(
                f"{event_id} comes after {previous}: a window's events stand in id order, each once"
            )
        previous = event_id
        if event_id[:19] != toid:  # once for all events of a transaction's place
            toid, told = event_id[:19], ""
            number = int(toid) if toid.isdecimal() else 0
            tx = number >> 12 & AFTER_ALL_TXS
            base = event_index(tx, number & MAX_OP, 0)
        if event_id != f"{number:019d}-{index - base:010d}" or ledger != number >> 32:
            parse_event_id(event_id)  # it may be no id at all
            raise InvalidEventError(f"{event_id} does not belong to ledger {ledger}, event index {index}")
        if not first <= ledger <= last:
            raise InvalidEventError(f"{event_id} lies in ledger {ledger}, outside its window {window.range}")
        if not everything and contract_id not in members:
            raise InvalidEventError(f"{event_id} belongs to {contract_id}, which its window does not cover")
        if kind not in _TYPES:
            raise InvalidEventError(f"{event_id}: {kind!r:.40} is not an event type that is stored (contract, system)")
        if tx_hash != told:
            told = tx_hash
            doubtful = not _add_place(places, tx_hash, ledger, tx)
        if doubtful:
            disputed.append(Disputed(event, ConflictKind.TRANSACTION))
    return Batch(window, places, disputed)


def _add_place(places: dict[str, TransactionPlace], tx_hash: str, ledger: int, tx: int) -> bool:
    """Note where a transaction is; return False where it is known to be elsewhere."""
    order = tx if BEFORE_ALL_TXS < tx < AFTER_ALL_TXS else None
    place = places.get(tx_hash)
    if place is None:
        if not _TX_HASH.fullmatch(tx_hash):
            raise InvalidEventError(f"{tx_hash!r:.80} is not a transaction hash: 64 lower-case hex digits are")
    elif not fits(place, ledger, order):
        return False
    if place is None or place.tx_order is None:
        places[tx_hash] = TransactionPlace(tx_hash, ledger, order)
    return True


def fits(place: TransactionPlace, ledger: int, order: int | None) -> bool:
    """Tell whether a transaction can be in this ledger at this place, given where it is known to be."""
    return place.ledger == ledger and (order is None or place.tx_order is None or place.tx_order == order)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Offered events against stored ones: ids that are stored already, the same, and the disputed.

    ``outrun``: another process stored one of the events between two of the look-ups, which
    therefore do not fit together.
    """

    known: frozenset[str]
    disputed: Sequence[Disputed]
    outrun: bool = False


def compare(
    batch: Batch,
    by_id: Callable[[Sequence[Row]], Iterable[Row]],
    by_identity: Callable[[Sequence[Row]], Iterable[Row]],
    places: Callable[[Sequence[str]], Iterable[TransactionPlace]],
) -> Comparison:
    """Compare a batch with what is stored.

    The three functions look rows up: those with the same ledger and id, those with the same ledger,
    transaction and event index, and the places of transactions. The latter two are only asked about
    events whose id is unknown: where it is known, the row itself says all.
    """
    rows = [to_row(event) for event in batch.window.events]
    stored = {row[0]: row for row in by_id(rows)}
    known: set[str] = set()
    disputed: list[Disputed] = []
    unknown: list[tuple[ContractEvent, Row]] = []
    for event, row in zip(batch.window.events, rows, strict=True):
        same = stored.get(event.id)
        if same is None:
            unknown.append((event, row))
        elif same == row:
            known.add(event.id)
        else:
            disputed.append(Disputed(event, ConflictKind.CONTENT))
    if unknown:
        taken = {(row[3], row[4]): row[0] for row in by_identity([row for _, row in unknown])}
        hashes = sorted({event.tx_hash for event, _ in unknown})
        known_places = {place.tx_hash: place for place in places(hashes)}
        for event, _ in unknown:
            place = known_places.get(event.tx_hash)
            holder = taken.get((event.tx_hash, event.event_index))
            if holder == event.id:
                return Comparison(frozenset(known), disputed, outrun=True)
            if holder is not None:
                disputed.append(Disputed(event, ConflictKind.IDENTITY))
            elif place is not None and not fits(place, event.ledger, tx_order(event.id)):
                disputed.append(Disputed(event, ConflictKind.TRANSACTION))
    return Comparison(frozenset(known), disputed)


def tx_order(event_id: str) -> int | None:
    """Return the apply order an event id tells, or None for the fee events before or after all transactions."""
    tx = int(event_id[:19]) >> 12 & AFTER_ALL_TXS
    return tx if BEFORE_ALL_TXS < tx < AFTER_ALL_TXS else None
