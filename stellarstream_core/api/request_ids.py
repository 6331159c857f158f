"""Request ids: taken from the client or made here, sent back, and in every line of the log."""

from __future__ import annotations

import re
from contextvars import ContextVar
from itertools import count
from secrets import token_hex

HEADER = "X-Request-ID"

current: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request being answered; None outside of one."""

_numbers = count(1)
_worker = token_hex(6)
"""What this worker's ids begin with: asking the system for randomness takes longer than some answers."""
_FORM = re.compile(r"[A-Za-z0-9._\-]{1,64}", re.ASCII)


def request_id_of(sent: str | None) -> str:
    """Return the client's id where it is fit for headers and logs (64 letters, digits, ``. _ -``), else a new one."""
    return sent if sent is not None and _FORM.fullmatch(sent) else f"{_worker}{next(_numbers):06x}"
