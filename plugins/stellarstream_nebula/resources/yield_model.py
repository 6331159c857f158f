"""What a stream's vault has earned for it, as ``/yield`` and the stream's history show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from stellarstream_core.api.models import OrAbsent, Represented
from stellarstream_core.events import format_close_time
from stellarstream_nebula.interest import Earned
from stellarstream_nebula.model import StreamView
from stellarstream_nebula.represent import Amount, Moment, Time, amount
from stellarstream_nebula.yields import Growth, Sample, rate_text


class SampleModel(Represented):
    """What the vault said at a ledger."""

    ledger: int
    closed_at: Time
    principal: Annotated[Amount, Field(description="the amount, and the number of shares, that was asked about")]
    interest: Annotated[Amount | None, Field(description="interest on the principal; null: the vault does not say")]
    value: Annotated[Amount | None, Field(description="what the shares are worth; null: the vault does not say")]


class YieldModel(Represented):
    """What a stream's vault has earned for it."""

    id: Annotated[str, Field(description="the stream's id: {contractId}-{streamId}")]
    stream_id: Annotated[str, Field(description="its number in its contract")]
    accrued_interest: Annotated[
        Amount | None, Field(description="on what is not withdrawn yet; null where the vault does not tell")
    ]
    yield_rate: Annotated[
        str | None, Field(description="in a year, without compounding: 0.08 is 8 %; null with fewer than two samples")
    ]
    last_accrual_at: Annotated[Time | None, Field(description="as of when the vault told it")]
    as_of_ledger: Annotated[int, Field(ge=0, description="all events of the stream up to here are in it")]
    principal: Annotated[Amount | None, Field(description="what is not withdrawn yet, and earns")]
    vault: Annotated[str, Field(description="the vault's contract")]
    vault_ledger: Annotated[int | None, Field(description="the ledger at which the vault told it")]
    samples: Annotated[OrAbsent[list[SampleModel]], Field(description="absent unless asked for")] = None


def yield_model(
    shown: StreamView, moment: Moment, earned: Earned, growth: Growth | None, samples: Sequence[Sample] | None = None
) -> YieldModel:
    """Return what a vault has earned for a stream, which is shown as of a moment, and the samples where asked for."""
    return YieldModel(
        id=shown.key,
        stream_id=str(shown.state.stream_id),
        accrued_interest=amount(earned.interest),
        yield_rate=None if growth is None else rate_text(growth),
        last_accrual_at=None if earned.closed_at is None else format_close_time(earned.closed_at),
        as_of_ledger=moment.ledger,
        principal=amount(earned.principal),
        vault=earned.vault,
        vault_ledger=earned.ledger,
        samples=None if samples is None else [_sample(one) for one in samples],
    )


def _sample(sample: Sample) -> SampleModel:
    return SampleModel(
        ledger=sample.ledger,
        closed_at=format_close_time(sample.closed_at),
        principal=str(sample.principal),
        interest=amount(sample.interest),
        value=amount(sample.value),
    )
