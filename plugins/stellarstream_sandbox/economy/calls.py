"""What accounts ask of the simulated network, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from stellarstream_sandbox.values import Value


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
    """

    def __init__(self, code: int, attempted: tuple[Event, ...] = ()) -> None:
        super().__init__(f"contract error #{code}")
        self.code = code
        self.attempted = attempted
