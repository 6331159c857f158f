"""No token, API key, secret key or signed transaction is shown: not by errors, reprs or logs."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import traceback
from datetime import UTC, datetime

import pytest

from nebula_client import (
    AsyncNebulaClient,
    ConfigurationError,
    Nebula,
    NebulaClient,
    NebulaError,
    NotInitializedError,
    SecretKeySigner,
    errors,
)
from nebula_client._core.requests import Request
from nebula_client._core.session import Credential
from tests.sdk.faults import cut, half, lose, problem, says
from tests.sdk.kit import AMOUNT, ripe

pytestmark = pytest.mark.timeout(110)


@pytest.fixture
def terms(deployed):
    return {"receiver": deployed.wallet().public_key, "amount": AMOUNT, "token_address": deployed.usdc, "duration": 400}


def shown(error: BaseException) -> str:
    """Return all that a log would show of an error, its causes included."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(getattr(error, "args", ""))


def test_nothing_is_shown_on_any_way_through(deployed, proxy, client_of, terms, caplog):
    caplog.set_level(logging.DEBUG)
    secret = deployed.secret()
    signer = SecretKeySigner(secret)
    client = client_of(proxy.url, signer=signer)
    token, kept, texts = client.login(), [], []

    def attempt(call):
        try:
            call()
        except NebulaError as error:
            texts.append(shown(error))
        else:
            raise AssertionError("it was to fail")

    client.create_stream(**terms, on_submitted=kept.append)
    proxy.lay("POST /transactions", lose, *[cut] * 3)
    attempt(lambda: client.limited(confirm_timeout=0.3).create_stream(**terms, on_submitted=kept.append))
    proxy.lay("POST /transactions", problem(422, "envelope-invalid"))
    attempt(lambda: client.create_stream(**terms, on_submitted=kept.append))
    proxy.lay("POST /transactions", *[half] * 4)
    attempt(lambda: client.create_stream(**terms, on_submitted=kept.append))
    proxy.lay("POST /auth", says(200, {"token": 5}), says(200, b'{"token": "abc', X_Thing="x"))
    attempt(client.login)
    attempt(client.login)
    key = deployed.api.key("read")
    client.logout()
    client.set_api_key(key)
    attempt(lambda: client.create_invoice_link(**terms))
    client.set_auth_token(token[:-8] + "AAAAAAAA")
    attempt(client.get_stats)
    texts += [repr(client.client), repr(client._core), repr(vars(client.client)), str(kept), repr(signer), str(signer)]

    everything = "\n".join([*texts, caplog.text])
    assert {record.name.split(".")[0] for record in caplog.records} >= {"httpx2", "httpcore2"}
    secrets = [secret, token, token[:-8], key, *(submission.signed_xdr for submission in kept)]
    assert len(secrets) == 8
    for text in secrets:
        assert text not in everything
    assert token.split(".")[2] not in everything


def test_what_carries_a_secret_does_not_show_it():
    assert "hidden" not in repr(Credential("token", "hidden"))
    request = Request("POST", "/auth", body=b"hidden", headers={"Idempotency-Key": "hidden"})
    assert "hidden" not in repr(request)
    with NebulaClient("http://a.test", token="hidden") as client:
        sent = request.sent(client._core, Credential("token", "hidden"))
        assert "hidden" not in repr(sent) + repr(client) + repr(client._core.session) + str(vars(client))


def test_errors_go_from_process_to_process_whole():
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    problem = {"code": "x", "detail": "d", "errors": [{"field": "body.a", "detail": "b"}]}
    made = [
        errors.api_error(422, problem, request_id="r", retry_after=1.5),
        errors.TransactionPendingError("m", tx_hash="h", status="PENDING", valid_until=moment, signed_xdr="s"),
        errors.TransactionFailedError("h", "r", "d", 5),
        errors.TransactionMismatchError("m", expected="e", tx_hash="h"),
        errors.PaymentUnderWayError("slug", "h"),
        errors.LiveResetError("r", "d"),
        errors.NetworkError("m", maybe_sent=False),
        errors.InvalidAmountError("m"),
    ]
    for error in made:
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(again) is type(error)
            assert (str(again), vars(again)) == (str(error), vars(error))


def test_a_client_shows_its_address_alone():
    assert repr(NebulaClient("http://a.test/api/v1", api_key="k")) == "NebulaClient('http://a.test')"
    assert repr(AsyncNebulaClient("http://a.test/x/")) == "AsyncNebulaClient('http://a.test/x')"


def test_a_secret_key_is_neither_shown_nor_written_down(deployed):
    secret = deployed.secret()
    signer = SecretKeySigner(secret)
    assert repr(signer) == f"SecretKeySigner({signer.public_key!r})"
    with pytest.raises(TypeError) as refused:
        pickle.dumps(signer)
    assert secret not in str(refused.value)
    wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    for bad in (wrong, "S" * 56, "", None, 5):
        with pytest.raises(ConfigurationError) as refused:
            SecretKeySigner(bad)
        assert secret[:-1] not in shown(refused.value)
        assert refused.value.__cause__ is None
    with pytest.raises(NebulaError):
        signer.sign_transaction("no transaction", network_passphrase="x")


# --- Nebula ----------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh():
    Nebula.close()
    yield
    Nebula.close()


@pytest.mark.usefixtures("fresh")
def test_nebula_wants_to_know_the_service_first(deployed):
    assert repr(Nebula) == "Nebula()"
    for call in (Nebula.get_stats, lambda: Nebula.set_auth_token("x"), lambda: next(Nebula.iterate_streams())):
        with pytest.raises(NotInitializedError, match=r"Nebula\.initialize") as missing:
            call()
        assert missing.value.code == "not-initialized"
    assert not hasattr(Nebula, "nonsense")
    Nebula.initialize(deployed.url)
    assert repr(Nebula) == f"Nebula({deployed.url!r})"
    assert Nebula.get_sync().network == "sandbox"
    with pytest.raises(ConfigurationError):
        Nebula.initialize("nonsense")
    assert Nebula.get_sync().network == "sandbox"
    Nebula.initialize(deployed.url, timeout=5)
    assert Nebula.get_sync().network == "sandbox"
    assert Nebula.with_options(timeout=7).get_sync().network == "sandbox"


@pytest.mark.usefixtures("fresh")
def test_nebula_does_all_that_a_client_does(deployed, terms):
    Nebula.initialize(deployed.url, signer=deployed.wallet())
    stream = Nebula.create_stream(**terms)
    ripe(Nebula, stream.id)
    assert Nebula.cancel_stream(stream.id).status == "CANCELED"
    public = {name for name in dir(NebulaClient) if not name.startswith("_")}
    assert public <= set(dir(Nebula))


async def test_a_client_is_a_context_manager(faults):
    with NebulaClient(faults.url) as client:
        pass
    with pytest.raises(ConfigurationError, match="closed"):
        client.get_stats()
    async with AsyncNebulaClient(faults.url) as waiting:
        await asyncio.sleep(0)
    with pytest.raises(ConfigurationError, match="closed"):
        await waiting.get_stats()
