"""A lake in a directory: whole, laid out in any way, growing, half written, replaced."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest
from loguru import logger

from stellarstream_core.errors import SourceUnavailableError, SourceUnusableError
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Reason, Window
from stellarstream_data_lake.lake import SURVEY_EVERY
from tests.data_lake.kit import (
    Clock,
    batch_xdr,
    collect,
    events_of,
    gaps_of,
    manifest,
    name_of,
    objects,
    packed,
    source_on,
    windows_of,
    write,
)
from tests.paths import fixture

TESTNET = "Test SDF Network ; September 2015"
EVERYTHING = Scope.of(["*"])


def url_of(path) -> str:
    return f"file://{path}"


def lake(tmp_path, made, *, first=2, last=None, per_batch=1, batches=64_000, suffix=".xdr.zst", with_manifest=True):
    metas = {n: m for n, m in made.metas.items() if first <= n <= (last or made.latest)}
    files = objects(metas, per_batch, batches, suffix)
    if with_manifest:
        files[".config.json"] = manifest(made.passphrase, per_batch, batches)
    return write(tmp_path, files)


@pytest.fixture
def told():
    lines: list[str] = []
    number = logger.add(lambda message: lines.append(str(message)), level="WARNING", format="{message}")
    yield lines
    logger.remove(number)


@pytest.mark.parametrize(
    ("per_batch", "batches", "prove"),
    [
        (1, 64_000, True),
        (1, 64_000, False),
        (1, 1, True),
        (1, 100, True),
        (7, 3, True),
        (64, 10, True),
        (64, 10, False),
        (64, 1, True),
    ],
)
async def test_every_layout_gives_the_same_events(tmp_path, made, streams, per_batch, batches, prove):
    lake(tmp_path, made, last=140, per_batch=per_batch, batches=batches)
    latest = 140 - 141 % per_batch
    async with source_on(url_of(tmp_path), made.passphrase, prove=prove) as source:
        assert (await source.identity()).passphrase == made.passphrase
        reach = await source.reach()
        assert (reach.oldest, reach.latest, reach.archive) == (2, latest, True)
        assert reach.latest_closed_at == made.ledgers[latest].close_time
        for scope in (streams, EVERYTHING):
            items = await collect(source, 2, latest, scope)
            assert not gaps_of(items)
            assert [event.id for event in events_of(items)] == made.ids(2, latest, scope)
            assert {w.evidence for w in windows_of(items)} == {Evidence.PROVEN if prove else Evidence.SCANNED}


@pytest.mark.parametrize(("first", "last"), [(2, 2), (13, 13), (100, 180), (6, 7), (63, 64), (321, 321)])
async def test_any_part_of_a_lake_can_be_asked_for(tmp_path, made, first, last):
    lake(tmp_path / "one", made)
    lake(tmp_path / "many", made, per_batch=7, batches=3)
    for path in ("one", "many"):
        async with source_on(url_of(tmp_path / path), made.passphrase) as source:
            items = await collect(source, first, last, EVERYTHING)
            assert not gaps_of(items)
            assert [event.id for event in events_of(items)] == made.ids(first, last, EVERYTHING)


async def test_a_recorded_lake_of_testnet(tmp_path):
    """Its manifest says 64,000 objects a partition, but they lie flat: what is there counts."""
    folder = fixture("lake-testnet")
    async with source_on(url_of(folder), TESTNET) as source:
        identity = await source.identity()
        assert (identity.passphrase, identity.version, identity.protocol) == (TESTNET, "SEP-54 1.0", 20)
        assert any("64000 batch(es) a partition" in warning and "lie as" in warning for warning in identity.warnings)
        reach = await source.reach()
        assert (reach.oldest, reach.latest, reach.latest_closed_at, reach.ledger_seconds) == (997, 999, 1707246049, 5.0)
        (window,) = await collect(source, 997, 999, EVERYTHING)
        assert isinstance(window, Window)
        assert window.evidence is Evidence.PROVEN
        assert [c.sequence for c in window.certificates] == [997, 998, 999]
        assert window.certificates[0].hash == window.certificates[1].previous_hash
        assert await source.ledger_hash(998) == window.certificates[1].hash


@pytest.mark.parametrize("sequence", [51000294, 63092988, 63092996])
async def test_recorded_pubnet_ledgers_give_the_events_that_get_events_gives(tmp_path, sequence):
    meta = gzip.decompress(fixture(f"pubnet-ledgers/ledger-{sequence}.xdr.gz").read_bytes())
    rows = gzip.decompress(fixture(f"pubnet-ledgers/getEvents-expected-{sequence}.jsonl.gz").read_bytes())
    expected = [orjson.loads(line) for line in rows.splitlines()]
    write(tmp_path, objects({sequence: meta}))
    passphrase = "Public Global Stellar Network ; September 2015"
    async with source_on(url_of(tmp_path), passphrase) as source:
        assert (await source.identity()).passphrase is None
        items = await collect(source, sequence, sequence, EVERYTHING)
        assert not gaps_of(items)
        assert [(e.id, e.tx_hash, e.contract_id) for e in events_of(items)] == [
            (row["id"], row["txHash"], row["contractId"] or None) for row in expected
        ]


@pytest.mark.parametrize("suffix", [".xdr.zst", ".xdr.zstd"])
@pytest.mark.parametrize(("per_batch", "batches"), [(1, 64_000), (1, 1), (64, 10)])
async def test_an_older_lake_without_a_manifest_shows_its_layout(tmp_path, made, streams, per_batch, batches, suffix):
    lake(tmp_path, made, last=130, per_batch=per_batch, batches=batches, suffix=suffix, with_manifest=False)
    async with source_on(url_of(tmp_path), made.passphrase) as source:
        identity = await source.identity()
        assert (identity.passphrase, identity.version) == (None, "SEP-54, without a manifest")
        items = await collect(source, 2, 127, streams)
        assert [event.id for event in events_of(items)] == made.ids(2, 127, streams)


async def test_what_is_no_object_is_passed_over(tmp_path, made):
    lake(tmp_path, made, first=2, last=40)
    partition = name_of(2).partition("/")[0]
    strangers = ["00README", "lost+found/x", "FFFF05FF--64000-127999/notes.txt", "ZZZ"]
    strangers += [f"{partition}/.FFFFFFD6--41.xdr.zst.123.tmp", f"{partition}/FFFFFFD6--41.xdr.zst.part"]
    write(tmp_path, dict.fromkeys(strangers, b"x"))
    (tmp_path / "FFFE0BFF--128000-191999").mkdir()
    async with source_on(url_of(tmp_path), made.passphrase) as source:
        reach = await source.reach()
        assert (reach.oldest, reach.latest) == (2, 40)


async def test_a_lake_need_not_begin_with_ledger_2(tmp_path, made):
    lake(tmp_path, made, first=130, last=200)
    async with source_on(url_of(tmp_path), made.passphrase) as source:
        assert (await source.reach()).oldest == 130
        items = await collect(source, 100, 210, EVERYTHING)
        early, late = gaps_of(items)
        assert (early.range, early.reason) == (LedgerRange(100, 129), Reason.OUT_OF_RETENTION)
        assert (late.range, late.reason) == (LedgerRange(201, 210), Reason.BEYOND_TIP)


async def test_an_endless_range_is_one_gap_not_one_for_each_ledger(tmp_path, made):
    lake(tmp_path, made, first=100, last=110)
    async with source_on(url_of(tmp_path), made.passphrase) as source:
        early, here, late = sorted(await collect(source, 1, 2**31 - 1, EVERYTHING), key=lambda item: item.range)
        assert early.range == LedgerRange(1, 99)
        assert isinstance(here, Window)
        assert late.range == LedgerRange(111, 2**31 - 1)


# --- following ----------------------------------------------------------------------------------


async def test_a_growing_lake_is_followed(tmp_path, made, streams):
    lake(tmp_path, made, last=100)
    async with source_on(url_of(tmp_path), made.passphrase) as source:
        seen: list[str] = []
        done = 1
        for latest in [100, 100, 101, 102, 110, 110, 300, 321]:
            write(tmp_path, objects({n: made.metas[n] for n in range(done + 1, latest + 1)}))
            reach = await source.reach()
            assert reach.latest == latest
            assert reach.latest_closed_at == made.ledgers[latest].close_time
            if latest > done:
                items = await collect(source, done + 1, latest, streams)
                assert not gaps_of(items)
                seen += [event.id for event in events_of(items)]
                done = latest
        assert seen == made.ids(2, 321, streams)
        assert reach.ledger_seconds == pytest.approx(
            (made.ledgers[321].close_time - made.ledgers[2].close_time) / 319, rel=0.01
        )


async def test_looking_for_the_tip_reads_little(tmp_path, made, monkeypatch):
    lake(tmp_path, made, last=100)
    async with source_on(url_of(tmp_path), made.passphrase) as source:
        await source.reach()
        store = source._pool.endpoints[0].store
        asked: list[str] = []
        for name in ("get", "exists", "after"):
            original = getattr(store, name)

            def spy(*args, name=name, original=original):
                asked.append(name)
                return original(*args)

            monkeypatch.setattr(store, name, spy)
        await source.reach()
        assert asked == ["exists"]
        asked.clear()
        write(tmp_path, objects({101: made.metas[101]}))
        await source.reach()
        assert asked.count("get") == 1
        assert "after" not in asked
        asked.clear()
        await collect(source, 101, 101, EVERYTHING)
        assert asked.count("get") == 1  # ledger 100, for the chain; 101 is at hand
        asked.clear()
        write(tmp_path, objects({102: made.metas[102]}))
        await source.reach()
        await collect(source, 102, 102, EVERYTHING)
        assert asked.count("get") == 1  # the hash of 101 is known by now


@pytest.mark.parametrize("half", ["empty", "cut", "other"])
async def test_a_half_written_newest_object_is_waited_for(tmp_path, made, half):
    lake(tmp_path, made, last=100)
    whole = objects({101: made.metas[101]})
    ((name, body),) = whole.items()
    async with source_on(url_of(tmp_path), made.passphrase) as source:
        assert (await source.reach()).latest == 100
        write(tmp_path, {name: {"empty": b"", "cut": body[: len(body) // 2], "other": b"not yet"}[half]})
        for _ in range(3):
            assert (await source.reach()).latest == 100
        write(tmp_path, whole)
        assert (await source.reach()).latest == 101
        assert not gaps_of(await collect(source, 2, 101, EVERYTHING))


async def test_half_written_objects_are_no_tip_at_the_start_either(tmp_path, made):
    lake(tmp_path, made, last=100)
    write(tmp_path, {name_of(99): b"", name_of(100): b"\x28\xb5"})
    async with source_on(url_of(tmp_path), made.passphrase) as source:
        assert (await source.reach()).latest == 98


async def test_a_hole_at_the_tip_holds_nobody_up_for_long(tmp_path, made):
    lake(tmp_path, made, last=100)
    clock = Clock()
    async with source_on(url_of(tmp_path), made.passphrase, timing=clock.timing()) as source:
        await source.reach()
        write(tmp_path, objects({n: made.metas[n] for n in range(103, 111)}))
        assert (await source.reach()).latest == 100
        clock.at += SURVEY_EVERY
        assert (await source.reach()).latest == 110
        (gap,) = gaps_of(await collect(source, 95, 110, EVERYTHING))
        assert (gap.range, gap.reason) == (LedgerRange(101, 102), Reason.MISSING)


async def test_the_tip_never_goes_back(tmp_path, made):
    lake(tmp_path, made, last=100)
    clock = Clock()
    async with source_on(url_of(tmp_path), made.passphrase, timing=clock.timing()) as source:
        assert (await source.reach()).latest == 100
        for ledger in (99, 100):
            (tmp_path / name_of(ledger)).unlink()
        clock.at += 2 * SURVEY_EVERY
        assert (await source.reach()).latest == 100
        (gap,) = gaps_of(await collect(source, 90, 100, EVERYTHING))
        assert (gap.range, gap.reason) == (LedgerRange(99, 100), Reason.MISSING)


# --- replaced -----------------------------------------------------------------------------------


async def test_a_replaced_object_is_read_anew_and_named(tmp_path, made, told):
    lake(tmp_path, made, last=100)
    async with source_on(url_of(tmp_path), made.passphrase) as source:
        before = events_of(await collect(source, 40, 60, EVERYTHING))
        assert not told
        write(tmp_path, {name_of(50): packed(batch_xdr(50, 50, [made.metas[50]]), level=9)})
        again = await collect(source, 40, 60, EVERYTHING)
        assert events_of(again) == before
        (line,) = told
        assert name_of(50) in line
        assert "was replaced" in line
        await collect(source, 40, 60, EVERYTHING)
        assert len(told) == 1


async def test_an_object_that_keeps_changing_is_a_named_gap(tmp_path, made, monkeypatch):
    lake(tmp_path, made, last=100)
    async with source_on(url_of(tmp_path), made.passphrase) as source:
        await collect(source, 45, 55, EVERYTHING)
        store, number = source._pool.endpoints[0].store, 0
        original = store.get

        async def restless(key, most):
            nonlocal number
            data = await original(key, most)
            if key != name_of(50):
                return data
            number += 1
            return data + number.to_bytes(4, "big")

        monkeypatch.setattr(store, "get", restless)
        (gap,) = gaps_of(await collect(source, 45, 55, EVERYTHING))
        assert (gap.range, gap.reason) == (LedgerRange(50, 50), Reason.MISBEHAVED)
        assert "changes while it is read" in gap.detail


# --- what cannot be used ------------------------------------------------------------------------


async def test_no_directory_and_an_empty_one_are_refused_at_once(tmp_path, made):
    for path in (tmp_path / "nowhere", tmp_path):
        clock = Clock()
        async with source_on(url_of(path), made.passphrase, timing=clock.timing()) as source:
            with pytest.raises(SourceUnusableError, match="lake_url"):
                await source.identity()
            assert not clock.slept


async def test_a_lake_that_is_only_beginning_is_waited_for(tmp_path, made):
    write(tmp_path, {".config.json": manifest(made.passphrase)})
    clock = Clock()
    async with source_on(url_of(tmp_path), made.passphrase, timing=clock.timing()) as source:
        with pytest.raises(SourceUnavailableError, match="no ledgers yet"):
            await source.reach()
        assert clock.slept
        lake(tmp_path, made, last=5)
        assert (await source.reach()).latest == 5


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "ledgersPerBatch is None"),
        (b"no", "not JSON"),
        (manifest("x", 0), "ledgersPerBatch is 0"),
        (manifest("x", 1, 10**9), "batchesPerPartition is 1000000000"),
        (b" " * 100_000, "more than 65536 bytes"),
    ],
)
async def test_a_manifest_without_sense_is_refused(tmp_path, made, body, said):
    lake(tmp_path, made, last=5)
    write(tmp_path, {".config.json": body})
    async with source_on(url_of(tmp_path), made.passphrase) as source:
        with pytest.raises(SourceUnusableError, match=said):
            await source.identity()


async def test_a_file_that_may_not_be_read_says_so(tmp_path, made, monkeypatch):
    lake(tmp_path, made, last=5)
    original = Path.open

    def refusing(path, *args):
        if path.name == Path(name_of(3)).name:
            raise PermissionError(13, "Permission denied")
        return original(path, *args)

    monkeypatch.setattr(Path, "open", refusing)  # root, who runs tests in containers, may read everything
    async with source_on(url_of(tmp_path), made.passphrase) as source:
        (gap,) = gaps_of(await collect(source, 2, 5, EVERYTHING))
        assert (gap.range, gap.reason) == (LedgerRange(3, 3), Reason.UNAVAILABLE)
        assert "right to read" in gap.detail


async def test_files_that_cannot_be_read_are_named(tmp_path, made):
    lake(tmp_path, made, last=20)
    path = tmp_path / name_of(7)
    path.unlink()
    path.mkdir()
    async with source_on(url_of(tmp_path), made.passphrase) as source:
        items = await collect(source, 2, 20, EVERYTHING)
        (gap,) = gaps_of(items)
        assert gap.range == LedgerRange(7, 7)
        assert RangeSet(w.range for w in windows_of(items)) == RangeSet([(2, 6), (8, 20)])
