"""Very many readers in a process of their own, so that the server's loop has only its own work.

``python -m tests.api.live.crowd`` takes one JSON line on stdin: ``port``, ``paths`` (one for each reader) and
``events`` (how many each path's readers wait for, by path). It prints ``ready`` when all are connected and, at the end,
one JSON line: ``digests`` by path (of the ids in order), how many readers were ``complete``, and ``arrivals``: for each
event id the median, the 99th percentile and the last of the moments it arrived, by the machine's monotonic clock.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import defaultdict
from hashlib import blake2b
from time import monotonic

import orjson

ID = re.compile(rb'data: \{"id":"(.{30})"')
SECONDS = 60.0


class Reader(asyncio.Protocol):
    """One reader; it looks for event ids in the bytes and keeps nothing else."""

    def __init__(self, crowd: Crowd, path: str) -> None:
        self.crowd = crowd
        self.path = path
        self.ids = blake2b(digest_size=8)
        self.count = 0
        self.greeted = False
        self.rest = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport) -> None:
        self.transport = transport
        transport.write(f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        now = monotonic()
        data = self.rest + data
        end = 0
        for found in ID.finditer(data):
            end = found.end()
            self.count += 1
            self.ids.update(found[1])
            self.crowd.arrived[found[1].decode()].append(now)
        self.rest = data[max(end, len(data) - 45) :]
        if not self.greeted and b"\nid: " in data:
            self.greeted = True
            self.crowd.greeted()
        if end and self.count == self.crowd.wanted[self.path]:
            self.crowd.completed()

    def connection_lost(self, error) -> None:
        if self.count < self.crowd.wanted[self.path]:
            self.crowd.broken += 1


class Crowd:
    """All of them."""

    def __init__(self, port: int, paths: list[str], wanted: dict[str, int]) -> None:
        self.port = port
        self.paths = paths
        self.wanted = wanted
        self.broken = self.complete = self.connected = 0
        self.arrived: dict[str, list[float]] = defaultdict(list)
        self.all_greeted = asyncio.Event()
        self.all_complete = asyncio.Event()

    def greeted(self) -> None:
        self.connected += 1
        if self.connected == len(self.paths):
            self.all_greeted.set()

    def completed(self) -> None:
        self.complete += 1
        if self.complete == sum(self.wanted[path] > 0 for path in self.paths):
            self.all_complete.set()

    async def run(self) -> dict:
        loop = asyncio.get_running_loop()
        readers = []
        for path in self.paths:
            _, reader = await loop.create_connection(lambda path=path: Reader(self, path), "127.0.0.1", self.port)
            readers.append(reader)
        async with asyncio.timeout(SECONDS):
            await self.all_greeted.wait()
        print("ready", flush=True)
        try:
            async with asyncio.timeout(SECONDS):
                await self.all_complete.wait()
        except TimeoutError:
            pass
        digests: dict[str, set[str]] = defaultdict(set)
        for reader in readers:
            digests[reader.path].add(reader.ids.hexdigest())
        arrivals = {}
        for name, times in self.arrived.items():
            times.sort()
            arrivals[name] = [times[len(times) // 2], times[len(times) * 99 // 100], times[-1]]
        return {
            "digests": {path: sorted(found) for path, found in digests.items()},
            "complete": self.complete,
            "broken": self.broken,
            "arrivals": arrivals,
        }


def main() -> None:
    asked = orjson.loads(sys.stdin.readline())
    result = asyncio.run(_run(asked))
    print(orjson.dumps(result).decode(), flush=True)


async def _run(asked: dict) -> dict:
    return await Crowd(asked["port"], asked["paths"], asked["events"]).run()


if __name__ == "__main__":
    main()
