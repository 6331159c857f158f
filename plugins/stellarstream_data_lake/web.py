"""A lake served by an ordinary web server: no listing, sometimes not even HEAD.

obstore's HTTP store is not used: it refuses answers without ``Content-Length``
(developmentseed/obstore#398), and asks for listings by WebDAV.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from stellarstream_core.endpoints.address import Address
from stellarstream_core.endpoints.failures import AttemptError, OverlongError, TimedOutError, UnreachableError
from stellarstream_core.endpoints.http import PAUSE_STATUSES, TIMEOUT_STATUSES, Transport
from stellarstream_core.endpoints.timing import Timing
from stellarstream_data_lake.failures import MissingError, RefusedError
from stellarstream_data_lake.settings import DataLakeSettings

_ABSENT = frozenset({404, 410})
_NO_HEAD = frozenset({400, 405, 501})
_AS_STORED = {"Accept-Encoding": "identity"}


class WebStore:
    """Reads objects by GET and looks for them by HEAD, or by GET where there is no HEAD."""

    lists = False

    def __init__(self, url: str, settings: DataLakeSettings, timing: Timing) -> None:
        self._address = Address(url, "lake_url")
        self.shown = self._address.shown
        self._transport = Transport(
            max_in_flight=settings.in_flight,
            timeout_seconds=settings.timeout_seconds,
            max_response_bytes=settings.max_batch_bytes,
            timing=timing,
        )
        self._parts = urlsplit(url)
        self._has_head = True

    async def get(self, key: str, most: int) -> bytes:
        """Return the bytes as they are stored, whatever ``Content-Encoding`` a server gives them."""
        async with self._transport.gate, self._request("GET", key) as response:
            if response.status != 200:
                raise self._refusal(response, key)
            data = await self._transport.read(response, self.shown)
        if len(data) > most:
            raise OverlongError(f"{self.shown} has {key} with more than {most} bytes.")
        return data

    async def exists(self, key: str) -> bool:
        """Tell whether a server has the object."""
        async with self._transport.gate:
            if self._has_head:
                async with self._request("HEAD", key) as response:
                    status = response.status
                    if status not in _NO_HEAD:
                        return self._says(response, key)
            async with self._request("GET", key) as response:
                found = self._says(response, key)
                response.close()  # the body stays unread
            self._has_head = False
            return found

    async def after(self, key: str, fits: Callable[[str], bool]) -> str | None:
        """Raise: a web server's folders cannot be listed."""
        raise RefusedError(f"{self.shown} cannot be listed.")

    async def close(self) -> None:
        """Close connections. Safe to call twice."""
        await self._transport.close()

    def _request(self, method: str, key: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        parts = self._parts._replace(path=f"{self._parts.path.rstrip('/')}/{key}")
        return self._transport.request(method, urlunsplit(parts), self.shown, headers=_AS_STORED, auto_decompress=False)

    def _says(self, response: aiohttp.ClientResponse, key: str) -> bool:
        if response.status == 200:
            return True
        if response.status in _ABSENT:
            return False
        raise self._refusal(response, key)

    def _refusal(self, response: aiohttp.ClientResponse, key: str) -> AttemptError:
        status = response.status
        said = f"{self.shown} answered HTTP {status} for {key}"
        if status in _ABSENT:
            return MissingError(f"{self.shown} does not have {key} (HTTP {status}).")
        if status in PAUSE_STATUSES:
            return UnreachableError(f"{said}.", retry_after=self._transport.retry_after(response))
        if status in TIMEOUT_STATUSES:
            return TimedOutError(f"{said}.")
        if status in {401, 403}:
            return RefusedError(
                f"{said}: either it may not be read, or the server says so of objects that it does not have."
            )
        if 300 <= status < 400:
            return RefusedError(f"{said}: write the address that it points to in 'lake_url'.")
        if 400 <= status < 500:
            return RefusedError(f"{said}.")
        return UnreachableError(f"{said}.")
