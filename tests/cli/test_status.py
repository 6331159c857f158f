"""``status`` and ``gaps``: contracts without a state of their own, watching, narrow terminals."""

from __future__ import annotations

import os
import signal
import threading

import orjson
import pytest

from stellarstream_core.cli import status
from stellarstream_core.cli.status import render
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.runtime import Runtime
from stellarstream_core.scope import Scope
from stellarstream_core.settings import NETWORKS
from stellarstream_core.sources import Capabilities, Reach, SourceSpec, Window
from stellarstream_core.sync import state
from stellarstream_core.sync.state import Tip
from stellarstream_core.testing.scripted import ScriptedSource
from stellarstream_core.xdr.strkey import contract_id_text

ONE, TWO = (contract_id_text(bytes([number]) * 32) for number in (1, 2))
NOWHERE = {"RPC_URL": "http://127.0.0.1:9"}


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch):
    monkeypatch.setattr(state, "TIP_TIMEOUT_SECONDS", 0.1)


def cover(contract: str, *ranges: tuple[int, int], wanted: int | None) -> None:
    storage = Runtime(flags={"database_url": "sqlite:///stellarstream.db"}).open_storage(create=True)
    storage.bind_network(NETWORKS["testnet"].passphrase)
    if wanted is not None:
        storage.want(Scope.of([contract]), wanted)
    for first, last in ranges:
        storage.commit(Window(LedgerRange(first, last), Scope.of([contract]), [], "test"))
    storage.close()


def counting(reach: Reach) -> tuple[SourceSpec, list[str]]:
    """Return a source that notes what is done with it."""
    done: list[str] = []

    class Counting(ScriptedSource):
        async def reach(self) -> Reach:
            done.append("reach")
            return reach

        async def close(self) -> None:
            done.append("close")

    async def opening(_settings) -> Counting:
        done.append("open")
        return Counting([], 1, name="counting")

    return SourceSpec("counting", "", Capabilities(), lambda _: True, opening), done


# --- gaps -----------------------------------------------------------------------------------


def test_gaps_between_given_bounds_need_nothing_that_was_ever_synced(invoke):
    cover(ONE, (10, 20), wanted=10)
    outcome = invoke("gaps", "--contract", TWO, "--from", "2", "--to", "9", "--json")
    assert outcome.code == 3
    assert outcome.json["gaps"] == [{"from": 2, "to": 9, "reason": "not-fetched"}]
    assert invoke("gaps", "--contract", TWO, "--from", "2").code == 2
    assert invoke("gaps", "--contract", TWO, "--from", "9", "--to", "2").code == 2


# --- a contract without a state of its own --------------------------------------------------


def test_a_contract_covered_by_everything_is_as_far_as_everything(invoke):
    cover("*", (10, 100), (110, 120), wanted=10)
    facts = invoke("status", "--json", "--contract", ONE, **NOWHERE).json
    assert (facts["startLedger"], facts["watermark"], facts["lastCoveredLedger"]) == (10, 100, 120)
    assert [(gap["from"], gap["to"]) for gap in facts["gaps"]] == [(101, 109)]


def test_a_contract_beside_everything_does_not_hold_it_back(invoke):
    cover("*", (10, 100), wanted=10)
    cover(ONE, wanted=10)
    facts = invoke("status", "--json", "--contract", ONE, "--contract", TWO, **NOWHERE).json
    assert (facts["watermark"], facts["heldBackBy"], facts["gaps"]) == (100, [], [])
    assert "complete   ledgers 10 to 100" in invoke("status", "--contract", TWO, **NOWHERE).out


def test_coverage_counts_where_no_state_was_noted(invoke):
    cover(ONE, (10, 100), wanted=None)
    facts = invoke("status", "--json", "--contract", ONE, **NOWHERE).json
    assert (facts["watermark"], facts["gaps"]) == (100, [])


def test_a_contract_that_was_never_asked_for_holds_the_others_back(invoke):
    cover(ONE, (10, 100), wanted=10)
    facts = invoke("status", "--json", "--contract", ONE, "--contract", TWO, **NOWHERE).json
    assert (facts["watermark"], facts["heldBackBy"]) == (9, [TWO])


def test_the_number_of_events_says_that_it_is_the_whole_databases(invoke):
    cover(ONE, (10, 100), wanted=10)
    assert "events     0 in this database" in invoke("status", **NOWHERE).out


# --- watching -------------------------------------------------------------------------------


@pytest.fixture
def watched(invoke, monkeypatch):
    """Return a function that watches a counting source for a second, and what was done with the source."""
    cover(ONE, (10, 100), wanted=10)
    monkeypatch.setattr(status, "WATCH_SECONDS", 0.05)

    def call(reach: Reach, *args: str):
        spec, done = counting(reach)
        monkeypatch.setattr(Runtime, "source_specs", lambda *_: [spec])
        ending = threading.Timer(1.0, os.kill, [os.getpid(), signal.SIGINT])
        ending.start()
        outcome = invoke("status", "--watch", *args)
        ending.cancel()
        return outcome, done

    return call


def test_watching_keeps_one_source_open_and_asks_it_seldom(watched):
    outcome, done = watched(Reach(2, 105), "--json")
    assert outcome.code == 130
    shown = [orjson.loads(line) for line in outcome.out.splitlines()]
    assert len(shown) > 4
    assert {facts["lag"] for facts in shown} == {5}
    assert done == ["open", "reach", "close"]


def test_watching_asks_again_when_a_ledger_may_have_closed(watched, monkeypatch):
    monkeypatch.setattr(state, "SHORTEST_TIP_SECONDS", 0.2)
    _, done = watched(Reach(2, 105, ledger_seconds=0.3), "--json")
    assert done[0] == "open"
    assert 3 <= done.count("reach") <= 4
    assert done[-1] == "close"


def test_watching_into_a_file_writes_the_page_again_and_again(watched):
    outcome, _ = watched(Reach(2, 100))
    assert outcome.out.count("tip        100 (counting): at the tip") > 4


@pytest.mark.parametrize(("told", "seconds"), [(None, 5.0), (0.0, 5.0), (0.5, 2.0), (6.0, 6.0)])
def test_the_tip_is_asked_as_often_as_ledgers_close(told, seconds):
    assert Tip(Reach(1, 2, ledger_seconds=told)).seconds == seconds
    assert Tip(trouble="down").seconds == 5.0


@pytest.mark.parametrize(
    ("latest", "pace", "behind"),
    [(100, None, 0), (95, None, 0), (90, 5.0, 0), (89, 5.0, 11), (44, 1.0, 56), (44, 0.1, 0), (120, 5.0, 0)],
)
def test_a_source_is_behind_where_its_tip_is_further_below_than_a_moment_explains(invoke, latest, pace, behind):
    cover(ONE, (10, 100), wanted=10)
    storage = Runtime(flags={"database_url": "sqlite:///stellarstream.db"}).open_storage()
    found = state.read_state(storage, Scope.of([ONE]))
    storage.close()
    assert found.ahead_of(Reach(2, latest, ledger_seconds=pace)) == behind
    assert found.ahead_of(None) == 0


def test_a_source_behind_the_database_is_not_called_at_the_tip(invoke, monkeypatch):
    cover(ONE, (10, 262), wanted=10)
    monkeypatch.setattr(state, "TIP_TIMEOUT_SECONDS", 5.0)
    spec, _ = counting(Reach(2, 206, ledger_seconds=5.0))
    monkeypatch.setattr(Runtime, "source_specs", lambda *_: [spec])
    text = invoke("status").out
    assert "complete   ledgers 10 to 262" in text
    assert "tip        206 (counting): the source is 56 ledgers behind this database" in text
    assert "at the tip" not in text
    facts = invoke("status", "--json").json
    assert (facts["lag"], facts["sourceBehind"]) == (0, 56)


# --- reading it -----------------------------------------------------------------------------


def test_many_gaps_and_a_narrow_terminal_stay_readable(invoke):
    cover(ONE, *((ledger, ledger) for ledger in range(1_000_010, 1_000_060, 2)), wanted=1_000_010)
    cover(TWO, wanted=1_000_010)
    facts = invoke("status", "--json", **NOWHERE).json
    facts["sourceTrouble"] = "soroban-rpc: http://127.0.0.1:9 refused the connection"
    text = render(facts, 40)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 40
    assert len(lines) < 24
    assert all(line[:11].strip() == "" or line[10] == " " for line in lines)
    assert "more" in text
    assert "stellarstream" in text
    assert len(render(facts).splitlines()) == len([line for line in lines if not line.startswith(" ")])


def test_a_hole_below_the_first_wanted_ledger_is_shown_by_everything_that_looks_at_all(on_node, node):
    v2 = node.contracts["streams-v2"]
    assert on_node("sync", "--contract", v2, "--from", "80", "--to", "100").code == 0
    assert on_node("sync", "--contract", v2, "--from", "10", "--to", "40").code == 0
    gaps = on_node("gaps", "--json")
    assert (gaps.code, [(g["from"], g["to"]) for g in gaps.json["gaps"]]) == (3, [(41, 79)])
    facts = on_node("status", "--json").json
    assert (facts["startLedger"], facts["watermark"]) == (80, 100)
    assert [(g["from"], g["to"]) for g in facts["gaps"]] == [(41, 79)]
    exported = on_node("export", "events")
    assert exported.code == 3
    assert "41..79" in exported.err
    assert '"ledger":1' in exported.out
