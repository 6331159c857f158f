"""The first schema: links, what was submitted for them, and the streams on chain that pay them."""

from __future__ import annotations

from typing import Any

SQLITE = {"text": "TEXT", "integer": "INTEGER", "blob": "BLOB", "table": "STRICT", "clustered": "STRICT, WITHOUT ROWID"}
POSTGRESQL = {"text": 'TEXT COLLATE "C"', "integer": "BIGINT", "blob": "BYTEA", "table": "", "clustered": ""}

STATEMENTS = (
    """
    CREATE TABLE invoice_turn (
        id {integer} NOT NULL PRIMARY KEY CHECK (id = 1),
        changes {integer} NOT NULL
    ) {table}
    """,
    "INSERT INTO invoice_turn (id, changes) VALUES (1, 0)",
    """
    CREATE TABLE invoice_links (
        id {text} NOT NULL PRIMARY KEY,
        slug {text} NOT NULL UNIQUE,
        owner {text} NOT NULL,
        contract_id {text} NOT NULL,
        family {text} NOT NULL,
        receiver {text} NOT NULL,
        token {text} NOT NULL,
        amount {text} NOT NULL,
        duration {integer} NOT NULL CHECK (duration > 0),
        start {integer},
        cliff {integer},
        terms {text} NOT NULL,
        description {text},
        pdf_url {text},
        expires_at {integer},
        created_at {integer} NOT NULL,
        updated_at {integer} NOT NULL,
        canceled_at {integer},
        deleted_at {integer},
        submitted {text},
        payer {text},
        completed_event {text}
    ) {table}
    """,
    "CREATE INDEX invoice_links_owner ON invoice_links (owner, created_at, id)",
    "CREATE INDEX invoice_links_paid_to ON invoice_links (receiver, token)",
    "CREATE INDEX invoice_links_terms ON invoice_links (terms, created_at, id)",
    """
    CREATE TABLE invoice_submissions (
        tx_hash {text} NOT NULL,
        link_id {text} NOT NULL,
        origin {text} NOT NULL CHECK (origin IN ('service', 'owner')),
        payer {text},
        arguments {blob},
        submitted_at {integer} NOT NULL,
        PRIMARY KEY (tx_hash, link_id)
    ) {clustered}
    """,
    "CREATE UNIQUE INDEX invoice_submissions_relayed ON invoice_submissions (tx_hash) WHERE origin = 'service'",
    "CREATE INDEX invoice_submissions_link ON invoice_submissions (link_id, submitted_at)",
    """
    CREATE TABLE invoice_creations (
        event_id {text} NOT NULL PRIMARY KEY,
        stream {text} NOT NULL,
        contract_id {text} NOT NULL,
        family {text} NOT NULL,
        tx_hash {text} NOT NULL,
        ledger {integer} NOT NULL,
        closed_at {integer} NOT NULL,
        sender {text},
        receiver {text} NOT NULL,
        token {text} NOT NULL,
        net {text},
        start {integer},
        "end" {integer},
        memo {text},
        known {text} NOT NULL CHECK (known IN ('unknown', 'known', 'other', 'unreadable')),
        arguments {blob},
        wanted {integer} NOT NULL,
        tries {integer} NOT NULL,
        next_try {integer} NOT NULL
    ) {table}
    """,
    "CREATE INDEX invoice_creations_tx ON invoice_creations (tx_hash)",
    "CREATE INDEX invoice_creations_memo ON invoice_creations (memo) WHERE memo IS NOT NULL",
    "CREATE INDEX invoice_creations_paid_to ON invoice_creations (receiver, token, event_id)",
    "CREATE INDEX invoice_creations_wanted ON invoice_creations (next_try, event_id) WHERE wanted = 1",
    """
    CREATE TABLE invoice_payments (
        link_id {text} NOT NULL,
        event_id {text} NOT NULL,
        matched_by {text} NOT NULL CHECK (matched_by IN ('transaction', 'memo', 'terms')),
        outcome {text} NOT NULL,
        gross {text},
        PRIMARY KEY (link_id, event_id)
    ) {clustered}
    """,
    "CREATE INDEX invoice_payments_event ON invoice_payments (event_id)",
    """
    CREATE UNIQUE INDEX invoice_payments_once ON invoice_payments (link_id)
    WHERE outcome IN ('completed', 'overpaid')
    """,
    """
    CREATE TABLE invoice_tokens (
        token {text} NOT NULL PRIMARY KEY,
        decimals {integer} NOT NULL,
        symbol {text} NOT NULL,
        name {text} NOT NULL,
        ledger {integer} NOT NULL,
        read_at {integer} NOT NULL
    ) {clustered}
    """,
)


def up(migrator: Any, db: Any) -> None:
    """Create every table."""
    words = POSTGRESQL if "postgres" in type(migrator).__name__.lower() else SQLITE
    for statement in STATEMENTS:
        db.execute_sql(statement.format(**words))
