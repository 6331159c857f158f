"""Run every benchmark: ``make bench``."""

from tests.benchmarks import bench_api, bench_lake, bench_ledgers, bench_live, bench_scval, bench_storage, bench_sync

for benchmark in (bench_scval, bench_ledgers, bench_lake, bench_storage, bench_sync, bench_live, bench_api):
    benchmark.main()
    print()
