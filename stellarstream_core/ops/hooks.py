"""What circusd asks at the turns of a process's life; circus.ini names these functions.

They run inside circusd, which does nothing else meanwhile: only :func:`wait_ready` waits, and not for long. They need
nothing of StellarStream but small modules, and whatever goes wrong in them must not stop a watcher.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from circus import logger
from circus.process import DEAD_OR_ZOMBIE, UNEXISTING

from stellarstream_core.ops.health_rules import LONGEST_HOLD, LONGEST_WAIT, Backoff
from stellarstream_core.ops.notes import (
    Crash,
    Held,
    forget_ends,
    note_crash,
    note_failed_reload,
    note_held,
    take_note_of_end,
    why_held,
)
from stellarstream_core.ops.process import SUPERVISOR_PID, has_worked, is_ready
from stellarstream_core.ops.workers import API_WORKERS, INDEXERS, indexer_asked_for, usable_cores, workers_asked_for

READY_SECONDS = 30.0
"""How long a reload waits for new workers; those that are not ready by then are not taken."""
RETIRE_SIGNAL = signal.SIGURG
"""Sent through circusd it reaches no process; the one it was meant for is the next to go when there are too many."""
_ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL})
HELD, RELEASED = "held", "released"
"""Events that are published beside circus's own."""
_LOOK_SECONDS = 0.02
_SIGNAL_WAITS_SECONDS = 0.1
_REAP_SECONDS = 1.0
_GONE = frozenset({DEAD_OR_ZOMBIE, UNEXISTING})
_CONFLICT = "ConflictError"
_TORNADO_LOG = "tornado.application"
_RELOAD_ALL = "arbiter_reload"
"""What circusd calls the command that reloads every watcher."""
_BY_NAME = frozenset({"watcher_start", "watcher_restart"})
"""What it calls commands that start one watcher, which somebody has named."""


@dataclass
class _Memory:
    """What is remembered of a watcher.

    ``spawned``: the processes started since circusd last looked around; ``told``: those that were told to end;
    ``crashed``: those that ended without, and how is yet to be heard.
    """

    spawned: list[int] = field(default_factory=list)
    told: set[int] = field(default_factory=set)
    crashed: set[int] = field(default_factory=set)
    held: int = 0
    until: float = 0.0
    release: Any = None
    backoff: Backoff = field(default_factory=Backoff)


_memories: WeakKeyDictionary[Any, _Memory] = WeakKeyDictionary()


def _memory(watcher: Any) -> _Memory:
    return _memories.setdefault(watcher, _Memory())


# --- before_start ---------------------------------------------------------------------------------


def begin(watcher: Any, arbiter: Any = None, **_: Any) -> bool:
    """Begin anew: nothing is held back any more."""
    if arbiter is not None:
        _let_signals_wait(arbiter)
    for log in (logger, logging.getLogger(_TORNADO_LOG)):
        if not any(isinstance(one, _NoConflicts) for one in log.filters):
            log.addFilter(_NoConflicts())
    memory = _memory(watcher)
    if memory.release is not None:
        watcher.loop.remove_timeout(memory.release)
    watcher.numprocesses += memory.held
    _memories[watcher] = _Memory()
    note_held(_run_dir(), watcher.name, None)
    _reap_all(watcher)
    forget_ends(_run_dir(), watcher.name)
    return True


def set_workers(watcher: Any, arbiter: Any = None, **_: Any) -> bool:
    """Set the number of workers: ``API_WORKERS``, or as many as there are cores. An ini file cannot say so."""
    begin(watcher, arbiter)
    try:
        asked = workers_asked_for(os.environ)
    except ValueError as error:
        logger.error("%s: %s; as many workers as cores are started", API_WORKERS, error)
        asked = None
    watcher.numprocesses = asked or usable_cores()
    return True


def set_indexers(watcher: Any, arbiter: Any = None, **_: Any) -> bool:
    """Start no indexer where ``INDEXERS`` is 0, unless somebody starts this watcher by its name."""
    begin(watcher, arbiter)
    try:
        asked = indexer_asked_for(os.environ)
    except ValueError as error:
        logger.error("%s: %s; an indexer is started", INDEXERS, error)
        asked = True
    asked = asked or _command_of(arbiter) in _BY_NAME
    watcher.numprocesses = int(asked)  # none wanted: then it is not taken for one that was stopped
    return asked


def need_command(watcher: Any, arbiter: Any, **_: Any) -> bool:
    """Start the slot for more only where its command is known, and it was asked for.

    circus starts what is stopped when everything is reloaded: a command that has ended would run once more.
    """
    begin(watcher, arbiter)
    if _command_of(arbiter) == _RELOAD_ALL:
        return False
    if "$(circus.env." in watcher.cmd:
        logger.error("%s: STELLARSTREAM_WORKER was not set when circusd started", watcher.name)
        return False
    return True


def _reap_all(watcher: Any) -> None:
    """Have every process that has ended reaped: circus forgets those that its look at their number meets first."""
    if hasattr(watcher.manage_processes, "reaps"):
        return
    manage = watcher.manage_processes

    def reaping() -> Any:
        for process in list(watcher.processes.values()):
            if process.status in _GONE and _ends(process.pid):
                watcher.reap_process(process.pid)
        return manage()

    reaping.reaps = True  # type: ignore[attr-defined]
    watcher.manage_processes = reaping


def _ends(pid: int) -> bool:
    """Tell whether it can be heard how a child has ended; its last threads may take a moment."""
    deadline = time.monotonic() + _REAP_SECONDS
    while not _has_ended(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def _command_of(arbiter: Any) -> str | None:
    """Return the command that circusd is carrying out."""
    command: str | None = getattr(arbiter, "_exclusive_running_command", None)
    return command


def _let_signals_wait(arbiter: Any) -> None:
    """Let what a signal asks of circusd wait for the command that runs; circus would refuse it, and forget a stop."""
    controller = getattr(arbiter, "ctrl", None)
    if controller is None or hasattr(controller.dispatch, "waits"):
        return
    dispatch = controller.dispatch

    def patient(job: Any) -> Any:
        by_signal = job[0] is None
        if by_signal and _command_of(arbiter):
            return controller.loop.call_later(_SIGNAL_WAITS_SECONDS, patient, job)
        return dispatch(job)

    patient.waits = True  # type: ignore[attr-defined]
    controller.dispatch = patient


class _NoConflicts(logging.Filter):
    """Leaves out that circusd's periodic look met a command that was running: it looks again a moment later."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
        return kind is None or kind.__name__ != _CONFLICT


# --- before_spawn and after_spawn -----------------------------------------------------------------


def prepare(watcher: Any, **_: Any) -> bool:
    """Hand the environment down whole, and say who started the process.

    circus takes ``$NAME`` in a value for another variable, so that a password may arrive without its middle. SIGHUP
    waits, where it is what a reload sends, until the new process can heed it: before that it would be its end.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK if watcher.send_hup else signal.SIG_UNBLOCK, {signal.SIGHUP})
    if watcher.send_hup:  # a child has the mask of who started it; circusd itself heeds the signal a moment later
        watcher.loop.add_callback(signal.pthread_sigmask, signal.SIG_UNBLOCK, {signal.SIGHUP})
    for name, value in os.environ.items():
        if "$" in value or value != value.strip():
            watcher.env[name] = value
    watcher.env[SUPERVISOR_PID] = str(os.getpid())
    return True


def wait_ready(watcher: Any, pid: int, **_: Any) -> bool:
    """In a reload wait until all new workers are ready, before circus ends the old ones; then keep only those.

    New workers start side by side: it is the last one's turn to wait. Those that end, or are not ready in time, are
    killed, and as many old ones stay. At a start, and where a worker died, nobody waits: connections do, in the
    socket, and the others answer.
    """
    spawned = _memory(watcher).spawned
    spawned.append(pid)
    if len(spawned) == 1:
        # a reload starts all of them at one go; whoever else starts processes lets circusd look around in between
        watcher.loop.add_callback(spawned.clear)
    if len(spawned) >= watcher.numprocesses and len(watcher.processes) > watcher.numprocesses:
        late = _wait_for(watcher.name, list(spawned))
        if late:
            logger.error("%s: %d new workers did not become ready: old ones stay", watcher.name, len(late))
            _memory(watcher).told.update(late)  # that is told as what it is, not as crashes
            note_failed_reload(_run_dir(), watcher.name, len(late))
    return True


def _wait_for(role: str, pids: list[int]) -> list[int]:
    """Wait until every process is ready or has ended; kill the late ones and return all that are not ready."""
    run_dir = _run_dir()
    deadline = time.monotonic() + READY_SECONDS
    waiting, ended = list(pids), []
    while waiting and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        ended += [pid for pid in waiting if _has_ended(pid)]
        waiting = [pid for pid in waiting if pid not in ended and not is_ready(run_dir, role, pid)]
    for pid in waiting:
        os.kill(pid, signal.SIGKILL)
    for pid in waiting:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return waiting + ended


def _has_ended(pid: int) -> bool:
    """Tell whether a child has ended, and leave it to circus to hear how."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


# --- before_signal --------------------------------------------------------------------------------


def retire(watcher: Any, pid: int, signum: int, **_: Any) -> bool:
    """Let ``RETIRE_SIGNAL`` make a process the oldest: 'decr' then ends this one and no other.

    Who is told to end is remembered: circus itself does not, in 'kill' and 'reload --sequential'.
    """
    if signum != RETIRE_SIGNAL:
        if signum in _ENDING:
            told = _memory(watcher).told
            told.intersection_update(watcher.processes)
            told.add(pid)
        return True
    oldest = min(process.started for process in watcher.processes.values())
    watcher.processes[pid].started = min(oldest - 1.0, watcher.processes[pid].started)
    return False


# --- before_reap and after_reap ----------------------------------------------------------------------------------


def hold_crashes(watcher: Any, process_pid: int, **_: Any) -> bool:
    """Hold a process back that ended by itself again and again; the others of its watcher go on undisturbed."""
    process = watcher.processes.get(process_pid)
    memory, why = _memory(watcher), take_note_of_end(_run_dir(), watcher.name, process_pid)
    if not watcher.is_active() or process is None or process.stopping or process_pid in memory.told:
        return True  # it was told to end
    memory.crashed.add(process_pid)
    if memory.release is None:
        if has_worked(_run_dir(), watcher.name, process_pid):
            return True  # whatever killed it, it gets on: to hold it back would only cost time
        seconds = memory.backoff.crashed(time.monotonic(), LONGEST_WAIT if why else LONGEST_HOLD)
        if seconds is None:
            return True
        memory.release = watcher.loop.call_later(seconds, _release, watcher)
        memory.until = time.time() + seconds
        logger.error("%s %s: the next start is in %g s", watcher.name, why_held(why), seconds)
    if watcher.numprocesses > 0:
        watcher.numprocesses -= 1
        memory.held += 1
    held = Held(memory.held, memory.until, why)
    note_held(_run_dir(), watcher.name, held)
    watcher.notify_event(HELD, {"time": time.time(), **asdict(held)})
    return True


def note_crashes(watcher: Any, process_pid: int, exit_code: int | None, **_: Any) -> bool:
    """Note how a process ended that nobody had told to, for the health monitor."""
    memory = _memory(watcher)
    memory.told.discard(process_pid)  # a later process may be given its number
    if process_pid in memory.crashed:
        memory.crashed.discard(process_pid)
        note_crash(_run_dir(), Crash(time.time(), watcher.name, process_pid, exit_code))
    return True


def _run_dir() -> Path:
    return Path(os.environ["STELLARSTREAM_RUN_DIR"])


def _release(watcher: Any) -> None:
    memory = _memory(watcher)
    watcher.numprocesses += memory.held
    memory.held, memory.release = 0, None
    memory.backoff.released(time.monotonic())
    note_held(_run_dir(), watcher.name, None)
    watcher.notify_event(RELEASED, {"time": time.time()})
