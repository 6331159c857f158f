"""The events of a page: JSON to checked ``ContractEvent``s. The plugin's hot path."""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from typing import Any

from stellarstream_core.errors import InvalidStrkeyError
from stellarstream_core.events import (
    AFTER_ALL_TXS,
    BEFORE_ALL_TXS,
    MAX_COUNTER,
    MAX_OP,
    MAX_TX_ORDER,
    ContractEvent,
    event_index,
    parse_close_time,
)
from stellarstream_core.scope import Scope
from stellarstream_core.xdr.strkey import contract_id_bytes
from stellarstream_soroban_rpc.collecting import collector_paused

_WHOLE_LEDGER = frozenset({BEFORE_ALL_TXS, AFTER_ALL_TXS})
"""Transaction fields whose events belong to many transactions and to no operation."""


class BadPageError(Exception):
    """A page contradicts itself or the question; the message says how."""


class OldNodeError(Exception):
    """The page's ids follow the numbering before stellar-rpc v23, which counted diagnostic events too."""


def read_events(raw: object, group: Scope, first: int, after: str) -> tuple[list[ContractEvent], str]:
    """Return the events and the last id ("" for none), or raise as :func:`read_get_events` does.

    Checked of each: the id's form; ids strictly increasing, above ``after`` and not before ledger
    ``first``; ledger, transaction and operation those of the id; one close time a ledger; one hash
    a transaction; the contract one of the group; type; strict base64 of whole XDR words.
    """
    if not isinstance(raw, list):
        raise BadPageError("its events are not a list")
    if _from_old_node(raw[:1]):
        raise OldNodeError
    try:
        with collector_paused():
            return _events(raw, group, first, after)
    except (KeyError, TypeError, AttributeError, ValueError, BadPageError) as error:
        if _from_old_node(raw):
            raise OldNodeError from None
        if isinstance(error, BadPageError):
            raise
        raise BadPageError(f"an event has a field that is missing or cannot be read ({error!s:.60})") from None


class _Minutes(dict[str, int]):
    """Times up to the minute ("2026-06-19T00:21:") to Unix seconds; a minute holds a dozen ledgers."""

    def __missing__(self, text: str) -> int:
        self[text] = seconds = parse_close_time(f"{text}00Z")
        return seconds


_SECONDS = {f"{second:02d}Z": second for second in range(60)}


class _Counters(dict[str, int]):
    """Ten digits to the counter they are."""

    def __missing__(self, text: str) -> int:
        if len(text) != 10 or not text.isascii() or not text.isdigit() or int(text) > MAX_COUNTER:
            raise BadPageError(f"{text!r:.20} is not the counter of an event id")
        return int(text)


_COUNTERS = {f"{counter:010d}": counter for counter in range(256)}


class _Topics(dict[str, bytes]):
    """Base64 to bytes, decoded once a page: topics repeat, and then share their bytes."""

    def __missing__(self, text: str) -> bytes:
        value = a2b_base64(text, strict_mode=True)
        if not value or len(value) & 3:
            raise ValueError("a topic is not XDR")
        self[text] = value
        return value


def _events(raw: Sequence[Mapping[str, Any]], group: Scope, first: int, after: str) -> tuple[list[ContractEvent], str]:
    # This is the hot path: 3 µs an event. What neighbours share (place, close time, hash) is
    # checked when it changes, and the named tuple is made without its keyword constructor.
    events: list[ContractEvent] = []
    append = events.append
    make, from_hex = tuple.__new__, bytes.fromhex
    topic_bytes = _Topics().__getitem__
    minute_of, second_of, counter_of = _Minutes().__getitem__, _SECONDS.__getitem__, _Counters(_COUNTERS).__getitem__
    contracts = _AnyContract() if group.everything else _OneOf((contract, contract) for contract in group)
    types = _OneOf((name, name) for name in ("contract", "system"))
    previous = after
    toid_text = tx_hash = closed_text = ""
    ledger = first
    closed_ledger = closed_at = place = tx = op = base = -1

    for item in raw:
        event_id: str = item["id"]
        counter_text = event_id[20:]
        if event_id[:20] != toid_text:
            if len(event_id) != 30 or event_id[19] != "-" or not event_id.isascii() or not event_id[:19].isdigit():
                raise _not_an_id(event_id)
            toid_text = event_id[:20]
            toid = int(event_id[:19])
            ledger, tx, op = toid >> 32, toid >> 12 & MAX_TX_ORDER, toid & MAX_OP
            if toid >> 63 or ledger < first:
                raise BadPageError(f"its event {event_id} lies before ledger {first}")
            if op and tx in _WHOLE_LEDGER:
                raise _not_an_id(event_id)
            base = event_index(tx, op, 0)
            if toid >> 12 != place:
                place, tx_hash = toid >> 12, ""
        counter = counter_of(counter_text)
        if event_id <= previous:
            raise BadPageError(f"its event {event_id} does not come after {previous}")
        previous = event_id
        if item["ledger"] != ledger:
            raise BadPageError(f"its event {event_id} is said to be of ledger {item['ledger']!r:.20}")
        if item.get("transactionIndex", tx) != tx or item.get("operationIndex", op) != op:
            raise BadPageError(f"its event {event_id} is said to be of another transaction or operation")
        this_time: str = item["ledgerClosedAt"]
        if ledger != closed_ledger:
            closed_at = minute_of(this_time[:17]) + second_of(this_time[17:])
            closed_ledger, closed_text = ledger, this_time
        elif this_time != closed_text:
            raise BadPageError(f"ledger {ledger} has two close times")
        this_hash: str = item["txHash"]
        if this_hash != tx_hash:
            if len(this_hash) != 64 or len(from_hex(this_hash)) != 32 or this_hash.lower() != this_hash:
                raise BadPageError(f"its event {event_id} has a hash that is none")
            if tx_hash and tx not in _WHOLE_LEDGER:
                raise BadPageError(f"its event {event_id} belongs to two transactions")
            tx_hash = this_hash
        value = a2b_base64(item["value"], strict_mode=True)
        if not value or len(value) & 3:
            raise BadPageError(f"the value of its event {event_id} is not XDR")
        topics = item.get("topic", ())  # the node leaves the key out where there are none
        if topics.__class__ is not list and topics != ():
            raise BadPageError(f"the topics of its event {event_id} are not a list")
        append(
            make(
                ContractEvent,
                (
                    event_id,
                    ledger,
                    closed_at,
                    tx_hash,
                    base + counter,
                    contracts[item["contractId"]],
                    types[item["type"]],
                    tuple(map(topic_bytes, topics)),
                    value,
                ),
            )
        )
    return events, previous if events else ""


class _OneOf(dict[str, str | None]):
    """The values that were asked for, each mapped to itself so that events share one object."""

    def __missing__(self, text: str) -> str | None:
        raise BadPageError(f"it has an event of {text!r:.70}, which was not asked for")


class _AnyContract(dict[str, str | None]):
    """Any contract id, checked once a page; None where an event has no contract."""

    def __missing__(self, text: str) -> str | None:
        if text:
            try:
                contract_id_bytes(text)
            except InvalidStrkeyError:
                raise BadPageError(f"its contract id {text!r:.70} is not a strkey") from None
        self[text] = found = text or None
        return found


def _from_old_node(items: Sequence[object]) -> bool:
    """Tell whether a node before v23 made these events: those sent paging tokens and diagnostic events."""
    return any(isinstance(item, dict) and ("pagingToken" in item or item.get("type") == "diagnostic") for item in items)


def _not_an_id(event_id: str) -> BadPageError:
    return BadPageError(f"{event_id!r:.60} is not an event id")
