r"""The audit log's chains: each key's entries linked by hashes, up to what is final.

Per key (a stream, or a group whose events belong to many), over its entries at or below the watermark, in
the order of their ids::

    h0 = sha256("stellarstream audit chain v1\n" + key)
    hn = sha256(hn-1 + sha256(record of entry n))

The record is the event as it stands in the ledger, not what we read in it, as JSON with sorted keys and no
spaces. So a head is a function of the set of sealed events: two deployments that hold the same have equal
heads, whatever order they came in. ``docs/audit-log.md`` says the same for readers.

An event that comes below the seal (``verify --repair`` found it, or another release reads it) re-links its
key from its place on. The head that is replaced is kept, so that whoever holds it finds out why.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import orjson
from peewee import Database

from stellarstream_core.events import ContractEvent, format_close_time
from stellarstream_nebula import bulk

GENESIS = b"stellarstream audit chain v1\n"
PIECE = 2_000
"""Entries that one call seals, for each contract: others wait while it runs."""

_LINK_COLUMNS = ("key", "event_id", "contract_id", "type", "digest", "hash")
_CHAIN_COLUMNS = ("key", "links", "head", "last_event", "revision")


class NewEntry(NamedTuple):
    """An entry to be logged: its key, the event, and the event's name."""

    key: str
    event: ContractEvent
    type: str


@dataclass(frozen=True, slots=True)
class Chain:
    """The end of a key's chain; ``revision`` counts how often it was re-linked."""

    key: str
    links: int
    head: bytes
    last_event: str
    revision: int


class Place(NamedTuple):
    """Where an entry stands among all: by event, then by key."""

    event_id: str
    key: str


NOWHERE = Place("", "")


def record(event: ContractEvent) -> bytes:
    """Return the bytes that an entry's digest is made of."""
    return orjson.dumps(
        {
            "closedAt": format_close_time(event.closed_at),
            "contractId": event.contract_id,
            "eventIndex": event.event_index,
            "id": event.id,
            "ledger": event.ledger,
            "topics": [b64encode(topic).decode("ascii") for topic in event.topics],
            "txHash": event.tx_hash,
            "type": event.type,
            "value": b64encode(event.value).decode("ascii"),
        },
        option=orjson.OPT_SORT_KEYS,
    )


def digest(event: ContractEvent) -> bytes:
    """Return the SHA-256 of an entry's record."""
    return sha256(record(event)).digest()


def genesis(key: str) -> bytes:
    """Return what a key's chain begins with."""
    return sha256(GENESIS + key.encode()).digest()


def link(previous: bytes, entry_digest: bytes) -> bytes:
    """Return the hash of an entry after the one before it."""
    return sha256(previous + entry_digest).digest()


def contract_of(key: str) -> str:
    """Return the contract that a key begins with."""
    return key[:56]


def end_of(ledger: int) -> str:
    """Return the least id that an event after this ledger can have."""
    return f"{(ledger + 1) << 32:019d}-{0:010d}"


# --- writing ----------------------------------------------------------------------------------------


def log(database: Database, entries: Iterable[NewEntry]) -> list[NewEntry]:
    """Add entries that are not logged yet and return them; those that come below the seal are linked at once.

    The caller has taken its turn.
    """
    given = {(entry.key, entry.event.id): entry for entry in entries}
    if not given:
        return []
    known = _known(database, given)
    new = [entry for place, entry in given.items() if place not in known]
    seals = _seals(database)
    late: dict[str, list[NewEntry]] = defaultdict(list)
    rows: list[bulk.Row] = []
    for entry in new:
        if Place(entry.event.id, entry.key) <= seals.get(contract_of(entry.key), NOWHERE):
            late[entry.key].append(entry)
        else:
            rows.append(_row(entry, None))
    bulk.insert_new(database, "nebula_links", _LINK_COLUMNS, ("key", "event_id"), rows)
    if late:
        chains = read_chains(database, late)
        for key, added in sorted(late.items()):
            _relink(database, key, added, chains.get(key))
    return new


def seal(database: Database, bounds: Mapping[str, int], most: int = PIECE) -> bool:
    """Seal entries of contracts up to a ledger each, a bounded piece of them; tell whether nothing is left.

    The caller has taken its turn. What lies at or below a bound must be there already, and is final.
    """
    seals = _seals(database)
    done = True
    moved: list[bulk.Row] = []
    for contract, ledger in sorted(bounds.items()):
        place, end = seals.get(contract, NOWHERE), Place(end_of(ledger), "")
        if end <= place:
            continue
        rows = bulk.query(
            database,
            """
            SELECT event_id, key, contract_id, digest FROM nebula_links
            WHERE (event_id, key) > (?, ?) AND event_id < ? ORDER BY event_id, key LIMIT ?
            """,
            (*place, end.event_id, most),
        )
        _append(database, [(row[1], row[0], row[3]) for row in rows if row[2] == contract])
        if len(rows) == most:
            end, done = Place(rows[-1][0], rows[-1][1]), False
        moved.append((contract, *end))
    bulk.upsert(database, "nebula_seals", ("contract_id", "event_id", "key"), ("contract_id",), moved)
    return done


def _append(database: Database, entries: Sequence[tuple[str, str, bytes]]) -> None:
    """Link entries (key, event id, digest), in order, behind the ends of their chains."""
    chains = read_chains(database, {key for key, _, _ in entries})
    hashes: list[bulk.Row] = []
    for key, event_id, entry_digest in entries:
        chain = chains.get(key) or Chain(key, 0, genesis(key), "", 0)
        head = link(chain.head, entry_digest)
        hashes.append((key, event_id, head))
        chains[key] = Chain(key, chain.links + 1, head, event_id, chain.revision)
    _set_hashes(database, hashes)
    _store(database, chains.values())


def _relink(database: Database, key: str, added: Sequence[NewEntry], chain: Chain | None) -> None:
    """Put entries into a sealed chain, and link it anew from the first of them on."""
    bulk.insert_new(
        database, "nebula_links", _LINK_COLUMNS, ("key", "event_id"), [_row(entry, None) for entry in added]
    )
    first = min(entry.event.id for entry in added)
    last = max(chain.last_event if chain else "", *(entry.event.id for entry in added))
    before = bulk.query(
        database,
        "SELECT hash FROM nebula_links WHERE key = ? AND event_id < ? ORDER BY event_id DESC LIMIT 1",
        (key, first),
    )
    head = bytes(before[0][0]) if before else genesis(key)
    hashes: list[bulk.Row] = []
    rest = "SELECT event_id, digest FROM nebula_links WHERE key = ? AND event_id BETWEEN ? AND ? ORDER BY event_id"
    for event_id, entry_digest in bulk.query(database, rest, (key, first, last)):
        head = link(head, bytes(entry_digest))
        hashes.append((key, event_id, head))
    _set_hashes(database, hashes)
    links, revision = (chain.links, chain.revision) if chain else (0, 0)
    if chain is not None and first < chain.last_event:  # what was published is no beginning of the new chain
        bulk.execute(
            database,
            """
            INSERT INTO nebula_chain_revisions (key, revision, links, head, replaced_by_event, replaced_at)
            VALUES (?, ?, ?, ?, ?, ?)
            """,
            (key, chain.revision, chain.links, chain.head, first, int(time.time())),
        )
        revision += 1
    _store(database, [Chain(key, links + len(added), head, last, revision)])


def _row(entry: NewEntry, head: bytes | None) -> bulk.Row:
    return (entry.key, entry.event.id, contract_of(entry.key), entry.type, digest(entry.event), head)


def _set_hashes(database: Database, rows: Sequence[bulk.Row]) -> None:
    for part in bulk.pieces(rows, bulk.MOST_VALUES // 3):
        values = ", ".join(["(?, ?, ?)"] * len(part))
        bulk.execute(
            database,
            f"""
            UPDATE nebula_links SET hash = v.column3 FROM (VALUES {values}) AS v
            WHERE nebula_links.key = v.column1 AND nebula_links.event_id = v.column2
            """,  # noqa: S608 - marks only
            [value for row in part for value in row],
        )


def _store(database: Database, chains: Iterable[Chain]) -> None:
    rows = [(chain.key, chain.links, chain.head, chain.last_event, chain.revision) for chain in chains]
    bulk.upsert(database, "nebula_chains", _CHAIN_COLUMNS, ("key",), rows)


# --- reading ----------------------------------------------------------------------------------------


def read_chains(database: Database, keys: Iterable[str]) -> dict[str, Chain]:
    """Return the ends of the chains of keys; a key without a sealed entry has none."""
    sql = f"SELECT {', '.join(_CHAIN_COLUMNS)} FROM nebula_chains WHERE key IN"  # noqa: S608 - names only
    return {row[0]: Chain(row[0], row[1], bytes(row[2]), row[3], row[4]) for row in bulk.select_in(database, sql, keys)}


def _seals(database: Database) -> dict[str, Place]:
    rows = bulk.query(database, "SELECT contract_id, event_id, key FROM nebula_seals")
    return {row[0]: Place(row[1], row[2]) for row in rows}


def _known(database: Database, places: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return which of some entries (key, event id) are logged already."""
    found: set[tuple[str, str]] = set()
    for part in bulk.pieces(list(places), bulk.MOST_VALUES // 2):
        values = ", ".join(["(?, ?)"] * len(part))
        found |= {
            (row[0], row[1])
            for row in bulk.query(
                database,
                f"""
                SELECT l.key, l.event_id FROM (VALUES {values}) AS v
                JOIN nebula_links AS l ON l.key = v.column1 AND l.event_id = v.column2
                """,  # noqa: S608 - marks only
                [value for place in part for value in place],
            )
        }
    return found
