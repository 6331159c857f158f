"""Problems (RFC 9457): every error of the API is a class with a stable code, a title, a status and help.

Whatever a handler raises is turned into a problem here and nowhere else. Errors of the framework
that are not the API's own keep their code; what no code expected becomes ``internal`` and says
nothing of itself to the client.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from stellarstream_core.errors import (
    InvalidEventError,
    InvalidRangeError,
    InvalidStrkeyError,
    StellarStreamError,
    StorageBusyError,
    StorageError,
)

MEDIA_TYPE = "application/problem+json"


class ApiProblem(StellarStreamError):  # noqa: N818 - a problem is what RFC 9457 calls it
    """Base of what the API raises on purpose: an error with the HTTP ``status`` it is answered with."""

    status: ClassVar[int] = 500
    retry_after: int | None = None
    """Seconds after which the same request may succeed, where that is known."""

    def __init__(
        self,
        message: str,
        *,
        help: str | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the sentence that says what happened.

        ``members`` are extension members (RFC 9457, 3.2), JSON values by camelCase names beside those that
        every problem has, which they cannot replace.
        """
        super().__init__(message, help=help)
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.members = dict(members or {})


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field: where it is (``query.limit``, ``body.amount``), and a sentence."""

    field: str
    detail: str

    def to_json(self) -> dict[str, str]:
        """Return the member of a problem's ``errors``."""
        return {"field": self.field, "detail": self.detail}


class InvalidParameterError(ApiProblem):
    """A path, query or header parameter is unknown, missing, repeated or of the wrong form."""

    code = "invalid-parameter"
    title = "Invalid parameter"
    status = 400
    help = "Each field is named in 'errors'; the API documentation says what it may be."


class InvalidCursorError(ApiProblem):
    """A cursor was not given by this service for this very list, or was changed."""

    code = "invalid-cursor"
    title = "Invalid cursor"
    status = 400
    help = "Use 'nextCursor' as it was given, with the same filters; begin again without it where that fails."


class MalformedBodyError(ApiProblem):
    """The body is not JSON in UTF-8, or is nested too deeply."""

    code = "malformed-body"
    title = "Malformed body"
    status = 400
    help = "Send one JSON object in UTF-8."


class InvalidBodyError(ApiProblem):
    """The body is JSON, but not what the route takes."""

    code = "invalid-body"
    title = "Invalid body"
    status = 422
    help = "Each field is named in 'errors'; the API documentation says what it may be."


class NotFoundError(ApiProblem):
    """There is no such resource."""

    code = "not-found"
    title = "Not found"
    status = 404


class UnknownRouteError(ApiProblem):
    """No route has this path."""

    code = "unknown-route"
    title = "No such route"
    status = 404
    help = "The routes are listed at /docs and in /openapi.json."


class MethodNotAllowedError(ApiProblem):
    """The path is there, but not with this method."""

    code = "method-not-allowed"
    title = "Method not allowed"
    status = 405
    help = "The header Allow names the methods."


class NotAcceptableError(ApiProblem):
    """The client accepts none of the types that the route answers with."""

    code = "not-acceptable"
    title = "Not acceptable"
    status = 406
    help = "Leave 'Accept' out, or let it hold the route's type."


class RequestTimeoutError(ApiProblem):
    """The request's body did not arrive in time."""

    code = "request-timeout"
    title = "Request too slow"
    status = 408
    help = "Send the body without pauses."


class BodyTooLargeError(ApiProblem):
    """The body is larger than the route takes."""

    code = "body-too-large"
    title = "Body too large"
    status = 413


class UnsupportedMediaTypeError(ApiProblem):
    """The body is of a type that the route does not take."""

    code = "unsupported-media-type"
    title = "Unsupported media type"
    status = 415
    help = "Send 'Content-Type: application/json'."


class ExpectationFailedError(ApiProblem):
    """The header Expect asks for something other than ``100-continue``."""

    code = "expectation-failed"
    title = "Expectation failed"
    status = 417
    help = "Leave 'Expect' out, or let it be '100-continue'."


class HeaderTooLargeError(ApiProblem):
    """The request line or a header is longer than the service takes."""

    code = "header-too-large"
    title = "Header too large"
    status = 431
    help = "Shorten the address and the headers; each may have about 8,000 characters."


class MalformedRequestError(ApiProblem):
    """The bytes are no HTTP request."""

    code = "malformed-request"
    title = "Malformed request"
    status = 400
    help = "Use an HTTP client."


class RateLimitedError(ApiProblem):
    """The client has asked too often."""

    code = "rate-limited"
    title = "Too many requests"
    status = 429
    help = "Wait for as many seconds as Retry-After says. An API key or a login has a larger quota."


class TooManyReadersError(ApiProblem):
    """The worker has as many live streams as it takes."""

    code = "too-many-readers"
    title = "Too many live streams"
    status = 503
    help = "Close streams that are not needed, or try again in a moment."


class DatabaseBusyError(ApiProblem):
    """All database connections of this worker are in use, and none became free in time."""

    code = "database-busy"
    title = "Database busy"
    status = 503
    retry_after = 1
    help = "Try again after as many seconds as Retry-After says."


class DatabaseUnavailableError(ApiProblem):
    """The database cannot be read or written now."""

    code = "database-unavailable"
    title = "Database unavailable"
    status = 503
    retry_after = 5
    help = "Try again after as many seconds as Retry-After says; the operator finds the reason in the log."


class TimedOutError(ApiProblem):
    """The answer took longer than the route may take."""

    code = "timed-out"
    title = "Timed out"
    status = 503
    retry_after = 1
    help = "Ask for less at once: a smaller range, or a smaller limit."


class ShuttingDownError(ApiProblem):
    """The worker is about to end."""

    code = "shutting-down"
    title = "Shutting down"
    status = 503
    retry_after = 1
    help = "Connect again: another worker answers."


class InternalError(ApiProblem):
    """A fault of the service: nothing that the client could mend."""

    code = "internal"
    title = "Internal error"
    status = 500
    help = "Tell the operator the request id: the log has the reason under it."


RETRY_AFTER = "Retry-After"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem ready to be sent."""

    status: int
    code: str
    title: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self, public_url: str, instance: str | None = None) -> dict[str, Any]:
        """Return the members of RFC 9457; ``type`` is a page of this service, ``instance`` the request's id."""
        body: dict[str, Any] = {
            **self.members,
            "type": f"{public_url}{page_of(self.code)}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if instance is not None:
            body["instance"] = f"urn:request:{instance}"
        if self.errors:
            body["errors"] = [error.to_json() for error in self.errors]
        return body


def page_of(code: str) -> str:
    """Return the path of a problem's documentation."""
    return f"/docs/problems/{code}"


def problem_of(error: BaseException) -> Problem:
    """Return what a client is told of an error. What is no ``StellarStreamError`` is ``internal``."""
    api = _as_api_problem(error)
    detail = api.message if not api.help else f"{api.message} {api.help}"
    headers = dict(api.headers)
    if api.retry_after is not None:
        headers.setdefault(RETRY_AFTER, str(api.retry_after))
    if api.status == 401:  # RFC 9110, 11.6.1
        headers.setdefault("WWW-Authenticate", "Bearer")
    return Problem(api.status, api.code, api.title, detail, api.errors, headers, api.members)


def _as_api_problem(error: BaseException) -> ApiProblem:
    if isinstance(error, ApiProblem):
        return error
    if isinstance(error, (InvalidStrkeyError, InvalidRangeError, InvalidEventError)):
        return InvalidParameterError(error.message, help=error.help or None)
    if isinstance(error, StorageBusyError):
        return DatabaseBusyError("The database is busy.")
    if isinstance(error, StorageError):  # its message names the database: for the log, not for clients
        return DatabaseUnavailableError("The database cannot be used now.")
    return InternalError("The service failed to answer.")


def catalogue() -> dict[str, type[ApiProblem]]:
    """Return every problem class that is loaded by its code; bases that only group others are among them."""
    found: dict[str, type[ApiProblem]] = {}
    for kind in _descendants(ApiProblem):
        if "code" in vars(kind):
            found.setdefault(kind.code, kind)
    return dict(sorted(found.items()))


def _descendants(kind: type[ApiProblem]) -> Iterator[type[ApiProblem]]:
    for below in kind.__subclasses__():
        yield below
        yield from _descendants(below)
