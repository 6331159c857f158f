"""A thin JSON-RPC client: one request, one answer or one named failure. Retrying is for its callers.

Addresses may carry secrets in path, query or user name, so no message ever shows more of them than
scheme, host and port, and redirects are not followed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import orjson
from loguru import logger

from stellarstream_core import __version__
from stellarstream_core.errors import SettingsError
from stellarstream_soroban_rpc.collecting import collector_paused
from stellarstream_soroban_rpc.failures import (
    AttemptError,
    NobodyListensError,
    OverlongError,
    RpcError,
    TimedOutError,
    UnreachableError,
    WrongAnswerError,
)
from stellarstream_soroban_rpc.timing import Timing

_READ_SIZE = 1024 * 1024
_PAUSE_STATUSES = frozenset({429, 503})
_SHOWN_TEXT = 200
_SECRET_LENGTH = 8
"""Shorter parts of an address ("v1", "rpc") are words that a message may well hold."""


class Answer(NamedTuple):
    """The ``result`` of a call, and how many bytes the whole answer had."""

    result: Any
    size: int


def shown_url(url: str) -> str:
    """Return scheme, host and port of an address: all of it that may be shown.

    Raises ``SettingsError`` where it is no http or https address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError(
            "rpc_url: an endpoint is not an http:// or https:// address.",
            help="Write each endpoint in full, such as https://soroban-testnet.stellar.org.",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


class Transport:
    """The connections of all endpoints, with one cap on the requests under way."""

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
                headers={"User-Agent": f"stellarstream/{__version__}", "Content-Type": "application/json"},
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


class RpcClient:
    """Calls methods of one endpoint."""

    def __init__(self, url: str, transport: Transport) -> None:
        self.shown = shown_url(url)
        self._url = url
        self._transport = transport
        self._ids = itertools.count(1)
        parts = urlsplit(url)
        words = (*parts.path.split("/"), *parts.query.replace("&", "=").split("="), parts.username, parts.password)
        self._secrets = tuple(word for word in words if word and len(word) >= _SECRET_LENGTH)

    async def call(self, method: str, params: Mapping[str, Any] | None = None) -> Answer:
        """Call a method and return its answer; raise an :class:`AttemptError` otherwise."""
        number = next(self._ids)
        call: dict[str, Any] = {"jsonrpc": "2.0", "id": number, "method": method}
        if params is not None:
            call["params"] = params
        async with self._transport.gate:
            body = await self._post(orjson.dumps(call))
        logger.debug("{} answered {} with {} bytes", self.shown, method, len(body))
        return Answer(self._result(body, number), len(body))

    async def _post(self, body: bytes) -> bytes:
        try:
            async with self._transport.session().post(self._url, data=body, allow_redirects=False) as response:
                if response.status != 200:
                    raise await self._refusal(response)
                return await self._read(response)
        except TimeoutError:
            raise TimedOutError(
                f"{self.shown} did not answer within {self._transport.timeout_seconds:g} seconds."
            ) from None
        except aiohttp.ClientPayloadError:
            raise UnreachableError(f"{self.shown} ended its answer early.") from None
        except aiohttp.ServerDisconnectedError:
            raise UnreachableError(f"{self.shown} closed the connection without an answer.") from None
        except aiohttp.ClientOSError as error:
            # Never str(error): it may hold more of the address than may be shown.
            why = error.strerror if isinstance(error.strerror, str) else type(error).__name__
            kind = NobodyListensError if isinstance(error, aiohttp.ClientConnectorError) else UnreachableError
            raise kind(f"{self.shown} cannot be reached: {_short(why)}.") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UnreachableError(f"{self.shown} gave no usable answer ({type(error).__name__}).") from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        most = self._transport.max_response_bytes
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
        raise OverlongError(f"{self.shown} sent an answer of more than {most} bytes.")

    async def _refusal(self, response: aiohttp.ClientResponse) -> AttemptError:
        status = response.status
        message = f"{self.shown} answered HTTP {status}."
        if status in _PAUSE_STATUSES:
            return UnreachableError(message, retry_after=self._retry_after(response.headers.get("Retry-After")))
        if status in {408, 504}:
            return TimedOutError(message)
        if status >= 400 and response.content_type == "application/json":
            # Some gateways send a JSON-RPC error with a status of their own.
            try:
                embedded = orjson.loads(await self._read(response))
            except (orjson.JSONDecodeError, OverlongError):
                embedded = None
            if isinstance(embedded, dict) and (error := self._error(embedded.get("error"))):
                return error
        return UnreachableError(message)

    def _retry_after(self, text: str | None) -> float | None:
        """Read ``Retry-After`` (RFC 9110 §10.2.3): seconds, or a date."""
        if text is None:
            return None
        text = text.strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - self._transport.timing.wall())
        except (ValueError, TypeError, OverflowError):
            return None

    def _result(self, body: bytes, number: int) -> Any:
        try:
            with collector_paused():
                answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise WrongAnswerError(f"{self.shown} sent something that is not JSON.") from None
        if not isinstance(answer, dict):
            raise WrongAnswerError(f"{self.shown} sent JSON that is not a JSON-RPC answer.")
        if (error := self._error(answer.get("error"))) is not None:
            raise error
        if answer.get("id") != number:
            raise WrongAnswerError(f"{self.shown} answered another request than the one it was sent.")
        if "result" not in answer:
            raise WrongAnswerError(f"{self.shown} sent an answer with neither result nor error.")
        return answer["result"]

    def _error(self, raw: object) -> RpcError | None:
        if raw is None:
            return None
        if not isinstance(raw, dict) or type(raw.get("code")) is not int:
            raise WrongAnswerError(f"{self.shown} sent an error that is not a JSON-RPC error.")
        return RpcError(self.shown, raw["code"], self._safe(raw.get("message")), raw.get("data"))

    def _safe(self, message: object) -> str:
        """Return a node's words fit to be shown: short, printable, without the address they were asked at."""
        text = message if isinstance(message, str) else "no message"
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return _short(text)


def _short(text: str) -> str:
    clean = "".join(c if c.isprintable() else " " for c in text[: 4 * _SHOWN_TEXT]).strip()
    return clean if len(clean) <= _SHOWN_TEXT else f"{clean[:_SHOWN_TEXT]}…"
