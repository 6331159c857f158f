"""Running circusctl as it is, but letting its command wait for its turn: circusd refuses one while another runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from stellarstream_core.ops.control import PATIENCE_SECONDS, RETRY_SECONDS, ClusterError, Control, is_busy

TIMEOUT_SECONDS = 60
"""How long circusctl waits for an answer: by default five, and circusd answers a reload once workers are ready."""
_AT_ONCE = frozenset({"ipython", "listen"})
"""What goes on until somebody ends it, and is never refused."""


class Answer(NamedTuple):
    """What circusctl said, and the code that it ended with."""

    code: int
    output: str
    error: str


def run_circusctl(control: Control, arguments: Sequence[str], *, patience: float = PATIENCE_SECONDS) -> Answer:
    """Run circusctl until circusd gives its command its turn; return what it said.

    Without a command, and with one that goes on, this process becomes circusctl instead. Raises ``NotRunningError``,
    and ``ClusterError`` where the turn does not come within ``patience`` seconds.
    """
    control.require_running()
    command = [sys.executable, "-m", "circus.circusctl", "--endpoint", control.endpoint]
    command += ["--timeout", str(TIMEOUT_SECONDS), *arguments]
    if _goes_on(arguments):
        os.execv(sys.executable, command)  # noqa: S606 - no shell is wanted
    deadline = time.monotonic() + patience
    while True:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
        reason = _refusal(done.stdout, done.stderr)
        if reason is None:
            return Answer(done.returncode, done.stdout, done.stderr)
        if time.monotonic() > deadline:
            raise ClusterError(
                f"circusd has refused '{' '.join(arguments)}' for {patience:g} seconds: {reason}.",
                help="Nothing was changed. Try again when that command has ended.",
            )
        time.sleep(RETRY_SECONDS)
        control.require_running()


def _goes_on(arguments: Sequence[str]) -> bool:
    from circus.commands import get_commands  # noqa: PLC0415 - only a cluster needs it

    named = [argument for argument in arguments if argument in get_commands()]  # as circusctl itself looks for one
    return "--help" not in arguments and (not named or named[0] in _AT_ONCE)


def _refusal(output: str, error: str) -> str | None:
    """Return why circusd refused a command that may be asked again: on stderr, or on stdout as JSON where asked so."""
    reason = error.strip().removeprefix("error: ")
    if not reason:
        try:
            told = orjson.loads(output)
        except ValueError:
            return None
        reason = str(told.get("reason", "")) if isinstance(told, dict) and told.get("status") == "error" else ""
    return reason.rstrip(".") if is_busy(reason) else None
