"""Whose quota a request counts against, and what its answer says of it."""

from __future__ import annotations

from dataclasses import dataclass

from stellarstream_core.api.auth.identity import Identity
from stellarstream_core.api.limits.headers import rate_limit_headers
from stellarstream_core.api.limits.quota import Quota
from stellarstream_core.api.limits.rate import Limiter
from stellarstream_core.api.problems import RateLimitedError


@dataclass(frozen=True, slots=True)
class Admitted:
    """Whether a request may go on, and the headers that tell its client what is left."""

    allowed: bool
    headers: dict[str, str]


_UNLIMITED = Admitted(True, {})


class Admission:
    """Counts requests: of whoever is known by their account or key, of everybody else by address.

    A quota of None is no limit.
    """

    def __init__(self, limiter: Limiter, anonymous: Quota | None, known: Quota | None) -> None:
        self._limiter = limiter
        self._anonymous = anonymous
        self._known = known

    def take(self, identity: Identity | None, client: str) -> Admitted:
        """Count a request of ``identity``, or else of the address ``client``."""
        if identity is None:
            name, key, quota = "client", f"client {client}", self._anonymous
        else:
            who = f"key {identity.key_id}" if identity.key_id is not None else f"account {identity.account}"
            name, key, quota = "account", who, self._known
        if quota is None:
            return _UNLIMITED
        verdict = self._limiter.take(key, quota)
        return Admitted(verdict.allowed, rate_limit_headers([(name, quota, verdict)]))

    def guess(self, client: str) -> None:
        """Count a credential that has to be looked up: who tries many is stopped like any other client.

        Raises ``RateLimitedError``.
        """
        if self._anonymous is None:
            return
        verdict = self._limiter.take(f"client {client}", self._anonymous)
        if not verdict.allowed:
            headers = rate_limit_headers([("client", self._anonymous, verdict)])
            raise RateLimitedError("This client has used up its quota.", headers=headers)

    def close(self) -> None:
        """Let go of what is shared between workers."""
        self._limiter.close()
