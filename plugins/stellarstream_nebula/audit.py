r"""The audit log's chains: each key's entries linked by hashes, up to what is final.

Per key (a stream, or a group whose events belong to many), over its entries at or below the watermark, in
the order of their ids::

    h0 = sha256("stellarstream audit chain v1\n" + key)
    hn = sha256(hn-1 + sha256(record of entry n))

The record is the event as it stands in the ledger, not what we read in it, as JSON with sorted keys and no
spaces. So a head is a function of the set of sealed events: two deployments that hold the same have equal
heads, whatever order they came in. ``docs/audit-log.md`` says the same for readers.

This module says what a chain is and reads it; ``stellarstream_nebula.sealing`` writes it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import orjson
from peewee import Database

from stellarstream_core.events import ContractEvent, format_close_time
from stellarstream_nebula import bulk

GENESIS = b"stellarstream audit chain v1\n"
CHAIN_COLUMNS = ("key", "links", "head", "last_event", "revision")


@dataclass(frozen=True, slots=True)
class Chain:
    """The end of a key's chain: an entry is linked where it has a hash and does not lie behind ``last_event``.

    ``last_event`` is empty where nothing is linked (any more). ``revision`` counts how often it was cut.
    """

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


class Seal(NamedTuple):
    """What is sealed of a contract's entries: those from ``first_event`` on, up to the place ``last``.

    Not linked yet of these is what lies behind the end of a chain that is being linked anew, and, while older entries
    are taken in, what lies behind ``walk`` and before ``walk_end`` (empty: nothing is taken in).
    """

    first_event: str
    last: Place
    walk: Place = NOWHERE
    walk_end: str = ""

    def holds(self, place: Place) -> bool:
        """Tell whether an entry is to be linked."""
        return self.first_event <= place.event_id and place <= self.last

    def awaits(self, place: Place) -> bool:
        """Tell whether an entry is among the older ones that were not looked at yet."""
        return self.walk < place and place.event_id < self.walk_end


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


# --- reading ----------------------------------------------------------------------------------------


def read_chains(database: Database, keys: Iterable[str]) -> dict[str, Chain]:
    """Return the ends of the chains of keys; a key without a sealed entry has none."""
    sql = f"SELECT {', '.join(CHAIN_COLUMNS)} FROM nebula_chains WHERE key IN"  # noqa: S608 - names only
    return {row[0]: Chain(row[0], row[1], bytes(row[2]), row[3], row[4]) for row in bulk.select_in(database, sql, keys)}


def read_seals(database: Database) -> dict[str, Seal]:
    """Return what is sealed, by contract."""
    sql = "SELECT contract_id, first_event, event_id, key, walk_event, walk_key, walk_end FROM nebula_seals"
    return {row[0]: Seal(row[1], Place(*row[2:4]), Place(*row[4:6]), row[6]) for row in bulk.query(database, sql)}


def read_relinks(database: Database, keys: Iterable[str]) -> set[str]:
    """Return which of some keys are being linked anew: what lies behind the end of such a chain waits."""
    return {row[0] for row in bulk.select_in(database, "SELECT key FROM nebula_relinks WHERE key IN", keys)}
