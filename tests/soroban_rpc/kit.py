"""What these tests share: a node over a made history, a source that does not wait, and one exact check."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from stellarstream_core.endpoints.timing import Timing
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.settings import Settings
from stellarstream_core.sources import Evidence, Reason, Unserved, Window
from stellarstream_core.testing.rpc_history import MadeHistory
from stellarstream_core.testing.rpc_node import RpcNode
from stellarstream_core.testing.scripted import made_contract
from stellarstream_sandbox.get_events import get_events
from stellarstream_soroban_rpc.settings import SECTION, SorobanRpcSettings
from stellarstream_soroban_rpc.source import SorobanRpcSource

PASSPHRASE = "Made Network ; a test"
A, B, C, NATIVE = (made_contract(number) for number in range(4))


class Clock:
    """Time that passes only when someone sleeps, and then at once."""

    def __init__(self, seed: int = 0) -> None:
        self.time = 1_000.0
        self.slept: list[float] = []
        self._dice = random.Random(seed)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        wake = self.time + seconds
        await asyncio.sleep(0)
        self.time = max(self.time, wake)

    @property
    def timing(self) -> Timing:
        return Timing(now=lambda: self.time, sleep=self.sleep, random=self._dice.random)


def node(history, **options) -> RpcNode:
    """Return a node over a history that answers getEvents as stellar-rpc does; enter it to have it listen."""
    return RpcNode(history, get_events, passphrase=PASSPHRASE, **options)


def settings(*urls: str, passphrase: str = PASSPHRASE, **own) -> Settings:
    made = Settings(network="made", network_passphrase=passphrase, rpc_url=list(urls), plugins={SECTION: own})
    from stellarstream_core.hookspecs import PluginSettings

    return made.with_sections([PluginSettings(SECTION, SorobanRpcSettings)])


@asynccontextmanager
async def source(*nodes, clock: Clock | None = None, passphrase: str = PASSPHRASE, **own):
    """Open a source over nodes (or addresses); its clock is a made one."""
    urls = [one if isinstance(one, str) else one.url for one in nodes]
    opened = SorobanRpcSource(settings(*urls, passphrase=passphrase, **own), (clock or Clock()).timing)
    try:
        yield opened
    finally:
        await opened.close()


@dataclass
class Read:
    """What a source yielded."""

    windows: list[Window] = field(default_factory=list)
    gaps: list[Unserved] = field(default_factory=list)

    def events(self, group: str | None = None):
        found = [event for window in self.windows for event in window.events]
        return sorted(event for event in found if group is None or event.contract_id == group)

    @property
    def reasons(self) -> set[Reason]:
        return {gap.reason for gap in self.gaps}

    @property
    def covered(self) -> RangeSet:
        return RangeSet(window.range for window in self.windows)

    @property
    def missing(self) -> RangeSet:
        return RangeSet(gap.range for gap in self.gaps)


async def read(opened: SorobanRpcSource, wanted: LedgerRange, scope: Scope) -> Read:
    """Read a range to its end."""
    result = Read()
    async for item in opened.windows(wanted, scope):
        (result.windows if isinstance(item, Window) else result.gaps).append(item)
    return result


def assert_exact(result: Read, wanted: LedgerRange, scope: Scope, history: MadeHistory) -> None:
    """Check the source's whole promise: nothing lost, nothing twice, every ledger told of once for each contract."""
    for member in scope:
        pieces = [
            item.range for item in (*result.windows, *result.gaps) if scope.everything or member in item.scope.members
        ]
        assert sum(piece.size for piece in pieces) == wanted.size, "a ledger is told of twice, or not at all"
        assert RangeSet(pieces) == RangeSet([wanted])
    for window in result.windows:
        assert window.evidence is Evidence.SCANNED
        assert window.source == "soroban-rpc"
        members = None if window.scope.everything else window.scope.members
        assert list(window.events) == history.expected(window.range, members)
    for gap in result.gaps:
        assert gap.detail
