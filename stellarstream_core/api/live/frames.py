"""What a live stream sends, as bytes: each frame is a whole Server-Sent Event, or a comment.

The format is that of the HTML standard, "Server-sent events": a frame without ``data`` moves a
client's ``Last-Event-ID`` and dispatches nothing, and a frame that is cut off does neither. So a
client's last id always names exactly what it was given.
"""

from __future__ import annotations

from enum import StrEnum

import orjson

from stellarstream_core.api.live.positions import Place, encode_epoch, encode_place
from stellarstream_core.event_json import event_bytes
from stellarstream_core.events import ContractEvent

HEARTBEAT = b": heartbeat\n\n"
TOO_SLOW = "too-slow"
"""Why a reader is dropped."""


class ResetReason(StrEnum):
    """Why a reader cannot go on where it was."""

    OTHER_EPOCH = "other-epoch"
    """The position belongs to another history: the database is another, or was restored from a backup."""
    FUTURE = "future-position"
    """The position lies ahead of everything that is stored."""
    UNKNOWN = "unknown-position"
    """The position names an event that its commit does not have."""
    HISTORY_CHANGED = "history-changed"
    """The commits stored now are not those that were stored before, although the epoch is the same."""


_RESET_DETAILS = {
    ResetReason.OTHER_EPOCH: "The position belongs to another history of this store.",
    ResetReason.FUTURE: "The position lies ahead of everything that is stored.",
    ResetReason.UNKNOWN: "The position names an event that is not stored.",
    ResetReason.HISTORY_CHANGED: "What is stored now is not what was stored before.",
}


class Frames:
    """Makes the frames of one epoch: positions share their first part."""

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self._id = b"id: " + encode_epoch(epoch)

    def event(self, event: ContractEvent, place: Place) -> bytes:
        """Return an event's frame; ``place`` is the one behind it.

        Where one of its values cannot be decoded, ``decoded`` is null and the event is sent all the same.
        """
        return b"".join((self._id, encode_place(place), b"\ndata: ", event_bytes(event), b"\n\n"))

    def progress(self, place: Place) -> bytes:
        """Return a frame that moves the reader's position and dispatches nothing."""
        return self._id + encode_place(place) + b"\n\n"

    def reset(self, place: Place, reason: ResetReason) -> bytes:
        """Return the frame that tells a reader to forget what it knows; it goes on from ``place``."""
        data = _word("reset", reason.value, f"{_RESET_DETAILS[reason]} The stream goes on with what comes now.")
        return self._id + encode_place(place) + b"\n" + data


def retry(milliseconds: int) -> bytes:
    """Return the frame that only says after how long to connect again."""
    return b"retry: %d\n\n" % milliseconds


def bye() -> bytes:
    """Return the last frame of a service that ends."""
    return _word("bye", "shutting-down", "This worker ends. Connect again: another one goes on.")


def dropped() -> bytes:
    """Return the last frame for a reader that is too slow. It has no id: the reader keeps that of its last event."""
    return _word("dropped", TOO_SLOW, "Events were not taken in time. Connect again: nothing is missed.")


def _word(event: str, code: str, detail: str) -> bytes:
    body = orjson.dumps({"code": code, "detail": detail})
    return b"event: " + event.encode() + b"\ndata: " + body + b"\n\n"
