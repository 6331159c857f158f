"""Log files read in the order of time: rotated, packed, of several roles, and while they are written."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.ops import logs_reading
from stellarstream_core.ops.log_files import SharedRotatingFile
from stellarstream_core.ops.log_lines import Entry, entries, json_line, tame, text_line, text_of, time_of, utc
from stellarstream_core.ops.log_names import roles_in
from stellarstream_core.ops.logs_reading import LogReading
from tests.ops.log_kit import until, writers

BEGIN = 1_780_000_000.0


def line(seconds: float, message: str, role: str = "api") -> str:
    return text_of(utc(BEGIN + seconds), "INFO", role, "7", message).decode()


def messages(found) -> list[str]:
    return [entry.text().partition("] ")[2] for entry in found]


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


@pytest.fixture
def read(folder):
    """Return a function that begins to read roles, all there are without one."""
    opened = []

    def begin(*roles: str) -> LogReading:
        told: list[str] = []
        reading = LogReading(folder, roles or roles_in(folder), tell=told.append)
        reading.told = told
        opened.append(reading)
        return reading

    yield begin
    for reading in opened:
        reading.close()


@pytest.fixture
def three_files(folder) -> None:
    """Lines 0 to 29 of ``api`` in a packed file, a plain rotated one and the current one."""
    packed = "".join(line(number, f"line {number}") for number in range(10))
    (folder / "api__2026-05-28_20-26-50.log.gz").write_bytes(gzip.compress(packed.encode()))
    plain = "".join(line(number, f"line {number}") for number in range(10, 20))
    (folder / "api__2026-05-28_20-27-00.log").write_text(plain)
    (folder / "api.log").write_text("".join(line(number, f"line {number}") for number in range(20, 30)))
    for name, at in (("__2026-05-28_20-26-50.log.gz", 9), ("__2026-05-28_20-27-00.log", 19), (".log", 29)):
        os.utime(folder / f"api{name}", (BEGIN + at, BEGIN + at))


# --- what was written -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20, 25, 30, 31])
def test_the_last_lines_come_from_as_many_files_as_it_takes(three_files, read, count):
    expected = [f"line {number}" for number in range(max(30 - count, 0), 30)]
    assert messages(read().last(count)) == expected


def test_all_lines_since_a_time_come_in_order(three_files, read):
    assert messages(read().all()) == [f"line {number}" for number in range(30)]
    since = utc(BEGIN + 7.5).encode()
    assert messages(read().all(since)) == [f"line {number}" for number in range(8, 30)]
    assert messages(read().last(1_000, since)) == [f"line {number}" for number in range(8, 30)]
    assert messages(read().last(3, since)) == ["line 27", "line 28", "line 29"]


def test_files_that_end_before_the_time_are_not_opened(three_files, read, folder, monkeypatch):
    opened: list[str] = []
    was = logs_reading._opened
    monkeypatch.setattr(logs_reading, "_opened", lambda path: opened.append(path.name) or was(path))
    since = utc(BEGIN + 25).encode()
    assert messages(read().all(since)) == [f"line {number}" for number in range(25, 30)]
    assert messages(read().last(50, since)) == [f"line {number}" for number in range(25, 30)]
    assert messages(read().last(10)) == [f"line {number}" for number in range(20, 30)]
    assert set(opened) == {"api.log"}


def test_the_tail_of_a_large_file_is_read_from_its_end(folder, read, monkeypatch):
    with (folder / "api.log").open("w") as file:
        file.writelines(line(number, f"line {number} " + "x" * 200) for number in range(40_000))
    read_bytes = 0
    was = os.pread

    def counted(fd: int, size: int, at: int) -> bytes:
        nonlocal read_bytes
        read_bytes += size
        return was(fd, size, at)

    monkeypatch.setattr(os, "pread", counted)
    found = read().last(5)
    assert [entry.text().split()[4] for entry in found] == [str(number) for number in range(39_995, 40_000)]
    assert read_bytes < 200_000
    assert len(read().last(3_000)) == 3_000
    assert read_bytes < 8_000_000


def test_roles_are_merged_by_time(folder, read):
    (folder / "api.log").write_text("".join(line(number, f"api {number}") for number in range(0, 20, 2)))
    (folder / "indexer.log").write_text("".join(line(number, f"indexer {number}") for number in range(1, 20, 2)))
    merged = [f"{'indexer' if number % 2 else 'api'} {number}" for number in range(20)]
    assert messages(read().all()) == merged
    assert messages(read().last(7)) == merged[-7:]
    assert messages(read("indexer").last(2)) == ["indexer 17", "indexer 19"]


def test_lines_that_were_held_up_between_their_time_and_their_writing_are_put_in_order(folder, read):
    chance = random.Random(3)
    order = sorted(range(5_000), key=lambda number: number + chance.uniform(0, 200))
    text = [line(number / 1000, f"line {number}") for number in order]
    (folder / "api__2026-05-28_20-27-00.log").write_text("".join(text[:2_500]))
    (folder / "api.log").write_text("".join(text[2_500:]))
    assert messages(read().all()) == [f"line {number}" for number in range(5_000)]


def test_a_traceback_stays_with_its_line(folder, read):
    first = line(1, "it failed\nTraceback (most recent call last):\n  File x\nValueError: no")
    (folder / "api.log").write_text(line(0, "before") + first + line(2, "after"))
    (folder / "indexer.log").write_text(line(1.5, "between"))
    found = read().last(3)
    assert [entry.text().partition("] ")[2] for entry in found][1:] == ["between", "after"]
    assert (
        found[0].text().endswith("it failed\n    Traceback (most recent call last):\n      File x\n    ValueError: no")
    )
    assert read().last(50)[0].text().endswith("before")


def test_a_line_that_is_being_written_is_left_for_later(folder, read):
    (folder / "api.log").write_text(line(0, "whole") + line(1, "half")[:-5])
    reading = read()
    assert messages(reading.last(10)) == ["whole"]
    assert messages(reading.new(["api"])) == []
    (folder / "api.log").write_text(line(0, "whole") + line(1, "half"))
    assert messages(reading.new(["api"])) == ["half"]


def test_a_damaged_packed_file_is_read_as_far_as_it_goes(three_files, folder, read):
    path = folder / "api__2026-05-28_20-26-50.log.gz"
    text = "".join(line(number / 1_000, f"old {number} {random.random()}") for number in range(3_000))
    path.write_bytes(gzip.compress(text.encode())[:40_000])
    reading = read()
    found = [*reading.all()]
    assert len(found) > 500
    assert messages(found)[-1] == "line 29"
    assert any("damaged" in text for text in reading.told)


def test_while_both_forms_of_a_file_are_there_it_is_read_once(three_files, folder, read):
    name = "api__2026-05-28_20-27-00.log"
    (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
    (folder / f"{name}.gz.tmp").write_bytes(b"half")
    assert messages(read().all()) == [f"line {number}" for number in range(30)]


def test_a_file_that_is_packed_or_deleted_after_it_was_listed_does_no_harm(three_files, folder, read):
    reading, gone = read(), read()
    file = SharedRotatingFile(folder / "api.log", keep_days=100_000)
    file.upkeep.run()
    assert not (folder / "api__2026-05-28_20-27-00.log").exists()
    assert messages(reading.all()) == [f"line {number}" for number in range(30)]
    (folder / "api__2026-05-28_20-27-00.log.gz").unlink()
    assert messages(gone.last(15)) == [f"line {number}" for number in [*range(5, 10), *range(20, 30)]]


def test_what_no_record_begins_belongs_to_the_one_before(folder, read):
    (folder / "api.log").write_text("somebody wrote this\n" + line(0, "a line") + "and this\r\x1b[2J\n")
    found = read().last(10)
    assert found[0].text() == "somebody wrote this"
    assert found[1].text().endswith("a line\nand this\\x0d\\x1b[2J")
    assert orjson.loads(found[0].json()) == {"time": None, "role": "api", "message": "somebody wrote this"}


# --- following ------------------------------------------------------------------------------------


def test_rotations_between_two_looks_are_followed(folder, read):
    file = SharedRotatingFile(folder / "api.log", 300, clock=lambda: BEGIN)
    file.write(line(0, "before"))
    reading = read()
    assert messages(reading.last(1)) == ["before"]
    number, expected = 0, []
    chance = random.Random(5)
    for _ in range(40):
        expected = []
        for _ in range(chance.choice([0, 1, 2, 3, 10, 30])):
            number += 1
            file.write(line(number, f"line {number}"))
            expected.append(f"line {number}")
        if chance.random() < 0.5:
            assert file.upkeep.wait(20)  # what was rotated is packed by then
        assert messages(reading.new(["api"])) == expected
    assert len(file.names.rotated()) > 30
    file.stop()
    assert file.upkeep.wait(20)


def test_a_role_that_appears_later_is_followed_from_its_first_line(folder, read):
    (folder / "api.log").write_text(line(0, "old"))
    reading = read()
    reading.last(0)
    assert messages(reading.new(roles_in(folder))) == []
    file = SharedRotatingFile(folder / "indexer.log", 200, clock=lambda: BEGIN)
    for number in range(10):
        file.write(line(number, f"line {number}", "indexer"))
    assert messages(reading.new(roles_in(folder))) == [f"line {number}" for number in range(10)]
    file.stop()
    assert file.upkeep.wait(20)


def test_a_file_that_was_emptied_or_deleted_is_followed_from_its_new_beginning(folder, read):
    path = folder / "api.log"
    path.write_text(line(0, "one") + line(1, "two"))
    reading = read()
    assert messages(reading.new(["api"])) == []
    path.write_text(line(2, "three"))
    assert messages(reading.new(["api"])) == ["three"]
    path.unlink()
    assert messages(reading.new(["api"])) == []
    path.write_text(line(3, "four"))
    assert messages(reading.new(["api"])) == ["four"]


def test_following_three_processes_shows_every_line_once(tmp_path, read, folder):
    lines, seen = 3_000, []
    with writers(tmp_path, 40_000) as started:
        reading = read("api")
        for _ in range(3):
            started.start(lines)
        until(lambda: (seen.extend(reading.new(["api"])), len(seen) >= 3 * lines)[1], 60)
        started.wait(20)
        seen.extend(reading.new(["api"]))
    words = [message.split() for message in messages(seen)]
    for name in started.lines:
        assert [int(word[1]) for word in words if word[0] == name] == list(range(lines))
    assert len(words) == 3 * lines


# --- the lines ------------------------------------------------------------------------------------


class Level:
    name = "INFO"


def record(message: str, **extra):
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(BEGIN, UTC).replace(microsecond=5)
    return {"time": at, "level": Level, "message": message, "name": "module", "line": 9, "extra": extra}


CONTEXT = {"role": "indexer", "worker": 12, "request_id": "abc.1", "ledger": 51_234_567}


def test_a_line_of_text_says_when_what_and_who():
    written = text_line(record("it works", **CONTEXT))
    assert written == b"2026-05-28T20:26:40.000005Z INFO    indexer[12 request_id=abc.1 ledger=51234567] it works\n"


def test_a_line_of_json_has_them_as_fields_and_what_was_bound_beside_them():
    extra = {**CONTEXT, "status": 200, "message": "not this", "odd": {1, 2}}
    logged = {**record("it works"), "extra": extra}
    fields = orjson.loads(json_line(logged, "Traceback…\nValueError"))
    assert fields["message"] == "it works"
    assert [*fields][:5] == ["time", "level", "role", "worker", "message"]
    assert {name: fields[name] for name in (*CONTEXT, "status")} == {**CONTEXT, "status": 200}
    assert (fields["exception"], fields["odd"]) == ("Traceback…\nValueError", "{1, 2}")


@given(message=st.text(), request_id=st.sampled_from([None, "a-1"]), ledger=st.sampled_from([None, 7]))
def test_whatever_is_logged_is_one_record_and_comes_back(message, request_id, ledger):
    extra = {"role": "api", "worker": 3, "request_id": request_id, "ledger": ledger}
    texts = {}
    for write in (text_line, json_line):
        written = write(record(message, **extra))
        assert written.endswith(b"\n")
        (entry,) = entries(written.splitlines(keepends=True), "api")
        assert entry.time == b"2026-05-28T20:26:40.000005Z"
        assert tame(entry.text()) == entry.text()
        fields = orjson.loads(entry.json())
        assert (fields["worker"], fields.get("request_id"), fields.get("ledger")) == (3, request_id, ledger)
        texts[write] = entry.text()
        if message.isprintable():
            assert fields["message"] == message
    assert texts[text_line] == texts[json_line]


def test_half_a_surrogate_pair_and_a_huge_number_are_written_too():
    assert b"\\udc80" in text_line(record("bad \udc80"))
    fields = json_line(record("bad \udc80", number=2**70))
    assert b'"message":"bad \\udc80"' in fields
    assert str(2**70).encode() in fields
    assert Entry(b"", "api", fields).text()


def test_a_message_cannot_forge_a_line():
    forged = line(5, "forged").rstrip("\n")
    for text in (f"x\n{forged}", f"x\r{forged}", f"x\u2028{forged}", f"x\x85{forged}"):
        written = text_line(record(text, role="api", worker=1))
        assert len([*entries(written.splitlines(keepends=True), "api")]) == 1


@pytest.mark.parametrize("text", [b"", b"\n", b"    indented", b"2026-05-28 20:26:40 other", b'{"level":"INFO"}'])
def test_other_lines_begin_no_record(text):
    assert time_of(text) is None
