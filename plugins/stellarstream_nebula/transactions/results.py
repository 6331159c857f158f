"""What the network says became of a transaction: the codes of ``TransactionResult``, and words for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

EXPIRED = "expired"
UNHEARD = "no-success"
UNDECIDED = "undecided"
UNREADABLE = "unreadable-result"
BAD_SEQUENCE = "txBAD_SEQ"

_TEXTS = {
    EXPIRED: "It was not applied before its time was over, and cannot be any more.",
    UNHEARD: "Its time is over, and the contract has published nothing of it: it did not succeed.",
    UNDECIDED: "Its time is over, and no ledger that can be asked for tells whether it was applied.",
    UNREADABLE: "The network refused it with a result that this release cannot read.",
    "txTOO_EARLY": "Its time has not begun.",
    "txTOO_LATE": "Its time is over.",
    BAD_SEQUENCE: "Its sequence number is not the account's next: others came first, or are still to come before it.",
    "txBAD_AUTH": "Its signatures do not have the weight that it takes.",
    "txBAD_AUTH_EXTRA": "It has a signature that is not needed.",
    "txINSUFFICIENT_BALANCE": "The account does not have the native token for its fee.",
    "txNO_ACCOUNT": "Its source account is not on the network.",
    "txINSUFFICIENT_FEE": "Its fee is below what the network takes now.",
    "txMALFORMED": "The network does not take it as it is.",
    "txSOROBAN_INVALID": "Its resources or its fee for them are not what the network takes.",
    "txINTERNAL_ERROR": "The network failed at it.",
    "txFAILED": "The call failed.",
    "INVOKE_HOST_FUNCTION_TRAPPED": "The contract refused the call.",
    "INVOKE_HOST_FUNCTION_RESOURCE_LIMIT_EXCEEDED": "The call took more resources than were asked for. Build it again.",
    "INVOKE_HOST_FUNCTION_ENTRY_ARCHIVED": "An entry that the call needs is archived.",
    "INVOKE_HOST_FUNCTION_INSUFFICIENT_REFUNDABLE_FEE": "Its fee for rent and events was too small. Build it again.",
    "INVOKE_HOST_FUNCTION_MALFORMED": "The network does not take the call as it is.",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a transaction failed: the network's own ``code`` (``txBAD_SEQ``) or ours, and a sentence."""

    code: str
    text: str


OVERTAKEN = Failure(BAD_SEQUENCE, "Another transaction used its sequence number up: it cannot be applied any more.")
"""Why one failed whose sequence number is gone."""


def failure(code: str) -> Failure:
    """Return a failure by its code."""
    return Failure(code, _TEXTS.get(code, "The network refused it."))


def failure_of(result: bytes | None) -> Failure:
    """Return what the ``TransactionResult`` (XDR) of a transaction that failed says.

    Of its operation where that tells more, of a fee bump what the transaction inside says.
    """
    from stellar_sdk import xdr  # noqa: PLC0415 - 600 ms to import

    if result is None:
        return failure(UNREADABLE)
    try:
        body: Any = xdr.TransactionResult.from_xdr_bytes(result).result
        if body.inner_result_pair is not None:
            body = body.inner_result_pair.result.result
        code = body.code
        operations = body.results if code == xdr.TransactionResultCode.txFAILED else None
        name = code.name
        if operations:
            inner = operations[0].tr.invoke_host_function_result if operations[0].tr is not None else None
            name = inner.code.name if inner is not None else operations[0].code.name
    except Exception:  # the SDK raises whatever its parts raise at bytes that are no XDR
        return failure(UNREADABLE)
    return failure(name)
