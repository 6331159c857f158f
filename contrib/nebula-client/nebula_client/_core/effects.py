"""What an operation can have done for it. The comment behind each says what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request and read its answer -> :class:`Answer`.

    Raises :class:`NetworkError`, or :class:`RequestTimeoutError` after ``timeout`` seconds.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    timeout: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: names of headers in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Connection(Protocol):
    """An answer without an end, as its driver keeps it."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Send a request and leave its answer open -> :class:`Connection`; where its status is not 200 :class:`Answer`."""

    request: Send
    silence: float
    """After how many seconds without a byte the connection is dead."""


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for the next bytes -> ``bytes``, empty at the end. Raises like :class:`Send`."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close a connection, again if need be -> None."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait -> None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Call what the caller of the client brought, and wait for it where it is asynchronous -> what it returns."""

    call: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Alone:
    """Run an operation while no other one of this client runs under the same key -> its result.

    Raises :class:`ConfigurationError` where the caller is inside of such an operation: it would wait for itself.
    """

    operation: Generator[Any, Any, Any]
    key: tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Emit(Generic[T_co]):
    """Hand an item to who iterates -> None, when the next one is asked for."""

    item: T_co


Effect: TypeAlias = Send | Listen | Receive | HangUp | Sleep | Ask | Alone

Operation: TypeAlias = Generator[Effect, Any, T]
"""Something with a result."""

Items: TypeAlias = Generator[Effect | Emit[T], Any, None]
"""Something with items, one after the other."""


class Running(Generic[T]):
    """An operation on its way: tell it what came of an effect, and get the next one; None when it is done."""

    def __init__(self, operation: Generator[Any, Any, T]) -> None:
        self._operation = operation
        self.result: T

    def tell(self, outcome: object) -> Effect | Emit[Any] | None:
        """Go on with what came of the last effect; None to begin with."""
        return self._next(lambda: self._operation.send(outcome))

    def fail(self, error: BaseException) -> Effect | Emit[Any] | None:
        """Go on with the last effect's failure."""
        return self._next(lambda: self._operation.throw(error))

    def close(self) -> None:
        """End it where it is."""
        self._operation.close()

    def _next(self, step: Callable[[], Any]) -> Effect | Emit[Any] | None:
        try:
            effect: Effect | Emit[Any] = step()
        except StopIteration as done:
            self.result = done.value
            return None
        return effect
