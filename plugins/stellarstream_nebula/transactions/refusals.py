"""Why a call fails: which contract refused it, with which of its errors, in a sentence for a person.

A contract's error is ``Error(Contract, #n)``; which contract it is of, only the diagnostic events tell
(soroban-env-host): an error travels outward through the calling contracts, and each adds an event with the same
error. So it arose where the unbroken run of equal error events at the end begins; what stands before was caught.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stellarstream_core.chain import DiagnosticEvent, Simulation
from stellarstream_core.errors import XdrError
from stellarstream_core.xdr.scval import Arm, ErrorCode, ErrorType, ScError, decode_scval
from stellarstream_nebula.transactions.errors import SimulationFailedError

_CONTRACT_ERROR = re.compile(r"Error\(Contract, #(\d{1,10})\)")
_HOST_ERROR = re.compile(r"Error\(([A-Z][A-Za-z]+), ([A-Z][A-Za-z]+)\)")
_LOG_LINE = re.compile(r"^\s*\d+: \[[^\]]*\](?: contract:(C[A-Z2-7]{55}),)? topics:\[([a-z_]+)(?:, ([^\]]*))?\]", re.M)
_SILENT = frozenset({"log", "core_metrics"})

SENTENCES = {
    "InsufficientBalance": "The sender does not have enough of the token.",
    "BalanceError": "The sender does not have enough of the token.",
    "UnauthorizedError": "This account may not do this with the token.",
    "InsufficientAccountReserve": "An account would fall below the network's reserve.",
    "AllowanceError": "The allowance for the token is too small.",
    "TrustlineMissingError": "An account has no trustline for the token.",
    "BalanceDeauthorizedError": "The token's issuer has not authorized an account to hold it.",
    "AccountMissingError": "An account that would be paid is not on the network.",
    "NothingToWithdraw": "Nothing can be withdrawn now.",
    "InsufficientWithdrawable": "Nothing can be withdrawn now.",
    "NotBeneficiary": "Only the stream's beneficiary can do this.",
    "NotReceiver": "Only the stream's receiver can do this.",
    "NotReceiptOwner": "Only the holder of the stream's receipt can do this.",
    "NotStreamOwner": "Only the stream's sender or receiver can do this.",
    "NotSender": "Only the stream's sender can do this.",
    "Unauthorized": "This account may not do this.",
    "UnauthorizedSender": "This account may not create streams in this contract.",
    "StreamNotFound": "The contract has no such stream.",
    "AlreadyCancelled": "The stream was cancelled already.",
    "StreamEnded": "The stream has ended already.",
    "StreamNotActive": "The stream is not active.",
    "StreamPaused": "The stream is paused.",
    "StreamNotPaused": "The stream is not paused.",
    "StreamIsSoulbound": "The stream is bound to its receiver.",
    "ContractPaused": "The contract is paused.",
    "VaultPaused": "The vault is paused.",
    "VaultError": "The vault refused the money.",
    "AddressRestricted": "The contract does not pay this address.",
    "AssetNotWhitelisted": "The contract does not take this token.",
    "BelowDustThreshold": "The amount is below what the contract takes.",
    "InvalidAmount": "The contract does not take this amount.",
    "InvalidTimeRange": "The contract does not take these times.",
    "InvalidCliffTime": "The contract does not take this cliff.",
    "ContractNotInitialized": "The contract is not set up yet.",
}
"""What the errors that users meet mean, by the names that the contracts and asset contracts (CAP-46-6) give them."""

_HOST_SENTENCES = {
    ("Auth", "InvalidAction"): "An authorization is missing: this account may not do this.",
    ("Budget", "ExceededLimit"): "The call takes more than the network allows.",
    ("Storage", "MissingValue"): "A contract or an entry that the call needs is not on the network.",
    ("WasmVm", "MissingValue"): "The contract has no such function.",
    ("Value", "InvalidInput"): "The contract does not take these arguments.",
    ("Value", "UnexpectedType"): "The contract does not take these arguments.",
}


class ErrorNames(Protocol):
    """Names contracts' errors."""

    async def error_name(self, contract: str, code: int) -> str | None:
        """Return what a contract calls its error, None where it cannot be found out. Raises nothing."""
        ...


@dataclass(frozen=True, slots=True)
class ContractError:
    """A contract's own error. ``contract`` is a C… id, None where nobody says whose it is."""

    contract: str | None
    code: int


async def refusal(simulation: Simulation, names: ErrorNames) -> SimulationFailedError:
    """Return the problem of a call whose simulation failed."""
    text = simulation.error or ""
    found = contract_error(simulation.events, text)
    if found is None:
        kind = host_error(simulation.events, text)
        sentence = _HOST_SENTENCES.get(kind) if kind else None
        said = f" ({kind[0]}, {kind[1]})" if kind else ""
        return SimulationFailedError(f"The call would fail{said}. {sentence or ''}".rstrip())
    name = await names.error_name(found.contract, found.code) if found.contract is not None else None
    return SimulationFailedError(
        described(found, name),
        members={"contractError": {"contractId": found.contract, "code": found.code, "name": name}},
    )


def described(error: ContractError, name: str | None) -> str:
    """Return a contract's error in words."""
    sentence = SENTENCES.get(name) if name is not None else None
    whose = f"The contract {error.contract}" if error.contract is not None else "A contract"
    what = f"{name} (#{error.code})" if name is not None else f"its error #{error.code}"
    return f"{sentence} {whose} says {what}." if sentence else f"{whose} says {what}."


def contract_error(events: Sequence[DiagnosticEvent], text: str = "") -> ContractError | None:
    """Return the contract's error that ended a call, and whose it is: from the diagnostics, else from the node's text.

    None where it was the host that ended it.
    """
    found = _end(events)
    if found is None:
        return _from_text(text)
    contract, error = found
    return ContractError(contract, int(error.code)) if error.type is ErrorType.CONTRACT else None


def host_error(events: Sequence[DiagnosticEvent], text: str = "") -> tuple[str, str] | None:
    """Return type and code of the host's error that ended a call (``Auth``, ``InvalidAction``), None without one."""
    found = _end(events)
    if found is not None and isinstance(found[1].code, ErrorCode):
        return _camel(found[1].type.name), _camel(found[1].code.name)
    matched = _HOST_ERROR.search(text)
    return (matched[1], matched[2]) if matched else None


def _end(events: Sequence[DiagnosticEvent]) -> tuple[str | None, ScError] | None:
    """Return the error that ended the call and the contract where it arose; None where no event tells."""
    found: tuple[str | None, ScError] | None = None
    for event in reversed(events):
        name, error = _read(event)
        if name in _SILENT:
            continue
        if name != "error" or error is None or (found is not None and error != found[1]):
            break
        found = (event.contract or (found[0] if found else None), error)
    return found


def _read(event: DiagnosticEvent) -> tuple[str | None, ScError | None]:
    try:
        topics = [decode_scval(topic) for topic in event.topics[:2]]
    except XdrError:
        return None, None
    if event.type != "diagnostic" or not topics or topics[0].arm is not Arm.SYMBOL:
        return None, None
    error = topics[1].value if len(topics) > 1 and topics[1].arm is Arm.ERROR else None
    return str(topics[0].value), error


def _from_text(text: str) -> ContractError | None:
    """Return the same from the log that a node writes below its error, newest first."""
    matched = _CONTRACT_ERROR.search(text)
    if matched is None:
        return None
    code, contract = int(matched[1]), None
    for line in _LOG_LINE.finditer(text):
        if line[2] in _SILENT:
            continue
        same = _CONTRACT_ERROR.search(line[3] or "")
        if line[2] != "error" or same is None or int(same[1]) != code:
            break
        contract = line[1] or contract
    return ContractError(contract, code)


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
