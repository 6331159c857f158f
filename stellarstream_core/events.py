"""Contract events and their identity.

An event's id is the one stellar-rpc gives it since v23: ``{toid:019d}-{k:010d}``, where the TOID
(SEP-35) packs ledger, transaction order and operation into 64 bits, and ``k`` counts events inside
that place. String order is event order. The stable pair ``(tx_hash, event_index)`` says the same
and can be computed from a filtered answer alone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from stellarstream_core.errors import InvalidEventError
from stellarstream_core.ranges import LAST_LEDGER

MAX_TX_ORDER = 0xFFFFF
MAX_OP = 0xFFF
MAX_COUNTER = 0xFFFFFFFF

BEFORE_ALL_TXS = 0
"""TOID transaction field of fees charged before all transactions (CAP-67)."""
AFTER_ALL_TXS = MAX_TX_ORDER
"""TOID transaction field of fee refunds after all transactions (protocol 23 and later)."""
AFTER_TX = MAX_OP
"""TOID operation field of a fee refund after its transaction (before protocol 23)."""

_BEFORE_ALL_FIELD = 0x2000
_AFTER_ALL_FIELD = 0x4000

_EVENT_ID = re.compile(r"[0-9]{19}-[0-9]{10}", re.ASCII)


class EventId(NamedTuple):
    """An event id taken apart.

    ``tx`` is the apply order (1-based), 0 for fees charged before all transactions, 0xFFFFF for
    refunds after all of them. ``op`` is the operation's index (0-based), 0xFFF for a refund right
    after its transaction. ``counter`` counts inside that place (ledger-wide for tx 0 and 0xFFFFF).
    """

    ledger: int
    tx: int
    op: int
    counter: int

    @property
    def toid(self) -> int:
        """The 64-bit TOID: ``ledger << 32 | tx << 12 | op``."""
        return self.ledger << 32 | self.tx << 12 | self.op

    @property
    def event_index(self) -> int:
        """The second half of the stable key; see :func:`event_index`."""
        return event_index(self.tx, self.op, self.counter)

    def __str__(self) -> str:
        return format_event_id(self.ledger, self.tx, self.op, self.counter)


def event_index(tx: int, op: int, counter: int) -> int:
    """Return the event's number inside its transaction's place.

    ``field << 32 | counter``: the field is the operation index, 0xFFF for a refund after the
    transaction, 0x2000 for fees before all transactions, 0x4000 for refunds after all of them.
    For the events of a Soroban transaction it is simply 0, 1, 2 and so on.
    """
    if tx == BEFORE_ALL_TXS:
        return _BEFORE_ALL_FIELD << 32 | counter
    if tx == AFTER_ALL_TXS:
        return _AFTER_ALL_FIELD << 32 | counter
    return op << 32 | counter


def format_event_id(ledger: int, tx: int, op: int, counter: int) -> str:
    """Return the id string; raise :class:`InvalidEventError` where a part does not fit its bits."""
    if not (
        0 <= ledger <= LAST_LEDGER and 0 <= tx <= MAX_TX_ORDER and 0 <= op <= MAX_OP and 0 <= counter <= MAX_COUNTER
    ):
        raise InvalidEventError(f"no event id has ledger {ledger}, transaction {tx}, operation {op}, counter {counter}")
    return f"{ledger << 32 | tx << 12 | op:019d}-{counter:010d}"


def parse_event_id(text: str) -> EventId:
    """Take an id string apart; raise :class:`InvalidEventError` where it is none."""
    if not isinstance(text, str) or not _EVENT_ID.fullmatch(text):
        raise InvalidEventError(f"{text!r:.60} is not an event id: 19 digits, a dash and 10 digits are needed")
    toid, counter = int(text[:19]), int(text[20:])
    if toid >> 63 or counter > MAX_COUNTER:
        raise InvalidEventError(f"{text!r} is not an event id: a part is larger than its bits")
    return EventId(toid >> 32, toid >> 12 & MAX_TX_ORDER, toid & MAX_OP, counter)


class ContractEvent(NamedTuple):
    """One contract event as it stands in the ledger, undecoded.

    ``closed_at`` is the ledger's close time in Unix seconds; ``tx_hash`` 64 lower-case hex digits
    (the outer hash of a fee bump); ``contract_id`` a C… strkey, or None where the event has no
    contract; ``type`` is ``contract`` or ``system``; ``topics`` and ``value`` are XDR of ScVals.
    """

    id: str
    ledger: int
    closed_at: int
    tx_hash: str
    event_index: int
    contract_id: str | None
    type: str
    topics: tuple[bytes, ...]
    value: bytes


def format_close_time(seconds: int) -> str:
    """Return Unix seconds as RFC 3339 UTC with a ``Z``, as every answer prints times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_close_time(text: str) -> int:
    """Return RFC 3339 text as Unix seconds; raise ``ValueError`` where it is not a time."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return int(moment.timestamp())
