"""Migrations: which are applied, which are pending, and applying them.

Each plugin's folder of numbered migrations has a history table of its own, ``NAME_migrations``, so
that plugins come and go without knowing of each other. A history that names a migration this code
does not have comes from a newer release: nothing is migrated then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from peewee import Database, PeeweeException
from playhouse.migrations import Runner  # type: ignore[import-untyped]  # playhouse ships no types

from stellarstream_core.errors import SchemaError
from stellarstream_core.hookspecs import ModelSet
from stellarstream_core.storage import SchemaState
from stellarstream_sql.backend import Backend


def read_state(backend: Backend, models: Sequence[ModelSet]) -> SchemaState:
    """Compare the history with the migrations of ``models``; names are ``PLUGIN/MIGRATION``."""
    if not backend.exists():
        pending = [f"{one.name}/{name}" for one in models for name in _files(one)]
        return SchemaState((), tuple(pending), ())
    return backend.read(lambda database: _state(database, models))


def migrate(backend: Backend, models: Sequence[ModelSet]) -> Sequence[str]:
    """Apply what is pending, in the order of ``models``, and return the names.

    Two processes may call this at once: one waits, then finds nothing to do. Raises
    ``SchemaError`` for a newer schema, and where a migration fails.
    """

    def apply(database: Database) -> Sequence[str]:
        state = _state(database, models)
        if state.unknown:
            raise newer_schema(backend.url, state)
        applied: list[str] = []
        for one in models:
            try:
                applied += [f"{one.name}/{name}" for name in _runner(database, one).up()]
            except PeeweeException:
                raise
            except Exception as error:
                raise SchemaError(
                    f"A migration of the plugin '{one.name}' failed: {type(error).__name__}: {error}.",
                    help="Report it to the plugin's author; migrations before it are kept or undone as a whole.",
                ) from error
        return applied

    return backend.migrate(apply)


def newer_schema(url: str, state: SchemaState) -> SchemaError:
    """Return the error for a database that newer code has migrated."""
    return SchemaError(
        f"{url} was migrated by a newer version: {', '.join(state.unknown)} is not known here.",
        help="Upgrade stellarstream (or the plugin) to at least the version that migrated this database.",
    )


def _state(database: Database, models: Sequence[ModelSet]) -> SchemaState:
    applied: list[str] = []
    pending: list[str] = []
    unknown: list[str] = []
    for one in models:
        for migration in _runner(database, one).status():
            name = f"{one.name}/{migration.name}"
            if migration.path is None:
                unknown.append(name)
            elif migration.applied:
                applied.append(name)
            else:
                pending.append(name)
    return SchemaState(tuple(applied), tuple(pending), tuple(unknown))


def _runner(database: Database, models: ModelSet) -> Any:
    table = re.sub(r"[^a-z0-9]+", "_", models.name.lower())
    return Runner(database, str(models.migrations), table_name=f"{table}_migrations")


def _files(models: ModelSet) -> list[str]:
    return sorted(path.stem for path in models.migrations.glob("[0-9]*.py"))
