"""Resume positions: how far a reader has come in the order of commits, as text that says nothing to it.

Commits are numbered without holes and an event's number inside its commit never changes, so a place
in that order means the same for every reader, whatever it filters by, and for every worker.
"""

from __future__ import annotations

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from stellarstream_core.api.problems import ApiProblem

LENGTH = 40
"""Characters of a position's text: 30 bytes, so that base64 has one spelling for each and needs no padding."""
MAX_COMMIT = 2**63 - 1
MAX_TAKEN = 2**32 - 1

_MARK = b"\x96\x01"
"""What the bytes begin with: a mark against texts of other origin, and the version of the layout."""
_PLACE = struct.Struct(">QI")


class MalformedPositionError(ApiProblem, ValueError):
    """``Last-Event-ID`` or ``since`` is not a position that a live stream has given."""

    code = "malformed-position"
    title = "Malformed position"
    status = 400
    help = "Send the last 'id' of the stream as it was received, or none to begin with what comes now."


class Place(NamedTuple):
    """A place in the order of commits: behind the first ``taken`` events of ``commit`` and all earlier commits.

    A commit's events are counted in id order, all of them, from 1. ``(c + 1, 0)`` is where all of
    commit ``c`` is taken; it comes after every place inside of ``c``.
    """

    commit: int
    taken: int = 0


@dataclass(frozen=True, slots=True)
class Position:
    """A place in one history of the store, ``epoch`` being that history's name (UUID text)."""

    epoch: str
    place: Place

    def __str__(self) -> str:
        return (encode_epoch(self.epoch) + encode_place(self.place)).decode("ascii")


def encode_place(place: Place) -> bytes:
    """Return the second part of a position's text."""
    return urlsafe_b64encode(_PLACE.pack(*place))


def encode_epoch(epoch: str) -> bytes:
    """Return the first part of a position's text. Raises ``ValueError`` for an epoch that is no UUID."""
    return urlsafe_b64encode(_MARK + UUID(epoch).bytes)


def parse_position(text: str) -> Position:
    """Read a position; raise :class:`MalformedPositionError` for anything that no stream has ever sent."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii")) if len(text) == LENGTH else b""
    except ValueError:
        raw = b""
    # the decoder skips characters that are not base64's
    if len(raw) != 30 or raw[:2] != _MARK or urlsafe_b64encode(raw).decode("ascii") != text:
        raise MalformedPositionError("This is not a position of a live stream.")
    place = Place(*_PLACE.unpack(raw[18:]))
    if not 1 <= place.commit <= MAX_COMMIT:
        raise MalformedPositionError("This is not a position of a live stream: it names no commit.")
    return Position(str(UUID(bytes=raw[2:18])), place)
