"""Running circusctl as it is, but letting its command wait for its turn: circusd refuses one while another runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from stellarstream_core.errors import UsageError
from stellarstream_core.ops.control import PATIENCE_SECONDS, RETRY_SECONDS, ClusterError, Control, is_busy
from stellarstream_core.ops.notes import reload_failed_since

TIMEOUT_SECONDS = 60
"""How long circusctl waits for an answer: by default five, and circusd answers a reload once workers are ready."""
_STARTING = frozenset({"start", "restart"})
_OPEN = "$(circus.env."
"""What circus leaves in a command where a variable is not set."""
_AT_ONCE = frozenset({"ipython", "listen"})
"""What goes on until somebody ends it, and is never refused."""


class ReloadFailedError(ClusterError):
    """New processes did not become ready: the old ones stay."""

    code = "reload-failed"
    title = "Reload failed"
    help = "'stellarstream logs --since 10m' shows the new ones' last words. Mend it, and reload again."


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


def require_command(control: Control, arguments: Sequence[str]) -> None:
    """Raise ``UsageError`` where a watcher is to be started whose command was left open; circusctl would say 'ok'."""
    if len(arguments) < 2 or arguments[0] not in _STARTING or arguments[1] not in control.statuses():
        return
    if _OPEN in str(control.options(arguments[1], "cmd")["cmd"]):
        raise UsageError(
            f"The slot '{arguments[1]}' has no command: STELLARSTREAM_WORKER was not set when circusd started.",
            help="Set it in circusd's environment, such as 'sync --from …', and restart all of it.",
        )


def require_reloaded(control: Control, arguments: Sequence[str], began: float) -> None:
    """Raise ``ReloadFailedError`` where a reload was asked for, and new processes did not become ready."""
    if "reload" not in arguments:
        return
    if (failed := reload_failed_since(control.run_dir, began)) is not None:
        raise ReloadFailedError(f"{failed.text[0].upper()}{failed.text[1:]}.")


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
