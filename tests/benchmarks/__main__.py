"""Run every benchmark: ``make bench``."""

from tests.benchmarks import bench_lake, bench_ledgers, bench_scval, bench_storage, bench_sync

for benchmark in (bench_scval, bench_ledgers, bench_lake, bench_storage, bench_sync):
    benchmark.main()
    print()
