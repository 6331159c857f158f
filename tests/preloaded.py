"""A process that has imported the libraries already, and becomes a ``python -m MODULE`` whenever it is asked to.

A command spends most of its start importing other people's libraries, and tests start hundreds of them. Here they are
imported once, ``os.fork`` copies the process, and the copy goes on as the program: with its own arguments,
environment, folder and files, a process as any other. Of the project's own code nothing is imported before.

``tests.commands`` asks, over a socket whose descriptor is the argument: a pickled :class:`Job` with the
descriptors of its files. The first of them is told the new process's id, and how it ended.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import io
import os
import pickle
import runpy
import selectors
import signal
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LIBRARIES = (
    *("aiohttp.web", "click", "jinja2", "jwt", "nacl.signing", "orjson", "peewee", "playhouse.migrations"),
    *("playhouse.pool", "pluggy", "psycopg", "pydantic", "pydantic.json_schema", "pydantic_core.core_schema"),
    *("rich.console", "rich.progress", "rich.table", "segno", "stellar_sdk", "zstandard"),
    *("asyncio", "csv", "email.utils", "gzip", "importlib.metadata", "inspect", "sqlite3", "ssl", "tomllib"),
)
"""None that starts a thread, or takes from the environment or the standard streams when it is imported."""
LARGEST = 1 << 20
MOST_FILES = 32
TOLD = struct.Struct("=i")
DIE_WITH_PARENT = 1
"""``PR_SET_PDEATHSIG``."""
FREE = 100
"""Descriptors from here on are nobody's."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a process is to be. ``kept`` are the numbers that descriptors after the first four shall have."""

    module: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    folder: str
    kept: tuple[int, ...] = ()


def serve(control: socket.socket) -> Job | None:
    """Start what is asked for until nobody can ask any more; in a process that was started, return its job."""
    died, told_of_it = os.pipe()
    os.set_blocking(told_of_it, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(told_of_it, warn_on_full_buffer=False)
    running: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(died, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if died in ready:
                os.read(died, 4096)
                _reap(running)
            if control in ready:
                message, files, *_ = socket.recv_fds(control, LARGEST, MOST_FILES)
                if not message:
                    return None
                if (pid := os.fork()) == 0:
                    break
                running[pid] = files[0]
                os.write(files[0], TOLD.pack(pid))
                for file in files[1:]:
                    os.close(file)
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)  # no test run that is broken off leaves any behind
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    control.close()
    for file in (died, told_of_it, files[0], *running.values()):
        os.close(file)
    job: Job = pickle.loads(message)
    _take(files[1:], (0, 1, 2, *job.kept))
    return job


def _reap(running: dict[int, int]) -> None:
    """Tell of those that ended."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            with suppress(BrokenPipeError):  # nobody asks any more
                os.write(running[pid], TOLD.pack(status))
            os.close(running.pop(pid))


def _take(files: list[int], numbers: tuple[int, ...]) -> None:
    """Give descriptors other numbers."""
    import fcntl

    aside = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, FREE) for file in files]
    for file in files:
        os.close(file)
    for file, number in zip(aside, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)


def become(job: Job, base: list[str]) -> None:
    """Make this process what an interpreter is once it has started, and run the module; ``base`` are its folders."""
    os.chdir(job.folder)
    os.environ.clear()
    os.environ.update(job.environment)
    sys.dont_write_bytecode = bool(job.environment.get("PYTHONDONTWRITEBYTECODE"))
    unbuffered = bool(job.environment.get("PYTHONUNBUFFERED"))
    sys.stdin = sys.__stdin__ = _stream(sys.stdin, 0, "rb")
    sys.stdout = sys.__stdout__ = _stream(sys.stdout, 1, "wb", unbuffered)
    sys.stderr = sys.__stderr__ = _stream(sys.stderr, 2, "wb", unbuffered)
    folders = [folder for folder in job.environment.get("PYTHONPATH", "").split(os.pathsep) if folder]
    sys.path[:] = dict.fromkeys([str(Path.cwd()), *map(os.path.abspath, folders), *base])
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    sys.argv = [job.module, *job.arguments]
    sys.orig_argv = [sys.executable, "-m", job.module, *job.arguments]
    runpy.run_module(job.module, run_name="__main__", alter_sys=True)


def _stream(like: io.TextIOWrapper, file: int, mode: str, unbuffered: bool = False) -> io.TextIOWrapper:
    raw = open(file, mode, buffering=0 if unbuffered else -1, closefd=False)  # noqa: SIM115 - it stays open
    at_once = unbuffered or file == 2 or os.isatty(file)
    return io.TextIOWrapper(
        raw, like.encoding, like.errors, line_buffering=at_once and mode == "wb", write_through=unbuffered
    )


if __name__ == "__main__":
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    todo = None
    with suppress(KeyboardInterrupt):
        todo = serve(socket.socket(fileno=int(sys.argv[1])))
    if todo is not None:
        become(todo, sys.path[1:])
