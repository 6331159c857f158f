"""SQL storage: SQLite, embedded and needing nothing, and PostgreSQL, behind one interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stellarstream_core.hookspecs import ModelSet, hookimpl
from stellarstream_core.storage import Storage, StorageSpec

if TYPE_CHECKING:
    from stellarstream_core.settings import Settings

MODELS = ModelSet(name="sql", migrations=Path(__file__).parent / "migrations")
"""The framework's own tables; every database has them first."""


def _open_sqlite(url: str, settings: Settings, models: Sequence[ModelSet]) -> Storage:
    from stellarstream_sql.storage import open_sqlite  # noqa: PLC0415 - peewee is loaded only where it is used

    return open_sqlite(url, models)


def _open_postgresql(url: str, settings: Settings, models: Sequence[ModelSet]) -> Storage:
    from stellarstream_sql.storage import open_postgresql  # noqa: PLC0415 - peewee and psycopg likewise

    return open_postgresql(url, models)


@hookimpl
def register_storages() -> Sequence[StorageSpec]:
    """Offer SQLite and PostgreSQL; ``postgres`` is libpq's other name for the same scheme."""
    return [
        StorageSpec("sqlite", "one file, nothing to install: sqlite:///PATH", _open_sqlite),
        StorageSpec("postgresql", "a PostgreSQL server: postgresql://USER@HOST/DATABASE", _open_postgresql),
        StorageSpec("postgres", "the same as postgresql", _open_postgresql),
    ]


@hookimpl
def register_models() -> ModelSet:
    """Offer the framework's own tables."""
    return MODELS
