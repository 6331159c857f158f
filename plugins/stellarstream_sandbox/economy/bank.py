"""Tokens and who holds how much of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from stellarstream_sandbox.economy.calls import Event, Invocation, Refused
from stellarstream_sandbox.identity import Asset
from stellarstream_sandbox.values import I128, Address, Symbol, Text, Value, record

INSUFFICIENT_BALANCE = 10
"""The error number of a token contract (CAP-46-6) that lacks the amount."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token: a classic asset behind its asset contract, or a contract of its own (``asset`` is None)."""

    name: str
    contract: str
    asset: Asset | None = None


class Bank:
    """All balances, in each token's smallest unit. Nothing is ever negative, nothing appears or vanishes.

    The exception is an asset's issuer, who has no balance: what it sends is minted, what it gets is burned.
    """

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self.tokens = {token.contract: token for token in tokens}
        self._balances: defaultdict[tuple[str, str], int] = defaultdict(int)

    def balance(self, token: str, holder: str) -> int:
        """Return what an account or contract holds of a token."""
        return self._balances[token, holder]

    def deposit(self, token: str, holder: str, amount: int) -> None:
        """Add to a balance without an event: what existed before the first ledger, and fee refunds."""
        self._balances[token, holder] += amount

    def charge(self, token: str, holder: str, amount: int) -> int:
        """Take up to ``amount`` from a balance without a transfer event (a fee); return what was taken."""
        taken = min(amount, self._balances[token, holder])
        self._balances[token, holder] -= taken
        return taken

    def check(self, token: str, source: str, amount: int) -> None:
        """Raise :class:`Refused` where ``source`` does not hold ``amount``."""
        if not self._issues(token, source) and self._balances[token, source] < amount:
            raise Refused(INSUFFICIENT_BALANCE)

    def transfer(self, token: str, source: str, target: str, amount: int, memo: bytes | None = None) -> Event:
        """Move tokens and return the event; raise :class:`Refused` where the source lacks them.

        The events are those of CAP-67: ``transfer``, or ``mint`` from and ``burn`` to the issuer;
        an asset's name is the last topic. ``memo`` is a classic payment's text memo, which turns
        the amount into a map.
        """
        self.check(token, source, amount)
        if not self._issues(token, source):
            self._balances[token, source] -= amount
        if not self._issues(token, target):
            self._balances[token, target] += amount
        asset = self.tokens[token].asset
        topics: tuple[Value, ...]
        if self._issues(token, source):
            topics = (Symbol("mint"), Address(target))
        elif self._issues(token, target):
            topics = (Symbol("burn"), Address(source))
        else:
            topics = (Symbol("transfer"), Address(source), Address(target))
        if asset is not None:
            topics = (*topics, Text(asset.name.encode("ascii")))
        data: Value = I128(amount) if memo is None else record(amount=I128(amount), to_muxed_id=Text(memo))
        return Event(token, topics, data)

    def fee_event(self, token: str, payer: str, amount: int) -> Event:
        """Return the event of a fee (CAP-67); a refund has a negative amount."""
        return Event(token, (Symbol("fee"), Address(payer)), I128(amount))

    def total(self, token: str) -> int:
        """Return the sum of all balances of a token."""
        return sum(amount for (held, _), amount in self._balances.items() if held == token)

    def _issues(self, token: str, holder: str) -> bool:
        asset = self.tokens[token].asset
        return asset is not None and asset.issuer == holder


def transfer_call(token: str, source: str, target: str, amount: int) -> Invocation:
    """Return the call of a token's ``transfer`` that a source has to authorise."""
    return Invocation(token, "transfer", (Address(source), Address(target), I128(amount)))
