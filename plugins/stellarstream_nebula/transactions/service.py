"""What the routes share at one worker: the builder, the relay, and which contracts are served."""

from __future__ import annotations

import asyncio
import time
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
from stellarstream_nebula.transactions.store import State

if TYPE_CHECKING:
    from stellarstream_core.api.service import ApiService


FOLLOWED = 256
"""Transactions that a worker follows at a time; beyond that whoever asks for one has it looked at."""
FOLLOW_SECONDS = (1.0, 1.0, 2.0, 3.0)
"""How long to wait before each look; the last again and again."""
LONGER_SECONDS = 120
"""How much longer than its time a transaction is followed: ledgers and clocks may be late."""


class Transactions:
    """Made once a worker: ``call.api.part(Transactions)``."""

    def __init__(self, api: ApiService) -> None:
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
            self.settings.migrated_from,
            run=api.database.run,
            write=api.database.write,
        )

        self._following: dict[str, asyncio.Task[None]] = {}

    @property
    def builder(self) -> Builder:
        """What builds transactions. Raises ``ChainUnavailableError`` where no access to the chain is configured."""
        return Builder(require_chain(self._chain), self._passphrase, self.settings, self._names)

    async def served(self) -> ServedContracts:
        """Return the contracts that are served now."""
        storage = self._database.storage
        families = await self._database.run(partial(storage.read, partial(families_in, settings=self._all_settings)))
        return ServedContracts(families, self.settings.default_contract)

    async def submit(self, text: str) -> Fate:
        """Relay a signed envelope, and follow it to its end behind the request's back. Raises as the relay does."""
        fate = await self.relay.submit(text, (await self.served()).families)
        if fate.state is State.PENDING and fate.hash not in self._following and len(self._following) < FOLLOWED:
            task = asyncio.get_running_loop().create_task(self._follow(fate))
            self._following[fate.hash] = task
            task.add_done_callback(lambda _: self._following.pop(fate.hash, None))
        return fate

    async def look(self, tx_hash: str) -> Fate | None:
        """Return what is known of a transaction."""
        return await self.relay.look(tx_hash, (await self.served()).families)

    async def _follow(self, taken: Fate) -> None:
        """Look at a transaction until its fate is known. What is not, when the worker ends, others find out."""
        pace = iter(FOLLOW_SECONDS)
        while time.time() < taken.valid_until + LONGER_SECONDS:
            await asyncio.sleep(next(pace, FOLLOW_SECONDS[-1]))
            try:
                fate = await self.look(taken.hash)
            except StellarStreamError as error:
                logger.warning("transaction {} cannot be followed now: {}", taken.hash, error)
                continue
            if fate is None or fate.state is not State.PENDING:
                return

    async def close(self) -> None:
        """Follow no more."""
        tasks = list(self._following.values())
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
