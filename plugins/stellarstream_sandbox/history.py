"""The ledgers a sandbox keeps: compressed, within its retention, and readable while more are added."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from stellarstream_sandbox.get_events import EventRecord
from stellarstream_sandbox.ledger.closing import ClosedLedger, TransactionRecord

_HEADER_AT = 52
"""Where the bare header begins in a ledger's meta: behind version, extension and the header's hash."""

_TRIM_BATCH = 1024

_Span = tuple[int, int]


class _Spans(NamedTuple):
    """Where the pieces of a transaction stand in the ledger's meta, as offset and length."""

    hash: str
    is_fee_bump: bool
    succeeded: bool
    envelope: _Span
    result: _Span
    meta: _Span
    transaction_events: list[_Span]
    events: list[list[_Span]]
    diagnostics: list[_Span]


class StoredLedger:
    """A closed ledger as it is kept. Nothing of it changes once it is there."""

    __slots__ = ("_events", "_header_length", "_index", "_meta", "close_time", "hash", "sequence", "transaction_count")

    def __init__(self, ledger: ClosedLedger) -> None:
        self.sequence = ledger.sequence
        self.close_time = ledger.close_time
        self.hash = ledger.hash.hex()
        self.transaction_count = len(ledger.transactions)
        self._header_length = len(ledger.header)
        self._meta = zlib.compress(ledger.meta, 1)
        self._index = _packed(_spans(ledger.meta, ledger.transactions))
        self._events = _packed(ledger.events)

    def meta(self) -> bytes:
        """Return the ``LedgerCloseMeta``."""
        return zlib.decompress(self._meta)

    def header(self, meta: bytes) -> bytes:
        """Return the bare ``LedgerHeader`` out of the ledger's meta."""
        return meta[_HEADER_AT : _HEADER_AT + self._header_length]

    def header_history_entry(self, meta: bytes) -> bytes:
        """Return the ``LedgerHeaderHistoryEntry`` out of the ledger's meta: hash, header, extension."""
        return meta[_HEADER_AT - 32 : _HEADER_AT + self._header_length + 4]

    def events(self) -> Iterator[EventRecord]:
        """Yield the ledger's events in id order."""
        for one in _unpacked(self._events):
            yield EventRecord(one[0], one[1], one[2], one[3], one[4], tuple(one[5]), one[6])

    def transactions(self) -> list[TransactionRecord]:
        """Return the ledger's transactions in apply order."""
        meta = self.meta()
        return [_record(meta, _Spans(*one)) for one in _unpacked(self._index)]

    def transaction_hashes(self) -> list[str]:
        """Return the (outer) hashes of the ledger's transactions in apply order."""
        return [one[0] for one in _unpacked(self._index)]


class HistorySnapshot:
    """The ledgers kept at one moment. Ledgers that are closed or dropped meanwhile do not show."""

    def __init__(self, ledgers: Sequence[StoredLedger]) -> None:
        self._ledgers = ledgers
        self._first = ledgers[0].sequence if ledgers else 1

    @property
    def oldest(self) -> int:
        """The oldest ledger kept; 0 while there is none."""
        return self._first if self._ledgers else 0

    @property
    def latest(self) -> int:
        """The last closed ledger; 0 while there is none."""
        return self._first + len(self._ledgers) - 1

    def ledger(self, sequence: int) -> StoredLedger:
        """Return a ledger that is kept."""
        if not self.oldest <= sequence <= self.latest:
            raise KeyError(sequence)
        return self._ledgers[sequence - self._first]

    def close_time(self, ledger: int) -> int:
        """Return a kept ledger's close time in Unix seconds."""
        return self.ledger(ledger).close_time

    def events(self, first_ledger: int, last_ledger: int) -> Iterator[EventRecord]:
        """Yield the events of these ledgers, both included, in id order."""
        for sequence in range(first_ledger, last_ledger + 1):
            yield from self.ledger(sequence).events()


class History:
    """The ledgers, oldest first. Beyond ``retention`` ledgers the oldest are dropped."""

    def __init__(self, retention: int) -> None:
        self.retention = retention
        self._ledgers: list[StoredLedger] = []
        self._dropped = 0
        self._ledger_of: dict[str, int] = {}

    def append(self, ledger: ClosedLedger) -> None:
        """Add the next ledger, and drop what is out of retention now."""
        self._ledgers.append(StoredLedger(ledger))
        for transaction in ledger.transactions:
            self._ledger_of[transaction.hash.hex()] = ledger.sequence
        while len(self._ledgers) - self._dropped > self.retention:
            for tx_hash in self._ledgers[self._dropped].transaction_hashes():
                del self._ledger_of[tx_hash]
            self._dropped += 1
        if self._dropped >= _TRIM_BATCH:
            del self._ledgers[: self._dropped]
            self._dropped = 0

    def snapshot(self) -> HistorySnapshot:
        """Return the ledgers as they are now, for reading in another thread too."""
        return HistorySnapshot(self._ledgers[self._dropped :])

    def transaction_ledger(self, tx_hash: str) -> int | None:
        """Return the ledger of a transaction by its (outer) hash in hex, None where none is kept."""
        return self._ledger_of.get(tx_hash)


def _packed(rows: Sequence[tuple[object, ...]]) -> bytes:
    # orjson takes plain tuples only
    return zlib.compress(orjson.dumps([tuple(row) for row in rows]), 1)


def _unpacked(packed: bytes) -> list[Any]:
    rows: list[Any] = orjson.loads(zlib.decompress(packed))
    return rows


def _spans(meta: bytes, transactions: Sequence[TransactionRecord]) -> list[_Spans]:
    """Find each transaction's pieces in the meta, which has them in apply order behind the header."""
    found = []
    at = 0
    for one in transactions:
        result = meta.index(one.hash + one.result, at) + 32
        tx_meta = at = meta.index(one.meta, result)
        operations: list[list[_Span]] = []
        for events in one.events:
            spans: list[_Span] = []
            for event in events:
                at = meta.index(event, at)
                spans.append((at, len(event)))
                at += len(event)
            operations.append(spans)
        rest: list[list[_Span]] = []
        for pieces in (one.transaction_events, one.diagnostics):
            spans = []
            for piece in pieces:
                at = meta.index(piece, at)
                spans.append((at, len(piece)))
                at += len(piece)
            rest.append(spans)
        at = tx_meta + len(one.meta)
        found.append(
            _Spans(
                one.hash.hex(),
                one.is_fee_bump,
                one.succeeded,
                (meta.index(one.envelope), len(one.envelope)),
                (result, len(one.result)),
                (tx_meta, len(one.meta)),
                rest[0],
                operations,
                rest[1],
            )
        )
    return found


def _record(meta: bytes, spans: _Spans) -> TransactionRecord:
    def cut(span: _Span) -> bytes:
        return meta[span[0] : span[0] + span[1]]

    def cut_all(several: list[_Span]) -> list[bytes]:
        return [cut(span) for span in several]

    return TransactionRecord(
        bytes.fromhex(spans.hash),
        spans.is_fee_bump,
        spans.succeeded,
        cut(spans.envelope),
        cut(spans.result),
        cut(spans.meta),
        cut_all(spans.transaction_events),
        [cut_all(operation) for operation in spans.events],
        cut_all(spans.diagnostics),
    )
