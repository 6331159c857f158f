"""A projection small enough to be folded by hand: every key keeps a hash over its entries in their order.

An event's value is JSON: ``keys`` it belongs to, ``begin`` where a key's state begins, ``join`` a group that
whoever folds the event joins, ``unknown`` a shape that nobody knows. A key that ends in ``/`` is nothing but a group.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import count

from stellarstream_core.events import ContractEvent
from stellarstream_core.projections import Change, Entry, Folded, Routed, Unknown
from stellarstream_core.testing.scripted import made_contract, made_event

CONTRACT, OTHER = made_contract(1), made_contract(2)


def toy_event(ledger: int, tx: int = 1, k: int = 0, *keys: str, contract: str = CONTRACT, **what) -> ContractEvent:
    value = json.dumps({"keys": list(keys), **what}).encode()
    return made_event(ledger, tx, k, contract)._replace(value=value)


def fold_entries(entries: Iterable[Entry], state: bytes | None = None) -> Folded:
    known = json.loads(state) if state else {"hash": "", "begun": False, "groups": [], "seen": 0}
    for key, event in entries:
        said = json.loads(event.value)
        known["hash"] = sha256(f"{known['hash']}/{key}/{event.id}".encode()).hexdigest()
        known["seen"] += 1
        known["begun"] = known["begun"] or bool(said.get("begin"))
        if said.get("join"):
            known["groups"] = sorted({*known["groups"], said["join"]})
    groups = frozenset(known["groups"])
    return Folded(json.dumps(known).encode() if known["begun"] else None, groups)


def fold_all(events: Iterable[ContractEvent]) -> dict[str, bytes]:
    """Return the states as plain Python finds them: from the whole set of events, sorted."""
    journals: dict[str, list[Entry]] = {}
    for event in sorted(events):
        said = json.loads(event.value)
        for key in said["keys"]:
            journals.setdefault(key, []).append(Entry(key, event))
    states: dict[str, bytes] = {}
    for key in journals:
        if key.endswith("/"):
            continue
        groups: frozenset[str] = frozenset()
        while True:
            found: dict[str, Entry] = {}
            for name in (key, *sorted(groups)):
                for entry in journals.get(name, ()):
                    found.setdefault(entry.event.id, entry)
            folded = fold_entries(found[event_id] for event_id in sorted(found))
            named = folded.groups - {key}
            if named <= groups:
                break
            groups |= named
        if folded.state is not None:
            states[key] = folded.state
    return states


class Toy:
    """Remembers what it was told. Set a method's name in ``breaks`` and it raises."""

    name = "toy"

    def __init__(self, fingerprint: str = "1", contracts: Sequence[str] = (CONTRACT,)) -> None:
        self.fingerprint = fingerprint
        self.contracts = dict.fromkeys(contracts, "1")
        self.breaks: dict[str, BaseException] = {}
        self.saved: list[Entry] = []
        self.states: dict[str, bytes] = {}
        self.reaches: list[dict] = []
        self.advanced = count()
        self.folds = 0
        self.cleared = 0
        self.followed = 0
        self.more = 0
        self.left = 0
        """What is left to clear: how many calls of clear say that there is more."""

    def route(self, events):
        self._may_break("route")
        entries, unknown = [], []
        for event in events:
            assert event.contract_id in self.contracts
            said = json.loads(event.value)
            entries += [Entry(key, event) for key in said["keys"]]
            if said.get("unknown"):
                unknown.append(Unknown(event, said["unknown"]))
        return Routed(entries, unknown, {key for key, _ in entries if key.endswith("/")})

    def advance(self, key, state, entries):
        self._may_break("advance")
        assert not key.endswith("/"), "a group is not folded"
        self.folds += 1
        ids = [entry.event.id for entry in entries]
        assert ids
        assert ids == sorted(set(ids)), "in id order, each once"
        return fold_entries(entries, state)

    def save(self, database, entries: Sequence[Entry], changes: Sequence[Change]):
        self._may_break("save")
        self.saved += entries
        for key, before, after in changes:
            assert self.states.get(key) == before
            self.states[key] = after

    def reached(self, database, reached):
        self._may_break("reached")
        self.reaches.append(reached)
        self.more = max(self.more - 1, 0)
        return self.more > 0

    def clear(self, database):
        self._may_break("clear")
        self.cleared += 1
        self.saved, self.states = [], {}
        self.left = max(self.left - 1, 0)
        return self.left > 0

    async def follow_up(self, context):
        self._may_break("follow_up")
        self.followed += 1

    def _may_break(self, method):
        if method in self.breaks:
            raise self.breaks[method]
