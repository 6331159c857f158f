"""How many events a commit stored first; unknown for the commits of earlier releases."""

from __future__ import annotations

from typing import Any


def up(migrator: Any, db: Any) -> None:
    """Add the column."""
    integer = "BIGINT" if "postgres" in type(migrator).__name__.lower() else "INTEGER"
    db.execute_sql(f"ALTER TABLE commits ADD COLUMN events {integer}")
