"""Ending on SIGINT or SIGTERM: at once where possible, within five seconds whatever happens. And on SIGHUP, renewed."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

from stellarstream_core.errors import ExitCode

if TYPE_CHECKING:
    from stellarstream_core.ops.indexer import Renewal

GRACE_SECONDS = 4.5
"""After a signal the process ends within five seconds, whatever the database or the network does."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignals:
    """While entered, SIGINT and SIGTERM set an event, and a process that is still there in the end is ended.

    The handlers are Python's own, not the event loop's: they work while the loop is blocked. ``renewal`` hears
    of SIGHUP; without it SIGHUP does what it did before.
    """

    def __init__(self, renewal: Renewal | None = None) -> None:
        self.requested = False
        self._renewal = renewal
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event: asyncio.Event | None = None
        self._timer: threading.Timer | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopOnSignals:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._on_signal)
        if self._renewal is not None:
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._on_hang_up)
        # a process that has executed itself again was given no signal until it could heed it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._before)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._timer is not None:
            self._timer.cancel()

    def event(self) -> asyncio.Event:
        """Return the event of the running loop; it is set already where a signal came before."""
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()
        if self.requested:
            self._event.set()
        if self._renewal is not None:
            self._renewal.arm(self._event)
        return self._event

    def _on_hang_up(self, _number: int, _frame: FrameType | None) -> None:
        if self._renewal is not None and not self.requested:
            self._renewal.hang_up()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            return
        self.requested = True
        if self._renewal is not None:
            self._renewal.call_off()
        # an open transaction rolls back by itself, so leaving late work behind loses nothing
        self._timer = threading.Timer(GRACE_SECONDS, os._exit, [int(ExitCode.INCOMPLETE)])
        self._timer.daemon = True
        self._timer.start()
        if self._loop is not None and self._event is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)
