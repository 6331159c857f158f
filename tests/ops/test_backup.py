"""Back-up while the indexer writes, restore into an empty place, and go on: by the commands of docs/operations.md."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from stellarstream_core.storage import Storage
from tests.ops.indexer_kit import Deployment, open_storage, until
from tests.paths import ROOT
from tests.postgres import NoPostgresError, _binaries

PAGE = ROOT / "docs" / "operations.md"
_BLOCK = re.compile(r"<!-- tested: ([\w-]+) -->\n```sh\n(.*?)```", re.DOTALL)
COMMANDS = dict(_BLOCK.findall(PAGE.read_text()))


def shell(home: Deployment, block: str, **variables: str) -> str:
    """Run commands of the documentation with these variables, as somebody types them; fail where one fails."""
    bin_dir = home.folder / "bin"
    bin_dir.mkdir(exist_ok=True)
    shim = bin_dir / "stellarstream"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stellarstream_core.cli "$@"\n')
    shim.chmod(0o755)
    postgres = [str(one) for one in postgres_programs()]
    env = home.environment({**home.settings, "SUPERVISED": "", "DATABASE_URL": variables.get("DATABASE_URL", "")})
    env |= variables | {"PATH": os.pathsep.join([str(bin_dir), *postgres, os.environ["PATH"]])}
    done = subprocess.run(
        ["sh", "-e", "-x", "-c", COMMANDS[block]], env=env, cwd=home.folder, capture_output=True, text=True, check=False
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def postgres_programs() -> list[Path]:
    """Return the folder of pg_dump that fits the server of the tests, where it is at hand."""
    try:
        return [_binaries()]
    except NoPostgresError:
        return []


@contextmanager
def busy(home: Deployment) -> Iterator[None]:
    """Let ledgers close without a pause for the time of the block, so that the indexer commits all the while."""
    over = threading.Event()

    def close() -> None:
        while not over.wait(0.1):
            home.close_ledgers(20)

    thread = threading.Thread(target=close)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def home(tmp_path, request) -> Iterator[Deployment]:
    url = request.getfixturevalue("postgres_database")("live") if request.param == "postgresql" else None
    deployment = Deployment(tmp_path, database_url=url)
    deployment.settings |= {
        "ALLOWED_PLUGINS": "",  # with all that is folded from events
        "PLUGINS__SOROBAN_RPC__WINDOW": "1",  # a commit for each ledger, far behind as well
        "PLUGINS__SOROBAN_RPC__MAX_WINDOW": "1",
    }
    yield deployment
    deployment.stop()


def backed_up(home: Deployment, *blocks: tuple[str, dict[str, str]]) -> tuple[int, str]:
    """Make back-ups while the indexer writes and let it go on; return its last position, and its epoch."""
    with home.opened() as storage:
        running = home.start()
        running.ready()
        with busy(home):
            until(lambda: storage.totals().position > 5)
            for block, variables in blocks:
                until(lambda block=block, variables=variables: written_during(home, storage, block, variables))
            after = storage.totals().position
            until(lambda: storage.totals().position > after + 2)
        running.kill()  # what it had since the back-ups is lost
        return storage.totals().position, storage.epoch()


def written_during(home: Deployment, storage: Storage, block: str, variables: dict[str, str]) -> bool:
    """Make a back-up; tell whether the indexer committed something meanwhile."""
    Path(variables["BACKUP"]).unlink(missing_ok=True)
    before = storage.totals().position
    shell(home, block, **variables)
    return storage.totals().position > before


def goes_on(home: Deployment, restored_url: str, lost: int, epoch: str) -> None:
    """Check that a restored database is found whole, is another history, and goes on without gap or double."""
    with closing(open_storage(restored_url)) as storage:
        assert 1 < storage.totals().position < lost, "the newest commits are not in it"
        said = shell(home, "after-restore", DATABASE_URL=restored_url)
        assert storage.epoch() != epoch, "whoever followed the lost commits is told to start again"
        assert storage.epoch() in said
        assert "gaps       none" in said
        assert "every hash holds and what is stored is equal" in said
        assert "nebula: up to the last commit" in said, "what is folded from events is built anew"
        home.settings["DATABASE_URL"] = restored_url
        running = home.start()
        running.ready()
        latest = home.close_ledgers(2)
        until(lambda: home.watermark(storage) >= latest)
        running.kill()
        home.whole(storage)


@pytest.mark.parametrize("home", ["sqlite"], indirect=True)
def test_sqlite_backed_up_while_it_is_written_is_restored_and_goes_on(home):
    database, folder = home.folder / "indexed.db", home.folder / "backup"
    folder.mkdir()
    ways = ["sqlite-backup-python", *(["sqlite-backup"] if shutil.which("sqlite3") else [])]
    backups = {way: folder / f"{way}.db" for way in ways}
    lost, epoch = backed_up(
        home, *((way, {"DATABASE": str(database), "BACKUP": str(path)}) for way, path in backups.items())
    )
    for path in backups.values():
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("SELECT max(position) FROM commits").fetchone()[0] > 2
    restored = home.folder / "elsewhere" / "indexed.db"
    restored.parent.mkdir()
    shell(home, "sqlite-restore", BACKUP=str(backups[ways[-1]]), DATABASE=str(restored))
    assert restored.stat().st_mode & 0o077 == 0
    goes_on(home, f"sqlite:///{restored}", lost, epoch)


@pytest.mark.parametrize("home", ["postgresql"], indirect=True)
def test_postgresql_backed_up_while_it_is_written_is_restored_and_goes_on(home, postgres_database):
    if not postgres_programs() and shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not at hand")
    backup, url = home.folder / "copy.dump", postgres_database("restored")
    lost, epoch = backed_up(home, ("postgresql-backup", {"DATABASE_URL": home.database_url, "BACKUP": str(backup)}))
    shell(home, "postgresql-restore", DATABASE_URL=url, BACKUP=str(backup))
    goes_on(home, url, lost, epoch)


@pytest.mark.parametrize("left", ["indexed.db", "indexed.db-wal"])
def test_a_restore_over_what_is_there_is_refused(tmp_path, left):
    (tmp_path / left).write_text("left over")
    (tmp_path / "copy.db").write_text("a back-up")
    env = {"DATABASE": str(tmp_path / "indexed.db"), "BACKUP": str(tmp_path / "copy.db"), "PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-e", "-c", COMMANDS["sqlite-restore"]], env=env, check=False)
    assert done.returncode != 0
    assert (tmp_path / left).read_text() == "left over"


def test_the_page_has_every_command_that_is_tested_here():
    restores = {"sqlite-restore", "postgresql-restore", "after-restore"}
    assert set(COMMANDS) == {"sqlite-backup", "sqlite-backup-python", "postgresql-backup"} | restores
