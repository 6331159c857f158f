"""What vaults have earned for streams by the stored samples: for pages that show many, and ask no chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peewee import Database

from stellarstream_nebula import bulk
from stellarstream_nebula.backlog import vault_of
from stellarstream_nebula.model import V2, StreamView
from stellarstream_nebula.represent import Moment
from stellarstream_nebula.stored import StreamRow
from stellarstream_nebula.yields import accrued, principal_of


@dataclass(frozen=True, slots=True)
class Earned:
    """What a stream's vault has earned for it (None where nothing tells), as of ``ledger``; times are Unix seconds."""

    vault: str
    interest: int | None = None
    principal: int | None = None
    ledger: int | None = None
    closed_at: int | None = None


def earnings(
    database: Database, rows: Sequence[StreamRow], views: Sequence[StreamView], moments: Sequence[Moment]
) -> dict[str, Earned]:
    """Return what the vaults of streams have earned, by key; a stream without a vault, or of unknown facts, has none.

    The newest sample counts that is not ahead of what the stream is shown as of.
    """
    vaults = {row.key: vault for row in rows if (vault := vault_of(row.state.family, row.reads.latest)) is not None}
    samples = {
        (vault, moment.ledger): None
        for row, moment in zip(rows, moments, strict=True)
        if (vault := vaults.get(row.key)) is not None
    }
    found = {place: _newest(database, *place) for place in samples}
    earned: dict[str, Earned] = {}
    for row, shown, moment in zip(rows, views, moments, strict=True):
        if (vault := vaults.get(row.key)) is None:
            continue
        sample = found[vault, moment.ledger]
        principal = principal_of(shown)
        if sample is None:
            earned[row.key] = Earned(vault, principal=principal)
            continue
        ledger, closed_at, reference, interest = sample
        known = row.state.family == V2 and principal is not None  # only V2 passes interest on
        earned[row.key] = Earned(
            vault,
            accrued(principal, interest, reference) if known and principal is not None else None,
            principal,
            ledger,
            closed_at,
        )
    return earned


def interests(earned: Mapping[str, Earned]) -> dict[str, int]:
    """Return the accrued interest of those streams of which it is known."""
    return {key: one.interest for key, one in earned.items() if one.interest is not None}


def _newest(database: Database, vault: str, ledger: int) -> tuple[int, int, int, int | None] | None:
    """Return the newest sample up to a ledger: its ledger, close time, what was asked about, and the interest on it."""
    rows = bulk.query(
        database,
        """
        SELECT ledger, closed_at, principal, interest FROM nebula_yield_samples
        WHERE vault = ? AND ledger <= ? ORDER BY ledger DESC LIMIT 1
        """,
        (vault, ledger),
    )
    if not rows:
        return None
    at, closed_at, principal, interest = rows[0]
    return at, closed_at, int(principal), None if interest is None else int(interest)
