"""Server-sent events (HTML Standard §9.2) out of the bytes of a stream."""

from __future__ import annotations

from typing import NamedTuple

MOST_BYTES = 4 * 1024 * 1024
"""An event that is longer is none."""


class SseEvent(NamedTuple):
    """One event; ``type`` is ``message`` where the stream names none."""

    type: str
    data: str


class OverlongEventError(ValueError):
    """An event never ends."""


class SseReader:
    """Reads a stream piece by piece. ``last_id`` and ``retry`` (seconds) are what the stream said last."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry: float | None = None
        self._pieces: list[bytes] = []
        """What is there of a line that has not ended."""
        self._partial = 0
        self._after_return = False
        self._type = ""
        self._data: list[str] = []
        self._id = last_id
        self._size = 0
        self._first = True

    def feed(self, piece: bytes) -> list[SseEvent]:
        """Take in some bytes and return the events they complete. Raises :class:`OverlongEventError`."""
        if self._after_return and piece.startswith(b"\n"):
            piece = piece[1:]  # the other half of a line's end
        if piece:
            self._after_return = piece.endswith(b"\r")
        *ended, rest = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        events: list[SseEvent] = []
        for end in ended:
            line, self._pieces, self._partial = b"".join((*self._pieces, end)), [], 0
            if (event := self._line(line)) is not None:
                events.append(event)
        if rest:
            self._pieces.append(rest)
            self._partial += len(rest)
            if self._size + self._partial > MOST_BYTES:
                raise OverlongEventError
        return events

    def _line(self, raw: bytes) -> SseEvent | None:
        line = raw.decode("utf-8", "replace")
        if self._first:
            line, self._first = line.removeprefix("\ufeff"), False
        if not line:
            return self._dispatch()
        self._size += len(raw)
        if self._size > MOST_BYTES:
            raise OverlongEventError
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._type = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry = float(value[:9]) / 1000
            case _:
                pass  # a comment, or a field that means nothing
        return None

    def _dispatch(self) -> SseEvent | None:
        self.last_id, self._size = self._id, 0
        type_, data, self._type, self._data = self._type, self._data, "", []
        return SseEvent(type_ or "message", "\n".join(data)) if data else None
