"""Prices of tokens from plugins: checked, so that a plugin that breaks the promise is taken out and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext

from stellarstream_core.plugins import Plugins
from stellarstream_core.settings import Settings
from stellarstream_nebula.hookspecs import TokenPrice

HOOK = "nebula_prices"
CENT = Decimal("0.01")


def prices_of(plugins: Plugins, settings: Settings, tokens: Sequence[str]) -> dict[str, TokenPrice]:
    """Return the price of each token that has one; where several plugins have one the first counts."""
    found: dict[str, TokenPrice] = {}
    if not tokens:
        return found
    for plugin, answer in plugins.ask_offered(HOOK, settings=settings, tokens=list(tokens)):
        try:
            offered = {price.token: price for price in _checked(answer)}
        except (TypeError, ValueError) as error:
            plugins.blame(HOOK, plugin, error)
            continue
        found = {token: price for token, price in offered.items() if token in tokens} | found
    return found


def worth(amount: int, price: TokenPrice) -> Decimal:
    """Return what an amount (in the token's smallest unit) is worth in US dollars, to the cent."""
    with localcontext() as context:
        context.prec = 80
        return (Decimal(amount).scaleb(-price.decimals) * price.usd).quantize(CENT)


def _checked(answer: object) -> list[TokenPrice]:
    if not isinstance(answer, (list, tuple)):
        raise TypeError(f"{HOOK} must return a list, not {type(answer).__name__}")
    for price in answer:
        if not isinstance(price, TokenPrice):
            raise TypeError(f"{HOOK} returned {type(price).__name__} where TokenPrice is due")
        if not isinstance(price.usd, Decimal) or not price.usd.is_finite() or not 0 <= price.usd < Decimal(10) ** 30:
            raise ValueError(f"{HOOK} returned a price that is none: {price.usd!r}")
        if not isinstance(price.decimals, int) or not 0 <= price.decimals <= 38:
            raise ValueError(f"{HOOK} returned a token with {price.decimals!r} decimals")
    return list(answer)
