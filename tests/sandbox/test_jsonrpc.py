"""The JSON-RPC layer: what is no call, what is no method, and what goes wrong inside one."""

from __future__ import annotations

import orjson
import pytest

from stellarstream_sandbox.jsonrpc import JsonRpcError, answer


async def _later(params):
    return {"later": params["x"]}


def _fails(_params):
    raise KeyError("a fault of the method's own")


def _refuses(_params):
    raise JsonRpcError(-32001, "request exceeded processing limit threshold", {"why": "slow"})


METHODS = {"now": lambda params: params, "later": _later, "fails": _fails, "refuses": _refuses}


async def ask(**call):
    return await answer(orjson.dumps({"jsonrpc": "2.0", "id": "a", **call}), METHODS)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"[]", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"now"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"never"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"now","params":[1]}', -32602),
    ],
)
async def test_what_is_no_call_gets_its_code(body, code):
    assert (await answer(body, METHODS))["error"]["code"] == code


@pytest.mark.parametrize("params", [{}, {"params": None}, {"params": {}}], ids=str)
async def test_parameters_may_be_left_out(params):
    assert await ask(method="now", **params) == {"jsonrpc": "2.0", "id": "a", "result": {}}


async def test_methods_may_take_their_time():
    assert (await ask(method="later", params={"x": 1}))["result"] == {"later": 1}


async def test_refusals_carry_code_message_and_data():
    error = (await ask(method="refuses"))["error"]
    assert error == {
        "code": -32001,
        "message": "request exceeded processing limit threshold",
        "data": {"why": "slow"},
    }


async def test_a_fault_inside_a_method_is_an_internal_error_and_no_empty_answer():
    assert await ask(method="fails") == {
        "jsonrpc": "2.0",
        "id": "a",
        "error": {"code": -32603, "message": "internal error: KeyError"},
    }
