"""Logging in by SEP-10: whose signatures are enough, and each way in which a challenge is refused."""

from __future__ import annotations

import asyncio
import re
import time
from base64 import b64decode, b64encode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from stellar_sdk import (
    Account,
    Asset,
    FeeBumpTransactionEnvelope,
    IdMemo,
    Keypair,
    ManageData,
    MuxedAccount,
    TextMemo,
    TransactionBuilder,
    TransactionEnvelope,
    xdr,
)
from stellar_sdk.operation import BumpSequence
from stellar_sdk.sep.stellar_web_authentication import read_challenge_transaction

from stellarstream_core.api.auth import errors
from stellarstream_core.api.auth.sep10 import Challenges, Verified, public_key_of
from stellarstream_core.api.auth.site import site_of
from stellarstream_core.errors import SettingsError, StorageBusyError
from stellarstream_core.storage.tables import ApiChallenge
from tests.api.auth.conftest import opened
from tests.api.auth.kit import PASSPHRASE, PUBNET, Chain, made, signed

DOMAIN = "pay.example.org"


def challenges_on(storage, server, chain, **more) -> Challenges:
    return Challenges(
        SecretStr(server.secret), site_of(f"https://{DOMAIN}"), PASSPHRASE, storage=storage, chain=chain, **more
    )


async def refused(challenges, envelope: str) -> str:
    with pytest.raises(errors.AuthError) as caught:
        await challenges.verify(envelope)
    return caught.value.code


def used(storage) -> int:
    return storage.read(lambda database: ApiChallenge.select().count(database))


# --- asking --------------------------------------------------------------------------------------


async def test_a_challenge_is_one_to_the_official_sdk(challenges, server, client):
    challenge = await challenges.build(client.public_key)
    assert challenge.network_passphrase == PASSPHRASE
    read = read_challenge_transaction(challenge.transaction, server.public_key, DOMAIN, DOMAIN, PASSPHRASE)
    assert (read.client_account_id, read.matched_home_domain, read.memo) == (client.public_key, DOMAIN, None)
    transaction = read.transaction.transaction
    assert transaction.sequence == 0
    bounds = transaction.preconditions.time_bounds
    assert bounds.max_time - bounds.min_time == 900
    assert abs(bounds.min_time - time.time()) < 5
    again = await challenges.build(client.public_key)
    assert again.transaction != challenge.transaction


async def test_only_account_ids_are_given_a_challenge(challenges, client):
    muxed = MuxedAccount(client.public_key, 7).account_muxed
    contract = "CDLZFC3SYJYDZT7K67VZ75HPJVIEUVNIXF47ZG2FB2RMQQVU2HHGCYSC"
    for account in (muxed, contract, client.secret, client.public_key.lower(), f"{client.public_key}:7", "", "G"):
        with pytest.raises(errors.AccountUnsupportedError) as caught:
            await challenges.build(account)
        assert account == "" or len(account) < 5 or account not in str(caught.value)


async def test_a_port_that_is_not_the_schemes_own_belongs_to_the_home_domain(server, client, sqlite, chain):
    challenges = Challenges(
        SecretStr(server.secret), site_of("http://localhost:3000/"), PASSPHRASE, storage=sqlite, chain=chain
    )
    challenge = await challenges.build(client.public_key)
    read = read_challenge_transaction(
        challenge.transaction, server.public_key, "localhost:3000", "localhost:3000", PASSPHRASE
    )
    assert read.client_account_id == client.public_key
    assert (await challenges.verify(signed(challenge.transaction, client))).account == client.public_key


# --- whose signatures are enough ---------------------------------------------------------------------


async def login(challenges, account: Keypair, *signers: Keypair) -> Verified:
    return await challenges.verify(signed((await challenges.build(account.public_key)).transaction, *signers))


async def code_of(challenges, account: Keypair, *signers: Keypair) -> str:
    return await refused(challenges, signed((await challenges.build(account.public_key)).transaction, *signers))


async def test_an_ordinary_account_logs_in_with_its_master_key(challenges, chain, client):
    chain.put(client)
    assert await login(challenges, client, client) == Verified(client.public_key)


async def test_an_account_that_does_not_exist_logs_in_with_its_master_key_alone(challenges, client):
    stranger = Keypair.random()
    assert (await login(challenges, client, client)).account == client.public_key
    assert await code_of(challenges, client, stranger) == "challenge-unknown-signers"
    assert await code_of(challenges, client, client, stranger) == "challenge-unknown-signers"
    assert await code_of(challenges, client) == "challenge-not-signed-enough"


async def test_one_of_two_signers_below_the_medium_threshold_is_not_enough_and_both_are(challenges, chain, client):
    first, second = Keypair.random(), Keypair.random()
    chain.put(client, master=0, medium=2, signers={first.public_key: 1, second.public_key: 1})
    assert await code_of(challenges, client, first) == "challenge-not-signed-enough"
    assert await code_of(challenges, client, second) == "challenge-not-signed-enough"
    assert (await login(challenges, client, first, second)).account == client.public_key
    assert (await login(challenges, client, second, first)).account == client.public_key


async def test_one_signature_twice_counts_once(challenges, chain, client):
    first, second = Keypair.random(), Keypair.random()
    chain.put(client, master=1, medium=2, signers={first.public_key: 1, second.public_key: 1})
    assert await code_of(challenges, client, first, first) == "challenge-not-signed-enough"


async def test_a_removed_master_key_does_not_log_in(challenges, chain, client):
    other = Keypair.random()
    chain.put(client, master=0, medium=1, signers={other.public_key: 1})
    assert await code_of(challenges, client, client) == "challenge-unknown-signers"
    assert await code_of(challenges, client, client, other) == "challenge-unknown-signers"
    assert (await login(challenges, client, other)).account == client.public_key


async def test_a_removed_master_key_does_not_log_in_where_the_threshold_is_zero_either(challenges, chain, client):
    # To a sum of weights a threshold of 0 is always reached; to the network it means: any signer.
    other = Keypair.random()
    chain.put(client, master=0, medium=0, signers={other.public_key: 1})
    assert await code_of(challenges, client, client) == "challenge-unknown-signers"
    assert (await login(challenges, client, other)).account == client.public_key


async def test_signers_without_weight_count_for_nothing(challenges, chain, client):
    idle = Keypair.random()
    chain.put(client, master=1, medium=0, signers={idle.public_key: 0})
    assert await code_of(challenges, client, idle) == "challenge-unknown-signers"


async def test_an_account_that_nobody_can_sign_for_does_not_log_in(challenges, chain, client):
    chain.put(client, master=0, medium=0)
    assert await code_of(challenges, client, client) == "challenge-unknown-signers"
    assert await code_of(challenges, client) == "challenge-not-signed-enough"


async def test_weights_add_up_beyond_a_byte(challenges, chain, client):
    first, second = Keypair.random(), Keypair.random()
    chain.put(client, master=0, medium=255, signers={first.public_key: 254, second.public_key: 254})
    assert await code_of(challenges, client, first) == "challenge-not-signed-enough"
    assert (await login(challenges, client, first, second)).account == client.public_key


async def test_the_server_does_not_help_an_account_that_it_is_a_signer_of(challenges, chain, server, client):
    chain.put(client, master=1, medium=2, signers={server.public_key: 255})
    assert await code_of(challenges, client) == "challenge-not-signed-enough"
    assert await code_of(challenges, client, client) == "challenge-not-signed-enough"


async def test_a_signature_too_many_is_refused(challenges, chain, client):
    chain.put(client)
    assert await code_of(challenges, client, client, Keypair.random()) == "challenge-unknown-signers"


# --- where the chain cannot be asked -------------------------------------------------------------------


async def test_a_removed_master_key_is_not_taken_while_the_chain_cannot_be_asked(challenges, chain, client, sqlite):
    challenge = signed((await challenges.build(client.public_key)).transaction, client)
    chain.down = True
    with pytest.raises(errors.AuthUnavailableError) as caught:
        await challenges.verify(challenge)
    assert (caught.value.code, caught.value.status) == ("auth-unavailable", 503)
    chain.down = False
    assert used(sqlite) == 0
    assert (await challenges.verify(challenge)).account == client.public_key, "it was not used up"


async def test_a_chain_that_does_not_answer_in_time_is_unavailable(challenges, chain, client, monkeypatch):
    challenge = signed((await challenges.build(client.public_key)).transaction, client)

    async def silence(keys):
        await asyncio.sleep(30)

    monkeypatch.setattr(chain, "ledger_entries", silence)
    monkeypatch.setattr("stellarstream_core.api.auth.sep10.CHAIN_SECONDS", 0.05)
    assert await refused(challenges, challenge) == "auth-unavailable"


async def test_an_account_that_cannot_be_read_is_unavailable(challenges, chain, client):
    chain.put(client)
    (key,) = chain.accounts
    whole = chain.accounts[key]
    for broken in (whole[:-1], whole + b"\0", b"", bytes(4) + whole[4:8] + bytes(32) + whole[40:]):
        chain.accounts[key] = broken
        assert await code_of(challenges, client, client) == "auth-unavailable"


async def test_without_a_chain_nobody_is_given_a_challenge_nor_logs_in(challenges, server, sqlite, client):
    challenge = signed((await challenges.build(client.public_key)).transaction, client)
    without = challenges_on(sqlite, server, None)
    assert await refused(without, challenge) == "auth-unavailable"
    with pytest.raises(errors.AuthUnavailableError):
        await without.build(client.public_key)


# --- what is refused --------------------------------------------------------------------------------------


async def test_what_another_server_made_is_not_ours(challenges, server, client, chain):
    other = Keypair.random()
    assert await refused(challenges, signed(made(other, client.public_key), client)) == "challenge-not-ours"
    forged = TransactionEnvelope.from_xdr(made(server, client.public_key), PASSPHRASE)
    forged.signatures.clear()
    forged.sign(other)
    forged.sign(client)
    assert await refused(challenges, forged.to_xdr()) == "challenge-not-ours"
    assert chain.asked == 0, "strangers do not make us ask the chain"


async def test_a_changed_challenge_is_not_ours(challenges, server, client):
    envelope = TransactionEnvelope.from_xdr(made(server, client.public_key), PASSPHRASE)
    envelope.transaction.operations[0].source = MuxedAccount(Keypair.random().public_key)
    envelope.sign(client)
    assert await refused(challenges, envelope.to_xdr()) == "challenge-not-ours"


async def test_another_networks_challenge_is_told_as_that(challenges, server, client):
    whole = signed(made(server, client.public_key, passphrase=PUBNET), client, passphrase=PUBNET)
    assert await refused(challenges, whole) == "challenge-wrong-network"


async def test_a_signature_for_another_network_is_told_as_that(challenges, server, client):
    assert await refused(challenges, signed(made(server, client.public_key), client, passphrase=PUBNET)) == (
        "challenge-wrong-network"
    )


async def test_a_challenge_of_another_domain_by_the_same_key_is_refused(challenges, server, client):
    for other in (
        made(server, client.public_key, home="evil.example.org"),
        made(server, client.public_key, web="evil.example.org"),
    ):
        assert await refused(challenges, signed(other, client)) == "challenge-wrong-domain"


async def test_a_challenge_counts_within_its_time_only(challenges, server, client):
    old = made(server, client.public_key, begins=-1000, ends=-1)
    early = made(server, client.public_key, begins=400, ends=900)
    assert await refused(challenges, signed(old, client)) == "challenge-expired"
    assert await refused(challenges, signed(early, client)) == "challenge-not-yet-valid"


async def test_memos_and_muxed_accounts_are_refused_though_the_server_signed(challenges, server, client):
    muxed = MuxedAccount(client.public_key, 7).account_muxed
    for challenge in (
        made(server, client.public_key, memo=IdMemo(7)),
        made(server, muxed),
    ):
        assert await refused(challenges, signed(challenge, client)) == "account-unsupported"
    assert await refused(challenges, signed(made(server, client.public_key, memo=TextMemo("x")), client)) in (
        "account-unsupported",
        "challenge-malformed",
    )


async def test_what_the_server_signed_but_is_no_challenge_is_refused(challenges, server, client):
    for transaction in (
        made(server, client.public_key, sequence=5),
        _without_time_bounds(server, client),
        made(server, client.public_key, nonce=b"short"),
        made(server, client.public_key, nonce=b"!" * 64),
        made(server, client.public_key, more=[BumpSequence(5, source=server.public_key)]),
        made(server, client.public_key, more=[ManageData("other", "x", source=client.public_key)]),
        made(server, client.public_key, more=[ManageData("other", "x")]),
        made(server, client.public_key, more=[ManageData("web_auth_domain", None, source=server.public_key)]),
    ):
        assert await refused(challenges, signed(transaction, client)) in (
            "challenge-malformed",
            "challenge-wrong-domain",
        )
    builder = TransactionBuilder(Account(server.public_key, -1), PASSPHRASE, 100).add_time_bounds(0, 2**40)
    payment = builder.append_payment_op(client.public_key, Asset.native(), "1", source=client.public_key).build()
    payment.sign(server)
    assert await refused(challenges, signed(payment.to_xdr(), client)) == "challenge-malformed"


def _without_time_bounds(server: Keypair, client: Keypair) -> str:
    envelope = TransactionEnvelope.from_xdr(made(server, client.public_key), PASSPHRASE)
    envelope.transaction.preconditions = None
    envelope.signatures.clear()
    envelope.sign(server)
    return envelope.to_xdr()


async def test_other_envelopes_are_malformed(challenges, server, client):
    good = TransactionEnvelope.from_xdr(signed(made(server, client.public_key), client), PASSPHRASE)
    bumped = FeeBumpTransactionEnvelope.from_xdr(_fee_bump(good, client), PASSPHRASE)
    assert await refused(challenges, bumped.to_xdr()) == "challenge-malformed"
    assert await refused(challenges, _as_v0(good)) == "challenge-malformed"
    assert (await challenges.verify(good.to_xdr())).account == client.public_key


def _fee_bump(inner: TransactionEnvelope, source: Keypair) -> str:
    bump = TransactionBuilder.build_fee_bump_transaction(source, 10_000, inner, PASSPHRASE)
    bump.sign(source)
    return bump.to_xdr()


def _as_v0(envelope: TransactionEnvelope) -> str:
    """Return the same transaction, with the same signatures, as a v0 envelope: they would be valid there too."""
    v1 = envelope.to_xdr_object().v1.tx
    v0 = xdr.TransactionV0(
        source_account_ed25519=v1.source_account.ed25519,
        fee=v1.fee,
        seq_num=v1.seq_num,
        time_bounds=v1.cond.time_bounds,
        memo=v1.memo,
        operations=v1.operations,
        ext=xdr.TransactionV0Ext(0),
    )
    signatures = [signature.to_xdr_object() for signature in envelope.signatures]
    whole = xdr.TransactionV0Envelope(v0, signatures)
    return xdr.TransactionEnvelope(xdr.EnvelopeType.ENVELOPE_TYPE_TX_V0, v0=whole).to_xdr()


async def test_no_operations_and_too_many_signatures_are_malformed(challenges, server, client):
    whole = signed(made(server, client.public_key), client)
    empty = TransactionEnvelope.from_xdr(whole, PASSPHRASE)
    empty.transaction.operations.clear()
    assert await refused(challenges, empty.to_xdr()) == "challenge-malformed"
    raw = b64decode(whole)
    signature = raw[-72:]
    for count in (21, 40, 5_000):
        many = raw[:-148] + count.to_bytes(4, "big") + signature * count
        assert await refused(challenges, b64encode(many).decode()) == "challenge-malformed"


async def test_twenty_forged_signatures_cost_little(challenges, server, client):
    raw = b64decode(signed(made(server, client.public_key), client))
    hint = server.signature_hint()
    forged = raw[:-148] + (20).to_bytes(4, "big") + (hint + (64).to_bytes(4, "big") + bytes(64)) * 20
    begun = time.perf_counter()
    assert await refused(challenges, b64encode(forged).decode()) == "challenge-not-ours"
    assert time.perf_counter() - begun < 0.5


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "A",
        "AAAA",
        "AAAAAg==",
        "é" * 40,
        "\0" * 40,
        "AAAAAg" * 1_000_000,
        "{}",
        "null",
        "A" * 8_192,
        "AAAAAgAAAAD" + "/" * 800,
        "=" * 100,
    ],
    ids=lambda text: f"{text[:8]!r}*{len(text)}",
)
async def test_garbage_is_malformed(challenges, text):
    begun = time.perf_counter()
    assert await refused(challenges, text) == "challenge-malformed"
    assert time.perf_counter() - begun < 0.5


async def test_deep_nesting_is_malformed(challenges, server, client):
    # a claimable balance whose predicate is "not" of "not" of … stays below the length limit at depth 1,000
    head = b64decode(made(server, client.public_key))[:60]
    nested = (14).to_bytes(4, "big") + bytes(4 + 8) + (1).to_bytes(4, "big") + bytes(4 + 36)
    nested += ((3).to_bytes(4, "big") + (1).to_bytes(4, "big")) * 650
    text = b64encode(head + (1).to_bytes(4, "big") + bytes(4) + nested).decode()
    assert len(text) < 8_192
    assert await refused(challenges, text) == "challenge-malformed"


CODES = {kind.code for kind in errors.TOKEN_PROBLEMS}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_challenge_is_refused_with_a_known_code_and_never_with_another_error(
    challenges, server, client, data
):
    raw = bytearray(b64decode(signed(made(server, client.public_key), client)))
    kind = data.draw(st.sampled_from(["flip", "cut", "insert"]))
    at = data.draw(st.integers(0, len(raw) - 1))
    if kind == "flip":
        raw[at] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del raw[at : at + data.draw(st.integers(1, 80))]
    else:
        raw[at:at] = data.draw(st.binary(min_size=1, max_size=80))
    with pytest.raises(errors.AuthError) as caught:
        asyncio.run(challenges.verify(b64encode(bytes(raw)).decode()))
    assert caught.value.code in CODES


# --- once -------------------------------------------------------------------------------------------------


async def test_a_challenge_is_good_for_one_token(challenges, client, sqlite):
    whole = signed((await challenges.build(client.public_key)).transaction, client)
    await challenges.verify(whole)
    assert await refused(challenges, whole) == "challenge-replayed"
    assert used(sqlite) == 1


async def test_a_replay_cannot_hide_behind_another_spelling(challenges, chain, client):
    first, second = Keypair.random(), Keypair.random()
    chain.put(client, medium=1, signers={first.public_key: 1, second.public_key: 1})
    challenge = (await challenges.build(client.public_key)).transaction
    await challenges.verify(signed(challenge, first))
    for other in (signed(challenge, second), signed(challenge, first, second), signed(challenge, second, first)):
        assert await refused(challenges, other) == "challenge-replayed"
    reversed_ = TransactionEnvelope.from_xdr(signed(challenge, first), PASSPHRASE)
    reversed_.signatures.reverse()
    assert await refused(challenges, reversed_.to_xdr()) == "challenge-replayed"
    assert await refused(challenges, f"  {signed(challenge, first)}\n") == "challenge-replayed"


async def test_a_refused_challenge_is_not_used_up(challenges, chain, client, sqlite):
    first, second = Keypair.random(), Keypair.random()
    chain.put(client, medium=2, signers={first.public_key: 1, second.public_key: 1})
    challenge = (await challenges.build(client.public_key)).transaction
    assert await refused(challenges, signed(challenge, first)) == "challenge-not-signed-enough"
    assert used(sqlite) == 0
    assert (await challenges.verify(signed(challenge, first, second))).account == client.public_key


async def test_of_many_workers_that_get_one_challenge_at_once_exactly_one_takes_it(database_url, server, client):
    chain = Chain()
    with opened(database_url) as one, opened(database_url) as two:
        workers = [challenges_on(storage, server, chain) for storage in (one, two)]
        whole = signed((await workers[0].build(client.public_key)).transaction, client)
        answers = await asyncio.gather(*(worker.verify(whole) for worker in workers * 8), return_exceptions=True)
        taken = [answer for answer in answers if isinstance(answer, Verified)]
        others = [answer for answer in answers if not isinstance(answer, Verified)]
        assert len(taken) == 1
        assert {type(other) for other in others} == {errors.ChallengeReplayedError}
        assert used(one) == 1


async def test_a_use_that_cannot_be_written_is_no_login(challenges, client, sqlite, monkeypatch):
    whole = signed((await challenges.build(client.public_key)).transaction, client)

    def busy(*args, **kwargs):
        raise StorageBusyError("busy")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "write", busy)
        with pytest.raises(StorageBusyError):
            await challenges.verify(whole)
    assert (await challenges.verify(whole)).account == client.public_key


async def test_expired_challenges_are_removed_on_the_way(storage, server, client, chain):
    now = int(time.time())
    old = [{"hash": f"old{n:04}", "expires_at": now - 10_000} for n in range(1_500)]
    kept = [{"hash": "late-clocks", "expires_at": now - 100}, {"hash": "open", "expires_at": now + 800}]

    def fill(database):
        for begin in range(0, len(old), 500):
            ApiChallenge.insert_many(old[begin : begin + 500]).execute(database)
        ApiChallenge.insert_many(kept).execute(database)

    storage.write(fill)
    challenges = challenges_on(storage, server, chain)
    await login(challenges, client, client)
    assert used(storage) == 503, "a bounded number at a time"
    await login(challenges, client, client)
    assert used(storage) == 4
    hashes = storage.read(lambda db: {row.hash for row in ApiChallenge.select().execute(db)})
    assert {"late-clocks", "open"} < hashes


async def test_that_expired_challenges_cannot_be_removed_is_no_matter(challenges, client, sqlite, monkeypatch):
    calls = []
    write = sqlite.write

    def once(change, **more):
        calls.append(more)
        if len(calls) > 1:
            raise StorageBusyError("busy")
        return write(change, **more)

    monkeypatch.setattr(sqlite, "write", once)
    assert (await login(challenges, client, client)).account == client.public_key
    assert len(calls) == 2


# --- the wallet's domain -------------------------------------------------------------------------------------


class Domains:
    def __init__(self, key: str) -> None:
        self.key = key

    async def signing_key(self, domain):
        return domain.lower(), self.key


async def test_a_client_domain_signs_too(server, client, sqlite, chain):
    wallet = Keypair.random()
    challenges = challenges_on(sqlite, server, chain, domains=Domains(wallet.public_key))
    challenge = (await challenges.build(client.public_key, "Wallet.Example.org")).transaction
    assert await refused(challenges, signed(challenge, client)) == "challenge-client-domain-unsigned"
    assert await refused(challenges, signed(challenge, wallet)) == "challenge-not-signed-enough"
    assert await refused(challenges, signed(challenge, client, wallet, Keypair.random())) == "challenge-unknown-signers"
    assert await challenges.verify(signed(challenge, wallet, client)) == Verified(
        client.public_key, "wallet.example.org"
    )


async def test_the_client_domains_key_has_no_say_over_the_account(server, client, sqlite, chain):
    wallet = Keypair.random()
    chain.put(client, master=1, medium=2, signers={wallet.public_key: 1})
    challenges = challenges_on(sqlite, server, chain, domains=Domains(wallet.public_key))
    challenge = (await challenges.build(client.public_key, "wallet.example.org")).transaction
    assert await refused(challenges, signed(challenge, client, wallet)) == "challenge-not-signed-enough"


async def test_a_client_domain_with_the_servers_or_the_accounts_key_is_refused(server, client, sqlite, chain):
    for key in (server.public_key, client.public_key):
        challenges = challenges_on(sqlite, server, chain, domains=Domains(key))
        with pytest.raises(errors.ClientDomainKeyError):
            await challenges.build(client.public_key, "wallet.example.org")


# --- secrets -----------------------------------------------------------------------------------------------


async def test_the_signing_key_is_never_shown(challenges, server, client):
    for shown in (repr(challenges), str(challenges), repr(await challenges.build(client.public_key))):
        assert server.secret not in shown
    another_end = server.secret[:-1] + ("B" if server.secret.endswith("A") else "A")
    for wrong in (server.secret[:-1], another_end, "", server.public_key):
        with pytest.raises(SettingsError) as caught:
            public_key_of(SecretStr(wrong))
        assert not wrong or wrong not in f"{caught.value} {caught.value.help} {caught.value.__cause__!r}"
        assert caught.value.__suppress_context__


async def test_a_refusal_repeats_nothing_that_was_sent(challenges, server, client):
    for whole in (
        signed(made(Keypair.random(), client.public_key), client),
        signed(made(server, client.public_key, home="evil.example.org"), client),
        signed(made(server, client.public_key), Keypair.random()),
        "AAAA<script>",
    ):
        with pytest.raises(errors.AuthError) as caught:
            await challenges.verify(whole)
        said = f"{caught.value} {caught.value.help}"
        assert not re.search(r"evil|script|G[A-Z2-7]{55}|[A-Za-z0-9+/]{40}", said)
