"""What a ledger's meta shows of accounts: their entries before and after."""

from __future__ import annotations

from stellarstream_sandbox.economy.world import Account, World
from stellarstream_sandbox.ledger.entries import account_entry, change


class AccountChanges:
    """Accounts of a world as ledger entries.

    Trust lines and contract data have no changes here: a meta of the sandbox shows accounts only.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._native = world.native.contract

    def entry(self, account: Account) -> bytes:
        """Return an account's ``LedgerEntry`` as it is now."""
        return account_entry(account, self._world.bank.balance(self._native, account.id))

    def balances(self) -> list[int]:
        """Return every account's native balance, in the world's order."""
        bank, native = self._world.bank, self._native
        return [bank.balance(native, account) for account in self._world.accounts]

    def since(self, sequence: int, before: list[int]) -> list[bytes]:
        """Return the changes of the accounts whose native balance is another than ``before``, in this ledger."""
        changes = []
        for account, old, new in zip(self._world.accounts.values(), before, self.balances(), strict=True):
            if old != new:
                entry = account_entry(account, old)
                account.modified = sequence
                changes += change(entry, account_entry(account, new))
        return changes
