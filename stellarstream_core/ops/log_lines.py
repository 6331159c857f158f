"""Lines of the log as they are written and read: text for people, or one JSON object a line.

Both begin with the time, in UTC and always 27 characters long, so that lines sort as text. What a record has
besides its first line is indented: a line that begins in the first column begins a record, whatever is in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from loguru import Record

TIME_LENGTH = 27
INDENT = "    "

SUPERVISOR = "circusd"
"""The role of circusd's own log, which circus writes, and others who have no other place for what they say."""

_JSON_BEGIN = b'{"time":"'
_STEERING = r"\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
"""Beside the usual ones those that end a line, or turn the order round in which text is shown (bidi controls)."""
_CONTROL = re.compile(rf"[\x00-\x08\x0b-\x1f{_STEERING}]")
_CONTROL_IN_JSON = re.compile(rf"[\x00-\x1f{_STEERING}]")
_TEXT = re.compile(
    r"(?P<time>\S{27}) (?P<level>\S+) +(?P<role>[a-z0-9-]+)\[(?P<worker>\d+)"
    r"(?: request_id=(?P<request_id>\S+))?(?: ledger=(?P<ledger>\d+))?\] (?P<message>.*)",
    re.ASCII | re.DOTALL,
)


# --- writing ------------------------------------------------------------------------------------


def text_line(record: Record, exception: str = "") -> bytes:
    """Return a record as text; ``exception`` is its traceback, already formatted."""
    extra = record["extra"]
    context = str(extra.get("worker", ""))
    if (request_id := extra.get("request_id")) is not None:
        context += f" request_id={request_id}"
    if (ledger := extra.get("ledger")) is not None:
        context += f" ledger={ledger}"
    message = record["message"]
    if exception:
        message = f"{message}\n{exception.rstrip()}"
    return text_of(_utc(record["time"]), record["level"].name, str(extra.get("role", "")), context, message)


def text_of(time: str, level: str, role: str, context: str, message: str) -> bytes:
    """Return a line of text out of its parts."""
    if not message.isprintable():
        message = tame(message).replace("\n", f"\n{INDENT}")
    begin = f"{time} {level:<7} {role}[{context}]"
    if not begin.isprintable():
        begin = " ".join(tame(begin).split())
    return f"{begin} {message}\n".encode("utf-8", "backslashreplace")


def json_line(record: Record, exception: str = "") -> bytes:
    """Return a record as one JSON object with a newline: what was bound to it stands beside time and message."""
    extra = record["extra"]
    fields: dict[str, Any] = {
        "time": _utc(record["time"]),
        "level": record["level"].name,
        "role": extra.get("role"),
        "worker": extra.get("worker"),
        "message": record["message"],
        "source": f"{record['name']}:{record['line']}",
    }
    if exception:
        fields["exception"] = exception
    fields.update((key, value) for key, value in extra.items() if key not in fields)
    try:
        return orjson.dumps(fields, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
    except TypeError:  # half a surrogate pair, or an integer of more than 64 bits
        return json.dumps(fields, default=str, separators=(",", ":")).encode() + b"\n"


def tame(text: str) -> str:
    """Return text in which characters that steer a terminal, or end a line, are written as their numbers."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def utc(seconds: float) -> str:
    """Return a time (Unix seconds) as lines have it: RFC 3339 with microseconds."""
    return f"{_second(int(seconds))}.{int(seconds % 1 * 1_000_000):06d}Z"


def _utc(time: datetime) -> str:
    return f"{_second(int(time.timestamp()))}.{time.microsecond:06d}Z"


@lru_cache(maxsize=8)
def _second(second: int) -> str:
    # formatting it anew for each line takes longer than the rest of the line
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))


# --- reading ------------------------------------------------------------------------------------

_CIRCUS = re.compile(rb"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) circus\[")


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as it stands in a file: the text of its lines, and the time they begin with (empty: unknown)."""

    time: bytes
    role: str
    raw: bytes

    @property
    def is_json(self) -> bool:
        """Whether it was written as JSON."""
        return self.raw.startswith(_JSON_BEGIN)

    def text(self) -> str:
        """Return it for people, without the last newline; nothing in it steers the terminal."""
        if self.is_json:
            try:
                return _text_of_json(orjson.loads(self.raw))
            except ValueError:
                pass  # somebody else's line, or a damaged one: it is shown as it is
        return tame(self.raw.decode("utf-8", "replace").rstrip("\n"))

    def json(self) -> bytes:
        """Return it as one JSON object without a newline; nothing in it steers the terminal."""
        if self.is_json:
            return _tame_json(self.raw.decode("utf-8", "replace").rstrip("\n"))
        text = self.raw.decode("utf-8", "replace").rstrip("\n")
        found = _TEXT.fullmatch(text)
        fields: dict[str, Any]
        if found is None:
            fields = {"time": self.time.decode() or None, "role": self.role, "message": text}
            return _tame_json(orjson.dumps(fields).decode())
        fields = {name: value for name, value in found.groupdict().items() if value is not None}
        fields["message"] = fields["message"].replace(f"\n{INDENT}", "\n")
        fields.update((name, int(fields[name])) for name in ("worker", "ledger") if name in fields)
        return _tame_json(orjson.dumps(fields).decode())


def _tame_json(text: str) -> bytes:
    """Return JSON in which such characters are escaped: they can only stand in its strings."""
    return _CONTROL_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def _text_of_json(fields: dict[str, Any]) -> str:
    context = str(fields.get("worker") or "")
    for name in ("request_id", "ledger"):
        if fields.get(name) is not None:
            context += f" {name}={fields[name]}"
    message = str(fields.get("message", ""))
    if exception := fields.get("exception"):
        message = f"{message}\n{str(exception).rstrip()}"
    time, level, role = (str(fields.get(name) or "") for name in ("time", "level", "role"))
    return text_of(time, level, role, context, message).decode().rstrip("\n")


def time_of(line: bytes) -> bytes | None:
    """Return the time with which a line begins; None where it begins no record."""
    begin = len(_JSON_BEGIN) if line.startswith(_JSON_BEGIN) else 0
    time = line[begin : begin + TIME_LENGTH]
    if len(time) == TIME_LENGTH and time[10] == ord("T") and time[26] == ord("Z") and time[:4].isdigit():
        return time
    return None


def entries(lines: Iterable[bytes], role: str, time: bytes = b"") -> Iterator[Entry]:
    """Put the lines of each record together; ``time`` counts for lines in front of the first one that has its own."""
    if role == SUPERVISOR:
        yield from _lines_of_supervisor(lines, time)
        return
    held: list[bytes] = []
    for line in lines:
        found = time_of(line)
        if found is not None:
            if held:
                yield Entry(time, role, b"".join(held))
            time, held = found, [line]
        else:
            held.append(line)
    if held:
        yield Entry(time, role, b"".join(held))


def _lines_of_supervisor(lines: Iterable[bytes], time: bytes) -> Iterator[Entry]:
    """Yield each line of circusd's log as a record: one without a date is as old as the one before it."""
    for line in lines:
        if found := _CIRCUS.match(line):
            time = _utc_of_local(found[1]) or time
        yield Entry(time, SUPERVISOR, line)


@lru_cache(maxsize=8)
def _utc_of_local(time: bytes) -> bytes:
    """Return a time of this machine's clock on the wall as other lines have it; nothing where it is none."""
    try:
        return utc(datetime.fromisoformat(time.decode()).timestamp()).encode()
    except (ValueError, OverflowError):
        return b""
