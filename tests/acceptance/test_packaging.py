"""The wheel holds everything: built, installed elsewhere, every entry point loads and the command works."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.paths import ROOT

SCRIPT = """
import sys
from importlib.metadata import distribution, entry_points
from pathlib import Path
site = Path(sys.argv[1]).resolve()
points = [p for p in entry_points(group="stellarstream") if p.dist.name == "stellarstream"]
assert {p.name for p in points} >= {"soroban-rpc", "sql", "sandbox"}, points
for point in points:
    module = point.load()
    assert Path(module.__file__).resolve().is_relative_to(site), module.__file__
(command,) = [p for p in distribution("stellarstream").entry_points if p.group == "console_scripts"]
assert callable(command.load())
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True, capture_output=True, cwd=folder
    )
    (wheel,) = folder.glob("stellarstream-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True, cwd=folder)
    return folder / "site"


PAGES = """
import sys
from pathlib import Path
from stellarstream_core.api.pages import render, static
site = Path(sys.argv[1]).resolve()
assert Path(render.__file__).resolve().is_relative_to(site), render.__file__
assert {"style.css", "dashboard.js", "docs.js", "icon.svg"} <= set(static.bundle().files)
templates = render.environment().list_templates()
assert {"base.html", "dashboard.html", "docs.html", "problem.html"} <= set(templates), templates
for name in templates:
    render.environment().get_template(name)
"""


def run(site, tmp_path, *command: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )


def test_every_entry_point_of_the_installed_wheel_loads(site, tmp_path):
    done = run(site, tmp_path, "-c", SCRIPT, str(site))
    assert done.returncode == 0, done.stderr


def test_the_installed_wheel_brings_its_migrations_and_types(site, tmp_path):
    done = run(site, tmp_path, "-m", "stellarstream_core.cli", "migrate")
    assert done.returncode == 0, done.stderr
    assert "applied sql/0001" in done.stdout
    assert "applied api/0001" in done.stdout
    for package in ("stellarstream_core", "stellarstream_sql", "stellarstream_sandbox", "stellarstream_soroban_rpc"):
        assert (site / package / "py.typed").exists()


def test_the_installed_wheel_brings_its_pages(site, tmp_path):
    done = run(site, tmp_path, "-c", PAGES, str(site))
    assert done.returncode == 0, done.stderr


def test_the_installed_wheel_brings_what_invoices_and_pay_pages_are_made_of(site, tmp_path):
    package = ROOT / "plugins" / "stellarstream_invoice_links"
    files = {path.relative_to(package) for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {path.suffix for path in files} >= {".py", ".typ", ".html"}
    assert not [str(path) for path in sorted(files) if not (site / package.name / path).is_file()]
    command = "from stellarstream_invoice_links.invoice_pdf import template; print(len(template()))"
    done = run(site, tmp_path, "-c", command)
    assert int(done.stdout) == (package / "invoice.typ").stat().st_size, done.stderr


def test_what_only_the_repository_needs_is_not_in_the_wheel(site):
    assert not (site / "tests").exists()
    assert not (site / "scripts").exists()
