"""A login against a sandbox network: the account's signers come from its ledger entries, over HTTP."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from stellar_sdk import Keypair

from stellarstream_core.api.auth.errors import AuthUnavailableError, ChallengeError
from stellarstream_core.api.auth.sep10 import Challenges, Verified
from stellarstream_core.runtime import Runtime
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.network import SandboxNetwork
from tests.api.auth.kit import signed


async def test_signers_are_those_that_the_network_has_now(server, client, site, sqlite, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STELLARSTREAM_PLUGINS__SOROBAN_RPC__CHAIN_SECONDS", "1")
    first, second = Keypair.random(), Keypair.random()
    config = SandboxConfig(seed=7, ledgers=5, genesis_time=1_780_000_000, port=0, live=False)
    async with SandboxNetwork(config) as network:
        runtime = Runtime(built_in_only=True, flags={"network": "sandbox", "rpc_url": network.url})
        chain = await runtime.open_chain_client()
        passphrase = runtime.settings.passphrase
        challenges = Challenges(SecretStr(server.secret), site, passphrase, storage=sqlite, chain=chain)

        async def login(*signers: Keypair) -> Verified | str:
            challenge = (await challenges.build(client.public_key)).transaction
            try:
                return await challenges.verify(signed(challenge, *signers, passphrase=passphrase))
            except ChallengeError as error:
                return error.code

        assert await login(client) == Verified(client.public_key), "it does not exist yet"
        network.set_account(
            client.public_key,
            signers={first.public_key: 1, second.public_key: 1},
            master_weight=0,
            thresholds=(0, 2, 2),
        )
        network.close_ledgers(1)
        assert await login(client) == "challenge-unknown-signers"
        assert await login(first) == "challenge-not-signed-enough"
        assert await login(first, second) == Verified(client.public_key)
        waiting = signed((await challenges.build(client.public_key)).transaction, client, passphrase=passphrase)
    with pytest.raises(AuthUnavailableError):
        await challenges.verify(waiting)
    await chain.close()
