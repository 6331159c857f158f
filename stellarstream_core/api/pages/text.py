"""How numbers, times, addresses and strangers' text are written on a page.

Text that comes from the chain may hold anything. Jinja escapes what HTML would read; here is made
visible what a reader would not see, or would see out of order. ``static/text.js`` does the same.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson

HEAD, TAIL = 5, 4
"""Characters that a shortened id keeps at its ends."""
LONGEST_PREVIEW = 160

# an address (G…, C…, M…, …) or a hash in hex
_ID = re.compile(r"[A-Z2-7]{56,69}|[0-9a-f]{64}", re.ASCII)
# controls, soft hyphen, zero-width characters, line separators, marks and overrides of direction, byte-order mark
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)


def visible(text: object) -> str:
    """Return text with every character that has no look of its own, or turns others around, as ``U+202E``."""
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", str(text))


def short(text: object) -> str:
    """Return an address or hash as ``CAS3J…OWMA``; any other text as it is, made visible."""
    plain = str(text)
    return f"{plain[:HEAD]}…{plain[-TAIL:]}" if _ID.fullmatch(plain) else visible(plain)


def clip(text: str, longest: int = LONGEST_PREVIEW) -> str:
    """Return text of at most so many characters, the last one an ellipsis where some were cut off."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def compact(value: Any) -> str:
    """Return a decoded value on one line, for reading: strings as they are, their ids shortened."""
    if isinstance(value, str):
        return short(value)
    if isinstance(value, list):
        return f"[{', '.join(map(compact, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{visible(name)}: {compact(part)}' for name, part in value.items())}}}"
    return orjson.dumps(value).decode()


def pretty(value: Any) -> str:
    """Return a decoded value as JSON on several lines."""
    return "\n".join(map(visible, orjson.dumps(value, option=orjson.OPT_INDENT_2).decode().split("\n")))


def number(value: int) -> str:
    """Return ``1,234,567``."""
    return f"{value:,}"


def plural(count: int, noun: str) -> str:
    """Return ``1 ledger``, ``1,234 ledgers``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def ledgers(first: int, last: int) -> str:
    """Return a range of ledgers for reading."""
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


def duration(seconds: float) -> str:
    """Return about how long, in the two largest units that matter: ``15 s``, ``2 h 10 min``, ``3 days``."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest and hours < 10 else f"{hours} h"
    return f"{round(hours / 24):,} days"


def clock(seconds: float) -> str:
    """Return the time of day, UTC, to the minute."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M")


def moment(seconds: float) -> str:
    """Return date and time, UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def moment_of(rfc3339: str) -> str:
    """Return an answer's time as :func:`moment` writes it."""
    return rfc3339.replace("T", " ").removesuffix("Z")
