"""The runtime: flags over settings, plugins that break while they are used, and the database's address."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from stellarstream_core import hookimpl
from stellarstream_core.chain import ChainClientSpec
from stellarstream_core.errors import PluginError, SchemaError, SettingsError, SourceUnusableError, UsageError
from stellarstream_core.hookspecs import ModelSet, PluginSettings
from stellarstream_core.plugins import Plugins
from stellarstream_core.runtime import Runtime
from stellarstream_core.settings import PluginSection
from stellarstream_core.sources import Capabilities, SourceSpec
from stellarstream_core.storage import SchemaState, StorageSpec
from tests.core.test_plugins import Point


class OpenSource:
    name = "open"
    closed = False

    async def close(self):
        self.closed = True

    identity = reach = ledger_hash = windows = close


def spec(name, opened=None, configured=True, cost=100):
    async def open_it(_settings):
        if isinstance(opened, BaseException):
            raise opened
        return opened

    def is_configured(_settings):
        if isinstance(configured, BaseException):
            raise configured
        return configured

    return SourceSpec(name, name, Capabilities(cost=cost), is_configured, open_it)


@pytest.fixture
def runtime(monkeypatch, tmp_path):
    """Return a function that makes a runtime in an empty folder with made-up plugins: name to its hooks."""
    monkeypatch.chdir(tmp_path)

    def make(text: str = "", flags=None, **plugins) -> Runtime:
        config = tmp_path / "made.toml"
        config.write_text(text)
        points = []
        for name, hooks in plugins.items():
            module = ModuleType(f"made_{name}")
            for hook, answer in hooks.items():
                setattr(module, hook, hookimpl(answer if callable(answer) else lambda answer=answer: answer))
            monkeypatch.setitem(sys.modules, module.__name__, module)
            points.append(Point(name, module.__name__))
        made = Runtime(config, flags=flags)
        made.plugins = Plugins.load(found=points)
        return made

    return make


def raises(error):
    def function():
        raise error

    return function


def broken(runtime):
    return [plugin.name for plugin in runtime.plugins.broken]


# --- flags ------------------------------------------------------------------------------------------


def test_flags_count_even_after_the_settings_were_read(runtime):
    first = runtime('database_url = "sqlite:///file.db"', flags={"start_ledger": 7})
    assert first.settings.database_url == "sqlite:///file.db"
    second = first.with_flags({"database_url": "sqlite:///flag.db"})
    assert (second.settings.database_url, second.settings.start_ledger) == ("sqlite:///flag.db", 7)
    assert first.settings.database_url == "sqlite:///file.db"
    assert second.plugins is first.plugins, "the plugins are not loaded, and the broken ones not logged, again"
    assert first.with_flags({}) is first


def test_another_allow_list_loads_the_plugins_anew(runtime):
    first = runtime()
    second = first.with_flags({"allowed_plugins": "sql"})
    assert [plugin.name for plugin in second.plugins.all if plugin.state == "active"] == ["sql"]


# --- settings sections ------------------------------------------------------------------------------


def test_a_plugin_that_raises_when_asked_for_its_section_stops_nobody(runtime):
    made = runtime(
        "[plugins.bad]\nx = 1\n[plugins.its-other-name]\nx = 1", bad={"register_settings": raises(OSError())}
    )
    assert dict(made.settings.sections) == {}
    assert broken(made) == ["bad"]


def test_an_unknown_section_is_refused_where_no_plugin_is_broken(runtime):
    with pytest.raises(SettingsError, match=r"plugins\.bad"):
        _ = runtime("[plugins.bad]\nx = 1", good={}).settings


def test_a_section_whose_model_breaks_takes_its_plugin_out(runtime):
    class Bad(PluginSection):
        def model_post_init(self, _):
            raise RuntimeError("boom")

    made = runtime(
        bad={"register_settings": PluginSettings("b", Bad), "register_sources": [spec("s")]},
        good={"register_sources": [spec("t")]},
    )
    assert [found.name for found in made.source_specs()] == ["t"]
    assert broken(made) == ["bad"]


# --- sources ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit(3)])
def test_a_source_that_cannot_say_whether_it_is_configured_is_skipped_with_its_plugin(runtime, error):
    made = runtime(
        bad={"register_sources": [spec("before"), spec("bad", configured=error), spec("after")]},
        good={"register_sources": [spec("dear", cost=9), spec("cheap", cost=1)]},
    )
    assert [found.name for found in made.source_specs()] == ["cheap", "dear"]
    assert broken(made) == ["bad"]


@pytest.mark.parametrize("opened", [RuntimeError("boom"), SystemExit(3), None, object()])
async def test_a_source_that_cannot_be_built_is_left_out_with_its_plugin(runtime, opened):
    source = OpenSource()
    made = runtime(
        bad={"register_sources": [spec("bad", opened, cost=1), spec("too", OpenSource(), cost=2)]},
        good={"register_sources": [spec("good", source)]},
    )
    assert await made.open_sources() == [source]
    assert broken(made) == ["bad"]


async def test_a_source_that_was_named_and_cannot_be_built_is_an_error(runtime):
    source = OpenSource()
    made = runtime(
        bad={"register_sources": [spec("bad", RuntimeError("boom"))]}, good={"register_sources": [spec("good", source)]}
    )
    with pytest.raises(PluginError, match=r"'bad' cannot be opened: its plugin 'bad' is broken .*boom"):
        await made.open_sources(["good", "bad"])
    assert source.closed, "what was opened before is closed"
    with pytest.raises(PluginError, match=r"no source 'bad'"):
        await made.open_sources(["bad"])


async def test_without_a_source_left_there_is_an_error_that_names_the_broken(runtime):
    made = runtime(bad={"register_sources": [spec("bad", RuntimeError("boom"))]})
    with pytest.raises(UsageError, match=r"No ledger source is left.* bad"):
        await made.open_sources()
    with pytest.raises(UsageError, match=r"No ledger source is configured"):
        await runtime(idle={"register_sources": [spec("idle", configured=False)]}).open_sources()


@pytest.mark.parametrize("error", [SourceUnusableError("not here"), PluginError("not like this")])
async def test_what_a_source_says_on_purpose_passes(runtime, error):
    made = runtime(good={"register_sources": [spec("good", error)]})
    with pytest.raises(type(error), match=r"not"):
        await made.open_sources()
    assert broken(made) == []


async def test_one_source_is_opened_by_its_offer(runtime):
    source = OpenSource()
    made = runtime(good={"register_sources": [spec("good", source)]}, bad={"register_sources": [spec("bad", None)]})
    bad, good = made.source_specs()
    assert await made.open_source(good) is source
    for _ in range(2):
        with pytest.raises(PluginError, match=r"cannot be opened"):
            await made.open_source(bad)


# --- chain clients ----------------------------------------------------------------------------------


class OpenChainClient:
    name = "open"

    async def close(self):
        pass

    ledger_entries = simulate = send = transaction = close


def chain_spec(name, opened=None, configured=True):
    like = spec(name, opened, configured)
    return ChainClientSpec(name, name, like.configured, like.open)


def offers(*specs):
    return {"register_chain_clients": list(specs)}


async def test_the_first_configured_chain_client_is_opened(runtime):
    client = OpenChainClient()
    made = runtime(
        a=offers(chain_spec("idle", OpenChainClient(), configured=False)),
        b=offers(chain_spec("one", client), chain_spec("two", OpenChainClient())),
    )
    assert await made.open_chain_client() is client


async def test_without_a_configured_chain_client_there_is_none(runtime):
    made = runtime(a=offers(chain_spec("idle", OpenChainClient(), configured=False)), b={})
    assert await made.open_chain_client() is None


@pytest.mark.parametrize("opened", [RuntimeError("boom"), SystemExit(3), None, object()])
async def test_a_chain_client_that_cannot_be_built_is_left_out_with_its_plugin(runtime, opened):
    client = OpenChainClient()
    made = runtime(
        a=offers(chain_spec("bad", opened), chain_spec("too", OpenChainClient())), b=offers(chain_spec("good", client))
    )
    assert await made.open_chain_client() is client
    assert broken(made) == ["a"]


@pytest.mark.parametrize(
    "bad", [chain_spec("bad", RuntimeError("boom")), chain_spec("bad", configured=RuntimeError("boom")), "no spec"]
)
async def test_no_chain_client_left_is_an_error_and_not_none(runtime, bad):
    made = runtime(a=offers(bad))
    for _ in range(2):
        with pytest.raises(PluginError, match=r"No chain client is left.* a"):
            await made.open_chain_client()


async def test_what_a_chain_client_says_on_purpose_passes(runtime):
    made = runtime(
        a=offers(chain_spec("a", SourceUnusableError("not here"))), b=offers(chain_spec("b", OpenChainClient()))
    )
    with pytest.raises(SourceUnusableError, match="not here"):
        await made.open_chain_client()
    assert broken(made) == []


# --- the database -----------------------------------------------------------------------------------


def storage(schema: SchemaState):
    return StorageSpec("mem", "", lambda *_: SimpleNamespace(url="mem://x", schema=lambda: schema, close=lambda: None))


@pytest.mark.parametrize(
    ("pending", "said"),
    [
        (("shop/0001_orders",), r"lacks 1 migration \(shop/0001_orders\)"),
        (("sql/0002_x", "shop/0001_orders"), r"lacks 2 migrations \(sql/0002_x, shop/0001_orders\)"),
    ],
)
def test_the_migrations_that_a_database_lacks_are_named(runtime, pending, said):
    state = SchemaState(("sql/0001_x",), pending, ())
    made = runtime('database_url = "mem://x"', mem={"register_storages": [storage(state)]})
    with pytest.raises(SchemaError, match=said):
        made.open_storage()


def test_a_storage_that_breaks_while_it_is_opened_is_a_sentence(runtime):
    def explode(*_):
        raise RuntimeError("boom")

    made = runtime('database_url = "mem://x"', mem={"register_storages": [StorageSpec("mem", "", explode)]})
    with pytest.raises(PluginError, match=r"mem storage cannot be opened: its plugin 'mem' is broken .*boom"):
        made.connect_storage()
    assert broken(made) == ["mem"]


def test_the_frameworks_tables_come_first_and_broken_ones_are_left_out_of_the_schema(runtime, tmp_path):
    seen = []
    made = runtime(
        'database_url = "mem://x"',
        mem={"register_storages": [StorageSpec("mem", "", lambda _url, _settings, models: seen.extend(models))]},
        good={"register_models": ModelSet("good", tmp_path)},
        bad={"register_models": ModelSet("bad", tmp_path / "absent")},
    )
    made.connect_storage()
    assert [models.name for models in seen] == ["api", "good"]


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("nonsense", SettingsError),
        ("mem:me:s3cret@host/db", SettingsError),
        ("mem://me:12/s3cret@host/db", SettingsError),
        ("me:s3cret@host://db", SettingsError),
        ("other://me:s3cret@host/db", PluginError),
    ],
)
def test_a_database_url_is_checked_without_opening_it_and_without_repeating_it(runtime, url, error):
    made = runtime(
        f'database_url = "{url}"', mem={"register_storages": [StorageSpec("mem", "", raises(AssertionError))]}
    )
    with pytest.raises(error) as caught:
        made.check_database_url()
    assert "s3cret" not in caught.value.message
    runtime('database_url = "mem://me:s3cret@host/db"', mem={"register_storages": [storage(None)]}).check_database_url()
