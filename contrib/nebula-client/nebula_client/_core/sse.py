"""Server-Sent Events out of bytes that may be cut anywhere (HTML standard, "Server-sent events", 9.2.6).

Nothing is told of a frame before it is whole: a connection that breaks off in the middle of one leaves behind neither
half an event nor a position that was not reached.
"""

from __future__ import annotations

from dataclasses import dataclass

MESSAGE = "message"
MOST_BYTES = 16 * 1024 * 1024
"""More than any event has: a frame of so many bytes is something else, and would fill the memory."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands between two empty lines. What is None was not said."""

    event: str = MESSAGE
    data: str | None = None
    """The lines of ``data``, joined; None where there is none, and so no event."""
    id: str | None = None
    """The position behind the frame."""
    retry: int | None = None
    """After how many milliseconds to connect again."""


class EndlessFrameError(ValueError):
    """A frame without an end."""


class FrameReader:
    """Reads the bytes of one connection, in any pieces."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._size = 0
        self._is_first = True
        self._after_return = False
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None
        self._retry: int | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """Take some bytes, and return the frames that they complete. Raises :class:`EndlessFrameError`."""
        if self._after_return and data.startswith(b"\n"):
            data = data[1:]  # the second half of a line's end that was cut
            self._after_return = False
        if not data:
            return []
        self._after_return = data.endswith(b"\r")
        frames: list[Frame] = []
        # bytes.splitlines knows no other ends of lines than these three
        for piece in data.splitlines(keepends=True):
            text = piece.rstrip(b"\r\n")
            self._line += text
            self._size += len(text)
            if self._size > MOST_BYTES:
                raise EndlessFrameError("a frame of the live stream has no end")
            if len(text) < len(piece) and (frame := self._end_line()) is not None:
                frames.append(frame)
        return frames

    def _end_line(self) -> Frame | None:
        line = bytes(self._line)
        self._line.clear()
        if self._is_first:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._is_first = False
        if line:
            self._field(line.decode("utf-8", "replace"))
            return None
        data = "\n".join(self._data) if self._data else None
        frame = Frame(self._event or MESSAGE, data, self._id, self._retry)
        self._event, self._data, self._id, self._retry, self._size = "", [], None, None, 0
        return None if frame.data is None and frame.id is None and frame.retry is None else frame

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self._retry = int(value[:12])
