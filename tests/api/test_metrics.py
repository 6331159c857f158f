"""Metrics: what a scrape hears is right, of one worker and of several, living and dead."""

from __future__ import annotations

import errno
import json
import os
import re
import struct
import subprocess
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loguru import logger
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from stellarstream_core.api import metrics_folder
from stellarstream_core.api.metrics import Facts, Metrics
from stellarstream_core.api.metrics_folder import PAST_FILE, ROOM, MetricsFolder
from stellarstream_core.errors import StorageError
from tests import commands
from tests.paths import ROOT

REQUESTS = "stellarstream_http_requests_total"
SECONDS = "stellarstream_http_request_seconds"


def samples(text: bytes | str) -> dict[tuple, float]:
    """Return all samples by name and labels; fails where the text does not parse or says a thing twice."""
    found: dict[tuple, float] = {}
    for family in parse_text(text if isinstance(text, str) else text.decode()):
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def value(text: bytes | str, name: str) -> float:
    """Return the sum of a name's samples."""
    return sum(number for (found, *_), number in samples(text).items() if found == name)


@pytest.fixture
def warnings():
    seen: list[str] = []
    sink = logger.add(lambda message: seen.append(message.record["message"]), level="WARNING")
    yield seen
    logger.remove(sink)


# --- one worker -------------------------------------------------------------------------------------

FACTS = Facts(
    watermark=90,
    tip=100,
    lag_seconds=51.5,
    events=1234,
    conflicts=1,
    position=77,
    gaps=2,
    sources={"soroban-rpc": True, "horizon": False},
)


@pytest.fixture
def filled() -> Metrics:
    metrics = Metrics.open(None)
    for status, seconds in ((200, 0.004), (200, 0.3), (404, 20.0)):
        metrics.request_started()
        metrics.request_ended("GET", "/api/v1/events/{id}", status, seconds)
    metrics.request_started()
    metrics.rate_limited()
    metrics.reader_opened()
    metrics.reader_opened()
    metrics.reader_closed()
    metrics.reader_dropped("slow")
    metrics.events_pushed(5)
    metrics.database_waited()
    metrics.database_rejected()
    metrics.plugin_failed("shoe-shop")
    metrics.set_broken_plugins(1)
    return metrics


def test_everything_that_is_counted_is_told(filled):
    text, content_type = filled.render(facts=FACTS)
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(text)
    route = ("route", "/api/v1/events/{id}")
    assert found[REQUESTS, ("method", "GET"), route, ("status", "200")] == 2
    assert found[REQUESTS, ("method", "GET"), route, ("status", "404")] == 1
    assert found[f"{SECONDS}_count", route] == 3
    assert found[f"{SECONDS}_sum", route] == pytest.approx(20.304)
    assert found[f"{SECONDS}_bucket", ("le", "0.005"), route] == 1
    assert found[f"{SECONDS}_bucket", ("le", "10.0"), route] == 2
    assert found["stellarstream_live_readers_dropped_total", ("reason", "slow")] == 1
    assert found["stellarstream_plugin_errors_total", ("plugin", "shoe-shop")] == 1
    assert found["stellarstream_source_up", ("source", "horizon")] == 0
    plain = {name.removeprefix("stellarstream_"): number for (name, *labels), number in found.items() if not labels}
    assert plain == {
        "http_requests_in_flight": 1,
        "http_requests_limited_total": 1,
        "live_readers": 1,
        "live_events_pushed_total": 5,
        "database_waits_total": 1,
        "database_rejections_total": 1,
        "plugins_broken": 1,
        "database_up": 1,
        "watermark_ledger": 90,
        "tip_ledger": 100,
        "lag_ledgers": 10,
        "lag_seconds": 51.5,
        "events_stored_total": 1234,
        "event_conflicts": 1,
        "commit_position": 77,
        "gaps": 2,
    }


def test_names_follow_the_conventions(filled):
    for family in parse_text(filled.render(facts=FACTS)[0].decode()):
        assert re.fullmatch(r"stellarstream_[a-z]+(_[a-z]+)*", family.name)
        assert family.documentation.endswith((".", "1."))
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total"), sample.name
            assert "_created" not in sample.name
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


def test_open_metrics_is_told_to_whoever_asks_for_it(filled):
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
    text, content_type = filled.render(accept, FACTS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in parse_open_metrics(text.decode())}
    assert families["stellarstream_http_requests"].type == "counter"
    assert len(families) == len(list(parse_text(filled.render(None, FACTS)[0].decode())))


@settings(deadline=None)
@given(st.text())
def test_no_accept_header_makes_it_fail(accept):
    assert samples(Metrics.open(None).render(accept)[0])


def test_what_is_not_known_is_left_out():
    found = {name for name, *_ in samples(Metrics.open(None).render(facts=Facts(watermark=5))[0])}
    assert "stellarstream_watermark_ledger" in found
    assert not found & {"stellarstream_tip_ledger", "stellarstream_lag_ledgers", "stellarstream_source_up"}


def test_a_tip_behind_the_watermark_is_no_lag():
    assert Facts(watermark=10, tip=8).lag_ledgers == 0


@pytest.mark.parametrize("error", [StorageError("It is gone."), RuntimeError("password=secret")])
def test_a_database_that_does_not_answer_is_told_and_the_rest_too(filled, warnings, error):
    def facts() -> Facts:
        raise error

    text = filled.render("", facts)[0]
    assert value(text, "stellarstream_database_up") == 0
    assert value(text, REQUESTS) == 3
    assert len(warnings) == 1
    assert "secret" not in warnings[0]


def test_methods_that_clients_invent_are_counted_as_one():
    metrics = Metrics.open(None)
    for number in range(50):
        metrics.request_started()
        metrics.request_ended(f"METHOD{number}", "(none)", 405, 0.001)
    counted = [key for key in samples(metrics.render()[0]) if key[0] == REQUESTS]
    assert counted == [(REQUESTS, ("method", "other"), ("route", "(none)"), ("status", "405"))]
    assert len(metrics._request_children) == 0, "and they are not remembered"


def test_each_worker_of_one_process_counts_for_itself():
    first, second = Metrics.open(None), Metrics.open(None)
    first.rate_limited()
    assert value(first.render()[0], "stellarstream_http_requests_limited_total") == 1
    assert value(second.render()[0], "stellarstream_http_requests_limited_total") == 0


# --- several workers --------------------------------------------------------------------------------


class Worker:
    """A process that counts."""

    def __init__(self, folder: Path) -> None:
        pipe = subprocess.PIPE
        worker = ("tests.api.metrics_worker", str(folder))
        self.process = commands.module(*worker, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)

    def started(self) -> Worker:
        assert self.process.stdout.readline() == "shared\n"
        return self

    def do(self, command: str) -> str:
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def render(self) -> str:
        return json.loads(self.do("render"))

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(tmp_path):
    """Return a function that starts workers on one folder; what is left of them is killed."""
    workers: list[Worker] = []

    def start(count: int = 1) -> list[Worker]:
        new = [Worker(tmp_path / "metrics") for _ in range(count)]
        workers.extend(new)
        return [worker.started() for worker in new]

    yield start
    for worker in workers:
        worker.kill()


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "metrics").iterdir())


def test_any_worker_tells_of_all_and_the_dead_stay_counted(start, tmp_path):
    first, second, third = start(3)
    for worker, count in ((first, 10), (second, 200), (third, 3000)):
        worker.do(f"requests {count}")
        worker.do(f"open {count}")
        worker.do(f"broken {count % 7}")
    for worker in (first, second, third):
        text = worker.render()
        assert value(text, REQUESTS) == 3210
        assert value(text, f"{SECONDS}_count") == 3210
        assert value(text, f"{SECONDS}_sum") == pytest.approx(3210 * 0.25)
        assert value(text, "stellarstream_live_readers") == 3210
        assert value(text, "stellarstream_plugins_broken") == 4
    second.kill()
    for _ in range(2):
        text = first.render()
        assert value(text, REQUESTS) == 3210
        assert value(text, f"{SECONDS}_count") == 3210
        assert value(text, "stellarstream_live_readers") == 3010, "a dead worker has no open streams"
    assert third.do("leave") == "done"
    assert value(first.render(), REQUESTS) == 3210
    assert value(first.render(), "stellarstream_live_readers") == 10
    first.do("requests 1")
    assert value(first.render(), REQUESTS) == 3211


def test_the_folder_does_not_grow_with_restarts_and_the_sums_stay(start, tmp_path):
    for round_ in range(1, 4):
        for worker in start(2):
            worker.do("requests 5")
            worker.kill()
        with closing(MetricsFolder.open(tmp_path / "metrics")) as folder:
            names = file_names(tmp_path)
            assert sum(name.endswith(".alive") for name in names) == 1
            assert len(names) == 1 + len(ROOM) + 4, names  # its own, two of the past, past.json and the lock
            with folder.files() as files:
                assert counted(files) == 10 * round_


def test_a_worker_killed_in_the_middle_of_counting_harms_nobody(start, tmp_path):
    (reader,) = start()
    for round_ in range(3):
        (writer,) = start()
        assert writer.do("flood") == "flooding"
        while "route/" not in reader.render():
            pass
        time.sleep(0.02 * round_)
        writer.kill()
    text = reader.render()
    assert value(text, REQUESTS) > 0
    # each was killed after one of the two steps in which an answer is counted
    assert abs(value(text, REQUESTS) - value(text, f"{SECONDS}_count")) <= 3
    assert samples(reader.render()) == samples(text)


def counted(files) -> float:
    sums = metrics_folder._added_up([file for file in files if file.name.startswith("counter")])
    return sum(number for key, number in sums.items() if REQUESTS in key)


@pytest.fixture
def left_behind(tmp_path):
    """A folder in which two workers counted 7 and 8 requests, and ended."""
    path = tmp_path / "metrics"
    with ExitStack() as stack:
        for count in (7, 8):
            metrics = stack.enter_context(closing(Metrics.open(path)))
            assert metrics.shared
            for _ in range(count):
                metrics.request_started()
                metrics.request_ended("GET", "/x", 200, 0.1)
    return path


STEPS = ("unlink", "replace", "write_text")


class Killed(BaseException):
    """Stands for the end of the process at this point."""


@pytest.mark.parametrize("step", range(24))
def test_a_kill_at_any_step_of_putting_away_loses_nothing_and_counts_nothing_twice(left_behind, monkeypatch, step):
    taken = 0

    def count_step() -> None:
        nonlocal taken
        taken += 1
        if taken > step:
            raise Killed

    with monkeypatch.context() as patched:
        for name in STEPS:
            original = getattr(Path, name)

            def wrapped(self, *arguments, _original=original, **named):
                count_step()
                return _original(self, *arguments, **named)

            patched.setattr(Path, name, wrapped)
        made = metrics_folder._make_file

        def make_file(*arguments):
            made(*arguments)
            count_step()

        patched.setattr(metrics_folder, "_make_file", make_file)
        with suppress(Killed):  # there are fewer steps than numbers
            MetricsFolder.open(left_behind)
    with closing(MetricsFolder.open(left_behind)) as folder:
        for _ in range(2):
            with folder.files() as files:
                assert counted(files) == 15
        assert len(list(left_behind.glob("*past*"))) == 3


def test_without_room_to_put_them_away_they_are_read_where_they_are(left_behind, monkeypatch, warnings):
    folder = MetricsFolder.open(left_behind)
    with closing(Metrics.open(left_behind)) as metrics:
        metrics.request_ended("GET", "/x", 200, 0.1)

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(metrics_folder, "_make_file", full)
    with folder.files() as files:
        assert counted(files) == 16
    assert "cannot be put away: No space left" in warnings[0]
    monkeypatch.undo()
    with closing(folder), folder.files() as files:
        assert counted(files) == 16
    assert len(warnings) == 1


def test_a_full_disk_at_the_start_makes_the_worker_count_for_itself(tmp_path, monkeypatch, warnings):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(metrics_folder, "_make_file", full)
    with closing(Metrics.open(tmp_path / "metrics")) as metrics:
        assert not metrics.shared
        metrics.rate_limited()
        assert value(metrics.render()[0], "stellarstream_http_requests_limited_total") == 1
    assert "metrics cannot be shared" in warnings[0]


DAMAGED = {
    "of no bytes": b"",
    "shorter than it says": struct.pack("=iiii", 4000, 0, 100, 0),
    "a key longer than the file": struct.pack("=iiii", 64, 0, 60000, 0).ljust(64, b"x"),
    "a key that is no text": struct.pack("=iii", 48, 0, 12) + b"\xff" * 36,
    "a key that is no key": struct.pack("=iii", 40, 0, 4) + b"true".ljust(28, b"\0"),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=list(DAMAGED))
def test_damaged_files_of_ended_workers_are_left_out(left_behind, warnings, content):
    for victim in left_behind.glob("counter_*.db"):
        victim.write_bytes(content)
        break
    with closing(Metrics.open(left_behind)) as metrics:
        assert value(metrics.render()[0], REQUESTS) in {7, 8}
        assert value(metrics.render()[0], f"{SECONDS}_count") == 15
    assert len(warnings) == bool(content)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"generation": "x", "absorbed": []}', b"\xff"])
def test_a_damaged_pointer_to_the_past_begins_a_new_one(left_behind, warnings, content):
    MetricsFolder.open(left_behind).close()
    (left_behind / PAST_FILE).write_bytes(content)
    with closing(Metrics.open(left_behind)) as metrics:
        assert value(metrics.render()[0], REQUESTS) == 0
        metrics.request_ended("GET", "/x", 200, 0.1)
        assert value(metrics.render()[0], REQUESTS) == 1
    assert "counters of workers that ended begin again" in warnings[0]


def test_the_files_have_their_room_written_out_before_they_are_used(tmp_path):
    with closing(Metrics.open(tmp_path / "metrics")) as metrics:
        metrics.request_started()
        metrics.request_ended("GET", "/x", 200, 0.1)
        worker = metrics._folder.worker
        sizes = {path.name: path.stat().st_size for path in (tmp_path / "metrics").glob("*.db")}
        assert sizes == {f"{kind}_{worker}.db": size for kind, size in ROOM.items()}
        assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "metrics").iterdir())


def test_closing_twice_is_safe_and_what_is_counted_later_is_no_error(tmp_path):
    metrics = Metrics.open(tmp_path / "metrics")
    metrics.close()
    metrics.close()
    metrics.rate_limited()
    assert not Metrics.open(None).shared
