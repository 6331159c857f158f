"""The ledgers a sandbox keeps: compressed, each server's own retention, and readable while more are added."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, NamedTuple

import orjson

from stellarstream_sandbox.get_events import EventRecord
from stellarstream_sandbox.ledger.closing import ClosedLedger, TransactionRecord

_HEADER_AT = 52
"""Where the bare header begins in a ledger's meta: behind version, extension and the header's hash."""

_TRIM_BATCH = 1024

_Span = tuple[int, int]


class _Spans(NamedTuple):
    """Where the pieces of a transaction stand in the ledger's meta, as offset and length.

    ``inner_hash`` is "" where there is no fee bump.
    """

    hash: str
    inner_hash: str
    succeeded: bool
    operations: int
    envelope: _Span
    result: _Span
    meta: _Span
    transaction_events: list[_Span]
    events: list[list[_Span]]
    diagnostics: list[_Span]


class StoredLedger:
    """A closed ledger as it is kept. Nothing of it changes once it is there.

    ``failed_count`` are those of ``transaction_count`` that failed, ``operation_count`` the operations
    of the others, ``tx_set_operation_count`` those of all.
    """

    __slots__ = (
        "_events",
        "_header_length",
        "_index",
        "_meta",
        "close_time",
        "failed_count",
        "hash",
        "operation_count",
        "sequence",
        "transaction_count",
        "tx_set_operation_count",
    )

    def __init__(self, ledger: ClosedLedger) -> None:
        self.sequence = ledger.sequence
        self.close_time = ledger.close_time
        self.hash = ledger.hash.hex()
        self.transaction_count = len(ledger.transactions)
        self.failed_count = sum(not one.succeeded for one in ledger.transactions)
        self.tx_set_operation_count = sum(one.operations for one in ledger.transactions)
        self.operation_count = sum(one.operations for one in ledger.transactions if one.succeeded)
        self._header_length = len(ledger.header)
        self._meta = zlib.compress(ledger.meta, 1)
        self._index = _packed(_spans(ledger.meta, ledger.transactions))
        self._events = _packed(ledger.events)

    def without_events(self) -> StoredLedger:
        """Return the ledger without the second copy of its events that ``getEvents`` is answered from."""
        archived = copy(self)
        archived._events = b""
        return archived

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

    def transaction_hashes(self) -> list[tuple[str, str]]:
        """Return the outer and the inner hash ("" for none) of each transaction in apply order."""
        return [(one[0], one[1]) for one in _unpacked(self._index)]


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
    """The ledgers, oldest first: one history of which each server shows as many of the last as it retains.

    ``archive`` ledgers are kept, or ``retention`` where that is more; what is older is dropped. A
    ledger that is out of ``retention`` is kept without what only ``getEvents`` needs.
    """

    def __init__(self, retention: int, archive: int = 0) -> None:
        self.retention = retention
        self._kept = max(retention, archive)
        self._ledgers: list[StoredLedger] = []
        self._dropped = 0
        self._ledger_of: dict[bytes, int] = {}
        self._ledger_of_inner: dict[bytes, int] = {}

    def append(self, ledger: ClosedLedger) -> None:
        """Add the next ledger, and drop what nobody retains any more."""
        self._ledgers.append(StoredLedger(ledger))
        for one in ledger.transactions:
            self._ledger_of[one.hash] = ledger.sequence
            if one.inner_hash is not None:
                self._ledger_of_inner[one.inner_hash] = ledger.sequence
        out = len(self._ledgers) - self.retention - 1
        if out >= self._dropped:
            self._ledgers[out] = self._ledgers[out].without_events()
        while len(self._ledgers) - self._dropped > self._kept:
            for outer, inner in self._ledgers[self._dropped].transaction_hashes():
                self._ledger_of.pop(bytes.fromhex(outer), None)
                self._ledger_of_inner.pop(bytes.fromhex(inner), None)
            self._dropped += 1
        if self._dropped >= _TRIM_BATCH:
            del self._ledgers[: self._dropped]
            self._dropped = 0

    def snapshot(self) -> HistorySnapshot:
        """Return the last ``retention`` ledgers as they are now, for reading in another thread too."""
        return self.archive(self.retention)

    def archive(self, last: int | None = None) -> HistorySnapshot:
        """Return the ledgers that are kept, or as many of the last; their events only within ``retention``."""
        first = self._dropped if last is None else max(self._dropped, len(self._ledgers) - last)
        return HistorySnapshot(self._ledgers[first:])

    def transaction_ledger(self, tx_hash: str, *, or_inner: bool = False) -> int | None:
        """Return the ledger of a transaction by its (outer) hash in hex, None where none is kept.

        ``or_inner`` finds a fee bump by the hash of the transaction inside it, too.
        """
        try:
            raw = bytes.fromhex(tx_hash)
        except ValueError:
            return None
        found = self._ledger_of.get(raw)
        return self._ledger_of_inner.get(raw) if found is None and or_inner else found


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
                one.inner_hash.hex() if one.inner_hash is not None else "",
                one.succeeded,
                one.operations,
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
        bool(spans.inner_hash),
        spans.succeeded,
        spans.operations,
        cut(spans.envelope),
        cut(spans.result),
        cut(spans.meta),
        cut_all(spans.transaction_events),
        [cut_all(operation) for operation in spans.events],
        cut_all(spans.diagnostics),
        # in a TransactionResultMetaV1 the changes by the fee stand between the result and the meta
        meta[spans.result[0] + spans.result[1] : spans.meta[0]],
    )
