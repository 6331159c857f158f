"""``export``: what the file holds, what is said of what it lacks, and where it may be written."""

from __future__ import annotations

import csv
import io
import os
import stat
import subprocess
import sys

import orjson
import pytest

from stellarstream_core.cli import export
from stellarstream_core.events import ContractEvent, format_event_id
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.runtime import Runtime
from stellarstream_core.scope import Scope
from stellarstream_core.settings import NETWORKS
from stellarstream_core.sources import Window
from stellarstream_core.xdr.scval import Arm, ScValue, encode_scval
from stellarstream_core.xdr.strkey import contract_id_text

CONTRACT = contract_id_text(bytes(32))
SCOPE = Scope.of([CONTRACT])
ONE = encode_scval(ScValue(Arm.U32, 1))
UNKNOWN_ARM = (99).to_bytes(4, "big")
CUT_OFF = ONE[:6]


def event(ledger: int, value: bytes = ONE, tx: int = 1) -> ContractEvent:
    id = format_event_id(ledger, tx, 0, 0)
    tx_hash = f"{ledger:032x}{tx:032x}"
    return ContractEvent(id, ledger, 1_780_000_000 + ledger, tx_hash, 0, CONTRACT, "contract", (ONE,), value)


def store(*windows: tuple[int, int, list[ContractEvent]]) -> None:
    storage = Runtime(flags={"database_url": "sqlite:///stellarstream.db"}).open_storage(create=True)
    storage.bind_network(NETWORKS["testnet"].passphrase)
    storage.want(SCOPE, 10)
    for first, last, events in windows:
        storage.commit(Window(LedgerRange(first, last), SCOPE, events, "test"))
    storage.close()


def ledgers(text: str | bytes) -> list[int]:
    return [orjson.loads(line)["ledger"] for line in text.splitlines()]


@pytest.fixture
def stored(invoke):
    store((10, 20, [event(ledger) for ledger in range(10, 21)]))
    return invoke


def test_a_gap_that_is_filled_while_pages_are_read_is_still_named(invoke, monkeypatch):
    store((10, 14, [event(12)]), (16, 20, [event(18)]))
    read = export._pages

    def pages(storage, wanted, scope):
        yield from read(storage, wanted, scope)
        store((15, 15, [event(15)]))

    monkeypatch.setattr(export, "_pages", pages)
    outcome = invoke("export", "events")
    assert ledgers(outcome.out) == [12, 18]
    assert outcome.code == 3
    assert "missing 15" in outcome.err


def test_given_bounds_need_nothing_that_was_ever_synced(stored):
    other = contract_id_text(bytes(31) + b"\1")
    outcome = stored("export", "events", "--contract", other, "--from", "2", "--to", "9")
    assert (outcome.code, outcome.out) == (3, "")
    assert "missing 2..9" in outcome.err
    assert stored("export", "events", "--contract", other, "--from", "2").code == 2


# --- values that cannot be decoded ----------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"), [(UNKNOWN_ARM, "protocol upgrade needed"), (CUT_OFF, "malformed xdr"), (b"", "malformed xdr")]
)
def test_an_event_that_cannot_be_decoded_is_written_all_the_same(invoke, value, words):
    store((10, 20, [event(11), event(13, value), event(14, value), event(15)]))
    outcome = invoke("export", "events")
    assert outcome.code == 3
    rows = [orjson.loads(line) for line in outcome.out.splitlines()]
    assert [row["decoded"] is None for row in rows] == [False, True, True, False]
    assert all(row["topic"] and isinstance(row["value"], str) for row in rows)
    assert f"{words}: 2 events could not be decoded, first in ledger 13" in outcome.err.replace("XDR", "xdr")
    assert ("upgrade stellarstream" in outcome.err) == (value == UNKNOWN_ARM)
    table = invoke("export", "events", "--format", "csv")
    assert table.code == 3
    assert [row["decoded"] == "null" for row in csv.DictReader(io.StringIO(table.out))] == [False, True, True, False]


def test_both_kinds_of_fault_are_told_apart_and_the_file_is_written(invoke, tmp_path):
    store((10, 20, [event(11, CUT_OFF), event(13, UNKNOWN_ARM)]))
    outcome = invoke("export", "events", "-o", "out.jsonl")
    assert outcome.code == 3
    assert "1 event could not be decoded, first in ledger 11" in outcome.err
    assert "1 event could not be decoded, first in ledger 13" in outcome.err
    assert ledgers((tmp_path / "out.jsonl").read_bytes()) == [11, 13]


# --- where it is written --------------------------------------------------------------------


def test_a_pipe_stays_a_pipe_and_is_written_into(stored, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert stored("export", "events", "-o", "pipe").code == 0
        assert stat.S_ISFIFO(pipe.stat().st_mode)
        assert ledgers(os.read(reading, 1 << 16)) == list(range(10, 21))
    finally:
        os.close(reading)


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_stays_one_and_its_target_is_replaced(stored, tmp_path, there):
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "real.jsonl"
    if there:
        target.write_text("old\n")
        target.chmod(0o600)
    link = tmp_path / "link.jsonl"
    link.symlink_to("far/real.jsonl")
    assert stored("export", "events", "-o", "link.jsonl").code == 0
    assert link.is_symlink()
    assert ledgers(target.read_bytes()) == list(range(10, 21))
    if there:
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert not list(tmp_path.glob("**/*.part"))


def test_a_link_that_leads_to_itself_is_refused(stored, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    outcome = stored("export", "events", "-o", "loop")
    assert outcome.code == 2
    assert (tmp_path / "loop").is_symlink()


def test_a_failure_on_the_way_leaves_the_old_file_and_no_part(stored, tmp_path, monkeypatch):
    (tmp_path / "out.jsonl").write_text("old\n")

    def pages(storage, wanted, scope):
        yield [event(10)]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "_pages", pages)
    outcome = stored("export", "events", "-o", "out.jsonl")
    assert outcome.code == 2
    assert "No space left on device" in outcome.err
    assert (tmp_path / "out.jsonl").read_text() == "old\n"
    assert not list(tmp_path.glob("**/*.part"))


# --- a reader that goes away ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
@pytest.mark.parametrize("many", [True, False], ids=["while writing", "when flushing"])
def test_a_closed_pipe_ends_it_silently(invoke, kind, many):
    store((10, 20, [event(11, tx=tx) for tx in range(1, 3000 if many else 3)]))
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "stellarstream_core.cli", "export", "events", "--format", kind]
    if not many:
        os.close(reading)
    running = subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    if many:
        assert os.read(reading, 100)
        os.close(reading)
    _, complaint = running.communicate(timeout=30)
    assert (running.returncode, complaint) == (0, b"")
