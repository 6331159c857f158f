"""Histories to serve as Horizon does: a sandbox's, and recorded pubnet ledgers taken apart into transactions."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from functools import cache

import orjson

from stellarstream_core.events import ContractEvent, event_index, parse_close_time, parse_event_id
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.xdr.ledger import envelope_hash
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.simulation import Simulation
from tests.paths import fixture

GENESIS_TIME = 1_750_000_000
PUBNET = "Public Global Stellar Network ; September 2015"


@dataclass(frozen=True)
class HeldTransaction:
    """``event`` is the XDR of one event that the result's hash covers, where there is one."""

    hash: bytes
    inner_hash: bytes | None
    result: bytes
    meta: bytes
    succeeded: bool
    event: bytes | None = None
    envelope: bytes = b""


@dataclass(frozen=True)
class HeldLedger:
    sequence: int
    hash: bytes
    header: bytes
    previous_hash: bytes
    close_time: int
    transactions: tuple[HeldTransaction, ...]

    @property
    def succeeded(self) -> int:
        return sum(one.succeeded for one in self.transactions)


@dataclass
class History:
    """Ledgers by sequence. ``oldest`` and ``latest`` may be moved: what lies outside is dropped, or still to come."""

    ledgers: dict[int, HeldLedger]
    events: list[ContractEvent]
    passphrase: str
    contracts: dict[str, str] = field(default_factory=dict)
    oldest: int = 0
    latest: int = 0

    def __post_init__(self):
        self.oldest = self.oldest or min(self.ledgers)
        self.latest = self.latest or max(self.ledgers)

    def fresh(self) -> History:
        return History(self.ledgers, self.events, self.passphrase, self.contracts, self.oldest, self.latest)

    def expected(self, ledgers: LedgerRange, members=None) -> list[ContractEvent]:
        return [e for e in self.events if ledgers.holds(e.ledger) and (members is None or e.contract_id in members)]


@cache
def _sandbox(ledgers: int, seed: int, transactions: int) -> History:
    simulation = Simulation(
        SandboxConfig(
            seed=seed,
            ledgers=ledgers,
            genesis_time=GENESIS_TIME,
            transactions=transactions,
            burst_every=60,
            burst_events=300,
        )
    )
    held, events, previous = {}, [], bytes(32)
    for closed in simulation.close_history():
        members = []
        for one in closed.transactions:
            invoked = [event for operation in one.events for event in operation] if one.succeeded else []
            covered = invoked[0] if invoked and one.result[-44:-40] == (24).to_bytes(4, "big") else None
            told = (one.hash, one.inner_hash, one.result, one.meta, one.succeeded)
            members.append(HeldTransaction(*told, covered, one.envelope))
        previous = closed.header[4:36]
        held[closed.sequence] = HeldLedger(
            closed.sequence, closed.hash, closed.header, previous, closed.close_time, tuple(members)
        )
        events += [_event(one) for one in closed.events]
    return History(held, events, simulation.config.passphrase, simulation.contracts)


def sandbox_history(ledgers: int = 200, seed: int = 1, transactions: int = 6) -> History:
    """Return a history that starts at ledger 2; the same object's ledgers, with a range of its own."""
    return _sandbox(ledgers, seed, transactions).fresh()


def _event(record) -> ContractEvent:
    place = parse_event_id(record.id)
    return ContractEvent(
        record.id,
        place.ledger,
        record.closed_at,
        record.tx_hash,
        event_index(place.tx, place.op, place.counter),
        record.contract_id or None,
        record.type,
        tuple(_raw(topic) for topic in record.topics),
        _raw(record.value),
    )


def _raw(value) -> bytes:
    from binascii import a2b_base64

    return a2b_base64(value) if isinstance(value, str) else value


@cache
def pubnet_ledger(sequence: int) -> HeldLedger:
    """Return a recorded pubnet ledger, taken apart by stellar-sdk."""
    from stellar_sdk import xdr

    raw = gzip.decompress(fixture(f"pubnet-ledgers/ledger-{sequence}.xdr.gz").read_bytes())
    meta = xdr.LedgerCloseMeta.from_xdr_bytes(raw)
    inner = meta.v1 or meta.v2
    entry = inner.ledger_header
    envelopes = {envelope_hash(one, PUBNET): one for one in _envelopes(inner.tx_set.to_xdr_bytes())}
    return HeldLedger(
        sequence,
        entry.hash.hash,
        entry.header.to_xdr_bytes(),
        entry.header.previous_ledger_hash.hash,
        entry.header.scp_value.close_time.time_point.uint64,
        tuple(
            HeldTransaction(
                one.result.transaction_hash.hash,
                None,
                one.result.result.to_xdr_bytes(),
                one.tx_apply_processing.to_xdr_bytes(),
                one.result.result.result.code.value in (0, 1),
                envelope=envelopes[one.result.transaction_hash.hash],
            )
            for one in inner.tx_processing
        ),
    )


def _envelopes(tx_set: bytes) -> list[bytes]:
    """Return the envelopes of a ``GeneralizedTransactionSet``, taken apart by stellar-sdk."""
    from enum import Enum

    from stellar_sdk import xdr

    found, open_ = [], [xdr.GeneralizedTransactionSet.from_xdr_bytes(tx_set)]
    while open_:
        one = open_.pop()
        if isinstance(one, xdr.TransactionEnvelope):
            found.append(one.to_xdr_bytes())
        elif isinstance(one, list):
            open_ += one
        elif not isinstance(one, Enum) and hasattr(one, "__dict__"):
            open_ += vars(one).values()
    return found


def get_events_expected(sequence: int) -> list[ContractEvent]:
    """Return what stellar-rpc says a recorded ledger's events are."""
    lines = gzip.decompress(fixture(f"pubnet-ledgers/getEvents-expected-{sequence}.jsonl.gz").read_bytes()).splitlines()
    found = []
    for line in lines:
        one = orjson.loads(line)
        place = parse_event_id(one["id"])
        found.append(
            ContractEvent(
                one["id"],
                one["ledger"],
                parse_close_time(one["ledgerClosedAt"]),
                one["txHash"],
                event_index(place.tx, place.op, place.counter),
                one["contractId"] or None,
                one["type"],
                tuple(_raw(topic) for topic in one.get("topic") or ()),
                _raw(one["value"]),
            )
        )
    return found
