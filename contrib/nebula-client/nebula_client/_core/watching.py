"""What is made of live streams: events, a stream whenever something happens to it, the state of an invoice link."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from nebula_client._core.config import Core
from nebula_client._core.effects import Ask, Effect, Emit, Items, Operation, Sleep
from nebula_client._core.live import LONGEST_PAUSE, Live
from nebula_client._core.polling import PASSING
from nebula_client._core.retries import back_off
from nebula_client._core.sse import MESSAGE, Frame
from nebula_client._core.streams import SILENT, read_stream
from nebula_client._core.wire import arguments, path, query, read
from nebula_client.errors import ApiError, BadResponseError, LiveResetError
from nebula_client.models.events import ContractEvent, LiveEvent
from nebula_client.models.links import InvoiceLinkState
from nebula_client.models.streams import Stream, StreamStatus
from nebula_client.params import LiveFilter, OnPosition

EVENTS = "/events/live"
MOVING = {"unlocked", "withdrawable", "accrued_interest", "as_of_ledger", "state_ledger", "complete"}
"""What the clock alone moves: no change."""
FOLDING = (0.1, 0.2, 0.4, 0.8, 1.0, 2.0, 2.0, 5.0, 5.0, 10.0)
"""An event is folded into its stream a moment after it was committed: how long to wait before each further look."""
QUIET_SECONDS = 15.0
"""How often to look for what no event tells: what V1 contracts do, and the ledger that completes a stream."""
LOOK_SECONDS = 1.0
"""The same around the moment of a stream's end."""
PATIENCE_SECONDS = 60.0
"""For how long after its end to do so."""
UNREAD_SECONDS = 3.0
"""How often to look at a new stream until the service has read it from the chain, which no event tells: its curve."""


def events(
    core: Core, wanted: Mapping[str, Any], since: str | None, on_position: OnPosition | None, silence: float
) -> Items[LiveEvent]:
    """Emit contract events as they are committed."""
    live = Live(core, EVENTS, query(arguments(LiveFilter, wanted)), since, silence)
    while True:
        for frame in (yield from live.next()):
            if frame.data is not None and frame.event == MESSAGE:
                if frame.id is None:
                    raise BadResponseError("The live stream sent an event without a position.")
                yield Emit(LiveEvent(_event(frame), frame.id))
            if on_position is not None and frame.id is not None:
                yield _told(on_position, frame.id)


def _told(on_position: OnPosition, position: str) -> Ask:
    return Ask(lambda: on_position(position))


def _event(frame: Frame) -> ContractEvent:
    return read(ContractEvent, frame.data or "", f"GET {EVENTS}")


def stream(core: Core, stream_id: str, silence: float) -> Items[Stream]:
    """Emit a stream as it is, and again whenever something happens to it."""
    shown = yield from read_stream(core, stream_id)
    yield Emit(shown)
    watch = _Watch(core, shown.contract_id, silence)
    wanted = yield from watch.begin(shown)
    while True:
        shown = yield from watch.look(shown, wanted)
        wanted = yield from watch.news(shown)


class _Watch:
    """One stream that somebody watches: its contract's events say when to read it again, and so does the clock."""

    def __init__(self, core: Core, contract: str, silence: float) -> None:
        self._core = core
        self._live = Live(core, EVENTS, query({"contract": contract}), silence=silence)

    def begin(self, shown: Stream) -> Operation[int]:
        """Wait until the connection stands: what came before is read then, what comes after is told."""
        wanted = 0
        while self._live.position is None:
            wanted = max([wanted, *_ledgers((yield from self._next()), shown)])
        return wanted

    def look(self, shown: Stream, wanted: int) -> Generator[Effect | Emit[Stream], Any, Stream]:
        """Read the stream, as of a ledger if that is soon; emit it where it has changed, and return it."""
        for pause in (0.0, *FOLDING):
            if pause:
                yield Sleep(pause)
            found = yield from self._lasting(shown.id)
            if found.model_dump(exclude=MOVING) != shown.model_dump(exclude=MOVING):
                yield Emit(found)
            shown = found
            if shown.as_of_ledger >= wanted and (shown.complete or not wanted):
                break
        return shown

    def news(self, shown: Stream) -> Operation[int]:
        """Wait for a reason to read the stream again; return the ledger as of which."""
        begun = self._core.clock.monotonic()
        while True:
            left = self._left(shown)
            if left is not None and -PATIENCE_SECONDS < left <= QUIET_SECONDS:
                # no event tells that the clock completed it; what events tell meanwhile is read as well
                yield Sleep(min(left, LOOK_SECONDS) if left > 0 else LOOK_SECONDS - left / 4)
                return 0
            if self._is_new(shown):
                yield Sleep(UNREAD_SECONDS)
                return 0
            frames = yield from self._next()
            if self._live.position is None:
                return (yield from self.begin(shown))
            if ledgers := _ledgers(frames, shown):
                return max(ledgers)
            is_silent = shown.version == SILENT or left is not None
            if is_silent and self._core.clock.monotonic() - begun >= QUIET_SECONDS:
                return 0

    def _next(self) -> Operation[Sequence[Frame]]:
        """Return the next frames; none, and no position, where another history has begun."""
        try:
            return (yield from self._live.next())
        except LiveResetError:
            self._live.begin_anew()
            return ()

    def _is_new(self, shown: Stream) -> bool:
        """Tell whether a stream was just created, and the service has not read it from the chain."""
        age = self._core.clock.wall() - shown.created_at.timestamp()
        is_unread = shown.state_ledger is None and shown.status == StreamStatus.ACTIVE
        return is_unread and abs(age) < PATIENCE_SECONDS

    def _left(self, shown: Stream) -> float | None:
        if shown.status != StreamStatus.ACTIVE or shown.completes_at is None:
            return None
        return shown.completes_at.timestamp() - self._core.clock.wall()

    def _lasting(self, stream_id: str) -> Operation[Stream]:
        """Read for as long as it may help: a service that is replaced answers again in a while."""
        attempt = 0
        while True:
            try:
                return (yield from read_stream(self._core, stream_id))
            except PASSING as error:
                asked = error.retry_after if isinstance(error, ApiError) else None
                pause = max(back_off(attempt, self._core.clock), min(asked or 0.0, LONGEST_PAUSE))
            yield Sleep(pause)
            attempt += 1


def _ledgers(frames: Sequence[Frame], shown: Stream) -> list[int]:
    """Return the ledgers of the events that may be the stream's: they name its number, or its token."""
    told = [_event(frame) for frame in frames if frame.data is not None and frame.event == MESSAGE]
    names = {shown.stream_id, shown.token_address}
    return [one.ledger for one in told if one.decoded is None or names & _texts(one.decoded.model_dump())]


def _texts(value: object) -> set[str]:
    """Return every text and number in a value."""
    if isinstance(value, Mapping):
        return _texts([*value.keys(), *value.values()])
    if isinstance(value, list):
        return set().union(*map(_texts, value))
    return {str(value)}


def link(core: Core, slug: str, silence: float) -> Items[InvoiceLinkState]:
    """Emit where an invoice link is, and again with each change; end when it is deleted."""
    at = path("/invoice-links", slug, "live")
    live = Live(core, at, silence=silence)
    last: InvoiceLinkState | None = None
    while True:
        for frame in (yield from live.next()):
            if frame.event == "gone":
                return
            if frame.event != "status" or frame.data is None:
                continue
            state = read(InvoiceLinkState, frame.data, f"GET {at}")
            if state != last:  # each connection begins with the state as it is
                yield Emit(state)
            last = state
