"""What the tests of the SDKs share: a real network with a real service, and one way to call both Python clients."""

from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.request
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from stellar_sdk import Keypair

from nebula_client import AsyncNebulaClient, NebulaClient, SecretKeySigner
from stellarstream_sandbox.config import SandboxConfig
from tests.api.kit import Running, runtime_of
from tests.cli.conftest import Node
from tests.nebula.test_transactions_docs import following, until_known

T = TypeVar("T")

LEDGER_SECONDS = 0.25
PATIENCE_SECONDS = 40.0
AMOUNT = 200_000_000


class Deployment:
    """A network whose ledgers close by themselves, a service on it, and a sync that follows it."""

    def __init__(self, node: Node, api: Running) -> None:
        self.node, self.api, self.url = node, api, api.url
        self.v1, self.v2 = node.contracts["streams-v1"], node.contracts["streams-v2"]
        self.usdc = node.contracts["token-usdc"]

    def wallet(self) -> SecretKeySigner:
        """Return the signer of a new account that has money."""
        return SecretKeySigner(self.secret())

    def secret(self) -> str:
        """Return the secret key of a new account that has money."""
        keys = Keypair.random()
        with urllib.request.urlopen(f"{self.node.url}/friendbot?addr={keys.public_key}", timeout=30) as answer:
            answer.read()
        return keys.secret


@contextmanager
def deployment(folder: Path, **network: int) -> Iterator[Deployment]:
    """Start it all; on the network nobody but wallets does anything, unless it is told so."""
    own = {"ledgers": 20, "transactions": 0, "burst_every": 0, **network}
    config = SandboxConfig(close_time=LEDGER_SECONDS, history_spacing=LEDGER_SECONDS, port=0, **own)
    url = f"sqlite:///{folder / 'sdk.db'}"
    with ExitStack() as stack:
        node = Node(config)
        stack.callback(node.stop)
        contracts = [node.contracts["streams-v1"], node.contracts["streams-v2"]]
        nebula = {
            "contracts": dict(zip(contracts, ("v1", "v2"), strict=True)),
            "vaults": {node.contracts["token-usdc"]: node.contracts["vault-usdc"]},
            "facts_seconds": 1,
            "yield_seconds": 1,
        }
        api = Running(runtime_of(url, rpc_url=[node.url], contracts=contracts, plugins={"nebula": nebula}))
        stack.callback(api.stop)
        (folder / "stellarstream.toml").write_text(_settings(node.url, url, contracts, nebula))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
        stack.enter_context(following(folder, environment))
        for contract in contracts:
            until_known(api, contract)
        yield Deployment(node, api)


def _settings(rpc: str, database: str, contracts: list[str], nebula: dict[str, Any]) -> str:
    tables = {name: value for name, value in nebula.items() if isinstance(value, dict)}
    lines = [
        f"network = 'sandbox'\nrpc_url = '{rpc}'\ndatabase_url = '{database}'",
        f"contracts = {json.dumps(contracts)}",
    ]
    lines += ["[plugins.nebula]", *(f"{name} = {value}" for name, value in nebula.items() if name not in tables)]
    for name, values in tables.items():
        lines += [f"[plugins.nebula.{name}]", *(f"{key} = '{value}'" for key, value in values.items())]
    return "\n".join(lines) + "\n"


class Blocking:
    """A client, called as it is."""

    def __init__(self, url: str, **options: Any) -> None:
        self.client: Any = NebulaClient(url, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def limited(self, **limits: Any) -> Blocking:
        """Return the same client with other limits."""
        other = object.__new__(Blocking)
        other.client = self.client.with_options(**limits)
        return other

    def close(self) -> None:
        self.client.close()


class Waiting:
    """The asynchronous client, called in a loop of its own: what it returns is waited for."""

    def __init__(self, url: str, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.client: Any = self._run(self._made(url, options))

    @staticmethod
    async def _made(url: str, options: dict[str, Any]) -> AsyncNebulaClient:
        return AsyncNebulaClient(url, **options)

    def _run(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.client, name)
        if not callable(member):
            return member

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = member(*args, **kwargs)
            if isinstance(answer, AsyncGenerator):
                return self._iterated(answer)
            return self._run(answer) if asyncio.iscoroutine(answer) else answer

        return call

    def limited(self, **limits: Any) -> Waiting:
        """Return the same client with other limits."""
        other = object.__new__(Waiting)
        other.loop, other.client = self.loop, self.client.with_options(**limits)
        return other

    def _iterated(self, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        try:
            while True:
                try:
                    item = self._run(anext(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            self._run(items.aclose())

    def close(self) -> None:
        self._run(self.client.close())
        self._run(self.loop.shutdown_asyncgens())
        self.loop.close()


KINDS: dict[str, Callable[..., Any]] = {"sync": Blocking, "async": Waiting}


def ripe(client: Any, stream_id: str) -> Any:
    """Return a stream as soon as something of it can be paid out.

    What is built before that pays nothing out in its simulation: applied a second later it does, and its fee may be
    too small for that.
    """
    return until(lambda: client.get_stream(stream_id), lambda found: int(found.withdrawable or 0) > 0)


def until(read: Callable[[], T], holds: Callable[[T], bool]) -> T:
    """Return what is read as soon as something holds of it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = read()
        if holds(found):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.05)
