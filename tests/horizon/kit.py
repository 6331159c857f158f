"""What these tests share: a source that does not wait, and one exact check."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from stellarstream_core.hookspecs import PluginSettings
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.settings import Settings
from stellarstream_core.sources import Evidence, Reason, Unserved, Window
from stellarstream_horizon.settings import SECTION, HorizonSettings
from stellarstream_horizon.source import HorizonSource
from tests.horizon.history import History
from tests.soroban_rpc.kit import Clock

EVERYTHING = Scope.of("*")


def settings(*urls: str, passphrase: str, prove: bool = True, classic_events: str = "required", **own) -> Settings:
    made = Settings(
        network="made",
        network_passphrase=passphrase,
        horizon_url=list(urls),
        prove=prove,
        classic_events=classic_events,
        plugins={SECTION: own},
    )
    return made.with_sections([PluginSettings(SECTION, HorizonSettings)])


@asynccontextmanager
async def source(*nodes, clock: Clock | None = None, passphrase: str | None = None, **own):
    """Open a source over nodes (or addresses); its clock is a made one."""
    urls = [one if isinstance(one, str) else one.url for one in nodes]
    network = passphrase or next(one.history.passphrase for one in nodes if not isinstance(one, str))
    opened = HorizonSource(settings(*urls, passphrase=network, **own), (clock or Clock()).timing)
    try:
        yield opened
    finally:
        await opened.close()


@dataclass
class Read:
    """What a source yielded."""

    windows: list[Window] = field(default_factory=list)
    gaps: list[Unserved] = field(default_factory=list)

    @property
    def events(self):
        return [event for window in self.windows for event in window.events]

    @property
    def reasons(self) -> set[Reason]:
        return {gap.reason for gap in self.gaps}

    @property
    def covered(self) -> RangeSet:
        return RangeSet(window.range for window in self.windows)

    @property
    def missing(self) -> RangeSet:
        return RangeSet(gap.range for gap in self.gaps)


async def read(opened: HorizonSource, wanted: LedgerRange, scope: Scope = EVERYTHING) -> Read:
    """Read a range to its end."""
    result = Read()
    async for item in opened.windows(wanted, scope):
        (result.windows if isinstance(item, Window) else result.gaps).append(item)
    return result


def assert_exact(
    result: Read, wanted: LedgerRange, scope: Scope, history: History, evidence: Evidence = Evidence.PROVEN
) -> None:
    """Check the source's whole promise: nothing lost, nothing twice, nothing altered, every ledger told of once."""
    pieces = [item.range for item in (*result.windows, *result.gaps)]
    assert sum(piece.size for piece in pieces) == wanted.size, "a ledger is told of twice, or not at all"
    assert RangeSet(pieces) == RangeSet([wanted])
    members = None if scope.everything else set(scope.members)
    for window in result.windows:
        assert window.source == "horizon"
        assert window.scope == scope
        assert window.evidence is evidence
        assert list(window.events) == history.expected(window.range, members)
        if evidence is Evidence.PROVEN:
            assert [one.sequence for one in window.certificates] == list(
                range(window.range.first, window.range.last + 1)
            )
    for gap in result.gaps:
        assert gap.detail
        assert gap.scope == scope
