"""``export streams``: every stream as the API shows it, as JSON lines and as CSV; and what plugins' exports may do."""

from __future__ import annotations

import csv
import io
import sys
from importlib.metadata import entry_points
from types import ModuleType

import orjson
import pytest
from click.testing import CliRunner

from stellarstream_core import hookimpl
from stellarstream_core.cli.app import cli
from stellarstream_core.errors import InvalidStrkeyError, PluginError, UsageError
from stellarstream_core.hookspecs import ExportQuery, ExportSpec
from stellarstream_core.plugins import Plugins
from stellarstream_core.runtime import Runtime
from stellarstream_nebula import export
from tests.core.test_plugins import Point
from tests.nebula.ledgers import ONE, SETTINGS, START, THREE, TWO, Life, project, store

LIFE = Life(21)
LIFE.play(120)
EVENTS, LAST = LIFE.ledgers.events, LIFE.ledgers.ledger + 2


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def full(request, store_of):
    storage = store_of(request.param)
    store(storage, EVENTS, START, LAST)
    project(storage)
    return storage


@pytest.fixture
def run(full):
    """Return a function that runs ``export`` on the store and returns exit code, stdout and stderr."""
    from tests.nebula.conftest import URLS

    def invoke(*arguments: str, plugins: Plugins | None = None):
        flags = {"network": "sandbox", "plugins": SETTINGS, "database_url": URLS[id(full)]}
        runtime = Runtime(flags=flags)
        if plugins is not None:
            runtime.plugins = plugins
        return CliRunner().invoke(cli, ["export", *arguments], obj=runtime)

    return invoke


@pytest.fixture
def written(run, tmp_path):
    """Return a function that exports into a file and returns its text."""

    def write(*arguments: str, **more) -> str:
        target = tmp_path / "out"
        done = run(*arguments, "-o", str(target), **more)
        assert done.exit_code == 0, done.output
        return target.read_text()

    return write


@pytest.fixture
def shown(full, standing):
    """Every stream as the API shows it, oldest first."""
    api, found, cursor = standing(full), [], ""
    while True:
        page = api.get(f"/api/v1/streams?limit=200{cursor}").json
        found += page["items"]
        if page["nextCursor"] is None:
            return found[::-1]
        cursor = f"&cursor={page['nextCursor']}"


def test_json_lines_are_the_streams_of_the_api(written, shown, monkeypatch):
    monkeypatch.setattr(export, "PAGE", 7)
    lines = [orjson.loads(line) for line in written("streams").splitlines()]
    assert lines == shown
    assert len(lines) > 20
    assert list(lines[0]) == list(export.COLUMNS)


def test_csv_has_the_same_with_a_header(written, shown):
    header, *rows = csv.reader(io.StringIO(written("streams", "--format", "csv")))
    assert tuple(header) == export.COLUMNS
    plain = {None: "", True: "true", False: "false"}
    assert rows == [
        [plain[value] if isinstance(value, bool | None) else str(value) for value in stream.values()]
        for stream in shown
    ]


def test_contracts_and_ledgers_narrow_it_down(written, shown):
    lines = [orjson.loads(line) for line in written("streams", "--contract", ONE, "--contract", THREE).splitlines()]
    assert lines == [stream for stream in shown if stream["contractId"] in {ONE, THREE}]
    middle = shown[len(shown) // 2]["createdLedger"]
    lines = [orjson.loads(line) for line in written("streams", "--from", str(middle), "--to", str(middle)).splitlines()]
    assert lines == [stream for stream in shown if stream["createdLedger"] == middle]
    assert lines
    assert written("streams", "--contract", "*") == written("streams")


def test_a_gap_is_told_and_what_there_is_written(store_of, monkeypatch):
    storage = store_of("sqlite")
    store(storage, EVENTS, START, START + 40)
    store(storage, EVENTS, START + 60, LAST, wanted_from=START)
    project(storage)
    settings = Runtime(flags={"network": "sandbox", "plugins": SETTINGS}).settings
    said = export.missing(storage, settings, ExportQuery())
    assert f"{TWO} is folded up to ledger {LAST}, but has gaps above ledger {START + 40}" in said
    assert list(export.pages(storage, settings, ExportQuery()))
    assert export.missing(store_of("sqlite"), settings, ExportQuery([ONE])) == (
        f"streams may be missing, or out of date: {ONE} is not folded yet"
    )


def test_a_contract_that_is_none_is_a_usage_error(run):
    done = run("streams", "--contract", "CXYZ")
    assert isinstance(done.exception, InvalidStrkeyError)
    assert run("nothing").exit_code == 2


def test_help_names_plugins_kinds(run):
    done = run("--help")
    assert "events" in done.output
    assert "streams" in done.output
    assert "--contract" in run("streams", "--help").output


# --- what plugins may do ----------------------------------------------------------------------------


@pytest.fixture
def with_export(monkeypatch):
    def load(pages, missing=lambda *_: None, columns=("id", "note")) -> Plugins:
        spec = ExportSpec("notes", "Notes.", columns, pages, missing)
        module = ModuleType("made_export")
        module.register_exports = hookimpl(lambda: [spec])
        monkeypatch.setitem(sys.modules, "made_export", module)
        return Plugins.load(found=[*entry_points(group="stellarstream"), Point("notes", "made_export")])

    return load


def test_a_text_that_a_spreadsheet_would_run_is_marked_and_a_number_is_not(written, with_export):
    notes = ["=1+1", "+1", "-1", "-1.5", "@sum", "\tx", "a=1", "-", "", None, True, 7, ["="], {"a": 1}]
    plugins = with_export(lambda *_: [[{"id": number, "note": note} for number, note in enumerate(notes)]])
    rows = list(csv.reader(io.StringIO(written("notes", "--format", "csv", plugins=plugins))))[1:]
    assert [row[1] for row in rows] == [
        "'=1+1", "+1", "-1", "-1.5", "'@sum", "'\tx", "a=1", "'-", "", "", "true", "7", '["="]', '{"a":1}',
    ]  # fmt: skip
    lines = [orjson.loads(line) for line in written("notes", plugins=plugins).splitlines()]
    assert [line["note"] for line in lines] == notes


def test_a_plugin_is_told_what_is_asked_for(run, with_export, tmp_path):
    asked = []

    def pages(storage, settings, query):
        asked.append((settings.network, query))
        return []

    plugins = with_export(pages, lambda *_: "notes of some ledgers are missing")
    done = run("notes", "--contract", TWO, "--from", "5", "--to", "9", "-o", str(tmp_path / "out"), plugins=plugins)
    assert done.exit_code == 3
    assert "notes of some ledgers are missing" in done.output
    assert asked == [("sandbox", ExportQuery([TWO], 5, 9))]


def test_a_plugin_that_breaks_is_named_and_leaves_no_file(run, with_export, tmp_path):
    def pages(*_):
        yield [{"id": 1, "note": "x"}]
        raise RuntimeError("lost it")

    plugins = with_export(pages)
    target = tmp_path / "out"
    done = run("notes", "-o", str(target), plugins=plugins)
    assert isinstance(done.exception, PluginError)
    assert "lost it" in str(done.exception)
    assert not list(tmp_path.iterdir())
    assert [plugin.name for plugin in plugins.broken] == ["notes"]


def test_what_a_plugin_says_on_purpose_is_passed_on(run, with_export, tmp_path):
    def pages(*_):
        raise UsageError("There are no notes.")

    plugins = with_export(pages)
    done = run("notes", "-o", str(tmp_path / "out"), plugins=plugins)
    assert isinstance(done.exception, UsageError)
    assert plugins.broken == []
