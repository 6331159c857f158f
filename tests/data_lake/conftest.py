"""One made history for everyone."""

from __future__ import annotations

import pytest

from stellarstream_core.scope import Scope
from tests.data_lake.kit import Made, made_history


@pytest.fixture(scope="session")
def made() -> Made:
    return made_history()


@pytest.fixture(scope="session")
def streams(made) -> Scope:
    """A scope of one contract that has events in many, but not in all ledgers."""
    return Scope.of([made.contracts["streams-v2"]])
