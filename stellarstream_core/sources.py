"""What a ledger source must offer, and what it hands over.

A source yields windows: events together with the ledgers they complete. It never yields events
without the range, and never a range that it did not finish; what it cannot serve it names as
``Unserved``. Fetching concurrently is the source's own business: windows may come in any order.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope

if TYPE_CHECKING:
    from stellarstream_core.certificates import LedgerCertificate
    from stellarstream_core.settings import Settings


class Evidence(StrEnum):
    """Why a ledger counts as covered."""

    SCANNED = "scanned"
    """The source said that it looked at every event of the ledger."""
    PROVEN = "proven"
    """Hashes were checked from the ledger header down to the events."""


@dataclass(frozen=True, slots=True)
class Window:
    """Every event of ``scope`` in ``range``, in id order, and why one may believe so.

    ``flavour`` says how the node that made the ledgers' meta was run (:class:`Flavour`); empty where
    that cannot be told. ``certificates`` has one for each ledger of the range, in order, where its
    hashes were checked, and is empty where they were not. ``closed_at`` is when the range's last ledger
    closed, in Unix seconds, where the source knows: an empty ledger tells the time by nothing else.
    """

    range: LedgerRange
    scope: Scope
    events: Sequence[ContractEvent]
    source: str
    evidence: Evidence = Evidence.SCANNED
    flavour: str = ""
    certificates: Sequence[LedgerCertificate] = ()
    closed_at: int | None = None


class Reason(StrEnum):
    """Why a source did not serve a range. A gap carries it, so that a user knows what to do."""

    OUT_OF_RETENTION = "out-of-retention"
    BEYOND_TIP = "beyond-tip"
    UNAVAILABLE = "unavailable"
    MISBEHAVED = "misbehaved"
    MISSING = "missing"
    """The source has ledgers around it, but not this one."""
    PROOF_FAILED = "proof-failed"
    """Its hashes do not hold; the detail begins with the link that is broken (:class:`Breach`)."""
    CONFLICT = "conflict"
    INTERRUPTED = "interrupted"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Unserved:
    """Ledgers that a source gave up for ``scope``; another source may have them.

    ``detail`` is one sentence for a person: which endpoint (scheme and host only) said what.
    """

    range: LedgerRange
    scope: Scope
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Reach:
    """The ledgers a source can serve now, with the tip's close time in Unix seconds (None: not told).

    ``ledger_seconds`` is the mean time between ledgers where the source can tell it. ``archive``: the
    oldest ledger stays where it is, nothing leaves the source with time.
    """

    oldest: int
    latest: int
    latest_closed_at: int | None = None
    ledger_seconds: float | None = None
    archive: bool = False


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """What a source said of itself when it was opened; ``warnings`` are sentences for the log.

    ``passphrase`` is None where the source has no word for its network (an old data lake); then it
    has to make sure by itself, such as by the transactions' signatures, that its ledgers belong to it.
    ``proves``: its windows come with certificates, so that its unchecked tip need not become an anchor.
    """

    passphrase: str | None
    version: str
    protocol: int | None
    endpoints: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    proves: bool = False


class Source(Protocol):
    """An open source. All methods raise ``SourceError`` subclasses once their own retries are spent."""

    name: str

    async def identity(self) -> SourceIdentity:
        """Say which network and node this is. Raises ``SourceUnusableError`` where it can never serve."""
        ...

    async def reach(self) -> Reach:
        """Return oldest and latest ledger as of now; ``latest`` never goes back between calls."""
        ...

    async def ledger_hash(self, sequence: int) -> str | None:
        """Return the ledger's header hash (64 hex digits), or None where the source cannot tell it."""
        ...

    def windows(self, wanted: LedgerRange, scope: Scope) -> AsyncGenerator[Window | Unserved, None]:
        """Yield windows and give-ups that together are exactly ``wanted`` for each contract of ``scope``.

        They come in any order and never overlap for one contract. Closing the generator stops all
        requests. A window's events are in id order, all of its range and of its scope.
        """
        ...

    async def close(self) -> None:
        """Close connections. Safe to call twice."""
        ...


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the planner weighs when it chooses between sources.

    ``provable``: its windows can be ``proven``. ``max_contracts``: above it, and for everything, the
    source is slow and comes after those that read whole ledgers (None: it reads whole ledgers).
    ``live``: can follow the tip. ``cost``: relative price of a ledger, lower is preferred.
    """

    provable: bool = False
    max_contracts: int | None = None
    live: bool = True
    cost: int = 100


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A source that a plugin offers.

    ``configured`` tells whether the settings name an address for it; ``open`` connects nothing yet,
    it only builds the source.
    """

    name: str
    summary: str
    capabilities: Capabilities
    configured: Callable[[Settings], bool]
    open: Callable[[Settings], Awaitable[Source]]
