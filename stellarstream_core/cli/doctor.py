"""``stellarstream doctor``: check everything a deployment needs, and say what to do."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial

import click

from stellarstream_core import __version__
from stellarstream_core.cli.options import database_option, json_option, runtime
from stellarstream_core.cli.output import print_json
from stellarstream_core.errors import ExitCode, SettingsError, StellarStreamError
from stellarstream_core.hookspecs import Health
from stellarstream_core.ops.checks import HOW_TO_MAKE, check_secrets
from stellarstream_core.ops.open_files import open_database_files
from stellarstream_core.plugins import FAULTS
from stellarstream_core.projection.status import ProjectionState, read_projections
from stellarstream_core.redact import redact_url
from stellarstream_core.runtime import Runtime, migrations
from stellarstream_core.settings import Settings
from stellarstream_core.sources import Reach, Source, SourceSpec
from stellarstream_core.storage import Storage
from stellarstream_core.sync.opening import check_history
from stellarstream_core.sync.state import read_state

CHECK_TIMEOUT_SECONDS = 10.0
IDLE_SECONDS = 60.0
"""How long a projection that is behind may have written nothing before it counts as left alone."""


@click.command()
@database_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, database: str | None, as_json: bool) -> None:
    """Check settings, plugins, database and sources. Exit code 0 where all is well, 2 otherwise."""
    found = runtime(ctx, database_url=database)
    results = asyncio.run(examine(found))
    well = all(health.ok for health in results.values())
    warning = _warning(found.settings)
    if as_json:
        checks = {name: {"ok": h.ok, "detail": h.detail} for name, h in results.items()}
        print_json({"ok": well, "checks": checks, "warnings": [warning] if warning else []})
    else:
        for name, health in results.items():
            click.echo(f"{'ok   ' if health.ok else 'FAULT'}  {name}: {health.detail}")
        if warning:
            click.echo(f"warn   {warning}")
    if not well:
        ctx.exit(ExitCode.USAGE)


async def examine(found: Runtime) -> dict[str, Health]:
    """Return the result of every check by its name, in the order to show them. Raises ``SettingsError``."""
    found.plugins.ask_all()
    checks: list[tuple[str, Callable[[], Awaitable[Health]]]] = [
        ("version", _version),
        ("settings", partial(_settings, found)),
        ("database", partial(asyncio.to_thread, _database, found)),
    ]
    if open_to_all := open_database_files(found.settings.database_url):
        names = " ".join(shlex.quote(str(path)) for path in open_to_all)
        text = f"everybody on this machine can read, or hold up, the database: chmod go= {names}"
        checks.append(("database files", partial(_fault, text)))
    if found.plugins.projections():
        checks.append(("projections", partial(asyncio.to_thread, _projections, found)))
    try:
        specs = found.source_specs()
    except StellarStreamError as error:
        checks.append(("sources", partial(_fault, _sentence(error))))
    else:
        checks += [(f"source {spec.name}", partial(_source, found, spec)) for spec in specs]
    for name, check in found.plugins.health_checks().items():
        owner = found.plugins.owner("health_checks", name)
        # with the plugin's name before it: a check of ours may be called the same
        checks.append((f"plugin {owner.name if owner else '?'}: {name}", partial(check.run, found.settings)))
    results = {name: await _guarded(run) for name, run in checks}
    results["plugins"] = await _guarded(partial(_plugins, found))  # last: until here one may still break
    return results


def _warning(settings: Settings) -> str | None:
    """Return what is no fault for who indexes, but keeps a service from starting."""
    missing = [name for name in HOW_TO_MAKE if getattr(settings, name) is None]
    if missing:
        return f"{' and '.join(missing)} not set: 'up' and 'serve --fd' do not start without."
    try:
        check_secrets(settings)
    except SettingsError as error:
        return f"'up' refuses to start: {_sentence(error)}"
    return None


async def _guarded(run: Callable[[], Awaitable[Health]]) -> Health:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            health = await run()
        if not isinstance(health, Health):
            raise TypeError(f"it returned {type(health).__name__}, not Health")
        return Health(bool(health.ok), str(health.detail))
    except StellarStreamError as error:
        return Health(False, _sentence(error))
    except TimeoutError:
        return Health(False, f"no answer within {CHECK_TIMEOUT_SECONDS:.0f} s")
    except FAULTS as error:  # a plugin's check may raise anything
        return Health(False, f"the check itself failed: {type(error).__name__}: {error}")


def _sentence(error: StellarStreamError) -> str:
    return f"{error.message} {error.help}".strip()


async def _fault(text: str) -> Health:
    return Health(False, text)


async def _version() -> Health:
    return Health(True, f"stellarstream {__version__} on Python {sys.version.split()[0]}")


async def _settings(found: Runtime) -> Health:
    settings = found.settings
    scope = f"{len(settings.contracts)} contracts" if settings.contracts else "no contracts set: sync needs --contract"
    return Health(True, f"network {settings.network}, {scope}")


async def _plugins(found: Runtime) -> Health:
    broken = [f"{plugin.name} ({plugin.error})" for plugin in found.plugins.broken]
    if broken:
        return Health(False, f"broken and skipped: {', '.join(broken)}")
    active = [plugin.name for plugin in found.plugins.all if plugin.state == "active"]
    return Health(True, f"{', '.join(active) or 'none'}")


def _database(found: Runtime) -> Health:
    storage = found.connect_storage()
    try:
        schema = storage.schema()
        url = redact_url(found.settings.database_url)
        if schema.unknown:
            return Health(False, f"{url} was written by a newer stellarstream: upgrade this one.")
        if schema.pending and schema.applied:
            return Health(False, f"{url} lacks {migrations(schema.pending)}: run 'stellarstream migrate'.")
        if schema.pending:
            return Health(True, f"{url} is empty; the first sync prepares it")
        stored = storage.network_passphrase()
        if stored is not None and stored != found.settings.passphrase:
            return Health(False, f"{url} belongs to the network {stored!r}: correct 'network' or 'database_url'.")
        totals = storage.totals()
        text = f"{url}, {totals.events:,} events"
        return Health(totals.conflicts == 0, f"{text}, {totals.conflicts:,} conflicts" if totals.conflicts else text)
    finally:
        storage.close()


def _projections(found: Runtime) -> Health:
    storage = found.connect_storage()
    try:
        schema = storage.schema()
        if schema.pending or schema.unknown:
            return Health(True, "none yet: the database is not prepared for this version")
        states = read_projections(storage, found.plugins.projections())
    finally:
        storage.close()
    now = time.time()
    faults = [fault for state in states if (fault := _projection_fault(state, now))]
    if faults:
        return Health(False, "; ".join(faults))
    return Health(True, "; ".join(f"{state.name}: {state.summary}" for state in states) or "none yet")


def _projection_fault(state: ProjectionState, now: float) -> str | None:
    """Return what is wrong with a projection: it stopped, or nobody has moved it on for a while."""
    if state.trouble is not None:
        return (
            f"{state.name} stopped ({state.trouble}): put it right and restart 'sync', or run 'stellarstream project'."
        )
    waiting = state.behind or state.folding or state.coming or state.rebuilding
    if waiting and now - state.updated_at > IDLE_SECONDS:
        return f"{state.name} is {state.summary} and nothing moves it on: run 'stellarstream project'."
    return None


async def _source(found: Runtime, spec: SourceSpec) -> Health:
    source = await found.open_source(spec)
    try:
        identity = await source.identity()
        reach = await source.reach()
        where = f"{', '.join(identity.endpoints)}, version {identity.version}"
        if identity.passphrase != found.settings.passphrase:
            return Health(
                False, f"{where} is on another network ({identity.passphrase!r}): correct 'network' or its address."
            )
        late = await _compared(found, source, f"{source.name} ({', '.join(identity.endpoints)})", reach)
    finally:
        await source.close()
    detail = f"{where}, ledgers {reach.oldest:,} to {reach.latest:,}"
    if late:
        detail += f", {late:,} ledgers behind this database"
    return Health(True, "; ".join([detail, *identity.warnings]))


async def _compared(found: Runtime, source: Source, where: str, reach: Reach) -> int:
    """Return how many ledgers a source is behind what is stored.

    Raises ``NetworkResetError`` where ``sync`` would: for a source of another history than the stored one.
    """
    try:
        storage = await asyncio.to_thread(found.connect_storage)
    except StellarStreamError:  # the database's own line tells
        return 0
    try:
        if not await asyncio.to_thread(_has_history, storage, found.settings.passphrase):
            return 0
        await check_history(source, where, reach, storage, asyncio.to_thread, keep_tip=False)
        scope = await asyncio.to_thread(found.scope_if_any, (), storage)
        state = await asyncio.to_thread(read_state, storage, scope) if scope else None
        return state.ahead_of(reach) if state else 0
    finally:
        storage.close()


def _has_history(storage: Storage, passphrase: str) -> bool:
    """Tell whether a history of this network is stored, in tables that this version can read."""
    try:
        schema = storage.schema()
        return not schema.pending and not schema.unknown and storage.network_passphrase() == passphrase
    except StellarStreamError:  # the database's own line tells
        return False
