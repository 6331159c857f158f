"""What bounds a live stream, in one place."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """Bounds of one worker's live streams.

    ``most_readers`` are all of them, ``readers_per_client`` those that one client holds, and one account.
    ``heartbeat_seconds`` is the longest silence a reader sees. ``retry_milliseconds`` is told to readers:
    after how long they connect again, give or take a quarter, so that they do not come all at once.
    A reader who takes nothing for ``stall_seconds`` while its buffer is full is dropped, and has
    ``linger_seconds`` to take the word that says so. Readers are served ``readers_at_a_time`` between two
    looks at other work. Of the database a replay holds one of ``replay_threads`` connections, while a
    page is read. ``look_seconds`` is how often a changed epoch is looked for.
    """

    most_readers: int = 2_000
    readers_per_client: int = 50
    heartbeat_seconds: float = 15.0
    retry_milliseconds: int = 3_000
    stall_seconds: float = 20.0
    linger_seconds: float = 10.0
    readers_at_a_time: int = 50
    ring_bytes: int = 16 * MEGABYTE
    replay_bytes: int = 8 * MEGABYTE
    replay_threads: int = 3
    look_seconds: float = 2.0
