"""Watches: which commits wake them, whose do not, and how they end."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest

from stellarstream_core.errors import SchemaError, StorageError
from stellarstream_core.testing.conformance_tables import PROMPT, Background, make_table
from stellarstream_core.testing.storage_conformance import window
from stellarstream_sql.storage import open_postgresql, open_sqlite


def test_a_watch_of_a_database_without_tables_says_to_migrate(open_storage):
    with pytest.raises(SchemaError) as refused:
        open_storage().watch()
    assert "stellarstream migrate" in refused.value.help


def test_a_watch_leaves_no_file_open_whether_it_opened_or_not(open_storage):
    storage = open_storage()
    storage.migrate()
    storage.commit(window(1, 2))
    storage.totals()
    before = open_files()
    for _ in range(3):
        storage.watch().close()
    with storage._backend.write() as transaction:
        transaction.run("ALTER TABLE store RENAME TO elsewhere")
    for _ in range(3):
        with pytest.raises(SchemaError):
            storage.watch()
    assert open_files() < before + 3, "SQLite closes a file of its own when the last connection lets go of it"


def open_files() -> int:
    here = Path("/proc/self/fd")
    if not here.is_dir():
        pytest.skip("this system does not tell which files are open")
    return len(list(here.iterdir()))


# --- SQLite ----------------------------------------------------------------------------------------


def test_a_watch_hears_of_commits_to_a_database_in_memory():
    with closing(open_sqlite("sqlite://")) as storage:
        storage.migrate()
        with closing(storage.watch()) as watch:
            for number in range(5):
                waiting = Background(lambda after=number: watch.wait(after, 60))
                storage.commit(window(10 + number, 10 + number))
                assert waiting.join(PROMPT) == number + 1


def test_other_changes_of_the_file_are_no_commits(tmp_path):
    with closing(open_sqlite(f"sqlite:///{tmp_path / 'x.db'}")) as storage:
        storage.migrate()
        with closing(storage.watch()) as watch:
            waiting = Background(lambda: watch.wait(0, 0.3))
            make_table(storage)
            storage.bind_network("one")
            assert waiting.join(PROMPT) == 0


def test_a_watch_reads_nothing_while_nothing_changes(tmp_path):
    with closing(open_sqlite(f"sqlite:///{tmp_path / 'x.db'}")) as storage:
        storage.migrate()
        with closing(storage.watch()) as watch:
            asked: list[str] = []
            watch._connection.set_trace_callback(asked.append)
            watch.wait(0, 0.15)
            assert set(asked) == {"PRAGMA data_version"}
            storage.commit(window(1, 2))
            assert watch.wait(0, PROMPT) == 1
            assert "SELECT position FROM store WHERE id = 1" in asked


def test_a_watch_does_not_keep_the_log_from_being_moved_into_the_file(tmp_path):
    path = tmp_path / "x.db"
    with closing(open_sqlite(f"sqlite:///{path}")) as storage:
        storage.migrate()
        with closing(storage.watch()) as watch:
            waiting = Background(lambda: watch.wait(10**9, 60))
            for number in range(20):
                storage.commit(window(10 + number, 10 + number))
            busy, log, moved = storage._backend._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            assert (busy, log) == (0, moved)
            watch.close()
            waiting.join(PROMPT)


# --- PostgreSQL ------------------------------------------------------------------------------------


@pytest.fixture
def neighbour(postgres_url):
    """A store in another schema of the same database, with that schema's name."""
    import psycopg

    name = f"other_{uuid4().hex[:8]}"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        schema = admin.execute("SELECT current_schema()").fetchone()[0]
        admin.execute(f'CREATE SCHEMA "{name}"')
        with closing(open_postgresql(postgres_url.replace(schema, name))) as storage:
            storage.migrate()
            yield storage, name
        admin.execute(f'DROP SCHEMA "{name}" CASCADE')


def test_a_watch_does_not_hear_of_another_schemas_commits(postgres_url, neighbour):
    with closing(open_postgresql(postgres_url)) as storage:
        storage.migrate()
        with closing(storage.watch()) as watch:
            told = []
            watch._connection.add_notify_handler(told.append)
            neighbour[0].commit(window(1, 2))
            assert watch.wait(0, 0.2) == 0
            assert told == []
            storage.commit(window(1, 2))
            assert watch.wait(0, PROMPT) == 1


def test_a_watch_is_found_where_the_search_path_finds_the_tables(postgres_url, neighbour):
    """The schema named first is not the one that holds the tables."""
    storage, schema = neighbour
    with closing(open_postgresql(f"{postgres_url}%2C{schema}")) as looking, closing(looking.watch()) as watch:
        waiting = Background(lambda: watch.wait(0, 60))
        storage.commit(window(1, 2))
        assert waiting.join(PROMPT) == 1


def hang_up(url) -> None:
    """End the servers of watches: those whose last statement reads the position."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE 'SELECT position FROM%'"
        ).fetchall()
    assert ended == [(True,)]


@pytest.mark.parametrize("waiting", [True, False])
def test_a_lost_connection_is_told_and_a_new_watch_works(postgres_url, waiting):
    with closing(open_postgresql(postgres_url)) as storage:
        storage.migrate()
        watch = storage.watch()
        waiter = Background(lambda: watch.wait(0, 60)) if waiting else None
        hang_up(postgres_url)
        with pytest.raises(StorageError, match="was lost"):
            waiter.join(PROMPT) if waiter else watch.wait(0, PROMPT)
        watch.close()
        with closing(storage.watch()) as again:
            storage.commit(window(1, 2))
            assert again.wait(0, PROMPT) == 1


def test_a_watch_notices_commits_whose_notifications_are_lost_when_the_time_is_over(postgres_url):
    with closing(open_postgresql(postgres_url)) as storage:
        storage.migrate()
        with closing(storage.watch()) as watch:
            watch._connection.execute("UNLISTEN *")
            storage.commit(window(1, 2))
            assert watch.wait(0, 0.1) == 1


def test_notifications_that_came_with_an_answer_are_not_slept_over(postgres_url):
    """libpq may hold a notification that it read together with an answer; no socket tells of it again."""
    with closing(open_postgresql(postgres_url)) as storage:
        storage.migrate()
        with closing(storage.watch()) as watch:
            storage.commit(window(1, 2))
            watch._connection.pgconn.consume_input()
            began = monotonic()
            assert watch.wait(0, 60) == 1
            assert monotonic() - began < PROMPT


def test_many_open_files_do_not_disturb_a_watch(postgres_url, tmp_path):
    """``select.select`` would fail for a file whose number is above 1023, as a server of live streams has."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1300:
        pytest.skip("this system allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1300), hard))
    files = [(tmp_path / "x").open("w") for _ in range(1100)]
    try:
        with closing(open_postgresql(postgres_url)) as storage:
            storage.migrate()
            with closing(storage.watch()) as watch:
                assert watch._connection.fileno() > 1023
                waiting = Background(lambda: watch.wait(0, 60))
                storage.commit(window(1, 2))
                assert waiting.join(PROMPT) == 1
    finally:
        for file in files:
            file.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_commit_that_is_undone_wakes_nobody(postgres_url):
    with closing(open_postgresql(postgres_url)) as storage:
        storage.migrate()
        with closing(storage.watch()) as watch:
            with suppress(KeyError), storage._backend.write() as transaction:
                transaction.next_position((0, 1, 1, 1, 1))
                raise KeyError
            assert watch.wait(0, 0.1) == 0
