"""Putting it together: settings, plugins, the database and the sources of one deployment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from stellarstream_core.errors import (
    PluginError,
    SchemaError,
    SettingsError,
    SourceUnusableError,
    StellarStreamError,
    StorageError,
    UsageError,
)
from stellarstream_core.plugins import CORE_MODELS, FAULTS, Plugins
from stellarstream_core.redact import UNREADABLE, redact_url
from stellarstream_core.settings import Settings, load_settings

if TYPE_CHECKING:
    from stellarstream_core.chain import ChainClient, ChainClientSpec
    from stellarstream_core.scope import Scope
    from stellarstream_core.sources import Source, SourceSpec
    from stellarstream_core.storage import Storage, StorageSpec

_SOURCE_METHODS = ("identity", "reach", "ledger_hash", "windows", "close")
_CHAIN_CLIENT_METHODS = ("ledger_entries", "simulate", "send", "transaction", "close")


class Runtime:
    """Everything a command needs, made when first used. ``flags`` win over all other settings."""

    def __init__(
        self, config: Path | None = None, *, built_in_only: bool = False, flags: Mapping[str, object] | None = None
    ) -> None:
        self.config = config
        self.built_in_only = built_in_only
        self.flags = MappingProxyType(dict(flags or {}))

    def with_flags(self, flags: Mapping[str, object]) -> Runtime:
        """Return a runtime with these flags too. Settings are read anew; the plugins stay if the same are allowed."""
        if not flags:
            return self
        other = Runtime(self.config, built_in_only=self.built_in_only, flags={**self.flags, **flags})
        loaded = self.__dict__.get("plugins")  # only if they were loaded: this must not load them
        if loaded is not None and other.base_settings.allowed_plugins == self.base_settings.allowed_plugins:
            other.plugins = loaded  # so that a broken plugin is logged once, and stays out
        return other

    @cached_property
    def base_settings(self) -> Settings:
        """The settings before the plugins' sections are checked."""
        return load_settings(self.config, flags=self.flags)

    @cached_property
    def plugins(self) -> Plugins:
        """The plugins, loaded by the settings' allow-list."""
        return Plugins.load(allowed=self.base_settings.allowed_plugins, built_in_only=self.built_in_only)

    @cached_property
    def settings(self) -> Settings:
        """The settings, the plugins' sections included. Raises ``SettingsError``."""
        registered = self.plugins.settings_sections()  # asked first: asking shows who is broken
        absent = [plugin for plugin in self.plugins.all if plugin.state != "active"]
        return self.base_settings.with_sections(
            registered,
            ignored=[plugin.name for plugin in absent],
            # a plugin that never said what its section is called may have any of those left over
            lenient=any(plugin.state in {"broken", "switched off"} for plugin in absent),
            blame=partial(self.plugins.blame, "register_settings"),
        )

    def open_storage(self, *, create: bool = False) -> Storage:
        """Open the database, its schema checked.

        An empty database gets its schema where ``create`` is set. Raises ``SchemaError`` where it is
        empty otherwise, or older or newer than this code.
        """
        storage = self.connect_storage()
        try:
            schema = storage.schema()
            if schema.unknown:
                raise SchemaError(
                    f"The database {storage.url} was written by a newer stellarstream "
                    f"(it has the migration {schema.unknown[-1]}).",
                    help="Upgrade stellarstream, or use another database.",
                )
            if schema.pending and schema.applied and not (create and _is_unused(storage)):
                raise SchemaError(
                    f"The database {storage.url} lacks {migrations(schema.pending)}: "
                    "stellarstream or a plugin is newer than it.",
                    help="Make a backup, then run 'stellarstream migrate'.",
                )
            if schema.pending:
                if not create:
                    raise SchemaError(
                        f"The database {storage.url} is empty.",
                        help="Run 'stellarstream sync' first, or check 'database_url'.",
                    )
                storage.migrate()
        except BaseException:
            storage.close()
            raise
        return storage

    def connect_storage(self) -> Storage:
        """Open the database by its URL's scheme, whatever its schema. Raises ``StorageError``."""
        url = self.settings.database_url
        backend = self._backend(url)
        try:
            return backend.open(url, self.settings, [CORE_MODELS, *self.plugins.models()])
        except StellarStreamError:
            raise
        except FAULTS as error:
            raise self._broken("register_storages", backend.scheme, f"The {backend.scheme} storage", error) from error

    def check_database_url(self) -> None:
        """Raise ``SettingsError`` or ``PluginError`` where ``database_url`` cannot be one; nothing is opened."""
        url = self.settings.database_url
        self._backend(url)
        if redact_url(url) == UNREADABLE:
            raise SettingsError(
                "database_url: this address cannot be taken apart.",
                help="In user name and password write '@', ':', '/', '?' and '#' as %40, %3A, %2F, %3F and %23.",
            )

    def _backend(self, url: str) -> StorageSpec:
        scheme, separator, _ = url.partition("://")
        if not separator or not scheme.replace("+", "").isalnum():
            raise SettingsError("database_url: this is not a URL.", help="Write sqlite:///PATH or postgresql://…")
        backends = self.plugins.storages()
        if scheme not in backends:
            known = ", ".join(sorted(backends)) or "none is installed"
            raise PluginError(f"No installed plugin stores into {scheme!r} databases (there are: {known}).")
        return backends[scheme]

    def source_specs(self, names: Sequence[str] = (), scope: Scope | None = None) -> list[SourceSpec]:
        """Return the sources to use: those named, in that order, else every configured one as it suits the scope.

        Raises ``PluginError`` for a name that nobody offers, ``UsageError`` where none is configured.
        """
        offered = self.plugins.sources()
        if names:
            return [_offered(name, offered) for name in dict.fromkeys(names)]
        found = [spec for spec in offered.values() if self._is_configured(spec)]
        found = [spec for spec in found if self._is_active(spec)]  # its plugin may have broken over another one
        if not found:
            raise self._no_source()
        from stellarstream_core.scope import Scope  # noqa: PLC0415 - not needed to show help
        from stellarstream_core.sync.plan import by_preference  # noqa: PLC0415 - not needed to show help

        return by_preference(found, scope or Scope(()))

    async def open_source(self, spec: SourceSpec) -> Source:
        """Build one source; nothing is connected yet.

        Raises what the source says on purpose (``StellarStreamError``), and ``PluginError`` for
        anything else: its plugin is taken out then.
        """
        if not self._is_active(spec):
            raise PluginError(f"The source {spec.name!r} cannot be opened: its plugin is broken.")
        try:
            source = await spec.open(self.settings)
            _require_methods(source, _SOURCE_METHODS)
        except StellarStreamError:
            raise
        except FAULTS as error:
            raise self._broken("register_sources", spec.name, f"The source {spec.name!r}", error) from error
        return source

    async def open_sources(
        self,
        names: Sequence[str] = (),
        scope: Scope | None = None,
        arrange: Callable[[Sequence[SourceSpec]], Sequence[SourceSpec]] = list,
    ) -> list[Source]:
        """Build the sources of :meth:`source_specs`, in an order of one's own if told; nothing is connected yet.

        A source that was named and breaks raises ``PluginError``, one that can never serve here
        ``SourceUnusableError``; of those chosen by the settings they are left out, and ``UsageError``
        says that none is left.
        """
        opened: list[Source] = []
        unusable: SourceUnusableError | None = None
        try:
            for spec in arrange(self.source_specs(names, scope)):
                try:
                    opened.append(await self.open_source(spec))
                except PluginError:
                    if names or self._is_active(spec):
                        raise
                except SourceUnusableError as error:  # such as a library that is not installed
                    if names:
                        raise
                    from loguru import logger  # noqa: PLC0415 - not needed to show help

                    logger.warning("source {} is left out: {} {}", spec.name, error.message, error.help)
                    unusable = error
            if not opened:
                raise unusable or self._no_source()
        except BaseException:
            for source in opened:
                with suppress(Exception):  # the first error is the one to tell
                    await source.close()
            raise
        return opened

    async def open_chain_client(self) -> ChainClient | None:
        """Build the first configured chain client, built-in ones first; None where none is configured.

        Nothing is connected yet. Raises what the client says on purpose (``StellarStreamError``). A client
        that breaks takes its plugin out, and the next one is built; where none is left ``PluginError`` says
        so, for without access to the chain a caller would do something else than it was set up for.
        """
        hook = "register_chain_clients"
        for spec in self.plugins.chain_clients().values():
            if not self._is_configured(spec, hook):
                continue
            try:
                client = await spec.open(self.settings)
                _require_methods(client, _CHAIN_CLIENT_METHODS)
            except StellarStreamError:
                raise
            except FAULTS as error:
                self.plugins.blame(hook, spec.name, error)
                continue
            return client
        broken = ", ".join(plugin.name for plugin in self.plugins.broken if hook in plugin.hooks)
        if broken:
            raise PluginError(f"No chain client is left: the plugins that are broken are {broken}.")
        return None

    def _is_configured(self, spec: SourceSpec | ChainClientSpec, hook: str = "register_sources") -> bool:
        try:
            return bool(self._is_active(spec, hook) and spec.configured(self.settings))
        except FAULTS as error:
            self.plugins.blame(hook, spec.name, error)
            return False

    def _is_active(self, spec: SourceSpec | ChainClientSpec, hook: str = "register_sources") -> bool:
        owner = self.plugins.owner(hook, spec.name)
        return owner is None or owner.state == "active"

    def _no_source(self) -> UsageError:
        broken = ", ".join(plugin.name for plugin in self.plugins.broken if "register_sources" in plugin.hooks)
        if broken:
            return UsageError(
                f"No ledger source is left: the plugins that are broken are {broken}.",
                help="Run 'stellarstream plugins' to see why, or set rpc_url (STELLARSTREAM_RPC_URL).",
            )
        return UsageError(
            f"No ledger source is configured for the network {self.settings.network!r}.",
            help="Set rpc_url (STELLARSTREAM_RPC_URL) to a Soroban RPC endpoint.",
        )

    def _broken(self, hook: str, name: str, what: str, error: BaseException) -> PluginError:
        owner = self.plugins.blame(hook, name, error)
        if owner is None:
            return PluginError(f"{what} cannot be opened: {type(error).__name__}.")
        return PluginError(f"{what} cannot be opened: its plugin {owner.name!r} is broken ({owner.error}).")

    def scope(self, contracts: Iterable[str] = (), storage: Storage | None = None) -> Scope:
        """Return the scope: ``contracts``, else the configured ones, else all that ``storage`` knows of."""
        from stellarstream_core.scope import Scope  # noqa: PLC0415 - not needed to show help

        wanted = list(contracts) or self.settings.contracts
        if not wanted and storage is not None:
            wanted = sorted(storage.sync_states())
        if not wanted:
            raise UsageError(
                "No contract to index: the scope is empty.",
                help="Give --contract C… (or '*' for everything), or set 'contracts'.",
            )
        return Scope.of(wanted)

    def scope_if_any(self, contracts: Iterable[str], storage: Storage) -> Scope | None:
        """Return what :meth:`scope` returns, None where it would be empty."""
        try:
            return self.scope(contracts, storage)
        except UsageError:
            return None


def _is_unused(storage: Storage) -> bool:
    """Tell whether nothing was ever stored: then a schema that is there in part was left by whoever was preparing it.

    That may be a process that was killed, or one that is still at it: migrating waits for that one.
    """
    try:
        return storage.moment().position == 0 and not storage.sync_states() and storage.network_passphrase() is None
    except StorageError:
        return False


def migrations(pending: Sequence[str]) -> str:
    """Return ``1 migration (sql/0002_x)``, ``2 migrations (…, …)``: the names say whose they are."""
    return f"{len(pending)} migration{'' if len(pending) == 1 else 's'} ({', '.join(pending)})"


def _require_methods(offered: object, methods: Sequence[str]) -> None:
    for method in methods:
        if not callable(getattr(offered, method, None)):
            raise TypeError(f"{type(offered).__name__} has no method '{method}'")


def _offered(name: str, offered: dict[str, SourceSpec]) -> SourceSpec:
    if name in offered:
        return offered[name]
    near = get_close_matches(name, offered, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise PluginError(f"There is no source {name!r} (there are: {', '.join(sorted(offered)) or 'none'}).{hint}")
