"""How long rotated logs are kept: by the age of their last line, and only those that are this log's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stellarstream_core.ops.log_files import UPKEEP_SECONDS, SharedRotatingFile

DAY = 86_400
NOW = 1_700_000_000.0  # long ago: what the system dates by its own clock is not of a day before


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


@pytest.fixture
def make(folder, clock):
    opened = []

    def open_file(**more) -> SharedRotatingFile:
        file = SharedRotatingFile(folder / "api.log", **{"max_bytes": 100, "clock": clock, **more})
        opened.append(file)
        return file

    yield open_file
    for file in opened:
        file.stop()
        assert file.upkeep.wait(20)


def put(folder: Path, name: str, days_old: float) -> None:
    (folder / name).write_text("a line\n")
    os.utime(folder / name, (NOW - days_old * DAY, NOW - days_old * DAY))


def there(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_older_than_seven_days_is_gone_when_the_process_begins(folder, make):
    old = ["api__2027-01-01_00-00-00.log.gz", "api__2027-01-01_00-00-01.log", "api__2027-01-01_00-00-01.12.log.gz"]
    kept = ["api__2027-01-08_00-00-00.log.gz", "api__2027-01-08_00-00-00.1.log"]
    for name in old:
        put(folder, name, 7.1)
    for name in kept:
        put(folder, name, 6.9)
    file = make(compress=False)
    file.write("hello\n")
    assert file.upkeep.wait(20)
    assert there(folder) == {"api.log", *kept}


def test_nothing_but_its_own_files_is_touched(folder, make):
    foreign = [
        "indexer__2020-01-01_00-00-00.log.gz",
        "api-2__2020-01-01_00-00-00.log.gz",
        "api__notes.log",
        "api__2020-01-01.log",
        "api__2020-01-01_00-00-00.log.gz.bak",
        "api__2020-01-01_00-00-00.txt",
        "api__2020-01-01_00-00-00.0.log",
        "api__2020-01-01_00-00-00.01.log",
        "backup-api__2020-01-01_00-00-00.log",
        "api.log.1",
        "readme",
    ]
    for name in foreign:
        put(folder, name, 1_000)
    put(folder, "api.log", 1_000)
    (folder / "api__2020-01-01_00-00-00.log.d").mkdir()
    file = make(max_bytes=10)
    for _ in range(3):
        file.write("a line\n")
    assert file.upkeep.wait(20)
    assert {*foreign, "api__2020-01-01_00-00-00.log.d"} < there(folder)


def test_age_counts_from_the_last_line_not_from_when_it_was_packed(folder, make):
    put(folder, "api__2027-01-01_00-00-00.log", 6.9)
    file = make()
    file.upkeep.run()
    assert there(folder) == {"api__2027-01-01_00-00-00.log.gz"}
    file._clock.now = NOW + 0.2 * DAY
    file.upkeep.run()
    assert there(folder) == set()


def test_how_long_they_are_kept_can_be_set(folder, make):
    put(folder, "api__2027-01-01_00-00-00.log.gz", 20)
    make(keep_days=30).upkeep.run()
    assert len(there(folder)) == 1
    make(keep_days=0.5).upkeep.run()
    assert there(folder) == set()


def test_a_process_that_runs_on_deletes_with_each_rotation_and_each_hour(folder, make, clock):
    file = make(compress=False)
    file.write("first\n")
    assert file.upkeep.wait(20)
    put(folder, "api__2027-01-01_00-00-00.log.gz", 7.1)
    clock.now += UPKEEP_SECONDS - 1
    file.write("not yet\n")
    assert file.upkeep.wait(20)
    assert len(there(folder)) == 2
    clock.now += 1
    file.write("an hour later\n")
    assert file.upkeep.wait(20)
    assert there(folder) == {"api.log"}
    put(folder, "api__2027-01-01_00-00-00.log.gz", 7.1)
    file.write("x" * 90 + "\n")  # rotates
    assert file.upkeep.wait(20)
    assert "api__2027-01-01_00-00-00.log.gz" not in there(folder)
    assert len(there(folder)) == 2


def test_two_weeks_of_a_line_an_hour_leave_eight_days_of_files(folder, make, clock):
    file = make(max_bytes=10_000)
    clock.now = start = NOW // DAY * DAY + 1800
    for hour in range(14 * 24):
        clock.now = start + hour * 3600
        file.write(f"hour {hour}\n")
        os.utime(folder / "api.log", (clock.now, clock.now))  # the system dates files by its own clock
        assert file.upkeep.wait(20)
    rotated = file.names.rotated()
    assert len(rotated) == 7
    assert all((folder / one.packed).exists() for one in rotated)
    assert file.path.read_text().splitlines() == [f"hour {hour}" for hour in range(13 * 24, 14 * 24)]


def test_a_format_of_dates_that_was_given_up_still_counts_as_its_own(folder, make):
    put(folder, "api__2027-01-01_00-00-00.log.gz", 8)
    put(folder, "api__2027.01.01.log.gz", 8)
    make(date_format="YYYY.MM.DD").upkeep.run()
    assert there(folder) == set()


def test_what_cannot_be_deleted_is_told_once_and_tried_again(folder, make):
    told: list[str] = []
    file = make(tell=told.append)
    (folder / "api__2020-01-01_00-00-00.log").mkdir()
    os.utime(folder / "api__2020-01-01_00-00-00.log", (NOW - 30 * DAY, NOW - 30 * DAY))
    file.upkeep.run()
    file.upkeep.run()
    assert len(told) == 1
    assert "cannot be put away" in told[0]
    (folder / "api__2020-01-01_00-00-00.log").rmdir()
    file.upkeep.run()
    (folder / "api__2020-01-01_00-00-00.log").mkdir()
    os.utime(folder / "api__2020-01-01_00-00-00.log", (NOW - 30 * DAY, NOW - 30 * DAY))
    file.upkeep.run()
    assert len(told) == 2
