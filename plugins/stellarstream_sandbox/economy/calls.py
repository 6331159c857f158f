"""What accounts ask of the simulated network, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from stellarstream_core.xdr.scval import ErrorCode, ErrorType
from stellarstream_sandbox.values import ContractError, HostError, Value


class EventType(Enum):
    """The kinds of events that a ledger holds and ``getEvents`` serves."""

    SYSTEM = "system"
    CONTRACT = "contract"


@dataclass(frozen=True, slots=True)
class Event:
    """What a contract published: ``contract`` is its C… id."""

    contract: str
    topics: tuple[Value, ...]
    data: Value
    type: EventType = EventType.CONTRACT


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call of a contract's function."""

    contract: str
    function: str
    args: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a successful call returns and publishes.

    ``pulls`` are the calls below it that its caller had to authorise too: tokens taken from the
    caller, mostly.
    """

    value: Value
    events: tuple[Event, ...] = ()
    pulls: tuple[Invocation, ...] = ()


class Refused(Exception):  # noqa: N818 - an outcome of the simulation, not an error of this program
    """A contract turned a call down with an error number of its own; nothing happened.

    ``attempted`` is what it had published by then: such events stand in a node's diagnostics only.
    ``contract`` is the C… id of the contract whose number it is: not the called one where a call below failed.
    """

    def __init__(self, code: int, attempted: tuple[Event, ...] = (), contract: str | None = None) -> None:
        super().__init__(f"contract error #{code}")
        self.code = code
        self.attempted = attempted
        self.contract = contract

    @property
    def error(self) -> Value:
        """The error as a node writes it into diagnostics."""
        return ContractError(self.code)

    @property
    def text(self) -> str:
        """The error as ``simulateTransaction`` names it behind ``HostError: ``."""
        return f"Error(Contract, #{self.code})"


class Trapped(Refused):
    """The host ended a call: the contract panicked, or what it was given is no value of its types.

    ``code`` is an ``SCErrorCode`` then, and says nothing without ``kind``.
    """

    def __init__(
        self, kind: ErrorType, code: ErrorCode, reason: str, attempted: tuple[Event, ...] = (), contract: str = ""
    ) -> None:
        super().__init__(code, attempted, contract or None)
        self.kind = kind
        self.reason = reason

    @property
    def error(self) -> Value:
        """The error as a node writes it into diagnostics."""
        return HostError(self.kind, self.code)

    @property
    def text(self) -> str:
        """The error as ``simulateTransaction`` names it behind ``HostError: ``."""
        return f"Error({_camel(self.kind.name)}, {_camel(ErrorCode(self.code).name)})"


class UnknownCall(Trapped):
    """There is no such contract, or the contract has no such function."""


def panicked(reason: str) -> Trapped:
    """Return what a Rust panic comes to: a trap of the virtual machine without a number of the contract's."""
    return Trapped(ErrorType.WASM_VM, ErrorCode.INVALID_ACTION, reason)


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
