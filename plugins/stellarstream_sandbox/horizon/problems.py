"""Horizon's errors: which there are, and how they look as ``application/problem+json`` (RFC 7807)."""

from __future__ import annotations

from typing import Any

_HOST = "https://stellar.org/horizon-errors/"


class Problem(Exception):  # noqa: N818 - an answer of the server, not an error of this program
    """An error answer: Horizon's ``type`` (without its host), title and HTTP status."""

    def __init__(
        self, kind: str, title: str, status: int, detail: str = "", extras: dict[str, object] | None = None
    ) -> None:
        super().__init__(title)
        self.kind = kind
        self.title = title
        self.status = status
        self.detail = detail
        self.extras = extras

    def to_json(self) -> dict[str, Any]:
        """Return the body; detail and extras are left out where there are none."""
        body: dict[str, Any] = {"type": _HOST + self.kind, "title": self.title, "status": self.status}
        if self.detail:
            body["detail"] = self.detail
        if self.extras:
            body["extras"] = self.extras
        return body


def not_found() -> Problem:
    """Return the problem of an address or a resource that is not there."""
    detail = "There is nothing at this address, or nothing that has this id or sequence."
    return Problem("not_found", "Resource Missing", 404, detail)


def bad_field(field: str, reason: str) -> Problem:
    """Return the problem of a parameter that makes no sense."""
    return Problem(
        "bad_request",
        "Bad Request",
        400,
        "A parameter of the request is not valid.",
        {"invalid_field": field, "reason": reason},
    )


def before_history() -> Problem:
    """Return the problem of asking for ledgers that are no longer kept."""
    detail = "This server keeps the network's latest ledgers only, and the request asks for something before them."
    return Problem("before_history", "Data Requested Is Before Recorded History", 410, detail)


def rate_limited() -> Problem:
    """Return the problem of too many requests from one address."""
    detail = "This address has made too many requests; the X-RateLimit-* headers tell its limit and what is left."
    return Problem("rate_limit_exceeded", "Rate Limit Exceeded", 429, detail)


def not_acceptable() -> Problem:
    """Return the problem of a resource that does not come in any of the accepted media types."""
    return Problem("not_acceptable", "An acceptable response content-type could not be provided for this request", 406)


def server_error() -> Problem:
    """Return the problem of a fault in the server."""
    return Problem("server_error", "Internal Server Error", 500, "The request failed inside the server.")
