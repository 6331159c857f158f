"""Starting and ending circusd: at most one a run folder, nothing of a killed one left, ready when it is said to be."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from stellarstream_core.errors import SettingsError, UsageError
from stellarstream_core.ops.control import (
    ClusterError,
    Control,
    NotRunningError,
    clear_leftovers,
    port_is_taken,
    supervisor_pid,
)
from stellarstream_core.ops.environment import API_FAMILY, API_HOST, API_PORT, HOME, LOG_DIR, RUN_DIR
from stellarstream_core.ops.files import CIRCUS_INI, shared_file
from stellarstream_core.ops.health_state import read_health
from stellarstream_core.ops.process import State, read_presences

READY_SECONDS = 60.0
"""How long a cluster may take to be ready."""
END_SECONDS = 20.0
"""How long it may take to end: processes that do not within five seconds are killed."""
ORPHAN_SECONDS = 8.0
"""How long processes may take to end whose supervisor was killed."""
LOG_NAME = "circusd.log"
_LOG_BYTES = 10_000_000
_LOOK_SECONDS = 0.1
_TAIL_LINES = 15


class NotReadyError(ClusterError):
    """The cluster was started and is not ready in time, or ended at once."""

    code = "cluster-not-ready"
    title = "Not ready"


@dataclass(frozen=True, slots=True)
class Ready:
    """What runs: so many API workers; ``indexer`` is what that does, None where this machine has none."""

    workers: int
    indexer: State | None


def clear_the_way(environment: Mapping[str, str]) -> None:
    """Remove what a circusd that was killed left behind, and wait for its processes to end.

    Raises ``ClusterError`` where a circusd is there that does not answer, ``UsageError`` where somebody else has
    the port.
    """
    run_dir = Path(environment[RUN_DIR])
    if (pid := supervisor_pid(run_dir)) is not None:
        raise ClusterError(
            f"circusd (process {pid}) is there for {run_dir}, and does not answer.",
            help=f"If it stays so, end it: kill {pid}",
        )
    clear_leftovers(run_dir)
    host, port = environment[API_HOST], int(environment[API_PORT])
    family = socket.AddressFamily[environment[API_FAMILY]]
    deadline = time.monotonic() + ORPHAN_SECONDS
    try:
        while read_presences(run_dir) or port_is_taken(host, port, family):
            if time.monotonic() > deadline:
                break
            time.sleep(_LOOK_SECONDS)
        taken = port_is_taken(host, port, family)
    except OSError as error:
        raise SettingsError(f"api_host: cannot listen on {host}, port {port}: {error.strerror or error}.") from None
    if left := read_presences(run_dir):  # first: it may be one of them that has the port
        pids = " ".join(str(presence.pid) for presence in left)
        raise UsageError(
            f"Processes of an earlier start are still there: {pids}.",
            help=f"End them first: kill {pids}; kill -9 where that does nothing, as with one that is stopped.",
        )
    if taken:
        raise UsageError(f"Somebody else listens on {host} port {port}.", help="End it, or set another port: api_port.")


def command() -> list[str]:
    """Return the command that is circusd."""
    return [sys.executable, "-m", "circus.circusd", str(shared_file(CIRCUS_INI))]


def become_circusd(environment: Mapping[str, str]) -> NoReturn:
    """Go on as circusd, in this process."""
    arguments = command()
    os.chdir(environment[HOME])
    os.execve(arguments[0], arguments, {**os.environ, **environment})  # noqa: S606 - no shell is wanted


def start(environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start circusd in the background, in a session of its own; what it says goes to its log."""
    with _log(Path(environment[LOG_DIR])) as log:
        return subprocess.Popen(  # noqa: S603 - our own command
            command(),
            cwd=environment[HOME],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def wait_until_ready(process: subprocess.Popen[bytes], environment: Mapping[str, str]) -> Ready:
    """Wait until every worker takes requests and the indexer is there; return what runs then.

    Raises ``NotReadyError``.
    """
    run_dir, log = Path(environment[RUN_DIR]), Path(environment[LOG_DIR]) / LOG_NAME
    control = Control(run_dir)
    began, deadline = time.time(), time.monotonic() + READY_SECONDS
    said, why = log.stat().st_size, f"Not every process was ready within {READY_SECONDS:.0f} seconds"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotReadyError(f"circusd ended with code {process.returncode}.\n{_tail(log)}", help=f"Its log: {log}")
        try:
            ready = what_is_ready(control)
        except ClusterError:  # it does not listen yet
            ready = None
        if ready:
            return ready
        if failing := _failing(run_dir, began):
            why = f"{' and '.join(failing)} ended at once each time"
            break
        time.sleep(_LOOK_SECONDS)
    raise NotReadyError(
        f"{why}. It goes on trying.\n{_tail(log, said)}".strip(),
        help=f"'stellarstream cluster status' shows what is missing, 'stellarstream logs' why; circusd's log: {log}. "
        "'stellarstream down' ends it.",
    )


def _failing(run_dir: Path, since: float) -> list[str]:
    """Return the watchers in a crash loop, as the health monitor knows since then."""
    health = read_health(run_dir)
    if health is None or health.at < since:
        return []
    return sorted(name for name, watcher in health.watchers.items() if watcher.backoff_until is not None)


def what_is_ready(control: Control) -> Ready | None:
    """Return what runs, once all API workers are ready and the indexer, where one is wanted, is there; None before."""
    statuses = control.statuses()
    if statuses.get("api") != "active":
        return None
    presences = read_presences(control.run_dir)
    ready = [presence for presence in presences if presence.role == "api" and presence.ready]
    wanted = control.wanted("api")
    if not wanted or len(ready) < wanted:
        return None
    if statuses.get("indexer") == "active":
        states = [one.state for one in presences if one.role == "indexer" and one.state is not State.WAITING]
        return Ready(wanted, states[0]) if states else None
    return None if control.wanted("indexer") else Ready(wanted, None)


def end(control: Control) -> bool:
    """End circusd and all its processes; return False where it does not run. Raises ``ClusterError``."""
    pid = supervisor_pid(control.run_dir)
    try:
        control.call("quit")
    except NotRunningError:
        if pid is None:
            clear_leftovers(control.run_dir)
            return False
        raise
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        if supervisor_pid(control.run_dir) is None and not control.running() and not read_presences(control.run_dir):
            clear_leftovers(control.run_dir)
            return True
        time.sleep(_LOOK_SECONDS)
    raise ClusterError(
        f"circusd{f' (process {pid})' if pid else ''} has not ended within {END_SECONDS:.0f} seconds.",
        help=f"kill -9 {pid} ends it, and its processes with it." if pid else "",
    )


def _log(folder: Path) -> BinaryIO:
    """Open the log of circusd. Raises ``SettingsError`` where that cannot be."""
    path = folder / LOG_NAME
    try:
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        # without O_NONBLOCK it would wait for whoever reads a pipe
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        reason = "it is a symbolic link, and those are not followed" if path.is_symlink() else error.strerror or error
        raise SettingsError(f"log_dir: {path} cannot be written: {reason}.") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise SettingsError(f"log_dir: {path} cannot be written: it is no regular file.")
    os.set_blocking(fd, True)
    return os.fdopen(fd, "ab")


def _tail(log: Path, since: int = 0) -> str:
    """Return the last lines that circusd, or what its processes could not say elsewhere, has said."""
    try:
        with log.open("rb") as file:
            file.seek(max(since, log.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:])
