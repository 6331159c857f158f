"""A plugin for the tests from outside: routes whose parameters and bodies are of every kind."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from pydantic import Field

from stellarstream_core import hookimpl
from stellarstream_core.api.auth.identity import Access
from stellarstream_core.api.models import Listed, ListParameters, Moment, Nothing, Parameters, Represented
from stellarstream_core.api.problems import InvalidCursorError, NotFoundError
from stellarstream_core.api.routes import Answer, Call, Route

MODULE = __name__
Amount = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,38}$")]


class Part(Parameters):
    to_whom: Annotated[str, Field(min_length=1, max_length=20)]
    share: Annotated[float, Field(ge=0, le=1)]


class Order(Parameters):
    amount: Amount
    memo: Annotated[str, Field(max_length=100)] = ""
    kind: Literal["once", "stream"] = "once"
    priority: Annotated[int, Field(ge=0, le=9)] = 0
    urgent: bool = False
    begins: Moment | None = None
    parts: Annotated[list[Part], Field(max_length=3)] = []
    labels: Annotated[dict[str, str], Field(max_length=3)] = {}


class OrderPath(Parameters):
    order_id: Annotated[int, Field(ge=1, le=2**63 - 1)]


class OrdersQuery(ListParameters):
    q: Annotated[str, Field(max_length=300)] = ""
    label: Annotated[tuple[str, ...], Field(max_length=3)] = ()
    due: Moment | None = None


class WaitQuery(Parameters):
    seconds: Annotated[float, Field(ge=0, le=5)] = 0.0


class Taken(Represented):
    account: str
    order: Order


class Echo(Represented):
    text: str


class ListOfTexts(Listed[Echo]):
    pass


async def search(call: Call[Nothing, OrdersQuery, Nothing]) -> Answer:
    """Answer an endless list of what was asked for; the cursor is bound to the text."""
    number = int(call.api.cursors.read("orders", call.query.q, call.query.cursor)) if call.query.cursor else 0
    items = [Echo(text=call.query.q)] * min(call.query.limit, 2)
    cursor = call.api.cursors.make("orders", call.query.q, str(number + len(items)))
    return Answer(ListOfTexts(items=items, next_cursor=cursor, as_of_ledger=1, complete=True), next_cursor=cursor)


async def place(call: Call[Nothing, Nothing, Order]) -> Answer:
    return Answer(Taken(account=call.account, order=call.body), status=201, headers={"Location": "/api/v1/orders/1"})


async def change(call: Call[OrderPath, Nothing, Order]) -> Taken:
    if call.path.order_id > 1:
        raise NotFoundError("There is no such order.")
    return Taken(account=call.account, order=call.body)


async def withdraw(call: Call[OrderPath, Nothing, Nothing]) -> None:
    if call.path.order_id > 1:
        raise NotFoundError("There is no such order.")


async def quote(call: Call[Nothing, Nothing, Order]) -> Order:
    return call.body


async def wait(call: Call[Nothing, WaitQuery, Nothing]) -> Echo:
    await asyncio.sleep(call.query.seconds)
    return Echo(text="done")


ROUTES = (
    Route(
        method="GET",
        path="/orders",
        handler=search,
        query=OrdersQuery,
        answer=ListOfTexts,
        tag="orders",
        summary="Search orders",
        problems=(InvalidCursorError,),
    ),
    Route(
        method="POST",
        path="/orders",
        handler=place,
        body=Order,
        answer=Taken,
        status=201,
        creates=True,
        tag="orders",
        summary="Place an order",
    ),
    Route(
        method="PATCH",
        path="/orders/{orderId}",
        handler=change,
        path_model=OrderPath,
        body=Order,
        answer=Taken,
        tag="orders",
        summary="Change an order",
        problems=(NotFoundError,),
    ),
    Route(
        method="DELETE",
        path="/orders/{orderId}",
        handler=withdraw,
        path_model=OrderPath,
        status=204,
        tag="orders",
        summary="Withdraw an order",
        problems=(NotFoundError,),
    ),
    Route(
        method="POST",
        path="/quotes",
        handler=quote,
        body=Order,
        answer=Order,
        access=Access.PUBLIC,
        tag="orders",
        summary="What an order would be, for everybody",
    ),
    Route(
        method="GET",
        path="/wait",
        handler=wait,
        query=WaitQuery,
        answer=Echo,
        tag="orders",
        hidden=True,
        summary="Answer a little later",
    ),
)


@hookimpl
def register_routes() -> tuple[Route, ...]:
    return ROUTES
