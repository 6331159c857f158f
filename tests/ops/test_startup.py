"""``startup``: the unit of this installation, printed or put where systemd looks for it."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from stellarstream_core.cli import startup as command
from stellarstream_core.ops.control import CircusMissingError
from stellarstream_core.ops.files import shared_file
from stellarstream_core.ops.unit_file import SYSTEM_UNIT
from tests.cli.conftest import invoke  # noqa: F401 - a fixture

UNIT = Path("etc/systemd/system")


@pytest.fixture
def call(invoke, monkeypatch, tmp_path):  # noqa: F811
    """Run ``stellarstream startup`` as root would, in a folder of the test's own that is a user's home, too."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        monkeypatch.delenv(name)
    return lambda *arguments, **settings: invoke("startup", *arguments, **settings)


def line(text: str, key: str) -> str:
    (found,) = [one.partition("=")[2] for one in text.splitlines() if one.startswith(f"{key}=")]
    return found


def test_it_prints_the_unit_that_is_shipped_with_this_installations_program(call):
    done = call()
    assert (done.code, done.err) == (0, "")
    program = line(done.out, "ExecStart").removesuffix(" up --foreground")
    assert Path(program.split()[0]).parent == Path(sys.executable).parent
    shipped = shared_file(SYSTEM_UNIT).read_text()
    same = done.out.replace(program, "/opt/stellarstream/venv/bin/stellarstream")
    assert same.replace("ProtectHome=read-only", "ProtectHome=yes") == shipped


def test_it_installs_the_unit_once(call, tmp_path):
    done = call("--install", "--root", str(tmp_path))
    unit = tmp_path / UNIT / "stellarstream.service"
    assert (done.code, done.out) == (0, f"wrote {unit}\n")
    assert unit.read_text() == call().out
    assert stat.S_IMODE(unit.stat().st_mode) == 0o644

    before = unit.stat()
    assert call("--install", "--root", str(tmp_path)).out == f"{unit} is as it should be\n"
    assert unit.stat() == before
    assert [path.name for path in unit.parent.iterdir()] == ["stellarstream.service"]


def test_one_that_was_there_is_kept_beside_it(call, tmp_path):
    unit = tmp_path / UNIT / "stellarstream.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    done = call("--install", "--root", str(tmp_path))
    assert f"kept the one that was there as {unit}.old" in done.out
    assert Path(f"{unit}.old").read_text() == "[Service]\nExecStart=/bin/true\n"


def test_a_second_service_has_its_own_name_user_and_folders(call, tmp_path):
    done = call("--install", "--root", str(tmp_path), "--name", "stars", "--environment", "/srv/stars.env")
    text = (tmp_path / UNIT / "stars.service").read_text()
    assert done.code == 0
    assert line(text, "User") == "stars"
    assert line(text, "StateDirectory") == "stars"
    assert line(text, "EnvironmentFile") == "/srv/stars.env"
    assert line(call("--run-as", "ada").out, "User") == "ada"


def test_who_is_not_root_runs_it_as_oneself(call, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(command.getpass, "getuser", lambda: "ada")
    assert line(call().out, "User") == "ada"


def test_settings_of_this_folder_are_those_of_the_service(call, tmp_path):
    (tmp_path / "stellarstream.toml").write_text('network = "testnet"\n')
    done = call()
    assert line(done.out, "WorkingDirectory") == str(tmp_path)
    assert f"Environment=STELLARSTREAM_HOME={tmp_path}\n" in done.out
    assert line(done.out, "ReadWritePaths") == str(tmp_path)


def test_places_that_are_set_are_those_of_the_service(call, tmp_path):
    done = call(HOME="/srv/stars", LOG_DIR="/srv/logs", CONFIG="stars.toml")
    assert line(done.out, "WorkingDirectory") == "/srv/stars"
    assert line(done.out, "ReadWritePaths") == "/srv/stars /srv/logs"
    assert f"Environment=STELLARSTREAM_CONFIG={tmp_path / 'stars.toml'}\n" in done.out


def test_a_service_of_ones_own_is_installed_without_root_and_says_what_is_next(call, monkeypatch, tmp_path):
    monkeypatch.setattr(command.getpass, "getuser", lambda: "ada")
    called = tmp_path / "called"
    fake = tmp_path / "bin" / "systemctl"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >>"{called}"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    (tmp_path / "run" / "systemd").mkdir(parents=True)
    (tmp_path / "run" / "systemd" / "private").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))

    done = call("--user", "--install")
    unit = tmp_path / ".config" / "systemd" / "user" / "stellarstream.service"
    assert done.code == 0
    assert f"wrote {unit}" in done.out
    assert "systemctl --user enable --now stellarstream" in done.out
    assert "loginctl enable-linger ada" in done.out
    assert f"{tmp_path}/.config/stellarstream/stellarstream.env is not there" in done.err
    text = unit.read_text()
    assert "\nUser=" not in text
    assert line(text, "WorkingDirectory") == str(tmp_path / ".local" / "state" / "stellarstream")
    assert f"Environment=STELLARSTREAM_RUN_DIR={tmp_path}/run/stellarstream\n" in text
    assert called.read_text() == "--user daemon-reload\n"

    call("--user", "--install")  # nothing changes: systemd has nothing to read
    assert called.read_text() == "--user daemon-reload\n"


def test_secrets_that_everybody_can_read_are_told_of(call, tmp_path):
    file = tmp_path / "stars.env"
    file.touch(0o644)
    assert f"chmod o= {file}" in call("--user", "--install", "--environment", str(file)).err
    file.chmod(0o600)
    assert call("--user", "--install", "--environment", str(file)).err == ""


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--user", "--run-as", "ada"], "Give one of the two"),
        (["--run-as", "root"], "does not run as root"),
        (["--run-as", "x\nExecStartPre=/bin/evil"], "is no name of a user"),
        (["--run-as", "-x"], "is no name of a user"),
        (["--environment", "/etc/x\nExecStartPre=/bin/evil"], "cannot stand in a unit"),
        (["--name", "../stars"], "no name for a service"),
        (["--install", "--root", "{}/file"], "is a file"),
        (["--install", "--root", "{}/full"], "The unit cannot be written"),
    ],
)
def test_what_cannot_be_is_refused(call, tmp_path, arguments, why):
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "etc").touch()
    done = call(*(argument.format(tmp_path) for argument in arguments))
    assert done.code == 2
    assert why in done.err


def test_a_link_that_leads_out_of_the_root_is_not_followed(call, tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    root.mkdir()
    (root / "etc").symlink_to(outside)
    done = call("--install", "--root", str(root))
    assert done.code == 2
    assert f"leads out of {root}" in done.err
    assert list(outside.iterdir()) == []


def test_without_the_extra_it_says_what_to_install(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "circus", None)
    done = call()
    assert done.code == 2
    assert CircusMissingError.help in done.err
