"""What was checked about one ledger, and what no hash can tell of it.

A ledger's header hash commits to the header before it and to every transaction's result; the result
of each successful invocation commits to its events (InvokeHostFunctionSuccessPreImage). Events of
classic operations and of fees (CAP-67) are in no hash, and the meta that holds them depends on how
the node that made it was run: its flavour.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Breach(StrEnum):
    """Which link of the chain of hashes does not hold."""

    HEADER = "header-hash"
    """The header does not have the hash that the ledger says it has."""
    CHAIN = "chain-break"
    """The header names another predecessor than the ledger before it, or is not the ledger known by its hash."""
    RESULTS = "transaction-results"
    """The transactions' results are not those that the header commits to: one is missing, added or changed."""
    EVENTS = "invocation-events"
    """An invocation's events are not those that its result commits to: one is missing, added or changed."""
    META = "missing-meta"
    """An invocation succeeded, but the meta that would hold its events is empty."""
    NETWORK = "other-network"
    """The transactions are signed for another network."""


class Flavour(StrEnum):
    """How the node that made a ledger's meta was run, as far as the meta shows it."""

    UNKNOWN = ""
    """The ledger holds nothing that would show it."""
    V2 = "meta-v2"
    """Meta of versions 0 to 2: before protocol 20, without events."""
    V3 = "meta-v3"
    """Protocols 20 to 22 as they were: events of invocations only."""
    V4 = "meta-v4"
    """Version 4 with classic events off (EMIT_CLASSIC_EVENTS): neither classic nor fee events."""
    V4_CLASSIC = "meta-v4-classic"
    """Version 4 with classic and fee events."""
    BACKFILLED = "meta-v4-backfilled"
    """A ledger before protocol 23, exported again in version 4 (BACKFILL_STELLAR_ASSET_EVENTS):
    asset contracts' events are written as protocol 23 has them."""


class Doubt(StrEnum):
    """What could not be proven about a ledger whose hashes hold."""

    CLASSIC_EVENTS = "classic-events"
    """Some of the scope's events are of classic operations or fees, which no hash covers."""
    CLASSIC_EVENTS_OFF = "classic-events-off"
    """The node ran without classic events, so an asset contract's classic events are not there to be seen."""
    BACKFILLED = "backfilled"
    """An invocation's events were rewritten when the ledger was exported again and have another hash."""
    RECONCILED = "reconciled"
    """An invocation has events before the hashed ones (core 24.1 over ledgers 58,762,517 to 59,501,299)."""


@dataclass(frozen=True, slots=True)
class LedgerCertificate:
    """One ledger whose hashes were checked; hashes are 64 hex digits, ``close_time`` Unix seconds.

    ``invocations`` succeeded, ``proven_invocations`` of them have exactly the events that their
    result commits to. ``unhashed_events`` counts the ledger's classic and fee events.
    """

    sequence: int
    hash: str
    previous_hash: str
    protocol: int
    close_time: int
    transactions: int
    invocations: int
    proven_invocations: int
    unhashed_events: int
    flavour: Flavour
    doubts: frozenset[Doubt] = frozenset()

    @property
    def proven(self) -> bool:
        """Whether every event that the protocol puts under a hash was checked against it."""
        return self.proven_invocations == self.invocations
