"""One quota for all workers: real processes, killed and stopped ones among them, and a file that can be bad."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger

from stellarstream_core.api.limits import file as limits_file
from stellarstream_core.api.limits.file import FILE, FILE_BYTES, HEADER_BYTES
from stellarstream_core.api.limits.quota import Quota
from stellarstream_core.api.limits.rate import RateLimiter
from tests import commands

HOURLY = Quota.parse("10/hour")


@pytest.fixture
def warnings():
    """Return the warnings logged meanwhile."""
    seen: list[str] = []
    sink = logger.add(lambda message: seen.append(message.record["message"]), level="WARNING")
    yield seen
    logger.remove(sink)


def hammer(folder: Path, quota: str, seconds: float) -> subprocess.Popen:
    pipe = subprocess.PIPE
    hammering = ("tests.api.limits.hammer", str(folder), quota, str(seconds))
    return commands.module(*hammering, stdin=pipe, stdout=pipe, text=True)


def start_together(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()


def outcome(process: subprocess.Popen) -> tuple[int, int, int, int]:
    text, _ = process.communicate(timeout=30)
    allowed, unshared, began, ended = map(int, text.split())
    return allowed, unshared, began, ended


@pytest.mark.parametrize("quota_text", ["100/second burst 20", "20000/second burst 50"])
def test_processes_together_get_the_quota_and_no_more(tmp_path, quota_text):
    processes = [hammer(tmp_path, quota_text, 0.7) for _ in range(4)]
    start_together(processes)
    outcomes = [outcome(process) for process in processes]
    quota = Quota.parse(quota_text)
    elapsed = max(ended for *_, ended in outcomes) - min(began for _, _, began, _ in outcomes)
    total, alone = sum(allowed for allowed, *_ in outcomes), sum(unshared for _, unshared, *_ in outcomes)
    most = quota.burst + elapsed // quota.interval
    # what a worker decided alone, because another one was put off while it held the row, is all that can be too much
    assert total <= most + alone
    assert alone <= 5 + total // 10, "and that is the exception even where four do nothing else"
    if quota.interval > 10**6:  # slow enough that four processes can use all of it
        assert total >= most * 0.8


def test_a_kill_while_counting_neither_blocks_nor_loses_what_others_counted(tmp_path):
    with closing(RateLimiter.open(tmp_path)) as limiter:
        for attempt in range(3):
            processes = [hammer(tmp_path, "1000000/second", 20) for _ in range(2)]
            start_together(processes)
            limiter.take(f"mine {attempt}", HOURLY, 4)
            time.sleep(0.05 + 0.01 * attempt)
            for process in processes:
                process.kill()
                process.communicate()
            before = limiter.unshared
            quota = Quota.parse("1000000/second")
            assert limiter.take("one client", quota, 0).limit == quota.burst
            assert limiter.take(f"mine {attempt}", HOURLY).remaining == 5
            assert limiter.unshared == before, "the killed processes hold no lock"


HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_worker_that_is_stopped_while_it_counts_holds_nobody_up(tmp_path):
    with closing(RateLimiter.open(tmp_path)) as limiter:
        assert limiter.take("one", HOURLY, 2).remaining == 8
        command = [sys.executable, "-c", HOLDER, str(tmp_path / FILE)]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert holder.stdout.readline() == "held\n"
            began = time.monotonic()
            verdicts = [limiter.take("one", HOURLY) for _ in range(12)]
            assert time.monotonic() - began < 1
            assert sum(verdict.allowed for verdict in verdicts) == 10, "this process counts for itself"
            assert limiter.unshared == 12
        finally:
            holder.kill()
            holder.communicate()
        assert not limiter.take("one", HOURLY).allowed, "and what it gave is counted afterwards"
        assert limiter.take("one", HOURLY, 0).remaining == 0
        assert limiter.unshared == 12


def test_what_was_given_alone_is_forgiven_as_time_passes(tmp_path):
    now = 10**15
    with closing(RateLimiter.open(tmp_path, lambda: now)) as limiter:
        command = [sys.executable, "-c", HOLDER, str(tmp_path / FILE)]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert holder.stdout.readline() == "held\n"
            assert limiter.take("one", HOURLY, 4).allowed
        finally:
            holder.kill()
            holder.communicate()
        now += 3 * HOURLY.interval
        assert limiter.take("one", HOURLY, 0).remaining == 9


# --- the file ---------------------------------------------------------------------------------------


def test_limiters_of_one_folder_count_together_also_after_all_are_closed(tmp_path):
    with closing(RateLimiter.open(tmp_path)) as first, closing(RateLimiter.open(tmp_path)) as second:
        assert first.shared
        assert first.take("one", HOURLY, 6).remaining == 4
        assert second.take("one", HOURLY, 3).remaining == 1
        assert not first.take("one", HOURLY, 2).allowed
    with closing(RateLimiter.open(tmp_path)) as third:
        assert third.take("one", HOURLY).remaining == 0
    assert {path.name for path in tmp_path.iterdir()} == {FILE, "limits.lock"}


def test_closing_one_of_two_leaves_the_other_counting(tmp_path):
    first, second = RateLimiter.open(tmp_path), RateLimiter.open(tmp_path)
    first.close()
    first.close()
    assert second.take("one", HOURLY).remaining == 9
    assert first.take("one", HOURLY).remaining == 9, "a closed one counts alone"
    second.close()


def test_the_file_is_for_its_owner_only(tmp_path):
    old = os.umask(0)
    try:
        RateLimiter.open(tmp_path).close()
    finally:
        os.umask(old)
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def damage_size(path: Path) -> None:
    os.truncate(path, FILE_BYTES - 1)


def damage_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(30)
        file.write(b"???")


def other_version(path: Path) -> None:
    content = bytearray(path.read_bytes()[:HEADER_BYTES])
    content[16:20] = (99).to_bytes(4, "little")
    size = limits_file._HEADER.size
    content[size - 16 : size] = limits_file._checksum(bytes(content[: size - 16]))
    with path.open("r+b") as file:
        file.write(content)


def open_to_others(path: Path) -> None:
    path.chmod(0o644)


def a_folder(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (damage_size, "damaged"),
        (damage_header, "damaged"),
        (other_version, "another version"),
        (open_to_others, "open to other users"),
        (a_folder, "symbolic link"),
        (a_pipe, "not a file"),
    ],
)
def test_a_file_that_is_not_fit_is_made_anew_with_a_warning(tmp_path, warnings, harm, said):
    with closing(RateLimiter.open(tmp_path)) as limiter:
        limiter.take("one", HOURLY, 10)
    harm(tmp_path / FILE)
    with closing(RateLimiter.open(tmp_path)) as limiter, closing(RateLimiter.open(tmp_path)) as other:
        assert limiter.take("one", HOURLY).remaining == 9
        assert other.take("one", HOURLY).remaining == 8
    assert len(warnings) == 1
    assert said in warnings[0]


def test_a_link_in_its_place_is_not_followed(tmp_path, warnings):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"precious")
    (tmp_path / FILE).symlink_to(elsewhere)
    with closing(RateLimiter.open(tmp_path)) as limiter:
        assert limiter.shared
    assert elsewhere.read_bytes() == b"precious"
    assert not (tmp_path / FILE).is_symlink()


def test_another_users_file_is_not_believed(tmp_path, warnings):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    RateLimiter.open(tmp_path).close()
    os.chown(tmp_path / FILE, 12345, 12345)
    with closing(RateLimiter.open(tmp_path)) as limiter:
        assert limiter.shared
    assert (tmp_path / FILE).stat().st_uid == os.geteuid()
    assert "another user" in warnings[0]


def test_a_file_of_another_boot_is_made_anew_without_a_word(tmp_path, warnings, monkeypatch):
    with closing(RateLimiter.open(tmp_path)) as limiter:
        limiter.take("one", HOURLY, 10)
    boot = tmp_path / "boot"
    boot.write_text("another boot")
    monkeypatch.setattr(limits_file, "_BOOT_ID", boot)
    with closing(RateLimiter.open(tmp_path)) as limiter:
        assert limiter.take("one", HOURLY).remaining == 9
    assert warnings == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.integers(0, 200), st.binary(min_size=1, max_size=40))
def test_whatever_is_written_into_the_file_a_limiter_opens_and_counts(tmp_path, at, junk):
    RateLimiter.open(tmp_path).close()
    with (tmp_path / FILE).open("r+b") as file:
        file.seek(at if at < 150 else HEADER_BYTES + at)
        file.write(junk)
    with closing(RateLimiter.open(tmp_path)) as limiter:
        assert limiter.shared
        verdict = limiter.take("one", HOURLY)
        assert 0 <= verdict.remaining <= 10


def test_without_room_on_the_disk_the_process_counts_alone_and_says_so_once(tmp_path, warnings, monkeypatch):
    def full(fd: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(limits_file.os, "write", full)
    with closing(RateLimiter.open(tmp_path)) as limiter:
        assert not limiter.shared
        assert [limiter.take("one", HOURLY, 5).allowed for _ in range(3)] == [True, True, False]
    assert len(warnings) == 1
    assert "No space left" in warnings[0]
    assert not list(tmp_path.glob("limits.bin*")), "nothing half made is left"


def test_without_the_folder_the_process_counts_alone(tmp_path, warnings):
    limiter = RateLimiter.open(tmp_path / "not" / "there")
    assert not limiter.shared
    assert limiter.take("one", HOURLY).remaining == 9
    assert len(warnings) == 1


def test_a_worker_that_hangs_while_making_the_file_is_not_waited_for_forever(tmp_path, warnings, monkeypatch):
    monkeypatch.setattr(limits_file, "alone", _alone_briefly)
    with (tmp_path / "limits.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        limiter = RateLimiter.open(tmp_path)
    assert not limiter.shared
    assert "locked for" in warnings[0]


def _alone_briefly(folder, name):
    from stellarstream_core.api.run_dir import alone

    return alone(folder, name, 0.05)


def test_workers_that_start_together_share_one_file(tmp_path):
    processes = [hammer(tmp_path, "1/hour burst 7", 0.05) for _ in range(6)]
    start_together(processes)
    outcomes = [outcome(process) for process in processes]
    alone = sum(unshared for _, unshared, _, _ in outcomes)  # decided without the others, who held the row too long
    assert 7 <= sum(allowed for allowed, *_ in outcomes) <= 7 + alone
    assert alone < 30
