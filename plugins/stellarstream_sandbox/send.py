"""What stellar-rpc v28 answers to ``sendTransaction``."""

from __future__ import annotations

from binascii import Error as BinasciiError
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any

from stellarstream_sandbox.history import HistorySnapshot
from stellarstream_sandbox.params import format_fault, invalid, refuse_json, text
from stellarstream_sandbox.submission.incoming import MalformedEnvelopeError, read_envelope
from stellarstream_sandbox.submission.mempool import Mempool


def send_transaction(
    params: Mapping[str, Any], history: HistorySnapshot, mempool: Mempool, network: bytes
) -> dict[str, Any]:
    """Answer ``sendTransaction``: what the node makes of a transaction now, not what becomes of it.

    Bytes that are no envelope are an error of JSON-RPC; everything else is an answer, with the
    ``TransactionResult`` under ``errorResultXdr`` where its status is ``ERROR``.
    """
    if fault := format_fault(text(params, "xdrFormat")):
        raise invalid(fault)
    refuse_json(text(params, "xdrFormat"))
    try:
        tx = read_envelope(envelope_bytes(text(params, "transaction")), network)
    except MalformedEnvelopeError:
        raise invalid("invalid_xdr") from None
    verdict = mempool.hand_in(tx)
    answer: dict[str, Any] = {}
    if verdict.rejection is not None:
        answer["errorResultXdr"] = b2a_base64(verdict.rejection.result(tx), newline=False).decode("ascii")
    return {
        **answer,
        "status": verdict.status.value,
        "hash": tx.hash.hex(),
        "latestLedger": history.latest,
        "latestLedgerCloseTime": str(history.close_time(history.latest) if history.latest else 0),
    }


def envelope_bytes(encoded: str) -> bytes:
    """Return the bytes of base64 text, in which Go's decoder passes over line breaks.

    Raises :class:`MalformedEnvelopeError` where it is no base64.
    """
    try:
        return a2b_base64(encoded.replace("\r", "").replace("\n", ""), strict_mode=True)
    except (BinasciiError, ValueError):
        raise MalformedEnvelopeError("no base64") from None
