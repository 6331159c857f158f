"""What the routes share at one worker: the builder, the relay, and which contracts are served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from loguru import logger

from stellarstream_core.errors import StellarStreamError
from stellarstream_nebula.contract_specs import ContractSpecs
from stellarstream_nebula.served import families_in
from stellarstream_nebula.settings import NebulaSettings
from stellarstream_nebula.transactions.build import Builder
from stellarstream_nebula.transactions.chain import require_chain
from stellarstream_nebula.transactions.contracts import ServedContracts
from stellarstream_nebula.transactions.refusals import ErrorNames
from stellarstream_nebula.transactions.relay import Fate, Relay
from stellarstream_nebula.transactions.store import Noted, Place, State

if TYPE_CHECKING:
    from stellarstream_core.api.service import ApiService


FOLLOWED = 256
"""Transactions that a worker follows at a time, each at its own distances; the others wait for their round."""
FOLLOW_SECONDS = (1.0, 60.0)
"""How long to wait before the first look, and at the most before a later one."""
FOLLOW_SHARE = 0.1
"""How long to wait before a later look, as a share of the time that has gone by."""
LONGER_SECONDS = 120
"""How much longer than its time a transaction is followed: ledgers and clocks may be late."""


SWEEP_SECONDS = 15.0
"""How long a worker waits between two rounds through the transactions that nobody has handed in of late."""
SWEPT = 64
"""Transactions of one round."""
SWEPT_AT_ONCE = 4
OVER_SECONDS = 3600
"""How long after its time is over a transaction is looked at in a round; later whoever asks has it looked at."""


class Transactions:
    """Made once a worker, at its start: ``call.api.part(Transactions)``."""

    def __init__(self, api: ApiService, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to go through what waits. ``clock`` (seconds) says how often the chain is asked for one transaction."""
        self._database = api.database
        self._passphrase = api.settings.passphrase
        self._chain = api.chain
        self._all_settings = api.settings
        self.settings = api.settings.section(NebulaSettings)
        self._names: ErrorNames = ContractSpecs(api.chain) if api.chain is not None else _NoNames()
        self.relay = Relay(
            api.database.storage,
            api.chain,
            self._passphrase,
            self._names,
            run=api.database.run,
            write=api.database.write,
            clock=clock,
        )
        self._following: dict[str, asyncio.Task[None]] = {}
        # without the chain nothing can be handed in
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep()) if api.chain is not None else None

    @property
    def builder(self) -> Builder:
        """What builds transactions. Raises ``ChainUnavailableError`` where no access to the chain is configured."""
        return Builder(require_chain(self._chain), self._passphrase, self.settings, self._names)

    async def served(self) -> ServedContracts:
        """Return the contracts that are served now."""
        storage = self._database.storage
        families = await self._database.run(partial(storage.read, partial(families_in, settings=self._all_settings)))
        return ServedContracts(families, self.settings.default_contract)

    async def submit(self, text: str, noted: Noted | None = None, *, fresh: bool = False) -> Fate:
        """Relay a signed envelope, and follow it to its end behind the request's back. Raises as the relay does.

        ``noted`` gets the database inside the transaction that stores the envelope, before anything is sent: what it
        writes stands if and only if the envelope was taken, and what it raises refuses it (``Relay.submit``). With
        ``fresh`` one that was applied already is refused.
        """
        fate = await self.relay.submit(text, (await self.served()).families, noted, fresh=fresh)
        if fate.state is State.PENDING and fate.hash not in self._following and len(self._following) < FOLLOWED:
            task = asyncio.get_running_loop().create_task(self._follow(fate))
            self._following[fate.hash] = task
            task.add_done_callback(lambda _: self._following.pop(fate.hash, None))
        return fate

    async def look(self, tx_hash: str) -> Fate | None:
        """Return what is known of a transaction."""
        return await self.relay.look(tx_hash, (await self.served()).families)

    async def _follow(self, taken: Fate) -> None:
        """Look at a transaction until its fate is known. What is not, when the worker ends, others take up."""
        began = time.time()
        shortest, longest = FOLLOW_SECONDS
        while (now := time.time()) < taken.valid_until + LONGER_SECONDS:
            await asyncio.sleep(min(max((now - began) * FOLLOW_SHARE, shortest), longest))
            try:
                fate = await self.look(taken.hash)
            except StellarStreamError as error:
                logger.warning("transaction {} cannot be followed now: {}", taken.hash, error)
                continue
            if fate is None or fate.state is not State.PENDING:
                return

    async def _sweep(self) -> None:
        """Go through what waits, whoever took it: workers end, are killed, and follow so many at a time.

        Every worker does so; that two hand the same in is harmless.
        """
        await asyncio.sleep(min(1.0, SWEEP_SECONDS))  # the first requests come first
        place: Place | None = None
        while True:
            try:
                place = await self._round(place)
            except Exception as error:  # the next round may do better, and nobody else would begin it
                logger.warning("the transactions that wait cannot be gone through: {}", error)
            await asyncio.sleep(SWEEP_SECONDS)

    async def _round(self, after: Place | None) -> Place | None:
        """Look at some of those that wait, which hands them in; return where the next round begins."""
        places = await self.relay.waiting(OVER_SECONDS, SWEPT, after)
        if not places:
            return None
        families = (await self.served()).families
        room = asyncio.Semaphore(SWEPT_AT_ONCE)

        async def look(tx_hash: str) -> None:
            async with room:
                try:
                    await self.relay.look(tx_hash, families)
                except Exception as error:  # the others are looked at all the same
                    logger.warning("transaction {} cannot be followed now: {}", tx_hash, error)

        async with asyncio.TaskGroup() as group:
            for _, tx_hash in places:
                if tx_hash not in self._following:
                    group.create_task(look(tx_hash))
        return places[-1] if len(places) == SWEPT else None

    async def close(self) -> None:
        """Follow no more."""
        tasks = [*self._following.values(), *([self._sweeping] if self._sweeping is not None else [])]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


class _NoNames:
    """Without access to the chain no error has a name."""

    async def error_name(self, contract: str, code: int) -> str | None:
        """Return None."""
        return None
