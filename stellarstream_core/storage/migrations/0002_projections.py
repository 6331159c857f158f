"""What the projector keeps: how far each projection is, its journal of events by key, and the states."""

from __future__ import annotations

from typing import Any

SQLITE = {"text": "TEXT", "integer": "INTEGER", "blob": "BLOB", "table": "STRICT, WITHOUT ROWID"}
POSTGRESQL = {"text": 'TEXT COLLATE "C"', "integer": "BIGINT", "blob": "BYTEA", "table": ""}

STATEMENTS = (
    """
    CREATE TABLE projections (
        name {text} NOT NULL PRIMARY KEY,
        fingerprint {text} NOT NULL,
        epoch {text} NOT NULL,
        position {integer} NOT NULL,
        after_event {text} NOT NULL,
        step {integer} NOT NULL,
        clearing {integer} NOT NULL CHECK (clearing IN (0, 1, 2)),
        target {integer} NOT NULL,
        trouble {text},
        updated_at {integer} NOT NULL
    ) {table}
    """,
    """
    CREATE TABLE projection_contracts (
        projection {text} NOT NULL,
        contract_id {text} NOT NULL,
        fingerprint {text} NOT NULL,
        phase {text} NOT NULL CHECK (phase IN ('known', 'coming', 'away')),
        after_event {text} NOT NULL,
        PRIMARY KEY (projection, contract_id)
    ) {table}
    """,
    """
    CREATE TABLE projection_entries (
        projection {text} NOT NULL,
        key {text} NOT NULL,
        event_id {text} NOT NULL,
        PRIMARY KEY (projection, key, event_id)
    ) {table}
    """,
    "CREATE INDEX projection_entries_event ON projection_entries (projection, event_id, key)",
    """
    CREATE TABLE projection_states (
        projection {text} NOT NULL,
        key {text} NOT NULL,
        last_event_id {text} NOT NULL,
        state {blob} NOT NULL,
        PRIMARY KEY (projection, key)
    ) {table}
    """,
    """
    CREATE TABLE projection_members (
        projection {text} NOT NULL,
        group_key {text} NOT NULL,
        key {text} NOT NULL,
        PRIMARY KEY (projection, group_key, key)
    ) {table}
    """,
    "CREATE INDEX projection_members_key ON projection_members (projection, key, group_key)",
    """
    CREATE TABLE projection_pending (
        projection {text} NOT NULL,
        group_key {text} NOT NULL,
        from_event_id {text} NOT NULL,
        after_key {text} NOT NULL,
        floor {integer},
        PRIMARY KEY (projection, group_key)
    ) {table}
    """,
    """
    CREATE TABLE projection_unknown (
        projection {text} NOT NULL,
        contract_id {text} NOT NULL,
        shape {text} NOT NULL,
        count {integer} NOT NULL,
        first_event_id {text} NOT NULL,
        last_event_id {text} NOT NULL,
        PRIMARY KEY (projection, contract_id, shape)
    ) {table}
    """,
    """
    CREATE TABLE projection_reach (
        projection {text} NOT NULL,
        contract_id {text} NOT NULL,
        ledger {integer} NOT NULL,
        closed_at {integer} NOT NULL,
        complete {integer} NOT NULL CHECK (complete IN (0, 1)),
        watermark {integer} NOT NULL,
        first {integer},
        PRIMARY KEY (projection, contract_id)
    ) {table}
    """,
)


def up(migrator: Any, db: Any) -> None:
    """Create every table; the indexes serve the journal by event, and the groups of a key."""
    words = POSTGRESQL if "postgres" in type(migrator).__name__.lower() else SQLITE
    for statement in STATEMENTS:
        db.execute_sql(statement.format(**words))
