"""The systemd units: systemd itself has nothing to say against them, and all that they name is there."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import click
import pytest

from stellarstream_core.cli.app import COMMANDS, cli
from stellarstream_core.errors import UsageError
from stellarstream_core.ops import hooks
from stellarstream_core.ops.files import shared_file
from stellarstream_core.ops.starting import ORPHAN_SECONDS
from stellarstream_core.ops.unit_file import SYSTEM_UNIT, USER_UNIT, Installation, check_name, unit_for
from stellarstream_core.settings import ENV_PREFIX, Settings, load_settings
from tests.paths import ROOT, missing

MOST_EXPOSURE = 1.5
"""Of 10, by 'systemd-analyze security'; docs/operations-setup.md names it."""
SHIPPED = Installation(
    name="stellarstream",
    command=("/opt/stellarstream/venv/bin/stellarstream",),
    user="stellarstream",
    home=Path("/var/lib/stellarstream"),
    log_dir=Path("/var/log/stellarstream"),
    run_dir=Path("/run/stellarstream"),
    environment_file=Path("/etc/stellarstream/stellarstream.env"),
)
ONES_OWN = Installation(
    name="stellarstream",
    command=("/usr/bin/env", "stellarstream"),
    user=None,
    home=Path("/srv/ada/state"),
    log_dir=Path("/srv/ada/state/logs"),
    run_dir=Path("/run/user/1000/stellarstream"),
    environment_file=Path("/srv/ada/stellarstream.env"),
)
PROGRAM = (sys.executable, "-m", "stellarstream_core.cli")
"""What is there, to be called in a unit."""


def with_command(installation: Installation, *command: str) -> Installation:
    return replace(installation, command=command)


def values(text: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def value(text: str, key: str) -> str:
    (found,) = values(text, key)
    return found


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze (Debian: systemd)")
    # a user's units are looked at only where that user has a folder for what runs
    env = os.environ | {"XDG_RUNTIME_DIR": tempfile.gettempdir()}
    return subprocess.run(["systemd-analyze", *arguments], env=env, capture_output=True, text=True, check=False)


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


# --- what systemd says ----------------------------------------------------------------------------


@pytest.mark.parametrize("installation", [SHIPPED, ONES_OWN], ids=["machine", "user"])
def test_systemd_has_nothing_to_say_against_it(tmp_path, installation):
    unit = tmp_path / "stellarstream.service"
    unit.write_text(unit_for(with_command(installation, *PROGRAM)))
    whose = [] if installation.user else ["--user"]
    done = analyze(*whose, "verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_would_say_if_something_were_wrong(tmp_path):
    unit = tmp_path / "stellarstream.service"
    unit.write_text(unit_for(with_command(SHIPPED, *PROGRAM)).replace("ProtectSystem=", "ProtectSistem="))
    done = analyze("verify", "--man=no", str(unit))
    assert "ProtectSistem" in done.stderr


def test_paths_with_all_kinds_of_characters_stand_in_it_as_systemd_reads_them(tmp_path):
    folder = tmp_path / "a 100% $HOME"
    quoted = tmp_path / "\"quoted\" 'folder' \\x41 50%"
    for made in (folder, quoted):
        made.mkdir()
    script = folder / "stellarstream"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    odd = Installation(
        "odd", (str(script),), "root", quoted, quoted / "logs", Path("/run/odd"), quoted / "odd.env", quoted / "x.toml"
    )
    unit = tmp_path / "odd.service"
    unit.write_text(unit_for(odd))
    done = analyze("verify", "--man=no", str(unit))  # it looks for the program, and names what it does not find
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    with pytest.raises(UsageError, match="quotes or backslashes"):
        unit_for(with_command(odd, str(quoted / "stellarstream")))


def test_the_service_is_shut_off_from_the_rest_of_the_machine(tmp_path):
    unit = tmp_path / "stellarstream.service"
    unit.write_text(shared_file(SYSTEM_UNIT).read_text())
    done = analyze("security", "--offline=true", "--no-pager", str(unit))
    if "unrecognized option" in done.stderr:
        missing("a systemd-analyze that judges units which are not installed (250 or newer)")
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert float(exposure) <= MOST_EXPOSURE, done.stdout
    assert f"{MOST_EXPOSURE}" in (ROOT / "docs" / "operations-setup.md").read_text()


# --- what it names --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [SYSTEM_UNIT, USER_UNIT])
def test_the_commands_that_it_runs_are_there(name):
    text = shared_file(name).read_text()
    up = shlex.split(value(text, "ExecStart"))
    assert up[1:] == ["up", "--foreground"]
    command = cli.get_command(click.Context(cli), "up")
    assert "--foreground" in {option for parameter in command.params for option in parameter.opts}
    reload = shlex.split(value(text, "ExecReload"))
    assert reload[1:] == ["cluster", "ctl", "reload", "--waiting"]
    assert "ctl" in cli.get_command(click.Context(cli), "cluster").commands
    assert up[0] == reload[0]
    assert "startup" in COMMANDS


def test_the_file_that_is_shipped_is_the_unit_of_the_usual_places():
    assert unit_for(SHIPPED) == shared_file(SYSTEM_UNIT).read_text()


def test_folders_are_private_and_are_those_that_the_service_is_told_of():
    text = shared_file(SYSTEM_UNIT).read_text()
    places = {"RuntimeDirectory": "/run", "StateDirectory": "/var/lib", "LogsDirectory": "/var/log"}
    for key in places:
        assert value(text, f"{key}Mode") == "0700"
    told = dict(line.split("=", 1) for line in values(text, "Environment"))
    assert told == {
        "STELLARSTREAM_RUN_DIR": f"{places['RuntimeDirectory']}/{value(text, 'RuntimeDirectory')}",
        "STELLARSTREAM_HOME": f"{places['StateDirectory']}/{value(text, 'StateDirectory')}",
        "STELLARSTREAM_LOG_DIR": f"{places['LogsDirectory']}/{value(text, 'LogsDirectory')}",
    }
    assert value(text, "WorkingDirectory") == told["STELLARSTREAM_HOME"]
    assert value(text, "User") not in {"root", "0", ""}
    assert value(text, "UMask") == "0077"


def test_what_the_template_of_settings_names_are_settings_and_folders_of_the_unit():
    text = shared_file("contrib/stellarstream.env").read_text()
    pairs = dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))
    told = dict(line.split("=", 1) for line in values(shared_file(SYSTEM_UNIT).read_text(), "Environment"))
    assert {name: pairs[name] for name in told} == told
    names = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert set(pairs) - names == {"API_WORKERS", "INDEXERS", "STELLARSTREAM_HOME"}
    settings = load_settings(environ=pairs)
    assert settings.database_url == f"sqlite:///{told['STELLARSTREAM_HOME']}/stellarstream.db"
    for secret in ("STELLARSTREAM_SECRET_KEY", "STELLARSTREAM_SIGNING_KEY"):
        assert pairs[secret] == ""


@pytest.mark.parametrize("name", [SYSTEM_UNIT, USER_UNIT])
def test_its_patience_is_longer_than_what_it_waits_for(name):
    text = shared_file(name).read_text()
    graceful = [seconds(given) for given in re.findall(r"graceful_timeout = (\d+)", (ROOT / "circus.ini").read_text())]
    assert seconds(value(text, "TimeoutStopSec")) >= 3 * max(graceful)
    # circusd answers nobody while a reload waits for new workers; that it lives is told three times in this time
    assert seconds(value(text, "WatchdogSec")) >= 3 * hooks.READY_SECONDS
    # a reload counts as a start; processes of one that was killed may still be ending
    assert seconds(value(text, "TimeoutStartSec")) >= 2 * hooks.READY_SECONDS + ORPHAN_SECONDS
    assert value(text, "Restart") == "always"
    assert value(text, "StartLimitIntervalSec") == "0"
    assert value(text, "KillMode") == "mixed"
    assert (value(text, "Type"), value(text, "NotifyAccess")) == ("notify", "all")


def test_ones_own_unit_says_the_same_with_what_needs_no_right_of_the_machines():
    def pairs(name: str) -> set[tuple[str, str]]:
        return set(re.findall(r"^(\w+)=(.*)$", shared_file(name).read_text(), re.MULTILINE))

    differ = {"Environment", "EnvironmentFile", "ExecStart", "ExecReload", "WorkingDirectory", "WantedBy"}
    extra = {key for key, _ in pairs(USER_UNIT) - pairs(SYSTEM_UNIT)}
    assert extra == differ
    assert not {"User", "Group", "ProtectSystem", "PrivateDevices"} & {key for key, _ in pairs(USER_UNIT)}


def test_all_of_it_is_shipped():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    shipped = {
        f"{folder.removeprefix('share/stellarstream').lstrip('/')}/{Path(name.strip()).name}": name.strip()
        for folder, names in setup["options.data_files"].items()
        for name in names.replace("\n", ",").split(",")
        if name.strip()
    }
    for name in (SYSTEM_UNIT, USER_UNIT, "contrib/setup.sh", "contrib/stellarstream.env"):
        assert shipped[name] == name  # where shared_file looks for it
        assert shared_file(name) == ROOT / name


# --- other installations --------------------------------------------------------------------------


def test_another_name_has_its_own_unit_user_and_folders():
    second = replace(
        SHIPPED,
        name="stars-testnet",
        user="stars",
        home=Path("/var/lib/stars-testnet"),
        log_dir=Path("/var/log/stars-testnet"),
        run_dir=Path("/run/stars-testnet"),
    )
    text = unit_for(second)
    for key in ("RuntimeDirectory", "StateDirectory", "LogsDirectory"):
        assert value(text, key) == "stars-testnet"
    assert value(text, "User") == value(text, "Group") == "stars"
    assert "STELLARSTREAM_RUN_DIR=/run/stars-testnet" in values(text, "Environment")
    assert value(text, "ProtectHome") == "yes"
    assert values(text, "ReadWritePaths") == []
    assert "'systemctl edit stars-testnet'" in text


def test_a_service_reaches_just_what_it_needs_where_its_places_are_not_the_usual_ones():
    elsewhere = replace(SHIPPED, home=Path("/home/ada/my stars"), config=Path("/srv/stars.toml"))
    text = unit_for(elsewhere)
    assert value(text, "ProtectHome") == "read-only"
    assert value(text, "ReadWritePaths") == '"/home/ada/my stars"'
    assert value(text, "WorkingDirectory") == "/home/ada/my stars"
    assert "STELLARSTREAM_CONFIG=/srv/stars.toml" in values(text, "Environment")
    assert values(unit_for(replace(SHIPPED, home=Path("/srv/stars"))), "ProtectHome") == ["yes"]


def test_a_service_goes_without_other_plugins_where_it_was_installed_so():
    assert "STELLARSTREAM_NO_PLUGINS=1" in values(unit_for(replace(SHIPPED, built_in_only=True)), "Environment")
    assert "NO_PLUGINS" not in unit_for(SHIPPED)


@pytest.mark.parametrize("path", ["/srv/two\nlines", "/srv/blank ", "/srv/\x07bell"])
def test_a_path_that_cannot_stand_in_a_unit_is_refused(path):
    with pytest.raises(UsageError, match="cannot stand in a unit"):
        unit_for(replace(SHIPPED, home=Path(path)))


@pytest.mark.parametrize("name", ["", "Stars", "a b", "../x", "-x", "x" * 32, "x.service", "stérn"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(UsageError, match="no name for a service"):
        check_name(name)
