"""Keep the log out of the tests' output: a failing one would drown in it."""

from __future__ import annotations

import pytest
from loguru import logger

MODULES = ("stellarstream_horizon", "stellarstream_core.endpoints")


@pytest.fixture(autouse=True)
def quiet():
    for module in MODULES:
        logger.disable(module)
    yield
    for module in MODULES:
        logger.enable(module)
