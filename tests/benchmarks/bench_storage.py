"""What ``commit`` costs beside the bare driver: the same events into the same schema, as a ratio in one run.

Run it alone: ``python -m tests.benchmarks.bench_storage [EVENTS] [EVENTS_PER_WINDOW]``. The bare loop
turns the events into rows and writes them and their transactions with ``executemany`` or ``COPY``, one
transaction a window, and checks nothing. ``commit`` does all of its work: checks, contract set,
coverage, watermark, counters, position. Both take turns over several rounds, each into a new database;
the rates are the best of each side, the ratio is the median of the rounds'. ``again`` commits the same windows once more, where every event is known.

PostgreSQL is measured where STELLARSTREAM_TEST_POSTGRES_URL names a server.
"""

from __future__ import annotations

import gc
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from stellarstream_core.events import ContractEvent, format_event_id
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Window
from stellarstream_core.testing.scripted import made_contract
from stellarstream_sql import statements
from stellarstream_sql.batch import tx_order
from stellarstream_sql.rows import to_row
from stellarstream_sql.sqlite import CACHE_KIB, CHECKPOINT_PAGES
from stellarstream_sql.storage import open_postgresql, open_sqlite

ROUNDS = 6
FIRST_LEDGER = 60_000_000
AIM = 0.75
"""The least share of the bare driver's rate that ``commit`` must reach."""


def transfers(count: int, per_ledger: int = 25) -> list[ContractEvent]:
    """Token transfers of one contract: a symbol and two addresses as topics, an i128 as value, two to a transaction."""
    draw = random.Random(1)
    contract = made_contract(1)
    parties = [b"\x00\x00\x00\x12\x00\x00\x00\x00\x00\x00\x00\x00" + draw.randbytes(32) for _ in range(2_000)]
    events: list[ContractEvent] = []
    while len(events) < count:
        number = len(events)
        ledger, place = FIRST_LEDGER + number // per_ledger, number % per_ledger
        if place % 2 == 0:
            tx_hash = draw.randbytes(32).hex()
        topics = (b"\x00\x00\x00\x0f\x00\x00\x00\x08transfer", draw.choice(parties), draw.choice(parties))
        value = b"\x00\x00\x00\x0a" + draw.randbytes(16)
        event_id = format_event_id(ledger, place // 2 + 1, 0, place % 2)
        events.append(
            ContractEvent(event_id, ledger, 1_700_000_000, tx_hash, place % 2, contract, "contract", topics, value)
        )
    return events


def windows_of(events: Sequence[ContractEvent], size: int) -> list[Window]:
    scope = Scope.of([made_contract(1)])
    windows: list[Window] = []
    first = events[0].ledger
    for at in range(0, len(events), size):
        part = events[at : at + size]
        windows.append(Window(LedgerRange(first, part[-1].ledger), scope, part, "bench"))
        first = part[-1].ledger + 1
    return windows


def row_and_place(events: Sequence[ContractEvent]) -> tuple[list[tuple], list[tuple]]:
    rows = [(*to_row(event), 1) for event in events]
    places = {event.tx_hash: (event.tx_hash, event.ledger, tx_order(event.id)) for event in events}
    return rows, sorted(places.values())


@contextmanager
def sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'bench.db'}"


def bare_sqlite(url: str, windows: Sequence[Window]) -> float:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    for pragma in ("synchronous = NORMAL", f"cache_size = -{CACHE_KIB}", f"wal_autocheckpoint = {CHECKPOINT_PAGES}"):
        connection.execute(f"PRAGMA {pragma}")
    began = time.perf_counter()
    for window in windows:
        rows, places = row_and_place(window.events)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statements.ADD_TRANSACTION_SQLITE, places)
        connection.executemany(statements.ADD_EVENT_SQLITE, rows)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - began
    connection.close()
    return seconds


def bare_postgresql(url: str, windows: Sequence[Window]) -> float:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        began = time.perf_counter()
        for window in windows:
            rows, places = row_and_place(window.events)
            with connection.transaction(), connection.cursor() as cursor:
                with cursor.copy("COPY transactions FROM STDIN (FORMAT BINARY)") as copy:
                    copy.set_types(["text", "int8", "int8"])
                    for place in places:
                        copy.write_row(place)
                with cursor.copy(statements.COPY_EVENTS_POSTGRESQL) as copy:
                    copy.set_types(statements.EVENT_TYPES)
                    for row in rows:
                        copy.write_row(row)
        return time.perf_counter() - began


def committed(storage, windows: Sequence[Window]) -> float:
    began = time.perf_counter()
    for window in windows:
        storage.commit(window)
    return time.perf_counter() - began


def measure(name: str, database: Callable, opener: Callable, bare: Callable, windows: Sequence[Window]) -> float:
    count = sum(len(window.events) for window in windows)
    ours, theirs, again = [], [], []

    def run_bare() -> None:
        with database() as url:
            opened = opener(url)
            opened.migrate()
            opened.close()
            theirs.append(bare(url, windows))

    def run_ours() -> None:
        with database() as url:
            storage = opener(url)
            storage.migrate()
            storage.durable = False
            storage.want(windows[0].scope, windows[0].range.first)
            ours.append(committed(storage, windows))
            again.append(committed(storage, windows))
            assert storage.totals().events == count
            storage.close()

    for number in range(ROUNDS):  # who comes second finds the server busy with dropping the first one's database
        for run in (run_bare, run_ours) if number % 2 else (run_ours, run_bare):
            run()
    ratio = median(other / own for own, other in zip(ours, theirs, strict=True))
    print(
        f"{name:11s} commit {count / min(ours):8,.0f} events/s   bare {count / min(theirs):8,.0f}   "
        f"ratio {ratio:.2f} (aim {AIM})   again {count / min(again):8,.0f}",
        flush=True,
    )
    return ratio


def main(count: int = 60_000, size: int = 3_000) -> None:
    windows = windows_of(transfers(count), size)
    gc.collect()
    gc.freeze()  # neither side shall pay for looking through the made events
    print(f"{count} events, {size} a window, {ROUNDS} rounds; SQLite with synchronous = NORMAL on both sides")
    measure("sqlite", sqlite, open_sqlite, bare_sqlite, windows)
    server = os.environ.get("STELLARSTREAM_TEST_POSTGRES_URL")
    if server:
        from tests.postgres import throw_away_database

        measure("postgresql", lambda: throw_away_database(server), open_postgresql, bare_postgresql, windows)
    else:
        print("postgresql  not measured: STELLARSTREAM_TEST_POSTGRES_URL names no server")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
