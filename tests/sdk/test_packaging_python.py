"""The Python client's wheel is whole: installed where nothing else of this repository is, it works, and is typed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from importlib.metadata import distribution
from pathlib import Path

import pytest

from stellarstream_core import __version__
from tests.api.examples import Page
from tests.paths import ROOT

PACKAGE = ROOT / "contrib" / "nebula-client"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)([^;]*)(?:;(.*))?")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nebula_client")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    source = folder / "source"  # what is built leaves something behind
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    made = [*pip, "wheel", "--no-deps", "--wheel-dir", folder, source]
    subprocess.run(made, check=True, capture_output=True, cwd=folder)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return HeaderParser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", "--target", folder, wheel], check=True, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def site(installed, metadata, tmp_path_factory) -> Path:
    """A folder with the wheel, what it says it depends on, what that depends on, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    for path in installed.iterdir():
        (folder / path.name).symlink_to(path)
    for name in sorted(set(needed(metadata.get_all("Requires-Dist")))):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in {"..", "__pycache__"}}:
            (folder / top).exists() or (folder / top).symlink_to(found.locate_file(top))
    return folder


def needed(requirements: list[str] | None) -> Iterator[str]:
    """Yield the distributions of requirements that hold here without any extra, and theirs."""
    from packaging.requirements import Requirement

    for text in requirements or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name
            yield from needed(distribution(requirement.name).requires)


def alone(site: Path, tmp_path: Path, code: str) -> str:
    """Run code where only the folder can be imported, and the standard library."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "STELLARSTREAM"))
    }
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(site)!r})\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    sources = {str(path.relative_to(PACKAGE)) for path in (PACKAGE / "nebula_client").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == sources | {"nebula_client/py.typed"}
    assert [name for name in names if name.endswith("licenses/LICENSE")]


def test_it_says_what_it_is(metadata):
    assert (metadata["Name"], metadata["Version"], metadata["Requires-Python"]) == (
        "nebula-client",
        __version__,
        ">=3.11",
    )
    required = [_REQUIREMENT.fullmatch(text) for text in metadata.get_all("Requires-Dist")]
    assert {found[1]: found[3] is None for found in required} == {
        "httpx2": True,
        "pydantic": True,
        "stellar-sdk": False,
    }
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_payload().startswith("# nebula-client")


def test_it_works_where_nothing_else_is(deployed, site, tmp_path):
    said = alone(
        site,
        tmp_path,
        f"""
import asyncio, importlib.util
from nebula_client import AsyncNebulaClient, ConfigurationError, NebulaClient, SecretKeySigner, __version__

for name in ("stellarstream_core", "stellarstream_nebula", "stellar_sdk", "aiohttp"):
    assert importlib.util.find_spec(name) is None, name
with NebulaClient({deployed.url!r}) as client:
    print(client.get_sync().network)
    for stream in client.iterate_streams(limit=5):
        break

async def main():
    async with AsyncNebulaClient({deployed.url!r}) as client:
        return (await client.get_stats()).complete

print(asyncio.run(main()) in {{True, False}})
try:
    SecretKeySigner("S")
except ConfigurationError as error:
    print(error)
print(__version__)
""",
    )
    assert said.splitlines() == [
        "sandbox",
        "True",
        "SecretKeySigner needs stellar-sdk: install nebula-client[stellar].",
        __version__,
    ]


RIGHT = """
from datetime import UTC, datetime

from nebula_client import AsyncNebulaClient, Nebula, NebulaClient, SecretKeySigner, Signer, Stream, StreamStatus

signer: Signer = SecretKeySigner("S")


def made(client: NebulaClient) -> str:
    stream: Stream = client.create_stream(
        receiver="G", amount=5, token_address="C", duration=60, start_time=datetime.now(UTC), signer=signer
    )
    ended: datetime | None = stream.end_time
    status: StreamStatus = stream.status
    for one in client.iterate_streams(status=[StreamStatus.ACTIVE], limit=5):
        reveal_type(one)
    for event in client.watch_events(contract="C"):
        reveal_type(event.event)
    return stream.id


async def awaited(client: AsyncNebulaClient) -> int:
    async for one in client.watch_stream("x"):
        reveal_type(one.amount)
    link = await client.create_invoice_link(receiver="G", amount="5", token_address="C", duration=60)
    return len(link.payments)


Nebula.initialize("http://a.test", timeout=5)
reveal_type(Nebula.get_stats())
"""

WRONG = """
from nebula_client import AsyncNebulaClient, NebulaClient

client = NebulaClient("http://a.test")
client.create_stream(receiver="G", amount=1.5, token_address="C", duration=60)
client.create_stream(receiver="G", amount=1, token_address="C")
client.create_stream(receiver="G", amount=1, token_address="C", duration=60, memmo="x")
client.list_streams(sendr="G")
client.get_stream(5)
client.login(lambda xdr: xdr)
NebulaClient("http://a.test", time_out=5)
AsyncNebulaClient("http://a.test").get_stats().complete
client.get_stats().nonsense
client.withdraw_from_stream("x", 1.5)
"""


@pytest.fixture(scope="module")
def checked(installed, tmp_path_factory) -> list[str]:
    """What mypy says of right and wrong calls, and of the README's examples: checked at once, for that takes long."""
    folder = tmp_path_factory.mktemp("typed")
    examples = "\n".join(block.code for block in Page("contrib/nebula-client/README.md").of("python"))
    for name, code in {"right.py": RIGHT, "wrong.py": WRONG, "readme.py": examples}.items():
        (folder / name).write_text(code)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", folder / "cache"]
    environment = {**os.environ, "MYPYPATH": str(installed)}
    done = subprocess.run(
        [*command, "right.py", "wrong.py", "readme.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )
    return done.stdout.splitlines()


@pytest.mark.timeout(400)  # everything that is imported is checked anew
def test_its_types_let_right_calls_through_and_no_others(checked):
    revealed = [line.split('"')[1].rpartition(".")[2] for line in checked if "Revealed type" in line]
    assert revealed == ["Stream", "ContractEvent", "str | None", "Stats"], checked
    faults = {int(found[1]) for line in checked if (found := re.match(r"wrong\.py:(\d+): error", line))}
    assert faults == set(range(5, 5 + WRONG.strip().count("\n") - 2)), checked
    assert not [line for line in checked if line.startswith("right.py") and "error" in line], checked


@pytest.mark.timeout(400)
def test_the_readme_s_examples_are_typed_right(checked):
    assert [line for line in checked if line.startswith("readme.py")] == []
