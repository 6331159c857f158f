"""One indexer at a time, and new code without a new process.

Two indexers would not spoil anything, for the database takes each event once; but they would fetch all twice.
SIGHUP has the indexer finish the window in flight and execute itself again, with the same arguments and the same
environment. It keeps its number and, over the exec, its lock.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from loguru import logger

from stellarstream_core.errors import ExitCode, SettingsError, StellarStreamError, SyncInterruptedError

LOCK_NAME = "indexer.lock"
LOCK_SECONDS = 15.0
"""How long an indexer waits for another one to end; a supervisor kills what has not ended after five seconds."""
LOOK_SECONDS = 0.05
WINDOW_SECONDS = 5.0
"""How long the window in flight may take to be finished after SIGHUP; then it is dropped, and fetched again."""
ENDING_SECONDS = 4.5
"""How long everything may take to be closed after that; then the process executes itself again all the same."""
THREADS_SECONDS = 1.0
HOME = "STELLARSTREAM_HOME"
"""The working directory by its name: a later release may have been put there."""

HELD_SIGNALS = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM})
"""They wait while the process executes itself, and come once it can heed them again."""


class IndexerBusyError(StellarStreamError):
    """Another indexer of this deployment runs, and does not end."""

    code = "indexer-running"
    title = "Indexer already running"
    exit_code = ExitCode.USAGE
    help = "Stop it first, or let it run: one indexer is enough. 'stellarstream cluster status' shows it."


class NotRenewedError(StellarStreamError):
    """The process cannot execute itself again."""

    code = "not-renewed"
    title = "Cannot begin anew"
    help = "What was committed is kept. Start the command again."


class IndexerLock:
    """The lock of a deployment's only indexer: a file in its run folder, held by ``flock``.

    The system lets it go when the process ends, however that comes about.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self._path, self._fd = path, fd

    @classmethod
    async def take(cls, run_dir: Path, stop: asyncio.Event, seconds: float) -> IndexerLock:
        """Take the lock, or go on with what this process held before it executed itself.

        Raises ``IndexerBusyError`` where another process holds it longer than ``seconds``,
        ``SyncInterruptedError`` where ``stop`` is set meanwhile, and ``SettingsError`` where there is no such folder.
        """
        path = run_dir / LOCK_NAME
        give_up = time.monotonic() + seconds
        while True:
            inherited = _inherited(path)
            lock = cls(path, _opened(path) if inherited is None else inherited)
            try:
                if lock._is_taken():
                    return lock
            except BaseException:
                lock.close()
                raise
            lock.close()
            if time.monotonic() >= give_up:
                raise IndexerBusyError(f"Another indexer{_holder(path)} has held {path} for {seconds:g} seconds.")
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
            if stop.is_set():
                raise SyncInterruptedError("Stopped while another indexer was running; nothing was changed.")

    def hand_over(self) -> None:
        """Let the lock live on in what this process executes next."""
        os.set_inheritable(self._fd, True)

    def close(self) -> None:
        """Let it go. Safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _is_taken(self) -> bool:
        """Try to take the lock; tell whether this process has it now."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if not _same(self._fd, self._path):  # somebody removed the file: others lock another one by now
            return False
        os.set_inheritable(self._fd, False)
        with suppress(OSError):  # it only helps who reads the error of the next one
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        return True


class Renewal:
    """Ends a sync after the window in flight when SIGHUP comes, and has the process execute itself again.

    ``hang_up`` and ``call_off`` are called by signal handlers, the rest by the event loop and after it.
    """

    def __init__(self) -> None:
        self.lock: IndexerLock | None = None
        self._wanted = self._called_off = self._busy = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._timer: threading.Timer | None = None

    @property
    def due(self) -> bool:
        """Whether the process is to execute itself again."""
        return self._wanted and not self._called_off

    def arm(self, stop: asyncio.Event) -> None:
        """Name the event of the running loop that ends the sync."""
        self._loop, self._stop = asyncio.get_running_loop(), stop
        if self.due:
            stop.set()

    def hang_up(self) -> None:
        """Begin to end. Asked twice, it ends once."""
        if self._wanted or self._called_off:
            return
        self._wanted = True
        self._timer = threading.Timer(WINDOW_SECONDS + ENDING_SECONDS, self._force)
        self._timer.daemon = True
        self._timer.start()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._begin)

    def call_off(self) -> None:
        """Forget it: the process ends for good."""
        self._called_off = True
        if self._timer is not None:
            self._timer.cancel()

    def working(self) -> None:
        """Hear that windows are being fetched."""
        self._busy = True

    def window_done(self) -> None:
        """Hear that one was committed: a good moment to end. The next one may be on its way already."""
        self._end_if_due()

    def resting(self) -> None:
        """Hear that there is none to fetch now."""
        self._busy = False
        self._end_if_due()

    def execute(self) -> None:
        """Execute the process again, if that is still due. Raises ``NotRenewedError`` where it cannot be."""
        if self._timer is not None:
            self._timer.cancel()
        _let_threads_end()
        # what comes from now on waits for the handlers of the code that is executed
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD_SIGNALS)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)  # a library's own thread might get it: then this is the end
        if self._called_off:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)
            return
        self._execute()

    def _begin(self) -> None:
        if not os.access(sys.executable, os.X_OK):
            logger.error("SIGHUP is ignored: {} cannot be executed", sys.executable)
            self._wanted = False
            if self._timer is not None:
                self._timer.cancel()
        elif self._busy and self._loop is not None and self._stop is not None:
            self._loop.call_later(WINDOW_SECONDS, self._stop.set)
        else:
            self._end_if_due()

    def _end_if_due(self) -> None:
        if self.due and self._stop is not None:
            self._stop.set()

    def _force(self) -> None:
        """Execute the process in the middle of what does not end. What was open in the database is rolled back."""
        if not self.due:
            return
        logger.warning("SIGHUP: not ended within {:g} s; executed again all the same", WINDOW_SECONDS + ENDING_SECONDS)
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD_SIGNALS)
        try:
            self._execute()
        except NotRenewedError as error:
            logger.error("{}", error)
            os._exit(int(error.exit_code))

    def _execute(self) -> None:
        if self.lock is not None:
            self.lock.hand_over()
        with suppress(OSError):
            os.chdir(os.environ.get(HOME) or ".")
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        try:
            # not by argv[0]: it would be looked for in PATH, and another Python found
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)
            raise NotRenewedError(f"{sys.executable} cannot be executed: {error.strerror or error}.") from error


def has_terminal() -> bool:
    """Tell whether this process belongs to a terminal: then SIGHUP says that it was closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsError(f"run_dir: {path} cannot be locked: {error.strerror or error}.") from None


def _inherited(path: Path) -> int | None:
    """Return the descriptor of the lock that this process kept over an exec."""
    try:
        open_now = [int(entry.name) for entry in Path("/dev/fd").iterdir()]
    except OSError:
        return None
    return next((fd for fd in open_now if fd > 2 and _same(fd, path) and os.get_inheritable(fd)), None)


def _same(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat(follow_symlinks=False))
    except OSError:
        return False


def _holder(path: Path) -> str:
    with suppress(OSError, ValueError):
        return f" (process {int(path.read_text())})"
    return ""


def _let_threads_end() -> None:
    """Wait a moment for threads that have nothing left to do: one that is there may get a signal meant for us."""
    until = time.monotonic() + THREADS_SECONDS
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))
