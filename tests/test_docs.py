"""The documentation says what the code does: references are current, links resolve, examples run."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scripts.reference import PAGE_MAKERS, PAGES
from stellarstream_core import hookspecs
from stellarstream_core.sources import Reason
from stellarstream_core.sync.report import NEVER_FETCHED
from tests.paths import ROOT

PAGES_OF_DOCS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
TRACKED = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
    "\0"
)


@pytest.mark.parametrize("page", sorted(PAGE_MAKERS))
def test_reference_pages_are_what_the_code_says(page):
    assert (PAGES / page).read_text() == PAGE_MAKERS[page](), "run: python -m scripts.reference"


def test_every_hook_has_a_heading_with_its_exact_arguments():
    text = (PAGES / "hooks.md").read_text()
    for name in hookspecs.HOOK_NAMES:
        arguments = ", ".join(inspect.signature(getattr(hookspecs, name)).parameters)
        found = re.search(rf"^## `{name}\((.*?)\)", text, re.MULTILINE)
        assert found, name
        assert ", ".join(part.split(":")[0] for part in found.group(1).split(", ") if part) == arguments


@pytest.mark.parametrize("page", PAGES_OF_DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_pages_resolve(page: Path):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}
            assert anchor in slugs, f"{page.name} links to {target}"


def test_every_reason_of_a_gap_is_explained():
    text = (ROOT / "docs" / "guide.md").read_text()
    for reason in [*Reason, NEVER_FETCHED]:
        assert f"`{reason}`" in text


def test_every_dependency_has_a_reason():
    from configparser import ConfigParser

    setup = ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"] + "\n".join(setup["options.extras_require"].values())
    reasons = (ROOT / "docs" / "decisions" / "dependencies.md").read_text()
    for name in re.findall(r"^([a-z][a-z0-9-]*)", lines, re.MULTILINE):
        assert name in reasons, f"{name} has no line in docs/decisions/dependencies.md"


def test_the_example_plugin_of_the_guide_works(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "plugins.md").read_text()
    (code,) = re.findall(r"```python\n# (?:\w+)\.py\n(.*?)```", text, re.DOTALL)
    (tmp_path / "stellarstream_file_sink.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    import stellarstream_file_sink as plugin

    from stellarstream_core.hookspecs import CommittedBatch
    from stellarstream_core.ranges import LedgerRange
    from stellarstream_core.settings import load_settings
    from stellarstream_core.storage import Commit
    from stellarstream_core.testing.scripted import made_event

    target = tmp_path / "events.log"
    settings = load_settings(environ={"STELLARSTREAM_PLUGINS__FILE_SINK__PATH": str(target)})
    settings = settings.with_sections([plugin.register_settings()])
    (sink,) = plugin.register_sinks(settings)
    sink.publish(CommittedBatch(Commit(7, 1, LedgerRange(5, 5)), [made_event(5)]))
    assert target.read_text() == f"7 {made_event(5).id}\n"
    del sys.modules["stellarstream_file_sink"]
    tomllib.loads(re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0])


def test_tracked_files_name_no_machine_and_no_registry():
    if TRACKED == [""]:
        pytest.skip("not a git checkout")
    forbidden = re.compile(r"/(?:wo[r]k|fa[r]m)/[a-z.]|/roo[t]/|regist[r]y\.npmjs|py[p]i\.org|files\.pythonhosted")
    for name in filter(None, TRACKED):
        path = ROOT / name
        if path.is_file() and path.stat().st_size < 2_000_000:
            found = forbidden.search(path.read_text(encoding="utf-8", errors="replace"))
            assert not found, f"{name}: {found.group(0) if found else ''}"
