"""Who sends a request: out of its headers, a session's token or an API key, or nobody.

A bad credential is refused everywhere, on public routes too: a client that believes to be logged in
should hear that it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from multidict import MultiMapping

from stellarstream_core.api.auth.errors import CredentialMalformedError, TwoCredentialsError
from stellarstream_core.api.auth.identity import Identity
from stellarstream_core.api.auth.keys import ApiKeys
from stellarstream_core.api.auth.tokens import Tokens

AUTHORIZATION = "Authorization"
API_KEY = "X-API-Key"


class Request(Protocol):
    """What is needed of a request."""

    @property
    def headers(self) -> MultiMapping[str]:
        """Its headers, whose names are the same in small and large letters."""
        ...


class Authenticator:
    """Reads credentials, for one event loop."""

    def __init__(self, tokens: Tokens, keys: ApiKeys) -> None:
        self._tokens = tokens
        self._keys = keys

    async def identify(
        self, request: Request, *, before_look_up: Callable[[], object] | None = None
    ) -> Identity | None:
        """Return who sends a request, None where it brings no credential.

        ``before_look_up`` is called before the database is asked for a key, and may raise. Raises
        ``CREDENTIAL_PROBLEMS``, and ``StorageError`` where a key cannot be looked up.
        """
        headers = request.headers
        if AUTHORIZATION not in headers and API_KEY not in headers:
            return None
        authorizations, keys = headers.getall(AUTHORIZATION, []), headers.getall(API_KEY, [])
        if len(authorizations) + len(keys) > 1:
            raise TwoCredentialsError("The request brings more than one credential.")
        if keys:
            return await self._keys.lookup(keys[0], before_look_up=before_look_up)
        scheme, _, token = authorizations[0].partition(" ")
        if scheme.lower() != "bearer":
            raise CredentialMalformedError("The header Authorization is not of the scheme Bearer.")
        session = self._tokens.read(token.strip())
        return Identity(session.account, "session", client_domain=session.client_domain)
