"""Plugins: order, allow-list, and broken ones that hurt nobody. One test a hook."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType, SimpleNamespace

import pytest
from pydantic import BaseModel

from stellarstream_core import hookimpl
from stellarstream_core.api.app import CORE_ROUTES, all_routes
from stellarstream_core.api.models import Parameters
from stellarstream_core.api.routes import Route
from stellarstream_core.chain import ChainClientSpec
from stellarstream_core.decoding import DecoderSpec
from stellarstream_core.errors import PluginError
from stellarstream_core.hookspecs import (
    HOOK_NAMES,
    CommandSpec,
    ExportSpec,
    GaugeSpec,
    Health,
    HealthCheck,
    ModelSet,
    PluginSettings,
    hookspec,
)
from stellarstream_core.plugins import GROUP, Plugins
from stellarstream_core.projections import ProjectionSpec
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


class City(Parameters):
    city: str


class Number(Parameters):
    number: str


def test_hook_register_settings_gives_a_section(plugin):
    found = Plugins.load(found=[plugin("a", register_settings=lambda: PluginSettings("a", Section))])
    assert found.settings_sections() == [PluginSettings("a", Section)]


def test_hook_register_sources_gives_sources_by_name(plugin):
    one, two = spec("one"), spec("two")
    found = Plugins.load(found=[plugin("a", register_sources=lambda: [one, two])])
    assert found.sources() == {"one": one, "two": two}


def test_hook_register_chain_clients_gives_clients_by_name(plugin):
    one, two = (ChainClientSpec(name, "a client", bool, nothing) for name in ("one", "two"))
    found = Plugins.load(found=[plugin("a", register_chain_clients=lambda: [one, two])])
    assert found.chain_clients() == {"one": one, "two": two}


def test_hook_register_storages_gives_backends_by_scheme(plugin):
    backend = StorageSpec("mem", "memory", lambda *_: None)
    found = Plugins.load(found=[plugin("a", register_storages=lambda: [backend])])
    assert found.storages() == {"mem": backend}


def test_hook_register_exports_gives_kinds_of_records_by_name(plugin):
    orders = ExportSpec("orders", "Orders.", ("id",), lambda *_: [], lambda *_: None)
    found = Plugins.load(found=[plugin("a", register_exports=lambda: [orders])])
    assert found.exports() == {"orders": orders}


def test_hook_register_models_gives_migrations(plugin, tmp_path):
    found = Plugins.load(found=[plugin("a", register_models=lambda: ModelSet("a", tmp_path))])
    assert found.models() == [ModelSet("a", tmp_path)]


def test_hook_register_sinks_gives_sinks_for_the_settings(plugin):
    def register_sinks(settings):
        return [SimpleNamespace(name=settings.network, publish=lambda batch: None)]

    found = Plugins.load(found=[plugin("a", register_sinks=register_sinks)])
    assert [sink.name for sink in found.sinks(load_settings(environ={}))] == ["testnet"]


def test_hook_register_routes_gives_routes_by_method_and_path(plugin):
    route = Route(method="GET", path="/weather/{city}", path_model=City, handler=nothing, summary="Weather")
    found = Plugins.load(found=[plugin("a", register_routes=lambda: [route])])
    assert found.routes() == {"GET /api/v1/weather/{}": route}


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "weather"},
        {"path": "/weather"},  # the path model has a field more
        {"method": "get"},
        {"handler": None},
        {"body": City},  # reading takes no body
        {"problems": (KeyError,)},
    ],
)
def test_a_route_that_is_declared_wrongly_takes_its_plugin_out(plugin, wrong):
    declared = {"method": "GET", "path": "/weather/{city}", "path_model": City, "handler": nothing, "summary": "W"}
    found = Plugins.load(found=[plugin("a", register_routes=lambda: [Route(**declared | wrong)])])
    assert found.routes() == {}
    assert [broken.name for broken in found.broken] == ["a"]


def test_a_plugin_that_offers_a_route_of_the_frameworks_is_taken_out_with_all_its_routes(plugin):
    mine = Route(method="GET", path="/mine", handler=nothing, summary="Mine")
    theirs = Route(method="GET", path="/events/{number}", path_model=Number, handler=nothing, summary="Theirs")
    found = Plugins.load(found=[plugin("a", register_routes=lambda: [mine, theirs])])
    assert all_routes(found) == CORE_ROUTES
    assert [broken.name for broken in found.broken] == ["a"]


def test_hook_register_decoders_gives_decoders_by_family(plugin):
    decoder = DecoderSpec("weather-v1", "weather stations", lambda events: [None for _ in events])
    found = Plugins.load(found=[plugin("a", register_decoders=lambda: [decoder])])
    assert found.decoders() == {"weather-v1": decoder}


def test_hook_register_projections_gives_projections_by_name(plugin):
    projection = ProjectionSpec("weather", "the weather by place", nothing)
    found = Plugins.load(found=[plugin("a", register_projections=lambda: [projection])])
    assert found.projections() == {"weather": projection}


@pytest.mark.parametrize(
    ("hook", "wrong", "ask"),
    [
        ("register_decoders", DecoderSpec("weather-v1", "weather", None), Plugins.decoders),
        ("register_projections", ProjectionSpec("weather", "weather", "open"), Plugins.projections),
        ("register_projections", spec("weather"), Plugins.projections),
    ],
)
def test_a_decoder_or_projection_that_cannot_be_called_takes_its_plugin_out(plugin, hook, wrong, ask):
    found = Plugins.load(found=[plugin("a", **{hook: lambda: [wrong]})])
    assert ask(found) == {}
    assert [broken.name for broken in found.broken] == ["a"]


@pytest.fixture
def offer():
    """Return a module with hooks that take a ``city``."""

    def make(*names: str, **options) -> ModuleType:
        module = ModuleType("made_hookspecs")
        for name in names:

            def ask(city):
                raise AssertionError

            setattr(module, name, hookspec(**options)(ask))
        return module

    return make


def test_hook_register_hookspecs_gives_hooks_that_plugins_loaded_before_and_after_implement(plugin, offer):
    found = Plugins.load(
        found=[
            plugin("a", weather_of=lambda city: f"rain in {city}"),
            plugin("m", register_hookspecs=lambda: offer("weather_of")),
            plugin("z", weather_of=lambda city: "sun"),
            plugin("zz", weather_of=lambda city: None),
        ]
    )
    assert found.broken == []
    assert found.offered_hooks == ("weather_of",)
    assert found.ask_offered("weather_of", city="Rome") == [("a", "rain in Rome"), ("z", "sun")]
    assert [p.hooks for p in found.all] == [("weather_of",), ("register_hookspecs",), ("weather_of",), ("weather_of",)]


def test_a_plugin_that_raises_from_an_offered_hook_is_taken_out_and_the_others_answer(plugin, offer):
    def explode(city):
        raise RuntimeError(city)

    found = Plugins.load(
        found=[
            plugin("bad", weather_of=explode, register_sources=lambda: [spec("s")]),
            plugin("good", weather_of=lambda: "sun"),
            plugin("m", register_hookspecs=lambda: offer("weather_of")),
        ]
    )
    assert found.ask_offered("weather_of", city="Rome") == [("good", "sun")]
    assert [(p.name, p.error) for p in found.broken] == [("bad", "RuntimeError: Rome")]
    assert found.sources() == {}
    assert found.blame("weather_of", "good", TypeError("no weather")).name == "good"
    assert found.ask_offered("weather_of", city="Rome") == []


def test_an_offered_hook_with_arguments_it_does_not_get_breaks_who_implements_it_alone(plugin, offer):
    found = Plugins.load(
        found=[
            plugin("bad", weather_of=lambda street: "sun"),
            plugin("good", weather_of=lambda city: "rain"),
            plugin("m", register_hookspecs=lambda: offer("weather_of")),
        ]
    )
    assert [p.name for p in found.broken] == ["bad"]
    assert found.ask_offered("weather_of", city="Rome") == [("good", "rain")]


def test_a_hook_of_a_plugin_that_is_not_there_is_unknown_unless_it_is_optional(plugin, monkeypatch):
    bold, modest = plugin("bold", weather_of=lambda city: "sun"), plugin("modest")
    weather = hookimpl(optionalhook=True)(lambda city: "rain")
    monkeypatch.setattr(sys.modules["made_modest"], "weather_of", weather, raising=False)
    found = Plugins.load(found=[bold, modest])
    assert [p.name for p in found.broken] == ["bold"]
    with pytest.raises(ValueError, match="no plugin offers the hook 'weather_of'"):
        found.ask_offered("weather_of", city="Rome")


@pytest.mark.parametrize(
    ("names", "options"),
    [
        ((), {}),
        (("register_sources",), {}),
        (("taken_already",), {}),
        (("weather_of",), {"firstresult": True}),
        (("weather_of",), {"historic": True}),
    ],
)
def test_hooks_that_cannot_be_offered_take_their_plugin_out_and_no_other(plugin, offer, names, options):
    found = Plugins.load(
        found=[
            plugin("a", register_hookspecs=lambda: offer("taken_already"), taken_already=lambda city: 1),
            plugin("bad", register_hookspecs=lambda: offer(*names, **options)),
            plugin("z", register_sources=lambda: [spec("s")]),
        ]
    )
    assert [p.name for p in found.broken] == ["bad"]
    assert set(found.sources()) == {"s"}
    assert found.ask_offered("taken_already", city="Rome") == [("a", 1)]


@pytest.mark.parametrize("answer", [None, 3, object()])
def test_a_plugin_that_offers_no_module_of_hooks_is_taken_out(plugin, answer):
    found = Plugins.load(found=[plugin("bad", register_hookspecs=lambda: answer or "text")])
    assert [p.name for p in found.broken] == ["bad"]


def test_hook_register_commands_gives_commands(plugin):
    command = CommandSpec("greet", "made_a:greet", "Say hello.")
    found = Plugins.load(found=[plugin("a", register_commands=lambda: [command])])
    assert found.commands() == {"greet": command}


def test_hook_stellar_toml_entries_gives_entries_for_the_settings(plugin):
    found = Plugins.load(
        found=[
            plugin("a", stellar_toml_entries=lambda settings: {"URI_REQUEST_SIGNING_KEY": settings.network}),
            plugin("b", stellar_toml_entries=lambda: {"ORG_A": "x", "ORG_B": "y"}),
            plugin("c", stellar_toml_entries=lambda: {}),
        ]
    )
    entries = found.stellar_toml_entries(load_settings(environ={}))
    assert entries == {"URI_REQUEST_SIGNING_KEY": "testnet", "ORG_A": "x", "ORG_B": "y"}
    assert found.broken == []


@pytest.mark.parametrize(
    "answer",
    [None, 3, "text", ["NAME"], [("NAME", "x")], {"name": "x"}, {"SIGNING_KEY": "x"}, {"NAME": 3}, {3: "x"}],
    ids=repr,
)
def test_entries_that_are_none_make_their_plugin_broken_and_none_of_them_is_kept(plugin, answer):
    wrong = {"FINE": "x", **answer} if isinstance(answer, dict) else answer
    found = Plugins.load(
        found=[
            plugin("bad", stellar_toml_entries=lambda settings: wrong),
            plugin("good", stellar_toml_entries=lambda settings: {"GOOD": "x"}),
        ]
    )
    assert found.stellar_toml_entries(load_settings(environ={})) == {"GOOD": "x"}
    assert [p.name for p in found.broken] == ["bad"]


def test_an_entry_that_another_plugin_has_makes_the_later_plugin_broken(plugin):
    found = Plugins.load(
        found=[
            plugin("later", stellar_toml_entries=lambda: {"OTHER": "x", "KEY": "later"}),
            plugin("core", "stellarstream", stellar_toml_entries=lambda: {"KEY": "first"}),
        ]
    )
    assert found.stellar_toml_entries(load_settings(environ={})) == {"KEY": "first"}
    assert [p.name for p in found.broken] == ["later"]


def gauge(name: str = "weather_stations", **other: object) -> GaugeSpec:
    values = {"help": "Stations.", "labels": ("city",), "read": lambda _database, _now: [], **other}
    return GaugeSpec(name, **values)


def test_hook_register_gauges_gives_gauges_by_name(plugin):
    one, two = gauge("weather_stations"), gauge("weather_rain_2", labels=())
    found = Plugins.load(found=[plugin("a", register_gauges=lambda: [one, two])])
    assert found.gauges() == {"weather_stations": one, "weather_rain_2": two}


@pytest.mark.parametrize(
    "wrong",
    [
        gauge(""),
        gauge(None),
        gauge("Weather"),
        gauge("weather-stations"),
        gauge("weather stations"),
        gauge("2_stations"),
        gauge("_stations"),
        *(gauge(f"weather_{end}") for end in ("total", "created", "bucket", "count", "sum", "info")),
        gauge(help=""),
        gauge(help=None),
        gauge(help="two\nlines"),
        gauge(help="\ud800"),
        gauge(labels=["city"]),
        gauge(labels="city"),
        gauge(labels=None),
        gauge(labels=("City",)),
        gauge(labels=("__name__",)),
        gauge(labels=(3,)),
        gauge(labels=("city", "city")),
        gauge(read=None),
        spec("weather"),
    ],
    ids=lambda wrong: ascii(wrong)[:60],
)
def test_a_gauge_that_cannot_be_told_makes_its_plugin_broken(plugin, wrong):
    found = Plugins.load(found=[plugin("bad", register_gauges=lambda: [gauge("weather_fine"), wrong])])
    found.ask_all()
    assert found.gauges() == {}
    assert [p.name for p in found.broken] == ["bad"]


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


def test_an_alias_of_a_registered_module_is_broken_and_the_first_stays(plugin):
    first = plugin("a", register_sources=lambda: [spec("s")])
    found = Plugins.load(found=[first, Point("zz-alias", first.value)])
    assert [(p.name, p.error) for p in found.broken] == [("zz-alias", "ValueError: made_a is the plugin 'a' already")]
    assert set(found.sources()) == {"s"}


def test_the_same_name_in_two_distributions_makes_the_later_plugin_broken(plugin):
    core = plugin("a", "stellarstream", register_sources=lambda: [spec("s")])
    other = plugin("other", register_sources=lambda: [spec("t")])
    found = Plugins.load(found=[Point("a", other.value), core])
    assert [(p.distribution, p.state) for p in found.all] == [("stellarstream", "active"), ("third-party", "broken")]
    assert set(found.sources()) == {"s"}


@pytest.mark.parametrize("what", [None, {}])
def test_an_entry_point_to_nothing_that_can_have_hooks_is_broken(plugin, monkeypatch, what):
    good = plugin("good", register_sources=lambda: [spec("s")])
    monkeypatch.setattr(sys.modules["made_good"], "thing", what, raising=False)
    found = Plugins.load(found=[Point("bad", "made_good:thing"), good])
    assert [p.name for p in found.broken] == ["bad"]
    assert set(found.sources()) == {"s"}


def test_an_exit_while_a_plugin_is_asked_is_its_fault(plugin):
    found = Plugins.load(found=[plugin("bad", register_sources=lambda: sys.exit(7))])
    assert found.sources() == {}
    assert [p.error for p in found.broken] == ["SystemExit: 7"]


def test_nothing_is_kept_of_a_plugin_that_breaks_half_way(plugin):
    found = Plugins.load(
        found=[
            plugin("a", register_sources=lambda: [spec("one"), 3]),
            plugin("b", register_sources=lambda: [spec("two"), spec("two")]),
            plugin("c", register_sources=lambda: [spec("one")]),
        ]
    )
    assert set(found.sources()) == {"one"}
    assert [p.name for p in found.broken] == ["a", "b"]
    assert found.owner("register_sources", "one").name == "c"


def test_who_offered_a_thing_can_be_blamed_for_it_and_is_logged_once(plugin, logged):
    found = Plugins.load(
        found=[
            plugin("a", register_sources=lambda: [spec("one"), spec("two")]),
            plugin("b", register_sources=lambda: [spec("three")]),
        ]
    )
    found.sources()
    assert found.blame("register_sources", "one", RuntimeError("first\nword")).name == "a"
    found.blame("register_sources", "two", RuntimeError("second"))
    assert found.blame("register_sources", "nobody's", RuntimeError()) is None
    assert [(p.name, p.error) for p in found.broken] == [("a", "RuntimeError: first word")]
    assert set(found.sources()) == {"three"}
    assert len(logged) == 1
    assert logged[0].record["exception"] is not None


@pytest.fixture
def logged():
    from loguru import logger

    messages = []
    number = logger.add(messages.append, level="WARNING")
    yield messages
    logger.remove(number)


@pytest.mark.parametrize("model", [dict, Section(), "Section", None])
def test_a_section_without_a_pydantic_model_makes_its_plugin_broken(plugin, model):
    found = Plugins.load(found=[plugin("bad", register_settings=lambda: PluginSettings("bad", model))])
    assert found.settings_sections() == []
    assert [p.name for p in found.broken] == ["bad"]


class OtherSection(BaseModel):
    pass


@pytest.mark.parametrize(
    "entry",
    [PluginSettings("my-core", OtherSection), PluginSettings("My_Core", OtherSection), PluginSettings("x", Section)],
)
def test_a_section_that_is_taken_makes_the_later_plugin_broken(plugin, entry):
    core = PluginSettings("my-core", Section)
    found = Plugins.load(
        found=[
            plugin("a", register_settings=lambda: entry),
            plugin("core", "stellarstream", register_settings=lambda: core),
        ]
    )
    assert found.settings_sections() == [core]
    assert [p.name for p in found.broken] == ["a"]


def test_tables_that_are_taken_or_not_there_make_their_plugin_broken(plugin, tmp_path):
    found = Plugins.load(
        found=[
            plugin("core", "stellarstream", register_models=lambda: ModelSet("the-core", tmp_path)),
            plugin("a", register_models=lambda: ModelSet("the_core", tmp_path)),
            plugin("b", register_models=lambda: ModelSet("b", tmp_path / "absent")),
            plugin("c", register_models=lambda: ModelSet("API", tmp_path)),
        ]
    )
    assert found.models() == [ModelSet("the-core", tmp_path)]
    assert [p.name for p in found.broken] == ["a", "b", "c"]
    assert "framework's own" in found.broken[-1].error


def sink(name, publish=print):
    return SimpleNamespace(name=name, publish=publish)


@pytest.mark.parametrize(
    "sinks",
    [[sink(3)], [sink("")], [sink("s", "no function")], [object()], [sink("s"), sink("s")], [sink("taken")], None],
    ids=["number", "no name", "no function", "no sink", "twice", "taken", "nothing"],
)
def test_sinks_that_are_none_make_their_plugin_broken(plugin, sinks):
    good = sink("taken")
    found = Plugins.load(
        found=[
            plugin("core", "stellarstream", register_sinks=lambda settings: [good]),
            plugin("bad", register_sinks=lambda settings: sinks),
        ]
    )
    assert found.sinks(load_settings(environ={})) == [good]
    assert [p.name for p in found.broken] == ["bad"]


@pytest.mark.parametrize(
    ("hook", "result"),
    [
        ("register_sources", SourceSpec("s", "", None, lambda _: True, nothing)),
        ("register_sources", SourceSpec("s", "", Capabilities(cost="dear"), lambda _: True, nothing)),
        ("register_sources", SourceSpec("s", "", Capabilities(), True, nothing)),
        ("register_sources", SourceSpec([], "", Capabilities(), lambda _: True, nothing)),
        ("register_chain_clients", ChainClientSpec("c", "", True, nothing)),
        ("register_chain_clients", ChainClientSpec("c", "", bool, None)),
        ("register_chain_clients", ChainClientSpec("", "", bool, nothing)),
        ("register_chain_clients", spec("a source")),
        ("register_storages", StorageSpec("mem", "", None)),
        ("register_commands", CommandSpec("c", "no_attribute", "")),
        ("register_commands", CommandSpec("c", "module:c", None)),
        ("health_checks", HealthCheck("h", None)),
    ],
)
def test_an_offer_that_cannot_be_used_makes_its_plugin_broken(plugin, hook, result):
    found = Plugins.load(found=[plugin("bad", **{hook: lambda: [result]})])
    found.ask_all()
    assert [p.name for p in found.broken] == ["bad"]


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
