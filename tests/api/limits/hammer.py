"""A worker that counts one client's requests as fast as it can; arguments are a folder, a quota and seconds.

It says ``ready`` and waits for a line; in the end it prints how many requests were allowed, how many of
them it had to decide alone, and the clock's first and last time.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from stellarstream_core.api.limits.quota import Quota
from stellarstream_core.api.limits.rate import RateLimiter


def main(folder: str, quota_text: str, seconds: str) -> None:
    limiter = RateLimiter.open(Path(folder))
    quota = Quota.parse(quota_text)
    print("ready", flush=True)
    sys.stdin.readline()
    began = now = time.monotonic_ns()
    end = began + int(float(seconds) * 1e9)
    allowed = 0
    while now < end:
        for _ in range(100):
            allowed += limiter.take("one client", quota).allowed
        now = time.monotonic_ns()
    print(allowed, limiter.unshared, began, now, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
