"""``simulateTransaction``, ``sendTransaction``, ``getTransaction``: their params, and answers checked strictly.

The shapes are those of stellar-rpc 22 to 28. A field that a version lacks may be missing; one that is there must
be what it should be, for an answer that cannot be right is another endpoint's to give.
"""

from __future__ import annotations

from binascii import Error as BinasciiError
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stellarstream_core.chain import (
    ChainTransaction,
    DiagnosticEvent,
    SendStatus,
    Sent,
    Simulation,
    TransactionStatus,
)
from stellarstream_core.errors import ProtocolUpgradeNeededError, XdrError
from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_core.xdr.ledger import envelope_hash
from stellarstream_core.xdr.node_values import (
    EventParts,
    check_authorization,
    check_result,
    check_scval,
    check_transaction_data,
    read_contract_event,
    read_diagnostic_event,
)
from stellarstream_soroban_rpc.event_list import BadPageError

MOST_EVENTS = 10_000
"""Events of one transaction that are read; the network's limits allow a fraction of it."""
MOST_AUTHORIZATIONS = 1_000
_LATEST_TIME = 253_402_300_799
"""The end of the year 9999 in Unix seconds."""
_SUCCEEDED = (0, 1)
"""``TransactionResultCode``: txSUCCESS and txFEE_BUMP_INNER_SUCCESS."""
_FEE_BUMP, _MUXED = 5, 256


def envelope_params(envelope: bytes) -> dict[str, Any]:
    """Return the params of ``simulateTransaction`` and ``sendTransaction``."""
    return {"transaction": b2a_base64(envelope, newline=False).decode("ascii")}


def read_simulation(result: object, scrubbed: Callable[[str], str]) -> Simulation:
    """Check a ``simulateTransaction`` result; raise :class:`BadPageError`, or ``ProtocolUpgradeNeededError``.

    ``scrubbed`` bounds the node's text and takes secrets out of it. ``ledger`` is 0 where the node failed before it
    looked at any ledger, and only with an ``error``.
    """
    answer = _object(result)
    ledger = _number(answer, "latestLedger", LAST_LEDGER, missing=0)
    events = tuple(_diagnostics(answer.get("events"), "events"))
    if error := answer.get("error"):
        if not isinstance(error, str):
            raise BadPageError("its error is not text")
        return Simulation(ledger, error=scrubbed(error), events=events)
    if ledger == 0:
        raise BadPageError("it names no ledger")
    value, auth = _returned(answer.get("results"))
    data = _xdr(answer.get("transactionData"), "transaction data", check_transaction_data)
    return Simulation(
        ledger,
        data=data,
        min_resource_fee=_number(answer, "minResourceFee", 2**63 - 1, missing=0),
        auth=auth,
        result=value,
        restore=_restore(answer.get("restorePreamble")),
        events=events,
    )


def read_sent(result: object, wanted_hash: str) -> Sent:
    """Check a ``sendTransaction`` result; raise :class:`BadPageError`.

    The hash must be the envelope's own (64 hex digits): another one is of another transaction, or of another
    network.
    """
    answer = _object(result)
    if answer.get("hash") != wanted_hash:
        raise BadPageError("its hash is not the transaction's")
    try:
        status = SendStatus(answer.get("status"))  # type: ignore[arg-type]  # None is no status either
    except ValueError:
        raise BadPageError("its status is none") from None
    return Sent(
        wanted_hash,
        status,
        _number(answer, "latestLedger", LAST_LEDGER, missing=0),
        _failure(answer.get("errorResultXdr")),
        tuple(_diagnostics(answer.get("diagnosticEventsXdr"), "diagnostic events")),
    )


def _failure(text: object) -> bytes | None:
    if not text:
        return None
    try:
        return _xdr(text, "error result", check_result)
    except ProtocolUpgradeNeededError:
        return None  # the status is understood all the same


def read_chain_transaction(result: object, tx_hash: str, passphrase: str) -> ChainTransaction:
    """Check a ``getTransaction`` result; raise :class:`BadPageError`.

    Where the envelope is told it must be the one that has this hash in the network of ``passphrase``, or a fee bump
    around it, and is part of what is returned; a status must be what the result says.
    """
    answer = _object(result)
    try:
        status = TransactionStatus(answer.get("status"))  # type: ignore[arg-type]  # None is no status either
    except ValueError:
        raise BadPageError("its status is none") from None
    latest, oldest = _ledger(answer, "latestLedger", LAST_LEDGER), _number(answer, "oldestLedger", LAST_LEDGER)
    closed_at = _number(answer, "latestLedgerCloseTime", _LATEST_TIME)
    if oldest > latest:
        raise BadPageError("its oldest ledger comes after its latest")
    if status is TransactionStatus.NOT_FOUND:
        return ChainTransaction(status, latest, closed_at, oldest)
    envelope = _identified(answer, tx_hash, passphrase)
    found = _xdr(answer.get("resultXdr"), "result", check_result)
    if (int.from_bytes(found[8:12], "big") in _SUCCEEDED) is not (status is TransactionStatus.SUCCESS):
        raise BadPageError("its status is not what its result says")
    ledger = _ledger(answer, "ledger", latest)
    return ChainTransaction(status, latest, closed_at, oldest, ledger, found, _events_of(answer), envelope)


def _identified(answer: Mapping[str, Any], tx_hash: str, passphrase: str) -> bytes | None:
    """Check that an answer is about a transaction; return its envelope where that is told and can be checked."""
    named = answer.get("txHash")
    if named is not None and named != tx_hash and answer.get("feeBump") is not True:
        raise BadPageError("it is about another transaction")
    envelope = answer.get("envelopeXdr")
    if not envelope:
        return None
    raw = _base64(envelope, "envelope")
    try:
        hashes = {envelope_hash(raw, passphrase).hex()}
        if int.from_bytes(raw[:4], "big") == _FEE_BUMP:
            hashes.add(envelope_hash(_inner(raw), passphrase).hex())
    except ProtocolUpgradeNeededError:
        return None  # it cannot be checked by this release
    except XdrError:
        raise BadPageError("its envelope cannot be read") from None
    if tx_hash not in hashes:
        raise BadPageError("its envelope is of another transaction")
    return raw


def _inner(fee_bump: bytes) -> bytes:
    """Return a fee bump's bytes from the inner envelope on: behind the type, the payer and the fee."""
    payer = 44 if int.from_bytes(fee_bump[4:8], "big") == _MUXED else 36
    return fee_bump[4 + payer + 8 :]


def _returned(results: object) -> tuple[bytes, tuple[bytes, ...]]:
    """Return value and authorizations of the one operation; nothing where it is not a call (a restoration)."""
    if results is None or results == []:
        return b"", ()
    if not isinstance(results, list) or len(results) != 1 or not isinstance(results[0], dict):
        raise BadPageError("its results are not those of one operation")
    value, auth = results[0].get("xdr"), results[0].get("auth")
    if auth is not None and (not isinstance(auth, list) or len(auth) > MOST_AUTHORIZATIONS):
        raise BadPageError("its authorizations are no list, or longer than any")
    return (
        _xdr(value, "returned value", check_scval) if value is not None else b"",
        tuple(_xdr(one, "authorization", check_authorization) for one in auth or ()),
    )


def _restore(preamble: object) -> bytes | None:
    if preamble is None:
        return None
    if not isinstance(preamble, dict):
        raise BadPageError("its restoration is not an object")
    data = preamble.get("transactionData")
    return _xdr(data, "restoration", check_transaction_data) if data else None


def _events_of(answer: Mapping[str, Any]) -> tuple[DiagnosticEvent, ...]:
    """Return diagnostics, which stand in one of two places by version, and contract events not among them."""
    apart = answer.get("events")
    apart = apart if isinstance(apart, dict) else {}
    found = list(_diagnostics(answer.get("diagnosticEventsXdr") or apart.get("diagnosticEventsXdr"), "events"))
    seen = {(event.contract, event.topics, event.value) for event in found}
    listed = apart.get("contractEventsXdr")
    if listed is None:
        return tuple(found)
    if not isinstance(listed, list):
        raise BadPageError("its contract events are not a list")
    for operation in listed:
        for parts in _read_events(operation, "contract events", read_contract_event):
            if (parts.contract, parts.topics, parts.value) not in seen:
                found.append(_event(parts, successful=True))
        if len(found) > MOST_EVENTS:
            raise BadPageError("it has more events than any transaction")
    return tuple(found)


def _diagnostics(listed: object, what: str) -> Iterator[DiagnosticEvent]:
    for successful, parts in _read_events(listed, what, read_diagnostic_event):
        yield _event(parts, successful=successful)


def _event(parts: EventParts, *, successful: bool) -> DiagnosticEvent:
    return DiagnosticEvent(parts.contract, parts.type, parts.topics, parts.value, successful)


def _read_events(listed: object, what: str, read: Callable[[bytes], Any]) -> Iterator[Any]:
    """Yield what is read of a list of events. Those of a newer protocol are left out: they only explain."""
    if listed is None:
        return
    if not isinstance(listed, list) or len(listed) > MOST_EVENTS:
        raise BadPageError(f"its {what} are no list, or longer than any")
    for text in listed:
        try:
            yield read(_base64(text, what))
        except ProtocolUpgradeNeededError:
            continue
        except XdrError:
            raise BadPageError(f"its {what} cannot be read") from None


# --- fields -----------------------------------------------------------------------------------------


def _object(result: object) -> Mapping[str, Any]:
    if not isinstance(result, dict):
        raise BadPageError("its result is not an object")
    return result


def _number(answer: Mapping[str, Any], name: str, most: int, missing: int | None = None) -> int:
    """Return a whole number, which some versions write as text (64 bits do not fit a JSON number)."""
    raw = answer.get(name, missing)
    if isinstance(raw, str) and raw.isascii() and raw.isdigit() and len(raw) <= 20:
        raw = int(raw)
    if type(raw) is not int or not 0 <= raw <= most:
        raise BadPageError(f"its {name} is not a number that it can be")
    return raw


def _ledger(answer: Mapping[str, Any], name: str, most: int) -> int:
    if (ledger := _number(answer, name, most)) == 0:
        raise BadPageError(f"its {name} is none")
    return ledger


def _base64(text: object, what: str) -> bytes:
    if not isinstance(text, str):
        raise BadPageError(f"its {what} is not text")
    try:
        raw = a2b_base64(text, strict_mode=True)
    except (BinasciiError, ValueError):
        raise BadPageError(f"its {what} is not base64") from None
    if not raw or len(raw) & 3:
        raise BadPageError(f"its {what} is not XDR")
    return raw


def _xdr(text: object, what: str, check: Callable[[bytes], None]) -> bytes:
    raw = _base64(text, what)
    try:
        check(raw)
    except ProtocolUpgradeNeededError:
        raise
    except XdrError:
        raise BadPageError(f"its {what} cannot be read") from None
    return raw
