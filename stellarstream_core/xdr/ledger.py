"""Ledgers as facts: header, transactions and contract events out of a ``LedgerCloseMeta``.

The bytes are stepped over by the generated walker (:mod:`stellarstream_core.xdr.ledger_walk`), which
notes where transactions and events lie; events are cut out only when they are wanted. Which events
count, and under which ids, is stellar-rpc's rule (v23 and later): those of operations and of fees,
never diagnostic ones. Up to meta version 2 there are none; in version 3 a Soroban transaction's are
its operation 0's; in version 4 each operation has its own and fees have theirs (CAP-67).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import pairwise
from typing import TypeAlias

from stellarstream_core.errors import XdrError
from stellarstream_core.events import (
    AFTER_ALL_TXS,
    AFTER_TX,
    BEFORE_ALL_TXS,
    MAX_OP,
    MAX_TX_ORDER,
    ContractEvent,
    event_index,
    format_event_id,
)
from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_core.xdr import ledger_walk as walk
from stellarstream_core.xdr.strkey import contract_id_text

STAGE_BEFORE_ALL, STAGE_AFTER_TX, STAGE_AFTER_ALL = range(3)
"""``TransactionEventStage`` (CAP-67)."""

_TYPES = {0: "system", 1: "contract"}
"""``ContractEventType``. A diagnostic event among an operation's has a number but is not served, as by getEvents."""

_SUCCEEDED = frozenset((0, 1))
"""``TransactionResultCode``: txSUCCESS and txFEE_BUMP_INNER_SUCCESS."""

_LAST_CLOSE_TIME = 253_402_300_799
"""The end of the year 9999, after which a time cannot be written as RFC 3339."""

_FRONT_BYTES = 4096
"""More than a header and what stands before it can have: a third of this with every upgrade in it."""

_SIGNATURES_CHECKED = 4

EventPlace: TypeAlias = walk.ContractEvent
"""Where an event lies, in words: begin, contract id (0: none), type, begin of each topic, begin of the value, end."""

EventList: TypeAlias = walk.OperationMetaV2
"""An operation's events: begin (at their count), the events, end. Begin to end is their XDR."""


@dataclass(frozen=True, slots=True)
class LedgerHeader:
    """One ledger's header; hashes are 32 raw bytes, ``close_time`` Unix seconds, ``xdr`` the ``LedgerHeader``.

    ``hash`` is what the ledger says that its hash is (``LedgerHeaderHistoryEntry``), unchecked; where
    nothing says so it is the sha256 of ``xdr``. ``result_set_hash`` is ``txSetResultHash``.
    """

    sequence: int
    protocol: int
    close_time: int
    previous_hash: bytes
    result_set_hash: bytes
    xdr: bytes
    hash: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Transaction:
    """One applied transaction. ``hash`` has 32 bytes, ``result`` is XDR, ``fee_charged`` in stroops.

    ``hash`` is the outer one of a fee bump. ``meta_version`` is the arm of ``TransactionMeta``, 0 to 4;
    ``operations`` counts the results of operations (none where it failed before they were applied).
    ``invocations`` are the host functions that succeeded: operation index and the hash that the result
    commits to (``InvokeHostFunctionResult.success``). ``return_value`` is the XDR of what the host
    function returned, None where the meta does not tell. ``operation_events`` and ``fee_events``
    (stage and event) say where in ``raw`` the events lie, ``place`` where its meta does: begin and end
    in words.
    """

    hash: bytes
    result: bytes
    succeeded: bool
    fee_charged: int
    meta_version: int
    operations: int
    invocations: tuple[tuple[int, bytes], ...]
    return_value: bytes | None = field(repr=False)
    operation_events: Sequence[EventList] = field(repr=False)
    fee_events: Sequence[tuple[int, EventPlace]] = field(repr=False)
    raw: bytes = field(repr=False)
    place: tuple[int, int] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ledger:
    """One closed ledger; ``transactions`` are in apply order.

    ``version`` is the arm of ``LedgerCloseMeta`` (0 to 2), or None for a ledger put together from
    transactions that were served one by one (Horizon).
    """

    header: LedgerHeader
    version: int | None
    transactions: Sequence[Transaction]


# --- reading --------------------------------------------------------------------------------


def read_ledger(meta: bytes) -> Ledger:
    """Return the ledger of a whole ``LedgerCloseMeta``; nothing of it is checked against hashes.

    Raises :class:`XdrError` for bytes that are not exactly one, :class:`ProtocolUpgradeNeededError`
    for a union arm or enum number of a newer protocol. Both name the ledger where it can be read.
    """
    with _reading(lambda: _which(meta)):
        words = walk.words(meta)
        (version, (entry, processed)), end = walk.read_ledger(words, 0)
        _check_end(words, end)
        if len(processed) >= MAX_TX_ORDER:
            raise XdrError(f"{len(processed)} transactions are more than an event id can number.")
        header = _header(meta, entry[1], entry[0])
        return Ledger(header, version, [_transaction(meta, one) for one in processed])


def read_ledger_header(meta: bytes) -> LedgerHeader:
    """Return the header in front of a ``LedgerCloseMeta``; the rest is not looked at. Raises :class:`XdrError`."""
    with _reading(lambda: "A ledger"):
        (_, (entry, _)), _ = walk.read_front(walk.words(meta[:_FRONT_BYTES]), 0)
        return _header(meta, entry[1], entry[0])


def read_bare_header(xdr: bytes, claimed_hash: bytes | None = None) -> LedgerHeader:
    """Return the header of an XDR ``LedgerHeader`` (Horizon's ``header_xdr``). Raises :class:`XdrError`.

    ``claimed_hash`` (32 bytes) is what the source says that its hash is.
    """
    with _reading(lambda: "A ledger header"):
        words = walk.words(xdr)
        found, end = walk.read_header(words, 0)
        _check_end(words, end)
        header = _header(xdr, found, None)
    if claimed_hash is None:
        return header
    return replace(header, hash=claimed_hash)


def read_transaction(tx_hash: bytes, result: bytes, meta: bytes, ledger: int) -> Transaction:
    """Return a transaction from its ``TransactionResult`` and ``TransactionMeta`` (Horizon, getTransactions).

    ``tx_hash`` has 32 bytes; ``ledger`` is only named in errors. Raises :class:`XdrError`.
    """
    with _reading(lambda: f"Ledger {ledger}, transaction {tx_hash.hex()}"):
        words = walk.words(result)
        outcome, end = walk.read_result(words, 0)
        _check_end(words, end)
        words = walk.words(meta)
        found, end = walk.read_meta(words, 0)
        _check_end(words, end)
        return _made(meta, (0, len(words)), tx_hash, result, result, outcome, found)


def read_batch(raw: bytes) -> tuple[int, int, list[bytes]]:
    """Return first and last sequence and each ledger's XDR of a ``LedgerCloseMetaBatch`` (SEP-54).

    A batch of one ledger is not walked for that, a longer one is, to find where each ledger ends.
    Raises :class:`XdrError`, also where the number of ledgers is not what first and last say.
    """
    with _reading(lambda: "A batch of ledgers"):
        if len(raw) < 12:
            raise IndexError
        first, last, count = walk.words(raw[:12])
        if not count or last - first + 1 != count:
            raise XdrError(f"It has {count} ledgers, but is said to be of the ledgers {first} to {last}.")
        if count == 1:
            return first, last, [raw[12:]]
        words = walk.words(raw)
        ends = [3]
        for _ in range(count):
            ends.append(walk.skip_ledger(words, ends[-1]))
        _check_end(words, ends[-1])
        del words  # as large as the batch, and so are the ledgers
        return first, last, [raw[4 * place : 4 * end] for place, end in pairwise(ends)]


@contextmanager
def _reading(what: Callable[[], str]) -> Iterator[None]:
    """Make of every fault of the bytes an error that says what they were meant to be."""
    try:
        yield
    except IndexError:
        raise XdrError(f"{what()} is cut off: it needs more bytes than there are.") from None
    except XdrError as error:
        raise type(error)(f"{what()}: {error.message}") from None


def _which(meta: bytes) -> str:
    try:
        return f"Ledger {read_ledger_header(meta).sequence}"
    except XdrError:
        return "A ledger"


def _check_end(words: walk.Words, end: int) -> None:
    if end > len(words):
        raise IndexError
    if end < len(words):
        raise XdrError(f"It ends at byte {4 * end}, but {4 * (len(words) - end)} more follow.")


def _header(raw: bytes, found: walk.LedgerHeader, hash_place: int | None) -> LedgerHeader:
    start, protocol, previous, close_time, result_set, sequence, end = found
    if not 0 < sequence <= LAST_LEDGER:
        raise XdrError(f"{sequence} is no ledger sequence.")
    if close_time > _LAST_CLOSE_TIME:
        raise XdrError(f"Ledger {sequence} closes after the year 9999.")
    xdr = raw[4 * start : 4 * end]
    if len(xdr) != 4 * (end - start):
        raise IndexError
    return LedgerHeader(
        sequence,
        protocol,
        close_time,
        _hash(raw, previous),
        _hash(raw, result_set),
        xdr,
        sha256(xdr).digest() if hash_place is None else _hash(raw, hash_place),
    )


def _hash(raw: bytes, place: int) -> bytes:
    return raw[4 * place : 4 * place + 32]


def _transaction(raw: bytes, found: walk.TransactionResultMeta) -> Transaction:
    start, (hash_place, outcome), meta, end = found
    result = raw[4 * outcome[0] : 4 * outcome[3]]
    return _made(raw, (start, end), _hash(raw, hash_place), result, raw, outcome, meta)


def _made(
    raw: bytes,
    place: tuple[int, int],
    tx_hash: bytes,
    result: bytes,
    result_raw: bytes,
    outcome: walk.TransactionResult,
    meta: walk.TransactionMeta,
) -> Transaction:
    _, fee_charged, (code, results), _ = outcome
    invocations: tuple[tuple[int, bytes], ...] = ()
    if results is not None and code in _SUCCEEDED:
        invocations = tuple((op, _hash(result_raw, place)) for op, place in enumerate(results) if place is not None)
    version, content = meta
    return_value = None
    operations: list[EventList] = []
    fees: list[tuple[int, EventPlace]] = []
    if content is None:
        pass
    elif len(content) == 4:
        events_place, events, value_place, value_end = content
        operations = [(events_place, events, value_place)]
        return_value = raw[4 * value_place : 4 * value_end]
    else:
        operations, soroban, fees = content
        if soroban is not None and soroban[0]:
            return_value = raw[4 * soroban[0] : 4 * soroban[1]]
        if len(operations) > MAX_OP:
            raise XdrError(f"{len(operations)} operations are more than an event id can number.")
    return Transaction(
        tx_hash,
        result,
        code in _SUCCEEDED,
        fee_charged,
        version,
        len(results or ()),
        invocations,
        return_value,
        operations,
        fees,
        raw,
        place,
    )


# --- events ---------------------------------------------------------------------------------


def ledger_events(ledger: Ledger, wanted: frozenset[bytes] | None) -> list[ContractEvent]:
    """Return the ledger's events in id order: of the contracts ``wanted`` (32 raw bytes each), or all of them.

    Events without a contract are only among all of them.
    """
    before: list[_Placed] = []
    during: list[_Placed] = []
    after: list[_Placed] = []
    for order, transaction in enumerate(ledger.transactions, 1):
        for op, (_, events, _) in enumerate(transaction.operation_events):
            if events:
                during.append((transaction, order, op, 0, events))
        here = []
        for stage, event in transaction.fee_events:
            if stage == STAGE_BEFORE_ALL:
                before.append((transaction, BEFORE_ALL_TXS, 0, len(before), (event,)))
            elif stage == STAGE_AFTER_ALL:
                after.append((transaction, AFTER_ALL_TXS, 0, len(after), (event,)))
            else:
                here.append(event)
        if here:
            during.append((transaction, order, AFTER_TX, 0, here))
    return _cut(ledger.header, [*before, *during, *after], wanted)


_Placed: TypeAlias = "tuple[Transaction, int, int, int, Sequence[EventPlace]]"
"""Neighbouring events: transaction, TOID transaction and operation fields, first counter, where they lie."""


def _cut(header: LedgerHeader, placed: Sequence[_Placed], wanted: frozenset[bytes] | None) -> list[ContractEvent]:
    """Cut the wanted events out of the bytes they lie in."""
    # A ledger has hundreds of events, so the named tuple is made without its keyword constructor, and what
    # neighbours share is made once: fees are in one place but of many transactions.
    make, type_of = tuple.__new__, _TYPES.get
    sequence, closed_at = header.sequence, header.close_time
    contracts = _ContractTexts()
    found: list[ContractEvent] = []
    place = (-1, -1)
    toid, base = "", 0
    for transaction, tx, op, first, events in placed:
        raw = transaction.raw
        tx_hash = ""
        for k, (_, contract, kind, topics, value, end) in enumerate(events, first):
            contract_id = raw[4 * contract : 4 * contract + 32] if contract else None
            if wanted is not None and contract_id not in wanted:
                continue
            type_name = type_of(kind)
            if type_name is None:
                continue
            if place != (tx, op):
                place = tx, op
                toid, base = format_event_id(sequence, tx, op, 0)[:20], event_index(tx, op, 0)
            if not tx_hash:
                tx_hash = transaction.hash.hex()
            cut = []
            start = 4 * value
            for topic in reversed(topics):
                cut.append(raw[4 * topic : start])
                start = 4 * topic
            cut.reverse()
            found.append(
                make(
                    ContractEvent,
                    (
                        f"{toid}{k:010d}",
                        sequence,
                        closed_at,
                        tx_hash,
                        base + k,
                        contracts[contract_id],
                        type_name,
                        tuple(cut),
                        raw[4 * value : 4 * end],
                    ),
                )
            )
    return found


class _ContractTexts(dict[bytes | None, str | None]):
    """Contract ids to their strkeys, made once a ledger; events without a contract have None."""

    def __missing__(self, contract_id: bytes | None) -> str | None:
        self[contract_id] = text = None if contract_id is None else contract_id_text(contract_id)
        return text


# --- network --------------------------------------------------------------------------------

_ENVELOPE_TYPE_TX_V0, _ENVELOPE_TYPE_TX = 0, 2
_SKIP_SIGNED = {
    _ENVELOPE_TYPE_TX_V0: walk.skip_transaction_v0,
    _ENVELOPE_TYPE_TX: walk.skip_transaction_v1,
    5: walk.skip_fee_bump,
}
_KEY_TYPE_ED25519 = bytes(4)


def signed_for(meta: bytes, passphrase: str) -> bool | None:
    """Say whether a ledger's transactions are signed for a network; None where it has none to tell by.

    What is signed is ``sha256(network id, envelope type, transaction)``, and the ledger names its
    transactions by that hash. True promises that the first, the last and two more of the envelopes
    in the transaction set have, under this passphrase, hashes by which the ledger has results; False
    that one of them has not. Neither signatures nor the set's own hash are checked. It walks the
    transaction set but not the rest, about a fifth of what reading the ledger takes.

    Raises :class:`XdrError`.
    """
    with _reading(lambda: _which(meta)):
        words = walk.words(meta)
        (version, (_, tx_set)), _ = walk.read_front(words, 0)
        read = walk.read_envelopes_v1 if version else walk.read_envelopes_v0
        places, end = read(words, tx_set)
        if not places:
            return None
        network_id = sha256(passphrase.encode()).digest()
        last = len(places) - 1
        some = {last * part // (_SIGNATURES_CHECKED - 1) for part in range(_SIGNATURES_CHECKED)}
        hashes = (_signed_hash(meta, words, places[number], network_id) for number in sorted(some))
        return all(meta.find(one, 4 * end) >= 0 for one in hashes)


def envelope_hash(envelope: bytes, passphrase: str) -> bytes:
    """Return the hash of the transaction in a ``TransactionEnvelope`` as it is signed for a network.

    Raises :class:`XdrError`.
    """
    with _reading(lambda: "An envelope"):
        words = walk.words(envelope)
        if not words or words[0] not in _SKIP_SIGNED:
            raise XdrError("it is of no known type.")
        return _signed_hash(envelope, words, 0, sha256(passphrase.encode()).digest())


def _signed_hash(raw: bytes, words: walk.Words, place: int, network_id: bytes) -> bytes:
    """Return the hash of the transaction in the envelope at a position, as it is signed for a network."""
    kind = words[place]
    end = _SKIP_SIGNED[kind](words, place + 1)
    body = raw[4 * place + 4 : 4 * end]
    if kind == _ENVELOPE_TYPE_TX_V0:
        # It is signed as if it were of the next type, whose source account has a type in front.
        kind, body = _ENVELOPE_TYPE_TX, _KEY_TYPE_ED25519 + body
    return sha256(network_id + kind.to_bytes(4, "big") + body).digest()
