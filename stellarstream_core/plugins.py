"""Plugins: discovery through entry points, allow-list, order, and isolation of broken ones.

Built-in plugins stand in the same entry-point group as anybody's. A plugin that fails to import,
names a hook that does not exist, raises when it is asked, or answers something else than promised,
is taken out with everything it offered, logged once with its traceback, and shown as broken; the
rest goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import pluggy
from pydantic import BaseModel

from stellarstream_core import hookspecs
from stellarstream_core.chain import ChainClientSpec
from stellarstream_core.errors import PluginError, StellarStreamError
from stellarstream_core.hookspecs import (
    HOOK_NAMES,
    CommandSpec,
    HealthCheck,
    ModelSet,
    PluginSettings,
    Sink,
)
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

    Names that are the same after ``same`` cannot be offered twice.
    """

    hook: str
    what: str
    name: Callable[[ResultT], str]
    fault: Callable[[Any], str | None]
    many: bool = True
    same: Callable[[str], str] = str

    def read(self, answers: Sequence[Any]) -> dict[str, ResultT]:
        """Return one plugin's results by name. Raises ``TypeError`` or ``ValueError`` for a broken promise."""
        if len(answers) != 1:
            raise TypeError(f"{self.hook} returned {'nothing' if not answers else 'more than one answer'}")
        (answer,) = answers
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
_COMMANDS: _Answer[CommandSpec] = _Answer("register_commands", "command", lambda spec: spec.name, _command_fault)
_CHECKS: _Answer[HealthCheck] = _Answer(
    "health_checks", "health check", lambda check: check.name, _shape(HealthCheck, "run")
)
_ROUTES: _Answer[Route] = _Answer("register_routes", "route", lambda route: route.name, _route_fault)
_SINKS: _Answer[Sink] = _Answer("register_sinks", "sink", lambda sink: sink.name, _sink_fault)


class Plugins:
    """The loaded plugins. Each method asks every active plugin once and returns the typed results."""

    def __init__(self, plugins: Sequence[Plugin], manager: pluggy.PluginManager) -> None:
        self.all = tuple(plugins)
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
        points = sorted(entry_points(group=GROUP) if found is None else found, key=_order)
        allow = None if allowed is None else set(allowed)
        if allow is not None:
            _refuse_unknown(allow, {point.name for point in points})
        plugins: list[Plugin] = []
        for point in points:
            plugin = Plugin(point.name, _distribution(point), point.dist.version if point.dist else "")
            plugins.append(plugin)
            if built_in_only and not plugin.built_in:
                plugin.state = "switched off"
            elif allow is not None and plugin.name not in allow:
                plugin.state = "not allowed"
            else:
                _load(plugin, point, manager)
        return cls(plugins, manager)

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

    def commands(self) -> dict[str, CommandSpec]:
        """Return the commands that plugins add, by name."""
        return self._ask(_COMMANDS)

    def health_checks(self) -> dict[str, HealthCheck]:
        """Return named checks."""
        return self._ask(_CHECKS)

    def sinks(self, settings: Settings) -> list[Sink]:
        """Return the sinks that are called after each commit."""
        return list(self._ask(_SINKS, settings=settings).values())

    def routes(self) -> dict[str, Route]:
        """Return the API routes that plugins add, by method and path."""
        return self._ask(_ROUTES)

    def ask_all(self) -> None:
        """Ask for everything that needs no settings, so that whoever breaks is known to be broken."""
        self.settings_sections(), self.models(), self.sources(), self.chain_clients()
        self.storages(), self.commands(), self.health_checks(), self.routes()

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
            others = [other.module for other in self.all if other.state == "active" and other is not plugin]
            try:
                offered = promised.read(self._manager.subset_hook_caller(promised.hook, others)(**arguments))
                _refuse_taken(promised, offered, found, models)
            except FAULTS as error:  # a plugin may raise anything; it must not take the process down
                self._take_out(plugin, error)
                continue
            found |= offered
            self._owners |= {(promised.hook, name): plugin for name in offered}
        return found

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


def _order(point: EntryPoint) -> tuple[bool, str]:
    return _distribution(point) != BUILT_IN, point.name


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else ""


def _refuse_unknown(allowed: set[str], installed: set[str]) -> None:
    for name in sorted(allowed - installed):
        near = get_close_matches(name, installed, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise PluginError(f"allowed_plugins names {name!r}, which is not installed.{hint}")


def _load(plugin: Plugin, point: EntryPoint, manager: pluggy.PluginManager) -> None:
    ours = False
    try:
        module = point.load()
        if module is None:
            raise TypeError(f"the entry point {point.value} is None")
        hash(module)  # pluggy keeps plugins in sets
        if (first := manager.get_name(module)) is not None:
            raise ValueError(f"{point.value} is the plugin {first!r} already")
        if manager.has_plugin(plugin.name):
            raise ValueError("another plugin has this name already")
        plugin.module, ours = module, True
        manager.register(module, plugin.name)
        plugin.hooks = tuple(
            name for name in HOOK_NAMES if any(c.name == name for c in manager.get_hookcallers(module) or ())
        )
        manager.check_pending()
    except FAULTS as error:
        # what another entry point registered stays
        if ours and manager.is_registered(plugin.module):
            manager.unregister(plugin.module)
        _mark_broken(plugin, error)


def _mark_broken(plugin: Plugin, error: BaseException) -> None:
    from loguru import logger  # noqa: PLC0415 - only a broken plugin pays for it at start

    said = " ".join(str(error).split())
    plugin.state = "broken"
    plugin.error = said if isinstance(error, StellarStreamError) else f"{type(error).__name__}: {said}"
    logger.opt(exception=error).warning("plugin {} is broken and was skipped: {}", plugin.name, plugin.error)
