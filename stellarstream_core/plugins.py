"""Plugins: discovery through entry points, allow-list, order, and isolation of broken ones.

Built-in plugins stand in the same entry-point group as anybody's. A plugin that fails to import,
names a hook that does not exist, or raises when it is asked, is taken out, logged once with its
traceback, and shown as broken; the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pluggy

from stellarstream_core import hookspecs
from stellarstream_core.errors import PluginError, StellarStreamError
from stellarstream_core.hookspecs import (
    HOOK_NAMES,
    CommandSpec,
    HealthCheck,
    ModelSet,
    PluginSettings,
    Sink,
)
from stellarstream_core.sources import SourceSpec
from stellarstream_core.storage import StorageSpec

if TYPE_CHECKING:
    from stellarstream_core.settings import Settings

GROUP = "stellarstream"
BUILT_IN = "stellarstream"
"""The distribution whose plugins are built in."""

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


class Plugins:
    """The loaded plugins. Each method asks every active plugin once and returns the typed results."""

    def __init__(self, plugins: Sequence[Plugin], manager: pluggy.PluginManager) -> None:
        self.all = tuple(plugins)
        self._manager = manager

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
        return [section for _, section in self._ask("register_settings", PluginSettings)]

    def models(self) -> list[ModelSet]:
        """Return every plugin's tables."""
        return [models for _, models in self._ask("register_models", ModelSet)]

    def sources(self) -> dict[str, SourceSpec]:
        """Return ledger sources by name."""
        return self._by_name("register_sources", SourceSpec, lambda spec: spec.name, "source")

    def storages(self) -> dict[str, StorageSpec]:
        """Return storage backends by URL scheme."""
        return self._by_name("register_storages", StorageSpec, lambda spec: spec.scheme, "storage for the scheme")

    def commands(self) -> dict[str, CommandSpec]:
        """Return the commands that plugins add, by name."""
        return self._by_name("register_commands", CommandSpec, lambda spec: spec.name, "command")

    def health_checks(self) -> dict[str, HealthCheck]:
        """Return named checks."""
        return self._by_name("health_checks", HealthCheck, lambda check: check.name, "health check")

    def sinks(self, settings: Settings) -> list[Sink]:
        """Return the sinks that are called after each commit."""
        return [sink for _, sinks in self._ask("register_sinks", (list, tuple), settings=settings) for sink in sinks]

    def _by_name(self, hook: str, kind: type[ResultT], name: Callable[[ResultT], str], what: str) -> dict[str, ResultT]:
        found: dict[str, ResultT] = {}
        for plugin, results in self._ask(hook, (list, tuple)):
            for result in results:
                if not isinstance(result, kind):
                    self._take_out(
                        plugin, TypeError(f"{hook} must return {kind.__name__}s, not {type(result).__name__}")
                    )
                    break
                if name(result) in found:
                    self._take_out(plugin, ValueError(f"another plugin already offers the {what} {name(result)!r}"))
                    break
                found[name(result)] = result
        return found

    def _ask(
        self, hook: str, kind: type[Any] | tuple[type[Any], ...], **arguments: object
    ) -> Iterator[tuple[Plugin, Any]]:
        active = [plugin for plugin in self.all if plugin.state == "active"]
        for plugin in active:
            if hook not in plugin.hooks:
                continue
            others = [other.module for other in active if other is not plugin]
            try:
                (result,) = self._manager.subset_hook_caller(hook, others)(**arguments)
                if not isinstance(result, kind):
                    raise TypeError(f"{hook} returned {type(result).__name__}")
            except Exception as error:  # a plugin may raise anything; it must not take the process down
                self._take_out(plugin, error)
                continue
            yield plugin, result

    def _take_out(self, plugin: Plugin, error: Exception) -> None:
        _mark_broken(plugin, error)
        self._manager.unregister(plugin.module)


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
    try:
        plugin.module = point.load()
        manager.register(plugin.module, plugin.name)
        plugin.hooks = tuple(
            name for name in HOOK_NAMES if any(c.name == name for c in manager.get_hookcallers(plugin.module) or ())
        )
        manager.check_pending()
    except (Exception, SystemExit) as error:
        if plugin.module is not None and manager.is_registered(plugin.module):
            manager.unregister(plugin.module)
        _mark_broken(plugin, error)


def _mark_broken(plugin: Plugin, error: BaseException) -> None:
    from loguru import logger  # noqa: PLC0415 - only a broken plugin pays for it at start

    plugin.state = "broken"
    plugin.error = str(error) if isinstance(error, StellarStreamError) else f"{type(error).__name__}: {error}"
    logger.opt(exception=error).warning("plugin {} is broken and was skipped: {}", plugin.name, plugin.error)
