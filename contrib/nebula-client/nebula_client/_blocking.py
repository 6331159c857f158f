"""Carries operations out in the calling thread, with httpx2's blocking client."""

from __future__ import annotations

import inspect
import socket
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

import httpx2

from nebula_client._core.effects import (
    Alone,
    Answer,
    Ask,
    Effect,
    Emit,
    HangUp,
    Items,
    Listen,
    Operation,
    Receive,
    Running,
    Send,
    Sleep,
)
from nebula_client._transport import (
    FAILURES,
    LIMITS,
    answer_of,
    closed,
    failure_of,
    is_live,
    timeouts,
    too_late,
    waits_for_itself,
)
from nebula_client.errors import ConfigurationError, NebulaError, NetworkError

T = TypeVar("T")


class Open:
    """An answer that is left open."""

    def __init__(self, response: httpx2.Response, send: Send) -> None:
        self.send = send
        self.pieces = cast("Generator[bytes, None, None]", response.iter_bytes())
        self._response = response

    def close(self) -> None:
        """Close it, again if need be, and wake who waits for its next bytes."""
        stream = self._response.extensions.get("network_stream")
        connected = None if stream is None else stream.get_extra_info("socket")
        if connected is not None:
            with suppress(OSError):  # closing alone would leave another thread waiting for it
                connected.shutdown(socket.SHUT_RDWR)
        try:
            with suppress(ValueError):  # another thread is in it, and closes it
                self.pieces.close()
        finally:
            with suppress(*FAILURES, RuntimeError, OSError):
                self._response.close()


class Turn:
    """A lock that knows who has it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.owner: int | None = None


class Driver:
    """Several threads may use one at the same time."""

    def __init__(self, transport: httpx2.BaseTransport | None) -> None:
        self._http = httpx2.Client(transport=transport, limits=LIMITS, follow_redirects=False)
        self._making = threading.Lock()
        self._turns: WeakValueDictionary[tuple[str, str | None], Turn] = WeakValueDictionary()
        self._open: set[Open] = set()
        self._closed = threading.Event()

    def run(self, operation: Operation[T]) -> T:
        """Carry an operation out and return its result."""
        running = Running(operation)
        effect = running.tell(None)
        while effect is not None:
            try:
                outcome = self._perform(effect)
            except BaseException as error:  # the operation decides, also of what ends the thread
                effect = running.fail(error)
            else:
                effect = running.tell(outcome)
        return running.result

    def iterate(self, operation: Items[T]) -> Generator[T, None, None]:
        """Yield the items of an operation; closing the generator closes what it left open."""
        running = Running(operation)
        connection: Open | None = None
        try:
            effect = running.tell(None)
            while effect is not None:
                if isinstance(effect, Emit):
                    yield effect.item
                    effect = running.tell(None)
                    continue
                try:
                    outcome = self._perform(effect)
                except BaseException as error:
                    effect = running.fail(error)
                    continue
                connection = outcome if isinstance(outcome, Open) else connection
                effect = running.tell(outcome)
        finally:
            running.close()
            if connection is not None:
                self._hang_up(connection)

    def close(self) -> None:
        """Close all connections. Whatever other threads wait for here ends with an error."""
        self._closed.set()
        for connection in list(self._open):
            self._hang_up(connection)
        self._http.close()

    def _hang_up(self, connection: Open) -> None:
        self._open.discard(connection)
        connection.close()

    def _perform(self, effect: Effect | Emit[Any]) -> object:
        try:
            return self._done(effect)
        except (NebulaError, RuntimeError) as error:
            if self._closed.is_set() and isinstance(effect, Send | Listen | Receive):
                raise closed() from error
            raise

    def _done(self, effect: Effect | Emit[Any]) -> object:
        match effect:
            case Send():
                return self._send(effect)
            case Sleep(seconds):
                if self._closed.wait(seconds):
                    raise closed()
            case Listen():
                return self._listen(effect)
            case Receive(Open() as connection):
                return self._receive(connection)
            case HangUp(Open() as connection):
                self._hang_up(connection)
            case Ask(call):
                return _answer_of(call())
            case Alone(operation, key):
                return self._in_turn(operation, key)
            case _:
                raise TypeError(f"not an effect: {type(effect).__name__}")
        return None

    def _in_turn(self, operation: Operation[T], key: tuple[str, str | None]) -> T:
        with self._making:
            turn = self._turns.setdefault(key, Turn())
        if turn.owner == threading.get_ident():
            raise waits_for_itself(key)
        with turn.lock:
            turn.owner = threading.get_ident()
            try:
                return self.run(operation)
            finally:
                turn.owner = None

    def _send(self, send: Send) -> Answer:
        end = time.monotonic() + send.timeout
        body = bytearray()
        try:
            with self._http.stream(
                send.method, send.url, headers=send.headers, content=send.body, timeout=timeouts(send)
            ) as response:
                if time.monotonic() > end:
                    raise too_late(send)
                for piece in response.iter_bytes():
                    body += piece
                    if time.monotonic() > end:
                        raise too_late(send)
                return answer_of(response, bytes(body))
        except FAILURES as error:
            raise failure_of(error, send) from error

    def _listen(self, listen: Listen) -> Open | Answer:
        send = listen.request
        request = self._http.build_request(
            send.method, send.url, headers=send.headers, timeout=timeouts(send, listen.silence)
        )
        try:
            response = self._http.send(request, stream=True)
            if is_live(response):
                connection = Open(response, replace(send, timeout=listen.silence))
                self._open.add(connection)
                if self._closed.is_set():  # since it was asked for
                    self._hang_up(connection)
                    raise closed()
                return connection
            try:
                return answer_of(response, b"" if response.is_success else response.read())
            finally:
                response.close()
        except FAILURES as error:
            raise failure_of(error, send) from error

    def _receive(self, connection: Open) -> bytes:
        try:
            data = next(connection.pieces, b"")
        except FAILURES as error:
            raise failure_of(error, connection.send) from error
        except (OSError, ValueError) as error:  # its socket was closed under it
            raise NetworkError("The live stream's connection was closed.") from error
        if not data and self._closed.is_set():
            raise closed()
        return data


def _answer_of(answer: object) -> object:
    if not inspect.isawaitable(answer):
        return answer
    if inspect.iscoroutine(answer):
        answer.close()
    raise ConfigurationError("NebulaClient cannot wait for what is asynchronous: use AsyncNebulaClient with it.")
