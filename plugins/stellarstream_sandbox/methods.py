"""What stellar-rpc v28 answers to each method but ``getEvents``: pure functions of a request and a history.

Surprises are kept on purpose, because clients meet them: the same time is a number in one answer
and a string in another, ``getLedgers`` refuses the cursor it gave at the tip, and ``getTransactions``
gives cursors at the tip that repeat a ledger or lead nowhere.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from typing import Any

from stellarstream_sandbox.history import HistorySnapshot
from stellarstream_sandbox.jsonrpc import INTERNAL_ERROR, INVALID_REQUEST, JsonRpcError
from stellarstream_sandbox.ledger.closing import TransactionRecord
from stellarstream_sandbox.ledger.header import PROTOCOL
from stellarstream_sandbox.params import Page, format_fault, invalid, refuse_json, text

VERSION = "28.0.0"
"""The release whose behaviour is simulated."""

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
"""How many ledgers or transactions one answer holds (``getEvents`` has its own limits)."""

_INT64 = 2**63
_TX_MASK = 0xFFFFF
_HASH_LENGTH = 32


def get_health(
    _params: Mapping[str, Any], history: HistorySnapshot, *, retention: int, silence: float, max_silence: float
) -> dict[str, Any]:
    """Answer ``getHealth``.

    ``silence`` is how many seconds ago the last ledger closed; above ``max_silence`` the answer is
    an error, which says nothing of the ledgers that are there.
    """
    if history.latest < 1:
        raise JsonRpcError(INTERNAL_ERROR, "data stores are not initialized: DB is empty")
    if silence > max_silence:
        raise JsonRpcError(
            INTERNAL_ERROR,
            f"latency ({_go_duration(round(silence))}) since last known ledger closed is too high"
            f" (>{_go_duration(round(max_silence))})",
        )
    return {
        "status": "healthy",
        "latestLedger": history.latest,
        "latestLedgerCloseTime": str(history.close_time(history.latest)),
        "oldestLedger": history.oldest,
        "oldestLedgerCloseTime": str(history.close_time(history.oldest)),
        "ledgerRetentionWindow": retention,
    }


def get_network(_params: Mapping[str, Any], *, passphrase: str, friendbot: str = "") -> dict[str, Any]:
    """Answer ``getNetwork``; without a friendbot its key is absent."""
    told = {"friendbotUrl": friendbot} if friendbot else {}
    return {**told, "passphrase": passphrase, "protocolVersion": PROTOCOL}


def get_version_info(_params: Mapping[str, Any]) -> dict[str, Any]:
    """Answer ``getVersionInfo``: the release that is simulated, and that it is."""
    return {
        "version": VERSION,
        "commitHash": "0" * 40,
        "buildTimestamp": "",
        "captiveCoreVersion": "none: this is the StellarStream sandbox, a simulation",
        "protocolVersion": PROTOCOL,
    }


def get_latest_ledger(_params: Mapping[str, Any], history: HistorySnapshot) -> dict[str, Any]:
    """Answer ``getLatestLedger``; its header is a bare ``LedgerHeader``, unlike that of ``getLedgers``."""
    if history.latest < 1:
        raise JsonRpcError(INTERNAL_ERROR, "could not get latest ledger")
    ledger = history.ledger(history.latest)
    meta = ledger.meta()
    return {
        "id": ledger.hash,
        "protocolVersion": PROTOCOL,
        "sequence": ledger.sequence,
        "closeTime": str(ledger.close_time),
        "headerXdr": _base64(ledger.header(meta)),
        "metadataXdr": _base64(meta),
    }


def get_ledgers(params: Mapping[str, Any], history: HistorySnapshot) -> dict[str, Any]:
    """Answer ``getLedgers``.

    The cursor is the last ledger of the answer, so at the tip it points past what there is, and
    sending it back is an error until the next ledger closes.
    """
    page = Page.of(params)
    _check_not_empty(history)
    faults = [_ledgers_fault(page, history), format_fault(page.format)]
    if any(faults):
        raise JsonRpcError(INVALID_REQUEST, "\n".join(fault for fault in faults if fault))
    refuse_json(page.format)
    first = page.start_ledger
    if page.cursor:
        first = _unsigned_cursor(page.cursor) + 1
        if not history.oldest <= first <= history.latest:
            raise invalid(
                f"cursor ('{page.cursor}') must be between the oldest ledger: {history.oldest}"
                f" and the latest ledger: {history.latest} for this rpc instance"
            )
    last = min(first + (page.limit or DEFAULT_LIMIT) - 1, history.latest)
    ledgers = []
    for sequence in range(first, last + 1):
        ledger = history.ledger(sequence)
        meta = ledger.meta()
        ledgers.append(
            {
                "hash": ledger.hash,
                "sequence": sequence,
                "ledgerCloseTime": str(ledger.close_time),
                "headerXdr": _base64(ledger.header_history_entry(meta)),
                "metadataXdr": _base64(meta),
            }
        )
    return {
        "ledgers": ledgers,
        "latestLedger": history.latest,
        "latestLedgerCloseTime": history.close_time(history.latest),
        "oldestLedger": history.oldest,
        "oldestLedgerCloseTime": history.close_time(history.oldest),
        "cursor": str(last),
    }


def get_transactions(params: Mapping[str, Any], history: HistorySnapshot) -> dict[str, Any]:
    """Answer ``getTransactions``.

    The cursor is the TOID of the last transaction looked at, with operation 1. Where the tip's
    last transaction was seen already it is ``(tip, 0, 1)``, which asks for the whole tip again;
    past the tip it is 0, which no node has.
    """
    page = Page.of(params)
    _check_not_empty(history)
    if fault := _transactions_fault(page, history):
        raise JsonRpcError(INVALID_REQUEST, fault)
    refuse_json(page.format)
    limit = page.limit or DEFAULT_LIMIT
    ledger, order = page.start_ledger, 1
    if page.cursor:
        toid = _signed_cursor(page.cursor)
        ledger, order = toid >> 32, (toid >> 12 & _TX_MASK) + 1
    if ledger < 0:
        raise invalid("cursor ledger sequence cannot be negative")
    found: list[dict[str, Any]] = []
    cursor = 0
    while ledger <= history.latest and len(found) < limit:
        if ledger < history.oldest:
            raise invalid(f"database does not contain metadata for ledger: {ledger}")
        stored = history.ledger(ledger)
        cursor = ledger << 32 | 1
        records = stored.transactions() if order <= stored.transaction_count else []
        for at, record in enumerate(records[order - 1 :][: limit - len(found)], order):
            cursor = ledger << 32 | at << 12 | 1
            found.append({**_details(record, at, ledger), "createdAt": stored.close_time})
        ledger, order = ledger + 1, 1
    return {
        "transactions": found,
        "latestLedger": history.latest,
        "latestLedgerCloseTimestamp": history.close_time(history.latest),
        "oldestLedger": history.oldest,
        "oldestLedgerCloseTimestamp": history.close_time(history.oldest),
        "cursor": str(cursor),
    }


def get_transaction(params: Mapping[str, Any], history: HistorySnapshot, ledger: int | None) -> dict[str, Any]:
    """Answer ``getTransaction``; ``ledger`` is where the hash was found, None where it was not.

    An unknown transaction is a success with the status ``NOT_FOUND``, and zeros where others have
    their ledger.
    """
    if fault := format_fault(text(params, "xdrFormat")):
        raise invalid(fault)
    refuse_json(text(params, "xdrFormat"))
    tx_hash = text(params, "hash")
    _check_hash(tx_hash)
    _check_not_empty(history)
    answer: dict[str, Any] = {
        "latestLedger": history.latest,
        "latestLedgerCloseTime": str(history.close_time(history.latest)),
        "oldestLedger": history.oldest,
        "oldestLedgerCloseTime": str(history.close_time(history.oldest)),
        "status": "NOT_FOUND",
        "txHash": tx_hash,
        "applicationOrder": 0,
        "feeBump": False,
        "events": {},
        "ledger": 0,
        "createdAt": "0",
    }
    if ledger is None or not history.oldest <= ledger <= history.latest:
        return answer
    stored = history.ledger(ledger)
    wanted = bytes.fromhex(tx_hash)
    for order, record in enumerate(stored.transactions(), 1):
        if record.hash == wanted:
            answer |= {**_details(record, order, ledger), "txHash": tx_hash, "createdAt": str(stored.close_time)}
    return answer


# --- the requests -----------------------------------------------------------------------------


def _check_not_empty(history: HistorySnapshot) -> None:
    if history.latest < 1:
        raise JsonRpcError(INTERNAL_ERROR, "DB is empty")


def _ledgers_fault(page: Page, history: HistorySnapshot) -> str | None:
    if page.cursor:
        if page.start_ledger:
            return f"startLedger ({page.start_ledger}) and cursor ({page.cursor}) cannot both be set"
    elif not history.oldest <= page.start_ledger <= history.latest:
        return (
            f"start ledger ({page.start_ledger}) must be between the oldest ledger: {history.oldest}"
            f" and the latest ledger: {history.latest} for this rpc instance"
        )
    return f"limit must not exceed {MAX_LIMIT}" if page.limit > MAX_LIMIT else None


def _transactions_fault(page: Page, history: HistorySnapshot) -> str | None:
    if page.cursor:
        if page.start_ledger:
            return "startLedger and cursor cannot both be set"
    elif not history.oldest <= page.start_ledger <= history.latest:
        return (
            f"start ledger must be between the oldest ledger: {history.oldest}"
            f" and the latest ledger: {history.latest} for this rpc instance"
        )
    if page.limit > MAX_LIMIT:
        return f"limit must not exceed {MAX_LIMIT}"
    return format_fault(page.format)


def _unsigned_cursor(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit()):
        raise invalid(f'strconv.ParseUint: parsing "{cursor}": invalid syntax')
    if int(cursor) >= 2**32:
        raise invalid(f'strconv.ParseUint: parsing "{cursor}": value out of range')
    return int(cursor)


def _signed_cursor(cursor: str) -> int:
    digits = cursor[1:] if cursor[0] in "+-" else cursor
    if not (digits.isascii() and digits.isdigit()):
        raise invalid(f'strconv.ParseInt: parsing "{cursor}": invalid syntax')
    if not -_INT64 <= int(cursor) < _INT64:
        raise invalid(f'strconv.ParseInt: parsing "{cursor}": value out of range')
    return int(cursor)


def _check_hash(tx_hash: str) -> None:
    raw = tx_hash.encode()
    if len(raw) // 2 != _HASH_LENGTH:
        raise invalid(f"unexpected hash length ({len(raw)})")
    for byte in raw:
        if byte not in b"0123456789abcdefABCDEF":
            raise invalid(f"incorrect hash: encoding/hex: invalid byte: U+{byte:04X} {chr(byte)!r}")
    if len(raw) % 2:
        raise invalid("incorrect hash: encoding/hex: odd length hex string")


# --- the answers ------------------------------------------------------------------------------


def _details(record: TransactionRecord, order: int, ledger: int) -> dict[str, Any]:
    details: dict[str, Any] = {
        "status": "SUCCESS" if record.succeeded else "FAILED",
        "txHash": record.hash.hex(),
        "applicationOrder": order,
        "feeBump": record.is_fee_bump,
        "envelopeXdr": _base64(record.envelope),
        "resultXdr": _base64(record.result),
        "resultMetaXdr": _base64(record.meta),
        "ledger": ledger,
    }
    if record.diagnostics:
        details["diagnosticEventsXdr"] = _all_base64(record.diagnostics)
    events: dict[str, Any] = {"transactionEventsXdr": _all_base64(record.transaction_events)}
    if record.events:  # a failed transaction has no operations in its meta, and then the key is absent
        events["contractEventsXdr"] = [_all_base64(operation) for operation in record.events]
    details["events"] = events
    return details


def _base64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode("ascii")


def _all_base64(several: Sequence[bytes]) -> list[str]:
    return [_base64(raw) for raw in several]


def _go_duration(seconds: int) -> str:
    """Return seconds as Go prints a duration: ``45s``, ``1m5s``, ``2h0m0s``."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
