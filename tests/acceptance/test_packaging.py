"""The wheel holds everything: built, installed elsewhere, every entry point loads and the command works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stellarstream_core.ops.control import supervisor_pid
from stellarstream_core.ops.files import CIRCUS_INI
from stellarstream_core.ops.unit_file import SYSTEM_UNIT, USER_UNIT
from tests.ops.kit import Cluster, clean_environment, living, until
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


PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
NOT_SOURCES = (".git", ".*_cache", ".hypothesis", ".venv", "__pycache__", "build", "dist", "node_modules", "*.egg-info")
SHARE = Path("share") / "stellarstream"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # what is built leaves something behind, and others may build meanwhile
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_SOURCES))
    made = [*PIP, "wheel", "--no-deps", "--wheel-dir", folder, source]
    subprocess.run(made, check=True, capture_output=True, cwd=folder)
    (built,) = folder.glob("stellarstream-*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel) -> Path:
    """A folder that the wheel was installed into, for PYTHONPATH."""
    folder = wheel.parent / "site"
    subprocess.run([*PIP, "install", "--no-deps", "--target", folder, wheel], check=True, cwd=wheel.parent)
    return folder


@pytest.fixture(scope="module")
def environment(wheel) -> Path:
    """An environment of its own that the wheel was installed into; what it depends on is that of these tests."""
    folder = wheel.parent / "venv"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    subprocess.run([*PIP, "--python", python, "install", "--no-deps", wheel], check=True, cwd=wheel.parent)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "of-the-tests.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return folder


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


# --- what a service is set up from and started with -------------------------------------------------

WHERE = f"""
import sys
from pathlib import Path
from stellarstream_core.ops import files
files.shared_file("contrib/setup.sh")
for name in ({CIRCUS_INI!r}, {SYSTEM_UNIT!r}, {USER_UNIT!r}):
    print(files.shared_file(name))
print(files.__file__)
"""


def shipped_files() -> list[Path]:
    contrib = ROOT / "contrib"
    files = [path for folder in ("systemd", "grafana") for path in (contrib / folder).rglob("*")]
    found = [ROOT / CIRCUS_INI, *contrib.glob("*"), *files]
    return sorted(path.relative_to(ROOT) for path in found if path.is_file())


def test_the_wheel_holds_what_a_service_is_set_up_from_as_it_is_in_the_repository(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name.partition(f".data/data/{SHARE}/")[2]: archive.read(name) for name in archive.namelist()}
    held.pop("")
    assert held == {str(path): (ROOT / path).read_bytes() for path in shipped_files()}
    assert {CIRCUS_INI, SYSTEM_UNIT, USER_UNIT, "contrib/setup.sh", "contrib/stellarstream.env"} <= set(held)


@pytest.mark.parametrize("layout", ["environment", "site"])
def test_the_installed_wheel_finds_its_own_files(request, layout, tmp_path):
    folder = request.getfixturevalue(layout)
    python, path = (folder / "bin" / "python", "") if layout == "environment" else (sys.executable, str(folder))
    env = clean_environment() | {"PYTHONPATH": path}
    done = subprocess.run([python, "-c", WHERE], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *found, module = map(Path, done.stdout.splitlines())
    assert found == [folder / SHARE / name for name in (CIRCUS_INI, SYSTEM_UNIT, USER_UNIT)]
    assert module.is_relative_to(folder)


def call(environment: Path, home: Path, *command: str | Path, **variables: str) -> str:
    """Run a command of the environment as somebody does who has nothing else of it; return what it said."""
    env = {name: value for name, value in clean_environment().items() if name != "PYTHONPATH"}
    env |= {"HOME": str(home), **variables}
    done = subprocess.run(
        [environment / "bin" / "stellarstream", *command] if command[0] != "sh" else command,
        cwd=home,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_setup_and_startup_of_the_installed_wheel_make_the_unit_that_is_shipped(environment, tmp_path):
    printed = call(environment, tmp_path, "startup", "--run-as", "stellarstream")
    program = environment / "bin" / "stellarstream"
    usual = printed.replace(str(program), "/opt/stellarstream/venv/bin/stellarstream")
    assert usual.replace("ProtectHome=read-only", "ProtectHome=yes") == (ROOT / SYSTEM_UNIT).read_text()
    assert f"ExecStart={program} up --foreground\n" in call(environment, tmp_path, "startup", "--user")

    script = environment / SHARE / "contrib" / "setup.sh"
    root = tmp_path / "machine"
    root.mkdir()
    call(environment, tmp_path, "sh", script, "--root", root, "--venv", environment)
    assert (root / "etc" / "systemd" / "system" / "stellarstream.service").read_text() == printed
    assert "STELLARSTREAM_SECRET_KEY=" in (root / "etc" / "stellarstream" / "stellarstream.env").read_text()


@pytest.fixture
def service(environment) -> Iterator[Cluster]:
    contract = "CB53BX2FGV2P4VF5BVMRQ2YWNMFZPINYX44GT66XSTK7AKUADK35OEEH"
    made = Cluster(
        NETWORK="sandbox",
        RPC_URL="http://127.0.0.1:9",  # nobody
        CONTRACTS=contract,
        START_LEDGER="2",
        PLUGINS__SOROBAN_RPC__MAX_RETRIES="0",
    )
    del made.settings["PYTHON"]
    try:
        yield made
    finally:
        if (pid := supervisor_pid(made.run_dir)) is not None:
            supervisor = psutil.Process(pid)
            processes = [supervisor, *supervisor.children(recursive=True)]
            supervisor.terminate()
            for left in psutil.wait_procs(processes, timeout=15)[1]:
                left.kill()
        made.stop()


def programs(supervisor: psutil.Process) -> list[str]:
    """Return what worker, indexer and health monitor run on; an indexer without a source ends, and is started again."""
    try:
        return [process.cmdline()[0] for process in supervisor.children()]
    except (psutil.Error, IndexError):
        return []


def test_up_of_the_installed_wheel_runs_the_service_with_the_circus_ini_that_came_with_it(environment, service):
    settings = {f"STELLARSTREAM_{name}": value for name, value in service.settings.items()}
    printed = call(environment, service.home, "up", "--print-env", **settings)
    assert f"STELLARSTREAM_PYTHON={environment / 'bin' / 'python'}\n" in printed
    assert "Running: 1 API worker on" in call(environment, service.home, "up", "--workers", "1", **settings)
    supervisor = psutil.Process(supervisor_pid(service.run_dir))
    assert supervisor.cmdline()[-1] == str(environment / SHARE / CIRCUS_INI)
    processes = until(
        lambda: programs(supervisor) == [str(environment / "bin" / "python")] * 3 and supervisor.children()
    )
    assert service.ask("/healthz/live")
    assert call(environment, service.home, "down", **settings) == "Ended.\n"
    assert living(processes) == []


def test_what_only_the_repository_needs_is_not_in_the_wheel(site):
    assert not (site / "tests").exists()
    assert not (site / "scripts").exists()
