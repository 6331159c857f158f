"""Which records a page has: Horizon's paging rules as pure functions of a request and a history.

Its surprises are kept: an ascending page whose cursor lies before the history begins at the oldest
ledger without a word, and the paging token of the oldest ledger counts as such a cursor, so that
paging one ledger at a time never gets past it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from stellarstream_core.events import MAX_OP, MAX_TX_ORDER
from stellarstream_sandbox.history import HistorySnapshot
from stellarstream_sandbox.horizon.problems import bad_field, before_history, not_found
from stellarstream_sandbox.horizon.records import (
    ledger_record,
    ledger_token,
    transaction_record,
    transaction_token,
)

DEFAULT_LIMIT = 10
MAX_LIMIT = 200

_INTEGER = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)
_SEQUENCE = re.compile(r"[0-9]{1,10}", re.ASCII)
_INT64 = 2**63
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True", "on"})
_FALSE = frozenset({"", "0", "f", "F", "false", "FALSE", "False"})


class PageQuery(NamedTuple):
    """A valid request for a page. ``cursor`` is the text as it was given, ``now`` resolved; "" is none."""

    cursor: str
    ascending: bool
    limit: int
    include_failed: bool

    @classmethod
    def of(cls, query: Mapping[str, str], last_event_id: str, latest: int) -> PageQuery:
        """Read the parameters; raise :class:`Problem` where one makes no sense.

        ``last_event_id`` is the header of that name, which wins over the parameter in every request.
        """
        cursor = query.get("cursor", "")
        if cursor == "now":
            cursor = str(_after_ledger(latest))
        cursor = last_event_id or cursor
        if _INTEGER.fullmatch(cursor) and int(cursor) < 0:
            raise bad_field("cursor", f"the cursor {cursor} is a negative number: ")
        order = query.get("order", "")
        limit = _limit(query.get("limit", ""))
        if order not in ("", "asc", "desc"):
            raise bad_field("order", "order: invalid value")
        if not all(_is_int64(part) for part in cursor.split("-", 1) if cursor):
            raise bad_field("cursor", "cursor: invalid value")
        return cls(cursor, order != "desc", limit, _truth(query.get("include_failed", "")))

    def start(self, elder: int) -> int:
        """Return the token that the page begins behind; raise :class:`Problem` where nothing can come.

        ``elder`` is the oldest ledger there is.
        """
        cursor = 0 if self.ascending else _INT64 - 1
        if self.cursor:
            cursor = int(self.cursor.split("-", 1)[0])
        if cursor > ledger_token(elder):
            return cursor
        if self.ascending:
            return _after_ledger(elder - 1)
        raise before_history()


class Page(NamedTuple):
    """The records of a page, and where the pages around it begin."""

    records: list[dict[str, Any]]

    def to_json(self, url: str, params: Mapping[str, str], query: PageQuery) -> dict[str, Any]:
        """Return the page with its links; ``url`` has no query, ``params`` are those of the request."""
        tokens = [record["paging_token"] for record in self.records]
        order, inverse = ("asc", "desc") if query.ascending else ("desc", "asc")

        def link(cursor: str, direction: str) -> dict[str, str]:
            merged = {**params, "cursor": cursor, "order": direction, "limit": str(query.limit)}
            return {"href": f"{url}?{urlencode(sorted(merged.items()))}"}

        return {
            "_links": {
                "self": link(query.cursor, order),
                "next": link(tokens[-1] if tokens else query.cursor, order),
                "prev": link(tokens[0] if tokens else query.cursor, inverse),
            },
            "_embedded": {"records": self.records},
        }


def ledgers(base: str, view: HistorySnapshot, query: PageQuery) -> Page:
    """Return a page of ``/ledgers``."""
    start = query.start(view.oldest)
    if query.ascending:
        first = max((start >> 32) + 1, view.oldest)
        found = range(first, view.latest + 1)[: query.limit]
    else:
        last = min((start - 1) >> 32, view.latest)
        found = range(last, view.oldest - 1, -1)[: query.limit]
    return Page([ledger_record(base, view.ledger(sequence)) for sequence in found])


def transactions(base: str, view: HistorySnapshot, query: PageQuery, ledger: int | None = None) -> Page:
    """Return a page of ``/transactions``, or of one ledger's; raise :class:`Problem` where it is not there."""
    start = query.start(view.oldest)
    if ledger is not None and not view.oldest <= ledger <= view.latest:
        raise not_found()
    records: list[dict[str, Any]] = []
    for sequence in _ledgers_from(view, start, query.ascending) if ledger is None else (ledger,):
        stored = view.ledger(sequence)
        if stored.transaction_count == (0 if query.include_failed else stored.failed_count):
            continue
        rows = list(enumerate(stored.transactions(), 1))
        for order, row in rows if query.ascending else reversed(rows):
            token = transaction_token(sequence, order)
            behind = token > start if query.ascending else token < start
            if behind and (row.succeeded or query.include_failed):
                records.append(transaction_record(base, stored, order, row))
                if len(records) == query.limit:
                    return Page(records)
    return Page(records)


def one_ledger(base: str, view: HistorySnapshot, text: str) -> dict[str, Any]:
    """Return ``/ledgers/{sequence}``; raise :class:`Problem` where it is not there (any more)."""
    sequence = sequence_of(text)
    if sequence < view.oldest:
        raise before_history()
    if sequence > view.latest:
        raise not_found()
    return ledger_record(base, view.ledger(sequence))


def one_transaction(base: str, view: HistorySnapshot, tx_hash: str, ledger: int | None) -> dict[str, Any]:
    """Return ``/transactions/{hash}``; ``ledger`` is where the hash was found, inner or outer."""
    if not re.fullmatch("[0-9a-f]{64}", tx_hash):
        raise bad_field("tx_id", "a transaction's hash is 64 hex digits, without capitals")
    if ledger is None or not view.oldest <= ledger <= view.latest:
        raise not_found()
    stored, wanted = view.ledger(ledger), bytes.fromhex(tx_hash)
    for order, row in enumerate(stored.transactions(), 1):
        if wanted in (row.hash, row.inner_hash):
            return transaction_record(base, stored, order, row, tx_hash)
    raise not_found()


def sequence_of(text: str) -> int:
    """Return the ledger sequence of a path; raise :class:`Problem` where it is none."""
    if not _SEQUENCE.fullmatch(text) or int(text) >= 2**32:
        raise bad_field("ledger_id", "invalid value")
    return int(text)


def _ledgers_from(view: HistorySnapshot, start: int, ascending: bool) -> Iterator[int]:
    if ascending:
        yield from range(max(start >> 32, view.oldest), view.latest + 1)
    else:
        yield from range(min((start - 1) >> 32, view.latest), view.oldest - 1, -1)


def _after_ledger(sequence: int) -> int:
    """Return the greatest token of a ledger."""
    return max(sequence, 0) << 32 | MAX_TX_ORDER << 12 | MAX_OP


def _limit(text: str) -> int:
    if not text:
        return DEFAULT_LIMIT
    if not _is_int64(text):
        raise bad_field("limit", "unparseable value")
    if int(text) <= 0:
        raise bad_field("limit", "invalid limit: non-positive value provided")
    if int(text) > MAX_LIMIT:
        raise bad_field("limit", f"invalid limit: value provided that is over limit max of {MAX_LIMIT}")
    return int(text)


def _truth(text: str) -> bool:
    if text not in _TRUE | _FALSE:
        raise bad_field("include_failed", "invalid value")
    return text in _TRUE


def _is_int64(text: str) -> bool:
    return bool(_INTEGER.fullmatch(text)) and -_INT64 <= int(text) < _INT64
