"""A JSON-RPC 2.0 server on aiohttp, answering the way stellar-rpc does."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web
from loguru import logger

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

MAX_BODY = 512 * 1024
"""stellar-rpc refuses larger request bodies."""

Handler = Callable[[dict[str, Any]], "Any | Awaitable[Any]"]


class JsonRpcError(Exception):
    """An error object of a JSON-RPC answer; stellar-rpc sends it with HTTP status 200."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def to_json(self) -> dict[str, Any]:
        """Return the ``error`` member."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "600",
}
"""Pages of any origin may ask: a wallet or dApp in a browser is a client like any other."""


def json_rpc_app(methods: Mapping[str, Handler]) -> web.Application:
    """Return an application whose ``POST /`` answers the given methods."""

    async def handle(request: web.Request) -> web.Response:
        body = orjson.dumps(await answer(await request.read(), methods))
        return web.Response(body=body, content_type="application/json", headers=_CORS)

    async def preflight(_request: web.Request) -> web.Response:
        return web.Response(status=204, headers=_CORS)

    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post("/", handle)
    app.router.add_route("OPTIONS", "/", preflight)
    return app


async def answer(body: bytes, methods: Mapping[str, Handler]) -> dict[str, Any]:
    """Return the answer object to one request body."""
    request_id: object = None
    try:
        try:
            call = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise JsonRpcError(PARSE_ERROR, "parse error") from None
        if not isinstance(call, dict) or call.get("jsonrpc") != "2.0" or not isinstance(call.get("method"), str):
            raise JsonRpcError(INVALID_REQUEST, "invalid request")
        request_id = call.get("id")
        params = call.get("params") or {}
        if not isinstance(params, dict):
            raise JsonRpcError(INVALID_PARAMS, "params must be an object")
        method = methods.get(call["method"])
        if method is None:
            raise JsonRpcError(METHOD_NOT_FOUND, "method not found")
        result = method(params)
        if inspect.isawaitable(result):
            result = await result
    except JsonRpcError as error:
        return {"jsonrpc": "2.0", "id": request_id, "error": error.to_json()}
    except Exception as error:
        logger.opt(exception=error).error("a JSON-RPC method failed")
        fault = JsonRpcError(INTERNAL_ERROR, f"internal error: {type(error).__name__}")
        return {"jsonrpc": "2.0", "id": request_id, "error": fault.to_json()}
    return {"jsonrpc": "2.0", "id": request_id, "result": result}
