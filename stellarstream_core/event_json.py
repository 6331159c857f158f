"""A stored event as JSON: the keys of ``getEvents``, plus ``eventIndex`` and ``decoded``."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from stellarstream_core.events import ContractEvent, format_close_time, parse_event_id
from stellarstream_core.xdr.scval import scval_to_json

EVENT_KEYS = (
    "id",
    "type",
    "ledger",
    "ledgerClosedAt",
    "contractId",
    "txHash",
    "transactionIndex",
    "operationIndex",
    "eventIndex",
    "topic",
    "value",
    "decoded",
)
"""The keys of an exported event, in order."""


def event_to_json(event: ContractEvent) -> dict[str, Any]:
    """Return the promised object; ``topic`` and ``value`` are base64 XDR, ``decoded`` is for reading.

    Raises ``XdrError`` where a value is not XDR, its subclass ``ProtocolUpgradeNeededError`` where it
    holds an arm this version does not know. :func:`event_record` gives the same without ``decoded``.
    """
    return event_record(event) | {"decoded": decode_event(event)}


def event_record(event: ContractEvent) -> dict[str, Any]:
    """Return the object with ``decoded`` null: everything that is the record, whatever its values hold."""
    place = parse_event_id(event.id)
    return {
        "id": event.id,
        "type": event.type,
        "ledger": event.ledger,
        "ledgerClosedAt": format_close_time(event.closed_at),
        "contractId": event.contract_id,
        "txHash": event.tx_hash,
        "transactionIndex": place.tx,
        "operationIndex": place.op,
        "eventIndex": event.event_index,
        "topic": [b64encode(topic).decode("ascii") for topic in event.topics],
        "value": b64encode(event.value).decode("ascii"),
        "decoded": None,
    }


def decode_event(event: ContractEvent) -> dict[str, Any]:
    """Return the content of ``decoded``, by ``docs/json-mapping.md``. Raises like :func:`event_to_json`."""
    return {
        "topics": [scval_to_json(topic) for topic in event.topics],
        "value": scval_to_json(event.value),
    }
