"""Starting ``stellarstream`` as a process of its own."""

from __future__ import annotations

import atexit
import functools
import os
import pickle
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from tests.paths import ROOT
from tests.preloaded import TOLD, Job

CLI = "stellarstream_core.cli"

_READ_AT_START = ("PYTHON", "LC_", "LANG", "TZ", "LD_", "SSL_", "OPENSSL", "PSYCOPG", "AIOHTTP")
"""Variables that are read when an interpreter or a library is loaded, not when it is used."""
_HEEDED = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONUNBUFFERED"}
"""Of these, what a copy heeds."""
_OPTIONS = {"cwd", "encoding", "env", "errors", "pass_fds", "stderr", "stdin", "stdout", "text"}


def module(name: str, *arguments: str, **options: Any) -> subprocess.Popen:
    """Start ``python -m NAME ARGUMENTS``, with the keywords of ``subprocess.Popen``.

    It is a copy of a process that has imported the libraries (``tests.preloaded``), unless what is asked for takes an
    interpreter of its own, such as other variables that are read at its start.
    """
    environment = dict(os.environ if options.get("env") is None else options["env"])
    if sys.platform == "linux" and _OPTIONS.issuperset(options) and _at_start(environment) == _at_start(os.environ):
        folder = os.path.abspath(options.get("cwd") or ".")  # noqa: PTH100 - it may be a text
        return _Copy(Job(name, arguments, environment, folder, tuple(options.get("pass_fds", ()))), **options)
    return subprocess.Popen([sys.executable, "-m", name, *arguments], **options)


def start(*arguments: str, **options: Any) -> subprocess.Popen:
    """Start ``stellarstream ARGUMENTS``, with the keywords of ``subprocess.Popen``."""
    return module(CLI, *arguments, **options)


def from_nothing(*arguments: str, **options: Any) -> subprocess.Popen:
    """Start ``stellarstream ARGUMENTS`` in an interpreter of its own, as a user does."""
    return subprocess.Popen([sys.executable, "-m", CLI, *arguments], **options)


def run(*arguments: str, timeout: float | None = None, **options: Any) -> subprocess.CompletedProcess:
    """Run ``stellarstream ARGUMENTS`` to its end; its output is captured as text unless the keywords say otherwise."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    with start(*arguments, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in environment.items() if name.startswith(_READ_AT_START) and name not in _HEEDED
    }


class _Copy(subprocess.Popen):
    """A process that another one than this started; that one tells of its id and of its end."""

    def __init__(self, job: Job, **options: Any) -> None:
        self._job = job
        super().__init__([sys.executable, "-m", job.module, *job.arguments], **options)

    def _execute_child(self, *given: Any) -> None:
        """Ask for the process; the pipes to and from it stand in their places among what is given."""
        pipes = (to_read, _, _, to_write, _, errors_to) = given[10:16]
        files = [file if file != -1 else number for number, file in enumerate((to_read, to_write, errors_to))]
        hear, tell = os.pipe()
        try:
            socket.send_fds(_preloaded(), [pickle.dumps(self._job)], [tell, *files, *self._job.kept])
        finally:
            os.close(tell)
            self._close_pipe_fds(*pipes)
        self._heard = os.fdopen(hear, "rb", buffering=0)
        self.pid = self._hear()
        self._child_created = True

    def _hear(self) -> int:
        said = self._heard.read(TOLD.size)
        assert len(said) == TOLD.size, "the process that starts others is gone"
        return TOLD.unpack(said)[0]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if wait_flags == os.WNOHANG and not select.select([self._heard], [], [], 0)[0]:
            return 0, 0
        with self._heard:
            return self.pid, self._hear()

    def _internal_poll(self, _deadstate: int | None = None, **_: Any) -> int | None:
        if self.returncode is None and self._waitpid_lock.acquire(blocking=False):
            try:
                if self.returncode is None and (ended := self._try_wait(os.WNOHANG))[0]:
                    self._handle_exitstatus(ended[1])
            finally:
                self._waitpid_lock.release()
        return self.returncode


@functools.cache
def _preloaded() -> socket.socket:
    """Start the process that starts others; it ends with this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with its:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.preloaded", str(its.fileno())],
            cwd=ROOT,
            env=environment,
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours
