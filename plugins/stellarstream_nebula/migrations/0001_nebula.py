"""The first schema: streams, what the chain said of them, audit chains, totals, relayed transactions, yield samples.

Every list of streams is a walk along one index under an equal prefix, newest first; so each filter has an
index that ends in (created_event, key). None holds a column that an ordinary claim changes: PostgreSQL then
updates a row without touching its indexes, for which its pages keep some room.
"""

from __future__ import annotations

from typing import Any

SQLITE = {
    "text": "TEXT",
    "integer": "INTEGER",
    "blob": "BLOB",
    "table": "STRICT",
    "clustered": "STRICT, WITHOUT ROWID",
    "roomy": "STRICT",
    "roomy_clustered": "STRICT, WITHOUT ROWID",
}
POSTGRESQL = {
    "text": 'TEXT COLLATE "C"',
    "integer": "BIGINT",
    "blob": "BYTEA",
    "table": "",
    "clustered": "",
    "roomy": "WITH (fillfactor = 80)",
    "roomy_clustered": "WITH (fillfactor = 80)",
}

STATEMENTS = (
    """
    CREATE TABLE nebula_turn (
        id {integer} NOT NULL PRIMARY KEY CHECK (id = 1),
        changes {integer} NOT NULL
    ) {table}
    """,
    "INSERT INTO nebula_turn (id, changes) VALUES (1, 0)",
    """
    CREATE TABLE nebula_contracts (
        contract_id {text} NOT NULL PRIMARY KEY,
        family {text} NOT NULL,
        origin {text} NOT NULL,
        ledger {integer}
    ) {clustered}
    """,
    """
    CREATE TABLE nebula_streams (
        key {text} NOT NULL PRIMARY KEY,
        contract_id {text} NOT NULL,
        stream_id {text} NOT NULL,
        family {text} NOT NULL,
        sender {text},
        receiver {text},
        beneficiary {text},
        token {text},
        memo {text},
        base_status {text} NOT NULL,
        shown_status {text} NOT NULL,
        completes_at {integer},
        amount {text},
        withdrawn {text},
        held {text},
        created_event {text} NOT NULL,
        created_ledger {integer} NOT NULL,
        created_at {integer} NOT NULL,
        updated_ledger {integer} NOT NULL,
        tx_hash {text} NOT NULL,
        state {blob} NOT NULL
    ) {roomy}
    """,
    "CREATE INDEX nebula_streams_created ON nebula_streams (created_event, key)",
    "CREATE INDEX nebula_streams_sender ON nebula_streams (sender, created_event, key)",
    "CREATE INDEX nebula_streams_receiver ON nebula_streams (receiver, created_event, key)",
    "CREATE INDEX nebula_streams_beneficiary ON nebula_streams (beneficiary, created_event, key)",
    "CREATE INDEX nebula_streams_token ON nebula_streams (token, created_event, key)",
    "CREATE INDEX nebula_streams_contract ON nebula_streams (contract_id, created_event, key)",
    "CREATE INDEX nebula_streams_status ON nebula_streams (shown_status, created_event, key)",
    "CREATE INDEX nebula_streams_tx ON nebula_streams (tx_hash, created_event, key)",
    "CREATE INDEX nebula_streams_memo ON nebula_streams (memo, created_event, key) WHERE memo IS NOT NULL",
    """
    CREATE INDEX nebula_streams_clock ON nebula_streams (completes_at, contract_id, token)
    WHERE base_status = 'ACTIVE' AND completes_at IS NOT NULL
    """,
    """
    CREATE INDEX nebula_streams_due ON nebula_streams (contract_id, completes_at)
    WHERE shown_status = 'ACTIVE' AND completes_at IS NOT NULL
    """,
    """
    CREATE TABLE nebula_facts (
        key {text} NOT NULL PRIMARY KEY,
        ledger {integer} NOT NULL,
        facts {blob} NOT NULL,
        earlier_ledger {integer},
        earlier {blob}
    ) {roomy_clustered}
    """,
    """
    CREATE TABLE nebula_links (
        key {text} NOT NULL,
        event_id {text} NOT NULL,
        contract_id {text} NOT NULL,
        type {text} NOT NULL,
        digest {blob} NOT NULL,
        hash {blob},
        since {integer},
        PRIMARY KEY (key, event_id)
    ) {roomy_clustered}
    """,
    "CREATE INDEX nebula_links_event ON nebula_links (event_id, key)",
    "CREATE INDEX nebula_links_type ON nebula_links (type, event_id, key)",
    """
    CREATE TABLE nebula_chains (
        key {text} NOT NULL PRIMARY KEY,
        links {integer} NOT NULL,
        head {blob} NOT NULL,
        last_event {text} NOT NULL,
        revision {integer} NOT NULL
    ) {roomy_clustered}
    """,
    """
    CREATE TABLE nebula_chain_revisions (
        key {text} NOT NULL,
        revision {integer} NOT NULL,
        links {integer} NOT NULL,
        head {blob} NOT NULL,
        last_event {text} NOT NULL,
        replaced_by_event {text} NOT NULL,
        replaced_at {integer} NOT NULL,
        PRIMARY KEY (key, revision)
    ) {clustered}
    """,
    """
    CREATE TABLE nebula_seals (
        contract_id {text} NOT NULL PRIMARY KEY,
        first_event {text} NOT NULL,
        event_id {text} NOT NULL,
        key {text} NOT NULL,
        walk_event {text} NOT NULL,
        walk_key {text} NOT NULL,
        walk_end {text} NOT NULL
    ) {clustered}
    """,
    "CREATE TABLE nebula_relinks (key {text} NOT NULL PRIMARY KEY) {clustered}",
    """
    CREATE TABLE nebula_totals (
        contract_id {text} NOT NULL,
        token {text} NOT NULL,
        base_status {text} NOT NULL,
        streams {integer} NOT NULL,
        amount {text} NOT NULL,
        withdrawn {text} NOT NULL,
        held {text} NOT NULL,
        untold {integer} NOT NULL,
        PRIMARY KEY (contract_id, token, base_status)
    ) {roomy_clustered}
    """,
    """
    CREATE TABLE nebula_completions (
        contract_id {text} NOT NULL,
        token {text} NOT NULL,
        days {integer} NOT NULL,
        span {integer} NOT NULL,
        streams {integer} NOT NULL,
        PRIMARY KEY (contract_id, token, days, span)
    ) {roomy_clustered}
    """,
    """
    CREATE TABLE nebula_parties (
        role {text} NOT NULL,
        address {text} NOT NULL,
        streams {integer} NOT NULL,
        PRIMARY KEY (role, address)
    ) {roomy_clustered}
    """,
    """
    CREATE TABLE nebula_counts (
        name {text} NOT NULL PRIMARY KEY,
        value {integer} NOT NULL
    ) {roomy_clustered}
    """,
    """
    CREATE TABLE nebula_waiting_moves (
        key {text} NOT NULL,
        event_id {text} NOT NULL,
        closed_at {integer} NOT NULL,
        kind {text} NOT NULL,
        amount {text} NOT NULL,
        PRIMARY KEY (key, event_id)
    ) {clustered}
    """,
    """
    CREATE TABLE nebula_hours (
        contract_id {text} NOT NULL,
        hour {integer} NOT NULL,
        token {text} NOT NULL,
        created {text} NOT NULL,
        topped_up {text} NOT NULL,
        withdrawn {text} NOT NULL,
        PRIMARY KEY (contract_id, hour, token)
    ) {roomy_clustered}
    """,
    """
    CREATE TABLE nebula_transactions (
        hash {text} NOT NULL PRIMARY KEY,
        envelope {blob} NOT NULL,
        account {text} NOT NULL,
        sequence {integer} NOT NULL,
        contract_id {text} NOT NULL,
        function {text} NOT NULL,
        status {text} NOT NULL,
        submitted_at {integer} NOT NULL,
        valid_until {integer} NOT NULL,
        accepted_ledger {integer} NOT NULL,
        sent_at {integer},
        ledger {integer},
        result {blob},
        error_code {text},
        error_text {text},
        updated_at {integer} NOT NULL
    ) {table}
    """,
    "CREATE INDEX nebula_transactions_end ON nebula_transactions (valid_until)",
    "CREATE INDEX nebula_transactions_account ON nebula_transactions (account, submitted_at)",
    """
    CREATE TABLE nebula_yield_samples (
        vault {text} NOT NULL,
        ledger {integer} NOT NULL,
        token {text},
        closed_at {integer} NOT NULL,
        principal {text} NOT NULL,
        interest {text},
        value {text},
        PRIMARY KEY (vault, ledger)
    ) {clustered}
    """,
)


def up(migrator: Any, db: Any) -> None:
    """Create every table."""
    words = POSTGRESQL if "postgres" in type(migrator).__name__.lower() else SQLITE
    for statement in STATEMENTS:
        db.execute_sql(statement.format(**words))
