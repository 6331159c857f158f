"""The walker stays far ahead of stellar_sdk; the benchmark says how far exactly."""

from tests.benchmarks.bench_ledgers import AIM_RATIO, recorded, seconds, stellar_sdk, walk
from tests.paths import fixture


def test_walking_is_far_ahead_of_stellar_sdk():
    fixture("pubnet-ledgers")
    ledger = recorded()[1]
    # 90 to 130 is what a quiet machine shows; the best of several short walks is steady also on a busy one.
    slow = seconds(stellar_sdk, [ledger])
    quick = min(seconds(walk, [ledger]) for _ in range(9))
    assert slow / quick > AIM_RATIO / 3, "the aim is for the benchmark: here others use the machine as well"
