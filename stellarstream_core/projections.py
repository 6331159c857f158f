"""Projections: state folded from events, by key. What a plugin offers, and what it is given.

The projector (``stellarstream_core.projection``) follows the store's positions: every event reaches a
projection once, old ledgers that are filled in late among them. The projection says which keys an event
belongs to, and folds the events of one key; the projector keeps the journal of entries, the states and
how far they are. A state is a pure function of the set of events of its key and of the groups it is in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from peewee import Database

    from stellarstream_core.chain import ChainClient
    from stellarstream_core.events import ContractEvent
    from stellarstream_core.settings import Settings
    from stellarstream_core.storage import Storage


class Entry(NamedTuple):
    """An event in the journal of a key. ``key`` may be a group's: its events belong to every member."""

    key: str
    event: ContractEvent


class Unknown(NamedTuple):
    """An event of a contract that the projection follows, whose shape it does not know.

    ``shape`` describes it for a person in one line, without values: ``(u64, sym create_v3) map{…}``.
    """

    event: ContractEvent
    shape: str


@dataclass(frozen=True, slots=True)
class Routed:
    """Where a batch's events belong. An event may be in several journals, or in none."""

    entries: Sequence[Entry]
    unknown: Sequence[Unknown] = ()


@dataclass(frozen=True, slots=True)
class Folded:
    """A key's state after its events, and the groups whose events it folds as well.

    ``state`` is bytes that :meth:`Projection.advance` takes again; None where the events do not make a
    state yet (its beginning is not known): they stay in the journal.
    """

    state: bytes | None
    groups: frozenset[str] = frozenset()


class Change(NamedTuple):
    """A key whose state was folded anew. ``before`` is the stored state, None where there was none."""

    key: str
    before: bytes | None
    after: bytes | None


class Reached(NamedTuple):
    """How far a contract's events are folded: every event up to ``ledger``, closed at ``closed_at`` (Unix seconds).

    ``complete``: no ledger is missing between the first that is wanted and this one. ``watermark`` is the
    last ledger of that unbroken stretch.
    """

    ledger: int
    closed_at: int
    complete: bool
    watermark: int


class Projection(Protocol):
    """A fold over the events of some contracts. Methods are called from one thread at a time, never at once."""

    name: str
    fingerprint: str
    """Changes with everything that the result depends on besides the events: rules and settings. A projection
    that was stored under another one is built again from the first commit."""

    @property
    def contracts(self) -> Sequence[str]:
        """The contracts (C…) whose events it takes; those of others are not handed to :meth:`route`."""
        ...

    def route(self, events: Sequence[ContractEvent]) -> Routed:
        """Say where events belong. Pure. Events of one batch come in id order, batches in any order."""
        ...

    def advance(self, key: str, state: bytes | None, entries: Sequence[Entry]) -> Folded:
        """Fold entries, in id order, on to a state (None: from nothing). Pure.

        ``advance(advance(None, a), b)`` equals ``advance(None, a + b)`` wherever all of ``a`` come before
        all of ``b``. Where the answer names groups whose entries were not handed over, the key is folded
        again with theirs among its own.
        """
        ...

    def save(self, database: Database, entries: Sequence[Entry], changes: Sequence[Change]) -> None:
        """Write what is read from: called inside the transaction that stores states and the cursor.

        ``entries`` are those journaled for the first time, ``changes`` the keys folded anew. Keep it short.
        """
        ...

    def reached(self, database: Database, reached: dict[str, Reached]) -> None:
        """Take note, inside the same transaction, of how far each contract is. May seal what is final."""
        ...

    def clear(self, database: Database) -> None:
        """Remove everything :meth:`save` wrote: the projection is about to be built again."""
        ...

    async def follow_up(self, context: FollowUp) -> None:
        """Do what needs the chain after new events were folded, such as reading facts that no event tells.

        Called while following, after the projection has caught up, and never twice at a time. What it raises
        is logged; the projection goes on.
        """
        ...


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What a projection may use between batches. ``chain`` is None where no chain client is configured.

    ``run`` calls a function in the storage thread: ``await run(storage.read, query)``.
    """

    storage: Storage
    settings: Settings
    chain: ChainClient | None
    run: Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class ProjectionSpec:
    """A projection that a plugin offers.

    ``open`` builds it before anything is folded; the storage tells it what is stored already, the chain client
    (None where none is configured) what contracts say of themselves. None where nothing is configured for it:
    it is left out then.
    """

    name: str
    summary: str
    open: Callable[[Settings, Storage, ChainClient | None], Awaitable[Projection | None]]
