"""The plugin's own settings: ``[plugins.data-lake]``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from stellarstream_core.ranges import LAST_LEDGER
from stellarstream_core.settings import PluginSection
from stellarstream_data_lake.layout import MAX_BATCHES_PER_PARTITION, MAX_LEDGERS_PER_BATCH

SECTION = "data-lake"


class DataLakeSettings(PluginSection):
    """How the lakes named in ``lake_url`` are read. The defaults suit the public ones."""

    in_flight: int = Field(24, ge=1, le=256, description="objects that are fetched and read at the same time")
    reader_threads: int = Field(2, ge=1, le=32, description="threads that decompress and read ledgers")
    max_batch_bytes: int = Field(
        128 * 1024 * 1024, ge=1024, le=2 * 1024**3, description="largest object that is read, once decompressed"
    )
    max_memory_bytes: int = Field(
        96 * 1024 * 1024, ge=1024, le=64 * 1024**3, description="fewer objects are in flight where they would need more"
    )
    timeout_seconds: float = Field(30.0, gt=0, le=600, description="longest wait for one object")
    max_retries: int = Field(6, ge=0, le=1_000, description="failed attempts in a row before an object is given up")
    retry_seconds: float = Field(120.0, ge=0, le=86_400, description="seconds before an object is given up")
    backoff_seconds: float = Field(0.5, gt=0, le=60, description="upper bound of the first pause; it doubles each time")
    max_backoff_seconds: float = Field(20.0, gt=0, le=600, description="upper bound of any pause")
    first_ledger: int | None = Field(
        None, ge=2, le=LAST_LEDGER, description="a ledger that the lake has, where it cannot be listed or begins late"
    )
    ledgers_per_batch: int | None = Field(
        None, ge=1, le=MAX_LEDGERS_PER_BATCH, description="layout: ledgers in an object (none: as the lake says)"
    )
    batches_per_partition: int | None = Field(
        None, ge=1, le=MAX_BATCHES_PER_PARTITION, description="layout: objects in a folder (none: as the lake says)"
    )
    suffix: Literal[".xdr.zst", ".xdr.zstd"] | None = Field(
        None, description="layout: how objects' names end (none: as the lake says)"
    )
    anonymous: bool | None = Field(
        None, description="send no credentials to a bucket (none: where none are given, and to public ones)"
    )
    s3_region: str | None = Field(None, description="region of the bucket (none: AWS_REGION, else us-east-1)")
    s3_endpoint: str | None = Field(None, description="address of a store that speaks S3 and is not AWS")
    s3_virtual_host: bool = Field(False, description="the bucket's name is part of the host's name")
    s3_access_key_id: SecretStr | None = Field(None, description="credentials (none: AWS_ACCESS_KEY_ID)")
    s3_secret_access_key: SecretStr | None = Field(None, description="credentials (none: AWS_SECRET_ACCESS_KEY)")
    s3_session_token: SecretStr | None = Field(None, description="credentials (none: AWS_SESSION_TOKEN)")

    @model_validator(mode="after")
    def _credentials_fit(self) -> DataLakeSettings:
        if (self.s3_access_key_id is None) != (self.s3_secret_access_key is None):
            raise ValueError("s3_access_key_id and s3_secret_access_key belong together")
        if self.anonymous and self.s3_access_key_id is not None:
            raise ValueError("anonymous and s3_access_key_id contradict each other")
        return self
