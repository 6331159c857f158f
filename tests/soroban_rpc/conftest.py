"""Keep the log out of the tests' output: a failing one would drown in it."""

from __future__ import annotations

import pytest
from loguru import logger


@pytest.fixture(autouse=True)
def quiet():
    logger.disable("stellarstream_soroban_rpc")
    yield
    logger.enable("stellarstream_soroban_rpc")
