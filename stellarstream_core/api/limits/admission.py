"""Whose quota a request counts against, and what its answer says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stellarstream_core.api.auth.identity import Identity
from stellarstream_core.api.limits.headers import rate_limit_headers
from stellarstream_core.api.limits.quota import Quota
from stellarstream_core.api.limits.rate import Limiter, Verdict
from stellarstream_core.api.problems import RateLimitedError


@dataclass(frozen=True, slots=True)
class Admitted:
    """Whether a request may go on, and the headers that tell its client what is left."""

    allowed: bool
    headers: dict[str, str]


_UNLIMITED = Admitted(True, {})
_GUESSES = "guesses"


class Admission:
    """Counts requests, each against what its sender cannot have as many of as it likes. A quota of None is no limit.

    Keys are given out by the operator: a key counts for itself. Accounts and logins are to be had for
    nothing: a session counts for its account and, with all other sessions from there, for its address.
    Who brings no credential counts for the address. Credentials that are refused have a quota of their own,
    so that neither guessing uses up what an address may ask, nor asking keeps a good key out.
    """

    def __init__(self, limiter: Limiter, anonymous: Quota | None, known: Quota | None) -> None:
        self._limiter = limiter
        self._anonymous = anonymous
        self._known = known

    def take(self, identity: Identity | None, client: str) -> Admitted:
        """Count a request of ``identity``, if it is known, from the address ``client``; none that is refused."""
        if identity is None:
            return self._take([("client", f"client {client}")], self._anonymous)
        if identity.key_id is not None:
            return self._take([("account", f"key {identity.key_id}")], self._known)
        account = ("account", f"account {identity.account}")
        return self._take([account, ("sessions", f"client {client} sessions")], self._known)

    def check_guess(self, client: str) -> None:
        """Ask, before a credential is looked up, whether too many of the address ``client`` were refused.

        Raises ``RateLimitedError``.
        """
        if self._anonymous is not None:
            verdict = self._limiter.take(_guesses_of(client), self._anonymous, 0)
            if not verdict.remaining:
                self._refuse_guess(client, self._anonymous)

    def refused(self, client: str) -> None:
        """Count a credential that was refused; raises ``RateLimitedError`` where there were too many."""
        if self._anonymous is not None:
            self._refuse_guess(client, self._anonymous)

    def close(self) -> None:
        """Let go of what is shared between workers."""
        self._limiter.close()

    def _refuse_guess(self, client: str, quota: Quota) -> None:
        verdict = self._limiter.take(_guesses_of(client), quota)
        if not verdict.allowed:
            headers = rate_limit_headers([(_GUESSES, quota, verdict)])
            raise RateLimitedError("Too many credentials of this client were refused.", headers=headers)

    def _take(self, meters: Sequence[tuple[str, str]], quota: Quota | None) -> Admitted:
        """Count a request against all meters, or against none where one of them is used up."""
        if quota is None:
            return _UNLIMITED
        used_up: list[bool] = [False] * len(meters)
        if len(meters) > 1:
            used_up = [not self._limiter.take(key, quota, 0).remaining for _, key in meters]
        verdicts: list[Verdict] = [
            # what is used up is asked for the whole request, so that its verdict says when to come back
            self._limiter.take(key, quota, 1 if empty or not any(used_up) else 0)
            for (_, key), empty in zip(meters, used_up, strict=True)
        ]
        told = [(name, quota, verdict) for (name, _), verdict in zip(meters, verdicts, strict=True)]
        return Admitted(all(verdict.allowed for verdict in verdicts), rate_limit_headers(told))


def _guesses_of(client: str) -> str:
    return f"guess {client}"
