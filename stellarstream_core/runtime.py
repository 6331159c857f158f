"""Putting it together: settings, plugins, the database and the sources of one deployment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from stellarstream_core.errors import PluginError, SchemaError, SettingsError, UsageError
from stellarstream_core.plugins import Plugins
from stellarstream_core.settings import Settings, load_settings

if TYPE_CHECKING:
    from stellarstream_core.scope import Scope
    from stellarstream_core.sources import Source, SourceSpec
    from stellarstream_core.storage import Storage


class Runtime:
    """Everything a command needs, made when first used."""

    def __init__(
        self, config: Path | None = None, *, built_in_only: bool = False, flags: dict[str, object] | None = None
    ) -> None:
        self.config = config
        self.built_in_only = built_in_only
        self.flags = flags or {}

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
        absent = {plugin.name for plugin in self.plugins.all if plugin.state != "active"}
        return self.base_settings.with_sections(self.plugins.settings_sections(), ignored=absent)

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
            if schema.pending and schema.applied:
                raise SchemaError(
                    f"The database {storage.url} is from an older stellarstream "
                    f"({len(schema.pending)} migrations to apply).",
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
        scheme, colon, _ = url.partition(":")
        if not colon:
            raise SettingsError("database_url: this is not a URL.", help="Write sqlite:///PATH or postgresql://…")
        scheme = {"postgres": "postgresql"}.get(scheme, scheme)
        backends = self.plugins.storages()
        if scheme not in backends:
            known = ", ".join(sorted(backends)) or "none is installed"
            raise PluginError(f"No installed plugin stores into {scheme!r} databases (there are: {known}).")
        return backends[scheme].open(url, self.settings, self.plugins.models())

    def source_specs(self, names: Sequence[str] = ()) -> list[SourceSpec]:
        """Return the sources to use: those named, in that order, else every configured one by cost."""
        offered = self.plugins.sources()
        if names:
            return [_offered(name, offered) for name in dict.fromkeys(names)]
        found = sorted(
            (spec for spec in offered.values() if spec.configured(self.settings)),
            key=lambda spec: spec.capabilities.cost,
        )
        if not found:
            raise UsageError(
                f"No ledger source is configured for the network {self.settings.network!r}.",
                help="Set rpc_url (STELLARSTREAM_RPC_URL) to a Soroban RPC endpoint.",
            )
        return found

    async def open_sources(self, names: Sequence[str] = ()) -> list[Source]:
        """Build the sources; nothing is connected yet."""
        return [await spec.open(self.settings) for spec in self.source_specs(names)]

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


def _offered(name: str, offered: dict[str, SourceSpec]) -> SourceSpec:
    if name in offered:
        return offered[name]
    near = get_close_matches(name, offered, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise PluginError(f"There is no source {name!r} (there are: {', '.join(sorted(offered)) or 'none'}).{hint}")
