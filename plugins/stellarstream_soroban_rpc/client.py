"""A thin JSON-RPC client: one call, one answer or one named failure. Retrying is for its callers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
import orjson
from loguru import logger

from stellarstream_core.endpoints.address import Address
from stellarstream_core.endpoints.http import PAUSE_STATUSES, TIMEOUT_STATUSES, Transport
from stellarstream_soroban_rpc.collecting import collector_paused
from stellarstream_soroban_rpc.failures import (
    AttemptError,
    OverlongError,
    RpcError,
    TimedOutError,
    UnreachableError,
    WrongAnswerError,
)


class Answer(NamedTuple):
    """The ``result`` of a call, and how many bytes the whole answer had."""

    result: Any
    size: int


_HEADERS = {"Content-Type": "application/json"}


class RpcClient:
    """Calls methods of one endpoint."""

    def __init__(self, url: str, transport: Transport) -> None:
        self._address = Address(url, "rpc_url")
        self.shown = self._address.shown
        self._transport = transport
        self._ids = itertools.count(1)

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
        url = self._address.url
        async with self._transport.request("POST", url, self.shown, data=body, headers=_HEADERS) as response:
            if response.status != 200:
                raise await self._refusal(response)
            return await self._transport.read(response, self.shown)

    async def _refusal(self, response: aiohttp.ClientResponse) -> AttemptError:
        status = response.status
        message = f"{self.shown} answered HTTP {status}."
        if status in PAUSE_STATUSES:
            return UnreachableError(message, retry_after=self._transport.retry_after(response))
        if status in TIMEOUT_STATUSES:
            return TimedOutError(message)
        if status >= 400 and response.content_type == "application/json":
            # Some gateways send a JSON-RPC error with a status of their own.
            try:
                embedded = orjson.loads(await self._transport.read(response, self.shown))
            except (orjson.JSONDecodeError, OverlongError):
                embedded = None
            if isinstance(embedded, dict) and (error := self._error(embedded.get("error"))):
                return error
        return UnreachableError(message)

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
        return RpcError(self.shown, raw["code"], self._words(raw.get("message")), raw.get("data"))

    def log(self, text: str) -> str:
        """Return what a node tells at length, line by line, without any secret of its address."""
        return self._address.scrub_log(text)

    def _words(self, message: object) -> str:
        return self._address.scrub(message) if isinstance(message, str) else "no message"
