"""The live stream of events over Server-Sent Events.

A follower thread reads each commit once; the feed keeps the newest in a ring and wakes the readers;
a subscription is one reader's way through the order of commits, from the database or from the ring.
"""

from stellarstream_core.api.live.feed import Feed
from stellarstream_core.api.live.filters import EVERY_EVENT, EventFilter
from stellarstream_core.api.live.limits import LiveLimits
from stellarstream_core.api.live.owners import TooManyReadersOfClientError
from stellarstream_core.api.live.positions import MalformedPositionError, Place, Position, parse_position
from stellarstream_core.api.live.stream import HEADERS, MEDIA_TYPE, stream
from stellarstream_core.api.live.subscription import Subscription

__all__ = [
    "EVERY_EVENT",
    "HEADERS",
    "MEDIA_TYPE",
    "EventFilter",
    "Feed",
    "LiveLimits",
    "MalformedPositionError",
    "Place",
    "Position",
    "Subscription",
    "TooManyReadersOfClientError",
    "parse_position",
    "stream",
]
