"""A PostgreSQL to test against: the one named by the environment, else one started for this run.

STELLARSTREAM_TEST_POSTGRES_URL names a server where databases may be created and dropped. Without it
a throw-away cluster is made with the ``initdb`` and ``pg_ctl`` found on this machine; they refuse to run
as root, so root runs them as another user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

ENVIRONMENT = "STELLARSTREAM_TEST_POSTGRES_URL"
PLACES = ("/usr/lib/postgresql", "/usr/pgsql", "/opt/homebrew/opt", "/usr/local/opt")


class NoPostgresError(Exception):
    """There is no server to test against, and none can be started."""


@contextmanager
def server_url(folder: str = "/tmp") -> Iterator[str]:
    """Yield the URL of a server to make databases on; one that is started keeps its files below ``folder``."""
    named = os.environ.get(ENVIRONMENT)
    with nullcontext(named) if named else _cluster(_binaries(), folder) as url:
        try:
            yield url
        finally:
            if administrator := _ADMINISTRATORS.pop(url, None):
                administrator.close()


@contextmanager
def throw_away_database(server: str, template: str = "template0") -> Iterator[str]:
    """Yield the URL of a new database, empty or a copy of the one named; it is dropped afterwards."""
    administrator = _ADMINISTRATORS.get(server)
    if administrator is None or administrator.closed:
        administrator = _ADMINISTRATORS[server] = _Administrator(server)
    name = administrator.create(template)
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        administrator.leave(name)


class _Administrator:
    """One connection that creates and drops databases.

    A database is dropped when the next one is wanted: PostgreSQL takes a tenth of a second where a connection to it
    has only just been closed.
    """

    def __init__(self, server: str) -> None:
        import psycopg

        self._connection = psycopg.connect(server, autocommit=True)
        self._left: list[str] = []
        self._copying = "STRATEGY FILE_COPY" if self._connection.info.server_version >= 150_000 else ""

    @property
    def closed(self) -> bool:
        return self._connection.closed

    def create(self, template: str) -> str:
        self._drop()
        name = f"stellarstream_test_{uuid4().hex[:16]}"
        self._connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {self._copying}')
        return name

    def leave(self, name: str) -> None:
        self._left.append(name)

    def close(self) -> None:
        self._drop()
        self._connection.close()

    def _drop(self) -> None:
        while self._left:
            self._connection.execute(f'DROP DATABASE IF EXISTS "{self._left.pop()}" WITH (FORCE)')


_ADMINISTRATORS: dict[str, _Administrator] = {}


def _binaries() -> Path:
    found = shutil.which("pg_ctl")
    if found and (Path(found).parent / "initdb").exists():
        return Path(found).parent
    for place in PLACES:
        for candidate in sorted(Path(place).glob("**/bin/initdb"), reverse=True):
            return candidate.parent
    raise NoPostgresError(f"no PostgreSQL: {ENVIRONMENT} is not set, and initdb and pg_ctl are not installed")


@contextmanager
def _cluster(binaries: Path, where: str) -> Iterator[str]:
    """Start a cluster in a temporary folder, listening on a free port of this machine only."""
    with tempfile.TemporaryDirectory(prefix="stellarstream-pg-", dir=where) as folder:
        data = Path(folder) / "data"
        data.mkdir(mode=0o700)
        as_user = _unprivileged(Path(folder), data)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        run = [*as_user, str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        _run([*run, "--locale=C", "--no-sync"])
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {data} -c fsync=off -c max_connections=60"
        options += " -c full_page_writes=off -c autovacuum=off -c wal_level=minimal -c max_wal_senders=0"
        control = [*as_user, str(binaries / "pg_ctl"), "-D", str(data), "-w"]
        _run([*control, "-l", str(data / "log"), "-o", options, "start"])
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            _run([*control, "-m", "immediate", "stop"])


def _unprivileged(folder: Path, data: Path) -> list[str]:
    """Return how to run a command as somebody other than root, having given that user the folder."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        if setpriv:
            os.chown(folder, user.pw_uid, user.pw_gid)
            os.chown(data, user.pw_uid, user.pw_gid)
            return [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    raise NoPostgresError("no PostgreSQL: it does not run as root, and there is no user 'postgres' or 'nobody' for it")


def _run(command: list[str]) -> None:
    # pg_ctl's server would inherit a pipe and keep it open, so output goes to a file that nobody holds.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False, cwd="/")
        if done.returncode:
            said.seek(0)
            raise NoPostgresError(f"no PostgreSQL: {' '.join(command)} said {said.read().decode(errors='replace')}")
