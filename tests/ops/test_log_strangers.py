"""What lies in a log folder under a log's name and is none, and lines that would steer a terminal."""

from __future__ import annotations

import gzip
import json
import os

import pytest

from stellarstream_core.ops.log_lines import Entry, text_of
from stellarstream_core.ops.log_names import LogNames
from stellarstream_core.ops.log_upkeep import LogUpkeep
from stellarstream_core.ops.logs_reading import LogReading
from tests.cli.conftest import invoke  # noqa: F401 - a fixture

LINE = b"2026-01-31T13:05:09.123456Z INFO    api[7] hello\n"
BIDI = "\u202e\u2066\u200f\u061c"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
@pytest.mark.parametrize("name", ["api__2026-01-30_13-05-09.log", "api__2026-01-30_13-05-09.log.gz", "indexer.log"])
def test_a_pipe_or_folder_of_a_logs_name_is_passed_over(tmp_path, invoke, make, name):  # noqa: F811
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "api.log").write_bytes(LINE)
    make(folder / name)
    for arguments in (["--since", "2026-01-01"], ["--lines", "5"]):
        done = invoke("logs", *arguments, LOG_DIR=str(folder))
        assert (done.code, done.out, done.err) == (0, LINE.decode(), "")


@pytest.mark.timeout(60)
def test_following_passes_over_a_pipe_and_goes_on_when_a_file_has_the_name(tmp_path):
    os.mkfifo(tmp_path / "api.log")
    reading = LogReading(tmp_path, ["api"])
    try:
        assert reading.new(["api"]) == []
        (tmp_path / "api.log").unlink()
        (tmp_path / "api.log").write_bytes(LINE)
        assert [entry.raw for entry in reading.new(["api"])] == [LINE]
    finally:
        reading.close()


@pytest.mark.timeout(60)
def test_what_is_in_the_way_of_packing_one_file_is_in_no_others(tmp_path):
    stems = [f"api__2026-01-{day:02}_00-00-00" for day in range(1, 7)]
    for stem in stems:
        (tmp_path / f"{stem}.log").write_bytes(LINE)
    (tmp_path / f"{stems[0]}.log.gz.tmp").symlink_to("elsewhere")
    (tmp_path / f"{stems[1]}.log").unlink()
    os.mkfifo(tmp_path / f"{stems[1]}.log")
    (tmp_path / f"{stems[2]}.log.gz.tmp").mkdir()
    (tmp_path / f"{stems[3]}.log").unlink()
    (tmp_path / f"{stems[3]}.log").mkdir()
    (tmp_path / "api__2025-12-31_00-00-00.log.gz.tmp").mkdir()  # half-way, of a file that is not there
    told: list[str] = []
    upkeep = LogUpkeep(LogNames(tmp_path, "api"), 7, True, lambda: 0.0, told.append)
    upkeep.run()
    for stem in stems[4:]:
        assert gzip.decompress((tmp_path / f"{stem}.log.gz").read_bytes()) == LINE
        assert not (tmp_path / f"{stem}.log").exists()
    assert (tmp_path / f"{stems[0]}.log").read_bytes() == LINE
    assert not (tmp_path / "elsewhere").exists()
    (said,) = told
    assert f"{stems[0]}.log.gz.tmp" in said
    upkeep.run()
    assert told == [said]  # once


def test_characters_that_turn_the_order_of_text_round_are_written_as_their_numbers():
    line = text_of("2026-01-31T13:05:09.123456Z", "INFO", "api", "7", f"a{BIDI}b").decode()
    assert line.endswith(r"a\x202e\x2066\x200f\x61cb" + "\n")
    shown = Entry(b"", "api", f"a{BIDI}b\n".encode()).text()
    assert shown == r"a\x202e\x2066\x200f\x61cb"


def test_no_part_of_an_object_steers_the_terminal():
    nasty = f"\x1b[2J\x9b{BIDI}\nx"
    names = ("level", "role", "worker", "request_id", "ledger", "message", "exception")
    raw = json.dumps({"time": "2026-01-31T13:05:09.123456Z", **dict.fromkeys(names, nasty)}, ensure_ascii=False)
    raw = raw.replace('"time": ', '"time":') + "\n"
    entry = Entry(b"", "api", raw.encode())
    assert entry.is_json
    shown, *more = entry.text().split("\n")
    assert shown.isprintable()
    assert all(line.startswith("    ") and line.isprintable() for line in more)


@pytest.mark.parametrize("form", ["json", "text", "other"])
def test_as_objects_such_characters_are_escaped_and_say_the_same(form):
    text = f"a\x9b{BIDI}b"
    time = "2026-01-31T13:05:09.123456Z"
    raw = {
        "json": f'{{"time":"{time}","message":"{text}"}}\n',
        "text": f"{time} INFO    api[7] {text}\n",
        "other": f"{text}\n",
    }[form]
    shown = Entry(b"", "api", raw.encode()).json().decode()
    assert shown.isprintable()
    assert json.loads(shown)["message"] == text
