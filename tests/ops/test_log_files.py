"""Several processes write one log: nothing is lost, torn or doubled, whatever is rotated, packed or killed."""

from __future__ import annotations

import gzip
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from calendar import timegm
from contextlib import suppress
from pathlib import Path

import pytest

from stellarstream_core.ops.log_files import SharedRotatingFile, file_time
from stellarstream_core.ops.log_names import LogNames
from stellarstream_core.ops.log_upkeep import LogUpkeep
from tests.ops.log_kit import check_all, file_of, until, writers, written
from tests.paths import ROOT

DEEP = os.environ.get("STELLARSTREAM_DEEP") == "1"
NOON = timegm((2026, 1, 31, 12, 0, 0))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "logs"


@pytest.fixture
def make(folder):
    """Return a function that opens the log ``api``, with what it says kept in ``told``."""
    opened = []

    def open_file(max_bytes: int = 100, **more) -> SharedRotatingFile:
        told: list[str] = []
        file = SharedRotatingFile(folder / "api.log", max_bytes, tell=told.append, **more)
        file.told = told
        opened.append(file)
        return file

    yield open_file
    for file in opened:
        file.stop()
        assert file.upkeep.wait(30)


# --- many processes -------------------------------------------------------------------------------


@pytest.mark.timeout(1200 if DEEP else 110)
def test_four_processes_lose_tear_and_double_nothing_across_rotations_and_kills(tmp_path):
    lines, max_bytes, kills = (1_000_000, 5_000_000, 100) if DEEP else (60_000, 400_000, 6)
    chance = random.Random(7)
    began = time.monotonic()
    with writers(tmp_path, max_bytes) as started:
        for _ in range(4):
            started.start(lines // 4)
        for kill in range(kills):
            due = lines * (kill + 1) // (kills + 2)
            until(lambda due=due: sum(map(started.told, started.lines)) >= due, 900)
            alive = [name for name, process in started.running.items() if process.poll() is None]
            writing = [name for name in alive if started.told(name)]
            if writing:
                started.kill(chance.choice(writing))
        started.wait(900)
        took = time.monotonic() - began
        file_of(tmp_path, max_bytes).upkeep.run()  # what the killed ones left half-way
        figures = check_all(started, max_bytes)
    print(f"\n{figures} in {took:.1f} s")
    assert figures["lines"] >= lines
    assert figures["files"] >= 10
    assert figures["kills"] >= kills // 2
    for path in (tmp_path / "logs").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.name == "api.log" or path.name.endswith(".log.gz")
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700


@pytest.mark.timeout(600 if DEEP else 110)
def test_a_line_that_its_writer_is_killed_in_is_cut_off(tmp_path):
    # lines of many pages: the system stops in the middle of one for a kill
    max_bytes, lines, kills = 2_000_000, (2_000 if DEEP else 200), (60 if DEEP else 4)
    with writers(tmp_path, max_bytes, pad=80_000) as started:
        for _ in range(2):
            started.start(lines)

        def writing(name: str) -> bool:
            return 0 < started.told(name) < started.lines[name]

        for _ in range(kills):
            until(lambda: any(map(writing, started.running)))
            started.kill(next(filter(writing, started.running)))
        started.wait(100)
        figures = check_all(started, max_bytes)
    print(f"\n{figures}")
    assert figures["kills"] == kills


def test_a_forked_process_does_not_share_its_parents_lock(tmp_path):
    script = """
import os, sys
from pathlib import Path
from tests.ops.log_kit import file_of
file = file_of(Path(sys.argv[1]), 100_000, compress=False)
file.write(b"parent 0\\n")
names = ["parent", "a", "b"]
children = []
for name in names[1:]:
    if (pid := os.fork()) == 0:
        break
    children.append(pid)
else:
    name = "parent"
for number in range(1, 4000):
    file.write(f"{name} {number}\\n".encode())
if name == "parent":
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
else:
    os._exit(0)
"""
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, start_new_session=True)
    try:
        assert process.wait(60) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    lines = b"".join(content for _, content in written(tmp_path)).decode().splitlines()
    for name in ("parent", "a", "b"):
        numbers = [int(line.split()[1]) for line in lines if line.split()[0] == name]
        assert numbers == list(range(0 if name == "parent" else 1, 4000))
    assert all(len(content) <= 100_000 for _, content in written(tmp_path))


def test_threads_of_one_process_write_whole_lines(tmp_path):
    file = file_of(tmp_path, 20_000)
    count = 500

    def write(name: str) -> None:
        for number in range(count):
            file.write(f"{name} {number}\n")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.upkeep.wait(20)
    lines = b"".join(content for _, content in written(tmp_path)).decode().splitlines()
    for name in "abcd":
        assert [line for line in lines if line[0] == name] == [f"{name} {number}" for number in range(count)]
    file.stop()


# --- rotation -------------------------------------------------------------------------------------


def test_a_file_is_never_larger_than_the_limit_and_as_large_as_it_may_be(make, folder):
    file = make(100, compress=False, clock=lambda: NOON)
    for number in range(30):
        file.write(f"{number:09d}\n")
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert sizes == {"api__2026-01-31_12-00-00.log": 100, "api__2026-01-31_12-00-00.1.log": 100, "api.log": 100}


def test_a_line_longer_than_the_limit_has_a_file_of_its_own_and_stays_whole(make, folder):
    file = make(10, compress=False, clock=lambda: NOON)
    for line in ("short\n", "x" * 50 + "\n", "after\n"):
        file.write(line)
    assert [content for _, content in written(folder.parent)] == [b"short\n", b"x" * 50 + b"\n", b"after\n"]


def test_rotations_of_one_second_keep_their_order_beyond_ten(make, folder):
    file = make(10, clock=lambda: NOON)
    for number in range(15):
        file.write(f"line {number:03d}\n")
        assert file.upkeep.wait(20)  # packed names count as taken, too
    contents = [content.decode() for _, content in written(folder.parent)]
    assert contents == [f"line {number:03d}\n" for number in range(15)]
    assert "api__2026-01-31_12-00-00.13.log.gz" in names_in(folder)


def test_the_first_line_of_a_day_begins_a_file(make, folder):
    midnight = timegm((2026, 2, 1, 0, 0, 0))
    now = [midnight - 60.0]
    file = make(10_000, compress=False, clock=lambda: now[0])
    file.write("yesterday\n")
    os.utime(folder / "api.log", (now[0], now[0]))
    now[0] = midnight - 0.5
    file.write("yesterday too\n")
    os.utime(folder / "api.log", (now[0], now[0]))
    now[0] = float(midnight)
    file.write("today\n")
    assert (folder / "api__2026-02-01_00-00-00.log").read_text() == "yesterday\nyesterday too\n"
    os.utime(folder / "api.log", (now[0], now[0]))
    now[0] = midnight + 3600
    file.write("still today\n")
    assert (folder / "api.log").read_text() == "today\nstill today\n"


def test_another_process_finds_yesterdays_file_too(make, folder):
    folder.mkdir()
    (folder / "api.log").write_text("before the machine was off\n")
    os.utime(folder / "api.log", (NOON - 3 * 86_400, NOON - 3 * 86_400))
    make(10_000, compress=False, clock=lambda: NOON).write("now\n")
    assert names_in(folder) == ["api.log", "api__2026-01-31_12-00-00.log"]


def test_what_is_written_is_never_older_than_the_clock_that_tells_the_day(tmp_path):
    path = tmp_path / "file"
    for _ in range(200):
        before = file_time()
        path.write_bytes(b"x")
        assert path.stat().st_mtime >= before - 1e-6


def test_the_date_in_names_can_be_another_one(make, folder):
    file = make(10, compress=False, clock=lambda: NOON, date_format="YYYY.MM.DD")
    for number in range(4):
        file.write(f"line {number:03d}\n")
    assert names_in(folder) == ["api.log", "api__2026.01.31.1.log", "api__2026.01.31.2.log", "api__2026.01.31.log"]
    assert [file.number for file in file.names.rotated()] == [0, 1, 2]


@pytest.mark.parametrize("date_format", ["", "YYYY-MM", "YYYY-MM-DD YYYY", "YYYY/MM/DD", "YYYY__MM-DD", "%Y-MM-DD"])
def test_a_date_that_cannot_be_a_file_name_is_refused(date_format, tmp_path):
    with pytest.raises(ValueError, match=r"must have|may have"):
        LogNames(tmp_path, "api", date_format)


@pytest.mark.parametrize("role", ["", "../api", "api__x", "API", "a" * 33, "a.b", "1"])
def test_a_role_that_cannot_be_a_file_name_is_refused(role, tmp_path):
    with pytest.raises(ValueError, match="small letters"):
        LogNames(tmp_path, role)


# --- what happens to the file meanwhile -------------------------------------------------------------


def test_a_torn_last_line_is_cut_off_whoever_left_it(make, folder):
    file = make(1_000)
    file.write("whole\n")
    with (folder / "api.log").open("ab") as torn:
        torn.write(b"half a li")
    file.write("next\n")
    assert (folder / "api.log").read_text() == "whole\nnext\n"
    with (folder / "api.log").open("ab") as torn:
        torn.write(b"x" * 200_000)  # more than is looked at at once, and more than the limit
    make(1_000).write("first of another process\n")
    assert (folder / "api.log").read_text() == "whole\nnext\nfirst of another process\n"


def test_a_file_or_folder_that_is_taken_away_is_made_again(make, folder):
    file = make(1_000)
    file.write("one\n")
    (folder / "api.log").unlink()
    file.write("two\n")
    assert (folder / "api.log").read_text() == "two\n"
    (folder / "api.log").unlink()
    assert file.upkeep.wait(20)
    folder.rmdir()
    file.write("three\n")
    assert (folder / "api.log").read_text() == "three\n"
    assert file.told == []


def test_folder_and_files_are_private_and_stay_so_when_packed(make, folder):
    before = os.umask(0)
    try:
        file = make(10)
        for _ in range(3):
            file.write("a line\n")
        assert file.upkeep.wait(20)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_belongs_to_the_folders_owner(make, folder):
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    file = make(10)
    for _ in range(3):
        file.write("a line\n")
    assert file.upkeep.wait(20)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in folder.iterdir()} == {(65534, 65534)}
    assert len(names_in(folder)) == 3


def test_a_link_or_a_pipe_in_its_place_is_not_written_to(make, folder, tmp_path):
    folder.mkdir()
    target = tmp_path / "target"
    target.write_text("")
    (folder / "api.log").symlink_to(target)
    file = make()
    file.write("a line\n")
    (folder / "api.log").unlink()
    os.mkfifo(folder / "api.log")
    file.write("a line\n")
    assert target.read_text() == ""
    assert file.lost == 2
    assert len(file.told) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told_when_it_is_opened(make, folder):
    folder.mkdir(mode=0o500)
    with pytest.raises(PermissionError):
        make().open()


# --- packing --------------------------------------------------------------------------------------


def upkeep(folder: Path, told: list[str] | None = None) -> LogUpkeep:
    return LogUpkeep(LogNames(folder, "api"), 7, True, time.time, (told if told is not None else []).append)


def test_a_packed_file_holds_what_was_written_and_is_as_old(make, folder):
    file = make(1_000)
    lines = [f"line {number}\n" for number in range(300)]
    for line in lines:
        file.write(line)
    assert file.upkeep.wait(20)
    packed = [path for path in folder.iterdir() if path.name != "api.log"]
    assert packed
    assert all(path.name.endswith(".log.gz") for path in packed)
    assert b"".join(content for _, content in written(folder.parent)).decode() == "".join(lines)
    folder.joinpath("api__2026-01-01_00-00-00.log").write_text("old\n")
    os.utime(folder / "api__2026-01-01_00-00-00.log", (NOON, NOON))
    file.upkeep._keep_days = 100_000
    file.upkeep.run()
    assert (folder / "api__2026-01-01_00-00-00.log.gz").stat().st_mtime == NOON


def test_what_was_left_half_way_is_packed_again_and_read_once(folder):
    folder.mkdir()
    stem = "api__2026-01-31_12-00-00.log"
    content = b"".join(b"line %d\n" % number for number in range(5_000))
    (folder / stem).write_bytes(content)
    (folder / f"{stem}.gz.tmp").write_bytes(gzip.compress(content)[:500])  # killed while it packed
    (folder / "api__2026-01-30_12-00-00.log.gz").write_bytes(gzip.compress(b"before\n"))
    (folder / "api__2026-01-30_12-00-00.log").write_bytes(b"before\n")  # killed before it removed it
    (folder / "api__2026-01-29_12-00-00.log.gz.tmp").write_bytes(b"nobody's")
    for path in folder.iterdir():
        os.utime(path)
    assert [content for _, content in written(folder.parent)] == [b"before\n", content]
    upkeep(folder).run()
    assert names_in(folder) == ["api__2026-01-30_12-00-00.log.gz", f"{stem}.gz"]
    assert [content for _, content in written(folder.parent)] == [b"before\n", content]


def test_a_process_killed_while_it_packs_loses_nothing(folder):
    folder.mkdir()
    plain = folder / "api__2026-01-31_12-00-00.log"
    chance = random.Random(1)
    plain.write_bytes(content := b"".join(b"%064x\n" % chance.getrandbits(256) for _ in range(120_000)))
    script = "import sys, pathlib, tests.ops.test_log_files as t; t.upkeep(pathlib.Path(sys.argv[1])).run()"
    process = subprocess.Popen([sys.executable, "-c", script, str(folder)], cwd=ROOT)
    unfinished = folder / f"{plain.name}.gz.tmp"
    try:
        until(lambda: unfinished.exists() and unfinished.stat().st_size > 100_000)
    finally:
        process.kill()
        process.wait()
    assert names_in(folder) == [plain.name, unfinished.name]
    upkeep(folder).run()
    assert names_in(folder) == [f"{plain.name}.gz"]
    assert gzip.decompress((folder / f"{plain.name}.gz").read_bytes()) == content


def test_several_that_pack_at_once_do_not_disturb_each_other(folder):
    folder.mkdir()
    contents = {}
    for second in range(20):
        name = f"api__2026-01-31_12-00-{second:02d}.log"
        contents[f"{name}.gz"] = os.urandom(200_000).hex().encode() + b"\n"
        (folder / name).write_bytes(contents[f"{name}.gz"])
    told: list[str] = []
    threads = [threading.Thread(target=upkeep(folder, told).run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    upkeep(folder, told).run()
    assert told == []
    assert {name: gzip.decompress((folder / name).read_bytes()) for name in names_in(folder)} == contents
