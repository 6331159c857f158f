"""A lake on an ordinary web server: nothing to list, HEAD or none, secrets in the address."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from loguru import logger

from stellarstream_core.errors import SettingsError, SourceUnavailableError, SourceUnusableError
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reason
from stellarstream_data_lake.lake import SURVEY_EVERY
from tests.data_lake.kit import (
    Clock,
    WebLake,
    collect,
    events_of,
    gaps_of,
    manifest,
    name_of,
    objects,
    settings_for,
    source_on,
)

EVERYTHING = Scope.of(["*"])


def files(made, per_batch=1, batches=64_000, suffix=".xdr.zst", first=2, last=60, with_manifest=True):
    metas = {n: m for n, m in made.metas.items() if first <= n <= last}
    found = objects(metas, per_batch, batches, suffix)
    return found | ({".config.json": manifest(made.passphrase, per_batch, batches)} if with_manifest else {})


@pytest.mark.parametrize("options", [{}, {"head": False}, {"chunked": True}, {"head": False, "chunked": True}])
@pytest.mark.parametrize(
    ("per_batch", "batches", "suffix", "with_manifest"),
    [
        (1, 64_000, ".xdr.zst", True),
        (5, 4, ".xdr.zst", True),
        (1, 64_000, ".xdr.zstd", True),
        (1, 64_000, ".xdr.zstd", False),
        (1, 1, ".xdr.zst", False),
    ],
)
async def test_every_server_gives_the_same_events(made, options, per_batch, batches, suffix, with_manifest):
    lake = WebLake(files(made, per_batch, batches, suffix, last=59, with_manifest=with_manifest), **options)
    async with lake.serving(), source_on(lake.url + "/", made.passphrase) as source:
        reach = await source.reach()
        assert (reach.oldest, reach.latest) == (2, 59)
        assert reach.latest_closed_at == made.ledgers[59].close_time
        items = await collect(source, 2, 59, EVERYTHING)
        assert not gaps_of(items)
        assert [e.id for e in events_of(items)] == made.ids(2, 59, EVERYTHING)
        assert await source.ledger_hash(33) == made.hash(33)
        assert await source.ledger_hash(60) is None


@pytest.mark.parametrize("encoding", ["zstd", "gzip", "identity", "br"])
async def test_objects_are_read_as_they_are_stored_whatever_the_server_calls_them(made, encoding):
    lake = WebLake(files(made))
    lake.headers = {"Content-Encoding": encoding, "Content-Type": "application/zstd"}
    del lake.files[".config.json"]
    async with lake.serving(), source_on(lake.url, made.passphrase) as source:
        assert not gaps_of(await collect(source, 2, 60, EVERYTHING))


async def test_a_growing_lake_is_followed_with_a_question_a_look(made):
    lake = WebLake(files(made, last=60))
    async with lake.serving(), source_on(lake.url, made.passphrase) as source:
        assert (await source.reach()).latest == 60
        lake.log.clear()
        for _ in range(3):
            await source.reach()
        assert lake.log == [("HEAD", name_of(61))] * 3
        for latest in (61, 64, 200):
            lake.files = files(made, last=latest)
            reach = await source.reach()
            assert (reach.latest, reach.latest_closed_at) == (latest, made.ledgers[latest].close_time)


async def test_a_hole_at_the_tip_is_looked_past_now_and_then(made):
    lake = WebLake(files(made, last=60))
    clock = Clock()
    async with lake.serving(), source_on(lake.url, made.passphrase, timing=clock.timing()) as source:
        await source.reach()
        lake.files |= objects({n: m for n, m in made.metas.items() if 62 <= n <= 90})
        assert (await source.reach()).latest == 60
        clock.at += SURVEY_EVERY
        assert (await source.reach()).latest == 90


async def test_a_lake_that_begins_late_needs_a_hint(made):
    lake = WebLake(files(made, first=100, last=200))
    async with lake.serving():
        async with source_on(lake.url, made.passphrase) as source:
            with pytest.raises(SourceUnusableError, match=r"no object for ledger 2.*first_ledger"):
                await source.identity()
        for own, core in [({"first_ledger": 150}, {}), ({}, {"start_ledger": 100})]:
            async with source_on(lake.url, made.passphrase, own, **core) as source:
                reach = await source.reach()
                assert (reach.oldest, reach.latest) == (100, 200)


async def test_a_manifest_that_is_wrong_about_partitions_is_seen_through(made):
    lake = WebLake(files(made, batches=1) | {".config.json": manifest(made.passphrase, 1, 64_000)})
    async with lake.serving(), source_on(lake.url, made.passphrase) as source:
        assert (await source.reach()).latest == 60


async def test_settings_say_the_layout_where_nothing_else_does(made):
    lake = WebLake(files(made, per_batch=6, batches=3, last=59, with_manifest=False))
    async with lake.serving():
        async with source_on(lake.url, made.passphrase) as source:
            with pytest.raises(SourceUnusableError):
                await source.identity()
        own = {"ledgers_per_batch": 6, "batches_per_partition": 3}
        async with source_on(lake.url, made.passphrase, own) as source:
            assert (await source.reach()).latest == 59


async def test_a_server_that_has_everything_is_not_believed(made):
    lake = WebLake(files(made))

    async def trap(request, key):
        return None if key in lake.files else web.Response(body=b"<html>welcome</html>")

    lake.trap = trap
    async with lake.serving(), source_on(lake.url, made.passphrase) as source:
        with pytest.raises(SourceUnusableError, match="every object it is asked for"):
            await source.identity()


async def test_a_server_that_refuses_what_it_does_not_have_is_read_all_the_same(made):
    """S3 behind https answers 403 for missing objects to those who may not list."""
    lake = WebLake(files(made))
    del lake.files[name_of(30)]

    async def trap(request, key):
        return None if key in lake.files else web.Response(status=403)

    lake.trap = trap
    async with lake.serving(), source_on(lake.url, made.passphrase) as source:
        reach = await source.reach()
        assert (reach.oldest, reach.latest) == (2, 60)
        (gap,) = gaps_of(await collect(source, 2, 60, EVERYTHING))
        assert (gap.range.first, gap.reason) == (30, Reason.UNAVAILABLE)
        assert "either it may not be read, or" in gap.detail


@pytest.mark.parametrize("status", [401, 403, 404, 302, 400])
async def test_a_server_that_refuses_everything_is_refused(made, status):
    lake = WebLake(files(made))

    async def trap(request, key):
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})

    lake.trap = trap
    clock = Clock()
    async with lake.serving(), source_on(lake.url, made.passphrase, timing=clock.timing()) as source:
        with pytest.raises(SourceUnusableError, match="lake_url" if status in {302, 404} else f"HTTP {status}"):
            await source.identity()
        assert not clock.slept


async def test_nobody_at_the_address_is_told_soon(made):
    clock = Clock()
    async with source_on("http://127.0.0.1:9/lake", made.passphrase, timing=clock.timing()) as source:
        with pytest.raises(SourceUnavailableError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
            await source.identity()
        assert 1 <= len(clock.slept) <= 6


async def test_a_server_that_is_down_at_the_start_is_waited_for(made):
    lake = WebLake(files(made))
    times = 4

    async def trap(request, key):
        nonlocal times
        times -= 1
        return web.Response(status=503) if times > 0 else None

    lake.trap = trap
    async with lake.serving(), source_on(lake.url, made.passphrase) as source:
        assert (await source.reach()).latest == 60


async def test_secrets_of_the_address_are_sent_and_never_shown(made):
    lake = WebLake(files(made))
    seen: list[tuple[str, str]] = []
    lines: list[str] = []

    async def trap(request, key):
        key = request.path.removeprefix("/lake/k3yInThePath/")
        seen.append((request.query_string, request.headers.get("Authorization", "")))
        if key in {name_of(20), name_of(21)}:
            return web.Response(status=403, text="no k3yInThePath s3cret t0ken")
        if key == name_of(22):
            request.transport.abort()
        if key == name_of(23):
            return web.Response(body=b"")
        return web.Response(body=lake.files[key]) if key in lake.files else web.Response(status=404)

    lake.trap = trap
    number = logger.add(lambda message: lines.append(str(message)), level="TRACE")
    async with lake.serving():
        url = lake.url.replace("http://", "http://reader:s3cret@") + "/k3yInThePath?sig=t0ken"
        async with source_on(url, made.passphrase) as source:
            identity = await source.identity()
            gaps = gaps_of(await collect(source, 2, 60, EVERYTHING))
            assert len(gaps) == 3
            shown = "\n".join([*lines, repr(identity), *(gap.detail for gap in gaps)])
    logger.remove(number)
    assert seen[0] == ("sig=t0ken", "Basic cmVhZGVyOnMzY3JldA==")
    for secret in ("s3cret", "k3yInThePath", "t0ken", "reader"):
        assert secret not in shown
    assert identity.endpoints[0] in gaps[0].detail


async def test_a_server_that_never_answers_is_a_named_gap(made):
    lake = WebLake(files(made))

    async def trap(request, key):
        if key == name_of(30) and request.method == "GET":
            await asyncio.sleep(60)

    lake.trap = trap
    own = {"timeout_seconds": 0.2, "max_retries": 1}
    async with lake.serving(), source_on(lake.url, made.passphrase, own) as source:
        (gap,) = gaps_of(await collect(source, 2, 60, EVERYTHING))
        assert (gap.range.first, gap.range.last, gap.reason) == (30, 30, Reason.UNAVAILABLE)
        assert "did not answer within 0.2 seconds" in gap.detail


async def test_an_endless_object_is_cut_off(made):
    lake = WebLake(files(made))

    async def trap(request, key):
        if key != name_of(30) or request.method != "GET":
            return
        answer = web.StreamResponse()
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        while True:
            await answer.write(bytes(65536))

    lake.trap = trap
    async with lake.serving(), source_on(lake.url, made.passphrase, {"max_batch_bytes": 2_000_000}) as source:
        (gap,) = gaps_of(await collect(source, 2, 60, EVERYTHING))
        assert (gap.range.first, gap.range.last, gap.reason) == (30, 30, Reason.MISBEHAVED)
        assert "more than 2000000 bytes" in gap.detail


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/lake",
        "lake",
        "file://otherhost/lake",
        "file:lake",
        "s3://",
        "s3://user:secret@bucket/lake",
        "s3:bucket",
        "s3://bucket/lake?x=1",
        "http://",
        "https://[bad/lake",
        "",
    ],
)
def test_what_is_no_address_is_a_settings_error_without_secrets(made, url):
    from stellarstream_data_lake.settings import DataLakeSettings
    from stellarstream_data_lake.stores import open_store

    with pytest.raises(SettingsError, match="lake_url") as raised:
        open_store(url, DataLakeSettings(), Clock().timing())
    assert "secret" not in str(raised.value) + raised.value.help
    assert settings_for("file:///x", made.passphrase).lake_urls == ["file:///x"]
