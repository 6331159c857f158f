"""When ledgers closed that windows ended with: an empty ledger has no event that would tell."""

from __future__ import annotations

from typing import Any


def up(migrator: Any, db: Any) -> None:
    """Create the table."""
    postgresql = "postgres" in type(migrator).__name__.lower()
    integer, table = ("BIGINT", "") if postgresql else ("INTEGER", "STRICT")
    db.execute_sql(
        f"""
        CREATE TABLE ledger_times (
            ledger {integer} NOT NULL PRIMARY KEY,
            closed_at {integer} NOT NULL
        ) {table}
        """
    )
