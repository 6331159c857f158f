"""A call of the API by whoever the client acts for: with a credential, renewed where it has run out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

from nebula_client._core.config import Core
from nebula_client._core.effects import Answer, Operation
from nebula_client._core.login import ANYBODY, Who, credential_for
from nebula_client._core.requests import Request, attempts, model_of
from nebula_client._core.session import Credential
from nebula_client.errors import AuthenticationError

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


def call(
    core: Core,
    request: Request,
    model: type[M],
    who: Who = ANYBODY,
) -> Operation[M]:
    """Call the API and return its answer."""
    return (yield from answered(core, request, model_of(model), who))


def answered(
    core: Core,
    request: Request,
    reading: Callable[[Request, Answer], T],
    who: Who = ANYBODY,
) -> Operation[T]:
    """Call the API and return what ``reading`` makes of its answer."""

    def send(credential: Credential | None) -> Operation[T]:
        return attempts(core, request, credential, reading)

    return (yield from authorized(core, send, who))


def authorized(
    core: Core,
    send: Callable[[Credential | None], Operation[T]],
    who: Who = ANYBODY,
) -> Operation[T]:
    """Send something with a credential. A login that has run out is made again, once.

    What needs no login goes on without one then, rather than have a wallet ask for a mere reading.
    """
    credential = yield from credential_for(core, who)
    try:
        return (yield from send(credential))
    except AuthenticationError:
        if credential is None or not credential.renewable:
            raise
        core.session.forget(credential)
    return (yield from send((yield from credential_for(core, who))))
