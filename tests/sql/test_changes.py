"""Changes of other tables: what undoes them, what is told, and what they wait for."""

from __future__ import annotations

from contextlib import closing
from threading import Barrier, Event
from time import monotonic

import pytest
from peewee import IntegrityError

from stellarstream_core.errors import SchemaError, StorageBusyError, StorageError
from stellarstream_core.plugins import CORE_MODELS
from stellarstream_core.storage.tables import TABLES, ApiChallenge, ApiIdempotency, ApiKey
from stellarstream_core.testing.conformance_tables import Background, Note, add, make_table, notes
from stellarstream_core.testing.storage_conformance import window
from stellarstream_sql.storage import open_postgresql, open_sqlite
from tests.paths import ROOT


@pytest.fixture
def noted(storage):
    make_table(storage)
    return storage


def test_a_table_that_is_not_there_says_to_migrate(storage):
    for call in (storage.write, storage.read):
        with pytest.raises(SchemaError) as refused:
            call(lambda database: list(Note.select().execute(database)))
        assert "stellarstream migrate" in refused.value.help


def test_a_mistake_in_a_change_is_told_and_undone(noted):
    def change(database):
        add("one")(database)
        database.execute_sql("SELEKT")

    with pytest.raises(StorageError, match="failed"):
        noted.write(change)
    assert notes(noted) == []


def test_what_comes_up_only_at_the_end_of_a_change_is_an_integrity_error_too(noted):
    noted.write(
        lambda database: database.execute_sql(
            "CREATE TABLE parts (id TEXT PRIMARY KEY, "
            "note TEXT REFERENCES conformance_notes (id) DEFERRABLE INITIALLY DEFERRED)"
        )
    )
    with pytest.raises(IntegrityError):
        noted.write(lambda database: database.execute_sql("INSERT INTO parts VALUES ('a', 'none')"))
    noted.write(add("one"))
    assert notes(noted) == [("one", 0)]


def test_rows_that_a_change_leaves_unread_do_not_disturb_the_next(noted):
    for number in range(20):
        noted.write(add(str(number)))
        noted.write(lambda database: database.execute_sql("SELECT * FROM conformance_notes"))  # not fetched
    assert len(notes(noted)) == 20


def test_changes_and_commits_of_one_process_go_on_side_by_side(noted):
    barrier = Barrier(3)

    def commit():
        barrier.wait()
        for ledger in range(60):
            noted.commit(window(ledger + 1, ledger + 1))

    def change(number):
        barrier.wait()
        for count in range(60):
            noted.write(add(f"{number}/{count}"), wait_seconds=30)

    for work in [Background(commit), *(Background(lambda number=number: change(number)) for number in range(2))]:
        work.join()
    assert (len(notes(noted)), noted.totals().position) == (120, 60)


def test_too_many_readers_at_once_are_told(database_url, monkeypatch):
    monkeypatch.setattr("stellarstream_sql.sqlite.READERS", 2)
    monkeypatch.setattr("stellarstream_sql.postgresql.READERS", 2)
    monkeypatch.setattr("stellarstream_sql.sqlite.BUSY_SECONDS", 0.2)
    monkeypatch.setattr("stellarstream_sql.postgresql.LOCK_SECONDS", 0.2)
    with closing((open_sqlite if database_url.startswith("sqlite") else open_postgresql)(database_url)) as storage:
        storage.migrate()
        over, reading = Event(), Barrier(3)

        def hold(database):
            reading.wait(60)
            over.wait(60)

        holders = [Background(lambda: storage.read(hold)) for _ in range(2)]
        reading.wait(60)
        with pytest.raises(StorageBusyError, match="2 readers"):
            storage.totals()
        over.set()
        for holder in holders:
            holder.join()
        assert storage.totals().position == 0


# --- the tables of the framework itself --------------------------------------------------------------


def test_the_models_have_the_columns_of_the_tables_and_take_rows(open_storage):
    storage = open_storage([CORE_MODELS])
    assert "api/0001_api" in storage.migrate()
    rows = {
        ApiKey: {"id": "k", "secret_hash": "h", "account": "G", "scopes": "a b", "name": "n", "created_at": 2**40},
        ApiChallenge: {"hash": "h", "expires_at": 2**40},
        ApiIdempotency: {
            "caller": "c",
            "route": "r",
            "key_hash": "k",
            "body_hash": "b",
            "state": "done",
            "status": 201,
            "headers": "{}",
            "body": b"\x00\xff",
            "started_at": 1,
            "expires_at": 2,
        },
    }
    assert set(rows) == set(TABLES)
    for model, row in rows.items():
        insert = model.insert(**row)
        storage.write(insert.execute)
        with pytest.raises(IntegrityError):
            storage.write(insert.execute)
        (found,) = storage.read(lambda database, model=model: list(model.select().dicts().execute(database)))
        assert found == dict.fromkeys(model._meta.sorted_field_names) | row


def test_a_request_that_runs_has_no_status_and_one_that_is_done_has(open_storage):
    storage = open_storage([CORE_MODELS])
    storage.migrate()
    row = {"caller": "c", "route": "r", "key_hash": "k", "body_hash": "b", "started_at": 1, "expires_at": 2}
    for state, status in (("running", 200), ("done", None), ("other", None)):
        with pytest.raises(IntegrityError):
            storage.write(ApiIdempotency.insert(**row, state=state, status=status).execute)


def test_the_documentation_names_every_table_and_column_of_the_framework():
    page = (ROOT / "docs" / "storage.md").read_text()
    for model in TABLES:
        section = page.split(f"### {model._meta.table_name}\n", 1)[1].split("\n### ", 1)[0]
        missing = [name for name in model._meta.columns if f"`{name}`" not in section]
        assert missing == [], model._meta.table_name


# --- SQLite ------------------------------------------------------------------------------------------


def test_a_full_disk_is_told_and_the_change_undone(tmp_path):
    with closing(open_sqlite(f"sqlite:///{tmp_path / 'x.db'}")) as storage:
        storage.migrate()
        make_table(storage)

        def change(database):
            pages = database.execute_sql("PRAGMA page_count").fetchone()[0]
            database.execute_sql(f"PRAGMA max_page_count = {pages + 2}")
            try:
                for number in range(1_000):
                    add(f"{number}" * 100)(database)
            finally:
                database.execute_sql("PRAGMA max_page_count = 1000000")

        with pytest.raises(StorageError, match="disk is full"):
            storage.write(change)
        assert notes(storage) == []
        storage.write(add("one"))


def test_a_change_outlives_a_power_cut_even_where_commits_need_not(tmp_path):
    with closing(open_sqlite(f"sqlite:///{tmp_path / 'x.db'}")) as storage:
        storage.migrate()
        storage.durable = False
        storage.commit(window(1, 2))
        assert storage.write(lambda database: database.execute_sql("PRAGMA synchronous").fetchone()) == (2,)
        assert storage.write(lambda database: database.execute_sql("PRAGMA foreign_keys").fetchone()) == (1,)


# --- PostgreSQL --------------------------------------------------------------------------------------


def end_connections(url):
    import psycopg

    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'stellarstream' AND datname = current_database()"
        )


def test_a_change_goes_on_where_its_connection_was_lost_while_idle(postgres_url):
    with closing(open_postgresql(postgres_url)) as storage:
        storage.migrate()
        make_table(storage)
        storage.write(add("one"))
        end_connections(postgres_url)
        storage.write(add("two"))
        assert len(notes(storage)) == 2


def test_a_change_whose_connection_is_lost_midway_is_told_and_undone(postgres_url):
    with closing(open_postgresql(postgres_url)) as storage:
        storage.migrate()
        make_table(storage)
        calls = []

        def change(database):
            calls.append(1)
            add("one")(database)
            end_connections(postgres_url)
            add("two")(database)

        with pytest.raises(StorageError, match="was lost"):
            storage.write(change)
        assert calls == [1], "a change may do more than write: it is not begun again"
        assert notes(storage) == []
        storage.write(add("one"))


def test_changes_that_wait_for_each_other_do_not_wait_for_ever(postgres_url):
    with closing(open_postgresql(postgres_url)) as storage:
        storage.migrate()
        make_table(storage)
        storage.write(lambda database: [add(name)(database) for name in ("one", "two")])
        both = Barrier(2)

        def change(first, second):
            def apply(database):
                Note.update(number=1).where(Note.id == first).execute(database)
                both.wait(60)
                Note.update(number=1).where(Note.id == second).execute(database)

            return lambda: storage.write(apply, wait_seconds=30)

        changes = [Background(change("one", "two")), Background(change("two", "one"))]
        told = []
        for one in changes:
            try:
                one.join()
            except StorageBusyError as error:
                told.append(error)
        assert len(told) == 1


def test_more_changes_than_connections_wait_for_one(postgres_url, monkeypatch):
    monkeypatch.setattr("stellarstream_sql.postgresql.CHANGES", 2)
    with closing(open_postgresql(postgres_url)) as storage:
        storage.migrate()
        make_table(storage)
        over, holding = Event(), Barrier(3)

        def hold(database):
            holding.wait(60)
            over.wait(60)

        holders = [Background(lambda: storage.write(hold)) for _ in range(2)]
        holding.wait(60)
        began = monotonic()
        with pytest.raises(StorageBusyError):
            storage.write(add("one"), wait_seconds=0.2)
        assert 0.1 < monotonic() - began < 5
        waiting = Background(lambda: storage.write(add("one"), wait_seconds=60))
        over.set()
        for work in (*holders, waiting):
            work.join()
        assert notes(storage) == [("one", 0)]


def test_a_change_does_not_wait_for_commits(postgres_url):
    import psycopg

    with closing(open_postgresql(postgres_url)) as storage, psycopg.connect(postgres_url) as committing:
        storage.migrate()
        make_table(storage)
        committing.execute("SELECT 1 FROM store FOR UPDATE")
        storage.write(add("one"), wait_seconds=0.5)
        assert notes(storage) == [("one", 0)]
