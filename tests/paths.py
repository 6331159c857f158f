"""Where tests find things outside the repository's own tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT.parent / "shared" / "fixtures"
FACTS = ROOT.parent / "shared" / "facts"
MEMORY = Path("/dev/shm")
ENOUGH = 2 * 1024**3


def memory() -> str | None:
    """Return a folder whose files are in memory, for files that need not outlive the tests; None where there is none.

    What tests kill are processes, never the machine: files in memory outlive those as files on a disk do.
    """
    try:
        there = os.statvfs(MEMORY)
    except (OSError, AttributeError):
        return None
    usable = os.access(MEMORY, os.W_OK | os.X_OK) and not there.f_flag & os.ST_NOEXEC
    return str(MEMORY) if usable and there.f_bavail * there.f_frsize >= ENOUGH else None


def fixture(name: str) -> Path:
    """Return the path of a recorded fixture; skip the test where the fixtures are not at hand."""
    path = FIXTURES / name
    if not path.exists():
        pytest.skip(f"recorded ledger data is not at hand: ../shared/fixtures/{name}")
    return path


def facts(name: str) -> Path:
    """Return the path of a page of facts; skip the test, or the module that asks, where the facts are not at hand."""
    path = FACTS / name
    if not path.exists():
        pytest.skip(
            f"what is known of the outside world is not at hand: ../shared/facts/{name}", allow_module_level=True
        )
    return path


def missing(reason: str) -> None:
    """Skip the test because a component is missing; under CI it fails instead."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have everything: {reason}")
    pytest.skip(reason)
