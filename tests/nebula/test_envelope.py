"""Envelopes that wallets hand in: only signed calls of served contracts pass, and each refusal has its own name."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stellar_sdk import Asset, Preconditions, SignerKey, TransactionEnvelope, xdr
from stellar_sdk.operation import InvokeHostFunction, Payment

from stellarstream_core.xdr.account import AccountSigners, Thresholds
from stellarstream_core.xdr.scval import decode_native
from stellarstream_nebula.transactions.envelope import MOST_BYTES, check, check_signatures, parsed
from stellarstream_nebula.transactions.errors import ENVELOPE_PROBLEMS, EnvelopeInvalidError
from tests.nebula.relay_kit import (
    ALICE,
    BOB,
    CAROL,
    FAMILIES,
    FIRST,
    FOREIGN,
    NOW,
    PASSPHRASE,
    PUBNET,
    SECOND,
    STRANGER,
    authorization,
    bumped,
    by_address,
    by_delegates,
    drafted,
    own_auth,
    signed,
    withdrawal,
)

PLAIN = AccountSigners(1, Thresholds(0, 0, 0), {})


def refused(text: str, now: float = NOW, signers: dict[str, AccountSigners] | None = None) -> str | None:
    """Return the code of the problem that an envelope meets, None where it passes."""
    try:
        envelope = parsed(text, PASSPHRASE)
        check(envelope, FAMILIES, now)
        check_signatures(envelope, {account: (signers or {}).get(account, PLAIN) for account in envelope.accounts})
    except ENVELOPE_PROBLEMS as problem:
        return problem.code
    return None


def raw_of(envelope: TransactionEnvelope) -> bytes:
    return envelope.to_xdr_object().to_xdr_bytes()


def test_a_signed_call_of_a_served_contract_passes_and_says_what_it_does():
    text = signed(drafted(), ALICE)
    envelope = parsed(text, PASSPHRASE)
    assert refused(text) is None
    assert envelope.hash == TransactionEnvelope.from_xdr(text, PASSPHRASE).hash_hex()
    assert (envelope.account, envelope.contract, envelope.function) == (ALICE.public_key, SECOND, "withdraw")
    assert [decode_native(argument) for argument in envelope.arguments] == [3, ALICE.public_key]
    assert (envelope.valid_from, envelope.valid_until) == (0, NOW + 300)
    assert base64.b64encode(envelope.raw).decode() == text


@pytest.mark.parametrize("contract", [FIRST, SECOND])
@pytest.mark.parametrize("function", ["create_stream", "withdraw", "cancel"])
def test_what_the_service_builds_is_relayed_for_both_generations(contract, function):
    assert refused(signed(drafted(contract, function), ALICE)) is None


def payment() -> Payment:
    return Payment(BOB.public_key, Asset.native(), "1")


def upload() -> InvokeHostFunction:
    kind = xdr.HostFunctionType.HOST_FUNCTION_TYPE_UPLOAD_CONTRACT_WASM
    return InvokeHostFunction(xdr.HostFunction(kind, wasm=b"\0asm"))


def call_of(contract: str, source: str | None = None) -> InvokeHostFunction:
    (operation,) = drafted(contract).transaction.operations
    return InvokeHostFunction(operation.host_function, source=source)


def with_extra_signer() -> TransactionEnvelope:
    envelope = drafted()
    bounds = envelope.transaction.preconditions.time_bounds
    envelope.transaction.preconditions = Preconditions(
        time_bounds=bounds, extra_signers=[SignerKey.ed25519_public_key(BOB.public_key)]
    )
    return envelope


def other_call() -> bytes:
    return authorization(call_of(FOREIGN).host_function.invoke_contract)


def own_call(**credentials: object) -> bytes:
    return own_auth(raw_of(drafted()), by_address(BOB, **credentials))


def delegated_call(**credentials: object) -> bytes:
    return own_auth(raw_of(drafted()), by_delegates(BOB, STRANGER, **credentials))


def nested(levels: int) -> TransactionEnvelope:
    """Return a call with one argument of that many vectors in each other, authorized by its source."""
    value = withdrawal()[0]
    for _ in range(levels):
        value = xdr.SCVal(xdr.SCValType.SCV_VEC, vec=xdr.SCVec([value]))
    call = drafted(arguments=[value])
    return drafted(arguments=[value], auth=[own_auth(raw_of(call))])


REFUSED = {
    "no base64": ("envelope-invalid", lambda: "not base64!"),
    "nothing": ("envelope-invalid", lambda: ""),
    "no XDR": ("envelope-invalid", lambda: base64.b64encode(b"\0\0\0\2 and then something else").decode()),
    "another XDR": ("envelope-invalid", lambda: base64.b64encode(bytes(64)).decode()),
    "too long": ("envelope-invalid", lambda: "A" * (MOST_BYTES * 4 // 3 + 8)),
    "cut off": ("envelope-invalid", lambda: base64.b64encode(raw_of(drafted())[:-4]).decode()),
    "more behind it": ("envelope-invalid", lambda: base64.b64encode(raw_of(drafted()) + bytes(4)).decode()),
    "the old form": ("envelope-invalid", lambda: base64.b64encode(bytes(4) + raw_of(drafted())[8:]).decode()),
    "extra signers": ("envelope-invalid", lambda: signed(with_extra_signer(), ALICE)),
    "a payment": ("not-a-contract-call", lambda: signed(drafted(operations=[payment()], prepared=False), ALICE)),
    "a call and a payment": (
        "not-a-contract-call",
        lambda: signed(drafted(operations=[call_of(SECOND), payment()]), ALICE),
    ),
    "two calls": ("not-a-contract-call", lambda: signed(drafted(operations=[call_of(SECOND)] * 2), ALICE)),
    "an upload": ("not-a-contract-call", lambda: signed(drafted(operations=[upload()]), ALICE)),
    "a foreign contract": ("foreign-call", lambda: signed(drafted(FOREIGN), ALICE)),
    "administration": ("call-not-relayed", lambda: signed(drafted(function="upgrade"), ALICE)),
    "the other generation's function": ("call-not-relayed", lambda: signed(drafted(FIRST, "top_up"), ALICE)),
    "another source of the call": (
        "foreign-authorization",
        lambda: signed(drafted(operations=[call_of(SECOND, BOB.public_key)]), ALICE),
    ),
    "an authorization of another call": ("foreign-authorization", lambda: signed(drafted(auth=[other_call()]), ALICE)),
    "an unsigned authorization": (
        "foreign-authorization",
        lambda: signed(drafted(auth=[own_call(signed=False)]), ALICE),
    ),
    "an authorization that no delegate signed": (
        "foreign-authorization",
        lambda: signed(drafted(auth=[delegated_call(signed=False)]), ALICE),
    ),
    "no Soroban data": ("envelope-not-prepared", lambda: signed(drafted(prepared=False), ALICE)),
    "no time bounds": ("envelope-timeless", lambda: signed(drafted(bounds=None), ALICE)),
    "no end": ("envelope-timeless", lambda: signed(drafted(bounds=(NOW, 0)), ALICE)),
    "an end in two days": ("envelope-timeless", lambda: signed(drafted(bounds=(0, NOW + 172_800)), ALICE)),
    "expired": ("envelope-expired", lambda: signed(drafted(bounds=(0, NOW - 1)), ALICE)),
    "to come": ("envelope-not-yet-valid", lambda: signed(drafted(bounds=(NOW + 900, NOW + 1800)), ALICE)),
    "not signed": ("envelope-unsigned", lambda: signed(drafted())),
    "a stranger's signature": ("wrong-signer", lambda: signed(drafted(), STRANGER)),
    "a stranger's too": ("wrong-signer", lambda: signed(drafted(), ALICE, STRANGER)),
    "another network's": ("wrong-network", lambda: signed(drafted(passphrase=PUBNET), ALICE)),
    "a fee bump that nobody signed": ("envelope-unsigned", lambda: signed(bumped(inner(), BOB))),
    "a fee bump that a stranger signed": ("wrong-signer", lambda: signed(bumped(inner(), BOB), STRANGER)),
    "a fee bump around what is unsigned": ("envelope-unsigned", lambda: signed(bumped(drafted(), BOB), BOB)),
    "a fee bump of another network": ("wrong-network", lambda: signed(bumped(inner(PUBNET), BOB), BOB)),
}


def inner(passphrase: str = PASSPHRASE) -> TransactionEnvelope:
    envelope = drafted(passphrase=passphrase)
    envelope.sign(ALICE)
    return envelope


@pytest.mark.parametrize(("code", "text"), REFUSED.values(), ids=list(REFUSED))
def test_every_other_envelope_is_refused_by_its_own_name(code, text):
    assert refused(text()) == code


def test_every_refusal_there_is_has_its_envelope_here():
    assert {code for code, _ in REFUSED.values()} == {kind.code for kind in ENVELOPE_PROBLEMS}
    assert {kind.status for kind in ENVELOPE_PROBLEMS} == {422}


def test_an_envelope_that_was_changed_after_it_was_signed_is_refused():
    envelope = drafted()
    envelope.sign(ALICE)
    envelope.transaction.operations[0].host_function.invoke_contract.args = withdrawal(stream_id=4)
    assert refused(envelope.to_xdr()) == "wrong-signer"


@pytest.mark.parametrize("levels", [5, 50, *range(120, 245, 4)])
def test_however_deep_its_arguments_are_nested_it_passes_or_is_no_envelope(levels):
    deep = in_room(lambda: base64.b64encode(raw_of(nested(levels))).decode())
    assert refused(deep) in ({"envelope-unsigned"} if levels <= 50 else {"envelope-unsigned", "envelope-invalid"})
    text = in_room(lambda: signed(nested(levels), ALICE))
    assert refused(text) in ({None} if levels <= 50 else {None, "envelope-invalid"})


def in_room(make: Callable[[], str]) -> str:
    """Return what ``make`` returns, which may need more frames than the service has."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        return make()
    finally:
        sys.setrecursionlimit(limit)


def test_the_last_second_of_its_time_still_counts():
    text = signed(drafted(bounds=(0, NOW)), ALICE)
    assert refused(text) is None
    assert refused(text, now=NOW + 1) == "envelope-expired"


def test_a_signature_that_is_given_twice_counts_once_and_is_refused_as_the_network_would():
    envelope = drafted()
    envelope.sign(ALICE)
    envelope.signatures.append(envelope.signatures[0])
    assert refused(envelope.to_xdr()) == "wrong-signer"


def test_of_an_account_of_several_enough_have_to_sign():
    several = {ALICE.public_key: AccountSigners(0, Thresholds(0, 2, 4), {BOB.public_key: 1, CAROL.public_key: 2})}
    assert refused(signed(drafted(), BOB), signers=several) == "envelope-unsigned"
    assert refused(signed(drafted(), ALICE), signers=several) == "wrong-signer", "its master key was taken away"
    assert refused(signed(drafted(), ALICE, CAROL), signers=several) == "wrong-signer"
    for enough in ((CAROL,), (BOB, CAROL)):
        assert refused(signed(drafted(), *enough), signers=several) is None


def test_a_threshold_of_nothing_still_takes_a_signer_with_weight():
    none = {ALICE.public_key: AccountSigners(0, Thresholds(0, 0, 0), {})}
    assert refused(signed(drafted(), ALICE), signers=none) == "wrong-signer"


def test_a_fee_bump_takes_both_signatures_and_has_the_outer_hash():
    bump = bumped(inner(), BOB)
    text = signed(bump, BOB)
    envelope = parsed(text, PASSPHRASE)
    assert refused(text) is None
    assert envelope.hash == bump.hash_hex() != inner().hash_hex()
    assert envelope.account == ALICE.public_key
    assert envelope.accounts == [ALICE.public_key, BOB.public_key]


def test_paying_the_fee_takes_the_low_threshold_of_who_pays():
    payer = {BOB.public_key: AccountSigners(1, Thresholds(1, 5, 9), {})}
    assert refused(signed(bumped(inner(), BOB), BOB), signers=payer) is None
    payer = {BOB.public_key: AccountSigners(1, Thresholds(2, 2, 2), {})}
    assert refused(signed(bumped(inner(), BOB), BOB), signers=payer) == "envelope-unsigned"


def test_authorizations_of_its_own_call_pass():
    by_source = own_auth(raw_of(drafted()))
    assert refused(signed(drafted(auth=[by_source, own_call(signed=True)]), ALICE)) is None
    assert refused(signed(drafted(auth=[delegated_call(signed=True)]), ALICE)) is None


GOOD = raw_of(inner())


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(GOOD) - 1), bit=st.integers(0, 7))
def test_no_bit_can_be_changed_without_a_refusal(at, bit):
    """What is signed may not change; the hint of a signature, nothing of which is signed, may not either."""
    changed = bytearray(GOOD)
    changed[at] ^= 1 << bit
    assert refused(base64.b64encode(changed).decode()) is not None


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300).map(lambda tail: GOOD[:60] + tail))
def test_any_bytes_are_refused_as_no_envelope_and_break_nothing(raw):
    with pytest.raises(EnvelopeInvalidError):
        parsed(base64.b64encode(raw).decode(), PASSPHRASE)
