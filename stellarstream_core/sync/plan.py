"""Planning: from what each contract lacks to ranges that sources are asked for. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Capabilities, SourceSpec


@dataclass(frozen=True, slots=True)
class Task:
    """A range that every contract of ``scope`` lacks."""

    range: LedgerRange
    scope: Scope


def plan(missing: Mapping[str, RangeSet]) -> list[Task]:
    """Return the tasks that fetch exactly what is missing, lowest ledger first.

    ``missing`` maps each contract to the ledgers it lacks. Contracts that lack the same ledgers
    share a task, so that one request serves them all; no ledger is asked twice for a contract.
    """
    alike: dict[RangeSet, list[str]] = {}
    for contract, ledgers in missing.items():
        if ledgers:
            alike.setdefault(ledgers, []).append(contract)
    changes: dict[int, list[tuple[int, bool]]] = {}
    for group, ledgers in enumerate(alike):
        for r in ledgers:
            changes.setdefault(r.first, []).append((group, True))
            changes.setdefault(r.last + 1, []).append((group, False))
    contracts = list(alike.values())
    scopes: dict[frozenset[int], Scope] = {}
    tasks: list[Task] = []
    lacking: set[int] = set()
    for at, upto in pairwise(sorted(changes)):
        for group, begins in changes[at]:
            (lacking.add if begins else lacking.discard)(group)
        if lacking:
            groups = frozenset(lacking)
            if groups not in scopes:
                scopes[groups] = Scope(tuple(sorted(c for group in groups for c in contracts[group])))
            tasks.append(Task(LedgerRange(at, upto - 1), scopes[groups]))
    return tasks


def by_preference(specs: Iterable[SourceSpec], scope: Scope) -> list[SourceSpec]:
    """Return sources in the order in which ranges are offered to them.

    A range goes to the first that reaches it, and on to the next where that one gives it up. A
    source that asks for each contract comes last once whole ledgers are cheaper for ``scope``; then
    the cheaper one comes first, and of equally cheap ones the one that can prove what it says.
    """

    def rank(found: Capabilities) -> tuple[bool, int, bool]:
        too_many = found.max_contracts is not None and (scope.everything or len(scope) > found.max_contracts)
        return too_many, found.cost, not found.provable

    return sorted(specs, key=lambda spec: rank(spec.capabilities))


def provable_first(specs: Sequence[SourceSpec]) -> list[SourceSpec]:
    """Return sources as ``verify`` asks them: those that can prove before those that can only be compared."""
    return sorted(specs, key=lambda spec: not spec.capabilities.provable)


def clip(tasks: Iterable[Task], reach: LedgerRange | None) -> tuple[list[Task], list[Task]]:
    """Split tasks into what lies inside ``reach`` and what lies outside (everything, where it is None)."""
    inside: list[Task] = []
    outside: list[Task] = []
    for task in tasks:
        shared = task.range.overlap(reach) if reach is not None else None
        if shared is None:
            outside.append(task)
            continue
        inside.append(Task(shared, task.scope))
        outside.extend(Task(rest, task.scope) for rest in RangeSet([task.range]) - RangeSet([shared]))
    return inside, outside


def spread(tasks: Iterable[Task], pieces: int) -> list[Task]:
    """Cut large tasks so that about ``pieces`` of similar size can be fetched side by side."""
    todo = list(tasks)
    if pieces <= 1 or not todo:
        return todo
    share = max(1, -(-sum(task.range.size for task in todo) // pieces))
    return [Task(part, task.scope) for task in todo for part in task.range.split(share)]
