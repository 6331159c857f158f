"""What becomes of transactions at a made Soroban RPC node: handed in, waiting, applied, forgotten."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stellarstream_core.errors import XdrError
from stellarstream_core.testing.rpc_node import INVALID_PARAMS, NodeError, Params
from stellarstream_core.xdr.ledger import envelope_hash


@dataclass(frozen=True, slots=True)
class Applied:
    """A transaction in a ledger. ``result`` is XDR of ``TransactionResult``; the others are XDR as well."""

    ledger: int
    succeeded: bool
    result: bytes
    envelope: bytes
    diagnostics: Sequence[bytes] = ()
    contract_events: Sequence[Sequence[bytes]] = ()


class MadeSubmissions:
    """Answers of ``sendTransaction`` and ``getTransaction``, in the shapes of stellar-rpc ``version``.

    Several nodes of a network may share one. ``applied`` and ``waiting`` are by hash in hex; ``refusal`` is the
    ``TransactionResult`` with which every new transaction is refused, ``busy`` says TRY_AGAIN_LATER to it.
    """

    def __init__(self, passphrase: str, version: int = 28) -> None:
        self.passphrase = passphrase
        self.version = version
        self.waiting: dict[str, bytes] = {}
        self.applied: dict[str, Applied] = {}
        self.refusal: bytes | None = None
        self.busy = False

    def send(self, params: Params, view: Any) -> dict[str, Any]:
        """Answer ``sendTransaction``: a transaction that is waiting is a duplicate, one that was applied refused."""
        try:
            envelope = b64decode(params["transaction"], validate=True)
            tx_hash = envelope_hash(envelope, self.passphrase).hex()
        except (ValueError, XdrError):
            raise NodeError(INVALID_PARAMS, "invalid_xdr") from None
        answer = {
            "hash": tx_hash,
            "latestLedger": view.latest,
            "latestLedgerCloseTime": str(view.close_time(view.latest)),
        }
        if tx_hash in self.applied:  # its sequence number is used
            return {**answer, "status": "ERROR", "errorResultXdr": _text(result_xdr(-5))}
        if tx_hash in self.waiting:
            return {**answer, "status": "DUPLICATE"}
        if self.busy:
            return {**answer, "status": "TRY_AGAIN_LATER"}
        if self.refusal is not None:
            return {**answer, "status": "ERROR", "errorResultXdr": _text(self.refusal), "diagnosticEventsXdr": []}
        self.waiting[tx_hash] = envelope
        return {**answer, "status": "PENDING"}

    def apply(self, tx_hash: str, ledger: int, *, succeeded: bool = True, **told: Any) -> None:
        """Put a waiting transaction into a ledger."""
        code = 0 if succeeded else -1
        self.applied[tx_hash] = Applied(ledger, succeeded, result_xdr(code), self.waiting.pop(tx_hash), **told)

    def transaction(self, params: Params, view: Any) -> dict[str, Any]:
        """Answer ``getTransaction``: up to the node's latest ledger and from its oldest on."""
        if len(params["hash"]) != 64:
            raise NodeError(INVALID_PARAMS, f"unexpected hash length ({len(params['hash'])})")
        answer: dict[str, Any] = {
            "latestLedger": view.latest,
            "latestLedgerCloseTime": str(view.close_time(view.latest)),
            "oldestLedger": view.oldest,
            "oldestLedgerCloseTime": str(view.close_time(view.oldest)),
        }
        if self.version >= 23:
            answer |= {"txHash": params["hash"], "ledger": 0, "createdAt": "0", "applicationOrder": 0, "feeBump": False}
            answer["events"] = {}
        found = self.applied.get(params["hash"])
        if found is None or not view.oldest <= found.ledger <= view.latest:
            return {**answer, "status": "NOT_FOUND"}
        answer |= {
            "status": "SUCCESS" if found.succeeded else "FAILED",
            "ledger": found.ledger,
            "createdAt": str(view.close_time(found.ledger)),
            "applicationOrder": 1,
            "feeBump": False,
            "envelopeXdr": _text(found.envelope),
            "resultXdr": _text(found.result),
            "resultMetaXdr": "AAAABAAAAAA=",  # nothing reads it
        }
        if found.diagnostics:
            answer["diagnosticEventsXdr"] = [_text(one) for one in found.diagnostics]
        if self.version >= 23:
            listed = [[_text(one) for one in operation] for operation in found.contract_events]
            answer["events"] = {"contractEventsXdr": listed, "transactionEventsXdr": []}
        return answer


def result_xdr(code: int, fee: int = 100) -> bytes:
    """Return the XDR of a ``TransactionResult`` without operations (those of success and failure have none here)."""
    operations = bytes(4) if code in {0, -1} else b""
    return fee.to_bytes(8, "big") + code.to_bytes(4, "big", signed=True) + operations + bytes(4)


def _text(raw: bytes) -> str:
    return b64encode(raw).decode("ascii")
