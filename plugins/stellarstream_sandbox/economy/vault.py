"""A vault: takes a token in from other contracts and owes them interest, so much a second.

Only what the two stream contracts ask of one: V1 reads what shares are worth, V2 deposits, withdraws and
asks what an amount has earned. The interest comes out of a reserve that the vault holds from the start.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum

from stellarstream_sandbox.economy.bank import Bank
from stellarstream_sandbox.economy.calls import Event, Outcome, Refused
from stellarstream_sandbox.values import VOID

RATE_BPS = 800
"""What a share gains in a year, in hundredths of a percent, without compounding."""

_SCALE = 10**12
_YEAR = 365 * 86_400
_BPS = 10_000


class Fault(IntEnum):
    """Why a call is refused; the numbers are this vault's own."""

    INVALID_AMOUNT = 1
    INSUFFICIENT_PRINCIPAL = 2
    PAUSED = 3
    INSUFFICIENT_RESERVE = 4


@dataclass
class Vault:
    """One token's vault. Amounts in the token's smallest unit; ``principal`` is by depositor."""

    contract: str
    token: str
    bank: Bank
    admin: str
    principal: dict[str, int] = field(default_factory=dict)
    shares: int = 0
    opened: int | None = None
    is_paused: bool = False
    _settled: tuple[int, int, int] | None = None

    def copy(self, bank: Bank) -> Vault:
        """Return the same vault on another bank, to be changed apart from this one."""
        return replace(self, bank=bank, principal=dict(self.principal))

    def get_value(self, now: int, shares: int) -> int:
        """Return what so many shares are worth in the token."""
        return shares * self._index(now) // _SCALE

    def get_accrued_interest(self, now: int, amount: int) -> int:
        """Return what ``amount`` of the principal has earned, on the average of all that lies in the vault.

        Right after a withdrawal it is what that withdrawal was paid, so that a contract passes on no more.
        """
        if self._settled is not None and self._settled[0] == now:
            _, earned, principal = self._settled
        else:
            earned, principal = self._earned(now)
        return amount * earned // principal if principal > 0 and amount > 0 else 0

    def deposit(self, now: int, depositor: str, amount: int) -> tuple[int, Event]:
        """Take tokens from a contract; return the shares it gets and the token's event."""
        if self.is_paused:
            raise Refused(Fault.PAUSED, contract=self.contract)
        if amount <= 0:
            raise Refused(Fault.INVALID_AMOUNT, contract=self.contract)
        event = self.bank.transfer(self.token, depositor, self.contract, amount)
        if self.opened is None:
            self.opened = now
        shares = amount * _SCALE // self._index(now)
        self.shares += shares
        self.principal[depositor] = self.principal.get(depositor, 0) + amount
        self._settled = None
        return shares, event

    def withdraw(self, now: int, depositor: str, amount: int) -> Event:
        """Give a contract ``amount`` of its principal back with the interest on it; return the token's event."""
        if self.is_paused:
            raise Refused(Fault.PAUSED, contract=self.contract)
        if amount < 0:
            raise Refused(Fault.INVALID_AMOUNT, contract=self.contract)
        held = self.principal.get(depositor, 0)
        if held < amount:
            raise Refused(Fault.INSUFFICIENT_PRINCIPAL, contract=self.contract)
        earned, principal = self._earned(now)
        paid = amount + (amount * earned // principal if principal else 0)
        if self.bank.balance(self.token, self.contract) < paid:
            raise Refused(Fault.INSUFFICIENT_RESERVE, contract=self.contract)
        event = self.bank.transfer(self.token, self.contract, depositor, paid)
        self.shares -= self.shares * amount // principal if principal else 0
        self.principal[depositor] = held - amount
        self._settled = (now, earned, principal)
        return event

    def set_paused(self, is_paused: bool) -> Outcome:
        """Stop or allow deposits and withdrawals."""
        self.is_paused = is_paused
        return Outcome(VOID)

    def _earned(self, now: int) -> tuple[int, int]:
        principal = sum(self.principal.values())
        return max(self.get_value(now, self.shares) - principal, 0), principal

    def _index(self, now: int) -> int:
        age = 0 if self.opened is None else max(now - self.opened, 0)
        return _SCALE + _SCALE * RATE_BPS * age // (_BPS * _YEAR)
