"""The one place where it is decided who may do what. What is not allowed here is denied."""

from __future__ import annotations

from stellarstream_core.api.auth.errors import ForbiddenError, NotAuthenticatedError
from stellarstream_core.api.auth.identity import Access, Identity


def authorize(identity: Identity | None, access: Access, scope: str) -> None:
    """Return where ``identity`` may use a route of this access and scope.

    Public routes are open to everybody, whatever their key may do. Elsewhere a session may do
    everything that its account may, and a key what its scopes name. A route without a scope is closed
    to all: its declaration is not finished. Raises ``NotAuthenticatedError`` where nobody asks who is
    known, ``ForbiddenError`` otherwise.
    """
    if access is Access.PUBLIC:
        return
    if identity is None:
        raise NotAuthenticatedError("This needs an account, and the request brings neither a token nor a key.")
    if access is not Access.ACCOUNT or not scope:
        raise ForbiddenError("This is closed to everybody.", help="")
    if identity.kind == "session":
        return
    if identity.kind == "key" and scope in identity.scopes:
        return
    raise ForbiddenError(f"The API key does not have the scope {scope!r}.")
