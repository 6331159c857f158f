"""What the API keeps: keys, challenges that were used, and requests that must not run twice."""

from __future__ import annotations

from typing import Any

SQLITE = {"text": "TEXT", "integer": "INTEGER", "blob": "BLOB", "table": "STRICT, WITHOUT ROWID"}
POSTGRESQL = {"text": 'TEXT COLLATE "C"', "integer": "BIGINT", "blob": "BYTEA", "table": ""}

STATEMENTS = (
    """
    CREATE TABLE api_keys (
        id {text} NOT NULL PRIMARY KEY,
        secret_hash {text} NOT NULL,
        account {text} NOT NULL,
        scopes {text} NOT NULL,
        name {text} NOT NULL,
        created_at {integer} NOT NULL,
        expires_at {integer},
        revoked_at {integer},
        last_used_at {integer}
    ) {table}
    """,
    """
    CREATE TABLE api_challenges (
        hash {text} NOT NULL PRIMARY KEY,
        expires_at {integer} NOT NULL
    ) {table}
    """,
    "CREATE INDEX api_challenges_expiry ON api_challenges (expires_at)",
    """
    CREATE TABLE api_idempotency (
        caller {text} NOT NULL,
        route {text} NOT NULL,
        key_hash {text} NOT NULL,
        body_hash {text} NOT NULL,
        state {text} NOT NULL CHECK (state IN ('running', 'done')),
        status {integer},
        headers {text},
        body {blob},
        started_at {integer} NOT NULL,
        expires_at {integer} NOT NULL,
        PRIMARY KEY (caller, route, key_hash),
        CHECK ((state = 'done') = (status IS NOT NULL))
    ) {table}
    """,
    "CREATE INDEX api_idempotency_expiry ON api_idempotency (expires_at)",
)


def up(migrator: Any, db: Any) -> None:
    """Create every table; the indexes serve the removal of what has expired."""
    words = POSTGRESQL if "postgres" in type(migrator).__name__.lower() else SQLITE
    for statement in STATEMENTS:
        db.execute_sql(statement.format(**words))
