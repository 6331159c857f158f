"""What a transaction costs on the simulated network, in stroops."""

from __future__ import annotations

BASE_FEE = 100
"""What an operation pays for being included."""

BASE_RESERVE = 5_000_000
"""What an account must keep for each of its entries, two for itself."""

RENT = 3_000
"""What a call pays for keeping its entries alive; a part of the refundable fee."""

STROOPS_A_BYTE = 10
"""What a published byte costs; a part of the refundable fee."""


def non_refundable_fee(args: int) -> int:
    """Return what the resources of a call with so many arguments cost, whatever becomes of it."""
    return 25_000 + 400 * args


def refundable_fee(published: int) -> int:
    """Return what a call that publishes so many bytes costs on top."""
    return RENT + STROOPS_A_BYTE * published
