"""The section ``[plugins.nebula]``: which contracts hold streams, and how they are read and called."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stellarstream_core.xdr.strkey import contract_id_bytes

Generation = Literal["v1", "v2", "splitter-v3", "splitter-factory"]
"""What a contract can be said to be; a plugin's own families are named by :attr:`NebulaSettings.families`."""


class NebulaSettings(BaseModel):
    """Settings of the streams plugin. Contracts that are not named here are asked for their generation."""

    model_config = ConfigDict(extra="forbid")

    contracts: dict[str, str] = Field(
        default_factory=dict,
        description="Generation of each contract: v1, v2, splitter-v3, splitter-factory, or another plugin's family.",
    )
    detect: bool = Field(default=True, description="Ask the other contracts of 'contracts' on the chain what they are.")
    migrated_from: dict[str, str] = Field(
        default_factory=dict, description="The V1 contract whose streams migrate into each V2 contract."
    )
    default_contract: str | None = Field(
        default=None, description="Where POST /streams creates streams if contractId is left out."
    )
    vaults: dict[str, str] = Field(
        default_factory=dict, description="The vault that earns yield for each token, used where yieldEnabled is asked."
    )
    facts_seconds: Annotated[float, Field(ge=1, le=3600)] = Field(
        default=5.0, description="Seconds between reads of what events do not tell, while following."
    )
    facts_fresh_ledgers: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=60, description="A V1 stream's amounts are null once the last read is so many ledgers old."
    )
    yield_seconds: Annotated[float, Field(ge=1, le=86_400)] = Field(
        default=300.0, description="Seconds between samples of a vault's interest."
    )
    inclusion_fee: Annotated[int, Field(ge=100, le=10_000_000)] = Field(
        default=1000, description="Stroops offered for being included, above the resource fee."
    )
    transaction_seconds: Annotated[int, Field(ge=30, le=3600)] = Field(
        default=300, description="How long a built transaction can be signed and submitted."
    )

    @field_validator("contracts", "vaults")
    @classmethod
    def _contract_ids(cls, value: dict[str, str]) -> dict[str, str]:
        for contract in value:
            contract_id_bytes(contract)
        return value

    @field_validator("migrated_from")
    @classmethod
    def _pairs(cls, value: dict[str, str]) -> dict[str, str]:
        for pair in value.items():
            for contract in pair:
                contract_id_bytes(contract)
        return value
