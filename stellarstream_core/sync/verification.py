"""One ``verify`` from beginning to end: open the sources, read the range again, report."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from stellarstream_core.hookspecs import Sink
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Source
from stellarstream_core.storage import Storage
from stellarstream_core.sync.engine import SyncEngine
from stellarstream_core.sync.findings import Findings, VerifyReport
from stellarstream_core.sync.opening import open_sources
from stellarstream_core.sync.progress import Progress
from stellarstream_core.sync.report import read_gaps
from stellarstream_core.sync.run import until_stopped
from stellarstream_core.sync.verify import Verifier, digest_stored


@dataclass(slots=True)
class Verification:
    """A verification with everything it needs; without ``repair`` it writes nothing at all."""

    storage: Storage
    sources: Sequence[Source]
    passphrase: str
    scope: Scope
    wanted: LedgerRange
    progress: Progress
    repair: bool = False
    sinks: Sequence[Sink] = ()

    async def execute(self, stop: asyncio.Event) -> VerifyReport | None:
        """Run to the end and report; None where ``stop`` was set before.

        Raises ``NetworkMismatchError`` and ``NetworkResetError`` where a source or the database is
        of another network, ``SourceError`` or ``SourceUnusableError`` where no source can serve.
        """
        began = monotonic()
        self.storage.durable = bool(self.sinks)
        engine = SyncEngine(self.storage, self.sources, self.sinks)
        try:
            found: tuple[Findings, str] | None = await until_stopped(self._verify(engine), stop)
            if found is None:
                return None
            gaps = await engine.in_thread(lambda: read_gaps(self.storage, self.wanted, self.scope))
            return VerifyReport(self.wanted, self.scope, found[0], gaps, found[1], monotonic() - began)
        finally:
            engine.close()

    async def _verify(self, engine: SyncEngine) -> tuple[Findings, str]:
        """Return what was found, and the digest of what is stored."""
        await engine.in_thread(self._check_network)
        opened = await open_sources(self.sources, self.passphrase, self.storage, engine.in_thread, keep_tips=False)
        await engine.learn_anchors()
        sources = [item.source for item in opened]
        verifier = Verifier(engine, sources, self.scope, repair=self.repair, progress=self.progress)
        await verifier.verify(self.wanted)
        return verifier.findings, await digest_stored(engine, self.wanted, self.scope)

    def _check_network(self) -> None:
        """Raise ``NetworkMismatchError`` where the database is of another network."""
        if self.storage.network_passphrase() not in {self.passphrase, None}:
            self.storage.bind_network(self.passphrase)  # it refuses
