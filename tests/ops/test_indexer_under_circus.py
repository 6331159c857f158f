"""The indexer killed with -9 under the real circusd: nothing missing, nothing twice, and it soon goes on."""

from __future__ import annotations

import os
import random
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from stellarstream_core.ops.health_rules import LOOP_CRASHES, LOOP_SECONDS
from stellarstream_core.ops.process import has_worked
from stellarstream_core.storage import Storage
from tests.ops.indexer_kit import DEEP, LOOK_SECONDS, Deployment, Tap
from tests.ops.kit import Cluster, until

RESUME_SECONDS = 2.0
"""How long it may take from the kill to the next commit, without the time in which others had the processor."""
SETTINGS = ("NETWORK", "RPC_URL", "DATABASE_URL", "CONTRACTS", "START_LEDGER", "ALLOWED_PLUGINS")
MOMENTS = ("in its start", "in a window", "at rest", "just on again")
pytestmark = pytest.mark.timeout(5_400 if DEEP else 110)


class Killed:
    """An indexer that circusd starts again each time, and what is to be known of its ends."""

    def __init__(self, home: Deployment, service: Cluster, storage: Storage, tap: Tap) -> None:
        self.home, self.service, self.storage, self.tap = home, service, storage, tap
        self.kills = 0
        self._dead = 0
        self._recent: deque[float] = deque(maxlen=LOOP_CRASHES - 1)

    def reaches(self, ledger: int) -> None:
        until(lambda: self.home.watermark(self.storage) >= ledger, pause=LOOK_SECONDS)

    def there(self) -> int:
        """Return the process that is there, once one is there that was not killed."""
        return until(lambda: next(iter(self.service.pids("indexer") - {self._dead}), 0), pause=LOOK_SECONDS)

    def kill(self) -> float:
        """Kill it; return when that was."""
        self._dead = self.there()
        process = psutil.Process(self._dead)
        at = time.monotonic()
        process.kill()
        self.kills += 1
        return at

    def spread(self) -> None:
        """Wait where one more that ends without a commit would make a crash loop, which is held back."""
        if len(self._recent) == self._recent.maxlen:
            time.sleep(max(0.0, self._recent[0] + LOOP_SECONDS + 1.0 - time.monotonic()))

    def kill_until_held(self) -> None:
        """Kill it as soon as it is there, until circusd starts no other one for a while."""
        while self.service.control.wanted("indexer"):
            self.kill()
            until(lambda: not self.service.control.wanted("indexer") or self.service.pids("indexer") - {self._dead})

    def kill_at(self, moment: str, dice: random.Random) -> float:
        """Kill it at a moment of this kind; return when that was."""
        if moment == "in its start":
            self.spread()
            self.kill()
            self.there()
            time.sleep(dice.uniform(0.0, 0.8))
            self._recent.append(time.monotonic())
        elif moment == "in a window":
            asked = len(self.tap.asked)
            self.home.close_ledgers(dice.randint(1, 3))
            until(lambda: len(self.tap.asked) > asked, pause=0.002)
            time.sleep(dice.uniform(0.0, 0.1))
        elif moment == "at rest":
            self.reaches(self.home.close_ledgers(1))
            time.sleep(dice.uniform(0.0, 0.5))
        if moment != "in its start":  # it tells of its first commit a moment after it
            until(lambda: has_worked(self.service.run_dir, "indexer", self.there()), pause=0.002)
        return self.kill()


def waited_for_processor(*pids: int) -> float:
    """Return for how many seconds threads of these processes were ready to run and others had the processor."""
    waited = 0
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):
                waited += int(path.read_text().split()[1])
    return waited / 1e9


@contextmanager
def running(folder: Path, database_url: str | None = None) -> Iterator[Killed]:
    home = Deployment(folder, database_url=database_url)
    tap = home.tap()
    settings = {**home.settings, "RPC_URL": tap.url}
    service = Cluster(workers=1, **{name: settings[name] for name in SETTINGS if settings[name]})
    try:
        service.start()
        with home.opened() as storage:
            killed = Killed(home, service, storage, tap)
            killed.reaches(home.node.latest)
            yield killed
    finally:
        service.stop()
        home.stop()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_killed_at_any_moment_it_soon_goes_on_and_nothing_is_missing_and_nothing_twice(tmp_path, request, database):
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else None
    kills = (100 if database == "sqlite" else 20) if DEEP else 4
    dice = random.Random(2026)
    with running(tmp_path, url) as killed:
        service, api = killed.service, killed.service.pids("api")
        taken: list[float] = []
        undisturbed: list[float] = []
        while killed.kills < kills:
            moment = MOMENTS[len(taken) % len(MOMENTS)] if kills - killed.kills > 1 else "in a window"
            began = killed.kill_at(moment, dice)
            before = waited_for_processor(os.getpid(), service.process.pid)
            killed.reaches(killed.home.close_ledgers(1))
            taken.append(time.monotonic() - began)
            waited = waited_for_processor(os.getpid(), service.process.pid, killed.there()) - before
            undisturbed.append(taken[-1] - waited)
            print(f"{moment}: on after {taken[-1]:.2f} s, of these {waited:.2f} s without the processor")
        for name, seconds in (("on the clock", taken), ("undisturbed", undisturbed)):
            median = sorted(seconds)[len(seconds) // 2]
            print(f"FIGURES {database}, {kills} kills, {name}: {median:.2f} s, at most {max(seconds):.2f} s")
        print(f"FIGURES load average: {os.getloadavg()[0]:.1f}")
        assert max(undisturbed) < RESUME_SECONDS
        killed.home.whole(killed.storage)
        # none of it was taken for a crash loop, and nobody else was touched
        assert "crashes again and again" not in service.said
        assert service.pids("api") == api
        assert until(lambda: service.alerts("crash"))[-1].text.endswith("signal 9")


def test_one_that_commits_before_each_end_is_never_held_back(tmp_path):
    with running(tmp_path) as killed:
        for _ in range(LOOP_CRASHES + 1):
            killed.reaches(killed.home.close_ledgers(1))
            killed.kill_at("just on again", random.Random())
        killed.reaches(killed.home.close_ledgers(1))
        assert killed.service.health.watchers["indexer"].backoff_until is None
        assert not killed.service.alerts("crash-loop")
        killed.home.whole(killed.storage)


def test_killed_so_often_that_it_is_held_back_nothing_is_missing_and_a_restart_starts_it_at_once(tmp_path):
    with running(tmp_path) as killed:
        home, service, api = killed.home, killed.service, killed.service.pids("api")
        killed.kill_until_held()
        assert (before := killed.kills) >= LOOP_CRASHES
        assert until(lambda: service.alerts("crash-loop"))[-1].watcher == "indexer"
        killed.reaches(home.close_ledgers(3))  # held for two seconds, it goes on by itself
        killed.kill_until_held()
        assert killed.kills < before + LOOP_CRASHES, "a crash so soon after that goes on with the loop"
        held = until(lambda: (then := service.health.watchers["indexer"].backoff_until or 0.0) > time.time() and then)
        service.control.call("restart", name="indexer", waiting=True)
        assert psutil.Process(killed.there()).create_time() < held
        killed.reaches(home.close_ledgers(1))
        home.whole(killed.storage)
        assert service.pids("api") == api
