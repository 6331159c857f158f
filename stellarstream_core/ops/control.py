"""Steering circusd from Python: what ``circusctl`` does, with the patience that it lacks.

circusd refuses a command while another one runs; here such a command is asked again until its turn comes.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from stellarstream_core.errors import StellarStreamError, UsageError
from stellarstream_core.ops.environment import CONTROL_SOCKET, EVENTS_SOCKET, PID_FILE, RUN_DIR, control_endpoint

TIMEOUT_SECONDS = 5.0
"""How long circusd may take to answer what it need not wait for."""
PATIENCE_SECONDS = 60.0
"""How long a command waits for its turn and its end."""
RETRY_SECONDS = 0.1
"""How long it waits before it asks again."""
_BUSY = ("arbiter is already running", "arbiter is restarting")


class ClusterError(StellarStreamError):
    """circusd refuses a command, or does not answer."""

    code = "cluster"
    title = "Cluster problem"
    help = "See 'stellarstream cluster status' and the log of circusd."


class NotRunningError(ClusterError):
    """There is no circusd for this run folder."""

    code = "cluster-not-running"
    title = "Not running"
    help = "'stellarstream up' starts it. Where it runs with another run_dir, set the same one here."


class CircusMissingError(UsageError):
    """The libraries that only a cluster needs are not installed."""

    code = "cluster-extra"
    title = "Not installed"
    help = "Run: pip install 'stellarstream[cluster]'"


def require_circus() -> None:
    """Raise ``CircusMissingError`` where circus or psutil is not there."""
    try:
        import circus  # noqa: F401, PLC0415 - only a cluster needs them
        import psutil  # noqa: F401, PLC0415
    except ImportError as error:
        raise CircusMissingError(f"{error.name} is missing, which runs several processes as one service.") from None


class Control:
    """circusd of one run folder."""

    def __init__(self, run_dir: Path, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self.run_dir, self.endpoint, self._timeout = run_dir, control_endpoint(run_dir), timeout

    def call(self, command: str, *, patience: float = PATIENCE_SECONDS, **properties: Any) -> dict[str, Any]:
        """Ask circusd to carry out a command and return its answer.

        With ``waiting=True`` it answers once it is carried out. Raises ``NotRunningError``, and ``ClusterError``
        where it refuses, or neither answers nor gives this command its turn within ``patience`` seconds.
        """
        require_circus()
        from circus.client import CircusClient  # noqa: PLC0415 - as above
        from circus.exc import CallError  # noqa: PLC0415

        deadline = time.monotonic() + patience
        while True:
            self.require_running()
            left = max(deadline - time.monotonic(), 0.1)
            # who is told to end may be told again, so that its turn can be waited for; other commands would come twice
            waits = properties.get("waiting") or command == "quit"
            timeout = left if waits else min(self._timeout, left)
            client = CircusClient(endpoint=self.endpoint, timeout=timeout)
            try:
                answer: dict[str, Any] = client.send_message(command, **properties)
            except CallError as error:
                raise ClusterError(f"circusd does not answer '{command}': {_plain(str(error))}.") from None
            finally:
                client.stop()
            if answer.get("status") != "error":
                return answer
            reason = str(answer.get("reason"))
            if not is_busy(reason) or time.monotonic() > deadline:
                raise ClusterError(f"circusd refuses '{command}': {_plain(reason)}.")
            time.sleep(RETRY_SECONDS)

    def require_running(self) -> None:
        """Raise ``NotRunningError`` where nobody listens, at once; ``ClusterError`` where one may not ask."""
        path = self.run_dir / CONTROL_SOCKET
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(self._timeout)
            try:
                sock.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                raise NotRunningError(f"No circusd runs for {self.run_dir}.") from None
            except PermissionError:
                raise ClusterError(
                    f"{path} belongs to another user.", help="Only the user that started circusd can steer it."
                ) from None
            except OSError as error:
                raise ClusterError(f"{path}: {error.strerror or error}.") from None

    def running(self) -> bool:
        """Tell whether circusd listens."""
        try:
            self.require_running()
        except NotRunningError:
            return False
        return True

    def statuses(self) -> dict[str, str]:
        """Return every watcher's status: active, stopped, starting, stopping."""
        found = self.call("status")["statuses"]
        return {str(name): str(status) for name, status in found.items()}

    def pids(self, watcher: str) -> list[int]:
        """Return a watcher's processes."""
        return [int(pid) for pid in self.call("list", name=watcher)["pids"]]

    def options(self, watcher: str, *names: str) -> dict[str, Any]:
        """Return some of a watcher's options; ``numprocesses`` is how many processes it keeps running."""
        return dict(self.call("get", name=watcher, keys=list(names))["options"])

    def wanted(self, watcher: str) -> int:
        """Return how many processes a watcher keeps running."""
        return int(self.options(watcher, "numprocesses")["numprocesses"])


def is_busy(reason: str) -> bool:
    """Tell whether circusd refuses a command only because it is at another one."""
    return reason.startswith(_BUSY)


def supervisor_pid(run_dir: Path) -> int | None:
    """Return the process id of the circusd that runs for this folder, or is starting; None where none does.

    The number in its file may be another process's by now, even that of another folder's circusd.
    """
    with suppress(OSError, ValueError):
        pid = int((run_dir / PID_FILE).read_text())
        os.kill(pid, 0)
        process = Path(f"/proc/{pid}")
        if not process.exists():  # not every system has it
            return pid
        told = f"{RUN_DIR}={run_dir}".encode()
        if b"circusd" in (process / "cmdline").read_bytes() and told in (process / "environ").read_bytes().split(b"\0"):
            return pid
    return None


def clear_leftovers(run_dir: Path) -> None:
    """Remove what a circusd that was killed left behind; it must not be running."""
    for name in (PID_FILE, CONTROL_SOCKET, EVENTS_SOCKET):
        with suppress(FileNotFoundError):
            (run_dir / name).unlink()


def port_is_taken(host: str, port: int, family: socket.AddressFamily = socket.AF_INET) -> bool:
    """Tell whether somebody listens there. Raises ``OSError`` where it is no address of this machine."""
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise
    return False


def _plain(text: str) -> str:
    return text.strip().rstrip(".").lower() if text.isupper() else text.strip().rstrip(".")
