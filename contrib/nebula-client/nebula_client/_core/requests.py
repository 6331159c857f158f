"""One request to the API: its attempts, and a problem as an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel

from nebula_client._core.config import Core
from nebula_client._core.effects import Answer, Operation, Send, Sleep
from nebula_client._core.retries import pause_after, retry_after
from nebula_client._core.session import Credential
from nebula_client._core.wire import json_object, read
from nebula_client.errors import BadResponseError, NebulaError, api_error

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

_OTHER = {
    "type": "about:blank",
    "detail": "Something else than a StellarStream service answered, such as a proxy in between.",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. ``safe`` says that asking twice does what asking once does; a GET is."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    safe: bool = False

    @property
    def what(self) -> str:
        """What messages call it: without its query."""
        return f"{self.method} {self.path}"

    def sent(self, core: Core, credential: Credential | None) -> Send:
        """Return what to send."""
        headers = {"Accept": "application/json", **core.config.headers, **self.headers}
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        if credential is not None:
            headers.update(credential.headers)
        return Send(self.method, core.config.url(self.path, self.query), headers, self.body, core.config.timeout)


def get(path: str, query: Sequence[tuple[str, str]] = (), **headers: str) -> Request:
    """Return a request that changes nothing."""
    return Request("GET", path, query, headers=headers, safe=True)


def model_of(model: type[M]) -> Callable[[Request, Answer], M]:
    """Return how to read answers of a shape."""
    return lambda request, answer: read(model, answer.body, request.what)


def nothing(_request: Request, _answer: Answer) -> None:
    """Read an answer without a body."""


def attempts(
    core: Core,
    request: Request,
    credential: Credential | None,
    reading: Callable[[Request, Answer], T],
    failures: list[NebulaError] | None = None,
) -> Operation[T]:
    """Send a request until it is answered well, as often as is safe and may help; ``failures`` gets each one."""
    attempt = 0
    while True:
        error: NebulaError
        try:
            answer: Answer = yield request.sent(core, credential)
            return reading(request, well(core, request, answer))
        except NebulaError as caught:
            error = caught
        if failures is not None:
            failures.append(error)
        pause = pause_after(error, attempt, core.clock, safe=request.safe)
        if pause is None or attempt >= core.config.max_retries:
            raise error
        yield Sleep(pause)
        attempt += 1


def well(core: Core, request: Request, answer: Answer) -> Answer:
    """Return an answer that is none of refusal; raise an :class:`ApiError` otherwise."""
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return answer
    raise problem_of(core, request, answer)


def problem_of(core: Core, request: Request, answer: Answer) -> NebulaError:
    """Return the error that an answer tells of."""
    if answer.status < HTTPStatus.BAD_REQUEST:
        return BadResponseError(f"{request.what}: answered with status {answer.status}. Is base_url the right one?")
    try:
        said: dict[str, Any] = json_object(answer.body)
    except BadResponseError as error:
        return BadResponseError(f"{request.what}: answered with status {answer.status}. {error}")
    if not isinstance(said.get("code"), str):
        said = {**_OTHER, "code": "http-error", "status": answer.status}
    wait = retry_after(answer.headers.get("retry-after"), core.clock)
    return api_error(answer.status, said, request_id=answer.headers.get("x-request-id"), retry_after=wait)
