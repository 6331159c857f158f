"""The first schema: links, what was submitted for them, and the streams on chain that pay them."""

from __future__ import annotations

from typing import Any

SQLITE = {
    "text": "TEXT",
    "integer": "INTEGER",
    "blob": "BLOB",
    "table": "STRICT",
    "clustered": "STRICT, WITHOUT ROWID",
    "least": "min",
    "padded": f"substr('{'0' * 39}' || amount, -39)",
}
POSTGRESQL = {
    "text": 'TEXT COLLATE "C"',
    "integer": "BIGINT",
    "blob": "BYTEA",
    "table": "",
    "clustered": "",
    "least": "LEAST",
    "padded": "lpad(amount, 39, '0')",
}

STATEMENTS = (
    """
    CREATE TABLE invoice_turn (
        id {integer} NOT NULL PRIMARY KEY CHECK (id = 1),
        changes {integer} NOT NULL,
        ledger {integer} NOT NULL,
        build {integer} NOT NULL
    ) {table}
    """,
    "INSERT INTO invoice_turn (id, changes, ledger, build) VALUES (1, 0, 0, 0)",
    # own, open_until and amount_key say what settlement looks for in the order in which an index can tell it
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
        completed_event {text},
        completed_at {integer},
        after_ledger {integer} NOT NULL DEFAULT 0,
        own {integer} NOT NULL GENERATED ALWAYS AS (CASE WHEN owner = receiver THEN 1 ELSE 0 END) STORED,
        open_until {integer} NOT NULL GENERATED ALWAYS AS (
            {least}(
                COALESCE(expires_at - 1, 9223372036854775807),
                COALESCE(canceled_at, 9223372036854775807),
                COALESCE(deleted_at, 9223372036854775807),
                COALESCE(completed_at, 9223372036854775807)
            )
        ) STORED,
        amount_key {text} NOT NULL GENERATED ALWAYS AS ({padded}) STORED
    ) {table}
    """,
    "CREATE INDEX invoice_links_owner ON invoice_links (owner, created_at, id)",
    """
    CREATE INDEX invoice_links_open ON invoice_links (owner, expires_at)
    WHERE completed_event IS NULL AND canceled_at IS NULL AND deleted_at IS NULL
    """,
    "CREATE INDEX invoice_links_made ON invoice_links (created_at, id)",
    "CREATE INDEX invoice_links_paid_to ON invoice_links (receiver, token, created_at)",
    """
    CREATE INDEX invoice_links_amounts
    ON invoice_links (receiver, token, contract_id, duration, amount_key, created_at)
    """,
    "CREATE INDEX invoice_links_terms ON invoice_links (terms, own, created_at, id)",
    "CREATE INDEX invoice_links_terms_open ON invoice_links (terms, own, open_until)",
    """
    CREATE TABLE invoice_submissions (
        tx_hash {text} NOT NULL,
        link_id {text} NOT NULL,
        origin {text} NOT NULL CHECK (origin IN ('service', 'owner')),
        payer {text},
        arguments {blob},
        submitted_at {integer} NOT NULL,
        claimed {integer} NOT NULL DEFAULT 0,
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
        next_try {integer} NOT NULL,
        basis {text},
        due {integer} NOT NULL DEFAULT 0,
        build {integer} NOT NULL DEFAULT 0
    ) {table}
    """,
    "CREATE INDEX invoice_creations_tx ON invoice_creations (tx_hash)",
    "CREATE INDEX invoice_creations_wanted ON invoice_creations (next_try, event_id) WHERE wanted = 1",
    "CREATE INDEX invoice_creations_newest ON invoice_creations (event_id) WHERE wanted = 1",
    "CREATE INDEX invoice_creations_due ON invoice_creations (event_id) WHERE due = 1",
    "CREATE INDEX invoice_creations_basis ON invoice_creations (basis, event_id) WHERE basis IS NOT NULL",
    "CREATE INDEX invoice_creations_build ON invoice_creations (contract_id, build, ledger)",
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
