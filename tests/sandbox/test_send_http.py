"""The whole circle over HTTP, with the official SDK as the wallet, and what the other servers show of it."""

from __future__ import annotations

import asyncio

import pytest
from stellar_sdk import Asset, Keypair, Server, SignerKey, SorobanServer, TransactionBuilder, scval
from stellar_sdk.exceptions import PrepareTransactionException
from stellar_sdk.soroban_rpc import GetTransactionStatus, SendTransactionStatus

from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.network import SandboxNetwork
from tests.sandbox.conftest import GENESIS_TIME, call
from tests.sandbox.wallet import QUIET, stream_v1

LIVE = SandboxConfig(ledgers=5, close_time=0.2, port=0)


def new_stream(url: str, passphrase: str, keys: Keypair, contracts: dict[str, str], receiver: str) -> int:
    """Make a stream as a wallet does: load, build, prepare, sign, send, poll; return its id."""
    with SorobanServer(url) as server:
        source = server.load_account(keys.public_key)
        start = server.get_latest_ledger().close_time
        args = stream_v1(keys.public_key, receiver, contracts["token-nova"], 10**9, start, start + 1000)
        builder = TransactionBuilder(source, passphrase, base_fee=500).set_timeout(60)
        builder.append_invoke_contract_function_op(contracts["streams-v1"], "create_stream", args)
        envelope = server.prepare_transaction(builder.build())
        envelope.sign(keys)
        sent = server.send_transaction(envelope)
        assert sent.status is SendTransactionStatus.PENDING, sent
        found = server.poll_transaction(sent.hash, max_attempts=40, sleep_strategy=lambda _attempt: 0.1)
        assert found.status is GetTransactionStatus.SUCCESS, found
        meta = found.result_meta_xdr
    from stellar_sdk import xdr

    return scval.from_uint64(xdr.TransactionMeta.from_xdr(meta).v4.soroban_meta.return_value)


async def test_wallets_make_streams_at_the_same_time():
    async with SandboxNetwork(LIVE) as network, asyncio.timeout(50):
        keys = [Keypair.random() for _ in range(4)]
        for one in keys:
            network.fund(one.public_key)
        await network._ledger_closed.wait()
        made = await asyncio.gather(
            *(
                asyncio.to_thread(
                    new_stream, network.url, network.passphrase, one, network.contracts, network.accounts["bob"]
                )
                for one in keys
            )
        )
        assert len(set(made)) == 4
        senders = {network.simulation.world.v1.streams.get(one).sender for one in made}
        assert senders == {one.public_key for one in keys}


def refused(url: str, passphrase: str, keys: Keypair, contract: str) -> str:
    with SorobanServer(url) as server:
        builder = TransactionBuilder(server.load_account(keys.public_key), passphrase).set_timeout(0)
        builder.append_invoke_contract_function_op(contract, "get_stream", [scval.to_uint64(10**9)])
        with pytest.raises(PrepareTransactionException) as caught:
            server.prepare_transaction(builder.build())
        return caught.value.simulate_transaction_response.error


async def test_the_sdk_is_told_why_a_call_would_fail():
    async with SandboxNetwork(QUIET) as network:
        keys = Keypair.from_secret(network.secret_key("alice"))
        contract = network.contracts["streams-v1"]
        error = await asyncio.to_thread(refused, network.url, network.passphrase, keys, contract)
        assert error.startswith("HostError: Error(Contract, #4)\n\nEvent log (newest first):\n")


async def test_errors_of_the_request_are_errors_of_json_rpc():
    async with SandboxNetwork(QUIET) as network:
        answer = await call(network.url, "sendTransaction", {"transaction": "AAAA"})
        assert answer["error"] == {"code": -32602, "message": "invalid_xdr"}
        answer = await call(network.url, "simulateTransaction", {"transaction": "AAAA"})
        assert answer["result"]["error"] == "Could not unmarshal transaction"


def through_horizon(url: str, tx_hash: str) -> dict:
    return Server(url).transactions().transaction(tx_hash).call()


async def test_every_server_shows_what_a_wallet_sent():
    config = SandboxConfig(ledgers=3, genesis_time=GENESIS_TIME, port=0, live=False)
    async with SandboxNetwork(config) as network:
        alice, bob = (Keypair.from_secret(network.secret_key(name)) for name in ("alice", "bob"))
        network.set_account(alice.public_key, signers={bob.public_key: 1}, thresholds=(1, 2, 2))
        network.close_ledger()
        world = network.simulation.world
        from stellar_sdk import Account

        source = Account(alice.public_key, world.accounts[alice.public_key].seq_num)
        builder = TransactionBuilder(source, network.passphrase, 250).append_payment_op(
            bob.public_key, Asset.native(), "1"
        )
        builder.add_id_memo(7).add_time_bounds(0, network.simulation.next_ledger()[1] + 9)
        builder.set_ledger_bounds(2, 10_000).set_min_sequence_age(0).set_min_sequence_ledger_gap(1)
        builder.add_extra_signer(SignerKey.ed25519_public_key(bob.public_key))
        envelope = builder.build()
        envelope.sign(alice)
        envelope.sign(bob)
        tx_hash = network.submit(envelope.to_xdr())
        ledger = network.close_ledger()
        shown = await asyncio.to_thread(through_horizon, network.horizon_url, tx_hash)
        assert shown["envelope_xdr"] == envelope.to_xdr()
        assert (shown["source_account"], shown["max_fee"], shown["fee_charged"]) == (alice.public_key, "250", "100")
        assert len(shown["signatures"]) == 2
        assert (shown["memo_type"], shown["memo"]) == ("id", "7")
        assert shown["preconditions"] == {
            "timebounds": {"min_time": "0", "max_time": str(envelope.transaction.preconditions.time_bounds.max_time)},
            "ledgerbounds": {"min_ledger": 2, "max_ledger": 10_000},
            "min_account_sequence_ledger_gap": 1,
            "extra_signers": [bob.public_key],
        }
        listed = (await call(network.url, "getTransactions", {"startLedger": ledger.sequence}))["result"][
            "transactions"
        ]
        (mine,) = [one for one in listed if one["txHash"] == tx_hash]
        assert mine["envelopeXdr"] == envelope.to_xdr()
        raw = (await call(network.url, "getLedgers", {"startLedger": ledger.sequence}))["result"]["ledgers"][0]
        from base64 import b64decode

        assert envelope.to_xdr_object().to_xdr_bytes() in b64decode(raw["metadataXdr"])
