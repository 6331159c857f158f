"""Links of the chain: hashes of the ledgers at the ends of what was checked."""

from __future__ import annotations

from typing import Any


def up(migrator: Any, db: Any) -> None:
    """Create the table."""
    postgresql = "postgres" in type(migrator).__name__.lower()
    text, integer, table = ('TEXT COLLATE "C"', "BIGINT", "") if postgresql else ("TEXT", "INTEGER", "STRICT")
    db.execute_sql(
        f"""
        CREATE TABLE links (
            ledger {integer} NOT NULL PRIMARY KEY,
            hash {text} NOT NULL,
            checked {integer} NOT NULL,
            followed {integer} NOT NULL
        ) {table}
        """
    )
