"""The decoder stays an order of magnitude ahead of stellar_sdk; the benchmark says how far exactly."""

from tests.benchmarks.bench_scval import measure


def test_native_and_json_views_are_far_ahead_of_stellar_sdk():
    # A busy machine moves the ratio of a short run a good deal; 15 to 30 is what a quiet one shows.
    results = measure(count=2_000, rounds=3)
    assert {result.view for result in results} == {"decode_native", "scval_to_json", "decode_scval"}
    for result in results:
        assert result.ratio > 5, result
