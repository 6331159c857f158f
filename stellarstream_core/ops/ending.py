"""Ending circusd although it does not answer."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from loguru import logger

from stellarstream_core.ops.control import ClusterError, Control, clear_leftovers, supervisor_pid
from stellarstream_core.ops.identity import birth_of, lives
from stellarstream_core.ops.process import read_presences
from stellarstream_core.ops.starting import END_SECONDS, end

BUSY_SECONDS = 30.0
"""How long circusd may take to heed SIGTERM: a reload that waits for new workers keeps it busy for so long."""
_LOOK_SECONDS = 0.1


def end_whatever(control: Control) -> bool:
    """End circusd as :func:`end` does; where it refuses that, or does not answer, tell it by a signal.

    Returns False where it does not run. Raises ``ClusterError`` where it does not end even so.
    """
    try:
        return end(control)
    except ClusterError as error:
        pid = supervisor_pid(control.run_dir)  # circusd of this very folder, or nobody
        if pid is None:
            raise
        logger.warning("{} It gets SIGTERM (process {}).", error.message, pid)
        birth = birth_of(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + BUSY_SECONDS + END_SECONDS
    while time.monotonic() < deadline:
        if not lives(pid, birth) and not read_presences(control.run_dir):
            clear_leftovers(control.run_dir)
            return True
        time.sleep(_LOOK_SECONDS)
    raise ClusterError(
        f"circusd (process {pid}) does not answer, and has not heeded SIGTERM within {BUSY_SECONDS + END_SECONDS:.0f} "
        "seconds.",
        help=f"kill -9 {pid} ends it, and its processes with it.",
    )
