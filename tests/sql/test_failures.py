"""What can go wrong with a database ends as a sentence that says what to do, and leaves the data whole."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

import pytest

from stellarstream_core.errors import ExitCode, LeadershipError, StorageError
from stellarstream_core.ranges import RangeSet
from stellarstream_core.testing.scripted import made_event
from stellarstream_core.testing.storage_conformance import ALL, A, stored, window
from stellarstream_sql.storage import open_postgresql, open_sqlite


def refused(call: Callable[[], object]) -> StorageError:
    with pytest.raises(StorageError) as failed:
        call()
    assert failed.value.help
    assert failed.value.exit_code == ExitCode.USAGE
    assert str(failed.value).endswith(".")
    return failed.value


# --- SQLite ----------------------------------------------------------------------------------------


def test_a_missing_directory_is_named(tmp_path):
    error = refused(lambda: open_sqlite(f"sqlite:///{tmp_path}/none/x.db"))
    assert f"there is no directory {tmp_path}/none" in str(error)
    assert "mkdir" in error.help


def test_a_directory_is_no_database(tmp_path):
    assert "not a file" in str(refused(lambda: open_sqlite(f"sqlite:///{tmp_path}")))


@pytest.mark.parametrize("content", [b"hello", b"SQLite format 3", b"\x00" * 5000])
def test_another_file_is_left_alone(tmp_path, content):
    path = tmp_path / "x.db"
    path.write_bytes(content)
    assert "not a SQLite database" in str(refused(lambda: open_sqlite(f"sqlite:///{path}")))
    assert path.read_bytes() == content


def test_a_damaged_database_is_told(tmp_path):
    path = tmp_path / "x.db"
    path.write_bytes(b"SQLite format 3\x00" + b"\x07" * 5000)
    assert "damaged" in str(refused(lambda: open_sqlite(f"sqlite:///{path}")))


def test_an_empty_file_becomes_a_database(tmp_path):
    path = tmp_path / "x.db"
    path.touch()
    with closing(open_sqlite(f"sqlite:///{path}")) as storage:
        assert storage.migrate()


def as_somebody_else(call: Callable[[], str]) -> str:
    """Call a function without root's rights, in a process of its own where this one has them."""
    if os.geteuid() != 0:
        return call()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writing, call().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    os.waitpid(child, 0)
    return text


@pytest.fixture
def open_to_all():
    """A directory that any user can enter, as temporary directories of tests are not."""
    folder = Path(tempfile.mkdtemp(prefix="stellarstream-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_an_unwritable_directory_is_told(open_to_all):
    open_to_all.chmod(0o555)
    said = as_somebody_else(lambda: str(refused(lambda: open_sqlite(f"sqlite:///{open_to_all}/x.db"))))
    assert "is not writable" in said


def test_a_read_only_database_is_told(open_to_all):
    path = open_to_all / "x.db"
    with closing(open_sqlite(f"sqlite:///{path}")) as storage:
        storage.migrate()
    path.chmod(0o444)
    open_to_all.chmod(0o777)

    def write() -> str:
        with closing(open_sqlite(f"sqlite:///{path}")) as storage:
            return str(refused(lambda: storage.commit(window(1, 2))))

    assert "read-only" in as_somebody_else(write)


def test_a_full_disk_loses_nothing_that_was_committed_and_the_rest_can_follow(tmp_path):
    with closing(open_sqlite(f"sqlite:///{tmp_path / 'x.db'}")) as storage:
        storage.migrate()
        kept = [made_event(10, 1, 0, A)]
        storage.commit(window(10, 10, kept))
        writer = storage._backend._writer
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count = {pages + 3}")
        more = [made_event(ledger, 1, 0, A)._replace(value=bytes(3000)) for ledger in range(11, 61)]
        error = refused(lambda: storage.commit(window(11, 60, more)))
        assert "disk is full" in str(error)
        assert "run the same command again" in error.help
        assert stored(storage) == kept
        assert storage.coverage(A, ALL) == RangeSet([(10, 10)])
        writer.execute("PRAGMA max_page_count = 1000000")
        assert len(storage.commit(window(11, 60, more)).new) == 50
        assert stored(storage) == [*kept, *more]


def test_waiting_for_another_writer_has_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("stellarstream_sql.sqlite.BUSY_SECONDS", 0.2)
    path = tmp_path / "x.db"
    with closing(open_sqlite(f"sqlite:///{path}")) as storage:
        storage.migrate()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert "busy" in str(refused(lambda: storage.commit(window(1, 2))))
            assert storage.totals().position == 0, "readers do not wait"
            other.execute("ROLLBACK")
        assert storage.commit(window(1, 2)).commit is not None


# --- both ------------------------------------------------------------------------------------------

FOLLOWER = """
import sys
from tests.sql.conftest import open_url
with open_url(sys.argv[1]).follow_lock():
    print("following", flush=True)
    sys.stdin.read()
"""


def test_the_right_to_follow_ends_with_the_process_that_has_it(open_storage, database_url):
    storage = open_storage()
    storage.migrate()
    follower = subprocess.Popen(
        [sys.executable, "-c", FOLLOWER, database_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert follower.stdout.readline() == "following\n"
        with pytest.raises(LeadershipError, match="Another process follows"), storage.follow_lock():
            pytest.fail("two processes follow")
    finally:
        follower.kill()
        follower.communicate()
    for _ in range(50):
        try:
            with storage.follow_lock():
                return
        except LeadershipError:  # the server notices the closed connection a moment later
            continue
    pytest.fail("a dead process still follows")


# --- PostgreSQL ------------------------------------------------------------------------------------


def test_a_missing_driver_is_named_with_how_to_install_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "stellarstream_sql.postgresql", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    error = refused(lambda: open_postgresql("postgresql://localhost/x"))
    assert "psycopg" in str(error)
    assert "pip install 'stellarstream[postgres]'" in error.help


def test_a_server_that_is_not_there_is_told():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        error = refused(lambda: open_postgresql(f"postgresql://me:S3cret@127.0.0.1:{port}/x"))
    assert f"Cannot connect to postgresql://127.0.0.1:{port}/x" in str(error)
    assert "Start the server" in error.help
    assert "S3cret" not in f"{error}{error.help}"


@contextmanager
def server_that_refuses_the_password():
    """The few messages of PostgreSQL's protocol up to the refusal, which quotes the password to see it scrubbed."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                first = connection.recv(4096)
                if first[4:8] in (struct.pack(">I", 80877103), struct.pack(">I", 80877104)):  # SSL, GSS
                    connection.sendall(b"N")
                    first = connection.recv(4096)
                    if first[4:8] == struct.pack(">I", 80877103):
                        connection.sendall(b"N")
                        connection.recv(4096)
                connection.sendall(b"R" + struct.pack(">II", 8, 3))
                password = connection.recv(4096)[5:].rstrip(b"\0")
                fields = b"SFATAL\0C28P01\0M" + b'password authentication failed for user "me": ' + password + b"\0\0"
                connection.sendall(b"E" + struct.pack(">I", 4 + len(fields)) + fields)

    thread = Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("written", ["S3cret", "S3%40cret"])
def test_a_wrong_password_is_told_without_showing_it(written):
    with server_that_refuses_the_password() as port:
        error = refused(lambda: open_postgresql(f"postgresql://me:{written}@127.0.0.1:{port}/x"))
    assert "password authentication failed" in str(error)
    assert "Check user name and password" in error.help
    assert "S3" not in f"{error}{error.help}{error!r}"
    assert error.__cause__ is None


def test_a_missing_database_and_role_are_told(postgres_server):
    assert "createdb" in refused(lambda: open_postgresql(postgres_server.rpartition("/")[0] + "/no_such_db")).help
    head, _, rest = postgres_server.partition("@")
    error = refused(lambda: open_postgresql(f"{head.partition('://')[0]}://no_such_role@{rest}"))
    assert "createuser" in error.help


def test_a_missing_schema_is_told(postgres_server):
    with closing(open_postgresql(f"{postgres_server}?options=-csearch_path%3Dno_such_schema")) as storage:
        assert "no schema to use" in str(refused(storage.migrate))


def backend_pid(storage) -> int:
    return storage._backend._writer.info.backend_pid


def test_a_connection_lost_while_idle_is_made_anew(postgres_url):
    import psycopg

    with closing(open_postgresql(postgres_url)) as storage, psycopg.connect(postgres_url, autocommit=True) as admin:
        storage.migrate()
        storage.totals()
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'stellarstream' AND datname = current_database()"
        )
        assert storage.totals().position == 0
        assert storage.commit(window(1, 2)).commit is not None


def test_a_connection_lost_midway_commits_nothing(postgres_url):
    import psycopg

    with closing(open_postgresql(postgres_url)) as storage, psycopg.connect(postgres_url) as admin:
        storage.migrate()
        storage.commit(window(1, 2))
        pid = backend_pid(storage)
        admin.execute("SELECT 1 FROM store FOR UPDATE")  # the commit below gets as far as the store's row
        failures: list[StorageError] = []

        def commit() -> None:
            failures.append(refused(lambda: storage.commit(window(3, 4, [made_event(3, 1, 0, A)]))))

        thread = Thread(target=commit)
        thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE pid = %s AND NOT granted"
        with psycopg.connect(postgres_url, autocommit=True) as watcher:
            while watcher.execute(waiting, (pid,)).fetchone() == (0,):
                pass
            watcher.execute("SELECT pg_terminate_backend(%s)", (pid,))
        thread.join()
        admin.rollback()
        assert "was lost" in str(failures[0])
        assert "run the same command again" in failures[0].help
        assert (stored(storage), storage.coverage(A, ALL)) == ([], RangeSet([(1, 2)]))
        assert len(storage.commit(window(3, 4, [made_event(3, 1, 0, A)])).new) == 1


def test_waiting_for_another_commit_has_a_bound(postgres_url, monkeypatch):
    import psycopg

    monkeypatch.setattr("stellarstream_sql.postgresql._LOCK_TIMEOUT", b"SET lock_timeout = '200ms'")
    with closing(open_postgresql(postgres_url)) as storage, psycopg.connect(postgres_url) as other:
        storage.migrate()
        other.execute("SELECT 1 FROM store FOR UPDATE")
        assert "busy" in str(refused(lambda: storage.commit(window(1, 2))))
        other.rollback()
        assert storage.commit(window(1, 2)).commit is not None
