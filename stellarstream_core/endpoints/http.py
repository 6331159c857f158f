"""HTTP with named failures: one request, one answer or one :class:`AttemptError`. Retrying is for its callers.

Addresses may carry secrets, so no message ever shows more of them than scheme, host and port, and
redirects are not followed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

import aiohttp

from stellarstream_core import __version__
from stellarstream_core.endpoints.address import printable
from stellarstream_core.endpoints.failures import (
    NobodyListensError,
    OverlongError,
    TimedOutError,
    UnreachableError,
)
from stellarstream_core.endpoints.timing import Timing

_READ_SIZE = 1024 * 1024

PAUSE_STATUSES = frozenset({429, 503})
"""Statuses that ask for a pause, often with ``Retry-After``."""

TIMEOUT_STATUSES = frozenset({408, 504})
"""Statuses that say that the answer took too long."""

_MOST_DIGITS = 19
"""More than a TOID has, the longest number that is read from text."""


class Transport:
    """The connections of all endpoints of a source, with one cap on the requests under way."""

    def __init__(self, *, max_in_flight: int, timeout_seconds: float, max_response_bytes: int, timing: Timing) -> None:
        self.timing = timing
        self.timeout_seconds = timeout_seconds
        self.max_response_bytes = max_response_bytes
        self.gate = asyncio.Semaphore(max_in_flight)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def session(self) -> aiohttp.ClientSession:
        """Return the one session, opening it on first use."""
        if self._closed:
            raise UnreachableError("The source is closed.")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self.timeout_seconds),
                headers={"User-Agent": f"stellarstream/{__version__}"},
                read_bufsize=_READ_SIZE,
                raise_for_status=False,
            )
        return self._session

    async def close(self) -> None:
        """Close every connection. Safe to call twice."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        shown: str,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limits: aiohttp.ClientTimeout | None = None,
        auto_decompress: bool = True,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Make a request and hand over the response, whatever its status.

        ``shown`` stands for the address in messages; ``limits`` replace the usual timeout. Without
        ``auto_decompress`` the body is left as it was sent, whatever its ``Content-Encoding``.
        What fails on the way, the reading of the body included, is raised as an :class:`UnreachableError`.
        """
        try:
            async with self.session().request(
                method,
                url,
                data=data,
                headers=headers,
                allow_redirects=False,
                auto_decompress=auto_decompress,
                timeout=limits or aiohttp.ClientTimeout(total=self.timeout_seconds),
            ) as response:
                yield response
        except TimeoutError:
            raise TimedOutError(f"{shown} did not answer within {self.timeout_seconds:g} seconds.") from None
        except aiohttp.ClientPayloadError:
            raise UnreachableError(f"{shown} ended its answer early.") from None
        except aiohttp.ServerDisconnectedError:
            raise UnreachableError(f"{shown} closed the connection without an answer.") from None
        except aiohttp.ClientOSError as error:
            # Never str(error): it may hold more of the address than may be shown.
            why = error.strerror if isinstance(error.strerror, str) else type(error).__name__
            kind = NobodyListensError if isinstance(error, aiohttp.ClientConnectorError) else UnreachableError
            raise kind(f"{shown} cannot be reached: {printable(why)}.") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UnreachableError(f"{shown} gave no usable answer ({type(error).__name__}).") from None

    async def read(self, response: aiohttp.ClientResponse, shown: str) -> bytes:
        """Return a response's body; raise :class:`OverlongError` where it is larger than what is read of one."""
        most = self.max_response_bytes
        chunks: list[bytes] = []
        size = 0
        if (response.content_length or 0) <= most:
            async for chunk in response.content.iter_any():
                chunks.append(chunk)
                size += len(chunk)
                if size > most:
                    break
            else:
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        response.close()
        raise OverlongError(f"{shown} sent an answer of more than {most} bytes.")

    def retry_after(self, response: aiohttp.ClientResponse) -> float | None:
        """Return the pause in seconds that a response asks for in ``Retry-After`` (RFC 9110 §10.2.3)."""
        return read_retry_after(response.headers.get("Retry-After"), self.timing.wall())


def read_retry_after(text: str | None, wall: float) -> float | None:
    """Read ``Retry-After``: seconds, or a date seen from the Unix time ``wall``. None where it is neither."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text.lstrip("0")[:_MOST_DIGITS] or 0)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - wall)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def whole_number(value: object) -> int | None:
    """Read a number that some servers send as a number and others as text; None where it is none.

    Text of more than 19 digits is none either: nothing that is counted here needs more.
    """
    if type(value) is int:
        return value
    if isinstance(value, str) and len(value) <= _MOST_DIGITS and value.isascii() and value.isdigit():
        return int(value)
    return None
