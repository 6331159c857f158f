"""Yield: what a vault says of an amount, samples of that over time, and the rate they make.

A vault is asked by simulation, with one fixed principal, so that samples compare. ``get_accrued_interest(amount)``
is what a V2 withdrawal of that amount would pass on; ``get_value(shares)`` is what shares are worth, and the
better measure of growth: the former is an average over all that lies in the vault, which a deposit dilutes.
All amounts are integers, divisions round down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from peewee import Database

from stellarstream_core.chain import ChainClient, Simulation
from stellarstream_core.errors import StellarStreamError, XdrError
from stellarstream_core.xdr.invocation import read_call_envelope
from stellarstream_core.xdr.scval import Arm, ScValue, decode_scval, encode_scval
from stellarstream_nebula import bulk
from stellarstream_nebula.model import Status, StreamView

REFERENCE = 10**12
"""The principal, and the number of shares, that every vault is asked about."""
YEAR = 365 * 86_400
"""Seconds of a year in rates."""
RATE_LEDGERS = 120_960
"""The stretch over which a rate is measured: a week of ledgers of five seconds."""
KEPT_SECONDS = 400 * 86_400
"""How long samples are kept."""
MOST_SAMPLES = 500
"""Samples in one answer."""

_INTEREST, _VALUE = "get_accrued_interest", "get_value"
_MILLION = 10**6


class VaultError(StellarStreamError):
    """A vault does not tell what it earns."""

    code = "vault"
    title = "Vault cannot be read"
    help = "It offers neither get_accrued_interest nor get_value, or refuses both now."


@dataclass(frozen=True, slots=True)
class Reading:
    """What a vault said at ``ledger``, for :data:`REFERENCE`: interest on it, and what so many shares are worth."""

    vault: str
    ledger: int
    interest: int | None
    value: int | None
    principal: int = REFERENCE


@dataclass(frozen=True, slots=True)
class Sample:
    """A reading that is kept, with the close time of its ledger (Unix seconds)."""

    vault: str
    ledger: int
    closed_at: int
    principal: int
    interest: int | None
    value: int | None
    token: str | None = None


class Growth(NamedTuple):
    """An amount grew by ``gain`` for each ``base`` in ``seconds``; of these ``base`` and ``seconds`` are above 0."""

    gain: int
    base: int
    seconds: int


# --- arithmetic -------------------------------------------------------------------------------------


def growth_of(first: Sample, last: Sample) -> Growth | None:
    """Return how the vault grew between two samples; None where they do not tell.

    By the value of shares where both have it, else by principal and interest together.
    """
    seconds = last.closed_at - first.closed_at
    if seconds <= 0:
        return None
    if first.value and last.value is not None and first.principal == last.principal:
        return Growth(last.value - first.value, first.value, seconds)
    if first.interest is None or last.interest is None or first.principal != last.principal:
        return None
    base = first.principal + first.interest
    return Growth(last.interest - first.interest, base, seconds) if base > 0 else None


def rate_text(growth: Growth) -> str:
    """Return the growth in a year, without compounding, as a decimal to six places: ``0.08`` is 8 %.

    ``gain / base * (365 * 86400 / seconds)``, rounded half up.
    """
    scaled = 2 * growth.gain * YEAR * _MILLION
    millionths = (scaled + growth.base * growth.seconds) // (2 * growth.base * growth.seconds)
    sign, millionths = ("-" if millionths < 0 else ""), abs(millionths)
    text = f"{sign}{millionths // _MILLION}.{millionths % _MILLION:06d}"
    return text.rstrip("0").removesuffix(".")


def projected(principal: int, growth: Growth, days: int) -> int:
    """Return what a principal earns in so many days at this growth, if nothing is taken out meanwhile."""
    return principal * growth.gain * days * 86_400 // (growth.base * growth.seconds)


def principal_of(stream: StreamView) -> int | None:
    """Return what of a stream still lies in its vault: what is not withdrawn yet; None where that is not known."""
    if stream.status in {Status.CANCELED, Status.ARCHIVED}:
        return 0
    if stream.total is None or stream.withdrawn is None:
        return None
    return max(0, stream.total - stream.withdrawn)


def accrued(principal: int, interest: int | None, reference: int) -> int | None:
    """Return the interest on a principal from that on the reference; None where the vault does not tell any."""
    return None if interest is None else principal * interest // reference


# --- asking a vault ---------------------------------------------------------------------------------


async def read_vault(chain: ChainClient, vault: str) -> Reading:
    """Ask a vault (C…) what it says of :data:`REFERENCE`, by simulation.

    Both answers are of one ledger; where that cannot be had, the value is left out. Raises ``SourceError``,
    and :class:`VaultError` where the vault tells nothing.
    """
    for _ in range(2):
        interest, value = await asyncio.gather(_simulated(chain, vault, _INTEREST), _simulated(chain, vault, _VALUE))
        if interest.ledger == value.ledger:
            break
    earned, worth = _amount(interest), _amount(value)
    if earned is None and worth is None:
        raise VaultError(f"The vault {vault} tells neither interest nor value: {(interest.error or '')[:100]}")
    if earned is None:
        return Reading(vault, value.ledger, None, worth)
    return Reading(vault, interest.ledger, earned, worth if value.ledger == interest.ledger else None)


async def _simulated(chain: ChainClient, vault: str, function: str) -> Simulation:
    argument = encode_scval(ScValue(Arm.I128, REFERENCE))
    return await chain.simulate(read_call_envelope(vault, function, [argument]))


def _amount(simulation: Simulation) -> int | None:
    if simulation.error is not None or not simulation.result:
        return None
    try:
        value = decode_scval(simulation.result)
    except XdrError:
        return None
    return int(value.value) if value.arm is Arm.I128 and value.value >= 0 else None


# --- samples ----------------------------------------------------------------------------------------

_COLUMNS = ("vault", "ledger", "closed_at", "principal", "interest", "value", "token")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM nebula_yield_samples WHERE vault = ?"  # noqa: S608 - names only


def write_samples(database: Database, samples: Sequence[Sample]) -> None:
    """Keep samples; those of their vaults that are too old go."""
    by_key = {(one.vault, one.ledger): one for one in samples}
    rows = [
        (one.vault, one.ledger, one.closed_at, str(one.principal), _text(one.interest), _text(one.value), one.token)
        for one in by_key.values()
    ]
    bulk.upsert(database, "nebula_yield_samples", _COLUMNS, ("vault", "ledger"), rows)
    for one in samples:
        old = one.closed_at - KEPT_SECONDS
        bulk.execute(database, "DELETE FROM nebula_yield_samples WHERE vault = ? AND closed_at < ?", (one.vault, old))


def newest_samples(database: Database, vault: str, limit: int) -> list[Sample]:
    """Return a vault's samples, newest first."""
    return [_sample(row) for row in bulk.query(database, f"{_SELECT} ORDER BY ledger DESC LIMIT {limit:d}", (vault,))]


def growth_in(database: Database, vault: str) -> Growth | None:
    """Return how a vault grew between its newest sample and the oldest within a week; None with fewer than two."""
    newest = newest_samples(database, vault, 1)
    if not newest:
        return None
    first = f"{_SELECT} AND ledger >= ? ORDER BY ledger LIMIT 1"
    oldest = [_sample(row) for row in bulk.query(database, first, (vault, newest[0].ledger - RATE_LEDGERS))]
    return growth_of(oldest[0], newest[0])


def _sample(row: bulk.Row) -> Sample:
    vault, ledger, closed_at, principal, interest, value, token = row
    return Sample(vault, ledger, closed_at, int(principal), _number(interest), _number(value), token)


def _text(amount: int | None) -> str | None:
    return None if amount is None else str(amount)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
