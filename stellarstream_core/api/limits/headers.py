"""The header fields that tell a client its quota: ``RateLimit-Policy``, ``RateLimit`` and ``Retry-After``.

They follow draft-ietf-httpapi-ratelimit-headers-11, the newest that is published: structured fields (RFC
9651) whose items are strings, with ``q`` units in ``w`` seconds, and ``r`` units left for ``t`` seconds.
The editors' copy renames ``r`` and ``t`` to ``a`` and ``w`` and allows tokens; the two functions here are
all that would change.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from stellarstream_core.api.limits.quota import Quota
from stellarstream_core.api.limits.slots import Verdict

POLICY = "RateLimit-Policy"
STATE = "RateLimit"
RETRY_AFTER = "Retry-After"


def rate_limit_headers(taken: Iterable[tuple[str, Quota, Verdict]]) -> dict[str, str]:
    """Return the fields for the policies that a request counted against, each with its name.

    A name is printable ASCII, and the same one for the same policy in every answer. ``Retry-After`` is
    there where a verdict refused the request.
    """
    policies, states, retry = [], [], 0
    for name, quota, verdict in taken:
        policies.append(policy_item(name, quota))
        # the draft wants no Retry-After that comes before t is over, and refused clients should know when to
        # come back rather than when everything is there again
        seconds = verdict.reset_seconds if verdict.allowed else verdict.retry_after
        states.append(f'"{name}";r={verdict.remaining};t={_up(seconds)}')
        if not verdict.allowed:
            retry = max(retry, _up(seconds))
    headers = {POLICY: ", ".join(policies), STATE: ", ".join(states)} if policies else {}
    if retry:
        headers[RETRY_AFTER] = str(retry)
    return headers


@lru_cache(maxsize=64)
def policy_item(name: str, quota: Quota) -> str:
    """Return ``"name";q=600;w=60``; a burst that is not the count is told as a parameter of our own."""
    if not name.isascii() or not name.isprintable() or '"' in name or "\\" in name:
        raise ValueError(f"{name!r} cannot name a policy")
    burst = f";stellarstream-burst={quota.burst}" if quota.burst != quota.count else ""
    return f'"{name}";q={quota.count};w={quota.period}{burst}'


def _up(seconds: float) -> int:
    """Return whole seconds, rounded up: a client that waits as long as told is not refused for being early."""
    return -int(-seconds // 1)
