"""Whole ledgers on one core: walking, events, proof and prefilter, beside stellar_sdk in the same run.

Run it with ``python -m tests.benchmarks.bench_ledgers``. The ledgers are recorded pubnet ones (541, 228 and 250
transactions) and synthetic heavy ones of 2,410 events. ``stellar_sdk`` is ``LedgerCloseMeta.from_xdr_bytes`` of the
same bytes, with the cycle collector as a program has it, and without it. The lake rows are what a source does with an
object of a data lake (SEP-54): zstd, batch, then prefilter or walk; the ledgers are compressed as Galexie does it,
in one frame of level 3 without its content's size. The sides take turns; the best of the rounds counts for the
rate, the median of the rounds' ratios for the ratio.
"""

from __future__ import annotations

import gc
import gzip
import random
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

import zstandard
from stellar_sdk import xdr

from stellarstream_core.xdr import ledger_walk
from stellarstream_core.xdr.ledger import ledger_events, read_batch, read_ledger, signed_for
from stellarstream_core.xdr.prefilter import MAX_SEARCHED, Prefilter
from stellarstream_core.xdr.proof import prove
from stellarstream_core.xdr.strkey import contract_id_bytes
from tests.paths import FIXTURES

AIM_RATE = 60
"""Megabytes a second that one core must walk."""

AIM_RATIO = 30
"""Times as fast as stellar_sdk that must be."""

AIM_SPARSE = 1_000
"""Ledgers a second that one core must rule out for one sparse contract, decompression included."""

PUBNET = "Public Global Stellar Network ; September 2015"


class Result(NamedTuple):
    """One line: megabytes and ledgers a second, and how many times stellar_sdk's rate that is (0: not compared)."""

    what: str
    megabytes: float
    ledgers: float
    ratio: float


def recorded() -> list[bytes]:
    """Return the recorded pubnet ledgers; empty where they are not at hand."""
    paths = sorted(FIXTURES.glob("pubnet-ledgers/ledger-*.xdr.gz"))
    return [gzip.decompress(path.read_bytes()) for path in paths]


def heavy(count: int) -> list[bytes]:
    """Return some of stellar-core's load test ledgers; empty where they are not at hand."""
    path = FIXTURES / "ledger-shapes" / "load-test-ledgers-v28.xdr.zstd"
    if not path.exists():
        return []
    raw = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    found, place = [], 0
    while place < len(raw) and len(found) < count:
        end = place + 4 + (int.from_bytes(raw[place : place + 4], "big") & 0x7FFFFFFF)
        found.append(raw[place + 4 : end])
        place = end
    return found


def lake_object(meta: bytes) -> bytes:
    """Return a lake's object of one ledger: a LedgerCloseMetaBatch, compressed as a stream."""
    sequence = read_ledger(meta).header.sequence.to_bytes(4, "big")
    compressor = zstandard.ZstdCompressor(level=3, write_content_size=False).compressobj()
    return compressor.compress(sequence + sequence + (1).to_bytes(4, "big") + meta) + compressor.flush()


def opened(packed: bytes) -> bytes:
    """Return the one ledger of a lake's object."""
    return read_batch(zstandard.ZstdDecompressor().decompressobj().decompress(packed))[2][0]


def seconds(do: Callable[[bytes], Any], items: Sequence[bytes]) -> float:
    """Return the processor time that ``do`` takes for all items."""
    started = time.process_time()
    for item in items:
        do(item)
    return time.process_time() - started


def stellar_sdk(meta: bytes) -> None:
    xdr.LedgerCloseMeta.from_xdr_bytes(meta)


def without_collector(meta: bytes) -> None:
    gc.disable()
    try:
        xdr.LedgerCloseMeta.from_xdr_bytes(meta)
    finally:
        gc.enable()


def walk(meta: bytes) -> None:
    ledger_walk.read_ledger(ledger_walk.words(meta), 0)


def everything(meta: bytes) -> None:
    ledger_events(read_ledger(meta), None)


def proven(meta: bytes) -> None:
    ledger = read_ledger(meta)
    prove(ledger)
    ledger_events(ledger, None)


def network(meta: bytes) -> None:
    signed_for(meta, PUBNET)


def from_the_lake(contracts: int) -> Callable[[bytes], None]:
    """Return what a source does with an object for so many contracts that are not in the ledger."""
    draw = random.Random(contracts)
    wanted = frozenset(draw.randbytes(32) for _ in range(contracts))
    prefilter = Prefilter(wanted)

    def read(packed: bytes) -> None:
        meta = opened(packed)
        if prefilter.may_hold(meta):
            ledger_events(read_ledger(meta), wanted)

    return read


def busiest(ledgers: Sequence[bytes]) -> Callable[[bytes], None]:
    """Return what a source does with an object for the contract with the most events."""
    events = [event.contract_id for meta in ledgers for event in ledger_events(read_ledger(meta), None)]
    contract = max(set(events) - {None}, key=events.count)
    wanted = frozenset([contract_id_bytes(str(contract))])
    prefilter = Prefilter(wanted)

    def read(packed: bytes) -> None:
        meta = opened(packed)
        if prefilter.may_hold(meta):
            ledger_events(read_ledger(meta), wanted)

    return read


def measure(ledgers: Sequence[bytes], rounds: int, kind: str) -> list[Result]:
    """Do everything with the ledgers ``rounds`` times."""
    if not ledgers:
        return []
    packed = [lake_object(meta) for meta in ledgers]
    size = sum(map(len, ledgers)) / 1e6
    baseline = "stellar_sdk"
    tasks: dict[str, tuple[Callable[[bytes], Any], Sequence[bytes], int]] = {
        baseline: (stellar_sdk, ledgers, 1),
        "stellar_sdk, no collector": (without_collector, ledgers, 1),
        "walk": (walk, ledgers, 5),
        "read and all events": (everything, ledgers, 5),
        "read, proof, all events": (proven, ledgers, 5),
        "network of a ledger": (network, ledgers, 5),
        "zstd alone": (opened, packed, 10),
        **{f"lake, {count} absent": (from_the_lake(count), packed, 10) for count in (1, 5, 25, MAX_SEARCHED)},
        f"lake, {MAX_SEARCHED + 1} absent": (from_the_lake(MAX_SEARCHED + 1), packed, 5),
        "lake, 1 busy": (busiest(ledgers), packed, 5),
    }
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, (do, items, times) in tasks.items():
            taken[name].append(seconds(do, items * times) / times)
    results = []
    for name, found in taken.items():
        ratios = [slow / fast for slow, fast in zip(taken[baseline], found, strict=True)]
        best = min(found)
        results.append(Result(f"{kind}: {name}", size / best, len(ledgers) / best, median(ratios)))
    return results


def main() -> None:
    results = measure(recorded(), rounds=7, kind="pubnet") + measure(heavy(3), rounds=5, kind="heavy")
    if not results:
        print("recorded ledgers are not at hand")
        return
    print(f"{'what':38}{'MB/s':>9}{'ledgers/s':>11}{'x stellar_sdk':>15}")
    for result in results:
        print(f"{result.what:38}{result.megabytes:9,.1f}{result.ledgers:11,.0f}{result.ratio:15.1f}")
    named = {result.what: result for result in results}
    walked, sparse = named["pubnet: walk"], named["pubnet: lake, 1 absent"]
    print(f"aim: {AIM_RATE} MB/s; walking does {walked.megabytes / AIM_RATE:.1f} times that")
    print(f"aim: {AIM_RATIO} times stellar_sdk; walking is {walked.ratio / AIM_RATIO:.1f} times that")
    print(f"aim: {AIM_SPARSE:,} ledgers a second for a sparse contract; {sparse.ledgers / AIM_SPARSE:.1f} times that")


if __name__ == "__main__":
    main()
