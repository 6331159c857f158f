"""Tokens and who holds how much of them: what asset contracts (CAP-46-6) and tokens of their own keep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container
from dataclasses import dataclass
from enum import IntEnum

from stellarstream_core.xdr.strkey import VERSION_ACCOUNT as _ACCOUNT
from stellarstream_core.xdr.strkey import VERSION_MUXED_ACCOUNT, decode, encode
from stellarstream_sandbox.economy.calls import Event, Invocation, Refused
from stellarstream_sandbox.identity import Asset
from stellarstream_sandbox.values import I128, U32, U64, Address, Symbol, Text, Value, record, vec


class Fault(IntEnum):
    """The errors of an asset contract, by the numbers of CAP-46-6; tokens of their own here use the same."""

    INTERNAL_ERROR = 1
    OPERATION_NOT_SUPPORTED_ERROR = 2
    ALREADY_INITIALIZED_ERROR = 3
    UNAUTHORIZED_ERROR = 4
    AUTHENTICATION_ERROR = 5
    ACCOUNT_MISSING_ERROR = 6
    ACCOUNT_IS_NOT_CLASSIC = 7
    NEGATIVE_AMOUNT_ERROR = 8
    ALLOWANCE_ERROR = 9
    BALANCE_ERROR = 10
    BALANCE_DEAUTHORIZED_ERROR = 11
    OVERFLOW_ERROR = 12
    TRUSTLINE_MISSING_ERROR = 13


DECIMALS = 7
"""All tokens have seven decimals."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token: a classic asset behind its asset contract, or a contract of its own (``asset`` is None)."""

    name: str
    contract: str
    asset: Asset | None = None


class Bank:
    """All balances, in each token's smallest unit. Nothing is ever negative, nothing appears or vanishes.

    The exception is an asset's issuer, who has no balance: what it sends is minted, what it gets is burned.
    ``accounts`` are the classic accounts there are (None: every account is): an asset reaches no other, and a
    trust line is there for every account that exists.
    """

    def __init__(self, tokens: tuple[Token, ...], accounts: Container[str] | None = None) -> None:
        self.tokens = {token.contract: token for token in tokens}
        self.accounts = accounts
        self._balances: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._allowances: dict[tuple[str, str, str], int] = {}

    def copy(self, accounts: Container[str] | None) -> Bank:
        """Return the same balances, to be changed apart from these."""
        other = Bank(tuple(self.tokens.values()), accounts)
        other._balances = self._balances.copy()
        other._allowances = self._allowances.copy()
        return other

    def restore(self, other: Bank) -> None:
        """Take the balances of a copy back."""
        self._balances, self._allowances = other._balances, other._allowances

    @property
    def balances(self) -> dict[tuple[str, str], int]:
        """What is held, by token and holder."""
        return self._balances

    @property
    def allowances(self) -> dict[tuple[str, str, str], int]:
        """What may be spent, by token, holder and spender."""
        return self._allowances

    def balance(self, token: str, holder: str) -> int:
        """Return what an account or contract holds of a token."""
        return self._balances.get((token, holder), 0)

    def issues(self, token: str, holder: str) -> bool:
        """Tell whether ``holder`` is the token's issuer, who has no balance."""
        asset = self.tokens[token].asset
        return asset is not None and asset.issuer == holder

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
        if not self.issues(token, source) and self.balance(token, source) < amount:
            raise Refused(Fault.BALANCE_ERROR, contract=token)

    def transfer(
        self, token: str, source: str, target: str, amount: int, memo: bytes | None = None, muxed_id: int | None = None
    ) -> Event:
        """Move tokens and return the event; raise :class:`Refused` where the source lacks them.

        The events are those of CAP-67: ``transfer``, or ``mint`` from and ``burn`` to the issuer;
        an asset's name is the last topic. ``memo`` is a classic payment's text memo, ``muxed_id`` the id of
        an M… target: either turns the amount into a map.
        """
        if amount < 0:
            raise Refused(Fault.NEGATIVE_AMOUNT_ERROR, contract=token)
        self._check_account(token, source)
        self._check_account(token, target)
        self.check(token, source, amount)
        if not self.issues(token, source):
            self._balances[token, source] -= amount
        if not self.issues(token, target):
            self._balances[token, target] += amount
        if self.issues(token, source):
            topics: tuple[Value, ...] = (Symbol("mint"), Address(target))
        elif self.issues(token, target):
            topics = (Symbol("burn"), Address(source))
        else:
            topics = (Symbol("transfer"), Address(source), Address(target))
        data: Value = I128(amount)
        if memo is not None or muxed_id is not None:
            to = U64(muxed_id) if muxed_id is not None else Text(memo or b"")
            data = record(amount=I128(amount), to_muxed_id=to)
        return Event(token, (*topics, *self._name(token)), data)

    def transfer_from(self, token: str, spender: str, source: str, target: str, amount: int) -> Event:
        """Move tokens that ``source`` allowed ``spender`` to take; raise :class:`Refused` where it did not."""
        if amount < 0:
            raise Refused(Fault.NEGATIVE_AMOUNT_ERROR, contract=token)
        allowed = self.allowance(token, source, spender)
        if allowed < amount:
            raise Refused(Fault.ALLOWANCE_ERROR, contract=token)
        event = self.transfer(token, source, target, amount)
        self._allowances[token, source, spender] = allowed - amount
        return event

    def allowance(self, token: str, source: str, spender: str) -> int:
        """Return how much ``spender`` may still take from ``source``."""
        return self._allowances.get((token, source, spender), 0)

    def approve(self, token: str, source: str, spender: str, amount: int, live_until: int) -> Event:
        """Let ``spender`` take up to ``amount`` from ``source``; here allowances do not expire."""
        if amount < 0:
            raise Refused(Fault.NEGATIVE_AMOUNT_ERROR, contract=token)
        self._allowances[token, source, spender] = amount
        topics = (Symbol("approve"), Address(source), Address(spender), *self._name(token))
        return Event(token, topics, vec(I128(amount), U32(live_until)))

    def clawback(self, token: str, holder: str, amount: int) -> Event:
        """Burn what a holder of an asset has, as its issuer may (CAP-46-6)."""
        if amount < 0:
            raise Refused(Fault.NEGATIVE_AMOUNT_ERROR, contract=token)
        self.check(token, holder, amount)
        if not self.issues(token, holder):
            self._balances[token, holder] -= amount
        return Event(token, (Symbol("clawback"), Address(holder), *self._name(token)), I128(amount))

    def fee_event(self, token: str, payer: str, amount: int) -> Event:
        """Return the event of a fee (CAP-67); a refund has a negative amount."""
        return Event(token, (Symbol("fee"), Address(payer)), I128(amount))

    def total(self, token: str) -> int:
        """Return the sum of all balances of a token."""
        return sum(amount for (held, _), amount in self._balances.items() if held == token)

    def _check_account(self, token: str, holder: str) -> None:
        asset = self.tokens[token].asset
        if asset is None or self.accounts is None or not holder.startswith("G") or holder in self.accounts:
            return
        raise Refused(
            Fault.ACCOUNT_MISSING_ERROR if asset.issuer is None else Fault.TRUSTLINE_MISSING_ERROR, contract=token
        )

    def _name(self, token: str) -> tuple[Value, ...]:
        asset = self.tokens[token].asset
        return () if asset is None else (Text(asset.name.encode("ascii")),)


def unmuxed(holder: str) -> tuple[str, int | None]:
    """Return the address behind an M… one and its id; any other address as it is and None."""
    if not holder.startswith("M"):
        return holder, None
    version, payload = decode(holder)
    if version != VERSION_MUXED_ACCOUNT:
        raise ValueError(f"{holder} is no muxed account")
    return encode(_ACCOUNT, payload[:32]), int.from_bytes(payload[32:], "big")


def transfer_call(token: str, source: str, target: str, amount: int) -> Invocation:
    """Return the call of a token's ``transfer`` that a source has to authorise."""
    return Invocation(token, "transfer", (Address(source), Address(target), I128(amount)))
