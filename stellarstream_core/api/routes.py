"""Typed routes: a declaration from which parsing, validation, authorization and documentation follow.

A plugin returns its routes from ``register_routes``; the framework's own are declared the same way.
A handler is ``async def handler(call) -> answer``: ``call`` holds what was parsed, and what it
returns is the answer's model, bytes that are one already, or an :class:`Answer` with more to say.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel

from stellarstream_core.api.auth.identity import Access, Identity
from stellarstream_core.api.limits import idempotency
from stellarstream_core.api.models import Nothing
from stellarstream_core.api.problems import ApiProblem

if TYPE_CHECKING:
    from peewee import Database

    from stellarstream_core.api.service import ApiService

PathT = TypeVar("PathT", bound=BaseModel)
QueryT = TypeVar("QueryT", bound=BaseModel)
BodyT = TypeVar("BodyT", bound=BaseModel)

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
METHODS: tuple[Method, ...] = ("GET", "POST", "PUT", "PATCH", "DELETE")
BASE = "/api/v1"
JSON = "application/json"
NO_CACHE = "no-cache"
NO_STORE = "no-store"
PRIVATE = "private, no-cache"
"""For what only its account may see."""
FOR_EVER = "public, max-age=31536000, immutable"

BODY_LIMIT = 64 * 1024
"""Bytes of a body, unless the route says otherwise."""
TIME_LIMIT_SECONDS = 30.0
"""How long a handler may take, unless the route says otherwise."""

LONGEST_CREATION_SECONDS = 60
"""A claim on an ``Idempotency-Key`` is respected for so long without an answer."""

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with more than a body to say.

    ``body`` is a model, or bytes that are the encoded answer already, or None for no content.
    ``etag`` is an entity tag without quotes, beginning with ``W/`` where equal ones do not mean equal
    bytes; without one a GET gets the body's digest.
    ``cache`` is the value of ``Cache-Control``. ``next_cursor`` becomes ``Link: rel="next"``.
    """

    body: BaseModel | bytes | None
    status: int | None = None
    etag: str | None = None
    cache: str | None = None
    next_cursor: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Unchanged(Exception):  # noqa: N818 - no error: what the client has is still right
    """Raised by :meth:`Call.unless_unchanged`: the answer is 304."""

    def __init__(self, etag: str, cache: str | None) -> None:
        super().__init__(etag)
        self.etag = etag
        self.cache = cache


@dataclass(slots=True)
class Call(Generic[PathT, QueryT, BodyT]):
    """One request, parsed. ``api`` is the service: settings, database, feed, cursors.

    ``body`` is an empty model where the route takes none. ``identity`` is who asks, None for nobody.
    ``claim`` is there where the request came with an ``Idempotency-Key``; a handler that writes calls
    :meth:`finish_within`.
    """

    api: ApiService
    route: Route
    request: web.Request
    request_id: str
    path: PathT
    query: QueryT
    body: BodyT
    identity: Identity | None
    claim: idempotency.Begun | None = None
    claim_finished: bool = False

    def unless_unchanged(self, etag: str, cache: str | None = NO_CACHE, *, wildcard: bool = True) -> None:
        """End the request with 304 where the client holds the answer with this entity tag already.

        Without ``wildcard`` a ``*`` is not enough: it is not known yet whether there is an answer.
        """
        held = self.request.headers.get("If-None-Match")
        if held is not None and (wildcard or held.strip() != "*") and matches(held, etag):
            raise Unchanged(etag, cache)

    def finish_within(self, database: Database, answer: Answer) -> None:
        """Store the answer for whoever repeats the request, in the transaction that writes its effect.

        For handlers of routes with ``creates``, inside ``Storage.write``; without an ``Idempotency-Key`` it
        does nothing. So the effect happens once, whatever fails. Raises ``ClaimLostError`` where another
        request has the key by now: let it pass, it undoes the transaction.
        """
        if self.claim is None:
            return
        body = encode(answer.body) or b""
        headers = {"Content-Type": self.route.media_type, **answer.headers} if body else answer.headers
        status = answer.status or (self.route.status if body or self.route.status != 200 else 204)
        idempotency.finish_within(database, self.claim, status, headers, body, int(time.time()))
        self.claim_finished = True

    @property
    def account(self) -> str:
        """The account of who asks. The route must be one that needs an account."""
        if self.identity is None:
            raise TypeError(f"{self.route.method} {self.route.path} is open to everybody")
        return self.identity.account


Handler = Callable[[Any], Awaitable["Answer | BaseModel | bytes | web.StreamResponse | None"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route of the API.

    ``path`` stands below ``/api/v1`` unless ``base`` is empty; its placeholders (``{id}``) are the
    fields of ``path_model``. ``query`` and ``body`` are the models of what is taken, ``answer`` that of
    what is given (None: no content, or another type than JSON: then ``media_type`` says which).

    ``access`` left out means: reading is public, anything else needs an account. ``scope`` is what an
    API key must hold for it where an account is needed. ``problems`` are the errors that the handler
    raises beyond those every route has; they are documented. ``creates``: ``Idempotency-Key`` is
    honoured. ``limited``: counts against the client's rate. ``any_origin``: browsers of every origin may
    read it, without credentials. ``also`` are answers with other statuses, by status. ``hidden`` routes
    are not described. ``at_start`` are parts (:meth:`ApiService.part`) that each worker makes before its first
    request, for what goes on whether anybody asks or not.
    """

    method: Method
    path: str
    handler: Handler
    summary: str
    description: str = ""
    tag: str = "service"
    path_model: type[BaseModel] = Nothing
    query: type[BaseModel] = Nothing
    body: type[BaseModel] | None = None
    body_optional: bool = False
    form: bool = False
    answer: Any = None
    media_type: str = JSON
    status: int = 200
    access: Access | None = None
    scope: str = ""
    problems: tuple[type[ApiProblem], ...] = ()
    creates: bool = False
    base: str = BASE
    body_limit: int = BODY_LIMIT
    time_limit: float | None = TIME_LIMIT_SECONDS
    limited: bool = True
    any_origin: bool = False
    hidden: bool = False
    also: Mapping[int, type[BaseModel]] = field(default_factory=dict)
    at_start: tuple[Callable[[ApiService], Any], ...] = ()

    @property
    def full_path(self) -> str:
        """The path as it stands in an address."""
        return f"{self.base}{self.path}"

    @property
    def required_access(self) -> Access:
        """Who may call it: writes are closed unless the route opens them."""
        if self.access is not None:
            return self.access
        return Access.PUBLIC if self.method == "GET" else Access.ACCOUNT

    @property
    def required_scope(self) -> str:
        """What an API key needs for it."""
        return self.scope or ("read" if self.method == "GET" else "write")

    @property
    def name(self) -> str:
        """What no other route may have: its method and where it stands."""
        return f"{self.method} {_PLACEHOLDER.sub('{}', self.full_path)}"

    def fault(self) -> str | None:
        """Return what is wrong with the declaration, as a sentence's end, or None."""
        if self.method not in METHODS:
            return f"a route with the method {self.method!r}"
        if not self.path.startswith("/") or not isinstance(self.base, str):
            return f"a route whose path does not begin with '/': {self.path!r}"
        if not callable(self.handler):
            return f"a route whose handler cannot be called: {self.name}"
        for what, model in (("path_model", self.path_model), ("query", self.query), ("body", self.body)):
            if model is not None and not (isinstance(model, type) and issubclass(model, BaseModel)):
                return f"a route whose {what} is no pydantic model: {self.name}"
        if set(_PLACEHOLDER.findall(self.path)) != {
            info.alias or name for name, info in self.path_model.model_fields.items()
        }:
            return f"a route whose path_model does not fit its placeholders: {self.name}"
        if self.body is not None and self.method == "GET":
            return f"a route that reads with a body: {self.name}"
        if not all(isinstance(kind, type) and issubclass(kind, ApiProblem) for kind in self.problems):
            return f"a route with a problem that is no ApiProblem: {self.name}"
        if self.creates and (self.time_limit is None or self.time_limit >= LONGEST_CREATION_SECONDS):
            return f"a route that takes Idempotency-Key and may take {LONGEST_CREATION_SECONDS} seconds: {self.name}"
        return None


def encode(body: BaseModel | bytes | None) -> bytes | None:
    """Return an answer's body as it is sent."""
    if body is None or isinstance(body, bytes):
        return body
    return orjson.dumps(body.model_dump(mode="json", by_alias=True))


def matches(held: str, etag: str) -> bool:
    """Tell whether an ``If-None-Match`` holds an entity tag (RFC 9110: compared weakly; ``*`` is any)."""
    if held.strip() == "*":
        return True
    opaque = quoted(etag).removeprefix("W/")
    return any(part.strip().removeprefix("W/") == opaque for part in held.split(","))


def quoted(etag: str) -> str:
    """Return an entity tag as the header has it."""
    return f'W/"{etag[2:]}"' if etag.startswith("W/") else f'"{etag}"'


__all__ = ["BASE", "Access", "Answer", "ApiProblem", "Call", "Handler", "Identity", "Method", "Route", "Unchanged"]
