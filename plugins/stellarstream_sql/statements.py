"""Every SQL text that does not go through peewee: the hot path of commits and the reading of events.

``?`` marks a value, ``?b`` one that is sent in binary; PostgreSQL's side rewrites the marks.
Texts for one dialect alone say so in their name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

EVENT_COLUMNS = (
    "id",
    "ledger",
    "closed_at",
    "tx_hash",
    "event_index",
    "contract_id",
    "type",
    "topic0",
    "topic1",
    "topic2",
    "topic3",
    "more_topics",
    "value",
)
"""An event's columns in the order of every row that holds one; ``window_id`` follows where it is stored."""

_EVENT = ", ".join(EVENT_COLUMNS)
_STORED_EVENT = f"{_EVENT}, window_id"


def marks(count: int) -> str:
    """Return ``?, ?, …`` for a list of values."""
    return ", ".join("?" * count)


# --- contract sets ---------------------------------------------------------------------------------

SET_BY_DIGEST = "SELECT id FROM contract_sets WHERE digest = ?"
INSERT_SET = "INSERT INTO contract_sets (digest) VALUES (?) RETURNING id"
INSERT_SET_MEMBER = "INSERT INTO contract_set_members (contract_id, contract_set_id) VALUES (?, ?)"
NEWEST_SET = "SELECT max(id) FROM contract_sets"
SET_MEMBERS = "SELECT contract_set_id, contract_id FROM contract_set_members"

# --- the store's row -------------------------------------------------------------------------------

_CHANNEL_POSTGRESQL = "'stellarstream_commits_' || tableoid"
"""A database has one set of channels for all of its schemas; the table's oid tells their stores apart."""
LOCK_STORE_POSTGRESQL = "SELECT position FROM store WHERE id = 1 FOR UPDATE"
NEXT_POSITION = """
    UPDATE store SET
        position = position + 1,
        events = events + ?,
        first_ledger = CASE WHEN first_ledger < ? THEN first_ledger ELSE ? END,
        last_ledger = CASE WHEN last_ledger > ? THEN last_ledger ELSE ? END
    WHERE id = 1
    RETURNING position
"""
NEXT_POSITION_POSTGRESQL = f"{NEXT_POSITION.rstrip()}, pg_notify({_CHANNEL_POSTGRESQL}, position::text)"
CHANNEL_POSTGRESQL = f"SELECT {_CHANNEL_POSTGRESQL} FROM store"  # noqa: S608 - one text in another
POSITION = "SELECT position FROM store WHERE id = 1"
EPOCH = "SELECT epoch FROM store WHERE id = 1"
BEGIN_EPOCH = "UPDATE store SET epoch = ? WHERE id = 1"
INSERT_COMMIT = "INSERT INTO commits (position, window_id, first_ledger, last_ledger, events) VALUES (?, ?, ?, ?, ?)"
COUNT_CONFLICT = "UPDATE store SET conflicts = conflicts + 1 WHERE id = 1"
BIND_NETWORK = "UPDATE store SET network_passphrase = ? WHERE id = 1 AND network_passphrase IS NULL"
BOUND_NETWORK = "SELECT network_passphrase FROM store WHERE id = 1"

ADD_LEDGER_TIME = "INSERT INTO ledger_times (ledger, closed_at) VALUES (?, ?) ON CONFLICT (ledger) DO NOTHING"
LEDGER_TIME = "SELECT ledger, closed_at FROM ledger_times WHERE ledger <= ? ORDER BY ledger DESC LIMIT 1"
EVENT_TIME = "SELECT ledger, closed_at FROM events WHERE ledger <= ? ORDER BY ledger DESC, id DESC LIMIT 1"

# --- coverage --------------------------------------------------------------------------------------

INSERT_WINDOW = """
    INSERT INTO windows
        (first_ledger, last_ledger, contract_set_id, evidence, source, flavour, part_of, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    RETURNING id
"""
RUNS_TOUCHING = """
    SELECT * FROM (
        SELECT first_ledger, last_ledger, window_id FROM coverage
        WHERE contract_set_id = ? AND evidence = ? AND source = ? AND flavour = ? AND first_ledger < ?
        ORDER BY first_ledger DESC LIMIT 1
    ) AS before WHERE last_ledger >= ?
    UNION ALL
    SELECT first_ledger, last_ledger, window_id FROM coverage
    WHERE contract_set_id = ? AND evidence = ? AND source = ? AND flavour = ? AND first_ledger BETWEEN ? AND ?
"""
"""Values: the kind, the range's first ledger, the ledger before it, the kind, the first, the ledger after the last."""
DELETE_RUN = """
    DELETE FROM coverage
    WHERE contract_set_id = ? AND evidence = ? AND source = ? AND flavour = ? AND first_ledger = ?
"""
EXTEND_RUN = """
    UPDATE coverage SET last_ledger = ?
    WHERE contract_set_id = ? AND evidence = ? AND source = ? AND flavour = ? AND first_ledger = ?
"""
INSERT_RUN = """
    INSERT INTO coverage (contract_set_id, evidence, source, flavour, first_ledger, last_ledger, window_id)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""


def runs_overlapping(sets: int) -> str:
    """Select runs of some sets that overlap a range. Values: the sets' ids, the range's first and last ledger."""
    return f"""
        SELECT contract_set_id, first_ledger, last_ledger, evidence FROM coverage
        WHERE contract_set_id IN ({marks(sets)}) AND last_ledger >= ? AND first_ledger <= ?
    """  # noqa: S608 - only marks are put in


def furthest_run(sets: int) -> str:
    """Select how far runs of some sets that hold a ledger reach. Values: the sets' ids, twice the ledger."""
    return f"""
        SELECT max(last_ledger) FROM coverage
        WHERE contract_set_id IN ({marks(sets)}) AND last_ledger >= ? AND first_ledger <= ?
    """  # noqa: S608 - only marks are put in


# --- watermarks ------------------------------------------------------------------------------------

STATES_AT = "SELECT contract_id, last_ledger_sequence FROM sync_state WHERE last_ledger_sequence BETWEEN ? AND ?"
STATE_OF = "SELECT start_ledger, last_ledger_sequence FROM sync_state WHERE contract_id = ?"
INSERT_STATE = "INSERT INTO sync_state (contract_id, start_ledger, last_ledger_sequence) VALUES (?, ?, ?)"
MOVE_WATERMARK = """
    UPDATE sync_state SET last_ledger_sequence = ? WHERE contract_id = ? AND last_ledger_sequence < ?
"""

# --- transactions ----------------------------------------------------------------------------------

ADD_TRANSACTION_SQLITE = "INSERT OR IGNORE INTO transactions (tx_hash, ledger, tx_order) VALUES (?, ?, ?)"
STORED_TRANSACTION_SQLITE = "SELECT tx_hash, ledger, tx_order FROM transactions WHERE tx_hash = ?"
ADD_TRANSACTIONS_POSTGRESQL = """
    INSERT INTO transactions (tx_hash, ledger, tx_order)
    SELECT * FROM unnest(?b::text[], ?b::bigint[], ?b::bigint[])
    ON CONFLICT (tx_hash) DO NOTHING
"""
COPY_TRANSACTIONS_POSTGRESQL = "COPY transactions (tx_hash, ledger, tx_order) FROM STDIN (FORMAT BINARY)"
TRANSACTION_TYPES = ("text", "int8", "int8")
STORED_TRANSACTIONS_POSTGRESQL = """
    SELECT t.tx_hash, t.ledger, t.tx_order
    FROM unnest(?b::text[]) AS o (tx_hash) JOIN transactions t ON t.tx_hash = o.tx_hash
"""
NOTE_ORDER = "UPDATE transactions SET tx_order = ? WHERE tx_hash = ? AND tx_order IS NULL"

# --- events ----------------------------------------------------------------------------------------

ADD_EVENT_SQLITE = f"INSERT INTO events ({_STORED_EVENT}) VALUES ({marks(len(EVENT_COLUMNS) + 1)})"  # noqa: S608 - names
COPY_EVENTS_POSTGRESQL = f"COPY events ({_STORED_EVENT}) FROM STDIN (FORMAT BINARY)"
EVENT_TYPES = (
    *("text", "int8", "int8", "text", "int8", "text", "text"),
    *("bytea", "bytea", "bytea", "bytea", "bytea", "bytea", "int8"),
)
EVENT_AT = f"SELECT {_EVENT} FROM events WHERE ledger = ? AND id = ?"  # noqa: S608 - names only
STORED_BY_ID_SQLITE = EVENT_AT
STORED_BY_IDENTITY_SQLITE = f"""
    SELECT {_EVENT} FROM events WHERE ledger = ? AND tx_hash = ? AND event_index = ?
"""  # noqa: S608 - names only
STORED_BY_ID_POSTGRESQL = f"""
    SELECT {", ".join(f"e.{column}" for column in EVENT_COLUMNS)}
    FROM unnest(?b::bigint[], ?b::text[]) AS o (ledger, id)
    JOIN events e ON e.ledger = o.ledger AND e.id = o.id
"""  # noqa: S608 - names only
STORED_BY_IDENTITY_POSTGRESQL = f"""
    SELECT {", ".join(f"e.{column}" for column in EVENT_COLUMNS)}
    FROM unnest(?b::bigint[], ?b::text[], ?b::bigint[]) AS o (ledger, tx_hash, event_index)
    JOIN events e ON e.ledger = o.ledger AND e.tx_hash = o.tx_hash AND e.event_index = o.event_index
"""  # noqa: S608 - names only

EVENTS_OF_ALL = f"""
    SELECT {_EVENT} FROM events
    WHERE ledger BETWEEN ? AND ? AND id > ?
    ORDER BY ledger, id LIMIT ?
"""  # noqa: S608 - names only
EVENTS_OF_COMMIT = f"""
    SELECT {_EVENT} FROM events
    WHERE ledger BETWEEN ? AND ? AND window_id IN
        (SELECT id FROM windows WHERE id = ? UNION ALL SELECT id FROM windows WHERE part_of = ?)
    ORDER BY ledger, id LIMIT ?
"""  # noqa: S608 - names only
"""Values: the commit's range, twice its window, limit; the range spares an index on ``window_id``."""
PAGE_OF_COMMIT = f"""
    SELECT {_EVENT} FROM events
    WHERE ledger BETWEEN ? AND ? AND (ledger, id) > (?, ?) AND window_id IN
        (SELECT id FROM windows WHERE id = ? UNION ALL SELECT id FROM windows WHERE part_of = ?)
    ORDER BY ledger, id LIMIT ? OFFSET ?
"""  # noqa: S608 - names only
"""Values: first and last ledger, the first again and the id they come after, twice the window, limit, offset.

The first ledger stands there by itself, too: PostgreSQL's planner guesses badly from the pair alone.
"""


def page_of_commit_of(contracts: int) -> str:
    """Select a part of a commit's events of some contracts. Values: the contract ids, then those of the whole page."""
    return f"""
        SELECT {_EVENT} FROM events
        WHERE contract_id IN ({marks(contracts)}) AND ledger BETWEEN ? AND ? AND (ledger, id) > (?, ?)
            AND window_id IN
            (SELECT id FROM windows WHERE id = ? UNION ALL SELECT id FROM windows WHERE part_of = ?)
        ORDER BY ledger, id LIMIT ? OFFSET ?
    """  # noqa: S608 - names and marks only


def earliest_after(contracts: int) -> str:
    """Select the lowest first ledger of later commits by contract (or ``*``). Values: position, the contract ids."""
    return f"""
        SELECT m.contract_id, min(c.first_ledger)
        FROM commits c
        JOIN windows w ON w.id = c.window_id
        JOIN contract_set_members m ON m.contract_set_id = w.contract_set_id
        WHERE c.position > ? AND m.contract_id IN ({marks(contracts)})
        GROUP BY m.contract_id
    """  # noqa: S608 - names and marks only


EVENT_BOUNDS = "SELECT min(ledger), max(ledger) FROM events"


def events_of_contracts(contracts: int) -> str:
    """Select events of some contracts. Values: the contract ids, the range, the id they come after, how many."""
    return f"""
        SELECT {_EVENT} FROM events
        WHERE contract_id IN ({marks(contracts)}) AND ledger BETWEEN ? AND ? AND id > ?
        ORDER BY ledger, id LIMIT ?
    """  # noqa: S608 - names and marks only


BY_PLACE = ("ledger", "id")
BY_CONTRACT = ("contract_id", "ledger", "id")
BY_IDENTITY = ("ledger", "tx_hash", "event_index")
"""The columns of the primary key and of the two indexes of events, which :func:`look_along` walks."""


@dataclass(frozen=True, slots=True)
class Walking:
    """How a dialect is kept to the walk along one index; left alone it may find another way, and a slow one.

    ``prepare`` is run first, for the rest of the transaction; empty where nothing is needed. ``beyond``
    makes the condition that a row's key is greater or less (``sign``) than a given one; ``fixed`` of its
    columns have the same value at both ends of the walk.
    """

    prepare: str
    beyond: Callable[[Sequence[str], int, str], str]


def _whole_key_beyond(index: Sequence[str], _: int, sign: str) -> str:
    return f"({', '.join(index)}) {sign} ({marks(len(index))})"


def _rest_of_key_beyond(index: Sequence[str], fixed: int, sign: str) -> str:
    same = [f"{column} = {'ANY(ARRAY[?])' if column == 'contract_id' else '?'}" for column in index[:fixed]]
    return " AND ".join([*same, _whole_key_beyond(index[fixed:], 0, sign)])


WALKING_SQLITE = Walking("", _whole_key_beyond)
"""Whole keys are compared: SQLite cannot order by them without sorting unless it takes their index."""

WALKING_POSTGRESQL = Walking(
    """
    SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
        set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true)
    """,
    _rest_of_key_beyond,
)
"""Collecting and sorting are ruled out: the planner prefers them for long steps, whatever else lies in the range.

A walk that compares whole keys ends for PostgreSQL where the first column does, at the end of the contract;
so the fixed columns are compared each by itself. The contract not with ``=``: what is known to be the same
needs no place in the order, which would leave the primary key as a way, past everybody else's events.
"""


def look_along(index: Sequence[str], fixed: int, fits: str, rows: int, walking: Walking, *, descending: bool) -> str:
    """Look at so many rows along an index; return the ids of those that fit, then the last id looked at.

    Values: those of ``fits``, then where the walk begins and where it ends, each a whole key of the
    index, neither included. The last id comes with how many rows were looked at, the others with NULL.
    How many to look at is part of the text: a planner that does not know it thinks of a tenth of the table.
    """
    order = [f"{column} DESC" if descending else column for column in index]
    return f"""
        WITH looked AS MATERIALIZED (
            SELECT id, {fits} AS fits FROM events
            WHERE {walking.beyond(index, fixed, ">")} AND {walking.beyond(index, fixed, "<")}
            ORDER BY {", ".join(order)} LIMIT {rows:d}
        )
        SELECT id, NULL FROM looked WHERE fits
        UNION ALL SELECT {"min" if descending else "max"}(id), count(*) FROM looked
    """  # noqa: S608 - names and marks only


def rows_along(index: Sequence[str], fixed: int, rows: int, walking: Walking, *, descending: bool) -> str:
    """Read so many events along an index. Values: where the walk begins and where it ends, as with ``look_along``."""
    order = [f"{column} DESC" if descending else column for column in index]
    return f"""
        SELECT {_EVENT} FROM events
        WHERE {walking.beyond(index, fixed, ">")} AND {walking.beyond(index, fixed, "<")}
        ORDER BY {", ".join(order)} LIMIT {rows:d}
    """  # noqa: S608 - names and marks only


def events_at(count: int) -> str:
    """Select events by their keys. Values: ledger and id of each."""
    return f"""
        WITH wanted (ledger, id) AS (VALUES {", ".join(["(?, ?)"] * count)})
        SELECT {", ".join(f"e.{column}" for column in EVENT_COLUMNS)}
        FROM wanted CROSS JOIN events e WHERE e.ledger = wanted.ledger AND e.id = wanted.id
    """  # noqa: S608 - names and marks only


PLACE_OF_TRANSACTION = "SELECT ledger, tx_order FROM transactions WHERE tx_hash = ?"

# --- conflicts -------------------------------------------------------------------------------------

SEE_CONFLICT_AGAIN = """
    UPDATE conflicts SET source = ?, last_seen = ?, times_seen = times_seen + 1 WHERE event_id = ? AND digest = ?
"""
INSERT_CONFLICT = f"""
    INSERT INTO conflicts
        (digest, kind, source, first_seen, last_seen, times_seen, event_id, {", ".join(EVENT_COLUMNS[1:])})
    VALUES ({marks(len(EVENT_COLUMNS) + 6)})
"""  # noqa: S608 - names only

# --- anchors ---------------------------------------------------------------------------------------

ANCHOR_AT = "SELECT hash FROM anchors WHERE ledger = ?"
INSERT_ANCHOR = "INSERT INTO anchors (ledger, hash) VALUES (?, ?)"
ANCHORED_LEDGERS = "SELECT ledger FROM anchors ORDER BY ledger DESC"
DELETE_ANCHOR = "DELETE FROM anchors WHERE ledger = ?"

LINKS_WITHIN = "SELECT ledger, hash, checked, followed FROM links WHERE ledger BETWEEN ? AND ?"
INSERT_LINK = "INSERT INTO links (ledger, hash, checked, followed) VALUES (?, ?, ?, ?)"
DELETE_LINK = "DELETE FROM links WHERE ledger = ?"
