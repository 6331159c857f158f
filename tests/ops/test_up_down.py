"""``up``, ``down`` and ``cluster``: what they refuse, what they start, and that nothing is left of it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from stellarstream_core.errors import SettingsError, UsageError
from stellarstream_core.ops import checks, ending, starting
from stellarstream_core.ops.circusctl import _refusal, run_circusctl
from stellarstream_core.ops.control import (
    TIMEOUT_SECONDS,
    CircusMissingError,
    ClusterError,
    Control,
    NotRunningError,
    port_is_taken,
    supervisor_pid,
)
from stellarstream_core.ops.environment import as_lines, cluster_environment, home_folder
from stellarstream_core.ops.files import shared_file
from stellarstream_core.ops.process import read_presences
from stellarstream_core.ops.workers import usable_cores, workers_asked_for
from stellarstream_core.plugins import Plugins
from stellarstream_core.runtime import Runtime
from stellarstream_core.settings import NETWORKS, load_settings
from tests.api.kit import SECRET, SIGNING
from tests.cli.conftest import invoke  # noqa: F401 - a fixture
from tests.ops.kit import Cluster, clean_environment, living, until

CONTRACT = "CB53BX2FGV2P4VF5BVMRQ2YWNMFZPINYX44GT66XSTK7AKUADK35OEEH"


@pytest.fixture
def place() -> Iterator[Cluster]:
    """An installation that nobody has started: quick stand-ins for its processes, a network that is not there."""
    made = Cluster(
        stand_in=True,
        NETWORK="sandbox",
        RPC_URL="http://127.0.0.1:9",
        CONTRACTS=CONTRACT,
        START_LEDGER="2",
        PLUGINS__SOROBAN_RPC__MAX_RETRIES="0",
        HEALTH_SECONDS="1",
    )
    try:
        yield made
    finally:
        if (pid := supervisor_pid(made.run_dir)) is not None:
            process = psutil.Process(pid)
            made._pids |= {process, *process.children(recursive=True)}
            process.terminate()
            psutil.wait_procs([process], timeout=12)
        made.stop()


def processes_of(pid: int) -> list[psutil.Process]:
    found = psutil.Process(pid)
    return [found, *found.children(recursive=True)]


# --- from start to end ----------------------------------------------------------------------------


def test_up_starts_all_of_it_once_and_down_ends_all_of_it(place):
    began = time.monotonic()
    up = place.stellarstream("up", "--workers", "3")
    print(f"FIGURES up: {time.monotonic() - began:.1f} s")
    assert up.returncode == 0, up.stdout + up.stderr
    assert f"Running: 3 API workers on http://127.0.0.1:{place.port}, an indexer and a health monitor" in up.stdout
    assert f"export CIRCUSCTL_ENDPOINT={place.control.endpoint}" in up.stdout
    assert "doctor: source soroban-rpc:" in up.stderr  # a network that is not there keeps nothing from starting
    pid = supervisor_pid(place.run_dir)
    assert f"circusd is process {pid}" in up.stdout
    processes = processes_of(pid)
    assert len(processes) == 6
    assert len(place.ready_pids("api")) == 3
    assert os.getsid(pid) == pid  # it is not of the session that started it

    again = place.stellarstream("up")
    assert (again.returncode, "It runs already" in again.stdout) == (0, True)
    assert supervisor_pid(place.run_dir) == pid

    down = place.stellarstream("down")
    assert (down.returncode, down.stdout) == (0, "Ended.\n"), down.stderr
    until(lambda: not living(processes), 1)
    assert not {"control.sock", "events.sock", "circusd.pid"} & {path.name for path in place.run_dir.iterdir()}

    down = place.stellarstream("down")
    assert (down.returncode, "It does not run" in down.stdout) == (0, True)
    status = place.stellarstream("cluster", "status")
    assert status.returncode != 0
    assert "Not running" in status.stderr
    assert place.stellarstream("cluster", "status", "--json").stdout.startswith('{"running":false')
    for said in (up, again, down, status):
        assert SECRET not in said.stdout + said.stderr
        assert SIGNING not in said.stdout + said.stderr


def test_two_that_start_it_at_the_same_time_start_it_once(place):
    said = []
    both = [threading.Thread(target=lambda: said.append(place.stellarstream("up", "--workers", "1"))) for _ in "12"]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert [one.returncode for one in said] == [0, 0], said
    assert sorted("It runs already" in one.stdout for one in said) == [False, True]


def test_in_the_foreground_it_is_circusd_itself_and_tells_systemd_how_it_is(place):
    (place.run_dir / "circusd.pid").write_text(f"{os.getpid()}\n")  # of a killed one; the number is another's by now
    command = [sys.executable, "-m", "stellarstream_core.cli", "up", "--foreground", "--workers", "1"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, (place.home / "said.txt").open("wb") as said:
        manager.bind(str(place.home / "notify"))
        manager.settimeout(20)
        systemd = {"NOTIFY_SOCKET": str(place.home / "notify"), "WATCHDOG_USEC": "3000000"}
        process = subprocess.Popen(
            command, cwd=place.home, env=place.environment | systemd, stdout=said, stderr=said, start_new_session=True
        )
        try:
            until(lambda: manager.recv(100) == b"READY=1")
            assert len(place.ready_pids("api")) == 1
            until(lambda: manager.recv(100) == b"WATCHDOG=1")
            assert supervisor_pid(place.run_dir) == process.pid
            processes = processes_of(process.pid)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            until(lambda: not living(processes), 1)
        finally:
            process.kill()
            process.wait()
    assert "circusctl --endpoint ipc://" in (place.home / "said.txt").read_text()


def test_what_it_prints_is_all_that_circusd_needs_from_any_folder(place, tmp_path):
    """``--print-env`` through a shell, from another folder, with nothing else in the environment."""
    printed = place.stellarstream("up", "--print-env")
    assert printed.returncode == 0, printed.stderr
    assert SECRET not in printed.stdout
    script = f'set -a; eval "$PRINTED"; set +a; exec {shlex.quote(sys.executable)} -m circus.circusd "$INI"'
    keys = {name: place.environment[name] for name in ("STELLARSTREAM_SECRET_KEY", "STELLARSTREAM_SIGNING_KEY")}
    environment = clean_environment() | keys | {"PRINTED": printed.stdout, "INI": str(shared_file("circus.ini"))}
    with (place.home / "circusd.log").open("wb") as log:
        place.process = subprocess.Popen(["sh", "-c", script], cwd=tmp_path, env=environment, stdout=log, stderr=log)
    place.environment["API_WORKERS"] = str(usable_cores())
    place.ready()
    assert place.ask("/environment/STELLARSTREAM_HOME") == str(place.home)


def test_what_cannot_start_is_told_of_at_once(place):
    (place.home / "api.broken").touch()
    up = place.stellarstream("up", "--workers", "2")
    assert up.returncode == 1
    assert "Not ready: api ended at once each time. It goes on trying." in up.stderr
    assert "api is broken" in up.stderr
    assert "stellarstream down" in up.stderr
    (place.home / "api.broken").unlink()
    until(lambda: len(place.ready_pids("api")) == 2)  # it did go on
    assert place.stellarstream("down").returncode == 0


def test_commands_wait_for_their_turn(place):
    place.start()
    place.control.call("reload", name="api")
    place.control.call("incr", name="api")
    assert place.control.wanted("api") == 3
    with pytest.raises(ClusterError, match="program nobody not found"):
        place.control.call("incr", name="nobody")


@pytest.fixture
def held_up(place) -> Iterator[psutil.Process]:
    """A worker that does not end when it is told to: circusd is at that command until it is let go on."""
    place.start()
    worker = psutil.Process(min(place.ready_pids("api")))
    place.control.call("set", name="api", options={"graceful_timeout": 60})
    worker.suspend()
    place.control.call("restart", name="api")
    refused = run_directly(place, "incr", "api")
    assert (refused.returncode, "arbiter is already running watcher_restart" in refused.stderr) == (3, True), refused
    yield worker
    with suppress(psutil.NoSuchProcess):
        worker.resume()


def run_directly(place: Cluster, *command: str) -> subprocess.CompletedProcess[str]:
    ctl = [sys.executable, "-m", "circus.circusctl", "--endpoint", place.control.endpoint]
    return subprocess.run([*ctl, *command], env=clean_environment(), capture_output=True, text=True, check=False)


def test_what_ctl_is_told_waits_for_its_turn_as_well(place, held_up):
    said: list[subprocess.CompletedProcess[str]] = []
    ctl = threading.Thread(target=lambda: said.append(place.stellarstream("cluster", "ctl", "incr", "api")))
    ctl.start()
    ctl.join(1.5)
    assert said == []
    held_up.resume()
    ctl.join()
    assert (said[0].returncode, said[0].stdout, said[0].stderr) == (0, "ok\n", "")
    until(lambda: len(place.ready_pids("api")) == 3)


@pytest.mark.usefixtures("held_up")
def test_ctl_says_whom_it_has_waited_for_in_vain(place):
    for asked in ("incr api", "--json incr api"):
        with pytest.raises(ClusterError) as refused:
            run_circusctl(place.control, asked.split(), patience=0.1)
        reason = "arbiter is already running watcher_restart command"
        assert str(refused.value) == f"circusd has refused '{asked}' for 0.1 seconds: {reason}."
        assert refused.value.exit_code == 1
        assert "Nothing was changed" in refused.value.help


def test_ctl_hands_on_what_circusctl_says_and_its_code(place):
    nobody = place.stellarstream("cluster", "ctl", "status")
    assert (nobody.returncode, "Not running: No circusd runs for" in nobody.stderr) == (1, True)
    place.start()
    for command, code in ((["status"], 0), (["--json", "numprocesses", "api"], 0), (["incr"], 1), (["--help"], 0)):
        direct, ours = run_directly(place, *command), run_circusctl(place.control, command)
        assert ours.code == direct.returncode == code, command
        assert (ours.output.split('"time"')[0], ours.error) == (direct.stdout.split('"time"')[0], direct.stderr)
    refused = place.stellarstream("cluster", "ctl", "incr", "nobody")
    assert (refused.returncode, refused.stdout, refused.stderr) == (3, "", "error: program nobody not found\n")


def test_what_goes_on_until_it_is_ended_is_handed_on_as_it_comes(place):
    place.start()
    events = f"ipc://{place.run_dir}/events.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "stellarstream_core.cli", "cluster", "ctl", "--endpoint", events, "listen"],
        env=place.environment | {"PYTHONUNBUFFERED": "1"},
        cwd=place.home,
        stdout=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    heard = threading.Thread(target=lambda: said.append(process.stdout.readline()))
    heard.start()
    try:
        # each of them is an event; those before it listens are not heard
        until(lambda: place.control.call("set", name="api", options={"warmup_delay": 0}) and (heard.join(0.2) or said))
    finally:
        process.kill()
        process.wait()
        heard.join()
        process.stdout.close()
    assert "watcher.api." in said[0]


@pytest.mark.parametrize(
    ("output", "error", "busy"),
    [
        ("", "error: arbiter is already running watcher_reload command\n", True),
        ("", "error: arbiter is restarting...\n", True),
        ('{"status": "error", "reason": "arbiter is already running x command"}\n', "", True),
        ("", "error: program arbiter is already running not found\n", False),
        ('{"status": "ok", "reason": "arbiter is already running x command"}\n', "", False),
        ("arbiter is already running\n", "", False),
        ('["arbiter is already running"]\n', "", False),
        ("ok\n", "", False),
    ],
    ids=["busy", "restarting", "json", "a-name", "json-ok", "text", "a-list", "ok"],
)
def test_only_a_refusal_for_being_busy_is_asked_again(output, error, busy):
    assert (_refusal(output, error) is not None) is busy


# --- IPv6 and what is handed on -------------------------------------------------------------------


def has_ipv6() -> bool:
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize(("host", "asked"), [("::1", ["::1"]), ("::", ["::1", "127.0.0.1"])], ids=["one", "all"])
def test_it_listens_on_an_ipv6_address_and_on_all_of_both_kinds(place, host, asked):
    settings = {"API_HOST": host}
    up = place.stellarstream("up", "--workers", "2", **settings)
    assert up.returncode == 0, up.stdout + up.stderr
    assert f" on http://[{host}]:{place.port}, an indexer" in up.stdout

    def answering() -> set[int]:
        found = set()
        for address in asked:
            with socket.create_connection((address, place.port), timeout=20) as sock, sock.makefile("rb") as file:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                found.add(int(file.read().rpartition(b"\n")[2]))
        return found

    before = place.pids("api")
    assert answering() <= before
    if host == "::1":
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", place.port), 5)
    place.ctl("reload", "api", "--waiting")
    assert not answering() & before
    assert port_is_taken(host, place.port, socket.AF_INET6)


def test_global_options_hold_for_every_process(place):
    options = ["--no-plugins", "--log-level", "debug", "--config", "other.toml"]
    (place.home / "other.toml").write_text("cpu_percent = 77\n")
    up = place.stellarstream(*options, "up", "--workers", "1")
    assert up.returncode == 0, up.stdout + up.stderr
    expected = {"NO_PLUGINS": "1", "LOG_LEVEL": "debug", "CONFIG": str(place.home / "other.toml")}
    assert {name: place.ask(f"/environment/STELLARSTREAM_{name}") for name in expected} == expected
    assert set(expected) & {name.removeprefix("STELLARSTREAM_") for name in place.environment} == set()


@pytest.mark.parametrize(("variable", "built_in_only"), [(None, False), ("1", True), ("", False), ("0", False)])
def test_a_process_heeds_that_it_is_to_go_without_other_plugins(invoke, monkeypatch, variable, built_in_only):  # noqa: F811
    asked = []

    def load(**options):
        asked.append(options["built_in_only"])
        return Plugins.load(built_in_only=True)

    monkeypatch.setattr("stellarstream_core.runtime.Plugins", SimpleNamespace(load=load))
    outcome = invoke("plugins", **({} if variable is None else {"NO_PLUGINS": variable}))
    assert (outcome.code, asked) == (0, [built_in_only])


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left_out", "named"),
    [
        (["SECRET_KEY"], ["secret_key: several workers", "token_urlsafe(48)"]),
        (["SIGNING_KEY"], ["signing_key: several workers", "Keypair.random().secret"]),
        (["SECRET_KEY", "SIGNING_KEY"], ["secret_key: several", "signing_key: several", "export STELLARSTREAM_"]),
        (["CONTRACTS"], ["'contracts' is not set"]),
        (["START_LEDGER"], ["'start_ledger' is not set", "stellarstream sync --from -1000"]),
    ],
)
def test_what_is_missing_is_named_and_nothing_is_started(invoke, tmp_path, left_out, named):  # noqa: F811
    settings = {
        "SECRET_KEY": SECRET,
        "SIGNING_KEY": SIGNING,
        "CONTRACTS": CONTRACT,
        "START_LEDGER": "2",
        "RUN_DIR": str(tmp_path / "run"),
    }
    outcome = invoke("up", **{name: value for name, value in settings.items() if name not in left_out})
    assert outcome.code == 2
    for text in named:
        assert text in outcome.err
    assert SECRET not in outcome.err
    assert supervisor_pid(tmp_path / "run") is None


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("SECRET_KEY", "tiny!", "it is too short"),
        ("SIGNING_KEY", "G" + SIGNING[1:], "no secret key of a Stellar account"),
        ("SIGNING_KEY", "nonsense", "no secret key of a Stellar account"),
    ],
)
def test_secrets_that_cannot_be_one_are_refused_and_not_shown(name, value, why):
    environment = {"SECRET_KEY": SECRET, "SIGNING_KEY": SIGNING, name: value}
    settings = load_settings(environ={f"STELLARSTREAM_{key}": text for key, text in environment.items()})
    with pytest.raises(SettingsError, match=why) as refused:
        checks.check_secrets(settings)
    assert value not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"RUN_DIR": "/tmp/with blanks"}, "holds a character"),
        ({"RUN_DIR": "/tmp/with'quotes"}, "holds a character"),
        ({"RUN_DIR": "/tmp/" + "long" * 30}, "is too long"),
        ({"API_PORT": "0"}, "api_port"),
        ({"API_HOST": "[::1]"}, r"api_host: \[::1\] is no address"),
        ({"API_HOST": "no host"}, "api_host: no host is no address"),
    ],
)
def test_what_circus_cannot_work_with_is_refused(tmp_path, settings, why):
    environ = {f"STELLARSTREAM_{key}": text for key, text in settings.items()}
    with pytest.raises(UsageError, match=why):
        cluster_environment(load_settings(environ=environ), tmp_path)


@pytest.mark.parametrize("workers", ["0", "-1", "many", "1.5", "513"])
def test_a_number_of_workers_that_is_none_is_refused(tmp_path, monkeypatch, workers):
    monkeypatch.setenv("API_WORKERS", workers)
    with pytest.raises(UsageError, match=r"API_WORKERS: .* is no number of workers"):
        cluster_environment(load_settings(environ={}), tmp_path)


def test_there_are_as_many_workers_as_cores_that_may_be_used(tmp_path):
    there = usable_cores(tmp_path / "none")
    assert there == len(os.sched_getaffinity(0))
    for text, cores in [("max 100000", there), ("50000 100000", 1), ("150000 100000", min(2, there)), ("0 0", there)]:
        (tmp_path / "cpu.max").write_text(text)
        assert usable_cores(tmp_path / "cpu.max") == cores
    assert workers_asked_for({}) is None
    assert workers_asked_for({"API_WORKERS": " 7 "}) == 7


def test_a_run_folder_that_others_can_enter_is_refused(tmp_path):
    run_dir = tmp_path / "run"
    run_dir.mkdir(mode=0o755)
    with pytest.raises(SettingsError, match=r"open to other users \(mode 0755\)"):
        checks.make_folders(run_dir, tmp_path / "logs")
    run_dir.chmod(0o700)
    checks.make_folders(run_dir, tmp_path / "logs")
    link = tmp_path / "link"
    link.symlink_to(run_dir)
    with pytest.raises(SettingsError, match="is no folder"):
        checks.make_folders(link, tmp_path / "logs")


def test_a_port_that_somebody_else_has_is_refused(place):
    with socket.create_server(("127.0.0.1", place.port)):
        environment = {"STELLARSTREAM_RUN_DIR": str(place.run_dir), "STELLARSTREAM_API_HOST": "127.0.0.1"}
        environment |= {"STELLARSTREAM_API_PORT": str(place.port), "STELLARSTREAM_API_FAMILY": "AF_INET"}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(starting, "ORPHAN_SECONDS", 0.2)
            with pytest.raises(UsageError, match=f"Somebody else listens on 127.0.0.1 port {place.port}"):
                starting.clear_the_way(environment)


def test_a_database_that_lacks_migrations_is_left_alone(place):
    settings = {f"STELLARSTREAM_{name}": value for name, value in place.settings.items() if name != "PYTHON"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.home)
        for name, value in settings.items():
            patch.setenv(name, value)
        with closing(Runtime(built_in_only=True).open_storage(create=True)) as storage:
            storage.bind_network(NETWORKS["sandbox"].passphrase)  # it is in use
    with closing(sqlite3.connect(place.home / "stellarstream.db")) as database, database:
        database.execute("DELETE FROM sql_migrations WHERE name = (SELECT max(name) FROM sql_migrations)")
    up = place.stellarstream("up")
    assert up.returncode == 2
    assert "stellarstream migrate" in up.stderr
    assert supervisor_pid(place.run_dir) is None


def test_without_the_extra_it_says_what_to_install(invoke, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "circus", None)
    outcome = invoke("up")
    assert (outcome.code, "pip install 'stellarstream[cluster]'" in outcome.err) == (2, True)
    assert CircusMissingError.exit_code == 2


def test_help_needs_neither_circus_nor_psutil():
    code = (
        "import sys; sys.modules['circus'] = sys.modules['psutil'] = sys.modules['zmq'] = None; "
        "from stellarstream_core.cli import main; main()"
    )
    for command in ([], ["up"], ["down"], ["cluster"], ["cluster", "status"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stderr
        assert "Usage:" in done.stdout


# --- the environment ------------------------------------------------------------------------------


def test_variables_are_read_alike_by_a_shell(tmp_path):
    values = {"STELLARSTREAM_HOME": "/a b/$c'd", "API_WORKERS": "2"}
    script = f'{as_lines(values)}\nprintf "%s|%s" "$STELLARSTREAM_HOME" "$API_WORKERS"'
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == "/a b/$c'd|2"


def test_logs_are_read_from_where_up_has_them_written_though_nobody_set_a_folder(invoke, tmp_path):  # noqa: F811
    outcome = invoke("logs")
    assert (outcome.code, "'log_dir' is not set" in outcome.err) == (2, True)
    logs = Path(cluster_environment(load_settings(environ={}), tmp_path)["STELLARSTREAM_LOG_DIR"])
    logs.mkdir()
    (logs / "other.log").write_text("2026-01-31T13:05:09.801255Z INFO    other[1] not of ours\n")
    assert invoke("logs").code == 2
    (logs / "api.log").write_text("2026-01-31T13:05:09.801255Z INFO    api[1] serving\n")
    outcome = invoke("logs", "api")
    assert (outcome.code, outcome.out) == (0, "2026-01-31T13:05:09.801255Z INFO    api[1] serving\n")


def test_the_working_folder_keeps_the_name_it_is_called_by(tmp_path, monkeypatch):
    (tmp_path / "release-1").mkdir()
    (tmp_path / "current").symlink_to(tmp_path / "release-1")
    monkeypatch.chdir(tmp_path / "current")
    assert home_folder({"PWD": str(tmp_path / "current")}) == tmp_path / "current"
    assert home_folder({"PWD": "/"}) == tmp_path / "release-1"
    assert home_folder({"STELLARSTREAM_HOME": "/srv/x", "PWD": str(tmp_path)}).as_posix() == "/srv/x"


def test_who_does_not_run_is_not_waited_for(tmp_path):
    began = time.monotonic()
    with pytest.raises(NotRunningError, match=re.escape(str(tmp_path))):
        Control(tmp_path).call("status")
    assert time.monotonic() - began < 1


# --- what does not answer ---------------------------------------------------------------------------


def test_down_waits_for_a_circusd_that_is_busy(place):
    assert place.stellarstream("up", "--workers", "1").returncode == 0
    supervisor = psutil.Process(supervisor_pid(place.run_dir))
    supervisor.suspend()
    later = threading.Timer(TIMEOUT_SECONDS + 2, supervisor.resume)
    later.start()
    try:
        down = place.stellarstream("down")
    finally:
        later.join()
    assert (down.returncode, down.stdout) == (0, "Ended.\n"), down.stderr
    assert not place.running()


def test_a_circusd_that_takes_no_command_is_ended_by_a_signal(place, monkeypatch):
    assert place.stellarstream("up", "--workers", "1").returncode == 0
    processes = processes_of(supervisor_pid(place.run_dir))

    def refuses(self, command, **_):
        raise ClusterError(f"circusd does not answer '{command}': Timed out.")

    monkeypatch.setattr(Control, "call", refuses)
    assert ending.end_whatever(place.control)
    assert living(processes) == []
    assert not place.running()
    with pytest.raises(ClusterError, match="Timed out"):
        ending.end_whatever(place.control)  # nobody is there to be told


def test_alerts_cannot_be_posted_to_a_file(place):
    up = place.stellarstream("up", ALERT_WEBHOOK="file:///etc/hostname-of-mine")
    assert up.returncode == 2
    assert "alert_webhook: it is no http or https address" in up.stderr
    assert "hostname-of-mine" not in up.stderr
    assert not place.running()


def test_the_slot_for_more_is_not_said_to_be_started_without_a_command(place):
    place.start()
    for command in ("start", "restart"):
        refused = place.stellarstream("cluster", "ctl", command, "worker")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "The slot 'worker' has no command: STELLARSTREAM_WORKER was not set" in refused.stderr
    assert place.stellarstream("cluster", "ctl", "start", "indexer").returncode == 0


def test_a_stopped_process_that_outlives_its_supervisor_is_named_to_whoever_starts_it_again(place, monkeypatch):
    place.start()
    stopped = min(place.ready_pids("api"))
    psutil.Process(stopped).suspend()
    place.process.kill()
    place.process.wait()
    until(lambda: {one.pid for one in read_presences(place.run_dir)} == {stopped})
    monkeypatch.setattr(starting, "ORPHAN_SECONDS", 0.1)
    with pytest.raises(UsageError, match=f"still there: {stopped}") as refused:
        starting.clear_the_way(place.environment)
    assert "kill -9 where that does nothing" in refused.value.help
    psutil.Process(stopped).kill()
    starting.clear_the_way(place.environment)
