"""Fixtures of the SDKs' tests: one real deployment for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import pytest

from tests.sdk.faults import FaultServer
from tests.sdk.kit import AMOUNT, KINDS, Deployment, deployment


@pytest.fixture(scope="package")  # no longer: its ledgers close whether or not anybody looks
def deployed(tmp_path_factory) -> Iterator[Deployment]:
    """A real network with a real service that indexes it."""
    with deployment(tmp_path_factory.mktemp("sdk")) as running:
        yield running


@pytest.fixture(scope="module")
def payer(deployed):
    return deployed.wallet()


@pytest.fixture(scope="module")
def payee(deployed):
    return deployed.wallet()


@pytest.fixture
def terms(deployed, payee):
    return {"receiver": payee.public_key, "amount": AMOUNT, "token_address": deployed.usdc, "duration": 400}


@pytest.fixture
def once(terms):
    """Terms of a stream that can be told from all others."""
    return {**terms, "memo": f"once_{uuid4().hex[:20]}"}


@pytest.fixture(params=list(KINDS))
def client_of(request) -> Iterator[Callable[..., Any]]:
    """Return a function that makes a client of either kind; its calls wait, whatever it is."""
    with ExitStack() as stack:

        def make(url: str, **options: Any) -> Any:
            client = KINDS[request.param](url, **options)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def faults() -> Iterator[FaultServer]:
    """A service that does what it is told to, and nothing else."""
    server = FaultServer()
    yield server
    server.stop()


@pytest.fixture
def proxy(deployed) -> Iterator[FaultServer]:
    """The real service, with failures in between where they are laid out."""
    server = FaultServer(deployed.url)
    yield server
    server.stop()
