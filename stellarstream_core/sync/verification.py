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
from stellarstream_core.sync.findings import VerifyReport
from stellarstream_core.sync.opening import open_sources
from stellarstream_core.sync.progress import Progress
from stellarstream_core.sync.run import until_stopped
from stellarstream_core.sync.verify import Verifier, read_result


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
            verifier = await until_stopped(self._verify(engine), stop)
            if verifier is None:
                return None
            return await engine.in_thread(
                lambda: read_result(self.storage, self.wanted, self.scope, verifier.findings, monotonic() - began)
            )
        finally:
            engine.close()

    async def _verify(self, engine: SyncEngine) -> Verifier:
        await engine.in_thread(self._check_network)
        opened = await open_sources(self.sources, self.passphrase, self.storage, engine.in_thread, keep_tips=False)
        await engine.learn_anchors()
        verifier = Verifier(
            self.storage,
            [item.source for item in opened],
            self.scope,
            engine.in_thread,
            repair=self.repair,
            known=engine.known_ledgers,
            progress=self.progress,
            publish=engine.publish,
        )
        await verifier.verify(self.wanted)
        return verifier

    def _check_network(self) -> None:
        """Raise ``NetworkMismatchError`` where the database is of another network."""
        if self.storage.network_passphrase() not in {self.passphrase, None}:
            self.storage.bind_network(self.passphrase)  # it refuses
