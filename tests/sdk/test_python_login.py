"""Logging in: by any signer, once for calls at the same time, again when it has run out, and never by a payment."""

from __future__ import annotations

import asyncio
import threading
from base64 import b64decode, b64encode
from types import SimpleNamespace

import pytest
from stellar_sdk import Keypair, TransactionEnvelope

from nebula_client import (
    AsyncNebulaClient,
    AuthenticationError,
    BadRequestError,
    ChallengeError,
    ConfigurationError,
    NebulaClient,
    SigningError,
)
from nebula_client._core.login import check_challenge
from tests.nebula.relay_kit import PASSPHRASE
from tests.sdk.faults import lose, problem, says

pytestmark = pytest.mark.timeout(110)


@pytest.fixture(scope="module")
def owner(deployed):
    return deployed.wallet()


class Wallet:
    """A signer that counts, in the shape that it is told."""

    def __init__(self, signer, answer=lambda xdr: xdr):
        self.account = signer.public_key
        self.signed = 0
        self._signer, self._answer = signer, answer

    def sign_transaction(self, xdr, *, network_passphrase, address=None):
        self.signed += 1
        assert (network_passphrase, address) == (PASSPHRASE, self.account)
        return self._answer(self._signer.sign_transaction(xdr, network_passphrase=network_passphrase))


def shaped(signer, shape):
    """Return a wallet that answers as some wallets do."""
    answers = {
        "mapping": lambda xdr: {"signedTxXdr": xdr, "signerAddress": signer.public_key},
        "object": lambda xdr: SimpleNamespace(signed_tx_xdr=xdr),
        "javascript": lambda xdr: SimpleNamespace(signedTxXdr=xdr, error=None),
    }
    wallet = Wallet(signer, answers.get(shape, lambda xdr: xdr))
    found = {"address": signer.public_key}
    wallet.get_address = lambda: found if shape in {"mapping", "javascript"} else signer.public_key
    return wallet


@pytest.mark.parametrize("shape", ["text", "mapping", "object", "javascript"])
def test_wallets_of_every_shape_log_in(deployed, client_of, owner, shape):
    client = client_of(deployed.url)
    token = client.login(shaped(owner, shape))
    assert token.count(".") == 2
    assert client.list_invoice_links().complete in {True, False}


def test_a_signer_that_does_not_say_whose_it_is_takes_the_account(deployed, client_of, owner):
    wallet = Wallet(owner)
    client = client_of(deployed.url, signer=wallet)
    with pytest.raises(ConfigurationError, match="account="):
        client.list_invoice_links()
    client.login(account=owner.public_key)
    assert client.list_invoice_links().items is not None
    assert wallet.signed == 1


def test_who_logged_in_acts_where_a_call_names_nobody(deployed, client_of, owner):
    wallet = Wallet(deployed.wallet())
    terms = {"receiver": owner.public_key, "amount": 1_000_000, "token_address": deployed.usdc, "duration": 100}
    client = client_of(deployed.url, signer=owner)
    client.login(wallet, account=wallet.account)
    assert client.create_stream(**terms).sender == wallet.account
    assert client.create_invoice_link(**terms).sender == wallet.account
    assert client.create_invoice_link(**terms, signer=owner).sender == owner.public_key
    client.set_signer(owner)
    assert client.create_invoice_link(**terms).sender == owner.public_key
    client.logout()
    client.set_api_key(deployed.api.key("read", "write"))
    assert client.create_invoice_link(**terms).sender not in {owner.public_key, wallet.account}
    token = client.login(owner)
    assert client.create_invoice_link(**terms).sender == owner.public_key
    client.set_auth_token(token)
    assert client.create_invoice_link(**terms).sender == owner.public_key


def test_calls_log_in_by_themselves_and_once(deployed, client_of, owner):
    wallet = shaped(owner, "text")
    client = client_of(deployed.url, signer=wallet)
    client.get_stats()
    assert wallet.signed == 0
    for _ in range(3):
        client.list_invoice_links()
    assert wallet.signed == 1
    off = client_of(deployed.url, signer=wallet, auto_login=False)
    with pytest.raises(AuthenticationError):
        off.list_invoice_links()
    assert wallet.signed == 1


def test_another_signer_acts_for_its_own_account(deployed, client_of, owner):
    other = deployed.wallet()
    client = client_of(deployed.url, signer=owner)
    terms = {"receiver": owner.public_key, "amount": 1_000_000, "token_address": deployed.usdc, "duration": 100}
    assert client.create_stream(**terms, signer=other).sender == other.public_key
    assert client.create_invoice_link(**terms).sender == owner.public_key


def test_threads_share_a_login(proxy, owner):
    wallet = shaped(owner, "text")
    with NebulaClient(proxy.url, signer=wallet) as client:
        together = threading.Barrier(6)

        def ask():
            together.wait(10)
            client.list_invoice_links()

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert (wallet.signed, proxy.count("POST /auth"), proxy.count("GET /invoice-links")) == (1, 1, 6)


async def test_tasks_share_a_login(proxy, owner):
    wallet = shaped(owner, "text")
    async with AsyncNebulaClient(proxy.url, signer=wallet) as client:
        await asyncio.gather(*(client.list_invoice_links() for _ in range(6)))
    assert (wallet.signed, proxy.count("POST /auth"), proxy.count("GET /invoice-links")) == (1, 1, 6)


async def test_tasks_share_the_refusal_of_a_login(proxy, owner):
    asked = 0

    class Refusing:
        public_key = owner.public_key

        async def sign_transaction(self, xdr, *, network_passphrase, address=None):
            nonlocal asked
            asked += 1
            await asyncio.sleep(0.1)
            raise RuntimeError("no")

    async with AsyncNebulaClient(proxy.url, signer=Refusing()) as client:
        ended = await asyncio.gather(*(client.list_invoice_links() for _ in range(4)), return_exceptions=True)
        assert [type(one) for one in ended] == [SigningError] * 4
        assert asked == 1
        with pytest.raises(SigningError):
            await client.list_invoice_links()
        assert asked == 2


async def test_a_login_that_is_cancelled_leaves_the_next_one_free(proxy, owner):
    waiting = asyncio.Event()

    class Slow:
        public_key = owner.public_key
        slow = True

        async def get_address(self):
            return self.public_key

        async def sign_transaction(self, xdr, *, network_passphrase, address=None):
            if self.slow:
                waiting.set()
                await asyncio.sleep(60)
            return owner.sign_transaction(xdr, network_passphrase=network_passphrase)

    async with AsyncNebulaClient(proxy.url, signer=Slow()) as client:
        first = asyncio.create_task(client.list_invoice_links())
        await waiting.wait()
        second = asyncio.create_task(client.list_invoice_links())
        await asyncio.sleep(0)
        first.cancel()
        Slow.slow = False
        assert (await second).items is not None
        with pytest.raises(asyncio.CancelledError):
            await first


def test_a_blocking_client_cannot_wait_for_a_signer(deployed, owner):
    class Asynchronous:
        public_key = owner.public_key

        async def sign_transaction(self, xdr, *, network_passphrase, address=None):
            return xdr

    with NebulaClient(deployed.url, signer=Asynchronous()) as client, pytest.raises(ConfigurationError, match="Async"):
        client.login()


def test_a_login_that_ran_out_is_made_again_where_it_is_needed(proxy, client_of, owner):
    wallet = shaped(owner, "text")
    client = client_of(proxy.url, signer=wallet)
    client.list_invoice_links()
    proxy.lay("GET /invoice-links", problem(401, "token-expired"))
    client.list_invoice_links()
    assert wallet.signed == 2
    proxy.lay("GET /invoice-links", problem(401, "token-expired"), problem(401, "token-expired"))
    with pytest.raises(AuthenticationError):
        client.list_invoice_links()
    assert wallet.signed == 3


def test_reading_goes_on_without_a_login_that_ran_out(proxy, client_of, owner):
    wallet = shaped(owner, "text")
    client = client_of(proxy.url, signer=wallet)
    client.login()
    proxy.lay("GET /stats", problem(401, "token-expired"))
    assert client.get_stats().events >= 0
    assert ["authorization" in asked.headers for asked in proxy.those("GET /stats")] == [True, False]
    assert wallet.signed == 1


def test_a_token_from_elsewhere_is_not_replaced(proxy, client_of, owner):
    client = client_of(proxy.url, signer=owner, token="a.b.c")
    with pytest.raises(AuthenticationError) as refused:
        client.list_invoice_links()
    assert refused.value.code == "token-malformed"
    assert proxy.count("GET /auth") == 0


def test_a_challenge_is_exchanged_once(proxy, client_of, owner):
    client = client_of(proxy.url, signer=owner)
    proxy.lay("POST /auth", lose)
    with pytest.raises(Exception, match="the connection was lost"):
        client.login()
    assert proxy.count("POST /auth") == 1
    proxy.lay("POST /auth", problem(429, "rate-limited", Retry_After="0"))
    assert client.login()


def test_a_wallet_with_another_key_does_not_log_in(deployed, client_of, owner):
    stranger = Wallet(deployed.wallet())
    stranger.account = owner.public_key
    with pytest.raises(BadRequestError) as refused:
        client_of(deployed.url).login(stranger, account=owner.public_key)
    assert refused.value.code in {"challenge-unknown-signers", "challenge-not-signed-enough"}


# --- challenges ---------------------------------------------------------------------------------------


@pytest.fixture
def challenge(deployed, owner):
    """The bytes of a real one."""
    text = deployed.api.get(f"/api/v1/auth?account={owner.public_key}").json["transaction"]
    return b64decode(text)


def test_a_real_challenge_passes(challenge, owner):
    check_challenge(b64encode(challenge).decode(), owner.public_key)


SOURCE, SEQUENCE = slice(8, 40), slice(44, 52)


@pytest.mark.parametrize("fault", ["sequence", "negative", "source", "unsigned", "version", "muxed", "cut", "text"])
def test_what_could_be_executed_is_not_shown_to_the_wallet(challenge, owner, faults, client_of, fault):
    made = bytearray(challenge)
    if fault in {"sequence", "negative"}:
        made[SEQUENCE] = (1 if fault == "sequence" else -1).to_bytes(8, "big", signed=True)
    elif fault == "source":
        made[SOURCE] = Keypair.from_public_key(owner.public_key).raw_public_key()
    elif fault == "unsigned":
        made[-76:] = bytes(4)
    elif fault in {"version", "muxed"}:
        at = 0 if fault == "version" else 4
        made[at : at + 4] = (5 if fault == "version" else 0x100).to_bytes(4, "big")
    elif fault == "cut":
        del made[30:]
    text = "?" if fault == "text" else b64encode(bytes(made)).decode()
    with pytest.raises(ChallengeError):
        check_challenge(text, owner.public_key)
    wallet = shaped(owner, "text")
    faults.lay("GET /auth", says(200, {"transaction": text, "network_passphrase": PASSPHRASE}))
    with pytest.raises(ChallengeError):
        client_of(faults.url).login(wallet)
    assert wallet.signed == 0


def test_what_stellar_sdk_reads_is_what_is_checked(challenge):
    read = TransactionEnvelope.from_xdr(b64encode(challenge).decode(), PASSPHRASE)
    from nebula_client._core.envelope import Envelope

    found = Envelope.read(b64encode(challenge).decode())
    assert (found.source, found.sequence) == (read.transaction.source.account_id, read.transaction.sequence)
    assert found.hash(PASSPHRASE) == read.hash_hex()
    assert len(found.signatures) == 4 + 72 * len(read.signatures)
