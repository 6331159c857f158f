"""The sandbox's data lake: in a directory and over HTTP it has the same ledgers as the RPC, byte for byte."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import zstandard
from stellar_sdk import xdr

from stellarstream_core.errors import UsageError
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.lake import MANIFEST, LakeDirectory, LakeLayout
from stellarstream_sandbox.network import SandboxNetwork
from stellarstream_sandbox.simulation import Simulation
from tests.paths import fixture
from tests.sandbox.conftest import GENESIS_TIME, call

CONFIG = SandboxConfig(ledgers=30, genesis_time=GENESIS_TIME, port=0, live=False)
LAST = 31


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def decoded(body: bytes) -> xdr.LedgerCloseMetaBatch:
    return xdr.LedgerCloseMetaBatch.from_xdr_bytes(zstandard.ZstdDecompressor().decompressobj().decompress(body))


async def metas_of_the_rpc(network: SandboxNetwork) -> dict[int, bytes]:
    params = {"startLedger": network.oldest, "pagination": {"limit": 200}}
    listed = (await call(network.url, "getLedgers", params))["result"]["ledgers"]
    return {one["sequence"]: b64decode(one["metadataXdr"]) for one in listed}


async def fetch(url: str, method: str = "GET", **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as response:
        return response.status, response.headers, await response.read()


# --- names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "sequence", "key"),
    [
        (LakeLayout(), 62148003, "FC4BC1FF--62144000-62207999/FC4BB25C--62148003.xdr.zst"),
        (LakeLayout(), 2, "FFFFFFFF--0-63999/FFFFFFFD--2.xdr.zst"),
        (LakeLayout(2, 8), 19, "FFFFFFEF--16-31/FFFFFFED--18-19.xdr.zst"),
        (LakeLayout(2, 8), 2, "FFFFFFFF--0-15/FFFFFFFD--2-3.xdr.zst"),
        (LakeLayout(64, 10), 3, "FFFFFFFF--0-639/FFFFFFFF--0-63.xdr.zst"),
        (LakeLayout(1, 1), 5, "FFFFFFFA--5.xdr.zst"),
        (LakeLayout(4, 1), 5, "FFFFFFFB--4-7.xdr.zst"),
    ],
)
def test_names_are_those_of_the_standard(layout, sequence, key):
    assert layout.key(sequence) == key
    found = layout.ledger_of(key)
    assert layout.batch(found) == layout.batch(sequence)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "FFFFFFFD--2.xdr.zst",
        "FFFFFFFF--0-63999/FFFFFFFD--3.xdr.zst",
        "FFFFFFFF--0-63999/FFFFFFFD--2-2.xdr.zst",
        "FFFFFFFF--0-63999/fffffffd--2.xdr.zst",
        "FFFFFFFF--0-63999/../FFFFFFFF--0-63999/FFFFFFFD--2.xdr.zst",
        f"FFFFFFFF--0-63999/FFFFFFFD--{'9' * 400}.xdr.zst",
        "FFFFFFFF--0-63999/00000000--9999999999.xdr.zst",
    ],
)
def test_no_other_name_is_an_object(key):
    assert LakeLayout().ledger_of(key) is None


def test_the_manifest_has_the_keys_of_a_recorded_one():
    recorded = fixture("lake-testnet/.config.json").read_bytes()
    assert LakeLayout().manifest("Test SDF Network ; September 2015").split() == recorded.split()


# --- a directory -----------------------------------------------------------------------------------------


async def test_the_directory_has_every_ledger_as_the_rpc_has_it_and_grows_with_the_tip(tmp_path):
    async with SandboxNetwork(replace(CONFIG, lake=tmp_path / "lake", retention=200)) as network:
        network.close_ledgers(3)
        metas = await metas_of_the_rpc(network)
        lake = files(tmp_path / "lake")
    layout = LakeLayout()
    assert lake.pop(MANIFEST) == layout.manifest(network.passphrase)
    assert set(lake) == {layout.key(sequence) for sequence in range(2, LAST + 4)}
    for sequence, meta in metas.items():
        body = lake[layout.key(sequence)]
        batch = decoded(body)
        assert (batch.start_sequence.uint32, batch.end_sequence.uint32) == (sequence, sequence)
        assert [one.to_xdr_bytes() for one in batch.ledger_close_metas] == [meta]
        assert zstandard.get_frame_parameters(body).content_size == zstandard.CONTENTSIZE_UNKNOWN
        with pytest.raises(zstandard.ZstdError):
            zstandard.ZstdDecompressor().decompress(body)


async def test_objects_of_several_ledgers_are_there_when_they_are_whole(tmp_path):
    config = replace(CONFIG, lake=tmp_path, lake_batch=8, lake_partition=3)
    async with SandboxNetwork(config) as network:
        metas = await metas_of_the_rpc(network)
        assert sorted(files(tmp_path)) == sorted(
            [
                MANIFEST,
                "FFFFFFFF--0-23/FFFFFFFF--0-7.xdr.zst",
                "FFFFFFFF--0-23/FFFFFFF7--8-15.xdr.zst",
                "FFFFFFFF--0-23/FFFFFFEF--16-23.xdr.zst",
                "FFFFFFE7--24-47/FFFFFFE7--24-31.xdr.zst",
            ]
        )
        network.close_ledgers(7)
        assert len(files(tmp_path)) == 5
        status, _, _ = await fetch(f"{network.lake_url}/FFFFFFE7--24-47/FFFFFFDF--32-39.xdr.zst")
        assert status == 404
        network.close_ledger()
        assert (tmp_path / "FFFFFFE7--24-47/FFFFFFDF--32-39.xdr.zst").is_file()
        first = decoded((tmp_path / "FFFFFFFF--0-23/FFFFFFFF--0-7.xdr.zst").read_bytes())
        assert (first.start_sequence.uint32, first.end_sequence.uint32) == (2, 7)
        assert [one.to_xdr_bytes() for one in first.ledger_close_metas] == [metas[s] for s in range(2, 8)]


async def written(config: SandboxConfig, more: int = 0) -> dict[str, bytes]:
    async with SandboxNetwork(config) as network:
        network.close_ledgers(more)
    return files(config.lake)


async def test_the_same_history_makes_the_same_lake_and_goes_on_with_one_that_is_there(tmp_path):
    whole = await written(replace(CONFIG, lake=tmp_path / "whole"), more=5)
    assert await written(replace(CONFIG, lake=tmp_path / "again"), more=5) == whole
    partly = replace(CONFIG, lake=tmp_path / "partly")
    await written(partly)
    (tmp_path / "partly" / LakeLayout().key(9)).unlink()
    before = (tmp_path / "partly" / LakeLayout().key(10)).stat().st_mtime_ns
    assert await written(partly, more=5) == whole
    assert (tmp_path / "partly" / LakeLayout().key(10)).stat().st_mtime_ns == before


async def test_another_history_is_refused_and_nothing_is_written(tmp_path):
    lake = tmp_path / "lake"
    before = await written(replace(CONFIG, ledgers=5, lake=lake))
    for other in (
        replace(CONFIG, lake=lake, seed=2),
        replace(CONFIG, lake=lake, genesis_time=GENESIS_TIME + 1),
        replace(CONFIG, lake=lake, passphrase="another network"),
        replace(CONFIG, lake=lake, lake_batch=2),
        replace(CONFIG, lake=lake, lake_partition=1),
    ):
        with pytest.raises(UsageError, match="another"):
            await SandboxNetwork(other).__aenter__()
        assert files(lake) == before


async def test_a_live_ledger_that_is_there_already_with_other_bytes_stops_the_clock(tmp_path):
    lake = tmp_path / "lake"
    await written(replace(CONFIG, ledgers=8, lake=lake))
    config = replace(CONFIG, ledgers=5, close_time=0.02, live=True, lake=lake)
    async with SandboxNetwork(config) as network, asyncio.timeout(5):
        with pytest.raises(UsageError, match="another history"):
            await network.wait()


async def test_an_object_that_another_version_of_zstandard_compressed_is_the_same(tmp_path):
    config = replace(CONFIG, ledgers=5, lake=tmp_path)
    await written(config)
    path = tmp_path / LakeLayout().key(3)
    meta = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    path.write_bytes(zstandard.ZstdCompressor(level=19, write_content_size=False).compress(meta))
    await written(config)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UsageError, match="another history"):
        await SandboxNetwork(config).__aenter__()


@pytest.mark.parametrize("name", ["notes.txt", "FFFFFFFF--0-63999"])
def test_a_directory_with_something_else_in_it_is_no_lake(tmp_path, name):
    (tmp_path / name).mkdir()
    lake = LakeDirectory(tmp_path, LakeLayout(), "x")
    with pytest.raises(UsageError, match=f"is not empty and has no .config.json.*{name}"):
        lake.check()


def test_what_an_interrupted_start_left_is_no_obstacle(tmp_path):
    (tmp_path / f".{MANIFEST}.1.tmp").write_bytes(b"{")
    LakeDirectory(tmp_path, LakeLayout(), "x").check()


@pytest.mark.parametrize("manifest", [b"", b"[]", b"\xff"])
def test_a_broken_manifest_is_refused(tmp_path, manifest):
    (tmp_path / MANIFEST).write_bytes(manifest)
    with pytest.raises(UsageError):
        LakeDirectory(tmp_path, LakeLayout(), "x").check()


def test_a_write_that_fails_leaves_nothing_under_the_final_name(tmp_path, monkeypatch):
    simulation = Simulation(CONFIG)
    for _ in simulation.close_history():
        pass
    lake = LakeDirectory(tmp_path, LakeLayout(), "x")

    def full(path: Path, body: bytes) -> int:
        with path.open("wb") as file:
            file.write(body[: len(body) // 2])
        raise OSError(28, "No space left on device")

    steps = lake.settle(simulation.history.archive())
    for _ in range(35):
        next(steps)
    before = files(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UsageError, match="cannot be written: No space left on device"):
        next(steps)
    assert files(tmp_path) == before


# --- over HTTP -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("directory", [True, False])
async def test_http_serves_what_the_directory_has_with_or_without_one(tmp_path, directory):
    expected = await written(replace(CONFIG, lake=tmp_path / "written"), more=2)
    config = replace(CONFIG, retention=5, lake=tmp_path / "served" if directory else None)
    async with SandboxNetwork(config) as network:
        network.close_ledgers(2)
        for key, body in expected.items():
            status, headers, got = await fetch(f"{network.lake_url}/{key}")
            assert (status, got) == (200, body)
            assert int(headers["Content-Length"]) == len(body)
            assert headers["ETag"].startswith('"')
            assert headers["Last-Modified"].endswith("GMT")
        assert headers["Content-Type"] == "application/octet-stream"
        status, alone, nothing = await fetch(f"{network.lake_url}/{key}", "HEAD")
        assert (status, nothing, alone["ETag"], alone["Content-Length"]) == (
            200,
            b"",
            headers["ETag"],
            headers["Content-Length"],
        )
        assert (await fetch(f"{network.lake_url}/{key}", **{"If-None-Match": headers["ETag"]}))[0] == 304
        for other in ("nothing", "", LakeLayout().key(LAST + 3), LakeLayout().key(1), f"../{key}", ".config.jso"):
            assert (await fetch(f"{network.lake_url}/{other}"))[0] in (404, 405), other


async def test_objects_that_left_the_memory_are_read_from_the_directory(tmp_path, monkeypatch):
    monkeypatch.setattr("stellarstream_sandbox.simulation.ARCHIVE", 31)
    async with SandboxNetwork(replace(CONFIG, retention=5, lake=tmp_path)) as network:
        before = await fetch(f"{network.lake_url}/{LakeLayout().key(2)}")
        network.close_ledgers(4)
        assert network.simulation.history.archive().oldest == 5
        after = await fetch(f"{network.lake_url}/{LakeLayout().key(2)}")
        assert (after[0], after[2], after[1]["ETag"]) == (200, before[2], before[1]["ETag"])
        status, _, _ = await fetch(f"{network.lake_url}/{MANIFEST}x")
        assert status == 404


async def test_without_zstandard_there_is_no_lake_and_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(UsageError, match=r"pip install 'stellarstream\[lake\]'"):
        SandboxNetwork(replace(CONFIG, lake=tmp_path))
    async with SandboxNetwork(CONFIG) as network:
        for key in (MANIFEST, LakeLayout().key(2), ""):
            status, _, body = await fetch(f"{network.lake_url}/{key}")
            assert (status, body.strip()) == (
                501,
                b"A data lake needs the package zstandard: pip install 'stellarstream[lake]'",
            )
        assert "result" in await call(network.url, "getHealth")


# --- the command --------------------------------------------------------------------------------------------


def run(tmp_path: Path, *flags: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run the sandbox; ``limit`` is the greatest size of a file that it may write, in bytes."""
    code = "from stellarstream_core.cli import main; main()"
    if limit is not None:
        code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); {code}"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("STELLARSTREAM_")}
    return subprocess.run(
        [sys.executable, "-c", code, "sandbox", "--port", "0", "--genesis-time", "1800000000", *flags],
        cwd=tmp_path,
        env={**kept, "PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("ledgers", ["20", "1"], ids=["at-the-start", "while-it-runs"])
def test_a_full_disk_ends_it_with_code_2_and_no_broken_object(tmp_path, ledgers):
    done = run(tmp_path, "--ledgers", ledgers, "--close-time", "0.01", "--lake", "lake", limit=3000)
    assert done.returncode == 2
    assert "The lake lake cannot be written: File too large." in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    lake = files(tmp_path / "lake")
    assert lake.pop(MANIFEST)
    assert not [name for name in lake if name.endswith(".tmp")]
    for name, body in lake.items():
        batch = decoded(body)
        assert LakeLayout().key(batch.start_sequence.uint32) == name


def test_a_lake_of_another_network_ends_the_command_with_one_sentence(tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / MANIFEST).write_bytes(LakeLayout().manifest("Test SDF Network ; September 2015"))
    done = run(tmp_path, "--ledgers", "200000", "--lake", "lake")
    assert done.returncode == 2
    assert "lake is another lake: networkPassphrase is 'Test SDF Network ; September 2015'" in done.stderr
    assert "Traceback" not in done.stderr
