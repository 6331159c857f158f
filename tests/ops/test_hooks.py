"""What circusd asks at the turns of a process's life: who was told to end has not crashed."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from tests.ops.kit import Cluster, cluster, until

WORKERS = 6


@pytest.fixture
def service() -> Iterator[Cluster]:
    with cluster(stand_in=True, workers=WORKERS, HEALTH_SECONDS="0.5") as made:
        yield made


def all_new(service: Cluster, before: set[int]) -> set[int]:
    return until(lambda: len(found := service.ready_pids("api")) == WORKERS and not found & before and found)


def test_workers_that_are_ended_one_after_the_other_have_not_crashed(service):
    """Six that end within a minute would be a crash loop otherwise, and be held back."""
    before = service.ready_pids("api")
    service.ctl("reload", "api", "--sequential", "--waiting")
    now = all_new(service, before)
    for pid in sorted(now):
        service.ctl("kill", "api", str(pid))
    now = all_new(service, now)
    service.ctl("signal", "api", str(min(now)), "SIGTERM")
    until(lambda: min(now) not in service.ready_pids("api") and len(service.ready_pids("api")) == WORKERS)
    psutil.Process(max(now)).kill()
    (alert,) = until(lambda: service.alerts("crash"))  # events come in their order
    assert f"process {max(now)} ended by itself: signal 9" in alert.text
    assert service.health.watchers["api"].restarts == 1
    assert not service.alerts("crash-loop")


def test_one_that_was_told_to_go_on_and_then_ends_has_crashed(service):
    pid = min(service.ready_pids("api"))
    service.ctl("signal", "api", str(pid), "SIGCONT")
    psutil.Process(pid).terminate()
    (alert,) = until(lambda: service.alerts("crash"))
    assert f"process {pid} ended by itself" in alert.text
