"""What systemd is told: on a real socket, and by a real circusd."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from stellarstream_core.ops.service_manager import ALIVE, READY, tell_service_manager, watchdog_seconds
from tests.ops.kit import Cluster


@pytest.fixture
def manager(tmp_path) -> Iterator[socket.socket]:
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(20)
        yield sock


def until_silent(manager: socket.socket) -> Iterator[str]:
    with suppress(TimeoutError):
        for _ in range(20):
            yield manager.recv(100).decode()
        raise AssertionError("it goes on telling")


def test_a_state_arrives_as_one_datagram(manager):
    tell_service_manager(READY, {"NOTIFY_SOCKET": manager.getsockname()})
    assert manager.recv(100) == b"READY=1"
    tell_service_manager(ALIVE, {"NOTIFY_SOCKET": manager.getsockname()})
    assert manager.recv(100) == b"WATCHDOG=1"


def test_a_socket_may_have_no_place_in_the_file_system():
    name = f"stellarstream-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        sock.settimeout(5)
        tell_service_manager(READY, {"NOTIFY_SOCKET": f"@{name}"})
        assert sock.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all", "@stellarstream-nobody-listens", "vsock:2:1"])
def test_who_is_not_there_is_told_nothing(address):
    tell_service_manager(READY, {"NOTIFY_SOCKET": address})
    tell_service_manager(READY, {})


def test_a_manager_that_does_not_listen_holds_nobody_up(manager):
    manager.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    began = time.monotonic()
    for _ in range(4):
        tell_service_manager("X" * 2000, {"NOTIFY_SOCKET": manager.getsockname()})
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [("120000000", 120.0), ("1500000", 1.5), ("0", None), ("", None), ("soon", None), ("-5", None)],
)
def test_how_often_it_wants_to_hear(asked, seconds):
    # circusd is the main process, and the health monitor tells: WATCHDOG_PID, which names circusd, counts for nothing
    told = {"WATCHDOG_USEC": asked, "WATCHDOG_PID": "1", "NOTIFY_SOCKET": "/run/systemd/notify"}
    assert watchdog_seconds(told) == seconds
    assert watchdog_seconds({"WATCHDOG_USEC": asked}) is None


def test_it_hears_that_all_is_there_and_then_that_circusd_answers_until_it_does_not(manager):
    service = Cluster(stand_in=True, workers=2, HEALTH_SECONDS="0.5")
    service.environment |= {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}
    try:
        service.start(ready=False)
        told = [manager.recv(100).decode() for _ in range(6)]
        assert READY in told
        assert len(service.pids("api")) == 2
        assert set(told) == {READY, ALIVE}
        assert told.count(READY) == 1

        os.kill(service.process.pid, signal.SIGSTOP)
        manager.settimeout(3)  # twice as long as it wants to wait
        assert set(until_silent(manager)) <= {ALIVE}

        os.kill(service.process.pid, signal.SIGCONT)
        manager.settimeout(20)
        assert manager.recv(100).decode() == ALIVE
    finally:
        if service.process is not None:
            os.kill(service.process.pid, signal.SIGCONT)
        service.stop()
