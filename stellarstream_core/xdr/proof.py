"""Proof of one ledger: from its header's hash down to the events of each invocation.

Three links, all sha256 over XDR. The header has the hash it is said to have. Its ``txSetResultHash`` is
that of the ``TransactionResultSet``, so no transaction is missing, added, moved or changed. The result of
each successful host function holds the hash of an ``InvokeHostFunctionSuccessPreImage``, so no event of
it is. Events of classic operations and of fees are in no hash; but all of them are of asset contracts
(CAP-67), so that no event of any other contract can hide among them. That a ledger follows on the one
before it is for whoever has both.

Two ways in which nodes legitimately changed an invocation's events afterwards are told apart from
tampering: re-exported ledgers (:mod:`stellarstream_core.xdr.backfill`) and reconciled ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

from stellarstream_core.certificates import Breach, Doubt, Flavour, LedgerCertificate
from stellarstream_core.errors import ProofFailedError
from stellarstream_core.events import AFTER_ALL_TXS, AFTER_TX, BEFORE_ALL_TXS, ContractEvent, parse_event_id
from stellarstream_core.xdr.asset import asset_contract_id, asset_of_topic
from stellarstream_core.xdr.backfill import Restored, restore
from stellarstream_core.xdr.ledger import STAGE_BEFORE_ALL, EventPlace, Ledger, Transaction
from stellarstream_core.xdr.ledger_walk import PROTOCOL

UNIFIED_EVENTS = 23
"""The protocol from which on meta has version 4 and classic operations and fees have events (CAP-67)."""

RECONCILED = range(58_762_517, 59_501_300)
"""Pubnet ledgers of protocol 23 to which core 24.1 and later puts events in front, which nodes at the time had not.

They make up for the balances that the hot archive bug of protocol 23 lost or gave: ``mint`` and ``burn``
of asset contracts (stellar-core InvokeHostFunctionOpFrame.cpp; "Reconciling Stellar Events").
"""

_PUBNET_ID = sha256(b"Public Global Stellar Network ; September 2015").digest()

_RECONCILING = (b"\0\0\0\x0f\0\0\0\x04mint", b"\0\0\0\x0f\0\0\0\x04burn")


@dataclass(slots=True)
class _Tally:
    """What is counted while a ledger's transactions are checked."""

    invocations: int = 0
    proven: int = 0
    unhashed: int = 0
    doubts: set[Doubt] = field(default_factory=set)


def prove(ledger: Ledger, network_id: bytes | None = None) -> LedgerCertificate:
    """Check a ledger's hashes and return what was checked.

    ``network_id``, the sha256 of the network's passphrase, lets asset contracts be told from others: then
    an event that no hash covers must be of an asset contract (up to the protocol this release knows), and
    only asset contracts' events are put back where a ledger was exported again. Without it, looks count.

    Raises :class:`ProofFailedError`, naming the ledger and, where it can be told, the transaction:
    ``HEADER``, ``RESULTS`` and ``EVENTS`` for the three links, ``META`` where an invocation succeeded but
    the meta does not hold what it returned. An invocation that is unproven but explained is not an
    error: ``proven_invocations`` is less than ``invocations`` then, and ``doubts`` says why.
    """
    header = ledger.header
    if sha256(header.xdr).digest() != header.hash:
        raise ProofFailedError(header.sequence, Breach.HEADER, "its header does not have the hash it is said to have")
    _check_results(ledger)
    tally = _Tally()
    for transaction in ledger.transactions:
        _check_events(ledger, transaction, network_id, tally)
    flavour = flavour_of(ledger)
    if flavour is Flavour.V4 and header.protocol >= UNIFIED_EVENTS:
        tally.doubts.add(Doubt.CLASSIC_EVENTS_OFF)
    return LedgerCertificate(
        header.sequence,
        header.hash.hex(),
        header.previous_hash.hex(),
        header.protocol,
        header.close_time,
        len(ledger.transactions),
        tally.invocations,
        tally.proven,
        tally.unhashed,
        flavour,
        frozenset(tally.doubts),
    )


def flavour_of(ledger: Ledger) -> Flavour:
    """Tell how the node was run that made a ledger's meta, from the meta's version and its fee events.

    With classic events on, every transaction that paid has a fee event; a ledger in which nobody paid
    and nothing else has an event does not show it.
    """
    if not ledger.transactions:
        return Flavour.UNKNOWN
    newest = max(transaction.meta_version for transaction in ledger.transactions)
    if newest < 4:
        return Flavour.V3 if newest == 3 else Flavour.V2
    if ledger.header.protocol < UNIFIED_EVENTS:
        return Flavour.BACKFILLED
    paid = [transaction for transaction in ledger.transactions if transaction.fee_charged]
    if not all(_has_fee_event(transaction) for transaction in paid):
        return Flavour.V4
    if paid or any(transaction.fee_events for transaction in ledger.transactions):
        return Flavour.V4_CLASSIC
    return Flavour.UNKNOWN


def unhashed_events(ledger: Ledger, events: Iterable[ContractEvent]) -> int:
    """Count those of a ledger's events that stand under no hash: of fees and of classic operations."""
    invocations = {(order, op) for order, one in enumerate(ledger.transactions, 1) for op, _ in one.invocations}
    places = (parse_event_id(event.id) for event in events)
    return sum(
        place.tx in (BEFORE_ALL_TXS, AFTER_ALL_TXS) or place.op == AFTER_TX or (place.tx, place.op) not in invocations
        for place in places
    )


def _has_fee_event(transaction: Transaction) -> bool:
    return any(stage == STAGE_BEFORE_ALL for stage, _ in transaction.fee_events)


def _check_results(ledger: Ledger) -> None:
    """Check the results against the header: sha256 of the ``TransactionResultSet``."""
    digest = sha256(len(ledger.transactions).to_bytes(4, "big"))
    for transaction in ledger.transactions:
        digest.update(transaction.hash)
        digest.update(transaction.result)
    if digest.digest() != ledger.header.result_set_hash:
        raise ProofFailedError(
            ledger.header.sequence,
            Breach.RESULTS,
            f"the results of its {len(ledger.transactions)} transactions are not those that its header commits to: "
            "one is missing, added, moved or changed",
        )


# --- events ---------------------------------------------------------------------------------


def _check_events(ledger: Ledger, transaction: Transaction, network_id: bytes | None, tally: _Tally) -> None:
    invocations = dict(transaction.invocations)
    tally.unhashed += len(transaction.fee_events)
    for _, event in transaction.fee_events:
        _check_unhashed(ledger, transaction, event, network_id)
    for op, (_, events, _) in enumerate(transaction.operation_events):
        if op in invocations or not events:
            continue
        # Operation meta is only kept of transactions that succeeded, and version 3 has events of host functions only.
        if not transaction.succeeded or transaction.meta_version < 4 or op >= transaction.operations:
            raise _failed(ledger, transaction, Breach.EVENTS, f"operation {op} cannot have events, but has some")
        tally.unhashed += len(events)
        for event in events:
            _check_unhashed(ledger, transaction, event, network_id)
    for op, success in invocations.items():
        tally.invocations += 1
        doubt = _check_invocation(ledger, transaction, op, success, network_id)
        if doubt is None:
            tally.proven += 1
        else:
            tally.doubts.add(doubt)


def _check_unhashed(ledger: Ledger, transaction: Transaction, event: EventPlace, network_id: bytes | None) -> None:
    """Check that an event that no hash covers is one that classic operations and fees have."""
    if network_id is None or ledger.header.protocol > PROTOCOL:
        return
    _, contract, _, topics, value, _ = event
    raw = transaction.raw
    last = raw[4 * topics[-1] : 4 * value] if topics else b""
    if not contract or raw[4 * contract : 4 * contract + 32] != _asset_contract(last, network_id):
        raise _failed(
            ledger, transaction, Breach.EVENTS, "it has an event outside of invocations that is no asset contract's"
        )


@lru_cache(maxsize=4096)
def _asset_contract(topic: bytes, network_id: bytes) -> bytes:
    """Return the contract of the asset that an event's last topic names; that of a fee's event names none."""
    return asset_contract_id(asset_of_topic(topic) or "native", network_id)


def _check_invocation(
    ledger: Ledger, transaction: Transaction, op: int, success: bytes, network_id: bytes | None
) -> Doubt | None:
    """Check one invocation's events; return what remains in doubt, None where the hash holds."""
    if transaction.return_value is None or op >= len(transaction.operation_events):
        raise _failed(ledger, transaction, Breach.META, "it succeeded, but the meta does not say what it returned")
    begin, events, end = transaction.operation_events[op]
    raw = transaction.raw
    if sha256(transaction.return_value + raw[4 * begin : 4 * end]).digest() == success:
        return None
    header = ledger.header
    if transaction.meta_version == 4 and header.protocol < UNIFIED_EVENTS:
        restored = restore(transaction, op, success, network_id)
        if restored is Restored.PROVEN:
            return None
        if restored is Restored.UNKNOWN:
            return Doubt.BACKFILLED
    of_pubnet = network_id in {None, _PUBNET_ID}
    if of_pubnet and header.sequence in RECONCILED and _reconciled(transaction, events, end, success, network_id):
        return Doubt.RECONCILED
    raise _failed(
        ledger,
        transaction,
        Breach.EVENTS,
        f"the {len(events)} events of its invocation (or what it returned) are not those that its result commits to: "
        "one is missing, added, moved or changed",
    )


def _reconciled(
    transaction: Transaction, events: Sequence[EventPlace], end: int, success: bytes, network_id: bytes | None
) -> bool:
    """Tell whether the hash holds once some leading mint and burn events of asset contracts are left out."""
    raw, value = transaction.raw, transaction.return_value or b""
    for left_out, (_, contract, _, topics, data, stop) in enumerate(events, 1):
        if not topics or not contract or not raw.startswith(_RECONCILING, 4 * topics[0], 4 * stop):
            return False
        asset = raw[4 * topics[-1] : 4 * data]
        if network_id is not None and raw[4 * contract : 4 * contract + 32] != _asset_contract(asset, network_id):
            return False
        kept = (len(events) - left_out).to_bytes(4, "big") + raw[4 * stop : 4 * end]
        if sha256(value + kept).digest() == success:
            return True
    return False


def _failed(ledger: Ledger, transaction: Transaction, breach: Breach, what: str) -> ProofFailedError:
    return ProofFailedError(ledger.header.sequence, breach, f"transaction {transaction.hash.hex()}: {what}")
