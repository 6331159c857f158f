"""Plugins: order, allow-list, and broken ones that hurt nobody. One test a hook."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType, SimpleNamespace

import pytest
from pydantic import BaseModel

from stellarstream_core import hookimpl
from stellarstream_core.errors import PluginError
from stellarstream_core.hookspecs import HOOK_NAMES, CommandSpec, Health, HealthCheck, ModelSet, PluginSettings
from stellarstream_core.plugins import GROUP, Plugins
from stellarstream_core.settings import load_settings
from stellarstream_core.sources import Capabilities, SourceSpec
from stellarstream_core.storage import StorageSpec


class Point(EntryPoint):
    """An entry point of a distribution that need not be installed."""

    dist = None

    def __new__(cls, name, module, distribution="third-party"):
        point = super().__new__(cls)
        EntryPoint.__init__(point, name, module, GROUP)
        vars(point)["dist"] = SimpleNamespace(name=distribution, version="1.2")
        return point

    def __init__(self, *_):
        pass


@pytest.fixture
def plugin(monkeypatch):
    def make(name: str, distribution: str = "third-party", **hooks) -> Point:
        module = ModuleType(f"made_{name.replace('-', '_')}")
        for hook, function in hooks.items():
            setattr(module, hook, hookimpl(function))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return Point(name, module.__name__, distribution)

    return make


async def nothing(_settings):
    return Health(True, "fine")


def spec(name: str) -> SourceSpec:
    return SourceSpec(name, "a source", Capabilities(), lambda _: True, nothing)


class Section(BaseModel):
    x: int = 1


def test_hook_register_settings_gives_a_section(plugin):
    found = Plugins.load(found=[plugin("a", register_settings=lambda: PluginSettings("a", Section))])
    assert found.settings_sections() == [PluginSettings("a", Section)]


def test_hook_register_sources_gives_sources_by_name(plugin):
    one, two = spec("one"), spec("two")
    found = Plugins.load(found=[plugin("a", register_sources=lambda: [one, two])])
    assert found.sources() == {"one": one, "two": two}


def test_hook_register_storages_gives_backends_by_scheme(plugin):
    backend = StorageSpec("mem", "memory", lambda *_: None)
    found = Plugins.load(found=[plugin("a", register_storages=lambda: [backend])])
    assert found.storages() == {"mem": backend}


def test_hook_register_models_gives_migrations(plugin, tmp_path):
    found = Plugins.load(found=[plugin("a", register_models=lambda: ModelSet("a", tmp_path))])
    assert found.models() == [ModelSet("a", tmp_path)]


def test_hook_register_sinks_gives_sinks_for_the_settings(plugin):
    def register_sinks(settings):
        return [SimpleNamespace(name=settings.network, publish=lambda batch: None)]

    found = Plugins.load(found=[plugin("a", register_sinks=register_sinks)])
    assert [sink.name for sink in found.sinks(load_settings(environ={}))] == ["testnet"]


def test_hook_register_commands_gives_commands(plugin):
    command = CommandSpec("greet", "made_a:greet", "Say hello.")
    found = Plugins.load(found=[plugin("a", register_commands=lambda: [command])])
    assert found.commands() == {"greet": command}


def test_hook_health_checks_gives_checks(plugin):
    check = HealthCheck("weather", nothing)
    found = Plugins.load(found=[plugin("a", health_checks=lambda: [check])])
    assert found.health_checks() == {"weather": check}


def test_every_hook_has_a_test_here():
    tested = {name.removeprefix("test_hook_") for name in globals() if name.startswith("test_hook_")}
    for hook in HOOK_NAMES:
        assert any(name.startswith(hook) for name in tested), f"no test is named after the hook {hook}"


def test_built_in_plugins_come_first_and_the_rest_by_name(plugin):
    points = [plugin("a"), plugin("z", "stellarstream"), plugin("b")]
    assert [p.name for p in Plugins.load(found=points).all] == ["z", "a", "b"]


def test_a_plugin_that_cannot_be_imported_is_broken_and_the_others_work(plugin):
    found = Plugins.load(
        found=[Point("bad", "no_such_module_at_all"), plugin("good", register_sources=lambda: [spec("s")])]
    )
    assert [p.name for p in found.broken] == ["bad"]
    assert "no_such_module_at_all" in found.broken[0].error
    assert set(found.sources()) == {"s"}


def test_a_plugin_that_raises_is_taken_out_and_the_others_work(plugin):
    def explode():
        raise RuntimeError("boom")

    found = Plugins.load(
        found=[plugin("bad", register_sources=explode), plugin("good", register_sources=lambda: [spec("s")])]
    )
    assert set(found.sources()) == {"s"}
    assert [(p.name, p.error) for p in found.broken] == [("bad", "RuntimeError: boom")]
    assert set(found.sources()) == {"s"}, "asked again, the broken plugin stays out"


@pytest.mark.parametrize("answer", [None, 3, "text", [3], [None]])
def test_a_plugin_that_answers_nonsense_is_taken_out(plugin, answer):
    found = Plugins.load(found=[plugin("bad", register_sources=lambda: answer)])
    assert found.sources() == {}
    assert [p.name for p in found.broken] == ["bad"]


def test_a_hook_that_does_not_exist_makes_its_plugin_broken(plugin):
    found = Plugins.load(found=[plugin("bad", register_sauces=lambda: []), plugin("good")])
    assert [p.name for p in found.broken] == ["bad"]
    assert "register_sauces" in found.broken[0].error


def test_a_hook_with_arguments_it_does_not_get_makes_its_plugin_broken(plugin):
    found = Plugins.load(found=[plugin("bad", register_sources=lambda colour: [])])
    assert [p.name for p in found.broken] == ["bad"]


def test_a_name_that_is_taken_makes_the_later_plugin_broken(plugin):
    found = Plugins.load(
        found=[
            plugin("mine", register_sources=lambda: [spec("s")]),
            plugin("core", "stellarstream", register_sources=lambda: [spec("s")]),
        ]
    )
    assert set(found.sources()) == {"s"}
    assert [p.name for p in found.broken] == ["mine"]


def test_only_allowed_plugins_are_even_imported(plugin):
    found = Plugins.load(allowed=["good"], found=[Point("bad", "no_such_module_at_all"), plugin("good")])
    assert [(p.name, p.state) for p in found.all] == [("bad", "not allowed"), ("good", "active")]


def test_an_allow_list_that_names_what_is_not_installed_is_refused(plugin):
    with pytest.raises(PluginError, match="Did you mean 'good'"):
        Plugins.load(allowed=["goood"], found=[plugin("good")])


def test_without_plugins_only_the_built_in_ones_are_loaded(plugin):
    found = Plugins.load(built_in_only=True, found=[plugin("mine"), plugin("core", "stellarstream")])
    assert [(p.name, p.state) for p in found.all] == [("core", "active"), ("mine", "switched off")]


def test_the_installed_built_in_plugins_are_all_active():
    names = {p.name: (p.state, p.error) for p in Plugins.load(found=entry_points(group=GROUP), built_in_only=True).all}
    assert set(names) >= {"soroban-rpc", "sql", "sandbox"}
    assert all(state == ("active", None) for name, state in names.items() if name in {"soroban-rpc", "sql", "sandbox"})
