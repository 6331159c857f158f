"""The schema: what the database itself refuses, what indexes serve, and migrations from and to other versions."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from stellarstream_core.errors import SchemaError, StorageError
from stellarstream_core.hookspecs import ModelSet
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.runtime import Runtime
from stellarstream_core.settings import NETWORKS
from stellarstream_core.storage import Commit
from stellarstream_core.testing.scripted import made_event
from stellarstream_core.testing.storage_conformance import ALL, ANY, A, B, C, stored, window
from stellarstream_sql import MODELS, reading
from stellarstream_sql import statements as texts
from stellarstream_sql.models import TABLES
from stellarstream_sql.rows import to_row
from stellarstream_sql.storage import SqlStorage
from tests.paths import ROOT
from tests.sql.conftest import open_url

FOLDER = MODELS.migrations
READS = ((texts.PAGE_OF_COMMIT, -2), (texts.EVENTS_OF_COMMIT, -1))
"""Texts that read commits, and where in their values the limit stands."""
MIGRATIONS = ("sql/0001_initial", "sql/0002_links", "sql/0003_commit_events", "sql/0004_ledger_times")


def query(storage: SqlStorage, sql: str, values=()) -> list[tuple]:
    with storage._backend.write() as transaction:
        return transaction.all(sql, values)


# --- what the database refuses by itself ---------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"event_index": 9},
        {"id": made_event(10, 7, 7, A).id},
        {"id": made_event(11, 1, 0, A).id, "event_index": 9},
        {"ledger": 11},
    ],
    ids=["id-again", "identity-again", "id-of-another-ledger", "another-ledger"],
)
def test_the_database_itself_refuses_a_second_event_and_a_wrong_ledger(storage, change):
    event = made_event(10, 1, 0, A)
    storage.commit(window(10, 10, [event]))
    row = (*to_row(event._replace(**change)), 1)
    columns = ", ".join((*texts.EVENT_COLUMNS, "window_id"))
    with pytest.raises(StorageError), storage._backend.write() as transaction:
        transaction.run(f"INSERT INTO events ({columns}) VALUES ({texts.marks(len(row))})", row)
    assert stored(storage) == [event]


def test_the_database_itself_refuses_a_transaction_in_two_ledgers(storage):
    event = made_event(10, 1, 0, A)
    storage.commit(window(10, 10, [event]))
    with pytest.raises(StorageError), storage._backend.write() as transaction:
        transaction.run("INSERT INTO transactions (tx_hash, ledger) VALUES (?, 11)", (event.tx_hash,))


def test_every_event_lies_in_the_window_it_names(storage):
    history = [made_event(ledger, 1, 0, A) for ledger in range(10, 20)]
    storage.commit(window(12, 13, history[2:4]))
    storage.commit(window(16, 16, history[6:7]))
    lie = [event._replace(value=b"lie.") if event.ledger in (12, 16) else event for event in history]
    result = storage.commit(window(10, 19, [e for e in lie if e.ledger != 15], (A, B)))
    late = storage.commit(window(14, 15, history[4:6], (A, B)))
    assert len(result.conflicts) == 2
    assert list(late.new) == history[5:6]
    wrong = query(
        storage,
        """
        SELECT e.id FROM events e LEFT JOIN windows w ON w.id = e.window_id
        WHERE w.id IS NULL OR e.ledger < w.first_ledger OR e.ledger > w.last_ledger
        """,
    )
    assert wrong == []
    for commit in storage.commits(0):
        parts = query(storage, "SELECT first_ledger, last_ledger FROM windows WHERE id = ? OR part_of = ?",
                      (commit.window_id, commit.window_id))  # fmt: skip
        assert (min(p[0] for p in parts), max(p[1] for p in parts)) == tuple(commit.range)
    told = sorted(event.id for commit in storage.commits(0) for event in storage.events_of_commit(commit))
    assert told == [event.id for event in stored(storage)]


def test_the_models_name_the_columns_of_the_tables(storage):
    def columns(database):
        return {
            model._meta.table_name: [c.name for c in database.get_columns(model._meta.table_name)] for model in TABLES
        }

    found = storage._backend.read(columns)
    assert found == {model._meta.table_name: list(model._meta.columns) for model in TABLES}


def test_the_documentation_names_every_table_and_column():
    page = (ROOT / "docs" / "storage.md").read_text()
    for model in TABLES:
        section = page.split(f"### {model._meta.table_name}", 1)
        if model._meta.table_name.startswith("contract_set"):
            section = page.split("### contract_sets, contract_set_members", 1)
        text = (
            section[1]
            .split("\n### ", 1)[0]
            .split("\n## ", 1)[0]
            .replace("`topic0` … `topic3`", "`topic0` `topic1` `topic2` `topic3`")
        )
        missing = [name for name in model._meta.columns if f"`{name}`" not in text and f".{name}`" not in text]
        assert missing == [], model._meta.table_name


def test_a_commit_is_flushed_to_the_disk_unless_told_otherwise(tmp_path):
    with closing(open_url(f"sqlite:///{tmp_path / 'x.db'}")) as storage:
        storage.migrate()
        assert storage.durable
        assert query(storage, "PRAGMA synchronous") == [(2,)]
        storage.durable = False
        assert query(storage, "PRAGMA synchronous") == [(1,)]


@pytest.mark.parametrize(
    ("sql", "values", "index"),
    [
        (texts.EVENTS_OF_ALL, (1, 9, "", 10), "PRIMARY KEY (ledger>? AND ledger<?)"),
        (texts.events_of_contracts(1), (A, 1, 9, "", 10), "events_contract (contract_id=? AND ledger>? AND ledger<?)"),
        (texts.events_of_contracts(3), (A, A, A, 1, 9, "", 10), "events_contract (contract_id=? AND ledger>?"),
        (texts.EVENTS_OF_COMMIT, (1, 9, 1, 1, 10), "PRIMARY KEY (ledger>? AND ledger<?)"),
        (texts.STORED_BY_IDENTITY_SQLITE, (1, "", 0), "events_identity"),
        (texts.runs_overlapping(2), (1, 2, 1, 9), "coverage_reach (contract_set_id=? AND last_ledger>?)"),
    ],
)
def test_sqlite_walks_an_index_and_sorts_no_page(tmp_path, sql, values, index):
    url = f"sqlite:///{tmp_path / 'plan.db'}"
    with closing(open_url(url)) as storage:
        storage.migrate()
        plan = [row[3] for row in query(storage, f"EXPLAIN QUERY PLAN {sql}", values)]
    assert index in plan[0]
    assert not any("SCAN" in step for step in plan if "windows" not in step)
    sorts = any("TEMP B-TREE" in step for step in plan)
    assert not sorts or "IN (?, ?" in sql, "several contracts are sorted stride by stride; nothing else is"


# --- migrations ------------------------------------------------------------------------------------


def test_a_new_migration_brings_an_earlier_schema_forward_and_keeps_its_data(open_storage, tmp_path, monkeypatch):
    event = made_event(10, 1, 0, A)
    with closing(open_storage()) as storage:
        storage.migrate()
        storage.commit(window(10, 10, [event]))
    later = tmp_path / "later"
    shutil.copytree(FOLDER, later)
    (later / "0009_note.py").write_text(
        "from peewee import TextField\n\n"
        "def up(migrator, db):\n"
        "    migrator.migrate(migrator.add_column('windows', 'note', TextField(null=True)))\n"
        "    db.execute_sql(\"UPDATE windows SET note = 'seen'\")\n"
    )
    monkeypatch.setattr("stellarstream_sql.storage.MODELS", ModelSet("sql", later))
    storage = open_storage()
    assert storage.schema().pending == ("sql/0009_note",)
    assert list(storage.migrate()) == ["sql/0009_note"]
    assert stored(storage) == [event]
    assert query(storage, "SELECT note FROM windows") == [("seen",)]
    assert storage.commit(window(11, 11)).commit is not None


def test_commits_of_before_there_was_a_count_are_brought_forward_without_one(open_storage, tmp_path, monkeypatch):
    earlier = tmp_path / "earlier"
    shutil.copytree(FOLDER, earlier)
    for later in MIGRATIONS[2:]:
        (earlier / f"{later.removeprefix('sql/')}.py").unlink()
    with monkeypatch.context() as patched:
        patched.setattr("stellarstream_sql.storage.MODELS", ModelSet("sql", earlier))
        with closing(open_storage()) as storage:
            storage.migrate()
            with storage._backend.write() as transaction:
                contracts = transaction.all(texts.INSERT_SET, ("digest",))[0][0]
                values = (10, 12, contracts, "scanned", "test", "", None, 0)
                window_id = transaction.all(texts.INSERT_WINDOW, values)[0][0]
                transaction.run(
                    "INSERT INTO commits (position, window_id, first_ledger, last_ledger) VALUES (1, ?, 10, 12)",
                    (window_id,),
                )
                transaction.run("UPDATE store SET position = 1")
    storage = open_storage()
    assert list(storage.migrate()) == list(MIGRATIONS[2:])
    new = storage.commit(window(20, 21, [made_event(20, 1, 0, A)])).commit
    assert list(storage.commits(0)) == [Commit(1, window_id, LedgerRange(10, 12)), new]
    assert (new.position, new.events) == (2, 1)


def test_commits_whose_events_were_not_counted_go_on_to_work(storage):
    events = [made_event(10, 1, k, A) for k in range(5)]
    counted = storage.commit(window(10, 10, events)).commit
    assert counted.events == 5
    assert list(storage.commits(0)) == [counted]
    with storage._backend.write() as transaction:  # as an earlier release leaves it
        transaction.run("UPDATE commits SET events = NULL")
    (unknown,) = storage.commits(0)
    assert unknown == replace(counted, events=None)
    for commit in (counted, unknown):
        assert list(storage.events_of_commit(commit)) == events
        for limit in (1, 3, 5, 6, 100):
            assert list(storage.commit_page(commit, limit=limit)) == events[:limit]
            assert list(storage.commit_page(commit, skip=2, limit=limit)) == events[2:][:limit]
            assert list(storage.commit_page(commit, after=events[1].id, skip=1, limit=limit)) == events[3:][:limit]
        assert list(storage.commit_page(commit, skip=5, limit=9)) == []
        assert list(storage.commit_page(commit, skip=6, limit=9)) == []
    storage.commit(window(11, 11))
    assert [commit.events for commit in storage.commits(0)] == [None, 0]


def test_a_commit_without_events_reads_nothing_of_those_that_others_stored(storage, monkeypatch):
    storage.commit(window(10, 19, [made_event(ledger, 1, 0, A) for ledger in range(10, 20)], (A,)))
    empty = storage.commit(window(10, 19, [], (B,))).commit
    one = storage.commit(window(10, 19, [made_event(12, 2, 0, C)], (C,))).commit
    assert (empty.events, one.events) == (0, 1)
    asked = []
    real = reading.query

    def noted(database, sql, values):
        rows = real(database, sql, values)
        asked.append((sql, values))
        return rows

    monkeypatch.setattr(reading, "query", noted)
    assert list(storage.events_of_commit(empty)) == list(storage.commit_page(empty, limit=257)) == []
    assert asked == []
    assert len(storage.commit_page(one, limit=257)) == len(storage.events_of_commit(one)) == 1
    limits = [values[at] for sql, values in asked for text, at in READS if sql is text]
    assert limits == [1, 1], "a look for a second one would go through what others stored behind the first"


def test_a_newer_schema_is_told_and_refused(open_storage, tmp_path, monkeypatch):
    later = tmp_path / "later"
    shutil.copytree(FOLDER, later)
    (later / "0009_future.py").write_text(
        "def up(migrator, db):\n    db.execute_sql('CREATE TABLE future (id INTEGER)')\n"
    )
    with monkeypatch.context() as patched:
        patched.setattr("stellarstream_sql.storage.MODELS", ModelSet("sql", later))
        open_storage().migrate()
    storage = open_storage()
    assert storage.schema().unknown == ("sql/0009_future",)
    with pytest.raises(SchemaError, match="0009_future") as refused:
        storage.migrate()
    assert "Upgrade" in refused.value.help
    assert storage.commit(window(10, 10)).commit is not None, "running code survives the next release's schema"


def test_plugins_have_histories_of_their_own(open_storage, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "0001_mine.py").write_text(
        "def up(migrator, db):\n    db.execute_sql('CREATE TABLE my_plugin (id INTEGER)')\n"
    )
    models = [MODELS, ModelSet("my-plugin", folder)]
    storage = open_storage(models)
    assert storage.schema().pending == (*MIGRATIONS, "my-plugin/0001_mine")
    assert list(storage.migrate()) == [*MIGRATIONS, "my-plugin/0001_mine"]
    assert query(storage, "SELECT count(*) FROM my_plugin") == [(0,)]
    without = open_storage()
    assert without.schema().unknown == ()
    assert list(without.migrate()) == []


def test_a_migration_that_breaks_names_its_plugin_and_leaves_nothing_of_itself(open_storage, tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "0001_bad.py").write_text(
        "def up(migrator, db):\n    db.execute_sql('CREATE TABLE half (id INTEGER)')\n    raise RuntimeError('oh no')\n"
    )
    storage = open_storage([ModelSet("broken", folder)])
    with pytest.raises(SchemaError, match=r"broken.*oh no"):
        storage.migrate()
    assert "broken/0001_bad" in open_storage([ModelSet("broken", folder)]).schema().pending
    with pytest.raises(SchemaError, match="half"):
        query(open_storage(), "SELECT * FROM half")


def test_two_processes_may_migrate_at_once(database_url):
    script = f"from tests.sql.conftest import open_url; print(len(open_url({database_url!r}).migrate()))"
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
        for _ in range(3)
    ]
    counts = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert counts == ["0", "0", str(len(MIGRATIONS))]


def test_what_needs_tables_says_to_migrate_where_there_are_none(open_storage):
    storage = open_storage()
    for call in (
        storage.totals,
        storage.network_passphrase,
        lambda: storage.coverage(A, ALL),
        lambda: storage.events(ALL, ANY),
        lambda: storage.commit(window(1, 2)),
        lambda: storage.want(ANY, 1),
    ):
        with pytest.raises(SchemaError) as failed:
            call()
        assert "stellarstream migrate" in failed.value.help


def test_opening_makes_no_file(tmp_path):
    url = f"sqlite:///{tmp_path / 'none.db'}"
    with closing(open_url(url)) as storage:
        assert storage.schema().pending == MIGRATIONS
        with pytest.raises(SchemaError, match="no database"):
            storage.totals()
    assert list(tmp_path.iterdir()) == []


def test_a_sqlite_database_is_in_wal_mode_and_checks_out(tmp_path):
    path = tmp_path / "wal.db"
    with closing(open_url(f"sqlite:///{path}")) as storage:
        storage.migrate()
        storage.commit(window(10, 10, [made_event(10, 1, 0, A)]))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_database_that_was_left_half_prepared_is_prepared_by_the_next_command(open_storage, database_url):
    """On PostgreSQL each migration is a transaction of its own: a kill in between must not need a hand."""
    open_storage().migrate()  # the storage's own tables; those of the framework are still to come
    flags = {"database_url": database_url, "network": "sandbox"}
    with pytest.raises(SchemaError):
        Runtime(flags=flags).open_storage()
    with closing(Runtime(flags=flags).open_storage(create=True)) as storage:
        assert storage.schema().pending == ()


def test_a_database_that_is_in_use_is_never_migrated_by_the_way(open_storage, database_url):
    storage = open_storage()
    storage.migrate()
    storage.bind_network(NETWORKS["sandbox"].passphrase)
    with pytest.raises(SchemaError, match="api/0001_api"):
        Runtime(flags={"database_url": database_url, "network": "sandbox"}).open_storage(create=True)


def test_many_who_come_at_once_to_an_empty_database_all_find_it_prepared(database_url):
    flags = {"database_url": database_url, "network": "sandbox"}

    def come(_number: int) -> tuple[str, ...]:
        with closing(Runtime(flags=flags).open_storage(create=True)) as storage:
            return storage.schema().pending

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(come, range(8))) == {()}
