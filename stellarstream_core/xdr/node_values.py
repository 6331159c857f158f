"""XDR values that stand alone, as a node's answers hold them: read, or checked to be whole.

Each is taken to its last byte; what is cut off, or followed by more, is ``XdrError``, and a part of a newer
protocol ``ProtocolUpgradeNeededError``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from stellarstream_core.errors import XdrError
from stellarstream_core.xdr import ledger_walk as walk
from stellarstream_core.xdr.strkey import contract_id_text

_TYPES = ("system", "contract", "diagnostic")
"""``ContractEventType`` by number, as getEvents names them."""


class EventParts(NamedTuple):
    """What a ``ContractEvent`` holds: ``contract`` is a C… id or None, topics and value are XDR of ScVals."""

    contract: str | None
    type: str
    topics: tuple[bytes, ...]
    value: bytes


def read_contract_event(raw: bytes) -> EventParts:
    """Read the XDR of one ``ContractEvent``, to its last byte. Raises ``XdrError``."""
    words = walk.words(raw)
    _whole(words, walk.skip_contract_event)
    return _parts(raw, words, 0)


def read_diagnostic_event(raw: bytes) -> tuple[bool, EventParts]:
    """Read the XDR of one ``DiagnosticEvent``: whether its call succeeded, and the event. Raises ``XdrError``."""
    words = walk.words(raw)
    _whole(words, walk.skip_diagnostic_event)
    return bool(words[0]), _parts(raw, words, 1)


def check_scval(raw: bytes) -> None:
    """Raise ``XdrError`` where the bytes are not exactly one ``SCVal``."""
    _whole(walk.words(raw), walk.skip_scval)


def check_transaction_data(raw: bytes) -> None:
    """Raise ``XdrError`` where the bytes are not exactly one ``SorobanTransactionData``."""
    _whole(walk.words(raw), walk.skip_soroban_data)


def check_authorization(raw: bytes) -> None:
    """Raise ``XdrError`` where the bytes are not exactly one ``SorobanAuthorizationEntry``."""
    _whole(walk.words(raw), walk.skip_soroban_auth)


def check_result(raw: bytes) -> None:
    """Raise ``XdrError`` where the bytes are not exactly one ``TransactionResult``."""
    _whole(walk.words(raw), lambda words, place: walk.read_result(words, place)[1])


def _whole(words: walk.Words, skip: Callable[[walk.Words, int], int]) -> None:
    try:
        end = skip(words, 0)
    except IndexError:
        end = len(words) + 1
    if end > len(words):
        raise XdrError(f"It is cut off: it needs more than its {4 * len(words)} bytes.")
    if end < len(words):
        raise XdrError(f"It ends at byte {4 * end}, but {4 * (len(words) - end)} more follow.")


def _parts(raw: bytes, words: walk.Words, place: int) -> EventParts:
    """Cut an event out of bytes that were stepped over already: they are as they should be."""
    contract = None
    begin = place + 2  # after the extension and the flag of the optional contract
    if words[place + 1]:
        contract, begin = contract_id_text(raw[4 * begin : 4 * begin + 32]), begin + 8
    kind, count = words[begin], words[begin + 2]  # between them the number of the body, which is 0
    if kind >= len(_TYPES):
        raise XdrError(f"An event has the type {kind}, which does not exist.")
    topics = []
    begin += 3
    for _ in range(count):
        end = walk.skip_scval(words, begin)
        topics.append(raw[4 * begin : 4 * end])
        begin = end
    return EventParts(contract, _TYPES[kind], tuple(topics), raw[4 * begin :])
