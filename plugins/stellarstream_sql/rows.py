"""Events as table rows and back: a pure mapping.

A row has the columns of ``statements.EVENT_COLUMNS``. The first four topics have columns of their
own, so that SQL can compare and index them by position; NULL means that there is no such topic.
Events of more than four topics keep the rest in ``more_topics``: for each topic its length in 4
bytes, big-endian, then its XDR.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stellarstream_core.events import ContractEvent

Row = tuple[Any, ...]
"""One event in the order of ``statements.EVENT_COLUMNS``."""

TOPIC_COLUMNS = 4
_PADDING: tuple[tuple[None, ...], ...] = tuple((None,) * (TOPIC_COLUMNS + 1 - n) for n in range(TOPIC_COLUMNS + 1))


def to_row(event: ContractEvent, tail: tuple[int, ...] = ()) -> Row:
    """Return the event's row, with ``tail`` (its window's id, where it is to be stored) at the end."""
    topics = event.topics
    count = len(topics)
    if count <= TOPIC_COLUMNS:
        return (*event[:7], *topics, *_PADDING[count], event.value, *tail)
    return (*event[:7], *topics[:TOPIC_COLUMNS], pack_topics(topics[TOPIC_COLUMNS:]), event.value, *tail)


def to_event(row: Row) -> ContractEvent:
    """Return the event of a row."""
    topics = tuple([topic for topic in row[7:11] if topic is not None])
    if row[11] is not None:
        topics += unpack_topics(row[11])
    return ContractEvent._make((*row[:7], topics, row[12]))


def pack_topics(topics: Sequence[bytes]) -> bytes:
    """Return topics behind one another, each after its length in 4 bytes, big-endian."""
    return b"".join([len(topic).to_bytes(4, "big") + topic for topic in topics])


def unpack_topics(packed: bytes) -> tuple[bytes, ...]:
    """Return the topics of :func:`pack_topics`."""
    topics: list[bytes] = []
    at = 0
    while at < len(packed):
        end = at + 4 + int.from_bytes(packed[at : at + 4], "big")
        topics.append(packed[at + 4 : end])
        at = end
    return tuple(topics)
