"""The contracts of a projection: which are taken in, which are being taken in, and which are not followed any more.

A contract that comes is taken in alone, while the others stay as they are: its stored events are paged through
in id order, up to ``after_event`` so far. Meanwhile commits bring events of it as well, and each must be taken
in once. What divides them is the id: of a contract that is being taken in, commits bring those up to
``after_event``; those above it are left to the paging, which leaves out what lies in commits yet to come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from peewee import Database

from stellarstream_core.events import ContractEvent, parse_event_id
from stellarstream_core.projection.journal import Cursor, batched
from stellarstream_core.projection.tables import ContractRow, ReachRow, UnknownRow
from stellarstream_core.ranges import FIRST_LEDGER, LAST_LEDGER, LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.storage import Commit, Storage

_EVER = LedgerRange(FIRST_LEDGER, LAST_LEDGER)
_COMMITS_AT_ONCE = 1_000


class Phase(StrEnum):
    """Whether all of a contract is taken in, or is being taken in, or it is not followed any more."""

    KNOWN = "known"
    COMING = "coming"
    AWAY = "away"


class Taken(NamedTuple):
    """How far a contract is taken in, and under which fingerprint of its own."""

    fingerprint: str
    phase: Phase
    after_event: str = ""


Contracts = Mapping[str, Taken]


def read_contracts(database: Database, name: str) -> dict[str, Taken]:
    """Return every contract that a projection follows or has followed, in order."""
    rows = (
        ContractRow.select(ContractRow.contract_id, ContractRow.fingerprint, ContractRow.phase, ContractRow.after_event)
        .where(ContractRow.projection == name)
        .order_by(ContractRow.contract_id)
    )
    return {
        contract: Taken(fingerprint, Phase(phase), after)
        for contract, fingerprint, phase, after in rows.tuples().execute(database)
    }


def replace_contracts(database: Database, name: str, given: Mapping[str, str]) -> None:
    """Note that a projection is built from these contracts, by fingerprint, and no others."""
    ContractRow.delete().where(ContractRow.projection == name).execute(database)
    put_contracts(database, name, {contract: Taken(of, Phase.KNOWN) for contract, of in given.items()})


def put_contracts(database: Database, name: str, contracts: Contracts) -> None:
    """Write how far contracts are, over what is there."""
    fields = [
        ContractRow.projection,
        ContractRow.contract_id,
        ContractRow.fingerprint,
        ContractRow.phase,
        ContractRow.after_event,
    ]
    for part in batched(sorted(contracts.items()), 100):
        rows = [(name, contract, *taken) for contract, taken in part]
        ContractRow.insert_many(rows, fields=fields).on_conflict(
            conflict_target=fields[:2], preserve=fields[2:]
        ).execute(database)


def forget_reach(database: Database, name: str, contracts: Iterable[str]) -> None:
    """Remove how far contracts are, and the counts of their unknown shapes: neither is told, or it begins anew."""
    for part in batched(sorted(contracts)):
        for model in (ReachRow, UnknownRow):
            model.delete().where(model.projection == name, model.contract_id.in_(part)).execute(database)


def in_phase(contracts: Contracts, *phases: Phase) -> list[str]:
    """Return the contracts of these phases, in order."""
    return sorted(contract for contract, taken in contracts.items() if taken.phase in phases)


def followed(contracts: Contracts) -> dict[str, str]:
    """Return the contracts that are taken in or being taken in, each with its fingerprint."""
    return {contract: taken.fingerprint for contract, taken in contracts.items() if taken.phase is not Phase.AWAY}


def left_to_paging(contracts: Contracts, event: ContractEvent) -> bool:
    """Tell whether an event that a commit brings is left to the taking in of its contract."""
    taken = contracts.get(event.contract_id or "")
    return taken is not None and taken.phase is Phase.COMING and event.id > taken.after_event


class Page(NamedTuple):
    """Events of a contract that is being taken in, and how far it is with them. ``after_event`` None: to the end."""

    events: Sequence[ContractEvent]
    after_event: str | None


def next_page(storage: Storage, cursor: Cursor, contract: str, after: str, size: int) -> Page:
    """Return the next of a contract's stored events above ``after``, but for those that commits are yet to bring.

    What is stored after the page was read is in a commit that the cursor has not come to. The commits are looked
    at after it, so none of the page's events is in one that was not looked at.
    """
    found = storage.events(_EVER, Scope.of([contract]), after=after, limit=size)
    if not found:
        return Page((), None)
    last = found[-1].id
    ahead = _ids_ahead(storage, cursor, contract, after, last)
    return Page([event for event in found if event.id not in ahead], last)


def _ids_ahead(storage: Storage, cursor: Cursor, contract: str, after: str, last: str) -> set[str]:
    """Return the ids of a contract's events above ``after``, up to ``last``, in commits beyond the cursor."""
    within = LedgerRange(parse_event_id(after).ledger if after else FIRST_LEDGER, parse_event_id(last).ledger)
    ahead: set[str] = set()
    position = cursor.position
    while commits := storage.commits(position, _COMMITS_AT_ONCE):
        for commit in commits:
            if commit.events != 0 and commit.range.overlap(within) is not None:
                begun = cursor.after_event if commit.position == cursor.position + 1 else ""
                ahead |= _ids_of(storage, commit, contract, max(after, begun), last)
        position = commits[-1].position
    return ahead


def _ids_of(storage: Storage, commit: Commit, contract: str, after: str, last: str) -> set[str]:
    found: set[str] = set()
    while True:
        page = storage.commit_page(commit, after=after, limit=_COMMITS_AT_ONCE, contracts=[contract])
        found |= {event.id for event in page if event.id <= last}
        if len(page) < _COMMITS_AT_ONCE or page[-1].id > last:
            return found
        after = page[-1].id
