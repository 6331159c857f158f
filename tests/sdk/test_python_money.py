"""Money moves once: lost answers, crashes, wallets that change what they sign, and services that lie."""

from __future__ import annotations

import asyncio
import json
import time
from uuid import uuid4

import pytest
from stellar_sdk import TransactionEnvelope

from nebula_client import (
    AsyncNebulaClient,
    NebulaClient,
    NetworkError,
    NotFoundError,
    PaymentUnderWayError,
    ServerError,
    SigningError,
    Submission,
    TransactionFailedError,
    TransactionMismatchError,
    TransactionPendingError,
    UnprocessableError,
)
from tests.nebula.relay_kit import PASSPHRASE
from tests.sdk.faults import FaultServer, cut, forward, half, hang, lose, problem
from tests.sdk.kit import ripe

pytestmark = pytest.mark.timeout(110)


@pytest.fixture
def nebula(proxy, client_of, payer):
    client = client_of(proxy.url, signer=payer)
    client.login()
    return client


@pytest.fixture
def streams_with(deployed):
    def find(memo: str) -> list[str]:
        with NebulaClient(deployed.url) as reader:
            return [stream.id for stream in reader.search_streams(memo)]

    return find


class CrashError(Exception):
    """The program ends here."""


# --- answers that are lost -------------------------------------------------------------------------


def test_a_lost_answer_to_a_submission_makes_no_second_stream(proxy, nebula, once, streams_with):
    proxy.lay("POST /transactions", lose, lose, half)
    stream = nebula.create_stream(**once)
    assert streams_with(once["memo"]) == [stream.id]
    sent = proxy.those("POST /transactions")
    assert len(sent) == 4
    assert len({asked.body for asked in sent}) == 1


def test_a_lost_answer_to_building_is_asked_for_again(proxy, nebula, once, streams_with):
    proxy.lay("POST /streams", lose, cut)
    stream = nebula.create_stream(**once)
    assert streams_with(once["memo"]) == [stream.id]
    assert proxy.count("POST /streams") == 3


def test_lost_answers_while_waiting_change_nothing(proxy, nebula, once, streams_with):
    proxy.lay("GET /transactions", cut, problem(503, "database-busy"), half)
    proxy.lay("GET /streams", cut, problem(404, "stream-not-found"), half)
    stream = nebula.create_stream(**once)
    assert streams_with(once["memo"]) == [stream.id]
    assert stream.memo == once["memo"]


def test_who_gets_no_answer_at_all_is_told_how_to_go_on(proxy, nebula, once, streams_with):
    proxy.lay("POST /transactions", lose, *[cut] * 3)
    with pytest.raises(TransactionPendingError) as pending:
        nebula.create_stream(**once)
    error = pending.value
    assert isinstance(error.__cause__, NetworkError)
    assert error.tx_hash in str(error)
    assert error.signed_xdr
    assert error.signed_xdr not in str(error) + repr(error)
    assert error.valid_until.timestamp() > time.time()
    assert f"Do not pay again before {error.valid_until:%Y-%m-%dT%H:%M:%SZ}" in str(error)
    assert error.submission == Submission(error.tx_hash, error.valid_until, error.signed_xdr)
    nebula.submit_transaction(error.signed_xdr)
    done = nebula.wait_for_transaction(error.tx_hash)
    assert done.stream_ids == streams_with(once["memo"])
    assert len(done.stream_ids) == 1


def test_who_waits_too_long_is_told_how_to_go_on(proxy, nebula, once, streams_with):
    proxy.lay("GET /transactions", *[problem(503, "chain-unavailable")] * 40)
    with pytest.raises(TransactionPendingError) as pending:
        nebula.limited(confirm_timeout=0.5, max_retries=0).create_stream(**once)
    assert isinstance(pending.value.__cause__, ServerError)
    proxy.forget()
    assert nebula.wait_for_transaction(pending.value.tx_hash).stream_ids == streams_with(once["memo"])


def test_an_unknown_transaction_may_become_known(proxy, nebula):
    with pytest.raises(TransactionPendingError) as pending:
        nebula.limited(confirm_timeout=0.4).wait_for_transaction("ab" * 32)
    assert (pending.value.status, pending.value.signed_xdr, pending.value.submission) == (None, None, None)
    assert "Do not pay again before its time is over" in str(pending.value)
    assert pending.value.__cause__.code == "transaction-not-found"
    assert proxy.count("GET /transactions") >= 2


# --- crashes ---------------------------------------------------------------------------------------


def test_what_is_to_be_handed_in_is_told_before(proxy, nebula, once):
    told = []
    stream = nebula.create_stream(
        **once, on_submitted=lambda this: told.append((this, proxy.count("POST /transactions")))
    )
    ((submission, sent),) = told
    assert (submission.tx_hash, sent) == (stream.tx_hash, 0)
    assert submission.signed_xdr not in repr(submission)
    assert json.loads(proxy.those("POST /transactions")[0].body) == {"xdr": submission.signed_xdr}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_program_that_crashed_goes_on_with_what_it_kept(proxy, nebula, client_of, once, payer, streams_with, when):
    kept = []

    def keep(submission):
        kept.append(submission)
        if when == "before":
            raise CrashError

    proxy.lay("POST /transactions", lose, *[cut] * 3)
    with pytest.raises(CrashError if when == "before" else TransactionPendingError):
        nebula.create_stream(**once, on_submitted=keep)
    proxy.forget()
    again = client_of(proxy.url, signer=payer)
    for _ in range(2):
        again.submit_transaction(kept[0].signed_xdr)
    done = again.wait_for_transaction(kept[0].tx_hash)
    assert done.stream_ids == streams_with(once["memo"])
    assert len(done.stream_ids) == 1


async def test_a_call_that_is_cancelled_once_signed_can_be_gone_on_with(deployed, once, payer, streams_with):
    proxy, kept = FaultServer(deployed.url), []
    try:
        proxy.lay("GET /transactions", hang)
        async with AsyncNebulaClient(proxy.url, signer=payer) as client:
            task = asyncio.create_task(client.create_stream(**once, on_submitted=kept.append))
            await asyncio.to_thread(proxy.until, "GET /transactions", 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await task
            (submission,) = kept
            assert submission.tx_hash in "".join(cancelled.value.__notes__)
            assert submission.signed_xdr not in "".join(cancelled.value.__notes__)
            proxy.forget()
            done = await client.wait_for_transaction(submission.tx_hash)
            assert done.stream_ids == streams_with(once["memo"])
    finally:
        proxy.stop()


# --- what fails ------------------------------------------------------------------------------------


def test_a_call_that_fails_in_its_ledger_says_why(deployed, nebula, once, payee):
    stream = nebula.create_stream(**once)
    ripe(nebula, stream.id)

    def overtake(_):
        with NebulaClient(deployed.url, signer=payee) as other:
            other.cancel_stream(stream.id)

    with pytest.raises(TransactionFailedError) as failed:
        nebula.cancel_stream(stream.id, on_submitted=overtake)
    assert failed.value.ledger > stream.created_ledger
    assert failed.value.reason == "INVOKE_HOST_FUNCTION_TRAPPED"
    assert "AlreadyCancelled" in failed.value.detail
    assert failed.value.tx_hash in str(failed.value)


def test_a_transaction_whose_number_is_used_up_was_never_applied(deployed, nebula, once, terms, payer, streams_with):
    def overtake(_):
        with NebulaClient(deployed.url, signer=payer) as other:
            other.create_stream(**terms)

    with pytest.raises(TransactionFailedError) as failed:
        nebula.create_stream(**once, on_submitted=overtake)
    assert (failed.value.reason, failed.value.ledger) == ("txBAD_SEQ", None)
    assert streams_with(once["memo"]) == []


# --- invoice links ---------------------------------------------------------------------------------


def test_lost_answers_make_no_second_link(proxy, nebula, terms):
    text = f"once {uuid4()}"
    proxy.lay("POST /invoice-links", lose, lose, problem(409, "idempotency-running", Retry_After="0"))
    link = nebula.create_invoice_link(**terms, description=text)
    assert [one.id for one in nebula.iterate_invoice_links() if one.description == text] == [link.id]
    keys = [asked.headers["idempotency-key"] for asked in proxy.those("POST /invoice-links")]
    assert len(keys) == 4
    assert len(set(keys)) == 1


def test_a_key_of_ones_own_makes_one_link_over_several_calls(nebula, terms):
    key = str(uuid4())
    link = nebula.create_invoice_link(**terms, idempotency_key=key)
    assert nebula.create_invoice_link(**terms, idempotency_key=key).id == link.id
    with pytest.raises(UnprocessableError) as other:
        nebula.create_invoice_link(**{**terms, "duration": 500}, idempotency_key=key)
    assert other.value.code == "idempotency-conflict"
    assert nebula.create_invoice_link(**terms).id != link.id


def test_a_link_is_paid_once_over_lost_answers(proxy, nebula, client_of, deployed, terms, payee):
    link = client_of(deployed.url, signer=payee).create_invoice_link(**terms)
    proxy.lay(f"POST /invoice-links/{link.slug}/transaction", lose)
    proxy.lay(f"POST /invoice-links/{link.slug}/submit", lose, half)
    proxy.lay(f"GET /invoice-links/{link.slug}", cut, forward)
    paid = nebula.pay_invoice_link(link.slug)
    assert paid.link.stream_id == paid.stream.id
    (mine,) = [one for one in client_of(deployed.url, signer=payee).iterate_invoice_links() if one.id == link.id]
    assert len(mine.payments) == 1


@pytest.fixture
def pay_later(deployed):
    """Return a function that hands in a payment of a link that is applied in a while, and returns its hash."""
    other = deployed.wallet()

    class SignedError(Exception):
        pass

    class Later:
        """Signs a transaction that can be applied in a while, so that it waits."""

        public_key = other.public_key

        def sign_transaction(self, xdr, *, network_passphrase, address=None):
            envelope = TransactionEnvelope.from_xdr(xdr, network_passphrase)
            envelope.transaction.preconditions.time_bounds.min_time = int(time.time()) + 45
            raise SignedError(other.sign_transaction(envelope.to_xdr(), network_passphrase=network_passphrase))

    def pay(slug: str) -> str:
        with NebulaClient(deployed.url) as client, pytest.raises(SigningError) as signed:
            client.pay_invoice_link(slug, signer=Later())
        said = deployed.api.get(
            f"/api/v1/invoice-links/{slug}/submit",
            "Content-Type: application/json",
            method="POST",
            body=json.dumps({"xdr": signed.value.__cause__.args[0]}).encode(),
        )
        assert said.status == 202, said
        return said.json["txHash"]

    return pay


def test_nobody_pays_beside_a_payment_that_is_under_way(deployed, nebula, client_of, terms, payer, payee, pay_later):
    link = client_of(deployed.url, signer=payee).create_invoice_link(**terms)
    tx_hash = pay_later(link.slug)
    with pytest.raises(PaymentUnderWayError) as under_way:
        nebula.pay_invoice_link(link.slug)
    assert (under_way.value.slug, under_way.value.tx_hash) == (link.slug, tx_hash)
    paid = nebula.pay_invoice_link(link.slug, allow_another=True)
    assert paid.link.payer == payer.public_key


def test_of_two_payments_in_the_same_moment_one_is_taken(deployed, proxy, nebula, client_of, terms, payee, pay_later):
    link = client_of(deployed.url, signer=payee).create_invoice_link(**terms)
    first, told = [], []

    def overtaken(handler):
        first.append(pay_later(link.slug))
        forward(handler)

    proxy.lay(f"POST /invoice-links/{link.slug}/submit", overtaken)
    with pytest.raises(PaymentUnderWayError) as under_way:
        nebula.pay_invoice_link(link.slug, on_submitted=told.append)
    assert [under_way.value.tx_hash] == first
    assert told[0].tx_hash != first[0]
    with pytest.raises(NotFoundError):
        nebula.get_transaction(told[0].tx_hash)


def test_changing_and_deleting_are_not_sent_twice(proxy, nebula, terms):
    links = [nebula.create_invoice_link(**terms) for _ in range(2)]
    proxy.lay("PATCH", lose)
    with pytest.raises(NetworkError) as lost:
        nebula.update_invoice_link_status(links[0].id, "CANCELED")
    assert lost.value.maybe_sent
    proxy.lay("DELETE", problem(503, "database-busy"), problem(429, "rate-limited", Retry_After="0"))
    with pytest.raises(ServerError):
        nebula.delete_invoice_link(links[1].id)
    nebula.delete_invoice_link(links[1].id)
    assert (proxy.count("PATCH"), proxy.count("DELETE")) == (1, 3)


# --- wallets and services that cannot be trusted --------------------------------------------------------


class Changing:
    """A wallet that signs something else."""

    def __init__(self, signer, change):
        self.public_key, self._signer, self._change = signer.public_key, signer, change

    def sign_transaction(self, xdr, *, network_passphrase, address=None):
        envelope = TransactionEnvelope.from_xdr(xdr, network_passphrase)
        self._change(envelope.transaction)
        return self._signer.sign_transaction(envelope.to_xdr(), network_passphrase=network_passphrase)


def test_a_transaction_that_the_wallet_changed_is_not_handed_in(proxy, nebula, once, payer):
    def raise_fee(transaction):
        transaction.fee += 1

    with pytest.raises(TransactionMismatchError) as mismatch:
        nebula.create_stream(**once, signer=Changing(payer, raise_fee))
    assert mismatch.value.expected != mismatch.value.tx_hash
    assert proxy.count("POST /transactions") == 0


@pytest.mark.parametrize(
    "signed",
    ["", "!", "AAAA", None, 7, {}, {"signedTxXdr": "", "error": {"message": "no"}}, "unsigned"],
    ids=["empty", "no-base64", "no-transaction", "none", "number", "no-member", "refusal", "unsigned"],
)
def test_what_is_no_signed_transaction_is_not_handed_in(proxy, nebula, once, payer, signed):
    class Odd:
        public_key = payer.public_key

        def sign_transaction(self, xdr, *, network_passphrase, address=None):
            return xdr if signed == "unsigned" else signed

    with pytest.raises((SigningError, TransactionMismatchError)):
        nebula.create_stream(**once, signer=Odd())
    assert proxy.count("POST /transactions") == 0


def test_a_refusal_of_the_wallet_keeps_its_cause_and_shows_nothing_of_it(proxy, nebula, once, payer):
    class Refusing:
        public_key = payer.public_key

        def sign_transaction(self, xdr, *, network_passphrase, address=None):
            raise RuntimeError(f"will not sign {xdr}")

    with pytest.raises(SigningError) as refused:
        nebula.create_stream(**once, signer=Refusing())
    assert "will not sign" in str(refused.value.__cause__)
    assert "AAAA" not in str(refused.value)
    assert proxy.count("POST /transactions") == 0


def test_the_wallet_is_not_asked_for_a_transaction_of_another_account(proxy, client_of, once, payer, payee):
    asked = []
    client = client_of(proxy.url)
    client.set_auth_token(client.login(payer))
    stranger = Changing(payee, asked.append)
    with pytest.raises(TransactionMismatchError, match=payer.public_key):
        client.create_stream(**once, signer=stranger)
    assert asked == []


def altered(change):
    """Have the real service answer, and change its JSON on the way."""

    def step(handler):
        say = handler.say

        def changed(status, body, headers=()):
            data = json.loads(body)
            change(data)
            say(status, json.dumps(data).encode(), headers)

        handler.say = changed
        forward(handler)

    return step


@pytest.mark.parametrize("lie", ["hash", "xdr", "passphrase"])
def test_the_wallet_is_not_asked_for_what_is_not_as_announced(proxy, nebula, once, payer, lie):
    def change(data):
        transaction = data["transaction"]
        if lie == "hash":
            transaction["hash"] = "ab" * 32
        elif lie == "xdr":
            transaction["xdr"] = "AAAA"
        else:
            transaction["networkPassphrase"] = "Public Global Stellar Network ; September 2015"

    asked = []
    proxy.lay("POST /streams", altered(change))
    with pytest.raises(TransactionMismatchError):
        nebula.create_stream(**once, signer=Changing(payer, asked.append))
    assert asked == []


def test_an_answer_for_another_transaction_is_noticed(proxy, nebula, once):
    proxy.lay("POST /transactions", altered(lambda data: data.update(txHash="ab" * 32)))
    with pytest.raises(TransactionMismatchError) as mismatch:
        nebula.create_stream(**once)
    assert mismatch.value.tx_hash == "ab" * 32


def test_a_pinned_network_is_the_only_one_to_sign_for(proxy, client_of, once, payer):
    client = client_of(proxy.url, signer=payer, network_passphrase="Public Global Stellar Network ; September 2015")
    with pytest.raises(SigningError, match="another network"):
        client.create_stream(**once)
    client.set_auth_token(client_of(proxy.url).login(payer))
    with pytest.raises(SigningError, match="another network"):
        client.create_stream(**once)
    good = client_of(proxy.url, signer=payer, network_passphrase=PASSPHRASE)
    assert good.create_stream(**once).memo == once["memo"]
