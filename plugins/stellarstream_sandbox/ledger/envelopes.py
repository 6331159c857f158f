"""Signed transactions: the envelope's XDR and the hash by which everyone knows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from stellarstream_core.xdr.strkey import decode
from stellarstream_sandbox.economy.activity import Call, Intent, Payment
from stellarstream_sandbox.economy.calls import Invocation
from stellarstream_sandbox.identity import Directory, Keypair, account_id
from stellarstream_sandbox.ledger.fees import BASE_FEE
from stellarstream_sandbox.pack import ONE, ZERO, array, i64, opaque, u32, u64
from stellarstream_sandbox.scval import address, encode, symbol

_TX = u32(2)
_TX_FEE_BUMP = u32(5)
_PRECOND_TIME = ONE
_MEMO_TEXT = ONE
_OP_PAYMENT = u32(1)
_OP_INVOKE_HOST_FUNCTION = u32(24)
_HOST_FUNCTION_INVOKE = ZERO
_CREDENTIALS_SOURCE_ACCOUNT = ZERO
_AUTHORIZED_CONTRACT_FN = ZERO
_KEY_ACCOUNT = ZERO
_KEY_CONTRACT_DATA = u32(6)
_CONTRACT_INSTANCE = u32(20)
_PERSISTENT = ONE
_VALID_FOR = 300


@dataclass(frozen=True, slots=True)
class Transaction:
    """A signed transaction.

    ``hash`` is the outer one of a fee bump, ``inner_hash`` then the inner one. ``inclusion_fee`` and
    ``resource_fee`` (0 for a classic transaction) are what its payer is charged at first, in stroops.
    ``operations`` counts them, ``is_soroban`` tells whether it calls a contract.
    """

    payer: str
    envelope: bytes
    hash: bytes
    inner_hash: bytes | None
    inclusion_fee: int
    resource_fee: int
    operations: int
    is_soroban: bool


class Signer:
    """Turns intents into signed transactions of one network."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def sign(
        self,
        intent: Intent,
        sequence_number: int,
        close_time: int,
        resource_fee: int = 0,
        pulls: Sequence[Invocation] = (),
    ) -> Transaction:
        """Return the signed transaction.

        ``resource_fee`` (stroops) is what a contract call declares, ``pulls`` the calls below it
        that its source authorises as well.
        """
        keys = self._directory.keys_of(intent.source)
        body = _body(intent, keys, sequence_number, close_time, resource_fee, pulls)
        inner_hash = self._hash(_TX, body)
        inner = body + _signatures(keys, inner_hash)
        count, is_soroban = intent.operations, isinstance(intent, Call)
        if intent.sponsor is None:
            fee = BASE_FEE * intent.operations
            return Transaction(intent.source, _TX + inner, inner_hash, None, fee, resource_fee, count, is_soroban)
        sponsor = self._directory.keys_of(intent.sponsor)
        bump = b"".join((_muxed(sponsor), i64(4 * BASE_FEE * intent.operations + resource_fee), _TX, inner, ZERO))
        outer_hash = self._hash(_TX_FEE_BUMP, bump)
        envelope = _TX_FEE_BUMP + bump + _signatures(sponsor, outer_hash)
        # A fee bump counts as one operation more.
        fee = BASE_FEE * (intent.operations + 1)
        return Transaction(intent.sponsor, envelope, outer_hash, inner_hash, fee, resource_fee, count, is_soroban)

    def _hash(self, envelope_type: bytes, body: bytes) -> bytes:
        return sha256(self._directory.network + envelope_type + body).digest()


def _body(
    intent: Intent,
    keys: Keypair,
    sequence_number: int,
    close_time: int,
    resource_fee: int,
    pulls: Sequence[Invocation],
) -> bytes:
    if isinstance(intent, Payment):
        memo = ZERO if intent.memo is None else _MEMO_TEXT + opaque(intent.memo)
        operations = [ZERO + _payment(intent, target, amount) for target, amount in intent.transfers]
        extension = ZERO
    else:
        memo = ZERO
        operations = [ZERO + _invocation(intent, pulls)]
        extension = ONE + _soroban_data(intent, resource_fee)
    return b"".join(
        (
            _muxed(keys),
            u32(BASE_FEE * intent.operations + resource_fee),
            i64(sequence_number),
            _PRECOND_TIME + u64(0) + u64(close_time + _VALID_FOR),
            memo,
            array(operations),
            extension,
        )
    )


def _payment(payment: Payment, target: str, amount: int) -> bytes:
    asset = payment.token.asset
    if asset is None:
        raise ValueError(f"{payment.token.name} is no classic asset")
    return _OP_PAYMENT + ZERO + decode(target)[1] + asset.xdr + i64(amount)


def _invocation(call: Call, pulls: Sequence[Invocation]) -> bytes:
    target = _invoke_args(call.invocation)
    auth = ZERO
    if call.authorised:
        below = array([_AUTHORIZED_CONTRACT_FN + _invoke_args(pull) + ZERO for pull in pulls])
        auth = ONE + _CREDENTIALS_SOURCE_ACCOUNT + _AUTHORIZED_CONTRACT_FN + target + below
    return _OP_INVOKE_HOST_FUNCTION + _HOST_FUNCTION_INVOKE + target + auth


def _invoke_args(invocation: Invocation) -> bytes:
    args = array([encode(arg) for arg in invocation.args])
    return address(invocation.contract) + symbol(invocation.function) + args


def _soroban_data(call: Call, resource_fee: int) -> bytes:
    instance = _KEY_CONTRACT_DATA + address(call.invocation.contract) + _CONTRACT_INSTANCE + _PERSISTENT
    source = _KEY_ACCOUNT + account_id(call.source)
    footprint = array([instance]) + array([source])
    resources = footprint + u32(2_500_000) + u32(1_000) + u32(2_000)
    return ZERO + resources + i64(resource_fee)


def sign(network: bytes, body: bytes, signers: Sequence[Keypair]) -> bytes:
    """Return the envelope of a ``Transaction`` (XDR), signed by each of these for the network of this id."""
    signed = sha256(network + _TX + body).digest()
    return _TX + body + array([keys.hint + opaque(keys.sign(signed)) for keys in signers])


def _muxed(keys: Keypair) -> bytes:
    return ZERO + keys.public


def _signatures(keys: Keypair, message: bytes) -> bytes:
    return ONE + keys.hint + opaque(keys.sign(message))
