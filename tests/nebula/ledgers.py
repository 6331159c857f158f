"""Real events of stream contracts in ledgers of one's own, stored and projected like synced ones."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from stellarstream_core.events import ContractEvent, format_event_id
from stellarstream_core.projection.projector import Projector
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Window
from stellarstream_core.storage import Storage
from stellarstream_core.testing.scripted import made_close_time, made_contract
from stellarstream_core.xdr.scval import Arm, ScValue, encode_scval
from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, encode
from stellarstream_nebula.model import V1, V2, stream_key
from stellarstream_nebula.projection import NebulaProjection

ONE, TWO, THREE = (made_contract(number) for number in (41, 42, 43))
"""A V1 contract and two V2 contracts; the streams of the first migrate into the second."""
COIN, GEM = (made_contract(number) for number in (51, 52))
FAMILIES = {ONE: V1, TWO: V2, THREE: V2}
MIGRATED_FROM = {TWO: ONE}
SETTINGS = {"nebula": {"contracts": {ONE: "v1", TWO: "v2", THREE: "v2"}, "migrated_from": MIGRATED_FROM}}
"""What the settings say of these contracts."""
START = 100
PEOPLE = [encode(VERSION_ACCOUNT, sha256(b"person %d" % number).digest()) for number in range(6)]
ALICE, BOB, CAROL, DAVE = PEOPLE[:4]


def u32(value: int) -> ScValue:
    return ScValue(Arm.U32, value)


def u64(value: int) -> ScValue:
    return ScValue(Arm.U64, value)


def i128(value: int) -> ScValue:
    return ScValue(Arm.I128, value)


def symbol(text: str) -> ScValue:
    return ScValue(Arm.SYMBOL, text)


def address(text: str) -> ScValue:
    return ScValue(Arm.ADDRESS, text)


def vec(*items: ScValue) -> ScValue:
    return ScValue(Arm.VEC, tuple(items))


def struct(**fields: ScValue) -> ScValue:
    return ScValue(Arm.MAP, tuple((symbol(name), fields[name]) for name in sorted(fields)))


VOID = ScValue(Arm.VOID, None)


@dataclass
class Ledgers:
    """Events in the order they happen; each call is a ledger of its own, ``same()`` stays in the last one."""

    events: list[ContractEvent] = field(default_factory=list)
    ledger: int = START
    index: int = 0
    _stay: bool = False

    @property
    def now(self) -> int:
        """Close time of the present ledger."""
        return made_close_time(self.ledger)

    def skip(self, ledgers: int = 1) -> Ledgers:
        self.ledger += ledgers
        return self

    def same(self) -> Ledgers:
        self._stay = True
        return self

    def next_time(self) -> int:
        return made_close_time(self.ledger if self._stay else self.ledger + 1)

    def publish(self, contract: str, topics: Sequence[ScValue], value: ScValue) -> ContractEvent:
        if self._stay:
            self.index += 1
        else:
            self.ledger, self.index = self.ledger + 1, 0
        self._stay = False
        event = ContractEvent(
            format_event_id(self.ledger, 1, 0, self.index),
            self.ledger,
            self.now,
            sha256(b"transaction in %d" % self.ledger).hexdigest(),
            self.index,
            contract,
            "contract",
            tuple(encode_scval(topic) for topic in topics),
            encode_scval(value),
        )
        self.events.append(event)
        return event

    def _second(self, contract: str, stream: int, name: str, *data: ScValue) -> ContractEvent:
        return self.publish(contract, (u64(stream), symbol(name)), self._nebula(name, *data))

    def _nebula(self, name: str, *data: ScValue) -> ScValue:
        now = u64(self.next_time())
        return struct(action=symbol(name), data=vec(*data), timestamp=now, version=u32(2))

    # --- V2 -------------------------------------------------------------------------------------

    def create(
        self,
        contract: str,
        stream: int,
        sender: str = ALICE,
        receiver: str = BOB,
        token: str = COIN,
        amount: int = 1_000,
        start: int | None = None,
        lasts: int = 1_000,
        cliff: int | None = None,
        memo: str | None = None,
    ) -> ContractEvent:
        now = self.next_time()
        begins = now if start is None else start
        return self._second(
            contract,
            stream,
            "create_v2",
            u64(stream),
            address(sender),
            address(receiver),
            address(token),
            i128(amount),
            u64(begins),
            u64(begins if cliff is None else cliff),
            u64(begins + lasts),
            u64(now),
            VOID if memo is None else symbol(memo),
        )

    def claim(self, contract: str, stream: int, amount: int, total: int, who: str = BOB) -> ContractEvent:
        data = (u64(stream), address(who), i128(amount), i128(total), u64(self.next_time()))
        return self._second(contract, stream, "claim", *data)

    def cancel(self, contract: str, stream: int, to_receiver: int, to_sender: int, who: str = BOB) -> ContractEvent:
        data = (u64(stream), address(who), i128(to_receiver), i128(to_sender), u64(self.next_time()))
        return self._second(contract, stream, "cancel", *data)

    def top_up(self, contract: str, stream: int, extra: int, total: int, end: int, who: str = ALICE) -> ContractEvent:
        data = (u64(stream), address(who), i128(extra), i128(total), u64(end), u64(self.next_time()))
        return self._second(contract, stream, "top_up", *data)

    def beneficiary(self, contract: str, stream: int, old: str, new: str) -> ContractEvent:
        return self._second(contract, stream, "benefic", u64(stream), address(old), address(new), u64(self.next_time()))

    def rebalance(self, contract: str, token: str, bps: int) -> ContractEvent:
        data = (address(token), i128(0), i128(0), i128(bps), u64(self.next_time()))
        return self.publish(contract, (symbol("rebalance"), address(token)), self._nebula("rebalance", *data))

    def migrate(self, contract: str, stream: int, old: int, caller: str, remaining: int) -> ContractEvent:
        data = (u64(stream), u64(old), address(caller), i128(remaining), u64(self.next_time()))
        return self._second(contract, stream, "migrated", *data)

    def batch(self, contract: str, streams: Sequence[int], sender: str = ALICE) -> ContractEvent:
        """Publish what releases of 2026-03 said after a batch: one event of many streams."""
        value = struct(
            sender=address(sender),
            stream_ids=vec(*map(u64, streams)),
            timestamp=u64(self.next_time()),
            total_amount=i128(1),
            total_streams=u32(len(streams)),
        )
        return self.publish(contract, (symbol("batch_create"), address(sender)), value)

    # --- V1 -------------------------------------------------------------------------------------

    def create_v1(
        self,
        contract: str,
        stream: int,
        sender: str = ALICE,
        receiver: str = BOB,
        token: str = COIN,
        amount: int = 1_000,
        lasts: int = 1_000,
    ) -> ContractEvent:
        now = self.next_time()
        value = struct(
            stream_id=u64(stream),
            sender=address(sender),
            receiver=address(receiver),
            token=address(token),
            total_amount=i128(amount),
            start_time=u64(now),
            end_time=u64(now + lasts),
            timestamp=u64(now),
        )
        return self.publish(contract, (symbol("create"), address(sender)), value)

    def pause(self, contract: str, stream: int, who: str = ALICE) -> ContractEvent:
        value = struct(pauser=address(who), stream_id=u64(stream), timestamp=u64(self.next_time()))
        return self.publish(contract, (symbol("pause"), u64(stream)), value)

    def unknown(self, contract: str) -> ContractEvent:
        return self.publish(contract, (symbol("brand_new"),), u64(7))


def store(
    storage: Storage,
    events: Iterable[ContractEvent],
    first: int,
    last: int,
    contracts: Iterable[str] = FAMILIES,
    *,
    wanted_from: int | None = None,
) -> None:
    """Commit the events of a range of ledgers, as a sync does."""
    scope = Scope.of(contracts)
    span = LedgerRange(first, last)
    storage.want(scope, wanted_from or first)
    mine = [event for event in events if span.holds(event.ledger) and scope.holds(event.contract_id)]
    mine.sort(key=lambda event: event.id)
    storage.commit(Window(span, scope, mine, "made", Evidence.PROVEN, closed_at=made_close_time(last)))


def store_shuffled(storage: Storage, events: Sequence[ContractEvent], last: int, seed: int, *, pieces: int = 6) -> None:
    """Commit a history from ``START`` to ``last`` in ranges, these in a random order."""
    dice = random.Random(seed)
    cuts = sorted(dice.sample(range(START + 1, last), min(pieces, last - START - 1)))
    spans = list(zip([START, *cuts], [*(cut - 1 for cut in cuts), last], strict=True))
    dice.shuffle(spans)
    for first, end in spans:
        store(storage, events, first, end, wanted_from=START)


def made_projection(**more: Any) -> NebulaProjection:
    return NebulaProjection(FAMILIES, MIGRATED_FROM, **more)


def project(storage: Storage, projection: NebulaProjection | None = None, *, batch: int = 500) -> None:
    """Fold everything that is committed."""
    projector = Projector(projection or made_projection(), storage, events=batch)
    for _ in range(10_000):
        if projector.step().idle:
            return
    raise AssertionError("the projector does not come to rest")


@dataclass
class Life:
    """A random but possible history of streams, with what the contracts would know of each."""

    seed: int
    ledgers: Ledgers = field(default_factory=Ledgers)
    open: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def play(self, acts: int) -> list[ContractEvent]:
        for _ in range(acts):
            self._act()
        return self.ledgers.events

    def _act(self) -> None:
        dice, ledgers = self.dice, self.ledgers
        if dice.random() < 0.3:
            ledgers.same()
        elif dice.random() < 0.3:
            ledgers.skip(dice.randint(1, 9))
        act = dice.choice(
            ["create"] * 4 + ["claim"] * 3 + ["cancel", "top_up", "benefic", "rebalance", "pause", "v1", "migrate"]
        )
        second = [key for key, known in self.open.items() if known["contract"] != ONE]
        first = [key for key, known in self.open.items() if known["contract"] == ONE]
        if act == "v1":
            self._begin(ONE)
        elif act == "pause" and first:
            known = self.open[dice.choice(first)]
            ledgers.pause(ONE, known["stream"])
        elif act == "migrate" and first:
            self._migrate(dice.choice(first))
        elif act == "rebalance":
            ledgers.rebalance(dice.choice([TWO, THREE]), dice.choice([COIN, GEM]), dice.choice([9_000, 10_000, 5_000]))
        elif act == "create" or not second:
            self._begin(dice.choice([TWO, THREE]))
        else:
            key = dice.choice(second)
            self._go_on(act, key, self.open[key])

    def _migrate(self, old: str) -> None:
        known = self.open.pop(old)
        stream = self.counts.get(TWO, 0)
        self.counts[TWO] = stream + 1
        self.ledgers.migrate(TWO, stream, known["stream"], known["beneficiary"], known["total"])
        self.open[stream_key(TWO, stream)] = {**known, "contract": TWO, "stream": stream}

    def _begin(self, contract: str) -> None:
        dice, ledgers = self.dice, self.ledgers
        stream = self.counts.get(contract, 0)
        self.counts[contract] = stream + 1
        sender, receiver = dice.sample(PEOPLE, 2)
        token, total, lasts = dice.choice([COIN, GEM]), dice.randint(1, 10**20), dice.choice([20, 100, 1_000])
        if contract == ONE:
            ledgers.create_v1(contract, stream, sender, receiver, token, total, lasts)
        else:
            memo = dice.choice([None, "rent", "pay_7"])
            ledgers.create(contract, stream, sender, receiver, token, total, lasts=lasts, memo=memo)
        self.open[stream_key(contract, stream)] = {
            "contract": contract,
            "stream": stream,
            "total": total,
            "withdrawn": 0,
            "end": ledgers.now + lasts,
            "beneficiary": receiver,
        }

    def _go_on(self, act: str, key: str, known: dict[str, Any]) -> None:
        dice, ledgers = self.dice, self.ledgers
        contract, stream, left = known["contract"], known["stream"], known["total"] - known["withdrawn"]
        if act == "claim" and left > 0:
            amount = dice.choice([left, dice.randint(1, left)])
            known["withdrawn"] += amount
            ledgers.claim(contract, stream, amount, known["withdrawn"], known["beneficiary"])
        elif act == "cancel":
            share = dice.randint(0, max(left, 0))
            ledgers.cancel(contract, stream, share, left - share, dice.choice(PEOPLE))
            del self.open[key]
        elif act == "top_up":
            extra = dice.randint(1, 10**12)
            known["total"] += extra
            known["end"] += dice.randint(1, 100)
            ledgers.top_up(contract, stream, extra, known["total"], known["end"])
        elif act == "benefic":
            new = dice.choice(PEOPLE)
            ledgers.beneficiary(contract, stream, known["beneficiary"], new)
            known["beneficiary"] = new
