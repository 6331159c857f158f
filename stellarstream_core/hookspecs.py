"""Every hook a plugin can implement. Hooks return typed results and are called per start or per batch.

A plugin is a module named in the entry-point group ``stellarstream``; its functions are marked with
``stellarstream_core.hookimpl``. Keep the module light: import heavy things inside the functions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    from peewee import Database
    from pydantic import BaseModel

    from stellarstream_core.api.routes import Route
    from stellarstream_core.chain import ChainClientSpec
    from stellarstream_core.decoding import DecoderSpec
    from stellarstream_core.events import ContractEvent
    from stellarstream_core.plugins import Plugins
    from stellarstream_core.projections import ProjectionSpec
    from stellarstream_core.settings import Settings
    from stellarstream_core.sources import SourceSpec
    from stellarstream_core.storage import Commit, Storage, StorageSpec

hookspec = HookspecMarker("stellarstream")
hookimpl = HookimplMarker("stellarstream")


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """A plugin's section in ``stellarstream.toml``: ``[plugins.NAME]``, checked by ``model``.

    It is checked where it is not written, too: a key without a default is required of everybody who
    has the plugin installed. Names that differ only in ``-`` and ``_`` are the same, and a model
    stands for one section. Secrets are ``SecretStr``: ``config show`` prints everything else.
    """

    name: str
    model: type[BaseModel]


@dataclass(frozen=True, slots=True)
class ModelSet:
    """A plugin's tables: a folder of numbered peewee migrations (``playhouse.migrations``).

    ``name`` keeps the migrations of different plugins apart, so it cannot be one that another plugin
    has, nor ``api``, which is the framework's own; the tables' names should begin with it.
    """

    name: str
    migrations: Path


@dataclass(frozen=True, slots=True)
class CommittedBatch:
    """What sinks are told after a commit: its position and the events it stored, in id order."""

    commit: Commit
    events: Sequence[ContractEvent]


class Sink(Protocol):
    """Hears of committed batches. Raising is logged and counted; it never stops or undoes a sync.

    ``name`` is its own: no other sink may have it.
    """

    name: str

    def publish(self, batch: CommittedBatch) -> None:
        """Take one batch. Called in commit order from one thread; keep it short."""
        ...


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A subcommand of ``stellarstream``: ``target`` is ``module:attribute`` of a click command."""

    name: str
    target: str
    summary: str


@dataclass(frozen=True, slots=True)
class ExportQuery:
    """What to export: records of these contracts (none: of all), of ledgers ``first`` to ``last`` (None: no bound).

    ``plugins`` are those of the command, for hooks that the exporting plugin offers itself.
    """

    contracts: Sequence[str] = ()
    first: int | None = None
    last: int | None = None
    plugins: Plugins | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ExportSpec:
    """A kind of record for ``stellarstream export NAME``, as JSON lines or CSV.

    ``columns`` are the keys of every record, in the order of CSV. ``pages`` yields records some at a time, so that
    no reader holds a database for long; their values are JSON's. ``missing`` says in a sentence what the records
    cannot hold, such as those of ledgers that are not indexed; None where nothing is missing. It is asked before
    the first page.
    """

    name: str
    summary: str
    columns: Sequence[str]
    pages: Callable[[Storage, Settings, ExportQuery], Iterable[Sequence[Mapping[str, Any]]]]
    missing: Callable[[Storage, Settings, ExportQuery], str | None]


@dataclass(frozen=True, slots=True)
class GaugeSpec:
    """A gauge at ``/metrics``, called ``stellarstream_NAME``: the same number whichever worker is asked.

    ``name`` and ``labels`` have small letters, digits and ``_``. The name should begin with the plugin's own; it is
    none of the framework's, and does not end as another kind's samples do (``_total``, ``_count``, ``_sum``, …).
    ``help`` is one line. ``read`` gets a peewee database inside a read-only snapshot, which all gauges of a scrape
    share, and the time (Unix seconds). It yields at most a thousand pairs: the labels' values in the order of
    ``labels``, no values twice, and a number. A scrape waits for it, five seconds at the most.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[Database, float], Iterable[tuple[tuple[str, ...], float]]]


@dataclass(frozen=True, slots=True)
class Health:
    """A check's answer: fine or not, and one sentence that says what to do if not."""

    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A named check for ``stellarstream doctor``; it may take up to ten seconds.

    It is shown as ``plugin PLUGIN: NAME``, so it may be called like one of ours.
    """

    name: str
    run: Callable[[Settings], Awaitable[Health]]


@hookspec
def register_settings() -> PluginSettings:
    """Return the plugin's own settings section."""
    raise AssertionError("a hook specification is never called")


@hookspec
def register_sources() -> Sequence[SourceSpec]:
    """Return the ledger sources the plugin offers."""
    raise AssertionError("a hook specification is never called")


@hookspec
def register_chain_clients() -> Sequence[ChainClientSpec]:
    """Return the clients that read the chain's present state: ledger entries."""
    raise AssertionError("a hook specification is never called")


@hookspec
def register_storages() -> Sequence[StorageSpec]:
    """Return the storage backends the plugin offers, by URL scheme."""
    raise AssertionError("a hook specification is never called")


@hookspec
def register_models() -> ModelSet:
    """Return the plugin's tables as a folder of migrations."""
    raise AssertionError("a hook specification is never called")


@hookspec
def register_decoders() -> Sequence[DecoderSpec]:
    """Return the decoders the plugin offers, one for each contract family: from raw events to named ones."""
    raise AssertionError("a hook specification is never called")


@hookspec
def register_projections() -> Sequence[ProjectionSpec]:
    """Return the projections the plugin offers: state that is folded from events, by key."""
    raise AssertionError("a hook specification is never called")


@hookspec
def register_hookspecs() -> ModuleType:
    """Return a module with hooks of the plugin's own, marked with ``hookspec``, that other plugins may implement.

    It is asked before any other hook and before anybody's functions are compared with the hooks there are, so
    the order of plugins does not matter. The plugin that offers a hook asks it with ``Plugins.ask_offered``.
    """
    raise AssertionError("a hook specification is never called")


@hookspec
def register_sinks(settings: Settings) -> Sequence[Sink]:
    """Return the sinks that are called after each commit."""
    raise AssertionError("a hook specification is never called")


@hookspec
def register_routes() -> Sequence[Route]:
    """Return the typed API routes the plugin adds below ``/api/v1``; they are part of ``/openapi.json``."""
    raise AssertionError("a hook specification is never called")


@hookspec
def register_commands() -> Sequence[CommandSpec]:
    """Return the click commands the plugin adds to ``stellarstream``."""
    raise AssertionError("a hook specification is never called")


@hookspec
def register_exports() -> Sequence[ExportSpec]:
    """Return the kinds of records the plugin adds to ``stellarstream export``."""
    raise AssertionError("a hook specification is never called")


@hookspec
def stellar_toml_entries(settings: Settings) -> Mapping[str, str]:
    """Return entries the plugin adds to the top of ``/.well-known/stellar.toml`` (SEP-1), by name; empty for none.

    A name has capital letters, digits and ``_``, and is none that the framework or another plugin writes. It is
    asked when the API starts.
    """
    raise AssertionError("a hook specification is never called")


@hookspec
def register_gauges() -> Sequence[GaugeSpec]:
    """Return the gauges the plugin adds to ``/metrics``; they are read from the database at each scrape."""
    raise AssertionError("a hook specification is never called")


@hookspec
def health_checks() -> Sequence[HealthCheck]:
    """Return named checks for ``stellarstream doctor``."""
    raise AssertionError("a hook specification is never called")


HOOK_NAMES: tuple[str, ...] = tuple(
    name for name, value in list(globals().items()) if hasattr(value, "stellarstream_spec")
)
"""The names of all hooks, in the order of this page."""
