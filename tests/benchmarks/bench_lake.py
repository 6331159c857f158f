"""Lake pipeline end to end into SQLite and PostgreSQL, for 1, 5, 25 and all contracts, as ratios in one run.

The lake is a chain of recorded pubnet ledgers (some 1.1 MB each, other hashes in each copy) in a directory.

- ours: a whole ``sync`` in a process of its own, its peak of memory noted;
- plain: decompress and read the same objects one by one in one thread, nothing else: with proof
  decompress, walk, check all hashes, take the events; without proof decompress and search for the
  contract ids, and walk where one occurs.

Run it alone: ``python -m tests.benchmarks.bench_lake [LEDGERS]``.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import orjson

from tests.benchmarks.bench_sync import fresh_postgresql, fresh_sqlite, open_storage
from tests.data_lake.pubnet import FIRST, PASSPHRASE, SEQUENCES, templates, write_lake
from tests.paths import FIXTURES
from tests.postgres import ENVIRONMENT, NoPostgresError, server_url

ROUNDS = 2
SCOPES = (1, 5, 25, 0)
"""How many contracts; 0 is all."""

MOST_MEMORY = 300
"""Megabytes that the whole process may take."""


def scope_of(size: int, contracts: list[str]) -> list[str]:
    """Contracts that one ledger in twenty has events of, as those of an application are; or everything."""
    return contracts[:size] if size else ["*"]


# --- ours ---------------------------------------------------------------------------------------


def ours(url: str, database: str, ledgers: str, prove: str, *contracts: str) -> None:
    """Sync in this process and print seconds, events and the peak of memory in MB."""
    from stellarstream_core.plugins import Plugins
    from stellarstream_core.scope import Scope
    from stellarstream_core.settings import load_settings
    from stellarstream_core.sync.progress import Silence
    from stellarstream_core.sync.run import SyncRequest, SyncRun

    async def run():
        settings = load_settings(
            environ={},
            flags={
                "network": "bench",
                "network_passphrase": PASSPHRASE,
                "lake_url": [url],
                "database_url": database,
                "prove": prove == "prove",
            },
        )
        source = await Plugins.load(built_in_only=True).sources()["data-lake"].open(settings)
        request = SyncRequest(FIRST, FIRST + int(ledgers) - 1, Scope.of(contracts))
        try:
            return await SyncRun(request, storage, [source], PASSPHRASE, Silence()).execute(asyncio.Event())
        finally:
            await source.close()

    storage = open_storage(database)
    began = time.perf_counter()
    report = asyncio.run(run())
    seconds = time.perf_counter() - began
    storage.close()
    assert not report.coverage.gaps, report.coverage.gaps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(orjson.dumps([seconds, report.counts.new, peak]).decode())


def in_a_process(function: str, *arguments: str) -> tuple[float, int, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bench_lake", function, *arguments],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr.decode()[-4_000:])
    return tuple(orjson.loads(done.stdout.splitlines()[-1]))


# --- the same objects, read and nothing else ----------------------------------------------------


def plain(root: str, prove: str, *contracts: str) -> None:
    """Read a lake's objects in this process and print seconds, events and the peak of memory in MB."""
    from hashlib import sha256

    import zstandard

    from stellarstream_core.xdr.ledger import ledger_events, read_batch, read_ledger, read_ledger_header
    from stellarstream_core.xdr.prefilter import Prefilter
    from stellarstream_core.xdr.proof import prove as proved
    from stellarstream_core.xdr.strkey import contract_id_bytes

    network = sha256(PASSPHRASE.encode()).digest()
    wanted = None if contracts == ("*",) else frozenset(map(contract_id_bytes, contracts))
    prefilter = Prefilter(wanted)
    events = 0
    began = time.perf_counter()
    for path in sorted(Path(root).glob("*/*.zst"), reverse=True):
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
        for meta in read_batch(raw)[2]:
            if prove != "prove" and not prefilter.may_hold(meta):
                read_ledger_header(meta)
                continue
            ledger = read_ledger(meta)
            if prove == "prove":
                proved(ledger, network)
            events += len(ledger_events(ledger, wanted))
    print(orjson.dumps([time.perf_counter() - began, events, 0]).decode())


# --- the run ------------------------------------------------------------------------------------


@contextmanager
def lake(ledgers: int, per_batch: int = 1):
    with tempfile.TemporaryDirectory() as folder:
        found = templates()
        packed, raw = write_lake(Path(folder), found, ledgers, per_batch)
        print(f"{ledgers} ledgers: {raw / ledgers / 1e6:.2f} MB each, {packed / ledgers / 1e3:.0f} KB in the lake")
        seldom, *usual = found
        elsewhere = {contract for one in usual for contract in one.contracts}
        counts = Counter(contract for contract in seldom.contracts if contract and contract not in elsewhere)
        yield folder, [contract for contract, _ in counts.most_common()]


def measure(kind: str, fresh, folder: str, ledgers: int, contracts: list[str]) -> list[dict[str, float]]:
    results = []
    for prove in ("prove", "scan"):
        for size in SCOPES:
            scope = scope_of(size, contracts)
            best, reference, peak = 0.0, 0.0, 0.0
            for _ in range(ROUNDS):
                with fresh() as database:
                    seconds, events, memory = in_a_process(
                        "ours", f"file://{folder}", database, str(ledgers), prove, *scope
                    )
                best, peak = max(best, ledgers / seconds), max(peak, memory)
                seconds, same, _ = in_a_process("plain", folder, prove, *scope)
                assert same == events, (same, events)
                reference = max(reference, ledgers / seconds)
            named = f"{size or 'all'} contract{'' if size == 1 else 's'}"
            print(
                f"{kind:<11} {'proven' if prove == 'prove' else 'not proven':<10} {named:<13} "
                f"{best:>7,.0f} ledgers/s   {best / reference:.2f} of reading alone ({reference:,.0f})   "
                f"{events / ledgers:>6.1f} events a ledger   peak memory {peak:.0f} MB",
                flush=True,
            )
            results.append({"ratio": best / reference, "memory": peak, "contracts": size, "proven": prove == "prove"})
    return results


def main(ledgers: int = 200) -> dict[str, list[dict[str, float]]]:
    if not all((FIXTURES / f"pubnet-ledgers/ledger-{one}.xdr.gz").exists() for one in SEQUENCES):
        print("lake left out: the recorded pubnet ledgers are not at hand")
        return {}
    print(f"lake to database, best of {ROUNDS}:", flush=True)
    results = {}
    with lake(ledgers) as (folder, contracts):
        results["sqlite"] = measure("SQLite", fresh_sqlite, folder, ledgers, contracts)
        try:
            with server_url() as url:
                os.environ[ENVIRONMENT] = url
                results["postgresql"] = measure("PostgreSQL", fresh_postgresql, folder, ledgers, contracts)
        except NoPostgresError as error:
            print(f"PostgreSQL left out: {error}")
    peak = max(one["memory"] for found in results.values() for one in found)
    assert peak < MOST_MEMORY, f"{peak:.0f} MB"
    return results


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["ours", *arguments]:
            ours(*arguments)
        case ["plain", *arguments]:
            plain(*arguments)
        case arguments:
            main(*map(int, arguments))
