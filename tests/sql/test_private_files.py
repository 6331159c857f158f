"""Whose a SQLite database's files are: their owner's alone, whatever the umask says."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from stellarstream_core.ops.open_files import open_database_files
from stellarstream_sql.private_files import open_lock_file
from stellarstream_sql.storage import open_sqlite
from tests.cli.conftest import invoke  # noqa: F401 - a fixture
from tests.sql.test_changes import add, make_table


@pytest.fixture(autouse=True)
def _usual_umask():
    old = os.umask(0o022)
    yield
    os.umask(old)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def use(path: Path, folder: Path) -> dict[str, int]:
    """Prepare a database, write to it and follow into it; return the modes of its files while it is in use."""
    with closing(open_sqlite(f"sqlite:///{path}")) as storage, storage.follow_lock():
        storage.migrate()
        make_table(storage)
        storage.write(add("one"))
        return modes(folder)


def test_all_files_of_a_new_database_are_its_owners_alone(tmp_path):
    names = {f"x.db{end}" for end in ("", "-wal", "-shm", ".turn", ".lock")}
    assert use(tmp_path / "x.db", tmp_path) == dict.fromkeys(names, 0o600)


def test_so_are_those_of_one_that_a_link_names(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "x.db").symlink_to(tmp_path / "there" / "real.db")
    used = use(tmp_path / "x.db", tmp_path / "there")
    assert {"real.db", "real.db-wal", "real.db-shm"} <= used.keys()
    assert set(used.values()) == {0o600}


def test_a_database_that_is_there_keeps_its_mode_and_who_may_not_write_it_may_not_lock(tmp_path):
    with closing(sqlite3.connect(tmp_path / "x.db")) as made:
        made.execute("PRAGMA user_version = 1")
    (tmp_path / "x.db").chmod(0o644)
    used = use(tmp_path / "x.db", tmp_path)
    assert used == {"x.db": 0o644, "x.db-wal": 0o644, "x.db-shm": 0o644, "x.db.turn": 0o600, "x.db.lock": 0o600}


def test_a_group_that_may_write_the_database_has_turns_too(tmp_path):
    (tmp_path / "x.db").touch()
    (tmp_path / "x.db").chmod(0o660)
    assert set(use(tmp_path / "x.db", tmp_path).values()) == {0o660}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_belongs_to_whom_the_folder_and_the_database_belong(tmp_path):
    os.chown(tmp_path, 65534, 65534)
    use(tmp_path / "x.db", tmp_path)
    assert {path.stat().st_uid for path in tmp_path.iterdir()} == {65534}


def test_a_lock_file_that_another_process_makes_meanwhile_is_opened(tmp_path, monkeypatch):
    real, path = os.open, tmp_path / "x.db.lock"

    def slow(name, flags, *mode):
        if flags & os.O_EXCL and not path.exists():
            path.touch(0o600)
        return real(name, flags, *mode)

    monkeypatch.setattr(os, "open", slow)
    fd = open_lock_file(path, os.O_WRONLY, tmp_path / "x.db")
    assert os.fstat(fd).st_ino == path.stat().st_ino
    os.close(fd)


@pytest.fixture
def open_folder(tmp_path, monkeypatch) -> Path:
    """A folder that everybody can enter; those of tests as such are closed."""
    monkeypatch.setattr("stellarstream_core.ops.open_files._modes", lambda folder: [bool(folder.stat().st_mode & 1)])
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    return folder


def test_doctor_says_when_others_can_read_the_database(open_folder, invoke):  # noqa: F811
    path = open_folder / "x.db"
    with closing(open_sqlite(f"sqlite:///{path}")) as storage:
        storage.migrate()
    assert "database files" not in invoke("doctor", DATABASE_URL=f"sqlite:///{path}").out
    path.chmod(0o644)
    said = invoke("doctor", DATABASE_URL=f"sqlite:///{path}")
    assert said.code == 2
    assert (
        f"FAULT  database files: everybody on this machine can read, or hold up, the database: chmod go= {path}\n"
        in (said.out)
    )
    open_folder.chmod(0o700)  # nobody else gets there
    assert open_database_files(f"sqlite:///{path}") == []


def test_what_is_no_file_is_open_to_nobody(tmp_path):
    for url in ("sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql://db/x", f"sqlite:///{tmp_path}/none.db"):
        assert open_database_files(url) == []
