"""A full disk loses lines and nothing else: the service goes on, counts them, says so once, and when there is room."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import gettempdir

import pytest

from stellarstream_core.ops.log_files import QUIET_SECONDS, SharedRotatingFile, file_time
from tests.paths import ROOT


@cache
def small_disks() -> str | None:
    """Return why no small file system can be mounted here, in a namespace that ends with its process."""
    if shutil.which("unshare") is None:
        return "there is no unshare"
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", gettempdir()]
    done = subprocess.run([*alone, *mount], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"no file system may be mounted: {done.stderr.strip()}"


def on_a_small_disk(tmp_path: Path, script: str, size: str = "256k", **env: str) -> subprocess.CompletedProcess:
    """Run a script with ``disk``, a folder on a file system that is soon full, and ``outside``, one that is not."""
    if (reason := small_disks()) is not None:
        pytest.skip(reason)
    disk = tmp_path / "disk"
    disk.mkdir()
    program = f"import sys; from pathlib import Path; disk, outside = map(Path, sys.argv[1:])\n{script}"
    mount = f'mount -t tmpfs -o size={size} tmpfs "$1" && exec "$0" -c "$PROGRAM" "$1" "$2"'
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
    return subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, sys.executable, disk, tmp_path],
        cwd=ROOT,
        env={**clean, **env, "PROGRAM": program},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


FILLED = """
import json
from stellarstream_core.ops.log_files import SharedRotatingFile, file_time
ahead = [0.0]
notes = []
def note(text):
    notes.append(text)
    return f"note {text}\\n".encode()
def clock():
    return file_time() + ahead[0]
file = SharedRotatingFile(disk / "logs" / "api.log", 100_000, compress=False, note=note, clock=clock)
lines = [f"{n:06d} " + "x" * (n % 500) + "\\n" for n in range(3000)]
for line in lines:
    file.write(line)
lost = file.lost
rotated = [disk / "logs" / one.plain for one in file.names.rotated()]
kept = b"".join(path.read_bytes() for path in [*rotated, file.path]).decode()
rotated[0].unlink()
ahead[0] = 2.0
file.write("after\\n")
file.write("and after\\n")
file.stop()
told = dict(lost=lost, after=file.lost, kept=kept, notes=notes, current=file.path.read_text())
(outside / "told.json").write_text(json.dumps(told))
"""


def test_on_a_full_disk_lines_are_counted_and_those_before_and_after_are_whole(tmp_path):
    done = on_a_small_disk(tmp_path, FILLED)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    lines = [f"{number:06d} " + "x" * (number % 500) + "\n" for number in range(3000)]
    kept = told["kept"].splitlines(keepends=True)
    assert told["lost"] > 1_000
    assert len(kept) + told["lost"] == len(lines)
    assert all(line == lines[int(line[:6])] for line in kept)
    assert [line[:6] for line in kept] == sorted({line[:6] for line in kept})
    assert told["after"] == told["lost"]
    assert told["notes"] == [f"The log can be written again; lines that were lost: {told['lost']:,}"]
    assert told["current"].endswith(f"after\nnote {told['notes'][0]}\nand after\n")
    first, second = done.stderr.splitlines()
    assert "cannot be written, its lines are lost: No space left on device" in first
    assert f"{told['lost']:,}" in second


PACKED = """
import os
from stellarstream_core.ops.log_files import SharedRotatingFile
logs = disk / "logs"
file = SharedRotatingFile(logs / "api.log", 60_000)
os.umask(0o077); logs.mkdir()
content = os.urandom(40_000).hex().encode() + b"\\n"
(logs / "api__2026-01-31_12-00-00.log").write_bytes(content)
(disk / "filler").write_bytes(b"x" * 160_000)
file.upkeep._keep_days = 100_000
file.upkeep.run()
file.upkeep.run()
assert sorted(path.name for path in logs.iterdir()) == ["api__2026-01-31_12-00-00.log"]
assert (logs / "api__2026-01-31_12-00-00.log").read_bytes() == content
(disk / "filler").unlink()
file.upkeep.run()
assert sorted(path.name for path in logs.iterdir()) == ["api__2026-01-31_12-00-00.log.gz"]
"""


def test_packing_without_room_leaves_the_plain_file_and_takes_no_room(tmp_path):
    done = on_a_small_disk(tmp_path, PACKED)
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert "cannot be put away: No space left on device" in line


SERVED = """
import os, re, subprocess, sys, time, urllib.request
serving = subprocess.Popen(
    [sys.executable, "-m", "stellarstream_core.cli", "serve", "--port", "0"],
    stdout=(outside / "out").open("w"), stderr=(outside / "err").open("w"), cwd=outside,
    env={**os.environ, "PYTHONPATH": os.getcwd(), "STELLARSTREAM_LOG_DIR": str(disk / "logs")},
)
try:
    deadline = time.monotonic() + 40
    while not (found := re.search(r"Serving (http://[^ ]+)", (outside / "out").read_text())):
        assert time.monotonic() < deadline and serving.poll() is None, (outside / "err").read_text()
        time.sleep(0.02)
    def ask(name):
        request = urllib.request.Request(f"{found[1]}/healthz/live", headers={"X-Request-ID": name})
        assert urllib.request.urlopen(request, timeout=10).status == 200
    ask("before")
    with (disk / "filler").open("wb", 0) as filler:
        try:
            while True: filler.write(b"x" * 4096)
        except OSError: pass
    for number in range(200):
        ask(f"during{number}")
    (disk / "filler").unlink()
    while not (outside / "err").read_text().count("can be written again"):
        assert time.monotonic() < deadline, (outside / "err").read_text()
        ask("after")
        time.sleep(0.05)
    ask("last")
finally:
    serving.terminate()
    assert serving.wait(20) == 0
(outside / "log").write_bytes((disk / "logs" / "api.log").read_bytes())
"""


def test_a_service_answers_while_its_log_cannot_be_written(tmp_path):
    settings = {"NETWORK": "sandbox", "RPC_URL": "http://127.0.0.1:9", "RATE_LIMIT": "off"}
    done = on_a_small_disk(tmp_path, SERVED, **{f"STELLARSTREAM_{name}": value for name, value in settings.items()})
    assert done.returncode == 0, done.stderr
    log, err = (tmp_path / "log").read_text(), (tmp_path / "err").read_text()
    assert all(re.match(r"\S{27} [A-Z]+ +api\[\d+[^]]*\] .|    ", line) for line in log.splitlines())
    asked = re.findall(r"request_id=([a-z]+\d*)\]", log)
    assert asked[0] == "before"
    assert asked[-1] == "last"
    during = [name for name in asked if name.startswith("during")]
    assert 0 < len(during) < 200  # the rest of the file's last page
    lost = 200 - len(during)
    assert f"lines that were lost: {lost}" in log
    assert err.count("are lost: No space left on device") == 1
    assert err.count(f"lines that were lost: {lost}") == 1


LIMIT = 50_000


@pytest.fixture
def limited():
    """Let no file of this process grow beyond the limit, as a quota does; writes that would are cut short."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_line_that_fits_only_in_part_is_taken_back(tmp_path, limited):
    told: list[str] = []
    file = SharedRotatingFile(tmp_path / "logs" / "api.log", 10 * LIMIT, tell=told.append)
    for number in range(10):
        file.write(f"{number}" * 9_999 + "\n")
    assert file.path.read_text() == "".join(f"{number}" * 9_999 + "\n" for number in range(5))
    file.write("short\n")
    assert (file.lost, len(told)) == (6, 1)
    assert "File too large" in told[0]
    file.stop()
    assert told[1:] == [f"Lines lost from the log {file.path}: 6."]


def test_short_lines_that_still_fit_do_not_count_as_room(tmp_path):
    told: list[str] = []
    now = [file_time()]
    file = SharedRotatingFile(tmp_path / "logs" / "api.log", 10 * LIMIT, tell=told.append, clock=lambda: now[0])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        for _ in range(20):
            file.write("x" * 2 * LIMIT + "\n")
            file.write("short\n")
            now[0] += QUIET_SECONDS / 2
        assert len(told) == 1
        now[0] += QUIET_SECONDS
        file.write("short\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(told) == 2
    assert "lost: 20" in told[1]
    assert file.path.read_text() == "short\n" * 21
    file.stop()
    assert len(told) == 2
