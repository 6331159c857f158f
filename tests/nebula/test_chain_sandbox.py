"""The chain client against a sandbox network: specs, entries, vaults and transactions, as on a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from stellar_sdk import Account, Keypair, TransactionBuilder, scval, xdr
from stellar_sdk.xdr import SorobanTransactionData

from stellarstream_core.chain import SendStatus, TransactionStatus
from stellarstream_core.hookspecs import PluginSettings
from stellarstream_core.settings import Settings
from stellarstream_core.xdr.account import account_ledger_key, read_account_entry
from stellarstream_nebula.contract_specs import ContractSpecs
from stellarstream_nebula.entries import instance_key, read_v1_instance, read_v2_entry, v2_stream_key
from stellarstream_nebula.generations import find_families
from stellarstream_nebula.model import V1, V2
from stellarstream_nebula.yields import REFERENCE, read_vault
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.network import SandboxNetwork
from stellarstream_soroban_rpc.chain_client import SorobanRpcChainClient
from stellarstream_soroban_rpc.settings import SECTION, SorobanRpcSettings
from tests.sandbox.ready import ready

QUIET = SandboxConfig(ledgers=200, genesis_time=1_800_000_000, port=0, live=False)
LIVE = SandboxConfig(ledgers=60, close_time=0.3, port=0, transactions=0, burst_every=0)
"""Alice herself sends nothing: a sequence number that is read stays hers to use."""


@pytest.fixture
async def network() -> AsyncIterator[SandboxNetwork]:
    async with ready(QUIET) as made:
        yield made


def client_of(network: SandboxNetwork) -> SorobanRpcChainClient:
    made = Settings(network="made", network_passphrase=network.passphrase, rpc_url=[network.url])
    return SorobanRpcChainClient(made.with_sections([PluginSettings(SECTION, SorobanRpcSettings)]))


@pytest.fixture
async def chain(network) -> AsyncIterator[SorobanRpcChainClient]:
    made = client_of(network)
    yield made
    await made.close()


async def test_contracts_are_told_by_what_they_say_of_themselves(storage, runtime_of, sqlite_url, network, chain):
    names = ("streams-v1", "streams-v2", "token-usdc")
    settings = runtime_of(sqlite_url, contracts=[network.contracts[name] for name in names]).settings
    found = await find_families(settings, storage, chain)
    assert found == {network.contracts["streams-v1"]: V1, network.contracts["streams-v2"]: V2}


async def test_errors_have_the_names_of_their_contracts(network, chain):
    specs = ContractSpecs(chain)
    assert await specs.error_name(network.contracts["streams-v2"], 13) == "StreamNotFound"
    assert await specs.error_name(network.contracts["streams-v1"], 4) == "StreamNotFound"
    assert await specs.error_name(network.contracts["streams-v2"], 9_999) is None


async def test_streams_entries_are_those_that_the_contract_holds(network, chain):
    world = network.simulation.world
    first = network.contracts["streams-v1"]
    key = instance_key(first)
    answer = await chain.ledger_entries([key])
    told = read_v1_instance(key, answer.entries[key].data, answer.ledger)
    assert {number: facts.total for number, facts in told.facts.items()} == {
        one.id: one.total for one in world.v1.streams
    }
    assert not told.unreadable
    second = network.contracts["streams-v2"]
    streams = {v2_stream_key(second, one.id): one for one in world.v2.streams}
    answer = await chain.ledger_entries(list(streams))
    assert answer.entries
    for key, entry in answer.entries.items():
        facts = read_v2_entry(key, entry.data, answer.ledger)
        assert (facts.receiver, facts.total) == (streams[key].receiver, streams[key].total)


async def test_a_vault_tells_interest_and_value(network, chain):
    (vault,) = [network.contracts[name] for name in network.contracts if name.startswith("vault")][:1]
    reading = await read_vault(chain, vault)
    assert reading.ledger == network.simulation.history.snapshot().latest
    assert reading.value is not None
    assert reading.value >= REFERENCE


async def test_a_wallets_transaction_goes_the_whole_way():
    async with SandboxNetwork(LIVE) as network, asyncio.timeout(40):
        chain = client_of(network)
        try:
            keys = Keypair.from_secret(network.secret_key("alice"))
            entry_key = account_ledger_key(keys.public_key)
            entries = await chain.ledger_entries([entry_key])
            sequence = read_account_entry(entries.entries[entry_key].data).sequence

            def call(data: bytes | None, fee: int):
                builder = TransactionBuilder(Account(keys.public_key, sequence), network.passphrase, fee)
                builder.append_invoke_contract_function_op(
                    network.contracts["token-usdc"],
                    "transfer",
                    [
                        scval.to_address(keys.public_key),
                        scval.to_address(network.accounts["bob"]),
                        scval.to_int128(1),
                    ],
                )
                made = builder.set_timeout(300).build()
                if data is not None:
                    made.transaction.soroban_data = SorobanTransactionData.from_xdr_bytes(data)
                return made

            def raw(made) -> bytes:
                return made.to_xdr_object().to_xdr_bytes()

            simulated = await chain.simulate(raw(call(None, 100)))
            assert simulated.error is None, simulated.error
            made = call(simulated.data, 1_000 + simulated.min_resource_fee)
            made.transaction.operations[0].auth = [
                xdr.SorobanAuthorizationEntry.from_xdr_bytes(one) for one in simulated.auth
            ]
            made.sign(keys)
            sent = await chain.send(raw(made))
            assert (sent.status, sent.hash) == (SendStatus.PENDING, made.hash_hex())
            assert (await chain.send(raw(made))).status in {SendStatus.DUPLICATE, SendStatus.ERROR}
            while (found := await chain.transaction(sent.hash)).status is TransactionStatus.NOT_FOUND:
                await asyncio.sleep(0.1)
            assert found.status is TransactionStatus.SUCCESS, found
            assert any(event.contract == network.contracts["token-usdc"] for event in found.events)
        finally:
            await chain.close()


async def test_a_call_that_fails_says_whose_error_it_is(network, chain):
    contract = network.contracts["streams-v2"]
    keys = Keypair.from_secret(network.secret_key("alice"))
    builder = TransactionBuilder(Account(keys.public_key, 1), network.passphrase, 100).set_timeout(0)
    builder.append_invoke_contract_function_op(
        contract, "withdraw", [scval.to_uint64(10**9), scval.to_address(keys.public_key)]
    )
    simulated = await chain.simulate(builder.build().to_xdr_object().to_xdr_bytes())
    assert simulated.error.startswith("HostError: Error(Contract, #13)")
    assert "Event log" in simulated.error
    assert any(event.contract == contract and not event.successful for event in simulated.events)
