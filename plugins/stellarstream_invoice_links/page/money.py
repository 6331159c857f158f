"""Amounts on the page: in the token's own decimals and symbol, where it tells them."""

from __future__ import annotations

from dataclasses import dataclass

from stellarstream_core.api.pages.text import visible
from stellarstream_invoice_links.human import amount_text
from stellarstream_invoice_links.tokens import TokenFacts

DAY, HOUR, MINUTE = 86_400, 3_600, 60
RATE_DIGITS = 6
"""Digits of a rate, which is a rounded number anyway."""
ROOMY, TIGHT = 12, 22
"""Characters of an amount from which it is written smaller, so that it stays on one line of a phone."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount: for reading, and in the token's smallest unit."""

    figure: str
    unit: str
    raw: str

    @property
    def text(self) -> str:
        """It on one line."""
        return f"{self.figure} {self.unit}"

    @property
    def size(self) -> str:
        """How large it can be written."""
        return "roomy" if len(self.text) <= ROOMY else "tight" if len(self.text) <= TIGHT else "small"


def money_of(amount: int, token: TokenFacts | None) -> Money:
    """Return an amount of a token; in its smallest unit where it does not tell what that is."""
    if token is None:
        return Money(amount_text(amount, None), "smallest units", str(amount))
    return Money(amount_text(amount, token.decimals), visible(token.symbol) or "tokens", str(amount))


def rate_of(amount: int, duration: int, token: TokenFacts | None) -> str | None:
    """Return about how much runs up in a day, or an hour or minute of a short stream; None where that says nothing."""
    for unit, seconds in (("a day", DAY), ("an hour", HOUR), ("a minute", MINUTE)):
        if duration > seconds:
            money = money_of(_rounded(amount * seconds, duration), token)
            return f"{money.text} {unit}" if money.figure != "0" else None
    return None


def _rounded(numerator: int, denominator: int) -> int:
    """Return a quotient, rounded to :data:`RATE_DIGITS` digits."""
    whole = (2 * numerator + denominator) // (2 * denominator)
    unit: int = 10 ** max(len(str(whole)) - RATE_DIGITS, 0)
    return (whole + unit // 2) // unit * unit
