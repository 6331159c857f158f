"""A made ledger history in the words of a Soroban RPC node, for :mod:`stellarstream_core.testing.rpc_node`."""

from __future__ import annotations

import random
from binascii import b2a_base64
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from stellarstream_core.events import AFTER_ALL_TXS, BEFORE_ALL_TXS, ContractEvent, event_index, format_event_id
from stellarstream_core.ranges import LedgerRange

FIRST_CLOSE = 1_700_000_000
"""Unix seconds at which ledger 0 would have closed; the others follow every five seconds."""


class RpcEvent(NamedTuple):
    """One event as a node holds it: ``contract_id`` is "" where it has none, topics and value are base64 XDR."""

    id: str
    type: str
    contract_id: str
    tx_hash: str
    closed_at: int
    topics: tuple[str, ...]
    value: str


class MadeHistory:
    """Events between ``oldest`` and ``latest``, both of which may be moved while a node serves it."""

    def __init__(self, events: Iterable[ContractEvent], oldest: int, latest: int) -> None:
        self.oldest = oldest
        self.latest = latest
        self.truth: list[ContractEvent] = sorted(events)
        """Every event there is, in id order, retained or not."""
        self._ledgers = [event.ledger for event in self.truth]
        self._rendered = [rendered_event(event) for event in self.truth]

    def close_time(self, ledger: int) -> int:
        """Return a ledger's close time in Unix seconds."""
        return made_close_time(ledger)

    def events(self, first_ledger: int, last_ledger: int) -> Iterator[RpcEvent]:
        """Yield the retained events of these ledgers, both included, in id order."""
        first, last = max(first_ledger, self.oldest), min(last_ledger, self.latest)
        at = bisect_left(self._ledgers, first)
        while at < len(self._ledgers) and self._ledgers[at] <= last:
            yield self._rendered[at]
            at += 1

    def ledger_hash(self, ledger: int) -> str:
        """Return a made header hash, 64 hex digits."""
        return sha256(b"ledger %d" % ledger).hexdigest()

    def expected(self, within: LedgerRange, contracts: Sequence[str] | None) -> list[ContractEvent]:
        """Return what a reader must find: the events of these contracts (None: of all, and of none)."""
        return [
            event
            for event in self.truth
            if within.first <= event.ledger <= within.last and (contracts is None or event.contract_id in contracts)
        ]


def made_close_time(ledger: int) -> int:
    """Return the close time of a made ledger in Unix seconds."""
    return FIRST_CLOSE + 5 * ledger


def contract_event(
    ledger: int, tx: int, k: int, contract: str | None, *, op: int = 0, topics: int = 3, system: bool = False
) -> ContractEvent:
    """Return an event that depends only on the arguments, with that many topics."""
    seed = f"{ledger}/{tx}" if tx not in {BEFORE_ALL_TXS, AFTER_ALL_TXS} else f"{ledger}/{tx}/{k}"
    body = sha256(f"{ledger}/{tx}/{op}/{k}".encode()).digest()
    symbols = (b"transfer", b"from____", b"to______", b"asset___")
    return ContractEvent(
        format_event_id(ledger, tx, op, k),
        ledger,
        made_close_time(ledger),
        sha256(seed.encode()).hexdigest(),
        event_index(tx, op, k),
        contract,
        "system" if system else "contract",
        tuple(b"\x00\x00\x00\x0f\x00\x00\x00\x08" + symbol for symbol in symbols[:topics]),
        b"\x00\x00\x00\x05" + body[:8],
    )


def fee_events(ledger: int, count: int, native: str) -> list[ContractEvent]:
    """Return ``count`` fees charged before all transactions and one refund after them (CAP-67)."""
    charged = [contract_event(ledger, BEFORE_ALL_TXS, k, native, topics=2) for k in range(count)]
    return [*charged, contract_event(ledger, AFTER_ALL_TXS, 0, native, topics=2)]


def large_transaction(ledger: int, tx: int, count: int, contract: str) -> list[ContractEvent]:
    """Return one transaction with so many events that pages split it."""
    return [contract_event(ledger, tx, k, contract) for k in range(count)]


def varied_history(
    within: LedgerRange,
    contracts: Sequence[str],
    *,
    seed: int = 0,
    density: float = 0.5,
    most_per_ledger: int = 6,
) -> list[ContractEvent]:
    """Return a history with stretches that are empty, ledgers that are crowded, and every odd kind of event.

    ``density`` is the share of ledgers with events. The first contract has most of them; fees
    belong to the last.
    """
    dice = random.Random(seed)  # noqa: S311 - a made history, not a secret
    events: list[ContractEvent] = []
    ledger = within.first
    while ledger <= within.last:
        if dice.random() >= density:
            ledger += dice.choice((1, 1, 2, 5))
            continue
        if dice.random() < 0.3:
            events.extend(fee_events(ledger, dice.randint(1, 3), contracts[-1]))
        for tx in range(1, dice.randint(1, most_per_ledger) + 1):
            contract = contracts[0] if dice.random() < 0.6 else dice.choice((*contracts, None))
            events.extend(
                contract_event(ledger, tx, k, contract, topics=dice.randint(0, 4), system=dice.random() < 0.05)
                for k in range(dice.randint(0, 3))
            )
        ledger += 1
    return events


def rendered_event(event: ContractEvent) -> RpcEvent:
    """Return an event as a node holds it."""
    return RpcEvent(
        event.id,
        event.type,
        event.contract_id or "",
        event.tx_hash,
        event.closed_at,
        tuple(_base64(topic) for topic in event.topics),
        _base64(event.value),
    )


def _base64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode("ascii")
