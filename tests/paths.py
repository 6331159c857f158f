"""Where tests find things outside the repository's own tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT.parent / "shared" / "fixtures"
FACTS = ROOT.parent / "shared" / "facts"


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
