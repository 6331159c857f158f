"""ScVal decoding beside stellar_sdk: events a second on one core, and the ratio, measured in one run.

Run it with ``python -m tests.benchmarks.bench_scval``. The events are token transfers: three topics (the symbol
``transfer`` and two addresses) and an i128. ``recurring`` draws its addresses from 2,000, about as often as a busy
ledger repeats them; ``all new`` never has an address twice, so that no cache helps. The recorded rows are the
events of pubnet ledgers as they were. Both sides take turns over several rounds: the best rate counts, and the
median of the rounds' ratios.
"""

from __future__ import annotations

import gzip
import json
import random
import time
from base64 import b64decode
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

from stellar_sdk import scval as sdk_scval
from stellar_sdk import xdr

from stellarstream_core.xdr import strkey
from stellarstream_core.xdr.scval import Arm, ScValue, decode_native, decode_scval, encode_scval, scval_to_json
from tests.paths import FIXTURES

Event = tuple[bytes, ...]
"""The XDR of an event's topics and, last, of its value."""

VIEWS: tuple[Callable[[bytes], Any], ...] = (decode_native, scval_to_json, decode_scval)

AIM = 100_000
"""Three-topic events a second that one core must decode."""


class Result(NamedTuple):
    """One line of the answer: events a second, and how many times stellar_sdk's that is on the same events."""

    view: str
    events: str
    rate: float
    ratio: float


def transfers(count: int, addresses: int | None, seed: int = 1) -> list[Event]:
    """Return ``count`` transfers between ``addresses`` parties (None: each party appears once)."""
    draw = random.Random(seed)

    def party() -> bytes:
        version = draw.choice((strkey.VERSION_ACCOUNT, strkey.VERSION_CONTRACT))
        return encode_scval(ScValue(Arm.ADDRESS, strkey.encode(version, draw.randbytes(32))))

    known = [party() for _ in range(addresses or 0)]
    name = encode_scval(ScValue(Arm.SYMBOL, "transfer"))
    return [
        (
            name,
            draw.choice(known) if known else party(),
            draw.choice(known) if known else party(),
            encode_scval(ScValue(Arm.I128, draw.getrandbits(60))),
        )
        for _ in range(count)
    ]


def recorded() -> list[Event]:
    """Return the events of the recorded pubnet ledgers; empty where they are not at hand."""
    found = []
    for path in sorted(FIXTURES.glob("pubnet-ledgers/getEvents-expected-*.jsonl.gz")):
        with gzip.open(path, "rt") as lines:
            for event in map(json.loads, lines):
                found.append(tuple(b64decode(text) for text in [*event.get("topic", ()), event["value"]]))
    return found


def sdk_native(raw: bytes) -> Any:
    return sdk_scval.to_native(xdr.SCVal.from_xdr_bytes(raw))


def rate(decode: Callable[[bytes], Any], events: Sequence[Event]) -> float:
    """Return events a second of processor time, starting with an empty address cache."""
    strkey.encode.cache_clear()
    started = time.process_time()
    for event in events:
        for raw in event:
            decode(raw)
    return len(events) / (time.process_time() - started)


def measure(count: int, rounds: int) -> list[Result]:
    """Decode ``count`` events of each kind ``rounds`` times; stellar_sdk gets a twentieth of them each round."""
    kinds = {
        "transfers, recurring": transfers(count, addresses=2000),
        "transfers, all new": transfers(count, addresses=None),
        "recorded on pubnet": recorded(),
    }
    results = []
    for kind, events in kinds.items():
        rates: dict[str, list[float]] = {view.__name__: [] for view in VIEWS}
        ratios: dict[str, list[float]] = {view.__name__: [] for view in VIEWS}
        for _ in range(rounds if events else 0):
            sdk_rate = rate(sdk_native, events[::20])
            for view in VIEWS:
                found = rate(view, events)
                rates[view.__name__].append(found)
                ratios[view.__name__].append(found / sdk_rate)
        results += [Result(name, kind, max(rates[name]), median(ratios[name])) for name in rates if rates[name]]
    return results


def main() -> None:
    results = measure(count=20_000, rounds=9)
    print(f"{'view':16}{'events':24}{'events/s':>12}{'x stellar_sdk':>16}")
    for result in results:
        print(f"{result.view:16}{result.events:24}{result.rate:12,.0f}{result.ratio:16.1f}")
    slowest = min(result.rate for result in results if result.view != "decode_scval")
    print(f"aim: {AIM:,} a second for the native and the JSON view; the slowest is {slowest / AIM:.1f} times that")


if __name__ == "__main__":
    main()
