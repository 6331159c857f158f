"""What a wallet hands in: taken apart and checked, before anything is stored or sent.

Three steps: :func:`parsed` reads the bytes, :func:`check` looks at what they would do, :func:`check_signatures`
at who signed. Only the last needs to know what the chain says of an account. stellar-sdk reads the XDR.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stellarstream_core.settings import NETWORKS
from stellarstream_core.xdr.account import AccountSigners
from stellarstream_nebula.transactions.calls import RELAYED
from stellarstream_nebula.transactions.errors import (
    CallNotRelayedError,
    EnvelopeError,
    EnvelopeExpiredError,
    EnvelopeInvalidError,
    EnvelopeNotPreparedError,
    EnvelopeNotYetValidError,
    EnvelopeTimelessError,
    EnvelopeUnsignedError,
    ForeignAuthorizationError,
    ForeignCallError,
    NotAContractCallError,
    WrongNetworkError,
    WrongSignerError,
)

if TYPE_CHECKING:
    from stellar_sdk import FeeBumpTransactionEnvelope, TransactionEnvelope

MOST_BYTES = 32 * 1024
"""Bytes of an envelope: a call that creates a stream has some 2,000, ten streams at once some 20,000."""
MOST_SIGNATURES = 20
"""A transaction has room for so many (``DecoratedSignature signatures<20>``)."""
LONGEST_SECONDS = 24 * 3600
"""How far ahead a transaction may end: until then it has to be followed."""
CLOCK_SECONDS = 60
"""How far clocks may differ where a transaction begins in the future."""

_TX_V0, _TX, _TX_FEE_BUMP = (number.to_bytes(4, "big") for number in (0, 2, 5))


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction whose signatures one account's signers must have given, with a weight of ``high`` or ``low`` kind.

    ``medium``: it takes the medium threshold (operations that are no mere fee), else the low one.
    """

    account: str
    envelope: TransactionEnvelope | FeeBumpTransactionEnvelope
    medium: bool


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope taken apart. ``hash`` is what the network will call it: of a fee bump the outer one.

    ``account`` (G…) is the source of the call, ``sequence`` the number of it that the call uses up, ``contract``
    and ``function`` what is called with ``arguments`` (XDR of ScVals), ``valid_until`` Unix seconds, 0 where it
    has no end. ``signed`` are the parts to check
    signatures of: the transaction, and the fee bump around it.
    """

    raw: bytes
    hash: str
    account: str
    sequence: int
    contract: str
    function: str
    arguments: tuple[bytes, ...]
    valid_from: int
    valid_until: int
    prepared: bool
    signed: tuple[Signed, ...]

    @property
    def accounts(self) -> list[str]:
        """The accounts whose signers have to be known."""
        return list(dict.fromkeys(part.account for part in self.signed))


def parsed(text: str, passphrase: str) -> Envelope:
    """Return the envelope of a base64 text, whatever it calls and whoever signed it.

    Raises ``EnvelopeInvalidError`` where it is none, ``NotAContractCallError`` where it is no single contract
    call, and ``ForeignAuthorizationError`` where it carries an authorization that is not for that call.
    """
    raw = _decoded(text)
    from stellar_sdk import FeeBumpTransactionEnvelope, TransactionEnvelope  # noqa: PLC0415 - 600 ms to import

    outer: FeeBumpTransactionEnvelope | None = None
    try:
        canonical = binascii.b2a_base64(raw, newline=False).decode()
        if raw[:4] == _TX_FEE_BUMP:
            outer = FeeBumpTransactionEnvelope.from_xdr(canonical, passphrase)
            inner = outer.transaction.inner_transaction_envelope
        else:
            inner = TransactionEnvelope.from_xdr(canonical, passphrase)
        same = (outer or inner).to_xdr() == canonical  # the SDK reads over padding that is not zero
        if not same:
            raise EnvelopeInvalidError("The text is not the XDR of a transaction as the network writes it.")
        return _taken_apart(raw, (outer or inner).hash_hex(), inner, outer)
    except EnvelopeError:
        raise
    except Exception:  # the SDK raises whatever its parts raise at bytes that are no XDR, RecursionError too
        raise EnvelopeInvalidError("The text is not the XDR of a transaction.") from None


def _decoded(text: str) -> bytes:
    if len(text) > (MOST_BYTES + 2) // 3 * 4 + 2:
        raise EnvelopeInvalidError(f"An envelope may have {MOST_BYTES:,} bytes.")
    try:
        raw = b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise EnvelopeInvalidError("The text is not base64.") from None
    if raw[:4] == _TX_V0:
        raise EnvelopeInvalidError("The transaction is in the old form (version 0).", help="Make one of version 1.")
    if raw[:4] not in {_TX, _TX_FEE_BUMP}:
        raise EnvelopeInvalidError("The text is not the XDR of a transaction.")
    return raw


def _taken_apart(
    raw: bytes, digest: str, inner: TransactionEnvelope, outer: FeeBumpTransactionEnvelope | None
) -> Envelope:
    transaction = inner.transaction
    contract, function, arguments = _call(transaction)
    conditions = transaction.preconditions
    if conditions is not None and conditions.extra_signers:
        raise EnvelopeInvalidError("The transaction asks for extra signers.", help="Leave them out.")
    bounds = conditions.time_bounds if conditions is not None else None
    account = str(transaction.source.account_id)
    signed = [Signed(account, inner, medium=True)]
    if outer is not None:
        signed.append(Signed(str(outer.transaction.fee_source.account_id), outer, medium=False))
    if any(len(part.envelope.signatures) > MOST_SIGNATURES for part in signed):
        raise EnvelopeInvalidError("The transaction has too many signatures.")
    return Envelope(
        raw=raw,
        hash=digest,
        account=account,
        sequence=transaction.sequence,
        contract=contract,
        function=function,
        arguments=arguments,
        valid_from=bounds.min_time if bounds is not None else 0,
        valid_until=bounds.max_time if bounds is not None else 0,
        prepared=transaction.soroban_data is not None,
        signed=tuple(signed),
    )


def _call(transaction: Any) -> tuple[str, str, tuple[bytes, ...]]:
    """Return contract, function and arguments of a transaction that is one contract call and nothing else."""
    from stellar_sdk import Address, xdr  # noqa: PLC0415 - 600 ms to import
    from stellar_sdk.operation import InvokeHostFunction  # noqa: PLC0415 - 600 ms to import

    if len(transaction.operations) != 1 or not isinstance(transaction.operations[0], InvokeHostFunction):
        raise NotAContractCallError("The transaction is not exactly one contract call.")
    operation = transaction.operations[0]
    call = operation.host_function.invoke_contract
    if call is None:
        raise NotAContractCallError("The transaction uploads or creates a contract instead of calling one.")
    if operation.source is not None and operation.source != transaction.source:
        raise ForeignAuthorizationError("The call's source is another account than the transaction's.")
    try:
        contract = Address.from_xdr_sc_address(call.contract_address).address
        function = call.function_name.sc_symbol.decode("ascii")
    except ValueError:
        raise NotAContractCallError("What is called is no contract's function.") from None
    own = call.to_xdr_bytes()  # bytes are compared: comparing what is nested takes a call for each level
    for entry in operation.auth:
        root = entry.root_invocation.function.contract_fn
        if root is None or root.to_xdr_bytes() != own:
            raise ForeignAuthorizationError("The transaction authorizes another call than its own.")
        kind = entry.credentials.type
        if kind == xdr.SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT:
            continue
        delegated = entry.credentials.address_with_delegates
        given = entry.credentials.address or entry.credentials.address_v2
        given = given if delegated is None else delegated.address_credentials
        signatures = [given.signature] if given is not None else []
        signatures += [delegate.signature for delegate in delegated.delegates] if delegated is not None else []
        if given is not None and all(signature.type == xdr.SCValType.SCV_VOID for signature in signatures):
            raise ForeignAuthorizationError(
                f"The authorization of {Address.from_xdr_sc_address(given.address).address} is not signed."
            )
    return contract, function, tuple(argument.to_xdr_bytes() for argument in call.args)


def check(envelope: Envelope, families: Mapping[str, str], now: float) -> None:
    """Return where an envelope is what the service relays at ``now`` (Unix seconds).

    ``families`` are those of the served contracts. Raises the ``EnvelopeError`` that says why not. Signatures are
    not looked at.
    """
    family = families.get(envelope.contract)
    if family is None:
        raise ForeignCallError(f"The contract {envelope.contract} is not served here.")
    if envelope.function not in RELAYED.get(family, ()):
        raise CallNotRelayedError(f"Calls of {envelope.function!r:.40} are not relayed.")
    if not envelope.prepared:
        raise EnvelopeNotPreparedError("The transaction has no Soroban data.")
    if not envelope.valid_until:
        raise EnvelopeTimelessError("The transaction has no end.")
    if envelope.valid_until < now:
        raise EnvelopeExpiredError("The transaction's time is over.")
    if envelope.valid_until > now + LONGEST_SECONDS:
        raise EnvelopeTimelessError("The transaction ends more than a day from now.")
    if envelope.valid_from > now + CLOCK_SECONDS:
        raise EnvelopeNotYetValidError("The transaction's time has not begun.")
    for part in envelope.signed:
        if not part.envelope.signatures:
            what = "The transaction" if part.medium else "The fee bump around the transaction"
            raise EnvelopeUnsignedError(f"{what} is not signed.")


def check_signatures(envelope: Envelope, signers: Mapping[str, AccountSigners]) -> None:
    """Return where every part is signed by those who may, with enough weight, and by nobody else.

    ``signers`` are of :attr:`Envelope.accounts`. The network's own rule: each signature must be of one signer,
    each signer counts once, and a signature that is nobody's makes the transaction invalid (``txBAD_AUTH_EXTRA``).
    Signers that are no plain key count for nothing. Raises ``WrongNetworkError``, ``WrongSignerError``,
    ``EnvelopeUnsignedError``, and ``EnvelopeInvalidError`` where it is nested too deeply to be hashed here.
    """
    try:
        for part in envelope.signed:
            _check_part(part, signers[part.account])
    except RecursionError:
        raise EnvelopeInvalidError("The transaction's arguments are nested too deeply.") from None


def _check_part(part: Signed, who: AccountSigners) -> None:
    weights = {**who.signers, part.account: who.master_weight}
    weights = {key: weight for key, weight in weights.items() if weight > 0}
    found = _signed_by(part.envelope, weights)
    if len(found) < len(part.envelope.signatures):
        if network := _other_network(part.envelope, {*weights, part.account}):
            raise WrongNetworkError(f"The transaction is signed for the network {network!r}.")
        raise WrongSignerError(f"A signature is nobody's who may sign for {part.account}, or is given twice.")
    needed = who.thresholds.medium if part.medium else who.thresholds.low
    # the network takes a threshold of 0 as: any signer
    if sum(weights[key] for key in found.values()) < max(needed, 1):
        raise EnvelopeUnsignedError(f"The signers of {part.account} have not signed with enough weight.")


def _signed_by(envelope: Any, keys: Collection[str], passphrase: str | None = None) -> dict[int, str]:
    """Return which signature, by index, is which key's (G…): each key once. For this network or another one."""
    from stellar_sdk import Keypair  # noqa: PLC0415 - 600 ms to import
    from stellar_sdk.exceptions import BadSignatureError  # noqa: PLC0415 - 600 ms to import

    if passphrase is not None:
        envelope = type(envelope)(envelope.transaction, passphrase, envelope.signatures)
    digest = envelope.hash()
    found: dict[int, str] = {}
    for account in keys:
        key = Keypair.from_public_key(account)
        for index, signature in enumerate(envelope.signatures):
            if index in found or signature.signature_hint != key.signature_hint():
                continue
            try:
                key.verify(digest, signature.signature)
            except BadSignatureError:
                continue
            found[index] = account
            break
    return found


def _other_network(envelope: Any, keys: Collection[str]) -> str | None:
    for name, network in NETWORKS.items():
        if network.passphrase != envelope.network_passphrase and _signed_by(envelope, keys, network.passphrase):
            return name
    return None
