"""Installations on one machine do not meet, and another user gets at none of them."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.ops.kit import Cluster, cluster, until
from tests.paths import ROOT


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[Cluster, Cluster]]:
    with ExitStack() as stack:
        yield (
            stack.enter_context(cluster(stand_in=True, workers=2)),
            stack.enter_context(cluster(stand_in=True, workers=1)),
        )


def refusals(ways: list[Callable[[], object]]) -> list[str]:
    """Return what becomes of each way when nobody goes it: the user who owns nothing. Needs root."""
    nobody = pwd.getpwnam("nobody")
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            for way in ways:
                try:
                    way()
                    told = "open"
                except OSError as error:
                    told = type(error).__name__
                os.write(write, f"{told}\n".encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answers:
        found = answers.read().split()
    os.waitpid(child, 0)
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
def test_another_user_can_neither_steer_it_nor_read_its_secrets(two):
    service, _ = two
    until(lambda: service.health)
    pids = [service.process.pid, *service.pids("api"), *service.pids("indexer")]

    def connect(name: str) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(service.run_dir / name))

    ways = [
        lambda: connect("control.sock"),
        lambda: connect("events.sock"),
        lambda: list(service.run_dir.iterdir()),
        lambda: list(service.log_dir.iterdir()),
        (service.run_dir / "health.json").read_bytes,
        *[lambda pid=pid: Path(f"/proc/{pid}/environ").read_bytes() for pid in pids],
        *[lambda pid=pid: os.kill(pid, signal.SIGTERM) for pid in pids],
    ]
    assert refusals(ways) == ["PermissionError"] * len(ways)
    # not by the folder's mode alone: what lies in it is closed, too
    service.home.chmod(0o755)
    service.run_dir.chmod(0o755)
    try:
        assert refusals(ways[:2] + ways[4:5]) == ["PermissionError"] * 3
    finally:
        service.run_dir.chmod(0o700)
        service.home.chmod(0o700)
    # and yet anybody may ask the API
    assert refusals([lambda: socket.socket().connect(("127.0.0.1", service.port))]) == ["open"]
    assert service.ready_pids("api") == service.pids("api")


def test_two_installations_know_nothing_of_each_other(two):
    one, other = two
    theirs = other.pids("api"), other.pids("indexer"), other.pids("plugin:health")
    before = one.pids("api")
    assert not before & theirs[0]
    one.ctl("reload", "--waiting")
    until(lambda: len(one.ready_pids("api")) == 2 and not one.ready_pids("api") & before)
    one.ctl("stop")
    until(lambda: not one.pids("api"))
    assert (other.pids("api"), other.pids("indexer"), other.pids("plugin:health")) == theirs
    assert int(other.ask()) in theirs[0]
    one.ctl("start")
    until(lambda: len(one.ready_pids("api")) == 2)


def test_a_second_circusd_for_the_same_folder_ends_and_takes_nothing_from_the_first(two):
    service, _ = two
    second = subprocess.run(
        [sys.executable, "-m", "circus.circusd", str(ROOT / "circus.ini")],
        env=service.environment,
        cwd=service.home,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert second.returncode == 1
    assert "circusd.pid' is stale" in second.stdout
    pids = service.pids("api")
    psutil.Process(min(pids)).kill()
    until(lambda: len(service.ready_pids("api")) == 2)
    until(lambda: service.alerts("crash"))  # the monitor still hears of it


def test_the_slot_for_more_runs_what_it_is_told_to_and_only_then():
    with cluster(stand_in=True, workers=1, WORKER="sync --from 5 --to 9") as service:
        assert service.ctl("status", "worker") == "stopped"
        service.ctl("set", "worker", "numprocesses", "2")
        service.ctl("start", "worker")
        until(lambda: len(service.ready_pids("worker")) == 2)
        (process, _) = [psutil.Process(pid) for pid in service.pids("worker")]
        assert process.cmdline()[-5:] == ["sync", "--from", "5", "--to", "9"]
        for pid in service.pids("worker"):
            os.kill(pid, signal.SIGTERM)
        until(lambda: service.ctl("status", "worker") == "stopped")  # it has done what it was to do
        service.ctl("reload", "--waiting")
        until(lambda: len(service.ready_pids("api")) == 1)
        assert service.ctl("status", "worker") == "stopped"
        assert not service.alerts("stopped")
