"""What is wrong with single objects: tried again, then a gap for exactly their ledgers; the rest is served."""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode
from hashlib import sha256

import pytest
from aiohttp import web
from loguru import logger

from stellarstream_core.errors import ProtocolUpgradeNeededError, SettingsError, XdrError
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Evidence, Reason, Window
from stellarstream_core.xdr.ledger import read_ledger
from stellarstream_data_lake import reading
from stellarstream_sandbox.config import SandboxConfig
from tests.data_lake.kit import (
    Clock,
    WebLake,
    batch_xdr,
    collect,
    events_of,
    gaps_of,
    made_history,
    manifest,
    name_of,
    objects,
    packed,
    settings_for,
    source_on,
    windows_of,
    write,
)

EVERYTHING = Scope.of(["*"])
BAD = 30
END = 60


def files(made, per_batch=1, first=2, last=END):
    metas = {n: m for n, m in made.metas.items() if first <= n <= last}
    return objects(metas, per_batch) | {".config.json": manifest(made.passphrase, per_batch)}


def flipped(meta: bytes, at: int) -> bytes:
    changed = bytearray(meta)
    changed[at] ^= 1
    return bytes(changed)


def one(made, meta: bytes, ledger: int = BAD) -> bytes:
    return packed(batch_xdr(ledger, ledger, [meta]))


def unknown_arm(made) -> bytes:
    """A ledger of a protocol that is known, with a union arm that is not: damage, not a newer protocol."""
    meta = made.metas[BAD]
    for at in range(len(meta) // 2 & ~3, len(meta), 4):
        changed = meta[:at] + b"\x5a\x5a\x5a\x5a" + meta[at + 4 :]
        try:
            read_ledger(changed)
        except ProtocolUpgradeNeededError:
            return one(made, changed)
        except XdrError:
            continue
    raise AssertionError("no union found")


def header_of_another_chain(made) -> bytes:
    other = made_history(SandboxConfig(ledgers=60, genesis_time=1_700_000_000, seed="another", port=0, live=False))
    return one(made, other.metas[BAD])


DAMAGES = {
    "missing": (lambda made, good: None, Reason.MISSING, "does not have"),
    "empty": (lambda made, good: b"", Reason.MISBEHAVED, "it is empty"),
    "cut": (lambda made, good: good[:-7], Reason.MISBEHAVED, "cut short"),
    "cut early": (lambda made, good: good[:3], Reason.MISBEHAVED, "cut short"),
    "not zstd": (lambda made, good: b"<html>no</html>", Reason.MISBEHAVED, "not zstd"),
    "flipped": (lambda made, good: flipped(good, len(good) // 2), Reason.MISBEHAVED, "not zstd"),
    "unknown arm": (lambda made, good: unknown_arm(made), Reason.MISBEHAVED, "ledger 30 is damaged"),
    "trailing": (lambda made, good: good + b"more", Reason.MISBEHAVED, "not zstd|cut short"),
    "bomb": (lambda made, good: packed(bytes(8_000_000)), Reason.MISBEHAVED, "more than 4000000 bytes"),
    "no ledger": (lambda made, good: packed(b"words"), Reason.MISBEHAVED, "not a LedgerCloseMetaBatch"),
    "other batch": (lambda made, good: one(made, made.metas[31], 31), Reason.MISBEHAVED, "holds ledgers 31 to 31"),
    "other ledger": (lambda made, good: one(made, made.metas[31]), Reason.MISBEHAVED, "ledger 31 stands where"),
    "header": (lambda made, good: one(made, flipped(made.metas[BAD], 200)), Reason.PROOF_FAILED, "header-hash"),
    "other chain": (lambda made, good: header_of_another_chain(made), Reason.PROOF_FAILED, "chain-break"),
}


@pytest.mark.parametrize(
    ("kind", "damage"),
    [*(("file", damage) for damage in DAMAGES), *(("http", one) for one in ("missing", "empty", "cut", "header"))],
)
async def test_one_bad_object_is_a_named_gap_and_the_rest_is_served(tmp_path, made, kind, damage):
    change, reason, said = DAMAGES[damage]
    have = files(made)
    body = change(made, have[name_of(BAD)])
    have = {name: body if name == name_of(BAD) else good for name, good in have.items()}
    have = {name: good for name, good in have.items() if good is not None}
    web_lake = WebLake(have)
    async with web_lake.serving():
        url = web_lake.url if kind == "http" else f"file://{write(tmp_path, have)}"
        async with source_on(url, made.passphrase, {"max_batch_bytes": 4_000_000}) as source:
            items = await collect(source, 2, END, EVERYTHING)
    gaps = gaps_of(items)
    given_up = RangeSet(gap.range for gap in gaps)
    assert BAD in given_up
    # where two neighbours name different predecessors nobody can tell which is wrong
    assert given_up == RangeSet([(29, 30)] if damage == "other chain" else [(BAD, BAD)])
    assert all(gap.reason is reason for gap in gaps)
    assert re.search(said, gaps[-1].detail)
    assert "127.0.0.1" not in gaps[-1].detail or "/lake" not in gaps[-1].detail
    assert [e.id for e in events_of(items)] == [
        i for i in made.ids(2, END, EVERYTHING) if int(i.split("-")[0]) >> 32 not in given_up
    ]


@pytest.mark.parametrize("at", [2, 3, END - 1, END])
async def test_bad_objects_at_the_ends(tmp_path, made, at):
    have = files(made)
    have[name_of(at)] = have[name_of(at)][:-1]
    async with source_on(f"file://{write(tmp_path, have)}", made.passphrase) as source:
        latest = (await source.reach()).latest
        assert latest == (END - 1 if at == END else END)
        items = await collect(source, 2, latest, EVERYTHING)
        assert RangeSet(gap.range for gap in gaps_of(items)) == RangeSet([] if at == END else [(at, at)])


async def test_a_bad_batch_takes_all_its_ledgers_and_no_other(tmp_path, made):
    have = files(made, per_batch=10, last=119)
    have[name_of(50, 10)] = have[name_of(50, 10)][:-1]
    async with source_on(f"file://{write(tmp_path, have)}", made.passphrase) as source:
        (gap,) = gaps_of(await collect(source, 2, 119, EVERYTHING))
        assert gap.range == LedgerRange(50, 59)
        (gap,) = gaps_of(await collect(source, 55, 70, EVERYTHING))
        assert gap.range == LedgerRange(55, 59)


async def test_one_bad_ledger_of_a_batch_is_the_only_one_given_up(tmp_path, made):
    have = files(made, per_batch=10, last=119)
    metas = [made.metas[n] for n in range(50, 60)]
    metas[3] = flipped(metas[3], 200)
    have[name_of(50, 10)] = packed(batch_xdr(50, 59, metas))
    async with source_on(f"file://{write(tmp_path, have)}", made.passphrase) as source:
        (gap,) = gaps_of(await collect(source, 2, 119, EVERYTHING))
        assert (gap.range, gap.reason) == (LedgerRange(53, 53), Reason.PROOF_FAILED)


async def test_events_cannot_be_changed_dropped_or_added_unnoticed(tmp_path, made, streams):
    """The first event of a streams contract in a ledger: one byte of its value is flipped."""
    ledger = next(n for n in range(10, 50) if made.ids(n, n, streams))
    event = next(e for e in made.ledgers[ledger].events if streams.holds(e.contract_id))
    value = b64decode(event.value)
    meta = made.metas[ledger]
    at = meta.index(value) + len(value) - 1
    have = files(made)
    have[name_of(ledger)] = one(made, flipped(meta, at), ledger)
    async with source_on(f"file://{write(tmp_path, have)}", made.passphrase) as source:
        (gap,) = gaps_of(await collect(source, 2, END, streams))
        assert (gap.range, gap.reason) == (LedgerRange(ledger, ledger), Reason.PROOF_FAILED)
        assert gap.detail.startswith("invocation-events")


def sibling(made, ledger: int) -> bytes:
    """A ledger that names the right predecessor, but is not the one that its successor names."""
    from stellar_sdk import xdr

    changed = xdr.LedgerCloseMeta.from_xdr_bytes(made.metas[ledger])
    entry = changed.v2.ledger_header
    entry.header.scp_value.close_time.time_point.uint64 += 1
    entry.hash = xdr.Hash(sha256(entry.header.to_xdr_bytes()).digest())
    return one(made, changed.to_xdr_bytes(), ledger)


@pytest.mark.parametrize("first", [20, BAD])
async def test_the_last_ledger_is_checked_by_the_one_after_the_range(tmp_path, made, first):
    have = files(made) | {name_of(BAD): sibling(made, BAD)}
    async with source_on(f"file://{write(tmp_path, have)}", made.passphrase) as source:
        (gap,) = gaps_of(await collect(source, first, BAD, EVERYTHING))
        assert (gap.range, gap.reason) == (LedgerRange(BAD, BAD), Reason.PROOF_FAILED)
        assert gap.detail.startswith("chain-break")


async def test_the_first_ledger_is_checked_by_the_one_before_the_range(tmp_path, made):
    have = files(made, last=BAD) | {name_of(BAD): header_of_another_chain(made)}
    async with source_on(f"file://{write(tmp_path, have)}", made.passphrase) as source:
        (gap,) = gaps_of(await collect(source, BAD, BAD, EVERYTHING))
        assert (gap.range, gap.reason) == (LedgerRange(BAD, BAD), Reason.PROOF_FAILED)
        assert gap.detail.startswith("chain-break")


async def test_a_follower_checks_each_ledger_by_the_one_it_took_before(tmp_path, made):
    write(tmp_path, files(made, last=BAD - 1))
    async with source_on(f"file://{tmp_path}", made.passphrase) as source:
        assert not gaps_of(await collect(source, 20, BAD - 1, EVERYTHING))
        write(tmp_path, {name_of(BAD): header_of_another_chain(made), name_of(BAD - 1): b"no longer readable"})
        (gap,) = gaps_of(await collect(source, BAD, BAD, EVERYTHING))
        assert gap.detail.startswith("chain-break")


async def test_neighbours_that_cannot_be_read_are_no_fault_of_the_range(tmp_path, made):
    have = files(made)
    have[name_of(19)] = b"no"
    del have[name_of(41)]
    async with source_on(f"file://{write(tmp_path, have)}", made.passphrase) as source:
        assert not gaps_of(await collect(source, 20, 40, EVERYTHING))


async def test_a_newer_protocol_stops_the_source_after_what_comes_before(tmp_path, made):
    have = files(made)
    have[name_of(BAD)] = one(made, b"\0\0\0\x09" + made.metas[BAD][4:])
    async with source_on(f"file://{write(tmp_path, have)}", made.passphrase) as source:
        got: list[Window] = []

        async def read():
            async for item in source.windows(LedgerRange(2, END), EVERYTHING):
                got.append(item)

        with pytest.raises(ProtocolUpgradeNeededError):
            await read()
        assert RangeSet(item.range for item in got) == RangeSet([(2, BAD - 1)])
        assert not gaps_of(await collect(source, 2, BAD - 1, EVERYTHING))


# --- trying again -------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("how", ["503", "500", "429", "cut", "reset", "soft", "damaged", "tampered"])
async def test_what_passes_is_tried_again_until_it_has_passed(made, how, times):
    lake = WebLake(files(made))
    left = {name_of(n): times for n in (10, 30, 31, 50)}

    async def trap(request, key):
        if request.method != "GET" or not left.get(key):
            return None
        left[key] -= 1
        if how.isdigit():
            return web.Response(status=int(how), headers={"Retry-After": "7"} if how == "429" else {})
        if how == "reset":
            request.transport.abort()
            return web.Response()
        if how == "cut":
            answer = web.StreamResponse(headers={"Content-Length": str(len(lake.files[key]))})
            await answer.prepare(request)
            await answer.write(lake.files[key][:100])
            request.transport.close()
            return answer
        if how == "tampered":
            ledger = next(n for n in (10, 30, 31, 50) if name_of(n) == key)
            return web.Response(body=one(made, flipped(made.metas[ledger], 200 + left[key]), ledger))
        if how == "soft":
            return web.Response(body=b"<html>one moment %d</html>" % left[key])
        return web.Response(body=lake.files[key][: -5 - left[key]])

    lake.trap = trap
    clock = Clock()
    lines: list[str] = []
    number = logger.add(lambda message: lines.append(str(message)), level="WARNING")
    async with lake.serving(), source_on(lake.url, made.passphrase, timing=clock.timing()) as source:
        items = await collect(source, 2, END, EVERYTHING)
        assert not gaps_of(items)
        if how != "tampered":
            assert not lines, "an object that could not be read before cannot have been replaced"
        logger.remove(number)
        assert [e.id for e in events_of(items)] == made.ids(2, END, EVERYTHING)
    if how != "reset":  # a lost connection is made again by the client itself
        assert clock.slept
    if how == "429":
        assert max(clock.slept) >= 7


async def test_a_missing_object_that_appears_is_taken(made):
    lake = WebLake(files(made))
    first = True

    async def trap(request, key):
        nonlocal first
        if key == name_of(BAD) and first:
            first = False
            return web.Response(status=404)
        return None

    lake.trap = trap
    async with lake.serving(), source_on(lake.url, made.passphrase) as source:
        assert not gaps_of(await collect(source, 2, END, EVERYTHING))


async def test_what_stays_as_it_is_is_not_fetched_for_ever(made):
    lake = WebLake(files(made) | {name_of(BAD): b"damaged", name_of(35): b""})
    del lake.files[name_of(40)]

    async def trap(request, key):
        return web.Response(status=403) if key == name_of(50) and request.method == "GET" else None

    lake.trap = trap
    async with lake.serving(), source_on(lake.url, made.passphrase) as source:
        gaps = gaps_of(await collect(source, 2, END - 1, EVERYTHING))
        assert [(gap.range.first, gap.reason) for gap in gaps] == [
            (30, Reason.MISBEHAVED),
            (35, Reason.MISBEHAVED),
            (40, Reason.MISSING),
            (50, Reason.UNAVAILABLE),
        ]
        assert "may not be read" in gaps[-1].detail
    asked = [key for method, key in lake.log if method == "GET"]
    assert [asked.count(name_of(n)) for n in (30, 35, 40, 50)] == [2, 2, 2, 1]


async def test_an_outage_in_the_middle_keeps_what_was_read_and_gives_up_the_rest_at_once(made):
    lake = WebLake(files(made, last=321))

    async def trap(request, key):
        late = [n for n in range(150, 322) if key == name_of(n)]
        return web.Response(status=503) if late else None

    clock = Clock()
    async with lake.serving(), source_on(lake.url, made.passphrase, {"in_flight": 8}, clock.timing()) as source:
        await source.reach()
        lake.trap = trap
        items = await collect(source, 2, 321, EVERYTHING)
        (gap,) = gaps_of(items)
        assert gap.range == LedgerRange(150, 321)
        assert gap.reason is Reason.UNAVAILABLE
        assert "HTTP 503" in gap.detail
        assert "were not tried" in gap.detail
        assert RangeSet(w.range for w in windows_of(items)) == RangeSet([(2, 149)])
    tried = {key for _, key in lake.log}
    assert name_of(200) not in tried


async def test_a_hole_is_one_gap(tmp_path, made):
    have = {
        name: body for name, body in files(made, last=321).items() if name not in {name_of(n) for n in range(100, 250)}
    }
    lake = WebLake(have)
    async with lake.serving(), source_on(lake.url, made.passphrase, {"first_ledger": 300}) as source:
        (gap,) = gaps_of(await collect(source, 2, 321, EVERYTHING))
        assert (gap.range, gap.reason) == (LedgerRange(100, 249), Reason.MISSING)
        assert "the same with the 149 after it" in gap.detail
    async with source_on(f"file://{write(tmp_path, have)}", made.passphrase) as source:
        store = source._pool.endpoints[0].store
        asked: list[str] = []
        original = store.get

        def get(key, most):
            asked.append(key)
            return original(key, most)

        store.get = get
        (gap,) = gaps_of(await collect(source, 2, 321, EVERYTHING))
        assert (gap.range, gap.reason) == (LedgerRange(100, 249), Reason.MISSING)
        assert not {name_of(n) for n in range(100 + reading.HOLE + 30, 250)} & set(asked)


def renumbered(meta: bytes, sequence: int) -> bytes:
    """Return a ledger with another sequence, and the hash that its header has then."""
    from stellar_sdk import xdr

    changed = xdr.LedgerCloseMeta.from_xdr_bytes(meta)
    entry = changed.v2.ledger_header
    entry.header.ledger_seq = xdr.Uint32(sequence)
    entry.hash = xdr.Hash(sha256(entry.header.to_xdr_bytes()).digest())
    return changed.to_xdr_bytes()


async def test_a_hole_of_millions_of_ledgers_is_passed_by_a_listing(tmp_path, made):
    far = {n: renumbered(made.metas[BAD], n) for n in (60_000_000, 60_000_001)}
    have = files(made, last=40) | objects(far)
    async with source_on(f"file://{write(tmp_path, have)}", made.passphrase) as source, asyncio.timeout(20):
        reach = await source.reach()
        assert (reach.oldest, reach.latest) == (2, 60_000_001)
        hole, *chain = gaps_of(await collect(source, 2, 60_000_001, EVERYTHING))
    assert (hole.range, hole.reason) == (LedgerRange(41, 59_999_999), Reason.MISSING)
    assert RangeSet(gap.range for gap in chain) == RangeSet([(60_000_000, 60_000_001)])


# --- several lakes ------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["missing", "cut", "other ledger", "header", "unknown arm", "other chain"])
async def test_what_is_bad_in_one_lake_is_read_from_the_next(tmp_path, made, damage):
    change, _, _ = DAMAGES[damage]
    have = files(made)
    body = change(made, have[name_of(BAD)])
    bad = {name: body if name == name_of(BAD) else good for name, good in have.items()}
    write(tmp_path / "one", {name: good for name, good in bad.items() if good is not None})
    write(tmp_path / "two", files(made, per_batch=3, first=27, last=62))
    urls = [f"file://{tmp_path / 'one'}", f"file://{tmp_path / 'two'}"]
    async with source_on(urls, made.passphrase) as source:
        items = await collect(source, 2, END, EVERYTHING)
        assert not gaps_of(items)
        assert [e.id for e in events_of(items)] == made.ids(2, END, EVERYTHING)
        assert {w.evidence for w in windows_of(items)} == {Evidence.PROVEN}


async def test_lakes_complete_each_other(tmp_path, made):
    write(tmp_path / "one", files(made, first=50, last=150))
    write(tmp_path / "two", files(made, first=2, last=80))
    write(tmp_path / "three", files(made, first=140, last=200))
    urls = [f"file://{tmp_path / name}" for name in ("one", "two", "three")]
    async with source_on(urls, made.passphrase) as source:
        reach = await source.reach()
        assert (reach.oldest, reach.latest) == (2, 200)
        items = await collect(source, 2, 210, EVERYTHING)
        (late,) = gaps_of(items)
        assert (late.range, late.reason) == (LedgerRange(201, 210), Reason.BEYOND_TIP)
        assert [e.id for e in events_of(items)] == made.ids(2, 200, EVERYTHING)


async def test_ledgers_between_two_lakes_are_missing_not_out_of_retention(tmp_path, made):
    write(tmp_path / "early", files(made, first=2, last=40))
    write(tmp_path / "late", files(made, first=60, last=80))
    for names in (("early", "late"), ("late", "early")):
        async with source_on([f"file://{tmp_path / name}" for name in names], made.passphrase) as source:
            (gap,) = gaps_of(await collect(source, 2, 80, EVERYTHING))
            assert (gap.range, gap.reason) == (LedgerRange(41, 59), Reason.MISSING)
            assert "is at ledger 40" in gap.detail
            assert "begins with ledger 60" in gap.detail


async def test_what_no_lake_has_says_why_of_each(tmp_path, made):
    one_, two = files(made), files(made)
    del one_[name_of(BAD)]
    two[name_of(BAD)] = b""
    write(tmp_path / "one", one_)
    write(tmp_path / "two", two)
    async with source_on([f"file://{tmp_path / n}" for n in ("one", "two")], made.passphrase) as source:
        (gap,) = gaps_of(await collect(source, 2, END, EVERYTHING))
    assert (gap.range, gap.reason) == (LedgerRange(BAD, BAD), Reason.MISSING)
    assert "(number 1 of lake_url) does not have" in gap.detail
    assert "(number 2 of lake_url): " in gap.detail
    assert "it is empty" in gap.detail


async def test_a_lake_that_went_away_leaves_the_rest_to_the_next(tmp_path, made):
    lake = WebLake(files(made))
    write(tmp_path, files(made))
    async with source_on([], made.passphrase) as _:
        pass
    async with lake.serving(), source_on([lake.url, f"file://{tmp_path}"], made.passphrase) as source:
        await source.reach()

        async def trap(request, key):
            return web.Response(status=500)

        lake.trap = trap
        items = await collect(source, 2, END, EVERYTHING)
        assert not gaps_of(items)
        asked = len(lake.log)
        assert not gaps_of(await collect(source, 2, END, EVERYTHING))
        assert len(lake.log) == asked  # asked last for a while


# --- stopping -----------------------------------------------------------------------------------


async def test_closing_in_the_middle_stops_every_request(made):
    lake = WebLake(files(made, last=321))
    async with lake.serving(), source_on(lake.url, made.passphrase, {"in_flight": 10}) as source:
        await source.reach()
        lake.delay = 0.05
        lake.files[name_of(10)] = b"damaged"
        items = source.windows(LedgerRange(2, 321), EVERYTHING)
        assert isinstance(await anext(items), Window)
        await items.aclose()
        await asyncio.sleep(0.05)
        assert lake.under_way == 0
        asked = len(lake.log)
        await asyncio.sleep(0.15)
        assert len(lake.log) == asked
        assert source._load.outstanding == 0
        lake.delay = 0.0
        assert [gap.range for gap in gaps_of(await collect(source, 2, 321, EVERYTHING))] == [LedgerRange(10, 10)]


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.1, 0.2])
async def test_a_cancelled_reader_leaves_nothing_behind(made, seconds):
    lake = WebLake(files(made))
    async with lake.serving(), source_on(lake.url, made.passphrase, {"in_flight": 8}) as source:
        await source.reach()
        lake.delay = 0.05
        task = asyncio.create_task(collect(source, 2, END, EVERYTHING))
        await asyncio.sleep(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.1)
        assert lake.under_way == 0
        assert source._load.outstanding == 0
        others = [one for one in asyncio.all_tasks() if "LakeReader" in repr(one)]
        assert not others


async def test_many_objects_are_in_flight_and_no_more_than_allowed(made):
    lake = WebLake(files(made, last=200))
    async with lake.serving(), source_on(lake.url, made.passphrase, {"in_flight": 12}) as source:
        await source.reach()
        lake.delay, lake.most_under_way = 0.01, 0
        await collect(source, 2, 200, EVERYTHING)
        assert 8 <= lake.most_under_way <= 12
        lake.most_under_way = 0
        await asyncio.gather(*(collect(source, first, first + 30, EVERYTHING) for first in (10, 60, 110)))
        assert lake.most_under_way <= 12


async def test_large_objects_are_fewer_in_flight(made):
    lake = WebLake(files(made, last=200))
    own = {"in_flight": 12, "max_memory_bytes": 60_000}
    async with lake.serving(), source_on(lake.url, made.passphrase, own) as source:
        await source.reach()
        lake.delay, lake.most_under_way = 0.01, 0
        items = await collect(source, 2, 60, EVERYTHING)
        assert not gaps_of(items)
        assert lake.most_under_way <= 2


def test_settings_that_contradict_each_other_are_refused(made):
    for own in (
        {"s3_access_key_id": "x"},
        {"anonymous": True, "s3_access_key_id": "x", "s3_secret_access_key": "y"},
        {"in_flight": 0},
        {"suffix": ".gz"},
        {"unknown": 1},
    ):
        with pytest.raises(SettingsError):
            settings_for("file:///x", made.passphrase, own)
