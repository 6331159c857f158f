"""A bound on getting ready: a supervised process that cannot work says so and ends, and is started again."""

from __future__ import annotations

import os
import threading

from loguru import logger

from stellarstream_core.errors import ExitCode
from stellarstream_core.ops.supervised import want

READY_SECONDS = 20.0
"""How long a supervised process may take until its database and its plugins are ready."""


class ReadyInTime:
    """While entered, :meth:`done` has to be called in time; else the process says what it waits for, and ends.

    A thread of its own looks at the time: what is waited for may hold up the event loop. Without a ``role``
    nobody would start it again, and nothing is done.
    """

    def __init__(self, role: str | None, waiting_for: str) -> None:
        self._role, self._waiting_for = role, waiting_for
        self._timer = threading.Timer(READY_SECONDS, self._end)
        self._timer.daemon = True

    def __enter__(self) -> ReadyInTime:
        if self._role is not None:
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done()

    def done(self) -> None:
        """Say that it is ready."""
        self._timer.cancel()

    def _end(self) -> None:
        logger.error(
            "Not ready within {:g} seconds: still waiting for {}. It ends, so that its supervisor starts it again; "
            "'stellarstream doctor' tells more.",
            READY_SECONDS,
            self._waiting_for,
        )
        want(self._waiting_for)
        os._exit(int(ExitCode.UNEXPECTED))
