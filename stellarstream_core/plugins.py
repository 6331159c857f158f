"""Plugins: discovery through entry points, allow-list, order, and isolation of broken ones.

Built-in plugins stand in the same entry-point group as anybody's. A plugin that fails to import,
names a hook that does not exist, raises when it is asked, or answers something else than promised,
is taken out with everything it offered, logged once with its traceback, and shown as broken; the
rest goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import pluggy
from pydantic import BaseModel

from stellarstream_core import hookspecs
from stellarstream_core.chain import ChainClientSpec
from stellarstream_core.decoding import DecoderSpec
from stellarstream_core.errors import PluginError, StellarStreamError
from stellarstream_core.hookspecs import (
    HOOK_NAMES,
    CommandSpec,
    ExportSpec,
    GaugeSpec,
    HealthCheck,
    ModelSet,
    PluginSettings,
    Sink,
)
from stellarstream_core.projections import ProjectionSpec
from stellarstream_core.settings import Settings, plain_name
from stellarstream_core.sources import Capabilities, SourceSpec
from stellarstream_core.storage import StorageSpec

if TYPE_CHECKING:
    from stellarstream_core.api.routes import Route

GROUP = "stellarstream"
CORE_MODELS = ModelSet("api", Path(__file__).parent / "storage" / "migrations")
"""The tables of ``stellarstream_core.storage.tables``, which no plugin brings."""
BUILT_IN = "stellarstream"
"""The distribution whose plugins are built in."""
FAULTS = (Exception, SystemExit)
"""What counts as a fault of the plugin that raised it; Ctrl-C and a cancelled task are not its doing."""

_METRIC_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_OTHER_KINDS = ("_total", "_created", "_bucket", "_count", "_sum", "_info")
"""Ends of samples of other kinds of metrics."""

State = Literal["active", "broken", "not allowed", "switched off"]
ResultT = TypeVar("ResultT")


@dataclass(slots=True)
class Plugin:
    """One installed plugin, loaded or not. ``error`` is one line; the traceback is in the log."""

    name: str
    distribution: str
    version: str
    state: State = "active"
    hooks: tuple[str, ...] = ()
    error: str | None = None
    module: object | None = field(default=None, repr=False)

    @property
    def built_in(self) -> bool:
        """Whether the plugin came with StellarStream itself."""
        return self.distribution == BUILT_IN


@dataclass(frozen=True, slots=True)
class _Answer(Generic[ResultT]):
    """What a hook promises. ``fault`` says what is wrong with one result, or None.

    Names that are the same after ``same`` cannot be offered twice. An answer is one result, a list of ``many``, or,
    where it is ``keyed``, a mapping whose pairs are the results.
    """

    hook: str
    what: str
    name: Callable[[ResultT], str]
    fault: Callable[[Any], str | None]
    many: bool = True
    keyed: bool = False
    same: Callable[[str], str] = str

    def read(self, answers: Sequence[Any]) -> dict[str, ResultT]:
        """Return one plugin's results by name. Raises ``TypeError`` or ``ValueError`` for a broken promise."""
        if len(answers) != 1:
            raise TypeError(f"{self.hook} returned {'nothing' if not answers else 'more than one answer'}")
        (answer,) = answers
        if self.keyed:
            if not isinstance(answer, Mapping):
                raise TypeError(f"{self.hook} must return a mapping, not {type(answer).__name__}")
            answer = list(answer.items())
        if self.many and not isinstance(answer, (list, tuple)):
            raise TypeError(f"{self.hook} must return a list, not {type(answer).__name__}")
        offered: dict[str, ResultT] = {}
        for result in answer if self.many else [answer]:
            if fault := self.fault(result):
                raise TypeError(f"{self.hook} returned {fault}")
            name = self.name(result)
            if not isinstance(name, str) or not name:
                raise TypeError(f"{self.hook} returned a {self.what} whose name is {name!r}")
            if self.same(name) in map(self.same, offered):
                raise ValueError(f"{self.hook} offers the {self.what} {name!r} twice")
            offered[name] = result
        return offered


def _table_prefix(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower())


def _shape(kind: type, *methods: str) -> Callable[[Any], str | None]:
    """Return the check that a result is a ``kind`` whose ``methods`` can be called."""

    def fault(result: Any) -> str | None:
        if not isinstance(result, kind):
            return f"{type(result).__name__} where {kind.__name__} is due"
        for method in methods:
            if not callable(getattr(result, method)):
                return f"a {kind.__name__} whose '{method}' cannot be called"
        return None

    return fault


def _section_fault(result: Any) -> str | None:
    if fault := _shape(PluginSettings)(result):
        return fault
    if not isinstance(result.model, type) or not issubclass(result.model, BaseModel):
        return f"a section whose model is no pydantic model but {result.model!r}"
    return None


def _models_fault(result: Any) -> str | None:
    if fault := _shape(ModelSet)(result):
        return fault
    if not isinstance(result.migrations, Path) or not result.migrations.is_dir():
        return f"a folder of migrations that is not there: {result.migrations}"
    if isinstance(result.name, str) and _table_prefix(result.name) == CORE_MODELS.name:
        return f"a set of tables called {result.name!r}: that name is the framework's own"
    return None


def _source_fault(result: Any) -> str | None:
    if fault := _shape(SourceSpec, "configured", "open")(result):
        return fault
    if not isinstance(result.capabilities, Capabilities) or not isinstance(result.capabilities.cost, int):
        return "a source without capabilities, or whose cost is no integer"
    return None


def _command_fault(result: Any) -> str | None:
    if fault := _shape(CommandSpec)(result):
        return fault
    if not isinstance(result.target, str) or not isinstance(result.summary, str) or ":" not in result.target:
        return f"a command whose target is not 'module:attribute' or whose summary is no text: {result!r}"
    return None


def _route_fault(result: Any) -> str | None:
    from stellarstream_core.api.routes import Route  # noqa: PLC0415 - it brings aiohttp, which few commands need

    return _shape(Route)(result) or result.fault()


def _gauge_fault(result: Any) -> str | None:
    if fault := _shape(GaugeSpec, "read")(result):
        return fault
    if not _is_metric_name(result.name) or result.name.endswith(_OTHER_KINDS):
        return f"a gauge whose name cannot be a gauge's: {result.name!r}"
    if not isinstance(result.labels, tuple) or not all(map(_is_metric_name, result.labels)):
        return f"the gauge {result.name!r} with labels that cannot be any: {result.labels!r}"
    if len(set(result.labels)) < len(result.labels):
        return f"the gauge {result.name!r} with a label twice: {result.labels!r}"
    if not isinstance(result.help, str) or not result.help or not result.help.isprintable():
        return f"the gauge {result.name!r} without a line that explains it"
    return None


def _is_metric_name(name: object) -> bool:
    return isinstance(name, str) and _METRIC_NAME.fullmatch(name) is not None


def _toml_fault(result: Any) -> str | None:
    from stellarstream_core.api.auth.stellar_toml import entry_fault  # noqa: PLC0415 - only 'serve' asks for entries

    return entry_fault(*result)


def _sink_fault(result: Any) -> str | None:
    if not isinstance(getattr(result, "name", None), str):
        return f"a sink whose name is no text: {type(result).__name__}"
    if not callable(getattr(result, "publish", None)):
        return f"a sink without a 'publish' to call: {type(result).__name__}"
    return None


_SECTIONS: _Answer[PluginSettings] = _Answer(
    "register_settings", "settings section", lambda section: section.name, _section_fault, many=False, same=plain_name
)
_MODELS: _Answer[ModelSet] = _Answer(
    "register_models", "set of tables", lambda models: models.name, _models_fault, many=False, same=_table_prefix
)
_SOURCES: _Answer[SourceSpec] = _Answer("register_sources", "source", lambda spec: spec.name, _source_fault)
_CHAIN_CLIENTS: _Answer[ChainClientSpec] = _Answer(
    "register_chain_clients", "chain client", lambda spec: spec.name, _shape(ChainClientSpec, "configured", "open")
)
_STORAGES: _Answer[StorageSpec] = _Answer(
    "register_storages", "storage for the scheme", lambda spec: spec.scheme, _shape(StorageSpec, "open")
)
_DECODERS: _Answer[DecoderSpec] = _Answer(
    "register_decoders", "decoder for the family", lambda spec: spec.family, _shape(DecoderSpec, "decode")
)
_PROJECTIONS: _Answer[ProjectionSpec] = _Answer(
    "register_projections", "projection", lambda spec: spec.name, _shape(ProjectionSpec, "open")
)
_COMMANDS: _Answer[CommandSpec] = _Answer("register_commands", "command", lambda spec: spec.name, _command_fault)
_EXPORTS: _Answer[ExportSpec] = _Answer(
    "register_exports", "export", lambda spec: spec.name, _shape(ExportSpec, "pages", "missing")
)
_CHECKS: _Answer[HealthCheck] = _Answer(
    "health_checks", "health check", lambda check: check.name, _shape(HealthCheck, "run")
)
_ROUTES: _Answer[Route] = _Answer("register_routes", "route", lambda route: route.name, _route_fault)
_GAUGES: _Answer[GaugeSpec] = _Answer("register_gauges", "gauge", lambda gauge: gauge.name, _gauge_fault)
_TOML_ENTRIES: _Answer[tuple[str, str]] = _Answer(
    "stellar_toml_entries", "entry of stellar.toml", lambda entry: entry[0], _toml_fault, keyed=True
)
_SINKS: _Answer[Sink] = _Answer("register_sinks", "sink", lambda sink: sink.name, _sink_fault)


class Plugins:
    """The loaded plugins. Each method asks every active plugin once and returns the typed results."""

    def __init__(
        self, plugins: Sequence[Plugin], manager: pluggy.PluginManager, offered_hooks: Sequence[str] = ()
    ) -> None:
        self.all = tuple(plugins)
        self.offered_hooks = tuple(offered_hooks)
        """The hooks that plugins offer each other, beside the framework's own."""
        self._manager = manager
        self._owners: dict[tuple[str, str], Plugin] = {}

    @classmethod
    def load(
        cls,
        *,
        allowed: Iterable[str] | None = None,
        built_in_only: bool = False,
        found: Iterable[EntryPoint] | None = None,
    ) -> Plugins:
        """Load every installed plugin that may be loaded.

        ``allowed`` is the allow-list (None: all); a name on it that is not installed raises
        :class:`PluginError`. ``built_in_only`` leaves out third parties' (``--no-plugins``).
        """
        manager = pluggy.PluginManager(GROUP)
        manager.add_hookspecs(hookspecs)
        origin = _Origins()
        points = sorted(
            entry_points(group=GROUP) if found is None else found,
            key=lambda point: (origin.of(point)[0] != BUILT_IN, point.name),
        )
        allow = None if allowed is None else set(allowed)
        if allow is not None:
            _refuse_unknown(allow, {point.name for point in points})
        plugins = [Plugin(point.name, *origin.of(point)) for point in points]
        for plugin in plugins:
            if built_in_only and not plugin.built_in:
                plugin.state = "switched off"
            elif allow is not None and plugin.name not in allow:
                plugin.state = "not allowed"
        loading = [pair for pair in zip(plugins, points, strict=True) if pair[0].state == "active"]
        imported = [pair for pair in loading if _import(*pair)]
        # every hook there is has to be known before the first plugin is held against them
        hooks = _add_offered_hooks([plugin for plugin, _ in imported], manager)
        for plugin, point in imported:
            if plugin.state == "active":
                _register(plugin, point, manager, (*HOOK_NAMES, *hooks))
        return cls(plugins, manager, hooks)

    @property
    def broken(self) -> list[Plugin]:
        """The plugins that were taken out."""
        return [plugin for plugin in self.all if plugin.state == "broken"]

    def settings_sections(self) -> list[PluginSettings]:
        """Return every plugin's settings section."""
        return list(self._ask(_SECTIONS).values())

    def models(self) -> list[ModelSet]:
        """Return every plugin's tables; those of the framework itself are :data:`CORE_MODELS`."""
        return list(self._ask(_MODELS).values())

    def sources(self) -> dict[str, SourceSpec]:
        """Return ledger sources by name."""
        return self._ask(_SOURCES)

    def chain_clients(self) -> dict[str, ChainClientSpec]:
        """Return the clients that read the chain's present state, by name."""
        return self._ask(_CHAIN_CLIENTS)

    def storages(self) -> dict[str, StorageSpec]:
        """Return storage backends by URL scheme."""
        return self._ask(_STORAGES)

    def decoders(self) -> dict[str, DecoderSpec]:
        """Return decoders by contract family."""
        return self._ask(_DECODERS)

    def projections(self) -> dict[str, ProjectionSpec]:
        """Return projections by name."""
        return self._ask(_PROJECTIONS)

    def commands(self) -> dict[str, CommandSpec]:
        """Return the commands that plugins add, by name."""
        return self._ask(_COMMANDS)

    def exports(self) -> dict[str, ExportSpec]:
        """Return the kinds of records that plugins add to ``export``, by name."""
        return self._ask(_EXPORTS)

    def health_checks(self) -> dict[str, HealthCheck]:
        """Return named checks."""
        return self._ask(_CHECKS)

    def sinks(self, settings: Settings) -> list[Sink]:
        """Return the sinks that are called after each commit."""
        return list(self._ask(_SINKS, settings=settings).values())

    def routes(self) -> dict[str, Route]:
        """Return the API routes that plugins add, by method and path."""
        return self._ask(_ROUTES)

    def gauges(self) -> dict[str, GaugeSpec]:
        """Return the gauges that plugins add to ``/metrics``, by name."""
        return self._ask(_GAUGES)

    def stellar_toml_entries(self, settings: Settings) -> dict[str, str]:
        """Return the entries that plugins add to stellar.toml, by name."""
        return dict(self._ask(_TOML_ENTRIES, settings=settings).values())

    def ask_all(self) -> None:
        """Ask for everything that needs no settings, so that whoever breaks is known to be broken."""
        self.settings_sections(), self.models(), self.sources(), self.chain_clients()
        self.storages(), self.commands(), self.health_checks(), self.routes()
        self.decoders(), self.projections(), self.exports(), self.gauges()

    def ask_offered(self, hook: str, **arguments: object) -> list[tuple[str, Any]]:
        """Ask a hook that a plugin offers; return each plugin's name with its answer, built-in ones first.

        Who answers None, or does not implement it, is left out; who raises is taken out like from any
        other hook. What the answer must be is for the plugin that offers the hook to check:
        ``blame(hook, plugin name, error)`` takes out who broke the promise. Raises ``ValueError`` where no
        plugin offers such a hook.
        """
        if hook not in self.offered_hooks:
            raise ValueError(f"no plugin offers the hook {hook!r}")
        answers: list[tuple[str, Any]] = []
        for plugin in self.all:
            if plugin.state != "active" or hook not in plugin.hooks:
                continue
            self._owners[hook, plugin.name] = plugin
            try:
                found = self._call(plugin, hook, arguments)
            except FAULTS as error:
                self._take_out(plugin, error)
                continue
            answers += [(plugin.name, result) for result in found]
        return answers

    def owner(self, hook: str, name: str) -> Plugin | None:
        """Return the plugin whose answer to ``hook`` was last taken under ``name``."""
        return self._owners.get((hook, name))

    def blame(self, hook: str, name: str, error: BaseException) -> Plugin | None:
        """Take out the plugin that offered ``name`` when ``hook`` was asked, for what its offer raised."""
        plugin = self.owner(hook, name)
        if plugin is not None:
            self._take_out(plugin, error)
        return plugin

    def _ask(self, promised: _Answer[ResultT], **arguments: object) -> dict[str, ResultT]:
        found: dict[str, ResultT] = {}
        models: set[type] = set()
        for plugin in self.all:
            if plugin.state != "active" or promised.hook not in plugin.hooks:
                continue
            try:
                offered = promised.read(self._call(plugin, promised.hook, arguments))
                _refuse_taken(promised, offered, found, models)
            except FAULTS as error:  # a plugin may raise anything; it must not take the process down
                self._take_out(plugin, error)
                continue
            found |= offered
            self._owners |= {(promised.hook, name): plugin for name in offered}
        return found

    def _call(self, plugin: Plugin, hook: str, arguments: dict[str, object]) -> Any:
        """Call a hook of one plugin alone."""
        others = [other.module for other in self.all if other.state == "active" and other is not plugin]
        return self._manager.subset_hook_caller(hook, others)(**arguments)

    def _take_out(self, plugin: Plugin, error: BaseException) -> None:
        if plugin.state == "broken":
            return
        _mark_broken(plugin, error)
        if self._manager.is_registered(plugin.module):
            self._manager.unregister(plugin.module)


def _refuse_taken(
    promised: _Answer[ResultT], offered: dict[str, ResultT], found: dict[str, ResultT], models: set[type]
) -> None:
    taken = {promised.same(name) for name in found}
    for name, result in offered.items():
        if promised.same(name) in taken:
            raise ValueError(f"another plugin already offers the {promised.what} {name!r}")
        if isinstance(result, PluginSettings):
            # settings are looked up by their model, so one model cannot stand for two sections
            if result.model in models:
                raise ValueError(f"another plugin's section already has the model {result.model.__name__}")
            models.add(result.model)


class _Origins:
    """Where plugins come from. Each distribution's metadata is parsed once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, str]] = {}

    def of(self, point: EntryPoint) -> tuple[str, str]:
        """Return name and version of the distribution that brings a plugin, two empty texts where none does."""
        if point.dist is None:
            return "", ""
        if id(point.dist) not in self._known:  # the points keep their distributions, so it stays this one's
            self._known[id(point.dist)] = point.dist.name, point.dist.version
        return self._known[id(point.dist)]


def _refuse_unknown(allowed: set[str], installed: set[str]) -> None:
    for name in sorted(allowed - installed):
        near = get_close_matches(name, installed, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise PluginError(f"allowed_plugins names {name!r}, which is not installed.{hint}")


def _import(plugin: Plugin, point: EntryPoint) -> bool:
    """Import a plugin's module; tell whether it is one."""
    try:
        module = point.load()
        if module is None:
            raise TypeError(f"the entry point {point.value} is None")
        hash(module)  # pluggy keeps plugins in sets
    except FAULTS as error:
        _mark_broken(plugin, error)
        return False
    plugin.module = module
    return True


def _add_offered_hooks(plugins: Sequence[Plugin], manager: pluggy.PluginManager) -> list[str]:
    """Add the hooks that plugins offer; return their names. Who offers none that can be added is broken."""
    added: list[str] = []
    for plugin in plugins:
        try:
            if (offer := _offer(plugin, manager)) is None:
                continue
            if not isinstance(offer, ModuleType):
                raise TypeError(f"register_hookspecs must return a module, not {type(offer).__name__}")
            found = {name: manager.parse_hookspec_opts(offer, name) for name in dir(offer)}
            names = [name for name, options in found.items() if options is not None]
            for name in names:
                if name in HOOK_NAMES or name in added:
                    raise ValueError(f"there is a hook {name!r} already")
                if (options := found[name]) and (options["firstresult"] or options["historic"]):
                    raise ValueError(f"the hook {name!r} must ask every plugin, and ask it when it is called")
            manager.add_hookspecs(offer)
        except FAULTS as error:
            _mark_broken(plugin, error)
            continue
        added += names
    return added


def _offer(plugin: Plugin, manager: pluggy.PluginManager) -> object:
    """Return what a plugin's ``register_hookspecs`` returns, None where it has none; it is not registered yet."""
    hook = hookspecs.register_hookspecs.__name__
    if manager.parse_hookimpl_opts(plugin.module, hook) is None:
        return None
    return getattr(plugin.module, hook)()


def _register(plugin: Plugin, point: EntryPoint, manager: pluggy.PluginManager, hooks: Sequence[str]) -> None:
    module, ours = plugin.module, False
    try:
        if (first := manager.get_name(module)) is not None:
            raise ValueError(f"{point.value} is the plugin {first!r} already")
        if manager.has_plugin(plugin.name):
            raise ValueError("another plugin has this name already")
        ours = True
        manager.register(module, plugin.name)
        callers = {caller.name for caller in manager.get_hookcallers(module) or ()}
        plugin.hooks = tuple(name for name in hooks if name in callers)
        manager.check_pending()
    except FAULTS as error:
        # what another entry point registered stays
        if ours and manager.is_registered(module):
            manager.unregister(module)
        _mark_broken(plugin, error)


def _mark_broken(plugin: Plugin, error: BaseException) -> None:
    from loguru import logger  # noqa: PLC0415 - only a broken plugin pays for it at start

    said = " ".join(str(error).split())
    plugin.state = "broken"
    plugin.error = said if isinstance(error, StellarStreamError) else f"{type(error).__name__}: {said}"
    logger.opt(exception=error).warning("plugin {} is broken and was skipped: {}", plugin.name, plugin.error)
