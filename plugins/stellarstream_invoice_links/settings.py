"""The section ``[plugins.invoice-links]``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class InvoiceLinkSettings(BaseModel):
    """Settings of the invoice links plugin."""

    model_config = ConfigDict(extra="forbid")

    most_open_links: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1_000, description="Links of one account that may be open at a time, neither paid nor over."
    )
    uri_signing_key: SecretStr | None = Field(
        default=None,
        description="Secret seed (S…) that signs SEP-7 requests; its account is announced in stellar.toml.",
    )
    most_watchers: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1_000, description="Pay pages that one worker keeps up to date at a time."
    )

    @field_validator("uri_signing_key")
    @classmethod
    def _seed(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            from stellar_sdk import Keypair  # noqa: PLC0415 - 600 ms to import, only where it is set

            try:
                Keypair.from_secret(value.get_secret_value())
            except Exception:
                raise ValueError("this is no secret seed (S…)") from None
        return value
