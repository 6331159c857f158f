"""Steady load from a process of its own: counts what fails, and how long answers take. Prints JSON when told to stop.

Half of its clients keep their connection, half make one for each request. It uses nothing but the standard library.
``python -m tests.ops.load PORT CLIENTS PAUSE_SECONDS PATH…``
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time

TIMEOUT_SECONDS = 30.0


class Load:
    def __init__(self, port: int, pause: float, paths: list[str]) -> None:
        self.port, self.pause, self.paths = port, pause, paths
        self.failed: list[dict] = []
        self.seconds: list[tuple[float, float]] = []
        self.statuses: dict[int, int] = {}
        self.workers: dict[str, int] = {}
        self.over = asyncio.Event()

    async def client(self, number: int, keep: bool) -> None:
        reader = writer = None
        worker = None
        turn = number
        await asyncio.sleep(self.pause * number / 7 % self.pause)
        while not self.over.is_set():
            turn += 1
            began = time.monotonic()
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    if writer is None:
                        worker = None
                        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    status, headers = await self.ask(reader, writer, self.paths[turn % len(self.paths)], keep)
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                told = {"at": time.time(), "kept": keep, "error": type(error).__name__, "worker": worker}
                self.failed.append(told)
                status, headers = 0, {"connection": "close"}
            else:
                self.seconds.append((began, time.monotonic() - began))
                worker = headers.get("x-request-id", "")[:12]
                self.workers[worker] = self.workers.get(worker, 0) + 1
                self.statuses[status] = self.statuses.get(status, 0) + 1
            if not keep or headers.get("connection") == "close":
                if writer is not None:
                    writer.close()
                reader = writer = None
            await asyncio.sleep(self.pause)
        if writer is not None:
            writer.close()

    async def ask(self, reader, writer, path: str, keep: bool) -> tuple[int, dict[str, str]]:
        close = "" if keep else "Connection: close\r\n"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{close}\r\n".encode())
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if headers.get("transfer-encoding") == "chunked":
            while (size := int(await reader.readline(), 16)) or await reader.readline() != b"\r\n":
                await reader.readexactly(size + 2)
        else:
            await reader.readexactly(int(headers.get("content-length", 0)))
        return int(lines[0].split()[1]), headers

    def report(self) -> dict:
        taken = sorted(seconds for _, seconds in self.seconds)
        return {
            "requests": len(taken) + len(self.failed),
            "failed": self.failed,
            "statuses": self.statuses,
            "workers": self.workers,
            "max_ms": round(1000 * taken[-1], 1) if taken else None,
            "p99_ms": round(1000 * taken[int(len(taken) * 0.99)], 1) if taken else None,
        }


async def main() -> None:
    port, clients, pause, *paths = sys.argv[1:]
    load = Load(int(port), float(pause), paths or ["/healthz/live"])
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, load.over.set)

    def tell() -> None:  # what happened since it was last asked
        print(json.dumps(load.report()), flush=True)
        load.failed, load.seconds, load.statuses, load.workers = [], [], {}, {}

    loop.add_signal_handler(signal.SIGUSR1, tell)
    tasks = [asyncio.create_task(load.client(number, number % 2 == 0)) for number in range(int(clients))]
    print("begun", flush=True)
    await asyncio.gather(*tasks)
    tell()


if __name__ == "__main__":
    asyncio.run(main())
