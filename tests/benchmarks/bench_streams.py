"""What reading streams costs as they grow in number, on PostgreSQL: list, one, history and search, over HTTP.

The rows are made inside the database, ten events a stream, as the projection would have written them: an
ordinary address has some twenty streams, one (the "whale") sends a fiftieth of all. The API runs in this process;
each question is asked many times, of different addresses, one after the other. Printed are milliseconds (median
and the 95th percentile) and how often the median is that of the first size.

``make bench`` stops at a hundred thousand streams; ``python -m tests.benchmarks.bench_streams [STREAMS]...`` goes on to a
million, which take some ten minutes to make and about 15 GB. A server is needed: STELLARSTREAM_TEST_POSTGRES_URL, or one that can be started.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from statistics import median

import aiohttp
import orjson
import psycopg

from stellarstream_core.runtime import Runtime
from stellarstream_core.storage import Storage
from stellarstream_core.testing.api import serving
from stellarstream_core.testing.scripted import made_close_time
from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, encode
from stellarstream_nebula import state_codec
from stellarstream_nebula.decoders import decoder_specs
from stellarstream_nebula.fold import BLANK, Fold, FoldEntry, advance
from stellarstream_nebula.model import V2
from tests.nebula.ledgers import ALICE, BOB, COIN, GEM, TWO, Ledgers
from tests.postgres import NoPostgresError, server_url, throw_away_database

SIZES = (10_000, 100_000)
ALL_SIZES = (*SIZES, 1_000_000)
EVENTS = 10
WHALE = encode(VERSION_ACCOUNT, sha256(b"whale").digest())
FIRST_LEDGER = 1_000
STREAM = 0x0102030405060708
"""The stream id of the samples, whose bytes are replaced by each stream's own."""
ROUNDS = 60
DECODE = {spec.family: spec.decode for spec in decoder_specs()}[V2]


def say(**what: object) -> None:
    print(orjson.dumps(what).decode(), flush=True)


# --- making rows ------------------------------------------------------------------------------------


def with_id(raw: bytes) -> str:
    """Return the SQL of bytes in which the sample's id is the stream's."""
    parts = raw.split(STREAM.to_bytes(8, "big"))
    return " || int8send(n) || ".join(f"'\\x{part.hex()}'::bytea" for part in parts)


def samples() -> tuple[bytes, list[tuple[bytes, ...]]]:
    """Return a stream's state, and topics and value of its creation and of a claim."""
    ledgers = Ledgers()
    ledgers.create(TWO, STREAM, ALICE, BOB, COIN, 10**12, lasts=10**7, memo="MEMO")
    ledgers.claim(TWO, STREAM, 10, 10)
    key = f"{TWO}-{STREAM}"
    (decoded,) = DECODE(ledgers.events[:1])
    folded: Fold = advance(BLANK, [FoldEntry(key, ledgers.events[0], decoded)], key, {})
    state = state_codec.encode(folded)
    assert state is not None
    return state, [(*event.topics, event.value) for event in ledgers.events]


def place(event: str, streams: int) -> tuple[str, str, str]:
    """Return the SQL of where an event of stream ``n`` is: its slot, ledger and id. A stream's events are far apart."""
    slot = f"(n + {event} * {streams // 8})"
    ledger = f"({FIRST_LEDGER} + {slot} / 50)"
    toid = f"(({ledger})::bigint << 32) | ((1 + {slot} % 50) << 12)"
    return slot, ledger, f"lpad(({toid})::text, 19, '0') || '-' || lpad(({event})::text, 10, '0')"


def without_indexes(connection: psycopg.Connection) -> list[str]:
    """Take indexes and log off the tables that are filled; return the statements that bring the indexes back."""
    filled = "c.relname = 'events' OR c.relname LIKE 'nebula_%' OR c.relname = 'projection_entries'"
    named = f"n.nspname = 'public' AND c.relkind = 'r' AND ({filled})"
    tables = f"pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND {named}"
    for (table,) in connection.execute(f"SELECT c.oid::regclass::text FROM {tables}").fetchall():
        connection.execute(f"ALTER TABLE {table} SET UNLOGGED")
    keys = connection.execute(
        f"SELECT c.oid::regclass::text, k.conname, pg_get_constraintdef(k.oid) FROM {tables} "
        "JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype IN ('p', 'u')"
    ).fetchall()
    for table, name, _ in keys:
        connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    indexes = connection.execute(
        f"SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM {tables} "
        "JOIN pg_index i ON i.indrelid = c.oid"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    return [
        *(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}' for table, name, definition in keys),
        *(definition for _, definition in indexes),
    ]


def fill(url: str, streams: int) -> None:
    """Write the rows of so many streams."""
    state, (created, claimed) = samples()
    template = state.decode()
    for old, new in ((str(STREAM), "%id"), (ALICE, "%sender"), (BOB, "%receiver"), (COIN, "%token"), ("MEMO", "%memo")):
        assert old in template, old
        template = template.replace(old, new)
    people = [encode(VERSION_ACCOUNT, sha256(b"person %d" % n).digest()) for n in range(max(10, streams // 10))]
    last = FIRST_LEDGER + (streams + EVENTS * (streams // 8)) // 50 + 10
    with psycopg.connect(url, autocommit=True) as connection:
        run = connection.execute
        run("SET maintenance_work_mem = '512MB'")
        later = without_indexes(connection)
        run("CREATE UNLOGGED TABLE people (n bigint PRIMARY KEY, address text)")
        with connection.cursor() as cursor, cursor.copy("COPY people FROM STDIN") as copy:
            for row in enumerate(people):
                copy.write_row(row)
        run(f"""
            CREATE UNLOGGED TABLE made AS SELECT g.n,
                CASE WHEN g.n % 50 = 0 THEN '{WHALE}' ELSE a.address END AS sender, b.address AS receiver,
                CASE WHEN g.n % 3 = 0 THEN '{GEM}' ELSE '{COIN}' END AS token,
                CASE WHEN g.n % 4 = 0 THEN 'order_' || g.n END AS memo,
                CASE WHEN g.n % 1000 = 7 THEN 'PAUSED' WHEN g.n % 10 = 3 THEN 'CANCELED' ELSE 'ACTIVE' END AS status
            FROM generate_series(0::bigint, {streams - 1}) AS g(n)
            JOIN people AS a ON a.n = g.n * 7919 % {len(people)} JOIN people AS b ON b.n = g.n * 104729 % {len(people)}
        """)
        slot, ledger, event_id = place("e", streams)
        _, created_ledger, created_event = place("0", streams)
        _, updated_ledger, _ = place(str(EVENTS - 1), streams)
        run(f"""
            INSERT INTO events (id, ledger, closed_at, tx_hash, event_index, contract_id, type, topic0, topic1, value, window_id)
            SELECT {event_id}, {ledger}, {made_close_time(0)} + 5 * {ledger}, encode(sha256(int8send({slot})), 'hex'), e,
                '{TWO}', 'contract', {with_id(created[0])},
                CASE WHEN e = 0 THEN '\\x{created[1].hex()}'::bytea ELSE '\\x{claimed[1].hex()}'::bytea END,
                CASE WHEN e = 0 THEN {with_id(created[2])} ELSE {with_id(claimed[2])} END, 1
            FROM made, generate_series(0, {EVENTS - 1}) AS e
        """)
        run(f"""
            INSERT INTO nebula_streams (key, contract_id, stream_id, family, sender, receiver, beneficiary, token, memo,
                base_status, shown_status,
                completes_at, amount, withdrawn, held, created_event, created_ledger, created_at,
                updated_ledger, tx_hash, state)
            SELECT '{TWO}-' || n, '{TWO}', n::text, '{V2}', sender, receiver, receiver, token, memo, status,
                CASE WHEN status = 'ACTIVE' AND {made_close_time(FIRST_LEDGER)} + n * 10 <= {made_close_time(last)} THEN 'COMPLETED' ELSE status END,
                CASE WHEN status = 'ACTIVE' THEN {made_close_time(FIRST_LEDGER)} + n * 10 END, '1000000000000', '10',
                '999999999990', {created_event}, {created_ledger}, {made_close_time(FIRST_LEDGER)} + n,
                {updated_ledger}, encode(sha256(int8send(n)), 'hex'),
                convert_to(replace(replace(replace(replace(replace($${template}$$, '%id', n::text), '%sender', sender),
                    '%receiver', receiver), '%token', token), '%memo', coalesce(memo, '')), 'UTF8')
            FROM made
        """)
        for table, rows in {
            "nebula_links (key, event_id, contract_id, type, digest, hash)": f"""
                SELECT '{TWO}-' || n, {event_id}, '{TWO}', CASE WHEN e = 0 THEN 'create_v2' ELSE 'claim' END,
                    sha256(int8send(n)), sha256(int8send(n + e)) FROM made, generate_series(0, {EVENTS - 1}) AS e
            """,
            "projection_entries (projection, key, event_id)": "SELECT 'nebula', key, event_id FROM nebula_links",
            "nebula_chains (key, links, head, last_event, revision)": """
                SELECT key, count(*), sha256(convert_to(key, 'UTF8')), max(event_id), 0 FROM nebula_links GROUP BY key
            """,
            "nebula_totals": f"""
                SELECT '{TWO}', token, status, count(*), (count(*) * 1000000000000)::text, '0', '0', 0
                FROM made GROUP BY token, status
            """,
            "nebula_completions": """
                SELECT contract_id, one, days, completes_at / 86400 / days, count(*) FROM nebula_streams,
                    LATERAL (VALUES (token), ('*')) AS t (one), (VALUES (1), (64)) AS d (days)
                WHERE completes_at IS NOT NULL GROUP BY 1, 2, 3, 4
            """,
            "projection_reach": f"SELECT 'nebula', '{TWO}', {last}, {made_close_time(last)}, 1, {last}, 1",
        }.items():
            run(f"INSERT INTO {table} {rows}")
        run("DROP TABLE made, people")
        for statement in later:
            run(statement)
        run("VACUUM ANALYZE")


# --- asking -----------------------------------------------------------------------------------------


def questions(streams: int) -> Iterator[tuple[str, list[str]]]:
    """Yield each kind of question with its addresses, different each time."""
    dice = random.Random(5)
    some = max(10, streams // 10)
    people = [encode(VERSION_ACCOUNT, sha256(b"person %d" % dice.randrange(some)).digest()) for _ in range(ROUNDS)]
    ids = [f"{TWO}-{dice.randrange(streams)}" for _ in range(ROUNDS)]
    yield "streams of an address", [f"/streams?address={person}" for person in people]
    yield "streams of an address, two filters", [f"/streams?address={one}&token={COIN}&status=ACTIVE" for one in people]
    yield "streams of the whale", [f"/streams?address={WHALE}&limit={50 + n}" for n in range(ROUNDS)]
    yield (
        "the whale's, far down",
        [f"/streams?address={WHALE}&offset={max(0, min(10_000, streams // 60) - n)}" for n in range(ROUNDS)],
    )
    yield "the whale's that are paused", [f"/streams?sender={WHALE}&status=PAUSED&limit={1 + n}" for n in range(ROUNDS)]
    yield "newest streams", [f"/streams?limit={1 + n}" for n in range(ROUNDS)]
    yield "streams of a token", [f"/streams?token={GEM}&limit={1 + n}" for n in range(ROUNDS)]
    yield "paused streams of a token", [f"/streams?token={GEM}&status=PAUSED&limit={1 + n}" for n in range(ROUNDS)]
    yield "completed by the clock", [f"/streams?status=COMPLETED&limit={1 + n}" for n in range(ROUNDS)]
    yield "one stream", [f"/streams/{one}" for one in ids]
    yield "history of one stream", [f"/audit-log/{one}" for one in ids]
    yield "history of an address", [f"/audit-log?address={person}" for person in people]
    yield "history of the whale", [f"/audit-log?address={WHALE}&limit={50 + n}" for n in range(ROUNDS)]
    yield "newest history", [f"/audit-log?limit={1 + n}" for n in range(ROUNDS)]
    yield "search by address", [f"/search?q={person}" for person in people]
    yield "search by number", [f"/search?q={dice.randrange(streams)}" for _ in range(ROUNDS)]
    yield "search by memo", [f"/search?q=order_{4 * dice.randrange(streams // 4)}" for _ in range(ROUNDS)]
    yield "statistics", ["/stats"] * ROUNDS


async def ask(url: str, streams: int) -> dict[str, list[float]]:
    """Ask every question and return the milliseconds each took."""
    flags = {
        "network": "sandbox",
        "rpc_url": ["http://127.0.0.1:9"],
        "database_url": url,
        "rate_limit": "off",
        "secret_key": "a secret of the benchmark, 32 characters or more",
        "plugins": {"nebula": {"contracts": {TWO: "v2"}}},
    }
    taken: dict[str, list[float]] = {}
    async with serving(Runtime(flags=flags)) as served, aiohttp.ClientSession() as session:
        for name, paths in questions(streams):
            times = taken[name] = []
            for path in paths:
                began = time.perf_counter()
                async with session.get(f"{served.url}/api/v1{path}") as answer:
                    await answer.read()
                    assert answer.status == 200, (path, await answer.text())
                times.append((time.perf_counter() - began) * 1_000)
    return taken


def prepared(url: str) -> Storage:
    return Runtime(flags={"network": "sandbox", "database_url": url}).open_storage(create=True)


def main(sizes: Sequence[int] = SIZES) -> None:
    from loguru import logger

    logger.remove()
    first: dict[str, float] = {}
    try:
        with server_url() as server:
            for streams in sizes:
                with throw_away_database(server) as url:
                    prepared(url).close()
                    began = time.perf_counter()
                    fill(url, streams)
                    say(
                        benchmark="streams",
                        streams=streams,
                        events=EVENTS * streams,
                        made_seconds=round(time.perf_counter() - began, 1),
                    )
                    for name, times in asyncio.run(ask(url, streams)).items():
                        middle = median(times)
                        first.setdefault(name, middle)
                        say(
                            benchmark="streams",
                            streams=streams,
                            question=name,
                            milliseconds=round(middle, 1),
                            p95=round(sorted(times)[int(len(times) * 0.95)], 1),
                            growth=round(middle / first[name], 2),
                        )
    except NoPostgresError as error:
        print(f"Nothing is measured: {error}", file=sys.stderr)


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or ALL_SIZES)
