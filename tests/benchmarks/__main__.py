"""Run every benchmark: ``make bench``."""

from tests.benchmarks import (
    bench_api,
    bench_decode,
    bench_lake,
    bench_ledgers,
    bench_live,
    bench_scval,
    bench_storage,
    bench_streams,
    bench_sync,
)

for benchmark in (
    bench_scval,
    bench_decode,
    bench_ledgers,
    bench_lake,
    bench_storage,
    bench_sync,
    bench_live,
    bench_api,
    bench_streams,
):
    benchmark.main()
    print()
