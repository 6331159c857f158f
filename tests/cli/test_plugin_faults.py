"""Installed plugins with every kind of fault: commands go on, and the fault is shown."""

from __future__ import annotations

import sys

import pytest

HEAD = """
import sys
from pathlib import Path
import click
from pydantic import SecretStr
from stellarstream_core import hookimpl
from stellarstream_core.cli.app import runtime_of
from stellarstream_core.cli.options import database_option, runtime
from stellarstream_core.hookspecs import *
from stellarstream_core.settings import PluginSection
from stellarstream_core.sources import Capabilities, SourceSpec
"""
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a distribution with one plugin."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    made = []

    def write(name: str, code: str, target: str = "") -> None:
        module = f"installed_{name.replace('-', '_')}"
        made.append(module)
        (site / f"{module}.py").write_text(HEAD + code)
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[stellarstream]\n{name} = {target or module}\n")

    yield write
    for module in made:
        sys.modules.pop(module, None)


def state(invoke, name: str) -> tuple[str, str | None]:
    (row,) = [row for row in invoke("plugins", "--json").json["plugins"] if row["name"] == name]
    return row["state"], row["error"]


FAULTS = {
    "import": "raise SystemExit(9)",
    "settings": "@hookimpl\ndef register_settings(): raise RuntimeError('boom')",
    "no-model": "@hookimpl\ndef register_settings(): return PluginSettings('faulty', dict)",
    "taken": "@hookimpl\ndef register_settings(): return PluginSettings('soroban-rpc', PluginSection)",
    "validator": """
class Section(PluginSection):
    x: int = 1
    def model_post_init(self, _): raise RuntimeError('boom')
@hookimpl
def register_settings(): return PluginSettings('faulty', Section)
""",
    "models": "@hookimpl\ndef register_models(): return ModelSet('faulty', Path('absent'))",
    "sql-tables": "@hookimpl\ndef register_models(): return ModelSet('sql', Path('.'))",
    "exit": "@hookimpl\ndef register_commands(): sys.exit(9)",
}
WITHOUT_SECTION = {"models", "sql-tables", "exit"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_plugin_is_shown_and_stops_no_command(invoke, install, tmp_path, fault):
    install("faulty", FAULTS[fault])
    if fault not in WITHOUT_SECTION:
        (tmp_path / "stellarstream.toml").write_text("[plugins.faulty]\nx = 2\n")
    outcome = invoke("plugins", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("plugin faulty is broken") == 1
    broken = [row for row in outcome.json["plugins"] if row["state"] == "broken"]
    assert [row["name"] for row in broken] == ["faulty"]
    assert broken[0]["error"]
    assert len(broken[0]["error"].splitlines()) == 1
    for command in (["config", "check"], ["config", "show", "--json"], ["migrate"], ["--no-plugins", "config", "show"]):
        outcome = invoke(*command)
        assert outcome.code == 0, (command, outcome.err)


def test_an_alias_of_a_built_in_plugin_leaves_it_working(invoke, install):
    install("zz-alias", "", target="stellarstream_sql")
    assert state(invoke, "sql") == ("active", None)
    broken, error = state(invoke, "zz-alias")
    assert broken == "broken"
    assert "'sql'" in error
    assert invoke("migrate").code == 0


SOURCES = """
async def open_it(settings): {opened}
@hookimpl
def register_sources():
    return [SourceSpec("faulty", "", Capabilities(cost=1), lambda settings: {configured}, open_it)]
"""


@pytest.mark.parametrize("faults", [{"opened": "1/0", "configured": "True"}, {"opened": "pass", "configured": "1/0"}])
def test_a_source_that_breaks_is_a_fault_of_the_doctor_and_the_others_are_still_asked(on_node, install, faults):
    install("faulty", SOURCES.format(**faults))
    outcome = on_node("doctor", "--json")
    assert outcome.code == 2
    checks = outcome.json["checks"]
    assert "faulty (ZeroDivisionError" in checks["plugins"]["detail"]
    assert checks["source soroban-rpc"]["ok"]
    assert outcome.err.count("plugin faulty is broken") == 1


CHECKS = """
async def good(settings): return Health(True, "plenty")
async def nonsense(settings): return "fine"
async def leaving(settings): sys.exit(9)
@hookimpl
def health_checks():
    return [HealthCheck("database", good), HealthCheck("nonsense", nonsense), HealthCheck("leaving", leaving)]
"""


def test_checks_of_plugins_stand_beside_ours_and_their_faults_are_theirs(on_node, install):
    install("shop", CHECKS)
    outcome = on_node("doctor", "--json")
    assert outcome.code == 2
    checks = outcome.json["checks"]
    assert checks["database"]["detail"] == "sqlite:///stellarstream.db is empty; the first sync prepares it"
    assert checks["plugin shop: database"] == {"ok": True, "detail": "plenty"}
    assert "it returned str, not Health" in checks["plugin shop: nonsense"]["detail"]
    assert "SystemExit" in checks["plugin shop: leaving"]["detail"]
    assert all(checks[name]["ok"] for name in ("version", "settings", "plugins", "source soroban-rpc"))


KEYED = """
class Section(PluginSection):
    token: SecretStr
    where: Path = Path("x/y")
    upstream: str = "postgresql:me:s3cret@host/db"
@hookimpl
def register_settings(): return PluginSettings("my_keyed", Section)
"""


def test_a_required_key_that_is_absent_is_named(invoke, install):
    install("keyed", KEYED)
    outcome = invoke("config", "show")
    assert outcome.code == 2
    assert "plugins.my_keyed.token: field required" in outcome.err


def test_a_section_with_an_underscore_is_set_by_environment_and_shown_without_secrets(invoke, install):
    install("keyed", KEYED)
    outcome = invoke("config", "show", "--json", PLUGINS__MY_KEYED__TOKEN="s3cret")
    assert outcome.code == 0, outcome.err
    variable = "$STELLARSTREAM_PLUGINS__MY_KEYED__TOKEN"
    assert outcome.json["plugins.my_keyed.token"] == {"value": "(set)", "from": variable}
    assert outcome.json["plugins.my_keyed.where"] == {"value": "x/y", "from": "default"}
    assert "s3cret" not in outcome.out


COMMAND = """
@click.command()
@database_option
@click.pass_context
def told(ctx, database):
    found = runtime(ctx, database_url=database)
    click.echo(f"{found.settings.database_url} {runtime_of(ctx).settings.database_url}")
@hookimpl
def register_commands(): return [CommandSpec("told", "installed_told:told", "Say which database.")]
"""


def test_a_plugins_command_hears_the_flags(invoke, install):
    install("told", COMMAND)
    outcome = invoke("told", "--database", "sqlite:///flag.db", DATABASE_URL="sqlite:///variable.db")
    assert outcome.out == "sqlite:///flag.db sqlite:///flag.db\n", outcome.err


TABLES = """
@hookimpl
def register_models(): return ModelSet("shop", Path(__file__).parent / "shop_migrations")
"""


def test_the_tables_of_a_new_plugin_are_told_as_such(invoke, install, tmp_path):
    assert invoke("migrate").code == 0
    (tmp_path / "site" / "shop_migrations").mkdir()
    (tmp_path / "site" / "shop_migrations" / "0001_orders.py").write_text("def migrate(m):\n    m.sql('SELECT 1')\n")
    install("shop", TABLES)
    for command in (["gaps"], ["migrate", "--check"], ["doctor"]):
        outcome = invoke(*command, RPC_URL=NOWHERE, PLUGINS__SOROBAN_RPC__MAX_RETRIES="1")
        assert outcome.code == 2
        assert "lacks 1 migration (shop/0001_orders)" in outcome.out + outcome.err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "not a URL"),
        ("postgresql:me:s3cret@host/db", "not a URL"),
        ("postgresql://me:12/s3cret@host/db", "%2F"),
        ("mysql://me:s3cret@host/db", "mysql"),
    ],
)
def test_config_check_refuses_an_address_no_database_can_have(invoke, url, said):
    outcome = invoke("config", "check", DATABASE_URL=url)
    assert outcome.code == 2
    assert said in outcome.err
    doctor = invoke("doctor", RPC_URL=NOWHERE, PLUGINS__SOROBAN_RPC__MAX_RETRIES="1")
    assert "s3cret" not in outcome.err + doctor.out + doctor.err + invoke("config", "show").out


def test_config_show_tells_the_endpoint_that_comes_with_the_network(invoke, monkeypatch):
    monkeypatch.delenv("STELLARSTREAM_RPC_URL")
    assert invoke("config", "show", "--json").json["rpc_url"] == {
        "value": ["https://soroban-testnet.stellar.org"],
        "from": "network",
    }
    shown = invoke("config", "show", "--json", RPC_URL=NOWHERE).json["rpc_url"]
    assert shown == {"value": [NOWHERE], "from": "$STELLARSTREAM_RPC_URL"}


def test_variables_that_are_empty_count_as_not_given(invoke):
    outcome = invoke("config", "check", START_LEDGER="", NETWORK="", RPC_URL="", DATABASE_URL="", LOG_FORMAT="")
    assert outcome.code == 0, outcome.err
