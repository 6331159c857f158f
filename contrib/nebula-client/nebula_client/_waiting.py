"""Carries operations out in an asyncio task, with httpx2's asynchronous client."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar
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
    waits_for_itself,
)
from nebula_client.errors import NebulaError, NetworkError

T = TypeVar("T")


class Open:
    """An answer that is left open."""

    def __init__(self, response: httpx2.Response, send: Send) -> None:
        self.send = send
        self.pieces = response.aiter_bytes()
        self._response = response

    async def close(self) -> None:
        """Close it, again if need be, and wake who waits for its next bytes."""
        try:
            with suppress(RuntimeError):  # another task is in it, and closes it
                await self.pieces.aclose()
        finally:
            with suppress(*FAILURES, RuntimeError, OSError):
                await self._response.aclose()


class Turn:
    """A lock that knows who has it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.owner: asyncio.Task[Any] | None = None


class Driver:
    """Several tasks may use one at the same time."""

    def __init__(self, transport: httpx2.AsyncBaseTransport | None) -> None:
        self._http = httpx2.AsyncClient(transport=transport, limits=LIMITS, follow_redirects=False)
        self._turns: WeakValueDictionary[tuple[str, str | None], Turn] = WeakValueDictionary()
        self._open: set[Open] = set()
        self._closed = asyncio.Event()

    async def run(self, operation: Operation[T]) -> T:
        """Carry an operation out and return its result."""
        running = Running(operation)
        effect = running.tell(None)
        while effect is not None:
            try:
                outcome = await self._perform(effect)
            except BaseException as error:  # the operation decides, also of what ends the task
                effect = running.fail(error)
            else:
                effect = running.tell(outcome)
        return running.result

    async def iterate(self, operation: Items[T]) -> AsyncGenerator[T, None]:
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
                    outcome = await self._perform(effect)
                except BaseException as error:
                    effect = running.fail(error)
                    continue
                connection = outcome if isinstance(outcome, Open) else connection
                effect = running.tell(outcome)
        finally:
            running.close()
            if connection is not None:
                await self._hang_up(connection)

    async def close(self) -> None:
        """Close all connections. Whatever other tasks wait for here ends with an error."""
        self._closed.set()
        for connection in list(self._open):
            await self._hang_up(connection)
        await self._http.aclose()

    async def _hang_up(self, connection: Open) -> None:
        self._open.discard(connection)
        await connection.close()

    async def _perform(self, effect: Effect | Emit[Any]) -> object:
        try:
            return await self._done(effect)
        except (NebulaError, RuntimeError) as error:
            if self._closed.is_set() and isinstance(effect, Send | Listen | Receive):
                raise closed() from error
            raise

    async def _done(self, effect: Effect | Emit[Any]) -> object:
        match effect:
            case Send():
                return await self._send(effect)
            case Sleep(seconds):
                await self._sleep(seconds)
            case Listen():
                return await self._listen(effect)
            case Receive(Open() as connection):
                return await self._receive(connection)
            case HangUp(Open() as connection):
                await self._hang_up(connection)
            case Ask(call):
                answer = call()
                return await answer if inspect.isawaitable(answer) else answer
            case Alone(operation, key):
                return await self._in_turn(operation, key)
            case _:
                raise TypeError(f"not an effect: {type(effect).__name__}")
        return None

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        if self._closed.is_set():
            raise closed()

    async def _in_turn(self, operation: Operation[T], key: tuple[str, str | None]) -> T:
        turn = self._turns.setdefault(key, Turn())
        if turn.owner is not None and turn.owner is asyncio.current_task():
            raise waits_for_itself(key)
        async with turn.lock:
            turn.owner = asyncio.current_task()
            try:
                return await self.run(operation)
            finally:
                turn.owner = None

    async def _send(self, send: Send) -> Answer:
        try:
            async with (
                asyncio.timeout(send.timeout),
                self._http.stream(
                    send.method, send.url, headers=send.headers, content=send.body, timeout=timeouts(send)
                ) as response,
            ):
                return answer_of(response, await response.aread())
        except FAILURES as error:
            raise failure_of(error, send) from error

    async def _listen(self, listen: Listen) -> Open | Answer:
        send = listen.request
        request = self._http.build_request(
            send.method, send.url, headers=send.headers, timeout=timeouts(send, listen.silence)
        )
        try:
            response = await self._http.send(request, stream=True)
            if is_live(response):
                connection = Open(response, replace(send, timeout=listen.silence))
                self._open.add(connection)
                if self._closed.is_set():  # since it was asked for
                    await self._hang_up(connection)
                    raise closed()
                return connection
            try:
                return answer_of(response, b"" if response.is_success else await response.aread())
            finally:
                await response.aclose()
        except FAILURES as error:
            raise failure_of(error, send) from error

    async def _receive(self, connection: Open) -> bytes:
        try:
            data = await self._next_of(connection)
        except FAILURES as error:
            raise failure_of(error, connection.send) from error
        except OSError as error:  # its socket was closed under it
            raise NetworkError("The live stream's connection was closed.") from error
        if not data and self._closed.is_set():
            raise closed()
        return data

    async def _next_of(self, connection: Open) -> bytes:
        return await anext(connection.pieces, b"")
