"""The TypeScript SDK: its types hold, every call works against a real service, and it can be installed by itself."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stellarstream_core import __version__
from tests.paths import ROOT
from tests.sdk.kit import Deployment
from tests.sdk.node_kit import SDK, built_sdk, installed, run

MOST_BYTES = 10_240
"""Of the whole of it, compressed."""

pytestmark = pytest.mark.timeout(600)

READER = """
import { Nebula, NebulaClient, NebulaError, StreamStatus, toUnits, type Stream } from "@stellarstream/nebula-sdk";
import { secretKeySigner } from "@stellarstream/nebula-sdk/secret-key";

declare const process: { readonly argv: string[] };

const [url = "", secret = "", receiver = "", tokenAddress = "", contractId = ""] = process.argv.slice(2);
Nebula.initialize(url);
const { streams } = await Nebula.getStats();
const said: { total: number; error?: string; stream?: Stream } = { total: streams.total };
try {
  const client = new NebulaClient(url, { signer: await secretKeySigner(secret) });
  const amount: bigint = toUnits("6", 7);
  said.stream = await client.createStream({ receiver, amount, tokenAddress, duration: 600, contractId });
  if (said.stream.status !== StreamStatus.ACTIVE) throw new Error(said.stream.status);
} catch (error) {
  if (!(error instanceof NebulaError)) throw error;
  said.error = `${error.code}: ${error.message}`;
}
console.log(JSON.stringify(said));
"""

WRONG = """
import { Nebula } from "@stellarstream/nebula-sdk";
await Nebula.createStream({ receiver: "G", amount: 5, tokenAddress: "C", duration: 60 });
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """What would be published."""
    folder = tmp_path_factory.mktemp("packed")
    run(built_sdk(), "npm", "pack", "--ignore-scripts", "--pack-destination", str(folder))
    (packed,) = folder.glob("*.tgz")
    return packed


@pytest.fixture(scope="module")
def project(package, tmp_path_factory) -> Path:
    """A project that has this package and nothing else."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "package.json").write_text('{"name": "consumer", "private": true, "type": "module"}')
    run(folder, "npm", "install", "--offline", "--no-audit", "--no-fund", str(package))
    assert sorted(path.name for path in (folder / "node_modules").iterdir() if path.name[0] != ".") == [
        "@stellarstream"
    ]
    (folder / "right.mts").write_text(READER)
    (folder / "wrong.mts").write_text(WRONG)
    return folder


def compile_strictly(folder: Path, version: str, resolution: str, *files: str) -> list[str]:
    """Compile files of a project, and check the libraries' types, too; return what is wrong, a line each."""
    module = {"nodenext": "nodenext", "bundler": "esnext"}[resolution]
    options = ["--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "false", "--pretty", "false"]
    options += ["--target", "es2022", "--module", module, "--moduleResolution", resolution]
    command = ["node", str(SDK / "node_modules" / version / "bin" / "tsc"), *options, *files]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if line[:1] != " "]
    assert (done.returncode == 0) == (not found), done.stdout + done.stderr
    return found


def test_its_types_refuse_what_is_wrong_and_take_what_is_right():
    installed(SDK)
    run(SDK, "npm", "run", "--silent", "check")


def test_every_call_works_against_a_real_service_and_every_fault_is_told():
    installed(SDK)
    # they start one by themselves: the command is the one of these very sources
    command = Path(sys.executable).with_name("stellarstream")
    env = {"STELLARSTREAM": str(command), "NEBULA_TEST_URL": "", "NO_COLOR": "1"}
    said = run(SDK, "npx", "vitest", "run", env=env, seconds=500)
    assert re.search(r"Tests +\d{3} passed", said), said[-2000:]


def test_it_is_small():
    code = (built_sdk() / "dist" / "index.js").read_bytes()
    assert len(gzip.compress(code, 9)) < MOST_BYTES


def test_who_needs_a_part_of_it_gets_no_more(tmp_path):
    built_sdk()
    (tmp_path / "part.js").write_text(f'export {{ toUnits }} from "{SDK}/dist/index.js";')
    run(
        SDK,
        "npx",
        "esbuild",
        str(tmp_path / "part.js"),
        "--bundle",
        "--minify",
        "--format=esm",
        f"--outdir={tmp_path}/out",
    )
    part = (tmp_path / "out" / "part.js").read_text()
    assert "toUnits" in part
    assert len(part) < 1_500
    assert "fetch" not in part


def test_it_needs_nothing_at_run_time():
    description = json.loads((SDK / "package.json").read_text())
    assert "dependencies" not in description
    assert description["peerDependenciesMeta"] == {name: {"optional": True} for name in description["peerDependencies"]}
    code = (built_sdk() / "dist" / "index.js").read_text()
    assert not re.search(r"\b(import|require)\b *[({\"'*\w]", code)


def test_its_public_types_have_no_any():
    for page in (built_sdk() / "dist").glob("*.d.ts"):
        types = re.sub(r"/\*.*?\*/|//.*?$|\"(?:[^\"\\]|\\.)*\"", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        assert re.findall(r".*\bany\b.*", types) == []


def test_its_version_is_the_services():
    assert json.loads((SDK / "package.json").read_text())["version"] == __version__
    lock = json.loads((SDK / "package-lock.json").read_text())
    assert {lock["version"], lock["packages"][""]["version"]} == {__version__}


def test_its_lock_file_names_no_registry_and_every_content():
    packages = json.loads((SDK / "package-lock.json").read_text())["packages"]
    assert {name for name, one in packages.items() if "resolved" in one} == set()
    assert {name for name, one in packages.items() if name and "integrity" not in one} == set()


def test_what_is_published_is_the_build_and_its_papers(package):
    listed = subprocess.run(["tar", "tzf", package], capture_output=True, text=True, check=True).stdout.split()
    built = {f"package/dist/{path.name}" for path in (SDK / "dist").iterdir()}
    papers = {"package/package.json", "package/LICENSE"}
    assert built | papers <= set(listed) <= built | papers | {"package/README.md"}
    assert (SDK / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize(
    ("version", "resolution"), [("typescript", "nodenext"), ("typescript-7", "nodenext"), ("typescript-7", "bundler")]
)
def test_a_project_with_this_package_alone_compiles_strictly(project, version, resolution):
    (found,) = compile_strictly(project, version, resolution, "right.mts", "wrong.mts")
    assert re.match(r"wrong.mts\(3,\d+\): error TS2322: Type 'number' is not assignable to type 'Amount'", found), found


def test_a_project_with_this_package_alone_runs(project, deployed: Deployment):
    assert compile_strictly(project, "typescript-7", "nodenext", "right.mts") == []
    given = [deployed.url, deployed.secret(), deployed.wallet().public_key, deployed.usdc, deployed.v1]
    said = json.loads(run(project, "node", "right.mjs", *given))
    assert said["error"].startswith("bad-configuration: secretKeySigner needs the package @stellar/stellar-sdk")
    assert "stream" not in said

    # the package that a secret key needs, and only that, is the project's own choice
    peer = project / "node_modules" / "@stellar"
    peer.symlink_to(SDK / "node_modules" / "@stellar")
    try:
        said = json.loads(run(project, "node", "right.mjs", *given))
    finally:
        peer.unlink()
    assert "error" not in said
    assert (said["stream"]["amount"], said["stream"]["receiver"]) == ("60000000", given[2])
