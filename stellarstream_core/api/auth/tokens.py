"""Session tokens: JWTs (RFC 7519) that a login gives and every request brings back.

Signed with HS256 under a key derived from ``secret_key`` for this purpose alone. Nothing is kept of
them, so any worker with the same secret takes them, and none can be taken back before it expires.
"""

from __future__ import annotations

import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any

from pydantic import SecretStr

from stellarstream_core.api.auth.errors import (
    TokenExpiredError,
    TokenForgedError,
    TokenMalformedError,
    TokenNotYetValidError,
    TokenOtherAudienceError,
)
from stellarstream_core.api.auth.site import Site
from stellarstream_core.errors import InvalidStrkeyError, SettingsError
from stellarstream_core.xdr.strkey import account_id_bytes

ALGORITHM = "HS256"
LONGEST_TOKEN = 2_048
"""Characters of a token; ours have some 500, and longer ones are not looked at."""
SHORTEST_SECRET = 32
"""Characters of ``secret_key``: who holds one token may try secrets against it for as long as they like."""
LEEWAY_SECONDS = 10
"""How far the clocks of the service's machines may differ."""
DEFAULT_LIFETIME = 24 * 3600

_PURPOSE = b"stellarstream/session-tokens/1"
_REQUIRED = ["iss", "aud", "sub", "iat", "exp", "jti"]
_REMEMBERED = 4_096


@dataclass(frozen=True, slots=True)
class Session:
    """What a token says: whose it is and from when to when it counts (Unix seconds)."""

    account: str
    issued_at: int
    expires_at: int
    token_id: str
    client_domain: str | None = None


class Tokens:
    """Makes tokens and reads them. Safe to use from one event loop; it does no I/O."""

    def __init__(
        self,
        secret_key: SecretStr,
        site: Site,
        *,
        lifetime: int = DEFAULT_LIFETIME,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``lifetime`` is in seconds. Raises ``SettingsError`` where the secret is too short."""
        import jwt  # noqa: F401, PLC0415 - imported now: 140 ms that the first request should not wait for

        secret = secret_key.get_secret_value().encode()
        if len(secret) < SHORTEST_SECRET:
            raise SettingsError(
                f"secret_key: it is too short; it needs {SHORTEST_SECRET} characters.",
                help="Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )
        self._key = hmac.digest(secret, _PURPOSE, "sha256")
        self._issuer = site.auth_endpoint
        self._audience = site.origin
        self._lifetime = lifetime
        self._now = now
        # By digest, so that no token lies about in memory; only tokens that were found good are kept.
        self._known: OrderedDict[bytes, Session] = OrderedDict()

    def issue(self, account: str, *, client_domain: str | None = None) -> str:
        """Return a token for an account (G…) that has just proven itself."""
        import jwt  # noqa: PLC0415 - 140 ms that no other command needs

        account_id_bytes(account)
        issued_at = int(self._now())
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": account,
            "iat": issued_at,
            "exp": issued_at + self._lifetime,
            "jti": token_urlsafe(16),
        }
        if client_domain is not None:
            claims["client_domain"] = client_domain
        return jwt.encode(claims, self._key, ALGORITHM)

    def read(self, token: str) -> Session:
        """Return what a token says.

        Raises ``TokenMalformedError``, ``TokenForgedError``, ``TokenExpiredError``,
        ``TokenNotYetValidError`` or ``TokenOtherAudienceError``: the first that applies, the
        signature before anything that the token says of itself.
        """
        if len(token) > LONGEST_TOKEN or not _is_spelt_as_ours(token):
            raise TokenMalformedError("The token is none of this service's.")
        digest = sha256(token.encode()).digest()
        session = self._known.get(digest)
        if session is None:
            session = self._verified(token)
            self._known[digest] = session
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            return session
        if session.expires_at + LEEWAY_SECONDS <= self._now():
            del self._known[digest]
            raise TokenExpiredError("The session has expired.")
        self._known.move_to_end(digest)
        return session

    def _verified(self, token: str) -> Session:
        import jwt  # noqa: PLC0415 - 140 ms that no other command needs

        try:
            # PyJWT checks the signature before any claim; times are checked below, by the injected clock.
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                options={
                    "require": _REQUIRED,
                    "strict_aud": True,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            raise TokenForgedError("The token is not signed by this service.") from None
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
            raise TokenOtherAudienceError("The token was made for another service.") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise TokenMalformedError("The token is none of this service's.") from None
        session = _session(claims)
        if session.expires_at + LEEWAY_SECONDS <= self._now():
            raise TokenExpiredError("The session has expired.")
        if session.issued_at - LEEWAY_SECONDS > self._now():
            raise TokenNotYetValidError("The token was made in the future.")
        return session


def _is_spelt_as_ours(token: str) -> bool:
    """Tell whether every part is base64url in its one spelling: a token must not have two texts."""
    parts = token.encode("ascii", "replace").split(b".")
    if len(parts) != 3:
        return False
    for part in parts:
        try:
            raw = urlsafe_b64decode(part + b"=" * (-len(part) % 4))
        except ValueError:
            return False
        if urlsafe_b64encode(raw).rstrip(b"=") != part:
            return False
    return True


def _session(claims: dict[str, Any]) -> Session:
    """Return what signed claims say. They are ours, but of which release is not known: every type is checked."""
    account, issued_at, expires_at, token_id = (claims[name] for name in ("sub", "iat", "exp", "jti"))
    client_domain = claims.get("client_domain")
    try:
        if type(issued_at) is not int or type(expires_at) is not int:
            raise TypeError
        if not isinstance(token_id, str) or not (client_domain is None or isinstance(client_domain, str)):
            raise TypeError
        account_id_bytes(account)
    except (InvalidStrkeyError, TypeError):
        raise TokenMalformedError("The token is none of this service's.") from None
    return Session(account, issued_at, expires_at, token_id, client_domain)
