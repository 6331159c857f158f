"""Live streams over any number of connections: nothing is missed, nothing comes twice.

A connection that ends is made again at the last position. A position moves only with a whole frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from nebula_client._core.calls import authorized
from nebula_client._core.config import Core
from nebula_client._core.effects import Answer, Connection, HangUp, Listen, Operation, Receive, Sleep
from nebula_client._core.polling import PASSING
from nebula_client._core.requests import Request, get, problem_of
from nebula_client._core.retries import back_off
from nebula_client._core.session import Credential
from nebula_client._core.sse import EndlessFrameError, Frame, FrameReader
from nebula_client._core.wire import json_object
from nebula_client.errors import ApiError, BadResponseError, LiveResetError, NebulaError

SILENCE_SECONDS = 30.0
"""The service says something every 15 seconds: a connection that is silent for longer is dead."""
FIRST_RETRIES = 3
"""How often a first connection is tried again. One that has stood is made again for as long as it takes."""
LONGEST_PAUSE = 60.0
ENDS = frozenset({"bye", "dropped"})
MEDIA_TYPE = "text/event-stream"


class Live:
    """One live stream that somebody follows."""

    def __init__(
        self,
        core: Core,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        since: str | None = None,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self.position = since
        """Behind the last whole frame; None before the service has told one."""
        self._core = core
        self._path = path
        self._query = query
        self._silence = silence
        self._connection: Connection | None = None
        self._frames = FrameReader()
        self._retry: float | None = None
        self._stood = False
        self._failures = 0
        self._rest = 0.0

    def next(self) -> Operation[Sequence[Frame]]:
        """Return the next frames as they come; none where all that came was a sign of life."""
        while True:
            failure: NebulaError | None = None
            try:
                if self._connection is None:
                    yield from self._connect()
                data: bytes = yield Receive(self._connection)
                if data:
                    return (yield from self._read(data))
            except PASSING as error:
                if not self._stood and self._failures >= FIRST_RETRIES:
                    raise
                failure = error
            yield from self._end(failure)

    def begin_anew(self) -> None:
        """Forget the position: it is of another history."""
        self.position = None

    def _connect(self) -> Operation[None]:
        if self._rest:
            yield Sleep(self._rest)
        self._rest = 0.0
        since = [("since", self.position)] if self.position is not None else []
        request = get(self._path, [*self._query, *since], Accept=MEDIA_TYPE)
        self._frames = FrameReader()

        def listen(credential: Credential | None) -> Operation[Connection]:
            return _listening(self._core, request, credential, self._silence)

        self._connection = yield from authorized(self._core, listen)

    def _read(self, data: bytes) -> Operation[Sequence[Frame]]:
        try:
            frames = self._frames.feed(data)
        except EndlessFrameError as error:
            raise BadResponseError(f"GET {self._path}: {error}.") from error
        found: list[Frame] = []
        for frame in frames:
            self._stood, self._failures = True, 0
            if frame.retry is not None:
                self._retry = frame.retry / 1000
            if frame.event in ENDS:
                yield from self._end(None)  # what was read is handed out first
                break
            if frame.event == "reset":
                yield from self._end(None)
                said = json_object(frame.data or "")
                raise LiveResetError(str(said.get("code", "reset")), str(said.get("detail", "")))
            if frame.id is not None:
                self.position = frame.id
            found.append(frame)
        return found

    def _end(self, failure: NebulaError | None) -> Operation[None]:
        """Hang up, and have some rest before the next connection."""
        self._rest = self._pause(failure)
        self._failures += 1
        if self._connection is not None:
            connection, self._connection = self._connection, None
            yield HangUp(connection)

    def _pause(self, failure: NebulaError | None) -> float:
        own = back_off(self._failures, self._core.clock)
        if self._retry is not None:
            own = min(self._retry * 2 ** min(self._failures, 16), LONGEST_PAUSE)
        asked = failure.retry_after if isinstance(failure, ApiError) else None
        return max(own, min(asked or 0.0, LONGEST_PAUSE))


def _listening(core: Core, request: Request, credential: Credential | None, silence: float) -> Operation[Connection]:
    found: Connection | Answer = yield Listen(request.sent(core, credential), silence)
    if not isinstance(found, Answer):
        return found
    if found.status == HTTPStatus.OK:
        raise BadResponseError(f"{request.what}: the answer is no live stream.")
    raise problem_of(core, request, found)
