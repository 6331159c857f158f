"""The folder that workers share belongs to their user alone, or the service says what is wrong with it."""

from __future__ import annotations

import os
import tempfile
import threading
import time

import pytest

from stellarstream_core.api.run_dir import RunDir, alone, default_path
from stellarstream_core.errors import SettingsError
from stellarstream_core.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files of the test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_without_a_setting_it_is_a_private_folder_for_temporary_files(temporary):
    old = os.umask(0o277)
    try:
        folder = RunDir.open(Settings())
    finally:
        os.umask(old)
    assert folder.path.parent == temporary
    assert folder.path.stat().st_mode & 0o777 == 0o700
    again = RunDir.open(Settings())
    assert again.path == folder.path
    for one in (folder, again, folder):
        one.close()
    assert folder.path.is_dir()


def test_each_deployment_has_its_own(monkeypatch, tmp_path):
    urls = ["postgresql://db/one", "postgresql://db/two", "sqlite:////var/one.db"]
    paths = {default_path(Settings(database_url=url)) for url in urls}
    paths.add(default_path(Settings(database_url=urls[0], public_url="https://example.org")))
    assert len(paths) == 4
    relative = Settings(database_url="sqlite:///one.db")
    here = default_path(relative)
    monkeypatch.chdir(tmp_path)
    assert default_path(relative) != here
    assert default_path(relative) == default_path(Settings(database_url=f"sqlite:///{tmp_path}/one.db"))


def test_its_name_says_nothing_of_the_databases_password():
    names = {default_path(Settings(database_url=f"postgresql://me:{word}@db/one")) for word in ("secret", "other")}
    assert len(names) == 1


def test_the_configured_folder_is_made_and_used(tmp_path):
    folder = RunDir.open(Settings(run_dir=tmp_path / "run"))
    assert folder.path == tmp_path / "run"
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.close()


def test_a_configured_folder_may_be_read_by_a_group_but_written_by_nobody_else(tmp_path):
    tmp_path.chmod(0o750)
    RunDir.open(Settings(run_dir=tmp_path)).close()
    tmp_path.chmod(0o770)
    with pytest.raises(SettingsError, match=r"open to other users \(mode 0770\)"):
        RunDir.open(Settings(run_dir=tmp_path))


def test_a_default_folder_that_others_may_look_into_is_refused():
    path = default_path(Settings())
    path.mkdir(mode=0o755)
    with pytest.raises(SettingsError, match="open to other users"):
        RunDir.open(Settings())


def test_a_link_in_its_place_is_refused(tmp_path):
    path = default_path(Settings())
    (tmp_path / "trap").mkdir(mode=0o700)
    path.symlink_to(tmp_path / "trap")
    with pytest.raises(SettingsError, match="symbolic link") as caught:
        RunDir.open(Settings())
    assert "run_dir" in caught.value.help
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(SettingsError, match="symbolic link"):
        RunDir.open(Settings())
    assert not (tmp_path / "nowhere").exists()


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="not a directory"):
        RunDir.open(Settings(run_dir=tmp_path / "file"))


def test_another_users_folder_is_refused():
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    path = default_path(Settings())
    path.mkdir(mode=0o700)
    os.chown(path, 12345, 12345)
    with pytest.raises(SettingsError, match=r"another user \(uid 12345\)"):
        RunDir.open(Settings())


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    with pytest.raises(SettingsError, match="cannot be made: No such file or directory"):
        RunDir.open(Settings(run_dir=tmp_path / "no" / "parent"))


def test_those_who_clear_up_see_that_it_is_in_use():
    import fcntl

    folder = RunDir.open(Settings())
    fd = os.open(folder.path, os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder.close()
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        RunDir.open(Settings()).close()  # and somebody clearing up just now keeps nobody from starting
    finally:
        os.close(fd)


def test_only_one_at_a_time_is_inside(tmp_path):
    inside, seen = 0, []

    def visit() -> None:
        nonlocal inside
        with alone(tmp_path, "door"):
            inside += 1
            seen.append(inside)
            time.sleep(0.005)
            inside -= 1

    threads = [threading.Thread(target=visit) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 5


def test_nobody_is_waited_for_longer_than_told(tmp_path):
    with alone(tmp_path, "door"), pytest.raises(TimeoutError), alone(tmp_path, "door", 0.02):
        pass


# --- settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["rate_limit", "rate_limit_key"])
def test_a_limit_that_is_none_is_a_bad_setting(key):
    with pytest.raises(SettingsError, match=f"{key}: '600/fortnight' is no quota") as caught:
        load_settings(environ={f"STELLARSTREAM_{key.upper()}": "600/fortnight"})
    assert "off" in caught.value.help
    assert load_settings(environ={f"STELLARSTREAM_{key.upper()}": "off"})


def test_a_proxy_that_is_none_is_a_bad_setting():
    with pytest.raises(SettingsError, match=r"trusted_proxies: '10\.0\.0\.1/8' is no address"):
        load_settings(environ={"STELLARSTREAM_TRUSTED_PROXIES": "::1, 10.0.0.1/8"})
    found = load_settings(environ={"STELLARSTREAM_TRUSTED_PROXIES": "::1, 10.0.0.0/8, unix"})
    assert found.trusted_proxies == ["::1", "10.0.0.0/8", "unix"]
