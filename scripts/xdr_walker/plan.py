"""What the walker keeps of a ledger; everything else is only stepped over.

A reader returns plain tuples: the parts listed here, in this order. Positions count words.

=============  ==============================================================================
``x``          the field's value: a number, or what is listed for its type (a list of them for
               an array, None for an optional that is not there)
``x@``         where the field begins; for an optional where its content does, 0 if there is none
``x[]@``       where each item of the array begins
``x+``         for a union of one arm with a struct in it: that struct's parts, as if they stood here
``^``, ``$``   where the struct begins and ends
=============  ==============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fields:
    """A struct: a tuple of these parts. ``until``: nothing is read from this field on."""

    parts: tuple[str, ...]
    until: str | None = None


@dataclass(frozen=True)
class Only:
    """A struct of which one part is wanted, without a tuple around it."""

    part: str


@dataclass(frozen=True)
class Arms:
    """A union: the value of one of these arms, None for the others; with ``tag`` a pair of the case and that."""

    parts: tuple[str, ...]
    tag: bool = False


@dataclass(frozen=True)
class Places:
    """Where every value of ``type`` begins, wherever it stands in this type."""

    type: str


Plan = dict[str, Fields | Only | Arms | Places]

_HEADER: Plan = {
    "LedgerHeaderHistoryEntry": Fields(("hash@", "header")),
    "LedgerHeader": Fields(
        ("^", "ledgerVersion", "previousLedgerHash@", "scpValue", "txSetResultHash@", "ledgerSeq", "$")
    ),
    "StellarValue": Only("closeTime"),
}

_RESULT: Plan = {
    "TransactionResult": Fields(("^", "feeCharged", "result", "$")),
    "TransactionResult.result": Arms(("innerResultPair", "results"), tag=True),
    "InnerTransactionResultPair": Only("result"),
    "InnerTransactionResult": Only("result"),
    "InnerTransactionResult.result": Arms(("results",)),
    "OperationResult": Arms(("tr",)),
    "OperationResult.tr": Arms(("invokeHostFunctionResult",)),
    "InvokeHostFunctionResult": Arms(("success@",)),
}

_META: Plan = {
    "TransactionMeta": Arms(("v3", "v4"), tag=True),
    "TransactionMetaV3": Only("sorobanMeta"),
    "SorobanTransactionMeta": Fields(("events@", "events", "returnValue@", "diagnosticEvents@")),
    "TransactionMetaV4": Fields(("operations", "sorobanMeta", "events")),
    "OperationMetaV2": Fields(("events@", "events", "$")),
    "SorobanTransactionMetaV2": Fields(("returnValue@", "$")),
    "TransactionEvent": Fields(("stage", "event")),
    "ContractEvent": Fields(("^", "contractID@", "type", "body+", "$")),
    "ContractEvent.body.v0": Fields(("topics[]@", "data@")),
}

_LEDGER: Plan = {
    **_HEADER,
    **_RESULT,
    **_META,
    "LedgerCloseMeta": Arms(("v0", "v1", "v2"), tag=True),
    "LedgerCloseMetaV0": Fields(("ledgerHeader", "txProcessing")),
    "LedgerCloseMetaV1": Fields(("ledgerHeader", "txProcessing")),
    "LedgerCloseMetaV2": Fields(("ledgerHeader", "txProcessing")),
    "TransactionResultMeta": Fields(("^", "result", "txApplyProcessing", "$")),
    "TransactionResultMetaV1": Fields(("^", "result", "txApplyProcessing", "$")),
    "TransactionResultPair": Fields(("transactionHash@", "result")),
}

_FRONT: Plan = {
    **_HEADER,
    "LedgerCloseMeta": Arms(("v0", "v1", "v2"), tag=True),
    "LedgerCloseMetaV0": Fields(("ledgerHeader", "txSet@"), until="txSet"),
    "LedgerCloseMetaV1": Fields(("ledgerHeader", "txSet@"), until="txSet"),
    "LedgerCloseMetaV2": Fields(("ledgerHeader", "txSet@"), until="txSet"),
}

READERS: dict[str, tuple[str, Plan]] = {
    "read_ledger": ("LedgerCloseMeta", _LEDGER),
    "read_front": ("LedgerCloseMeta", _FRONT),
    "read_header": ("LedgerHeader", _HEADER),
    "read_result": ("TransactionResult", _RESULT),
    "read_meta": ("TransactionMeta", _META),
    "read_envelopes_v0": ("TransactionSet", {"TransactionSet": Places("TransactionEnvelope")}),
    "read_envelopes_v1": ("GeneralizedTransactionSet", {"GeneralizedTransactionSet": Places("TransactionEnvelope")}),
}
"""The public readers: each takes the words and a position, and returns what it read and the position after it."""

SKIPPERS: dict[str, str] = {
    "skip_ledger": "LedgerCloseMeta",
    "skip_scval": "SCVal",
    "skip_contract_event": "ContractEvent",
    "skip_transaction_v0": "TransactionV0",
    "skip_transaction_v1": "Transaction",
    "skip_fee_bump": "FeeBumpTransaction",
    "skip_diagnostic_event": "DiagnosticEvent",
    "skip_soroban_data": "SorobanTransactionData",
    "skip_soroban_auth": "SorobanAuthorizationEntry",
}
"""The public functions that only step over a value: each returns the position after it."""

FIRST: dict[str, tuple[str, ...]] = {
    "SCVal": ("SCV_SYMBOL", "SCV_ADDRESS", "SCV_MAP", "SCV_VEC", "SCV_BYTES"),
    "SCAddress": ("SC_ADDRESS_TYPE_CONTRACT", "SC_ADDRESS_TYPE_ACCOUNT"),
}
"""Arms that are compared before others, because most values have them."""

INLINE = frozenset({"SCAddress"})
"""Types that are written out wherever they are needed although they are long."""
