"""The README of the TypeScript SDK says what is so: its examples are type-checked and run, and it names everything."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from stellar_sdk import Keypair

from stellarstream_core import __version__
from tests.api.pages.browser import chromium, watched
from tests.invoice_links.page_kit import FREIGHTER, signed_by, wallet_script
from tests.sdk.demo_kit import Demo, demo
from tests.sdk.node_kit import EXAMPLES, SDK, built_sdk, installed, run

pytestmark = pytest.mark.timeout(600)

README = SDK / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(js|ts|ts browser)\n(.*?)^```$", TEXT, re.M | re.S)
STRICT = {
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "exactOptionalPropertyTypes": True,
    "target": "ES2022",
    "lib": ["ES2023", "DOM", "DOM.Iterable", "DOM.AsyncIterable"],
    "module": "ESNext",
    "moduleResolution": "Bundler",
    "skipLibCheck": True,
    "noEmit": True,
}


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[Demo]:
    with demo(tmp_path_factory.mktemp("demo"), cors_origins="*") as running:
        yield running


def here(code: str, service: Demo) -> str:
    """Return code with the addresses of the demo that runs."""
    for address in ("https://streams.example.org", "http://127.0.0.1:3000"):
        code = code.replace(address, service.url)
    return code.replace("http://127.0.0.1:8000", service.network)


def project(folder: Path, code: str, packages: dict[str, Path], **options: object) -> Path:
    """Lay out a package that has others installed, type-check its only module, and return that."""
    for name, where in packages.items():
        link = folder / "node_modules" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(where, target_is_directory=True)
    module = folder / "readme.ts"
    module.write_text(code, encoding="utf-8")
    (folder / "package.json").write_text('{"type": "module"}')
    config = {"compilerOptions": {**STRICT, **options}, "files": [module.name]}
    (folder / "tsconfig.json").write_text(json.dumps(config))
    run(folder, str(SDK / "node_modules" / ".bin" / "tsc"))
    return module


def bundled(module: Path, *options: str) -> Path:
    out = module.with_suffix(".mjs")
    esbuild = SDK / "node_modules" / ".bin" / "esbuild"
    run(module.parent, str(esbuild), module.name, f"--outfile={out}", "--format=esm", "--log-level=error", *options)
    return out


def examples(kind: str) -> list[str]:
    return [code for one, code in BLOCKS if one == kind]


def told(blocks: list[str], service: Demo, folder: Path, before: str = "") -> str:
    """Type-check and run blocks as one module; each comes to its end, and shows what it shows. Return all of it."""
    modules = built_sdk() / "node_modules"
    said = [f'{code}\nconsole.log("# {number}");\n' for number, code in enumerate(blocks)]
    packages = {
        "@stellarstream/nebula-sdk": SDK,
        "@stellar/stellar-sdk": modules / "@stellar" / "stellar-sdk",
        "@types/node": modules / "@types" / "node",
    }
    module = project(folder, here(before + "".join(said), service), packages, types=["node"])
    printed = run(folder, "node", str(bundled(module)), seconds=110)
    parts = re.split(r"^# \d+\n", printed, flags=re.M)
    assert len(parts) == len(blocks) + 1, printed
    for code, part in zip(blocks, parts, strict=False):
        assert bool(part.strip()) == ("console.log" in code), f"{code}\nprinted: {part}"
    return printed


def test_the_first_examples_are_typed_right_and_run_with_a_wallet(service, tmp_path):
    wallet = f"""import {{ secretKeySigner }} from "@stellarstream/nebula-sdk/secret-key";
const wallet = await secretKeySigner({json.dumps(service.secret())});
"""
    assert "ACTIVE" in told(examples("js"), service, tmp_path, wallet)


def test_every_other_example_is_typed_right_and_runs_as_it_stands(service, tmp_path):
    printed = told(examples("ts"), service, tmp_path)
    assert "COMPLETED C" in printed
    assert "AlreadyCancelled" in printed


def test_the_types_that_need_a_loose_setting_are_not_its_own(service, tmp_path):
    modules = built_sdk() / "node_modules"
    wanting = {"strict": True, "skipLibCheck": False}
    own = {"@stellarstream/nebula-sdk": SDK}
    project(tmp_path, 'import "@stellarstream/nebula-sdk";', own, types=[], **wanting)
    with pytest.raises(AssertionError, match="stellar-sdk"):
        project(
            tmp_path,
            'import "@stellar/stellar-sdk";',
            {"@stellar/stellar-sdk": modules / "@stellar" / "stellar-sdk"},
            types=[],
            **wanting,
        )


@pytest.mark.asyncio
async def test_the_example_for_browsers_runs_in_one(service, tmp_path):
    built_sdk()
    modules = installed(EXAMPLES / "react-streams") / "node_modules"
    (code,) = examples("ts browser")
    packages = {"@stellarstream/nebula-sdk": SDK, "@stellar/freighter-api": modules / "@stellar" / "freighter-api"}
    module = await asyncio.to_thread(project, tmp_path, here(code, service), packages)
    script = await asyncio.to_thread(bundled, module, "--bundle", "--platform=browser")
    keys = Keypair.from_secret(await asyncio.to_thread(service.secret))
    async with chromium() as browser, watched(browser, service.url) as seen:
        await seen.page.expose_function("sign", signed_by(keys))
        await seen.page.add_init_script(wallet_script(FREIGHTER, keys.public_key))
        shown: list[str] = []
        seen.page.on("console", lambda message: shown.append(message.text))
        await seen.open("/openapi.json")  # a page of the service without a policy of its own
        await seen.page.add_script_tag(content=script.read_text(), type="module")
        async with asyncio.timeout(20):
            while not shown:
                await asyncio.sleep(0.05)
        assert shown == ["[]"]  # a new account has no streams


# --- it names everything ----------------------------------------------------------------------------------


def exported() -> set[str]:
    """Return the names that the package exports, by its sources."""
    index, types = ((SDK / "src" / name).read_text() for name in ("index.ts", "types.ts"))
    lists = re.findall(r"export (?:type )?\{([^}]*)\}", index)
    names = {name.strip() for part in lists for name in part.split(",") if name.strip()}
    assert 'export * from "./types.js"' in index
    names |= set(re.findall(r"^export (?:type|interface|const) (\w+)", types, re.M))
    return names | set(
        re.findall(r"^export (?:async )?function (\w+)", (SDK / "src" / "secret-key.ts").read_text(), re.M)
    )


def test_every_public_name_is_in_it():
    words = set(re.findall(r"\w+", TEXT))
    assert exported() - words == set()
    assert len(exported()) > 60


def test_every_call_is_shown():
    client = (SDK / "src" / "client.ts").read_text()
    calls = set(re.findall(r"^  (?:async )?(\w+)\(", client, re.M)) - {"constructor"}
    shown = set(re.findall(r"\.(\w+)\(", "".join(code for _, code in BLOCKS)))
    assert calls - shown == set()
    assert len(calls) > 35


def test_every_option_is_explained():
    options = re.search(
        r"export interface NebulaOptions \{(.*?)^\}", (SDK / "src" / "core.ts").read_text(), re.M | re.S
    )[1]
    names = set(re.findall(r"^  (\w+)\?:", options, re.M))
    assert names == set(re.findall(r"^\| `(\w+)` \|", TEXT, re.M)) & names
    assert len(names) > 8


def test_every_error_is_explained_with_its_code():
    source = (SDK / "src" / "errors.ts").read_text()
    classes = dict(re.findall(r"export class (\w+) extends NebulaError \{.*?super\(\s*\"([a-z-]+)\"", source, re.S))
    rows = dict(re.findall(r"^\| `(\w+)` \| `([a-z-]+)` \|", TEXT, re.M))
    assert {name: code for name, code in classes.items() if rows.get(name) != code} == {}


def test_versions_are_those_of_the_service():
    package = json.loads((SDK / "package.json").read_text())
    assert package["version"] == __version__
    assert f"| {__version__.rsplit('.', 1)[0]}.x | " in TEXT


@pytest.mark.parametrize("page", [README, EXAMPLES / "README.md"], ids=["sdk", "examples"])
def test_its_links_lead_somewhere(page):
    for target, fragment in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        if fragment and there.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", there.read_text(), re.M)
            assert fragment in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
