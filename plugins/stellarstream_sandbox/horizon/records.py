"""A ledger, a transaction and the root as Horizon's JSON has them.

Which numbers are strings, which keys are left out and which links there are follows
``protocols/horizon`` of stellar-horizon 28.
"""

from __future__ import annotations

import struct
from binascii import b2a_base64
from typing import Any

from stellarstream_core.events import format_close_time
from stellarstream_sandbox import values as v
from stellarstream_sandbox.accounts import signer_text
from stellarstream_sandbox.history import HistorySnapshot, StoredLedger
from stellarstream_sandbox.horizon.envelopes import Envelope, envelope_of
from stellarstream_sandbox.ledger.closing import TransactionRecord
from stellarstream_sandbox.ledger.header import PROTOCOL

VERSION = "28.0.0-stellarstream-sandbox"
_CORE_VERSION = "none: this is the StellarStream sandbox, a simulation"
_STROOPS = 10**7
_PAGED = "{?cursor,limit,order}"

_HEADER_NUMBERS = struct.Struct(">qqIQIII")
"""Total coins, fee pool, inflation sequence, id pool, base fee, base reserve, size of a transaction set."""
_BEHIND_NUMBERS = 4 * 32 + 4
"""What stands behind them in a header: the skip list and the extension."""


def ledger_token(sequence: int) -> int:
    """Return a ledger's paging token (SEP-35)."""
    return sequence << 32


def transaction_token(sequence: int, order: int) -> int:
    """Return a transaction's paging token (SEP-35); the apply order counts from 1."""
    return sequence << 32 | order << 12


def ledger_record(base: str, ledger: StoredLedger) -> dict[str, Any]:
    """Return a ledger; ``base`` is Horizon's own address. ``header_xdr`` is a bare ``LedgerHeader``."""
    header = ledger.header(ledger.meta())
    numbers = _HEADER_NUMBERS.unpack_from(header, len(header) - _BEHIND_NUMBERS - _HEADER_NUMBERS.size)
    total_coins, fee_pool, _, _, base_fee, base_reserve, max_tx_set_size = numbers
    self_link = f"{base}/ledgers/{ledger.sequence}"
    return {
        "_links": {
            "self": {"href": self_link},
            **{
                name: {"href": f"{self_link}/{name}{_PAGED}", "templated": True}
                for name in ("transactions", "operations", "payments", "effects")
            },
        },
        "id": ledger.hash,
        "paging_token": str(ledger_token(ledger.sequence)),
        "hash": ledger.hash,
        "prev_hash": header[4:36].hex(),
        "sequence": ledger.sequence,
        "successful_transaction_count": ledger.transaction_count - ledger.failed_count,
        "failed_transaction_count": ledger.failed_count,
        "operation_count": ledger.operation_count,
        "tx_set_operation_count": ledger.tx_set_operation_count,
        "closed_at": format_close_time(ledger.close_time),
        "total_coins": _amount(total_coins),
        "fee_pool": _amount(fee_pool),
        "base_fee_in_stroops": base_fee,
        "base_reserve_in_stroops": base_reserve,
        "max_tx_set_size": max_tx_set_size,
        "protocol_version": int.from_bytes(header[:4], "big"),
        "header_xdr": _base64(header),
    }


def transaction_record(
    base: str, ledger: StoredLedger, order: int, record: TransactionRecord, asked: str | None = None
) -> dict[str, Any]:
    """Return a transaction; ``asked`` is the hash by which it was looked up, which may be the inner one.

    Asked by the inner hash, Horizon names the fee bump by that hash and shows the inner signatures.
    """
    envelope = envelope_of(record.envelope)
    outer = record.hash.hex()
    name = asked or outer
    token = str(transaction_token(ledger.sequence, order))
    self_link = f"{base}/transactions/{name}"
    signatures = [_base64(one) for one in envelope.signatures]
    body: dict[str, Any] = {
        "_links": {
            "self": {"href": self_link},
            "account": {"href": f"{base}/accounts/{envelope.source}"},
            "ledger": {"href": f"{base}/ledgers/{ledger.sequence}"},
            "operations": {"href": f"{self_link}/operations{_PAGED}", "templated": True},
            "effects": {"href": f"{self_link}/effects{_PAGED}", "templated": True},
            "precedes": {"href": f"{base}/transactions?order=asc&cursor={token}"},
            "succeeds": {"href": f"{base}/transactions?order=desc&cursor={token}"},
            "transaction": {"href": self_link},
        },
        "id": name,
        "paging_token": token,
        "successful": record.succeeded,
        "hash": name,
        "ledger": ledger.sequence,
        "created_at": format_close_time(ledger.close_time),
        "source_account": envelope.source,
        "source_account_sequence": str(envelope.sequence),
        "fee_account": envelope.fee_account or envelope.source,
        "fee_charged": str(int.from_bytes(record.result[:8], "big")),
        "max_fee": str(envelope.max_fee if envelope.bump_max_fee is None else envelope.bump_max_fee),
        "operation_count": record.operations,
        "envelope_xdr": _base64(record.envelope),
        "result_xdr": _base64(record.result),
        "result_meta_xdr": _base64(record.meta),
        "fee_meta_xdr": _base64(record.fee_changes),
        "memo_type": envelope.memo_type,
        "signatures": signatures,
        **_memo(envelope),
        **_preconditions(envelope),
    }
    if record.inner_hash is not None:
        outer_signatures = [_base64(one) for one in envelope.bump_signatures]
        body["fee_bump_transaction"] = {"hash": outer, "signatures": outer_signatures}
        body["inner_transaction"] = {
            "hash": record.inner_hash.hex(),
            "signatures": signatures,
            "max_fee": str(envelope.max_fee),
        }
        if name == outer:
            body["signatures"] = outer_signatures
    return body


def _memo(envelope: Envelope) -> dict[str, str]:
    match envelope.memo:
        case v.Text(raw):
            return {"memo_bytes": _base64(raw), "memo": raw.decode(errors="replace").replace("\0", "")}
        case v.U64(number):
            return {"memo": str(number)}
        case v.Bytes(raw):
            return {"memo": _base64(raw)}
    return {}


def _preconditions(envelope: Envelope) -> dict[str, Any]:
    """Return the preconditions; bounds that do not bind are left out."""
    found = envelope.preconditions
    if found is None:
        return {}
    told: dict[str, Any] = {}
    if found.min_time or found.max_time:
        told["timebounds"] = {"min_time": str(found.min_time)}
        if found.max_time:
            told["timebounds"]["max_time"] = str(found.max_time)
    if found.min_ledger or found.max_ledger:
        told["ledgerbounds"] = {"min_ledger": found.min_ledger}
        if found.max_ledger:
            told["ledgerbounds"]["max_ledger"] = found.max_ledger
    if found.min_sequence is not None:
        told["min_account_sequence"] = str(found.min_sequence)
    if found.min_sequence_age:
        told["min_account_sequence_age"] = str(found.min_sequence_age)
    if found.min_sequence_gap:
        told["min_account_sequence_ledger_gap"] = found.min_sequence_gap
    if found.extra_signers:
        told["extra_signers"] = [signer_text(signer) for signer in found.extra_signers]
    return {"preconditions": told}


def root_record(base: str, view: HistorySnapshot, passphrase: str) -> dict[str, Any]:
    """Return the root: which network this is and which ledgers there are."""
    links = {
        "account": "/accounts/{account_id}",
        "account_transactions": f"/accounts/{{account_id}}/transactions{_PAGED}",
        "ledger": "/ledgers/{sequence}",
        "ledgers": f"/ledgers{_PAGED}",
        "self": "/",
        "transaction": "/transactions/{hash}",
        "transactions": f"/transactions{_PAGED}",
    }
    return {
        "_links": {
            name: {"href": base + path, "templated": True} if "{" in path else {"href": base + path}
            for name, path in links.items()
        },
        "horizon_version": VERSION,
        "core_version": _CORE_VERSION,
        "ingest_latest_ledger": view.latest,
        "history_latest_ledger": view.latest,
        "history_latest_ledger_closed_at": format_close_time(view.close_time(view.latest)),
        "history_elder_ledger": view.oldest,
        "core_latest_ledger": view.latest,
        "network_passphrase": passphrase,
        "current_protocol_version": PROTOCOL,
        "supported_protocol_version": PROTOCOL,
        "core_supported_protocol_version": PROTOCOL,
    }


def _amount(stroops: int) -> str:
    return f"{stroops // _STROOPS}.{stroops % _STROOPS:07d}"


def _base64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode("ascii")
