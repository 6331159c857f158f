"""Which streams the network's own activity opened: it leaves those of everybody else alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from stellarstream_sandbox.economy.calls import Outcome
from stellarstream_sandbox.economy.streams_v1 import Stream as StreamV1
from stellarstream_sandbox.economy.streams_v1 import StreamsV1
from stellarstream_sandbox.economy.streams_v2 import Stream as StreamV2
from stellarstream_sandbox.economy.streams_v2 import StreamsV2

Run = Callable[[int], Outcome]

_REMEMBERED = 5_000
_LOOKED_BACK = 50


class Ours:
    """The ids of the streams that calls of the activity opened, by contract."""

    def __init__(self) -> None:
        self._ids: dict[str, dict[int, None]] = {}

    def opening(self, contract: StreamsV1 | StreamsV2, run: Run) -> Run:
        """Return a call that notes the streams it opens."""

        def opened(now: int) -> Outcome:
            first = contract.next_id
            outcome = run(now)
            ids = self._ids.setdefault(contract.contract, {})
            ids.update((stream_id, None) for stream_id in range(first, contract.next_id))
            while len(ids) > _REMEMBERED:
                del ids[next(iter(ids))]
            return outcome

        return opened

    def v1(self, contract: StreamsV1) -> list[StreamV1]:
        """Return our streams of a first contract that have something to pay."""
        ids = self._ids.get(contract.contract, {})
        return [stream for stream in contract.open.values() if stream.id in ids]

    def v2(self, contract: StreamsV2) -> list[StreamV2]:
        """Return our streams of the second contract that have something to pay."""
        ids = self._ids.get(contract.contract, {})
        return [stream for stream in contract.open.values() if stream.id in ids]

    def lately_ended(self, contract: StreamsV2) -> Iterator[StreamV2]:
        """Yield our streams among the last that ended, the newest first."""
        ids = self._ids.get(contract.contract, {})
        last = islice(reversed(contract.streams.ended.values()), _LOOKED_BACK)
        return (stream for stream in last if stream.id in ids)
