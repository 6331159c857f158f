"""Projections: state folded from events, by key. What a plugin offers, and what it is given.

The projector (``stellarstream_core.projection``) follows the store's positions: every event reaches a
projection once, old ledgers that are filled in late among them. The projection says which keys an event
belongs to, and folds the events of one key; the projector keeps the journal of entries, the states and
how far they are. A state is a pure function of the set of events of its key and of the groups it is in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from peewee import Database

    from stellarstream_core.chain import ChainClient
    from stellarstream_core.events import ContractEvent
    from stellarstream_core.plugins import Plugins
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
    """Where a batch's events belong. An event may be in several journals, or in none.

    ``groups`` are those of the entries' keys that are groups and nothing else: they have no state of their own, and
    :meth:`Projection.advance` is not called for them.
    """

    entries: Sequence[Entry]
    unknown: Sequence[Unknown] = ()
    groups: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Folded:
    """A key's state after its events, and the groups whose events it folds as well.

    ``state`` is bytes that :meth:`Projection.advance` takes again; None where the events do not make a
    state yet (its beginning is not known): they stay in the journal, and all of them are folded again with the
    next that comes. Where many may come before the beginning, return bytes that say that nothing is known yet.
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
    last ledger of that unbroken stretch, all of whose events are folded; it may lie above ``ledger``, where
    nobody told when the ledgers between closed, and is below the first wanted one where that is missing.
    ``first`` is the first ledger of that stretch: the first wanted one; or the lowest that is covered, once no
    ledger is missing and every event is folded from there to the first wanted one. None where nobody told.
    """

    ledger: int
    closed_at: int
    complete: bool
    watermark: int
    first: int | None = None


class Projection(Protocol):
    """A fold over the events of some contracts. All methods but :meth:`follow_up` are called from one thread."""

    name: str
    fingerprint: str
    """Changes with everything that the result depends on besides the events, whichever contract they are of: rules
    and settings. A projection that was stored under another one is built again from the first commit."""

    @property
    def contracts(self) -> Mapping[str, str]:
        """The contracts (C…) whose events it takes; those of others are not handed to :meth:`route`.

        With each stands what the result of its events alone depends on (its kind, its decoder's version): where that
        changes, the projection is built again from the first commit. A contract that comes is taken in alone: its
        stored events are, while the others stay as they are. One that is not there any more keeps its journal and
        states, and is not handed over; when it comes back, what is missing of it is taken in.
        """
        ...

    def route(self, events: Sequence[ContractEvent]) -> Routed:
        """Say where events belong. Pure. Events of one batch come in id order, batches in any order."""
        ...

    def advance(self, key: str, state: bytes | None, entries: Sequence[Entry]) -> Folded:
        """Fold entries, in id order, each event once, on to a state (None: from nothing). Pure.

        ``advance(advance(None, a), b)`` equals ``advance(None, a + b)`` wherever all of ``a`` come before
        all of ``b``. Where the answer names groups whose entries were not handed over, the key is folded
        again with theirs among its own. More events never name fewer groups.

        What comes out does not depend on which contracts there are: a journal may hold entries of one that is
        not among them any more, and they are folded as before. Any key may be a group of others, so every key is
        folded but those that :class:`Routed` names as groups.
        """
        ...

    def save(self, database: Database, entries: Sequence[Entry], changes: Sequence[Change]) -> None:
        """Write what is read from: called inside the transaction that stores states and the cursor.

        ``entries`` are those journaled for the first time, in id order, ``changes`` the keys folded anew, in
        their order (not those that had no state and have none). It is called where there is either. Keep it
        short: a step takes in as many events as fit into a tenth of a second.
        """
        ...

    def reached(self, database: Database, reached: dict[str, Reached]) -> bool | None:
        """Take note, inside the same transaction, of how far each contract is. May seal what is final.

        Keep it short: True says that there is more to do than fits, then it is called again. While far behind
        it is not called in every step. A contract of which no covered ledger is known is left out; ``ledger``
        never goes back: it is not ``complete`` while ledgers below are being filled in. ``watermark`` may go back.
        """
        ...

    def clear(self, database: Database) -> bool | None:
        """Remove everything :meth:`save` wrote: the projection is about to be built again.

        Called inside a transaction of its own. Keep it short: True says that there is more to remove than fits, then
        it is called again, by another process where this one ends. Nothing is saved until it returns False or None.
        """
        ...

    async def follow_up(self, context: FollowUp) -> None:
        """Do what needs the chain after commits were taken in, such as reading facts that no event tells.

        Called while following, once at the beginning and each time the projection has caught up with commits,
        those without an event of its contracts included, and never twice at a time. It runs on the event loop
        while the projector's thread may call other methods. What it raises is logged; the projection goes on.
        """
        ...


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What a projection may use between batches. ``chain`` is None where no chain client is configured.

    ``run`` calls a function in the projector's thread: ``await run(storage.read, query)``.
    """

    storage: Storage
    settings: Settings
    chain: ChainClient | None
    run: Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Opening:
    """What a projection is built from.

    The storage tells it what is stored already, the chain client (None where none is configured) what contracts
    say of themselves, the plugins which decoders there are and what its own hooks are answered.
    """

    settings: Settings
    storage: Storage
    chain: ChainClient | None
    plugins: Plugins


@dataclass(frozen=True, slots=True)
class ProjectionSpec:
    """A projection that a plugin offers.

    ``open`` builds it before anything is folded. None where nothing is configured for it: it is left out then.
    """

    name: str
    summary: str
    open: Callable[[Opening], Awaitable[Projection | None]]
