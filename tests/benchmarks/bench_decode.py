"""Stream events decoded, beside stellar_sdk: events a second on one core, and the ratio, measured in one run.

Run it with ``python -m tests.benchmarks.bench_decode``. A row is one kind of event with values of its own in each: the
decoder gets the batch whole, and stellar_sdk turns topics and value into Python (which names no field and checks no
shape). ``unknown`` are token transfers, which a stream contract does not publish: what looking and finding nothing
costs. Both sides take turns over several rounds: the best rate counts, and the median of the rounds' ratios.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

from stellar_sdk import scval, xdr

from stellarstream_core.events import ContractEvent
from stellarstream_core.testing.scripted import made_event
from stellarstream_core.xdr import strkey
from stellarstream_nebula.decoders import decoder_specs
from stellarstream_nebula.model import V1, V2

DECODERS = {spec.family: spec.decode for spec in decoder_specs()}

Values = tuple[Sequence[xdr.SCVal], xdr.SCVal]


class Result(NamedTuple):
    """One line of the answer: events a second, and how many times stellar_sdk's that is on the same events."""

    kind: str
    rate: float
    ratio: float


def address(dice: random.Random) -> xdr.SCVal:
    version = dice.choice((strkey.VERSION_ACCOUNT, strkey.VERSION_CONTRACT))
    return scval.to_address(strkey.encode(version, dice.randbytes(32)))


def number(dice: random.Random) -> xdr.SCVal:
    return scval.to_uint64(dice.getrandbits(40))


def amount(dice: random.Random) -> xdr.SCVal:
    return scval.to_int128(dice.getrandbits(70))


def nebula_event(dice: random.Random, name: str, *items: xdr.SCVal) -> Values:
    stream = number(dice)
    data = {
        "action": scval.to_symbol(name),
        "data": scval.to_vec([stream, *items]),
        "timestamp": number(dice),
        "version": scval.to_uint32(2),
    }
    return (stream, scval.to_symbol(name)), scval.to_struct(data)


def created(dice: random.Random) -> Values:
    parties, times = [address(dice) for _ in range(3)], [number(dice) for _ in range(4)]
    return nebula_event(dice, "create_v2", *parties, amount(dice), *times, scval.to_symbol("invoice"))


def claimed(dice: random.Random) -> Values:
    return nebula_event(dice, "claim", address(dice), amount(dice), amount(dice), number(dice))


def created_v1(dice: random.Random) -> Values:
    fields = dict.fromkeys(("end_time", "start_time", "stream_id", "timestamp"), number(dice))
    fields |= {"receiver": address(dice), "sender": address(dice), "token": address(dice)}
    data = scval.to_struct({**fields, "total_amount": amount(dice)})
    return (scval.to_symbol("create"), fields["sender"]), data


def transfer(dice: random.Random) -> Values:
    return (scval.to_symbol("transfer"), address(dice), address(dice), scval.to_string("native")), amount(dice)


KINDS: dict[str, tuple[str, Callable[[random.Random], Values]]] = {
    "V2 create_v2": (V2, created),
    "V2 claim": (V2, claimed),
    "V1 create": (V1, created_v1),
    "unknown": (V2, transfer),
}


def events(make: Callable[[random.Random], Values], count: int) -> list[ContractEvent]:
    dice = random.Random(1)
    made = (make(dice) for _ in range(count))
    template = made_event(5)
    return [
        template._replace(topics=tuple(topic.to_xdr_bytes() for topic in topics), value=value.to_xdr_bytes())
        for topics, value in made
    ]


def sdk_native(batch: Sequence[ContractEvent]) -> list[Any]:
    return [[scval.to_native(xdr.SCVal.from_xdr_bytes(raw)) for raw in (*event.topics, event.value)] for event in batch]


def rate(decode: Callable[[Sequence[ContractEvent]], Any], batch: Sequence[ContractEvent]) -> float:
    """Return events a second of processor time, starting with an empty address cache."""
    strkey.encode.cache_clear()
    started = time.process_time()
    decode(batch)
    return len(batch) / (time.process_time() - started)


def measure(count: int, rounds: int) -> list[Result]:
    """Decode ``count`` events of each kind ``rounds`` times; stellar_sdk gets a twentieth of them each round."""
    results = []
    for kind, (family, make) in KINDS.items():
        batch = events(make, count)
        known = [found is not None for found in DECODERS[family](batch)]
        assert all(known) if kind != "unknown" else not any(known)
        rates, ratios = [], []
        for _ in range(rounds):
            sdk_rate = rate(sdk_native, batch[::20])
            found = rate(DECODERS[family], batch)
            rates.append(found)
            ratios.append(found / sdk_rate)
        results.append(Result(kind, max(rates), median(ratios)))
    return results


def main() -> None:
    print(f"{'stream events':24}{'events/s':>12}{'x stellar_sdk':>16}")
    for result in measure(count=5_000, rounds=7):
        print(f"{result.kind:24}{result.rate:12,.0f}{result.ratio:16.1f}")


if __name__ == "__main__":
    main()
