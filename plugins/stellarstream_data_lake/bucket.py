"""A lake in a bucket: S3, what speaks S3, or Google Cloud Storage, read through obstore.

obstore is called in threads, not through its coroutines: those are resolved by Rust threads that nobody
waits for, and one that still holds Python when the interpreter ends aborts the process, whatever its
exit code would have been (PyO3/pyo3-async-runtimes#40; seen in one of ten runs on a busy machine).

obstore's messages hold whole addresses, so nothing of them is shown but the status and the store's
own error code. Its retries are off: an object is retried by who asks for it, in one place for all stores.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import GCSStore, S3Store

from stellarstream_core import __version__
from stellarstream_core.endpoints.failures import (
    AttemptError,
    NobodyListensError,
    OverlongError,
    TimedOutError,
    UnreachableError,
)
from stellarstream_core.errors import SettingsError
from stellarstream_data_lake.failures import DeniedError, MissingError, RefusedError
from stellarstream_data_lake.settings import DataLakeSettings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSConfig, RetryConfig, S3Config, S3Credential

T = TypeVar("T")

PUBLIC_BUCKETS: Mapping[str, str] = {"aws-public-blockchain": "us-east-2"}
"""Buckets of the AWS Open Data programme that hold Stellar lakes, and their regions."""

_DEFAULT_REGION = "us-east-1"

_S3_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_GS_CREDENTIALS = (
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_BEARER_TOKEN",
)

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,40})</Code>")
_PAGE = 100


class BucketStore:
    """Reads objects of one bucket below one prefix. Listings come in the order of names.

    A request that is no longer wanted ends by itself, at the latest after ``timeout_seconds``.
    """

    lists = True

    def __init__(self, store: S3Store | GCSStore, shown: str, *, anonymous: bool, in_flight: int) -> None:
        self.shown = shown
        self._store = store
        self._anonymous = anonymous
        self._closed = False
        self._threads = ThreadPoolExecutor(in_flight, thread_name_prefix="bucket")

    async def get(self, key: str, most: int) -> bytes:
        """Return an object's bytes."""
        return await self._in_thread(lambda: self._get(key, most), key)

    async def exists(self, key: str) -> bool:
        """Tell whether there is such an object."""
        return await self._in_thread(lambda: self._exists(key), key)

    async def after(self, key: str, fits: Callable[[str], bool]) -> str | None:
        """Return the first name that sorts after ``key`` and ``fits``, or None."""
        return await self._in_thread(lambda: self._after(key, fits), "a listing")

    async def close(self) -> None:
        """Wait for requests under way and let the threads go. Safe to call twice."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._threads.shutdown)

    async def _in_thread(self, call: Callable[[], T], what: str) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except (BaseError, OSError, ValueError) as error:
            raise self._failure(error, what) from None
        except RuntimeError:
            if not self._closed:
                raise
            raise UnreachableError("The source is closed.") from None

    def _get(self, key: str, most: int) -> bytes:
        found = obstore.get(self._store, key)
        if found.meta["size"] > most:
            raise OverlongError(f"{self.shown} has {key} with more than {most} bytes.")
        return found.bytes().to_bytes()

    def _exists(self, key: str) -> bool:
        try:
            obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        return True

    def _after(self, key: str, fits: Callable[[str], bool]) -> str | None:
        for page in obstore.list(self._store, offset=key, chunk_size=_PAGE):
            for found in page:
                if fits(found["path"]):
                    return found["path"]
        return None

    def _failure(self, error: Exception, what: str) -> AttemptError:
        text = str(error)
        status, code = _STATUS.search(text), _CODE.search(text)
        said = f"{self.shown} answered HTTP {status[1]}" if status else f"{self.shown} refused"
        said += f" ({code[1]})" if code else ""
        if code is not None and code[1] == "NoSuchBucket":
            return DeniedError(f"{said}: there is no such bucket.")
        if isinstance(error, FileNotFoundError):
            return MissingError(f"{self.shown} does not have {what}.")
        if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or (status and status[1] in {"401", "403"}):
            if code is not None and code[1] != "AccessDenied":
                return DeniedError(f"{said}: check the credentials.")
            return RefusedError(f"{said} for {what}: {self._what_may_be()}")
        if "Received redirect" in text or (status is not None and status[1] in {"301", "307", "400"}):
            return DeniedError(f"{said}: is the bucket in another region? Set 's3_region' in [plugins.data-lake].")
        if status is not None and status[1].startswith("4") and status[1] not in {"408", "429"}:
            return RefusedError(f"{said} for {what}.")
        if status is not None:
            return UnreachableError(f"{said}.")
        if "kind: Timeout" in text:
            return TimedOutError(f"{self.shown} did not answer in time.")
        if "kind: Connect" in text:
            return NobodyListensError(f"{self.shown} cannot be reached.")
        if "kind: Interrupted" in text or "kind: Decode" in text:
            return UnreachableError(f"{self.shown} ended its answer early.")
        return UnreachableError(f"{self.shown} gave no usable answer ({type(error).__name__}).")

    def _what_may_be(self) -> str:
        who = "everybody" if self._anonymous else "these credentials"
        return (
            f"either there is no such object, which S3 tells only to who may list (s3:ListBucket), "
            f"or {who} may not read it (s3:GetObject)."
        )


def open_bucket(scheme: str, bucket: str, prefix: str, settings: DataLakeSettings) -> BucketStore:
    """Return the store for a bucket of S3 (``s3``) or Google Cloud Storage (``gs``); nothing is connected yet."""
    build = _s3 if scheme == "s3" else _gs
    try:
        return build(bucket, prefix, settings)
    except (BaseError, ValueError) as error:
        raise SettingsError(
            f"lake_url: the bucket's address or its settings make no sense ({type(error).__name__}).",
            help="See the keys s3_region and s3_endpoint of [plugins.data-lake], and the AWS_… variables.",
        ) from None


def _s3(bucket: str, prefix: str, settings: DataLakeSettings) -> BucketStore:
    env = os.environ
    own = settings.s3_access_key_id is not None
    public = bucket in PUBLIC_BUCKETS
    if settings.anonymous is not None:
        anonymous = settings.anonymous
    else:
        anonymous = not own and (public or not _any(_S3_CREDENTIALS))
    region = settings.s3_region or PUBLIC_BUCKETS.get(bucket)
    region = region or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or _DEFAULT_REGION
    config: S3Config = {"region": region, "skip_signature": anonymous}
    endpoint = settings.s3_endpoint or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or ""
    if settings.s3_endpoint:
        config["endpoint"] = settings.s3_endpoint
    if settings.s3_virtual_host:
        config["virtual_hosted_style_request"] = True
    store = S3Store(
        bucket,
        prefix=prefix or None,
        config=config,
        credential_provider=_own_credentials(settings),
        client_options=_client(settings, plain=endpoint.startswith("http://")),
        retry_config=_no_retries(),
    )
    return BucketStore(store, f"s3://{bucket}", anonymous=anonymous, in_flight=settings.in_flight)


def _own_credentials(settings: DataLakeSettings) -> Callable[[], S3Credential] | None:
    """Return what hands out the credentials of the settings: given so, none of the environment's mix with them."""
    key, secret, token = settings.s3_access_key_id, settings.s3_secret_access_key, settings.s3_session_token
    if key is None or secret is None:
        return None

    def provide() -> S3Credential:
        return {
            "access_key_id": key.get_secret_value(),
            "secret_access_key": secret.get_secret_value(),
            "token": None if token is None else token.get_secret_value(),
            "expires_at": None,
        }

    return provide


def _gs(bucket: str, prefix: str, settings: DataLakeSettings) -> BucketStore:
    anonymous = not _any(_GS_CREDENTIALS) if settings.anonymous is None else settings.anonymous
    config: GCSConfig = {"skip_signature": anonymous}
    plain = os.environ.get("GOOGLE_BASE_URL", "").startswith("http://")
    store = GCSStore(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options=_client(settings, plain=plain),
        retry_config=_no_retries(),
    )
    return BucketStore(store, f"gs://{bucket}", anonymous=anonymous, in_flight=settings.in_flight)


def _client(settings: DataLakeSettings, *, plain: bool) -> ClientConfig:
    return {
        "allow_http": plain,
        "connect_timeout": timedelta(seconds=min(10.0, settings.timeout_seconds)),
        "timeout": timedelta(seconds=settings.timeout_seconds),
        "user_agent": f"stellarstream/{__version__}",
    }


def _no_retries() -> RetryConfig:
    return {"max_retries": 0}


def _any(names: tuple[str, ...]) -> bool:
    return any(os.environ.get(name) for name in names)
