"""The official Python SDK reads every method of a sandbox network."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from pydantic import ValidationError
from stellar_sdk import Account, Keypair, SorobanServer, SorobanServerAsync, TransactionEnvelope, soroban_rpc, xdr
from stellar_sdk.client.base_async_client import BaseAsyncClient
from stellar_sdk.client.response import Response
from stellar_sdk.exceptions import AccountNotFoundException, SorobanRpcErrorResponse

from stellarstream_sandbox.config import SandboxConfig
from tests.sandbox.conftest import GENESIS_TIME
from tests.sandbox.ready import ready

CONFIG = SandboxConfig(ledgers=60, genesis_time=GENESIS_TIME, port=0, live=False)


class PlainClient(BaseAsyncClient):
    """The least that the SDK's asynchronous server needs; its own client wants an extra installed."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession()

    async def post(self, url, data=None, json_data=None):
        async with self._session.post(url, data=data, json=json_data) as response:
            return Response(response.status, await response.text(), dict(response.headers), url)

    async def get(self, url, params=None, max_content_size=None):
        raise AssertionError("JSON-RPC has no GET")

    def stream(self, url, params=None):
        raise AssertionError("JSON-RPC has no streams")

    async def close(self):
        await self._session.close()


@pytest.fixture
async def network():
    async with ready(CONFIG) as running:
        yield running


def read_everything(url: str, contracts: list[str], passphrase: str) -> int:
    with SorobanServer(url) as server:
        health = server.get_health()
        assert (health.status, health.oldest_ledger, health.latest_ledger) == ("healthy", 2, 61)
        assert server.get_network().passphrase == passphrase
        assert server.get_version_info().version == "28.0.0"
        latest = server.get_latest_ledger()
        assert xdr.LedgerHeader.from_xdr(latest.header_xdr).ledger_seq.uint32 == latest.sequence == 61
        ledgers = server.get_ledgers(2, limit=200)
        assert len(ledgers.ledgers) == 60
        for ledger in ledgers.ledgers:
            assert xdr.LedgerHeaderHistoryEntry.from_xdr(ledger.header_xdr).hash.hash.hex() == ledger.hash
            xdr.LedgerCloseMeta.from_xdr(ledger.metadata_xdr)
        transactions = server.get_transactions(2, limit=200)
        assert len(transactions.transactions) == 200
        for one in transactions.transactions[:20]:
            found = server.get_transaction(one.transaction_hash)
            assert found.status.value == one.status
            assert found.create_at == one.created_at
            if not found.fee_bump:
                envelope = TransactionEnvelope.from_xdr(found.envelope_xdr, passphrase)
                assert envelope.hash_hex() == found.transaction_hash
        assert server.get_transaction("0" * 64).status is soroban_rpc.GetTransactionStatus.NOT_FOUND
        filters = [soroban_rpc.EventFilter(contract_ids=contracts)]
        page = server.get_events(2, filters=filters, limit=100)
        count = len(page.events)
        while len(page.events) == 100:
            page = server.get_events(filters=filters, cursor=page.cursor, limit=100)
            count += len(page.events)
        return count


async def test_the_synchronous_client_reads_every_method(network):
    contracts = [contract for name, contract in network.contracts.items() if name.startswith("streams")]
    wanted = sum(
        event.contract_id in contracts for event in network.simulation.history.snapshot().events(2, network.latest)
    )
    assert await asyncio.to_thread(read_everything, network.url, contracts, network.passphrase) == wanted > 100


async def test_the_asynchronous_client_reads_every_method(network):
    async with SorobanServerAsync(network.url, PlainClient()) as server:
        assert (await server.get_health()).latest_ledger == 61
        assert (await server.get_network()).protocol_version == 28
        assert (await server.get_version_info()).protocol_version == 28
        assert (await server.get_latest_ledger()).sequence == 61
        assert len((await server.get_ledgers(2, limit=3)).ledgers) == 3
        transactions = (await server.get_transactions(2, limit=3)).transactions
        assert (await server.get_transaction(transactions[0].transaction_hash)).ledger == transactions[0].ledger
        filters = [soroban_rpc.EventFilter(contract_ids=[network.contracts["streams-v2"]])]
        assert (await server.get_events(2, filters=filters)).events


async def test_it_loads_accounts(network):
    account = network.accounts["alice"]
    loaded = await asyncio.to_thread(account_of, network.url, account)
    ours = network.simulation.world.accounts[account]
    assert (loaded.account.account_id, loaded.sequence) == (account, ours.seq_num)
    unknown = Keypair.random().public_key
    with pytest.raises(AccountNotFoundException):
        await asyncio.to_thread(account_of, network.url, unknown)
    network.set_account(unknown)
    network.close_ledger()
    assert (await asyncio.to_thread(account_of, network.url, unknown)).sequence == network.latest << 32


def account_of(url: str, account: str) -> Account:
    with SorobanServer(url) as server:
        return server.load_account(account)


def events_of(url: str, first: int, contracts: list[str]) -> soroban_rpc.GetEventsResponse:
    filters = [soroban_rpc.EventFilter(contract_ids=contracts)] if contracts else []
    with SorobanServer(url) as server:
        return server.get_events(first, filters=filters, limit=10_000)


async def test_one_topicless_event_makes_the_sdk_refuse_its_whole_page(network):
    # Real nodes leave the key out as well; which is why those events have a contract of their own here.
    others = [contract for name, contract in network.contracts.items() if name != "silent"]
    assert (await asyncio.to_thread(events_of, network.url, 2, others[:5])).events
    for contracts in ([], [network.contracts["silent"]]):
        with pytest.raises(ValidationError, match="topic"):
            await asyncio.to_thread(events_of, network.url, 2, contracts)


async def test_errors_reach_the_sdk_with_their_code(network):
    with pytest.raises(SorobanRpcErrorResponse, match="must be within the ledger range: 2 - 61") as caught:
        await asyncio.to_thread(events_of, network.url, 1, [])
    assert caught.value.code == -32600
