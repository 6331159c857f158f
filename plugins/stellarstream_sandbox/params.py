"""Reading JSON-RPC parameters the way stellar-rpc's decoder does, for every method but ``getEvents``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from stellarstream_sandbox.jsonrpc import INVALID_PARAMS, JsonRpcError

FORMATS = frozenset({"", "base64", "json"})
_UINT32 = 2**32


class Page(NamedTuple):
    """What ``getLedgers`` and ``getTransactions`` are asked for; 0 and "" are what was not given."""

    start_ledger: int
    cursor: str
    limit: int
    format: str

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Page:
        """Read the parameters; raise :class:`JsonRpcError` where one has the wrong type."""
        pagination = params.get("pagination")
        if pagination is None:
            pagination = {}
        if not isinstance(pagination, dict):
            raise invalid("invalid parameters: pagination must be an object")
        return cls(
            unsigned(params, "startLedger"),
            text(pagination, "cursor"),
            unsigned(pagination, "limit"),
            text(params, "xdrFormat"),
        )


def unsigned(params: Mapping[str, Any], key: str) -> int:
    """Return an unsigned 32-bit number, 0 where it is absent."""
    value = params.get(key)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value < _UINT32:
        raise invalid(f"invalid parameters: {key} must be an unsigned 32-bit number")
    return value


def text(params: Mapping[str, Any], key: str) -> str:
    """Return a string, "" where it is absent."""
    value = params.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise invalid(f"invalid parameters: {key} must be a string")
    return value


def format_fault(name: str) -> str | None:
    """Return what stellar-rpc says of an ``xdrFormat`` that it does not know."""
    return None if name in FORMATS else f"got '{name}': expected base64, json for optional 'xdrFormat'"


def refuse_json(name: str) -> None:
    """Raise :class:`JsonRpcError` for the one format that a real node has and the sandbox lacks."""
    if name == "json":
        raise invalid("xdrFormat 'json' is not supported by this simulated node: use base64")


def invalid(message: str) -> JsonRpcError:
    """Return the error for parameters that make no sense."""
    return JsonRpcError(INVALID_PARAMS, message)
