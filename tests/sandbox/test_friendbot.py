"""Friendbot: accounts with money in the next ledger, by HTTP as wallets ask for it and in Python."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from stellar_sdk import Keypair, xdr

from stellarstream_core.errors import InvalidStrkeyError
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.network import SandboxNetwork
from tests.sandbox.conftest import GENESIS_TIME, call, closed
from tests.sandbox.wallet import QUIET, Chain

UNIT = 10**7


async def ask(network: SandboxNetwork, method: str = "GET", **query: str) -> tuple[int, dict]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, network.friendbot_url, params=query) as response,
    ):
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        return response.status, await response.json(content_type=None)


def test_an_account_has_ten_thousand_of_each_token_from_the_next_ledger_on():
    chain = Chain()
    new = Keypair.random().public_key
    tx_hash = chain.simulation.friendbot.fund(new).hash.hex()
    assert new not in chain.world.accounts
    ledger = chain.close()
    tokens = [chain.balance(new, f"token-{name}") for name in ("xlm", "usdc", "nova")]
    assert tokens == [10_000 * UNIT] * 3
    assert chain.sequence(new) == ledger.sequence << 32
    assert [one.hash.hex() for one in ledger.transactions] == [tx_hash]
    assert chain.transaction(tx_hash)["status"] == "SUCCESS"


def test_many_are_funded_in_one_ledger():
    chain = Chain()
    new = [Keypair.random().public_key for _ in range(5)]
    for _ in range(2):
        for account in new:
            chain.simulation.friendbot.fund(account)
    ledger = chain.close()
    assert all(one.succeeded for one in ledger.transactions)
    assert len(ledger.transactions) == 10
    assert all(chain.balance(account, "token-usdc") == 20_000 * UNIT for account in new)
    chain.simulation.friendbot.fund(new[0])
    assert [one.succeeded for one in chain.close().transactions] == [True]


def test_friendbot_changes_nothing_where_nobody_asks_it():
    funded, untouched = Chain(), closed(QUIET)[0]
    assert funded.close().meta == untouched.close_ledger().meta


async def test_wallets_learn_of_it_and_get_the_transaction_once_it_is_applied():
    config = SandboxConfig(ledgers=3, close_time=0.2, port=0)
    async with SandboxNetwork(config) as network, asyncio.timeout(20):
        told = (await call(network.url, "getNetwork"))["result"]
        assert told["friendbotUrl"] == network.friendbot_url
        new = [Keypair.random().public_key for _ in range(3)]
        answers = await asyncio.gather(
            *(ask(network, method, addr=one) for method, one in zip(("GET", "POST", "GET"), new, strict=True))
        )
        for account, (status, body) in zip(new, answers, strict=True):
            assert (status, body["successful"]) == (200, True)
            found = (await call(network.url, "getTransaction", {"hash": body["hash"]}))["result"]
            assert (found["status"], found["resultMetaXdr"]) == ("SUCCESS", body["result_meta_xdr"])
            operations = xdr.TransactionMeta.from_xdr(body["result_meta_xdr"]).v4.operations
            created = [change.created for change in operations[0].changes.ledger_entry_changes if change.created]
            assert created[0].data.account.account_id == Keypair.from_public_key(account).xdr_account_id()
        status, problem = await ask(network, addr=new[0])
        assert (status, problem["status"], problem["title"]) == (400, 400, "Bad Request")
        assert "already funded" in problem["detail"]


async def test_where_ledgers_close_by_hand_the_transaction_is_only_promised():
    async with SandboxNetwork(QUIET) as network:
        new = Keypair.random().public_key
        status, body = await ask(network, addr=new)
        assert (status, body["ledger"]) == (200, network.latest + 1)
        assert (await ask(network, addr=new))[0] == 400
        network.close_ledger()
        found = (await call(network.url, "getTransaction", {"hash": body["hash"]}))["result"]
        assert (found["status"], found["ledger"]) == ("SUCCESS", body["ledger"])


@pytest.mark.parametrize("addr", ["", "alice", "CAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD2KM"])
async def test_who_is_no_account_gets_nothing(addr):
    async with SandboxNetwork(QUIET) as network:
        status, problem = await ask(network, addr=addr)
        assert (status, problem["extras"]["invalid_field"]) == (400, "addr")
        with pytest.raises(InvalidStrkeyError):
            network.fund(addr)
        assert not network.close_ledger().transactions


async def test_a_network_funds_in_python():
    async with SandboxNetwork(SandboxConfig(ledgers=3, genesis_time=GENESIS_TIME, port=0, live=False)) as network:
        new = Keypair.random().public_key
        tx_hash = network.fund(new)
        ledger = network.close_ledger()
        assert ledger.transactions[0].hash.hex() == tx_hash
