"""Contract sets: what a window's coverage is for, interned by the digest of its members."""

from __future__ import annotations

from hashlib import sha256

from stellarstream_core.scope import EVERYTHING, Scope
from stellarstream_sql import statements
from stellarstream_sql.backend import Backend, Transaction
from stellarstream_sql.coverage import Sets


class ContractSets:
    """The interned sets, kept in memory: they never change and only ever grow in number.

    A new set is made under the store's lock, so ids become visible in their order and the newest
    id tells whether another process made one since.
    """

    def __init__(self) -> None:
        self._ids: dict[Scope, int] = {}
        self._members: Sets = {}
        self._newest = 0

    def id_of(self, scope: Scope, backend: Backend) -> int:
        """Return the set's id, making it in a transaction of its own where it is new."""
        known = self._ids.get(scope)
        if known is None:
            with backend.write() as transaction:
                known = self._intern(scope, transaction)
            self._ids[scope] = known
        return known

    def members(self, transaction: Transaction) -> Sets:
        """Return the members of every set, as of this transaction."""
        newest = transaction.all(statements.NEWEST_SET)[0][0] or 0
        if newest != self._newest:
            members: dict[int, set[str]] = {}
            for set_id, contract in transaction.all(statements.SET_MEMBERS):
                members.setdefault(set_id, set()).add(contract)
            self._members = {set_id: frozenset(found) for set_id, found in members.items()}
            self._newest = newest
        return self._members

    @staticmethod
    def related(scope: Scope, sets: Sets) -> list[int]:
        """Return the sets whose windows can hold events of the scope."""
        if scope.everything:
            return list(sets)
        wanted = {*scope.members, EVERYTHING}
        return [set_id for set_id, members in sets.items() if not members.isdisjoint(wanted)]

    @staticmethod
    def _intern(scope: Scope, transaction: Transaction) -> int:
        digest = sha256("\n".join(scope.members).encode()).hexdigest()
        transaction.lock_store()
        found = transaction.all(statements.SET_BY_DIGEST, (digest,))
        if found:
            return int(found[0][0])
        made = int(transaction.all(statements.INSERT_SET, (digest,))[0][0])
        transaction.many(statements.INSERT_SET_MEMBER, [(contract, made) for contract in scope.members])
        return made
