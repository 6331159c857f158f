"""A quick stand-in for the processes of the service, which misbehaves when it is told to.

circus.ini starts it where ``STELLARSTREAM_PYTHON`` names it: it takes the real ones' command line, tells of itself as
they do, drains as they do, and is there in a tenth of their time. ``<role>.broken`` in its folder makes it fail,
``<role>.hangs`` keeps it from ever being ready.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from stellarstream_core.ops.process import Presence, die_with_parent

DRAIN_SECONDS = 0.3
KEPT: list[bytes] = []


class StandIn:
    def __init__(self) -> None:
        self.role = os.environ["STELLARSTREAM_ROLE"]
        self.presence = Presence(Path(os.environ["STELLARSTREAM_RUN_DIR"]), self.role)
        self.over = asyncio.Event()
        self.draining = False

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.over.set)
        if self.role == "indexer":
            loop.add_signal_handler(signal.SIGHUP, self.renew)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # it waits until it can be heeded
            loop.add_signal_handler(signal.SIGUSR1, self.answer, ["leak", "250"])
        self.presence.start()
        if self.role != "api":
            self.presence.ready()
            await self.over.wait()
        else:
            sock = socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1]))
            server = await asyncio.start_server(self.connected, sock=sock)
            self.presence.ready()
            await self.over.wait()
            self.draining = True
            self.presence.draining()
            server.close()
            await asyncio.sleep(DRAIN_SECONDS)
        self.presence.close()

    def renew(self) -> None:
        self.presence.rest()
        os.execv(sys.executable, [sys.executable, *sys.argv])

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                text = self.answer(head.split()[1].split("?")[0].split("/")[1:])
                closing = self.draining or "connection: close" in head.lower()
                lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(text)}", f"X-Request-ID: {os.getpid():012}-1"]
                lines += ["Connection: close"] if closing else []
                writer.write("\r\n".join([*lines, "", text]).encode())
                await writer.drain()
                if closing:
                    break
        writer.close()

    def answer(self, path: list[str]) -> str:
        match path:
            case ["leak", megabytes]:
                KEPT.append(os.urandom(1_000_000) * int(megabytes))
            case ["busy", seconds]:
                asyncio.create_task(self.busy(float(seconds)))  # noqa: RUF006 - it ends by itself
            case ["stuck"]:
                asyncio.get_running_loop().call_later(0.05, time.sleep, 60)
            case ["die", code]:
                asyncio.get_running_loop().call_later(0.05, os._exit, int(code))
            case ["environment", name]:
                return os.environ.get(name, "")
        return str(os.getpid())

    async def busy(self, seconds: float) -> None:
        """Use a whole core, and yet let the loop go round."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            turn = time.monotonic() + 0.05
            while time.monotonic() < turn:
                pass
            await asyncio.sleep(0)


def main() -> None:
    die_with_parent()
    role = os.environ["STELLARSTREAM_ROLE"]
    if Path(f"{role}.broken").exists():
        print(f"{role} is broken", file=sys.stderr)
        sys.exit(3)
    if Path(f"{role}.hangs").exists():
        time.sleep(600)
    asyncio.run(StandIn().run())


if __name__ == "__main__":
    main()
