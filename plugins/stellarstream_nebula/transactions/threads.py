"""Work with stellar-sdk off the event loop: importing it takes 600 ms, and signatures are verified by computing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Lock
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_importing = Lock()


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that uses stellar-sdk in a thread; return what it returns, raise what it raises."""

    def call() -> T:
        with _importing:  # one thread alone: of two that import a package at once, one may see half of it
            import stellar_sdk.operation  # noqa: F401, PLC0415 - for whoever imports parts of it
        return function(*args, **kwargs)

    return await asyncio.to_thread(call)
