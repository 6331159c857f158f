"""Hearing of new ledgers as they close, by the stream of ``/ledgers``, so that nobody has to keep asking."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress

import orjson
from loguru import logger

from stellarstream_core.endpoints.failures import AttemptError, UnreachableError, WrongAnswerError
from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.errors import XdrError
from stellarstream_horizon.endpoints import Endpoint
from stellarstream_horizon.failures import NotFoundError, RequestRefusedError
from stellarstream_horizon.records import BadRecordError, read_ledger_record
from stellarstream_horizon.sse import SseEvent, SseReader

LEDGERS_A_STREAM = 200
"""Ledgers after which a server ends a stream; it says "byebye" and is asked again."""

RETRY = 1.0
"""Seconds before the next connection where the server names none."""

SHORTEST_RETRY = 0.01
LONGEST_RETRY = 60.0

SHORTEST_IDLE = 60.0
"""Seconds without a byte after which a connection is dead; Horizon ends one after 55 of its own accord."""

LONGEST_LEAP = 1_000
"""Ledgers that a stream may be ahead of what the server said before."""

SLOW_CLOSES = 4
"""Ledger times without a word after which a stream may be dead, and the server is asked instead."""

USUAL_LEDGER_SECONDS = 5.0

NOT_WANTED_AFTER = 120.0
"""Seconds without a question after which nobody is following any more."""


class TipStream:
    """One server's stream. It is on while someone asks :meth:`fresh` now and then."""

    def __init__(self, endpoint: Endpoint, timing: Timing) -> None:
        self.endpoint = endpoint
        self.refused = False
        """Whether the server does not stream at all."""
        self._timing = timing
        self._task: asyncio.Task[None] | None = None
        self._heard_at = float("-inf")
        self._wanted_at = float("-inf")

    @property
    def running(self) -> bool:
        """Whether the stream is on, or being connected again."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Connect, unless that was done or is of no use."""
        self._wanted_at = self._timing.now()
        if not self.running and not self.refused:
            self._task = asyncio.create_task(self._run())

    def fresh(self) -> bool:
        """Tell whether the endpoint's ``latest`` is what the stream says now, and that someone wanted to know."""
        self._wanted_at = self._timing.now()
        return self.running and self._timing.now() - self._heard_at < self.patience

    @property
    def patience(self) -> float:
        """Seconds for which silence is nothing to worry about."""
        return SLOW_CLOSES * max(self.endpoint.ledger_seconds or USUAL_LEDGER_SECONDS, 1.0)

    async def stop(self) -> None:
        """Disconnect. Safe to call twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    # --- the stream -----------------------------------------------------------------------------

    async def _run(self) -> None:
        last_id, failures = "", 0
        while self._timing.now() - self._wanted_at < NOT_WANTED_AFTER:
            reader = SseReader(last_id)
            pause = RETRY
            try:
                heard = await self._listen(reader)
                failures = 0 if heard else failures + 1
            except (RequestRefusedError, NotFoundError) as error:
                logger.debug("New ledgers are asked for instead of heard of: {}", error)
                self.refused = True
                return
            except AttemptError as error:
                logger.debug("The stream of {} ended: {}", self.endpoint.shown, error)
                failures += 1
                pause = max(pause, error.retry_after or 0.0)
            last_id = reader.last_id
            pause = pause if reader.retry is None else max(SHORTEST_RETRY, reader.retry)
            if failures:
                pause = max(pause, self._timing.backoff(failures, RETRY, LONGEST_RETRY))
            await self._timing.sleep(min(pause, LONGEST_RETRY))

    async def _listen(self, reader: SseReader) -> bool:
        """Hear the server out; tell whether it told of any ledger. Raises :class:`AttemptError`."""
        heard = False
        params: dict[str, str | int] = {"cursor": reader.last_id or "now", "order": "asc", "limit": LEDGERS_A_STREAM}
        events = self.endpoint.client.stream("/ledgers", params, reader, max(SHORTEST_IDLE, 2 * self.patience))
        async with aclosing(events):
            async for event in events:
                if event.type == "error":
                    raise UnreachableError(
                        f"{self.endpoint.shown} streams an error: {self.endpoint.client.words(event.data)}"
                    )
                if event.type == "message":
                    self._note(event)
                    heard = True
                if self._timing.now() - self._wanted_at >= NOT_WANTED_AFTER:
                    break
        return heard

    def _note(self, event: SseEvent) -> None:
        """Take in a ledger's record, if its header has its hash and it comes next."""
        endpoint = self.endpoint
        try:
            record = orjson.loads(event.data)
            if not isinstance(record, dict):
                raise BadRecordError("something that is no ledger")
            found = read_ledger_record(record)
        except (orjson.JSONDecodeError, BadRecordError, XdrError) as error:
            raise WrongAnswerError(f"{endpoint.shown} streams what cannot be right: {error}.") from None
        if found.sequence > endpoint.latest + LONGEST_LEAP:
            raise WrongAnswerError(f"{endpoint.shown} streams ledger {found.sequence} after {endpoint.latest}.")
        endpoint.note_ledger(found.sequence, found.header.close_time)
        self._heard_at = self._timing.now()
