"""What no event tells, read from the chain while following: streams' entries, and what vaults earn.

A read is true at a ledger F that is mostly a little ahead of what is folded. It is held until the fold has come
to F and is written then: whoever reads sees state and facts of one moment, and nothing goes back and forth. One
read of a contract is held at a time.

V1 keeps all streams in one entry, so that one request tells everything, again and again: its payments are silent.
A V2 stream has an entry of its own, of which is needed what never changes: it is read once.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from loguru import logger

from stellarstream_core.chain import ChainClient
from stellarstream_core.errors import SourceError, StellarStreamError
from stellarstream_core.projection.reading import reached_in
from stellarstream_core.projections import FollowUp, Reached
from stellarstream_core.storage import CloseTime
from stellarstream_nebula.backlog import Backlog, Unread
from stellarstream_nebula.entries import (
    StreamEntryError,
    instance_key,
    read_v1_instance,
    read_v2_entry,
    v2_stream_key,
)
from stellarstream_nebula.model import V1, V2, StreamFacts, stream_key
from stellarstream_nebula.settings import NebulaSettings
from stellarstream_nebula.stored import NAME, write_many_facts
from stellarstream_nebula.yields import Reading, Sample, read_vault, write_samples

if TYPE_CHECKING:
    from peewee import Database

MOST_READ = 1_000
"""Streams whose entries are asked for in one round."""
IN_ONE_REQUEST = 200
"""Entries asked for together: all of one answer are of one ledger, those of several are not."""
WRITTEN_TOGETHER = 200
"""Facts written in one transaction, which has to be short."""
MOST_HELD_READINGS = 1_000
_REWRITES = 4
"""Facts that say the same again are written so many times while they count as fresh."""


@dataclass(slots=True)
class _Held:
    """Facts that are true at ``ledger``, waiting until the fold has come so far."""

    ledger: int
    facts: dict[str, StreamFacts]


@dataclass(slots=True)
class Refresher:
    """What is remembered between rounds. ``now`` is a monotonic clock in seconds."""

    families: Mapping[str, str]
    settings: NebulaSettings
    now: Callable[[], float] = time.monotonic
    _backlogs: dict[str, Backlog] = field(default_factory=dict)
    _held: dict[str, list[_Held]] = field(default_factory=dict)
    _written: dict[str, StreamFacts] = field(default_factory=dict)
    _readings: list[tuple[Reading, str | None]] = field(default_factory=list)
    _facts_at: float | None = None
    _yields_at: float | None = None
    _trouble: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._backlogs = {
            contract: Backlog(contract, family)
            for contract, family in sorted(self.families.items())
            if family in {V1, V2}
        }

    async def round(self, context: FollowUp) -> None:
        """Write what was held and has become true, and read what is due. A chain that fails is logged, once."""
        if context.chain is None or not self._backlogs:
            return
        reach = await self._reach(context)
        await self._release(context, reach)
        if self._due(self._facts_at, self.settings.facts_seconds):
            self._facts_at = self.now()
            await self._read_facts(context, context.chain)
            await self._release(context, reach)
        if self._due(self._yields_at, self.settings.yield_seconds) and self._vaults():
            self._yields_at = self.now()
            await self._read_vaults(context.chain)
        await self._release_readings(context, reach)

    def _due(self, last: float | None, seconds: float) -> bool:
        return last is None or self.now() - last >= seconds

    async def _reach(self, context: FollowUp) -> dict[str, Reached]:
        def read(database: Database) -> dict[str, Reached]:
            return reached_in(database, NAME, self._backlogs)

        found: dict[str, Reached] = await context.run(context.storage.read, read)
        return found

    # --- entries ----------------------------------------------------------------------------

    async def _read_facts(self, context: FollowUp, chain: ChainClient) -> None:
        left = MOST_READ
        for contract, backlog in self._backlogs.items():
            if contract in self._held or left <= 0:
                continue
            unread: list[Unread] = await context.run(
                context.storage.read, partial(backlog.next, limit=left, now=self.now())
            )
            read = self._read_v1 if backlog.family == V1 else self._read_v2
            held = await self._asked(contract, read(chain, contract, unread))
            if held:
                self._held[contract] = held
            left -= len(unread)

    async def _asked(self, contract: str, question: Awaitable[list[_Held]]) -> list[_Held]:
        """Return the answer; nothing where the chain does not give any, which is told once until it does."""
        try:
            answer = await question
        except (SourceError, StreamEntryError) as error:
            self._tell(contract, error)
            self._backlogs[contract].restart()
            return []
        self._trouble.pop(contract, None)
        return answer

    async def _read_v1(self, chain: ChainClient, contract: str, unread: Sequence[Unread]) -> list[_Held]:
        key = instance_key(contract)
        answer = await chain.ledger_entries([key])
        entry = answer.entries.get(key)
        if entry is None:
            raise StreamEntryError(f"The chain has no contract {contract}.")
        told = read_v1_instance(key, entry.data, answer.ledger)
        facts = {stream_key(contract, number): one for number, one in told.facts.items()}
        unreadable = {stream_key(contract, number) for number in told.unreadable}
        for number, error in told.unreadable.items():
            self._tell(stream_key(contract, number), error)
        self._backlogs[contract].skip(unreadable)
        for one in unread:
            if one.key not in facts and one.key not in unreadable and one.created_ledger <= answer.ledger:
                facts[one.key] = StreamFacts(ledger=answer.ledger, missing=True)
        return [_Held(answer.ledger, {name: one for name, one in facts.items() if self._is_news(name, one)})]

    def _is_news(self, key: str, facts: StreamFacts) -> bool:
        """Tell whether facts have to be written: they say something new, or what is written gets stale."""
        before = self._written.get(key)
        if before is None or replace(before, ledger=facts.ledger) != facts:
            return True
        return not facts.closed and facts.ledger - before.ledger >= self.settings.facts_fresh_ledgers // _REWRITES

    async def _read_v2(self, chain: ChainClient, contract: str, unread: Sequence[Unread]) -> list[_Held]:
        held: list[_Held] = []
        for begin in range(0, len(unread), IN_ONE_REQUEST):
            asked = {v2_stream_key(contract, one.stream_id): one for one in unread[begin : begin + IN_ONE_REQUEST]}
            answer = await chain.ledger_entries(list(asked))
            facts: dict[str, StreamFacts] = {}
            for key, one in asked.items():
                entry = answer.entries.get(key)
                if entry is None:
                    if one.created_ledger <= answer.ledger:  # a node that is behind does not have it yet
                        facts[one.key] = StreamFacts(ledger=answer.ledger, missing=True)
                    continue
                try:
                    facts[one.key] = read_v2_entry(key, entry.data, answer.ledger)
                except StreamEntryError as error:
                    self._tell(one.key, error)
                    self._backlogs[contract].skip([one.key])
            held.append(_Held(answer.ledger, facts))
        return held

    async def _release(self, context: FollowUp, reach: Mapping[str, Reached]) -> None:
        """Write held facts that the fold has come to."""
        for contract, held in list(self._held.items()):
            at = reach[contract].ledger if contract in reach else 0
            ready = [one for one in held if one.ledger <= at]
            for one in ready:
                await self._write(context, self._backlogs[contract], one.facts)
            if len(ready) == len(held):
                del self._held[contract]
            else:
                self._held[contract] = [one for one in held if one.ledger > at]

    async def _write(self, context: FollowUp, backlog: Backlog, facts: Mapping[str, StreamFacts]) -> None:
        keys = list(facts)
        for begin in range(0, len(keys), WRITTEN_TOGETHER):
            some = {key: facts[key] for key in keys[begin : begin + WRITTEN_TOGETHER]}
            await context.run(context.storage.write, partial(write_many_facts, facts=some))
            for key, one in some.items():
                backlog.told(key, one, one.token)
                if backlog.family == V1:
                    self._written[key] = one

    # --- vaults -----------------------------------------------------------------------------

    def _vaults(self) -> dict[str, str | None]:
        return {vault: token for backlog in self._backlogs.values() for vault, token in backlog.vaults.items()}

    async def _read_vaults(self, chain: ChainClient) -> None:
        for vault, token in self._vaults().items():
            try:
                reading = await read_vault(chain, vault)
            except StellarStreamError as error:
                self._tell(vault, error)
                continue
            self._trouble.pop(vault, None)
            if len(self._readings) < MOST_HELD_READINGS:
                self._readings.append((reading, token))

    async def _release_readings(self, context: FollowUp, reach: Mapping[str, Reached]) -> None:
        """Write the readings whose ledger is folded: then its close time is known, or two around it."""
        newest = max(reach.values(), key=lambda one: one.ledger, default=None)
        if newest is None:
            return
        ready = [one for one in self._readings if one[0].ledger <= newest.ledger]
        samples: list[Sample] = []
        for reading, token in ready:
            below: CloseTime | None = await context.run(context.storage.close_time, reading.ledger)
            samples.append(
                Sample(
                    reading.vault,
                    reading.ledger,
                    closed_at(reading.ledger, below, newest),
                    reading.principal,
                    reading.interest,
                    reading.value,
                    token,
                )
            )
        if samples:
            await context.run(context.storage.write, partial(write_samples, samples=samples))
            self._readings = [one for one in self._readings if one[0].ledger > newest.ledger]

    def _tell(self, what: str, error: StellarStreamError) -> None:
        """Log a failure, and the same one only once."""
        if len(self._trouble) < MOST_HELD_READINGS and self._trouble.get(what) != error.message:
            self._trouble[what] = error.message
            logger.warning("facts of {} cannot be read from the chain: {}", what, error)


def closed_at(ledger: int, below: CloseTime | None, above: Reached) -> int:
    """Return when a ledger closed, in Unix seconds: as it is known, else between the nearest that are."""
    if below is None or below.ledger >= above.ledger:
        return above.closed_at
    return below.closed_at + (above.closed_at - below.closed_at) * (ledger - below.ledger) // (
        above.ledger - below.ledger
    )
