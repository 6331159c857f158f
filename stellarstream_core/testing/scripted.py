"""A made history and a source that serves it by a script, for tests of whatever consumes sources."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from stellarstream_core.certificates import Doubt, Flavour, LedgerCertificate
from stellarstream_core.errors import SourceError
from stellarstream_core.events import ContractEvent, event_index, format_event_id
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Reach, Reason, SourceIdentity, Unserved, Window
from stellarstream_core.xdr.strkey import contract_id_text

PASSPHRASE = "Scripted Network ; a test"  # noqa: S105 - a network's public name
_FIRST_CLOSE = 1_700_000_000


def made_contract(number: int) -> str:
    """Return a contract id that depends only on ``number``."""
    return contract_id_text(sha256(b"contract %d" % number).digest())


def made_close_time(ledger: int) -> int:
    """Return when a made ledger closed, in Unix seconds."""
    return _FIRST_CLOSE + 5 * ledger


def made_event(
    ledger: int, tx: int = 1, k: int = 0, contract: str | None = None, *, op: int = 0, salt: str = ""
) -> ContractEvent:
    """Return an event that depends only on the arguments; ``salt`` changes its bytes, not its identity.

    Its one topic is the symbol ``made``, its value a 64-bit number, both as XDR.
    """
    seed = sha256(f"{ledger}/{tx}/{op}".encode()).hexdigest()
    number = sha256(f"{ledger}/{tx}/{op}/{k}/{salt}".encode()).digest()[:8]
    return ContractEvent(
        id=format_event_id(ledger, tx, op, k),
        ledger=ledger,
        closed_at=made_close_time(ledger),
        tx_hash=seed,
        event_index=event_index(tx, op, k),
        contract_id=contract,
        type="contract",
        topics=(b"\x00\x00\x00\x0f\x00\x00\x00\x04made",),
        value=b"\x00\x00\x00\x05" + number,
    )


def made_history(within: LedgerRange, contracts: Sequence[str], *, seed: int = 0) -> list[ContractEvent]:
    """Return a history in id order: most ledgers hold a few events, some none."""
    dice = random.Random(seed)  # noqa: S311 - a made history, not a secret
    return [
        made_event(ledger, tx, k, dice.choice(contracts))
        for ledger in range(within.first, within.last + 1)
        for tx in range(1, dice.randint(0, 3) + 1)
        for k in range(dice.randint(0, 2))
    ]


@dataclass(slots=True)
class ScriptedSource:
    """Serves ``history`` between ``oldest`` and ``latest`` in windows of ``window`` ledgers, shuffled.

    ``refused`` ledgers are given up with the reason ``unavailable``, or ``refused_for``. After
    ``fails_after`` windows the source raises. With ``evidence`` proven its windows have certificates,
    whose hashes depend on the ledger and on ``chain``. Change the fields between calls to play a scene.
    """

    history: Sequence[ContractEvent]
    latest: int
    oldest: int = 1
    name: str = "scripted"
    window: int = 7
    passphrase: str = PASSPHRASE
    refused: RangeSet = field(default_factory=RangeSet)
    refused_for: Reason = Reason.UNAVAILABLE
    fails_after: int | None = None
    silent: bool = False
    evidence: Evidence = Evidence.SCANNED
    flavour: str = ""
    doubts: frozenset[Doubt] = frozenset()
    archive: bool = False
    chain: str = "one"
    ledger_seconds: float = 0.01
    seed: int = 0
    asked: list[tuple[LedgerRange, Scope]] = field(default_factory=list)
    served: int = 0
    looks: int = 0

    async def identity(self) -> SourceIdentity:
        """Return the scripted network."""
        self._speak()
        return SourceIdentity(
            self.passphrase,
            "scripted",
            None,
            ("scripted://here",),
            proves=self.evidence is Evidence.PROVEN,
        )

    async def reach(self) -> Reach:
        """Return the scripted reach."""
        self._speak()
        self.looks += 1
        return Reach(self.oldest, self.latest, made_close_time(self.latest), self.ledger_seconds, self.archive)

    async def ledger_hash(self, sequence: int) -> str | None:
        """Return a hash that depends on the ledger and on ``chain``."""
        return self._hash(sequence)

    async def windows(self, wanted: LedgerRange, scope: Scope) -> AsyncGenerator[Window | Unserved, None]:
        """Yield the windows of ``wanted`` in a shuffled order, by the script."""
        self.asked.append((wanted, scope))
        pieces = [
            (part, part in refused.ranges)
            for refused in (RangeSet([wanted]) & self.refused,)
            for whole in (*(RangeSet([wanted]) - self.refused), *refused)
            for part in ([whole] if whole in refused.ranges else whole.split(self.window))
        ]
        random.Random(self.seed).shuffle(pieces)  # noqa: S311 - an order, not a secret
        for part, refused_now in pieces:
            await asyncio.sleep(0)
            if refused_now:
                yield Unserved(part, scope, self.refused_for, f"{self.name} refuses by script")
                continue
            self._speak()
            if self.fails_after is not None and self.served >= self.fails_after:
                raise SourceError(f"{self.name} fails by script")
            self.served += 1
            events = [e for e in self.history if part.holds(e.ledger) and scope.holds(e.contract_id)]
            certificates = tuple(self._certificates(part)) if self.evidence is Evidence.PROVEN else ()
            closed_at = made_close_time(part.last)
            yield Window(part, scope, events, self.name, self.evidence, self.flavour, certificates, closed_at)

    async def close(self) -> None:
        """Nothing to close."""

    def _hash(self, sequence: int) -> str:
        return sha256(f"{self.chain}/{sequence}".encode()).hexdigest()

    def _certificates(self, ledgers: LedgerRange) -> Iterator[LedgerCertificate]:
        for ledger in range(ledgers.first, ledgers.last + 1):
            yield LedgerCertificate(
                sequence=ledger,
                hash=self._hash(ledger),
                previous_hash=self._hash(ledger - 1),
                protocol=28,
                close_time=made_close_time(ledger),
                transactions=1,
                invocations=1,
                proven_invocations=1,
                unhashed_events=0,
                flavour=Flavour.V4_CLASSIC,
                doubts=self.doubts,
            )

    def _speak(self) -> None:
        if self.silent:
            raise SourceError(f"{self.name} is silent by script")
