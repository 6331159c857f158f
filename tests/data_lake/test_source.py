"""The source as the rest sees it: which network it is on, what it needs installed, and whole syncs from it."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import time

import pytest

from stellarstream_core.digest import digest_events
from stellarstream_core.endpoints.failures import UnreachableError
from stellarstream_core.errors import NetworkMismatchError, SourceUnavailableError, SourceUnusableError
from stellarstream_core.plugins import Plugins
from stellarstream_core.scope import Scope
from stellarstream_core.settings import load_settings
from stellarstream_core.sources import Reason
from stellarstream_sandbox.config import SandboxConfig
from tests import commands
from tests.acceptance.conftest import digest_of, environment
from tests.data_lake.kit import (
    WebLake,
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
    write,
)

EVERYTHING = Scope.of(["*"])
OTHER = "Another ; network"


def files(made, first=2, last=100, passphrase=None):
    metas = {n: m for n, m in made.metas.items() if first <= n <= last}
    return objects(metas) | ({".config.json": manifest(passphrase)} if passphrase else {})


# --- the network --------------------------------------------------------------------------------


async def test_a_lake_of_another_network_says_so_by_its_manifest(tmp_path, made):
    write(tmp_path, files(made, passphrase=OTHER))
    async with source_on(f"file://{tmp_path}", made.passphrase) as source:
        assert (await source.identity()).passphrase == OTHER  # whoever opens the source compares
        with pytest.raises(SourceUnusableError, match=OTHER):
            await source.reach()
        (gap,) = await collect(source, 2, 100, EVERYTHING)
        assert gap.reason is Reason.UNSUPPORTED


async def test_a_lake_without_a_manifest_is_known_by_its_signatures(tmp_path, made):
    write(tmp_path, files(made))
    async with source_on(f"file://{tmp_path}", OTHER) as source:
        with pytest.raises(NetworkMismatchError, match="signed for another network"):
            await source.identity()
    async with source_on(f"file://{tmp_path}", made.passphrase) as source:
        assert (await source.identity()).passphrase is None
        assert not gaps_of(await collect(source, 2, 100, EVERYTHING))


async def test_a_manifest_that_lies_about_the_network_does_not_help(tmp_path, made):
    write(tmp_path, files(made, passphrase=OTHER))
    async with source_on(f"file://{tmp_path}", OTHER) as source:
        assert (await source.identity()).passphrase == OTHER
        items = await collect(source, 2, 100, EVERYTHING)
        assert not events_of(items)
        assert {gap.reason for gap in gaps_of(items)} == {Reason.PROOF_FAILED}
        assert all("other-network" in gap.detail for gap in gaps_of(items))


async def test_a_lake_of_another_network_among_others_is_left_out_with_a_warning(tmp_path, made):
    write(tmp_path / "other", files(made, passphrase=OTHER))
    write(tmp_path / "right", files(made, passphrase=made.passphrase))
    urls = [f"file://{tmp_path / name}" for name in ("other", "right")]
    async with source_on(urls, made.passphrase) as source:
        identity = await source.identity()
        assert identity.passphrase == made.passphrase
        assert any(OTHER in warning and "It is not used." in warning for warning in identity.warnings)
        assert not gaps_of(await collect(source, 2, 100, EVERYTHING))


async def test_a_lake_that_is_down_at_the_start_is_used_once_it_answers(tmp_path, made):
    lake = WebLake(files(made, last=120, passphrase=made.passphrase))
    write(tmp_path, files(made, last=100, passphrase=made.passphrase))

    async def trap(request, key):
        request.transport.abort()

    async with lake.serving():
        lake.trap = trap
        async with source_on([lake.url, f"file://{tmp_path}"], made.passphrase) as source:
            identity = await source.identity()
            assert any("does not answer yet" in warning for warning in identity.warnings)
            assert (await source.reach()).latest == 100
            lake.trap = None
            for _ in range(10):
                reach = await source.reach()
                source._pool.endpoints[0].cooling_until = 0.0
            assert reach.latest == 120


async def test_hashes(tmp_path, made):
    have = files(made, passphrase=made.passphrase)
    have[name_of(40)] = b"damaged"
    del have[name_of(41)]
    write(tmp_path, have)
    async with source_on(f"file://{tmp_path}", made.passphrase) as source:
        assert await source.ledger_hash(50) is None  # its reach is not known yet
        await source.reach()
        assert await source.ledger_hash(50) == made.hash(50)
        assert [await source.ledger_hash(n) for n in (1, 40, 41, 101)] == [None] * 4


async def test_a_hash_that_cannot_be_asked_for_is_an_error_not_none(made):
    lake = WebLake(files(made, passphrase=made.passphrase))
    async with lake.serving(), source_on(lake.url, made.passphrase) as source:
        await source.reach()

        async def trap(request, key):
            request.transport.abort()

        lake.trap = trap
        with pytest.raises(SourceUnavailableError):
            await source.ledger_hash(50)
        with pytest.raises(UnreachableError):
            await source.reach()


async def test_no_lake_at_all(made):
    async with source_on([], made.passphrase) as source:
        with pytest.raises(SourceUnusableError):
            await source.identity()
        (gap,) = await collect(source, 2, 10, EVERYTHING)
        assert gap.reason is Reason.UNSUPPORTED
        await source.close()


async def test_after_closing_nothing_is_served(tmp_path, made):
    lake = WebLake(files(made, passphrase=made.passphrase))
    async with lake.serving(), source_on(lake.url, made.passphrase) as source:
        await source.reach()
        await source.close()
        await source.close()
        with pytest.raises((SourceUnavailableError, RuntimeError)):
            await source.reach()


async def test_classic_events_are_required_where_they_would_be_missed(tmp_path, made):
    """Recorded testnet ledgers are of protocol 20; nothing is refused there, whatever the setting says."""
    write(tmp_path, files(made, passphrase=made.passphrase))
    for setting in ("required", "optional"):
        async with source_on(f"file://{tmp_path}", made.passphrase, classic_events=setting) as source:
            assert not gaps_of(await collect(source, 2, 100, EVERYTHING))


# --- what is installed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "url"), [("zstandard", "file:///tmp"), ("zstandard", "http://127.0.0.1:9"), ("obstore", "s3://made/x")]
)
def test_without_the_extra_the_plugin_lists_and_says_what_to_install(package, url):
    program = f"""
import sys
sys.modules[{package!r}] = None
import asyncio
from stellarstream_core.errors import SourceUnusableError
from stellarstream_core.plugins import Plugins
from stellarstream_core.settings import load_settings
plugins = Plugins.load(built_in_only=True)
spec = plugins.sources()["data-lake"]
settings = load_settings(environ={{"STELLARSTREAM_LAKE_URL": {url!r}}})
assert spec.configured(settings)
try:
    asyncio.run(spec.open(settings))
except SourceUnusableError as error:
    print(error, error.help)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert package in done.stdout
    assert "pip install 'stellarstream[lake]'" in done.stdout


def test_listing_plugins_loads_no_package_of_the_extra():
    program = """
import sys
from stellarstream_core.plugins import Plugins
Plugins.load(built_in_only=True).sources()
assert not {"zstandard", "obstore", "aiohttp", "stellarstream_data_lake.lake"} & set(sys.modules), sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_source_is_offered_as_one_that_proves_and_reads_whole_ledgers(made):
    spec = Plugins.load(built_in_only=True).sources()["data-lake"]
    assert (spec.capabilities.provable, spec.capabilities.max_contracts, spec.capabilities.live) == (True, None, True)
    assert spec.configured(settings_for("file:///x", made.passphrase))
    assert not spec.configured(settings_for([], made.passphrase))


# --- whole syncs --------------------------------------------------------------------------------


def environment_of(tmp_path, made, url: str) -> dict[str, str]:
    return environment(
        tmp_path,
        NETWORK="made",
        NETWORK_PASSPHRASE=made.passphrase,
        LAKE_URL=url,
        DATABASE_URL=f"sqlite:///{tmp_path / 'made.db'}",
    )


def stored_digest(tmp_path) -> str:
    plugins = Plugins.load(built_in_only=True)
    url = f"sqlite:///{tmp_path / 'made.db'}"
    storage = plugins.storages()["sqlite"].open(url, load_settings(environ={}), plugins.models())
    try:
        return digest_of(storage)
    finally:
        storage.close()


async def digest_in(url: str, made, first: int, last: int) -> str:
    async with source_on(url, made.passphrase) as source:
        items = await collect(source, first, last, EVERYTHING)
    assert [event.id for event in events_of(items)] == made.ids(first, last, EVERYTHING)
    return digest_events(events_of(items))


async def run(env, tmp_path, *arguments: str) -> tuple[int, dict, str]:
    """Run a command; return its exit code, the last line of its stdout as JSON, and its stderr."""
    done = await asyncio.to_thread(commands.run, *arguments, env=env, cwd=tmp_path)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}, done.stderr


@pytest.fixture
def large():
    return made_history(SandboxConfig(ledgers=400, genesis_time=1_800_000_000, burst_every=50, port=0, live=False))


async def test_killed_again_and_again_a_sync_from_a_lake_ends_with_the_same_rows(tmp_path, large):
    lake = WebLake(files(large, last=400, passphrase=large.passphrase))
    lake.delay = 0.02
    sync = ("sync", "--contract", "*", "--from", "2", "--to", "400", "--json")
    dice = random.Random(54)
    async with lake.serving():
        env = environment_of(tmp_path, large, lake.url)
        for _ in range(4):
            process = commands.start(*sync, env=env, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            enough = len(lake.log) + dice.randint(1, 90)
            while len(lake.log) < enough:
                assert process.poll() is None, "it was done before it was killed: that would show nothing"
                await asyncio.sleep(0.002)
            process.kill()
            process.wait()
        lake.delay = 0.0
        code, report, said = await run(env, tmp_path, *sync)
        assert code == 0, said
        assert report["covered"] == [[2, 400]]
        assert report["evidence"]["proven"] == [[2, 400]]
        assert report["sources"].keys() == {"data-lake"}
        assert stored_digest(tmp_path) == await digest_in(lake.url, large, 2, 400)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_a_sync_within_five_seconds(tmp_path, made, number):
    lake = WebLake(files(made, last=300, passphrase=made.passphrase))
    async with lake.serving():
        arguments = ("sync", "--contract", "*", "--from", "2", "--to", "300", "--json")
        process = commands.start(
            *arguments,
            env=environment_of(tmp_path, made, lake.url),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

        async def hang(request, key):
            if key == name_of(150):
                await asyncio.sleep(60)

        lake.trap = hang
        while name_of(150) not in {key for _, key in lake.log}:
            await asyncio.sleep(0.05)
        began = time.monotonic()
        process.send_signal(number)
        out, err = await asyncio.to_thread(process.communicate)
        assert time.monotonic() - began < 5
        assert process.returncode == 3, err
        report = json.loads(out.splitlines()[-1])
        assert report["gaps"]


async def test_a_sync_names_what_a_lake_lacks_and_a_second_one_completes_it(tmp_path, made):
    have = files(made, last=200, passphrase=made.passphrase)
    whole = dict(have)
    del have[name_of(60)]
    have[name_of(70)] = have[name_of(70)][:-9]
    have[name_of(80)] = packed(b"no ledgers")
    write(tmp_path / "lake", have)
    url = f"file://{tmp_path / 'lake'}"
    env = environment_of(tmp_path, made, url)
    sync = ("sync", "--contract", "*", "--from", "2", "--to", "latest", "--json")
    code, report, said = await run(env, tmp_path, *sync)
    assert code == 3, said
    assert [(gap["from"], gap["to"], gap["reason"].partition(":")[0]) for gap in report["gaps"]] == [
        (60, 60, "missing"),
        (70, 70, "misbehaved"),
        (80, 80, "misbehaved"),
    ]
    write(tmp_path / "lake", whole)
    code, report, said = await run(env, tmp_path, *sync)
    assert code == 0, said
    assert report["covered"] == [[2, 200]]
    assert stored_digest(tmp_path) == await digest_in(url, made, 2, 200)
