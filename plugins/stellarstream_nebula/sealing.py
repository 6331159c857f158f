"""Writing the audit log: entries are logged as they come, and linked once they are final, in bounded pieces.

Final is what lies in the unbroken stretch of ledgers around the first wanted one: from the first wanted ledger up
to the watermark; what lies below the first wanted ledger joins it when no ledger is missing between the lowest
that is covered and the first wanted one (:class:`~stellarstream_core.projections.Reached`). So filling older
ledgers in, in whatever pieces, links each chain anew once, when the last gap closes.

A chain is linked anew by cutting it before the first entry that it lacks and going on from there: between two
pieces it is a shorter chain, and as true as any other. The end that it had is kept as a revision, so that whoever
holds that head finds out why. ``nebula_relinks`` has the chains that were cut, until they are whole again.

Whoever calls these functions has taken its turn (``bulk.take_turn``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from peewee import Database

from stellarstream_core.events import ContractEvent
from stellarstream_nebula import bulk
from stellarstream_nebula.audit import (
    CHAIN_COLUMNS,
    NOWHERE,
    Chain,
    Place,
    Seal,
    contract_of,
    digest,
    end_of,
    genesis,
    link,
    read_chains,
    read_relinks,
    read_seals,
)

PIECE = 2_000
"""Entries that one call seals of each contract, looks through for older ones, and links anew: others wait."""
CHAINS_AT_ONCE = 100
"""Chains that one call links anew."""

_LINK_COLUMNS = ("key", "event_id", "contract_id", "type", "digest", "hash")
_SEAL_COLUMNS = ("contract_id", "first_event", "event_id", "key", "walk_event", "walk_key", "walk_end")
_REVISION_COLUMNS = ("key", "revision", "links", "head", "last_event", "replaced_by_event", "replaced_at")


class NewEntry(NamedTuple):
    """An entry to be logged: its key, the event, and the event's name."""

    key: str
    event: ContractEvent
    type: str


class Final(NamedTuple):
    """The ledgers of a contract that are final, both ends included; see ``Reached``."""

    first: int
    last: int


def log(database: Database, entries: Iterable[NewEntry]) -> list[NewEntry]:
    """Add entries that are not logged yet and return them; chains into which some come belatedly are cut there."""
    given = {(entry.key, entry.event.id): entry for entry in entries}
    if not given:
        return []
    known = _known(database, given)
    new = [entry for place, entry in given.items() if place not in known]
    rows = [(entry.key, entry.event.id, contract_of(entry.key), entry.type, digest(entry.event), None) for entry in new]
    bulk.insert_new(database, "nebula_links", _LINK_COLUMNS, ("key", "event_id"), rows)
    seals = read_seals(database)
    late: dict[str, str] = {}
    for entry in new:
        seal_of = seals.get(contract_of(entry.key))
        if seal_of is not None and seal_of.holds(Place(entry.event.id, entry.key)):
            late[entry.key] = min(entry.event.id, late.get(entry.key, entry.event.id))
    _cut(database, late, seals)
    return new


def seal(database: Database, final: Mapping[str, Final], most: int = PIECE) -> bool:
    """Link entries of contracts as far as they are final, a bounded piece of them; tell whether nothing is left.

    What lies in the ledgers that are final must be logged already.
    """
    seals = read_seals(database)
    changed: dict[str, Seal] = {}
    done = True
    for contract, ledgers in sorted(final.items()):
        before = seals.get(contract)
        after = _go_on(database, contract, _extended(before, ledgers), ledgers, most)
        if after is None:
            continue
        if after.walk_end:
            seals[contract] = after
            after = _take_in_older(database, contract, after, seals, most)
        seals[contract] = after
        done = done and not after.walk_end and after.last >= Place(end_of(ledgers.last), "")
        if after != before:
            changed[contract] = after
    rows = [
        (contract, one.first_event, *one.last, *one.walk, one.walk_end) for contract, one in sorted(changed.items())
    ]
    bulk.upsert(database, "nebula_seals", _SEAL_COLUMNS, ("contract_id",), rows)
    return _link_anew(database, seals, most) and done


def _extended(seal_of: Seal | None, ledgers: Final) -> Seal | None:
    """Return a contract's seal with the first event that is final; None where none is, and none was."""
    first, end = end_of(ledgers.first - 1), end_of(ledgers.last)
    if seal_of is None:
        return Seal(first, Place(first, "")) if end > first else None
    if first >= seal_of.first_event or end < seal_of.first_event:
        return seal_of
    return seal_of._replace(first_event=first, walk=Place(first, ""), walk_end=seal_of.walk_end or seal_of.first_event)


def _go_on(database: Database, contract: str, seal_of: Seal | None, ledgers: Final, most: int) -> Seal | None:
    """Link the next entries behind what is sealed, and return how far that is."""
    end = Place(end_of(ledgers.last), "")
    if seal_of is None or end <= seal_of.last:
        return seal_of
    rows = _between(database, seal_of.last, end.event_id, most)
    own = [(row[1], row[0], bytes(row[2])) for row in rows if contract_of(row[1]) == contract]
    waiting = read_relinks(database, {key for key, _, _ in own})
    _append(database, [entry for entry in own if entry[0] not in waiting])
    return seal_of._replace(last=end if len(rows) < most else Place(rows[-1][0], rows[-1][1]))


def _take_in_older(database: Database, contract: str, seal_of: Seal, seals: Mapping[str, Seal], most: int) -> Seal:
    """Cut the chains of the next older entries that came to be final, and return how far these were looked at."""
    rows = _between(database, seal_of.walk, seal_of.walk_end, most)
    first: dict[str, str] = {}
    for event_id, key, _, unlinked in rows:
        if unlinked and contract_of(key) == contract:
            first.setdefault(key, event_id)
    _cut(database, first, seals)
    if len(rows) < most:
        return seal_of._replace(walk=NOWHERE, walk_end="")
    return seal_of._replace(walk=Place(rows[-1][0], rows[-1][1]))


def _between(database: Database, after: Place, end: str, most: int) -> list[bulk.Row]:
    """Return entries of all contracts in order: event id, key, digest, and whether there is no hash."""
    return bulk.query(
        database,
        """
        SELECT event_id, key, digest, hash IS NULL FROM nebula_links
        WHERE (event_id, key) > (?, ?) AND event_id < ? ORDER BY event_id, key LIMIT ?
        """,
        (*after, end, most),
    )


# --- linking anew -----------------------------------------------------------------------------------


def _cut(database: Database, first: Mapping[str, str], seals: Mapping[str, Seal]) -> None:
    """Let chains end before an entry each that they lack, and note that they are to be linked on from there."""
    if not first:
        return
    bulk.insert_new(database, "nebula_relinks", ("key",), ("key",), [(key,) for key in sorted(first)])
    chains = read_chains(database, first)
    overtaken = {key: event for key, event in sorted(first.items()) if key in chains and event < chains[key].last_event}
    if not overtaken:
        return
    spans = [(key, event, seals[contract_of(key)].first_event) for key, event in overtaken.items()]
    kept = _links_before(database, spans)
    now = int(time.time())
    revisions: list[bulk.Row] = []
    for key, event in overtaken.items():
        chain = chains[key]
        revisions.append((key, chain.revision, chain.links, chain.head, chain.last_event, event, now))
        chains[key] = Chain(key, *kept[key], chain.revision + 1)
    bulk.insert_new(database, "nebula_chain_revisions", _REVISION_COLUMNS, ("key", "revision"), revisions)
    _store(database, [chains[key] for key in overtaken])


def _links_before(database: Database, spans: Sequence[tuple[str, str, str]]) -> dict[str, tuple[int, bytes, str]]:
    """Return how many links a chain has below an event, the last one's hash and its event.

    Spans are a key, the event, and the least event that is sealed.
    """
    found: dict[str, tuple[int, bytes, str]] = {}
    below = "l.key = v.column1 AND l.event_id < v.column2 AND l.event_id >= v.column3 AND l.hash IS NOT NULL"
    for part in bulk.pieces(spans, bulk.MOST_VALUES // 3):
        rows = bulk.query(
            database,
            f"""
            SELECT w.key, w.links, l.hash, w.last_event FROM (
                SELECT v.column1 AS key,
                    (SELECT count(*) FROM nebula_links AS l WHERE {below}) AS links,
                    (SELECT l.event_id FROM nebula_links AS l WHERE {below} ORDER BY l.event_id DESC LIMIT 1)
                        AS last_event
                FROM (VALUES {", ".join(["(?, ?, ?)"] * len(part))}) AS v
            ) AS w LEFT JOIN nebula_links AS l ON l.key = w.key AND l.event_id = w.last_event
            """,  # noqa: S608 - names and marks only
            [value for span in part for value in span],
        )
        found |= {
            key: (links, bytes(head), last) if links else (0, genesis(key), "") for key, links, head, last in rows
        }
    return found


def _link_anew(database: Database, seals: Mapping[str, Seal], most: int) -> bool:
    """Link the next entries of chains that were cut; tell whether none is left."""
    keys = [
        row[0]
        for row in bulk.query(database, "SELECT key FROM nebula_relinks ORDER BY key LIMIT ?", (CHAINS_AT_ONCE + 1,))
    ]
    chains = read_chains(database, keys)
    whole: list[str] = []
    for key in keys[:CHAINS_AT_ONCE]:
        if most <= 0:
            break
        seal_of = seals[contract_of(key)]
        last, its_key = seal_of.last
        behind = chains[key].last_event if key in chains else ""
        least = max(seal_of.first_event, f"{behind}~" if behind else "")
        rows = bulk.query(
            database,
            f"""
            SELECT event_id, digest FROM nebula_links
            WHERE key = ? AND event_id >= ? AND event_id {"<=" if key <= its_key else "<"} ? ORDER BY event_id LIMIT ?
            """,  # noqa: S608 - a sign only
            (key, least, last, most),
        )
        _append(database, [(key, event_id, bytes(entry_digest)) for event_id, entry_digest in rows])
        if len(rows) < most:
            whole.append(key)
        most -= len(rows)
    for part in bulk.pieces(whole, bulk.MOST_VALUES):
        bulk.execute(database, f"DELETE FROM nebula_relinks WHERE key IN ({bulk.marks(len(part))})", part)  # noqa: S608 - marks only
    return len(whole) == len(keys)


# --- rows -------------------------------------------------------------------------------------------


def _append(database: Database, entries: Sequence[tuple[str, str, bytes]]) -> None:
    """Link entries (key, event id, digest), in order, behind the ends of their chains."""
    chains = read_chains(database, {key for key, _, _ in entries})
    hashes: list[bulk.Row] = []
    changed: dict[str, Chain] = {}
    for key, event_id, entry_digest in entries:
        chain = changed.get(key) or chains.get(key) or Chain(key, 0, genesis(key), "", 0)
        head = link(chain.head, entry_digest)
        hashes.append((key, event_id, head, chain.revision))
        changed[key] = Chain(key, chain.links + 1, head, event_id, chain.revision)
    _set_hashes(database, hashes)
    _store(database, changed.values())


def _set_hashes(database: Database, rows: Sequence[bulk.Row]) -> None:
    integer = "CAST(? AS BIGINT)"  # the type of a value in a list of values follows from nothing else
    for part in bulk.pieces(rows, bulk.MOST_VALUES // 4):
        values = ", ".join([f"(?, ?, ?, {integer})"] * len(part))
        bulk.execute(
            database,
            f"""
            UPDATE nebula_links SET hash = v.column3, since = coalesce(nebula_links.since, v.column4)
            FROM (VALUES {values}) AS v
            WHERE nebula_links.key = v.column1 AND nebula_links.event_id = v.column2
            """,  # noqa: S608 - marks only
            [value for row in part for value in row],
        )


def _store(database: Database, chains: Iterable[Chain]) -> None:
    rows = [(chain.key, chain.links, chain.head, chain.last_event, chain.revision) for chain in chains]
    bulk.upsert(database, "nebula_chains", CHAIN_COLUMNS, ("key",), rows)


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
