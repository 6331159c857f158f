"""A stored event as JSON: the keys of ``getEvents``, plus ``eventIndex`` and ``decoded``."""

from __future__ import annotations

from base64 import b64encode
from binascii import b2a_base64
from functools import lru_cache
from typing import Any

from orjson import dumps

from stellarstream_core.errors import XdrError
from stellarstream_core.events import MAX_OP, MAX_TX_ORDER, ContractEvent, format_close_time, parse_event_id
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

KEPT_TOPIC = 256
"""Bytes of topics whose JSON is kept: most are symbols and addresses that come again and again."""


def event_to_json(event: ContractEvent) -> dict[str, Any]:
    """Return the promised object; ``topic`` and ``value`` are base64 XDR, ``decoded`` is for reading.

    Raises ``XdrError`` where a value is not XDR, its subclass ``ProtocolUpgradeNeededError`` where it
    holds an arm this version does not know. :func:`event_record` gives the same without ``decoded``.
    """
    return event_record(event) | {"decoded": decode_event(event)}


def event_bytes(event: ContractEvent) -> bytes:
    """Return the object as JSON in UTF-8, as the API sends it.

    Where a value cannot be decoded ``decoded`` is null: topics and value stay the record. The same bytes
    as orjson makes of the object, in a third of the time.
    """
    event_id = event.id
    toid = int(event_id[:19])
    topics = [_kept_topic(topic) if len(topic) <= KEPT_TOPIC else _topic(topic) for topic in event.topics]
    value = event.value
    try:
        decoded = b'{"topics":[%b],"value":%b}' % (
            b",".join([_required(read) for _, read in topics]),
            dumps(scval_to_json(value)),
        )
    except XdrError:
        decoded = b"null"
    contract = event.contract_id
    return (
        b'{"id":"%b","type":"%b","ledger":%d,"ledgerClosedAt":"%b","contractId":%b,"txHash":"%b",'
        b'"transactionIndex":%d,"operationIndex":%d,"eventIndex":%d,"topic":[%b],"value":"%b","decoded":%b}'
        % (
            event_id.encode(),
            event.type.encode(),
            event.ledger,
            _close_time(event.closed_at),
            b"null" if contract is None else b'"%b"' % contract.encode(),
            event.tx_hash.encode(),
            toid >> 12 & MAX_TX_ORDER,
            toid & MAX_OP,
            event.event_index,
            b",".join([written for written, _ in topics]),
            b2a_base64(value, newline=False),
            decoded,
        )
    )


def _topic(topic: bytes) -> tuple[bytes, bytes | None]:
    """Return a topic as it is written and as it reads, None where it cannot be decoded."""
    written = b'"%b"' % b2a_base64(topic, newline=False)
    try:
        return written, dumps(scval_to_json(topic))
    except XdrError:
        return written, None


_kept_topic = lru_cache(maxsize=8192)(_topic)


def _required(read: bytes | None) -> bytes:
    if read is None:
        raise XdrError("a topic cannot be decoded")
    return read


@lru_cache(maxsize=1024)
def _close_time(seconds: int) -> bytes:
    return format_close_time(seconds).encode()


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
