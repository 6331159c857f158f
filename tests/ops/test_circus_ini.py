"""circus.ini as circus itself reads it: circusd starts without a watcher whose hook is misspelt, and only logs it."""

from __future__ import annotations

import configparser
import re

import pytest

from stellarstream_core.ops.files import CIRCUS_INI, shared_file
from tests.paths import ROOT

INI = ROOT / "circus.ini"
ENVIRONMENT = {
    "STELLARSTREAM_RUN_DIR": "/run/stellarstream",
    "STELLARSTREAM_LOG_DIR": "/var/log/stellarstream",
    "STELLARSTREAM_HOME": "/var/lib/stellar stream",
    "STELLARSTREAM_PYTHON": "/opt/with blanks/bin/python",
    "STELLARSTREAM_API_HOST": "127.0.0.1",
    "STELLARSTREAM_API_PORT": "3000",
    "STELLARSTREAM_API_FAMILY": "AF_INET",
}


def checked(path) -> dict:
    """Load a file as circusd does; raise what circusd only logs."""
    from circus.config import get_config
    from circus.plugins import get_plugin_cmd
    from circus.sockets import CircusSocket
    from circus.util import resolve_name
    from circus.watcher import Watcher

    found = get_config(str(path))
    for options in found["watchers"]:
        Watcher.load_from_config(dict(options))
    for options in found["sockets"]:
        CircusSocket.load_from_config(dict(options)).close()
    for options in found["plugins"]:
        resolve_name(options["use"])
        get_plugin_cmd(dict(options), found["endpoint"], found["pubsub_endpoint"], found["check_delay"], None)
    return found


@pytest.fixture
def ini(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return checked(INI)


def watcher(ini: dict, name: str) -> dict:
    (found,) = [one for one in ini["watchers"] if one["name"] == name]
    return found


def test_circus_loads_every_watcher_socket_hook_and_plugin(ini):
    assert [one["name"] for one in ini["watchers"]] == ["api", "indexer", "worker"]
    assert [one["name"] for one in ini["sockets"]] == ["api"]
    assert [one["name"] for one in ini["plugins"]] == ["plugin:health"]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("hooks.set_workers", "hooks.set_worker"),
        ("ops.hooks.wait_ready", "ops.hook.wait_ready"),
        ("HealthMonitor", "Health"),
    ],
)
def test_a_misspelt_name_is_noticed(monkeypatch, tmp_path, right, wrong):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "circus.ini"
    path.write_text(INI.read_text().replace(right, wrong))
    with pytest.raises((ImportError, AttributeError)):
        checked(path)


@pytest.mark.parametrize("name", [name for name in ENVIRONMENT if name != "STELLARSTREAM_LOG_DIR"])
def test_every_variable_it_needs_is_named_in_it_and_told_of(name):
    text = INI.read_text()
    assert f"$(circus.env.{name})" in text
    assert re.search(rf"^;\s+{name}\b", text, re.MULTILINE)


def test_it_cannot_be_steered_from_outside_or_by_other_users(ini):
    assert ini["endpoint"] == "ipc:///run/stellarstream/control.sock"
    assert ini["pubsub_endpoint"] == "ipc:///run/stellarstream/events.sock"
    assert ini["multicast_endpoint"] == ""
    assert not ini["statsd"]
    assert not ini["httpd"]
    assert ini["umask"] == 0o077
    assert ini["pidfile"] == "/run/stellarstream/circusd.pid"


def test_no_output_goes_through_circus(ini):
    for one in ini["watchers"]:
        assert (one["stdout_stream"], one["stderr_stream"]) == ({}, {})


def test_workers_share_the_socket_and_end_within_five_seconds(ini):
    api = watcher(ini, "api")
    assert api["use_sockets"]
    assert api["cmd"].endswith("serve --fd $(circus.sockets.api)")
    assert api["graceful_timeout"] == 5
    assert ini["sockets"][0]["backlog"] == "2048"
    assert not ini["sockets"][0]["so_reuseport"]


def test_the_indexer_is_one_and_is_renewed_by_a_signal(ini):
    indexer = watcher(ini, "indexer")
    assert indexer["singleton"]
    assert indexer["send_hup"]
    assert indexer["graceful_timeout"] == 5


def test_every_process_knows_that_it_is_supervised_and_its_role(ini):
    for one in ini["watchers"]:
        assert one["env"]["STELLARSTREAM_SUPERVISED"] == "1"
        assert one["env"]["STELLARSTREAM_ROLE"] == one["name"]
        assert one["cmd"].startswith('"/opt/with blanks/bin/python" -m stellarstream_core.cli ')
        assert one["working_dir"] == "/var/lib/stellar stream"


def test_what_may_fail_in_a_hook_stops_no_watcher(ini):
    for name in ("api", "indexer"):
        for hook, (_, ignored) in watcher(ini, name)["hooks"].items():
            assert ignored, hook


def test_the_slot_for_more_waits_until_it_is_told(ini):
    worker = watcher(ini, "worker")
    assert not worker["autostart"]
    assert not worker["respawn"]


def test_it_is_found_here_and_shipped():
    assert shared_file(CIRCUS_INI) == INI
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert "circus.ini" in setup["options.data_files"]["share/stellarstream"].split()
