"""Node.js packages of the repository, installed and built once for all tests that want them, whoever comes first."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from tests.paths import ROOT, missing

SDK = ROOT / "contrib" / "nebula-sdk"
EXAMPLES = ROOT / "contrib" / "examples"
PATIENCE_SECONDS = 240.0


def run(folder: Path, *command: str, env: Mapping[str, str] | None = None, seconds: float = PATIENCE_SECONDS) -> str:
    """Run a program in a folder, and return what it printed; it must succeed."""
    program = shutil.which(command[0])
    if program is None:
        missing(f"{command[0]} is not installed")
    environment = {**os.environ, **(env or {})}
    done = subprocess.run(
        [program, *command[1:]],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)} in {folder.name}:\n{done.stdout[-4000:]}"
    return done.stdout


def installed(folder: Path) -> Path:
    """Install what a package's lock file says, where that is not there yet; return the package's folder."""
    lock = sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    marker = folder / "node_modules" / ".lock-sha256"
    with _alone(folder):
        if not marker.exists() or marker.read_text() != lock:
            if shutil.which("npm") is None:
                missing("npm is not installed")
            run(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
            marker.write_text(lock)
    return folder


def built_sdk() -> Path:
    """Build the TypeScript SDK, where its sources have changed since; return its folder."""
    installed(SDK)
    sources = [*SDK.glob("src/**/*.ts"), *SDK.glob("*.json"), *SDK.glob("*.config.ts")]
    state = sha256(b"".join(source.read_bytes() for source in sorted(sources))).hexdigest()
    marker = SDK / "node_modules" / ".built-sha256"
    with _alone(SDK):
        if not marker.exists() or marker.read_text() != state or not (SDK / "dist" / "index.js").exists():
            run(SDK, "npm", "run", "build")
            marker.write_text(state)
    return SDK


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock of the folder; other processes wait."""
    name = f"{sha256(str(folder).encode()).hexdigest()[:16]}.lock"
    with (Path(tempfile.gettempdir()) / name).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
