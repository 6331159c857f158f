"""Which run folder an installation has, that it is looked at before anything is put in it, and circusd's log."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from stellarstream_core.errors import SettingsError
from stellarstream_core.ops import environment
from stellarstream_core.ops.environment import Wishes, cluster_environment, cluster_folder
from stellarstream_core.ops.starting import LOG_NAME, _log
from stellarstream_core.settings import Settings
from tests.cli.conftest import invoke  # noqa: F401 - a fixture


@pytest.fixture
def temporary(monkeypatch) -> Iterator[Path]:
    """Where default run folders are made: a short path, as a socket's must be."""
    with tempfile.TemporaryDirectory(prefix="ss-") as folder:
        monkeypatch.setattr(environment, "tempfile", SimpleNamespace(gettempdir=lambda: folder))
        yield Path(folder)


def test_the_home_and_the_settings_file_say_which_it_is_and_no_setting_does():
    home, other = Path("/srv/a"), Path("/srv/b")
    shared = Settings(database_url="postgresql://db/one")
    found = cluster_folder(shared, home)
    assert cluster_folder(Settings(database_url="sqlite:///x.db", public_url="https://example.org"), home) == found
    assert cluster_folder(shared, home, home / "stellarstream.toml") == found
    assert len({found, cluster_folder(shared, other), cluster_folder(shared, home, home / "two.toml")}) == 3
    assert cluster_folder(Settings(run_dir=Path("/run/x")), home) == Path("/run/x")


def test_down_finds_the_folder_though_another_database_is_set(temporary, invoke):  # noqa: F811
    printed = invoke("up", "--print-env", DATABASE_URL="sqlite:///one.db")
    assert printed.code == 0
    (folder,) = temporary.iterdir()
    assert f"STELLARSTREAM_RUN_DIR={folder}\n" in printed.out
    assert f"It does not run (run folder {folder})." in invoke("down", DATABASE_URL="sqlite:///two.db").out
    status = invoke("cluster", "status", DATABASE_URL="sqlite:///three.db")
    assert f"No circusd runs for {folder}." in status.err


def test_print_env_makes_the_folders_that_circusd_writes_into(temporary, invoke, tmp_path):  # noqa: F811
    assert invoke("up", "--print-env").code == 0
    (folder,) = temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "logs").stat().st_mode & 0o777 == 0o700
    assert invoke("up", "--print-env").code == 0


@pytest.mark.parametrize("how", ["open", "link", "another's"])
def test_print_env_refuses_a_folder_that_others_can_write_into(temporary, invoke, how):  # noqa: F811
    if how == "another's" and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    invoke("up", "--print-env")
    (folder,) = temporary.iterdir()
    if how == "open":
        folder.chmod(0o777)
    elif how == "link":
        folder.rename(real := temporary / "real")
        folder.symlink_to(real)
    else:
        os.chown(folder, 65534, 65534)
    done = invoke("up", "--print-env")
    assert done.code == 2
    assert f"run_dir: {folder}" in done.err
    assert "RUN_DIR=" not in done.out


def test_a_value_with_a_control_character_is_refused(monkeypatch, tmp_path):
    with pytest.raises(SettingsError, match=r"STELLARSTREAM_LOG_DIR: .* control character"):
        cluster_environment(Settings(log_dir=Path("/srv/x\ny"), run_dir=Path("/run/x")), tmp_path, Wishes())


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.symlink_to("other"), "it is a symbolic link"),
        (os.mkfifo, "No such device or address"),  # nobody reads it; nobody waits either
        (Path.mkdir, "Is a directory"),
    ],
    ids=["link", "pipe", "folder"],
)
def test_a_log_of_circusd_that_is_no_file_is_a_fault_of_the_folder(tmp_path, make, why):
    make(tmp_path / LOG_NAME)
    with pytest.raises(SettingsError, match=f"log_dir: {tmp_path / LOG_NAME} cannot be written: {why}"):
        _log(tmp_path)
    assert not (tmp_path / "other").exists()


def test_a_pipe_that_somebody_reads_is_no_log_either(tmp_path):
    os.mkfifo(tmp_path / LOG_NAME)
    reader = os.open(tmp_path / LOG_NAME, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(SettingsError, match="it is no regular file"):
            _log(tmp_path)
    finally:
        os.close(reader)
