"""The queue between wallets and the next ledger: bounds, order, and what can be handed in that is not XDR at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Asset, Keypair

from stellarstream_sandbox.accounts import AccountSetup
from stellarstream_sandbox.submission import mempool
from stellarstream_sandbox.submission.incoming import MAX_ENVELOPE, MalformedEnvelopeError, read_envelope
from tests.sandbox.wallet import Chain

XLM = Asset.native()


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain()


@pytest.fixture(scope="module")
def envelope(chain) -> bytes:
    alice = chain.keys("alice")
    prepared = chain.prepare(chain.call(alice, "counter", "increment"))
    prepared.sign(alice)
    return prepared.to_xdr_object().to_xdr_bytes()


def test_a_full_queue_asks_to_come_again(monkeypatch):
    monkeypatch.setattr(mempool, "MAX_WAITING", 2)
    chain = Chain()
    users = [chain.keys(name) for name in ("alice", "bob", "carol")]
    sent = [chain.builder(one).append_payment_op(one.public_key, XLM, "1").build() for one in users]
    statuses = [chain.send(tx, one)["status"] for tx, one in zip(sent, users, strict=True)]
    assert statuses == ["PENDING", "PENDING", "TRY_AGAIN_LATER"]
    assert len(chain.simulation.mempool) == 2
    chain.close()
    assert len(chain.simulation.mempool) == 0
    assert chain.send(sent[2])["status"] == "PENDING"


def test_a_refused_transaction_takes_no_place(chain):
    new = Keypair.random()
    chain.simulation.set_account(AccountSetup(new.public_key))
    chain.close()
    wrong = chain.builder(new, sequence=5).append_payment_op(new.public_key, XLM, "1").build()
    assert chain.send(wrong, new)["status"] == "ERROR"
    right = chain.builder(new).append_payment_op(new.public_key, XLM, "1").build()
    assert chain.send(right, new)["status"] == "PENDING"


def test_a_very_large_envelope_is_none(chain, envelope):
    with pytest.raises(MalformedEnvelopeError):
        read_envelope(envelope + bytes(MAX_ENVELOPE), chain.network)


def reads(raw: bytes, network: bytes) -> bool:
    try:
        return read_envelope(raw, network).envelope == raw
    except MalformedEnvelopeError:
        return False


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.integers(-40, 8))
def test_spoilt_bytes_are_an_envelope_or_malformed_and_never_anything_else(chain, envelope, place, byte, cut):
    spoilt = bytearray(envelope)
    spoilt[place % len(envelope)] = byte
    raw = bytes(spoilt)[:cut] if cut < 0 else bytes(spoilt) + bytes(cut)
    assert not (reads(raw, chain.network) and cut), "an envelope that is cut or followed by anything is none"


@given(raw=st.binary(max_size=300))
def test_noise_is_never_an_envelope(chain, raw):
    assert not reads(raw, chain.network)
