"""The caller's signer: whose it is, and a signature of its."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nebula_client._core.effects import Ask, Operation
from nebula_client._core.envelope import Envelope, EnvelopeError
from nebula_client.errors import ConfigurationError, NebulaError, SignerMissingError, SigningError
from nebula_client.errors import TransactionMismatchError as MismatchError
from nebula_client.signing import AnySigner

_NO_SIGNER = (
    "This call has something signed: pass signer= to it or to the client, with a method "
    "sign_transaction(xdr, network_passphrase=…, address=…). For a secret key there is SecretKeySigner."
)


def signer_of(signer: AnySigner | None, default: AnySigner | None) -> AnySigner:
    """Return who signs. Raises :class:`SignerMissingError`."""
    found = default if signer is None else signer
    if found is None:
        raise SignerMissingError(_NO_SIGNER)
    if not callable(getattr(found, "sign_transaction", None)):
        raise ConfigurationError(f"A {type(found).__name__} is no signer: it has no method sign_transaction.")
    return found


def account_of(signer: AnySigner, account: str | None) -> Operation[str | None]:
    """Return whose transactions a signer signs; ``account`` is what the caller said. None where nothing tells it."""
    if account is not None:
        return account
    known = getattr(signer, "public_key", None)
    if isinstance(known, str):
        return known
    if not callable(method := getattr(signer, "get_address", None)):
        return None
    answer = yield from _asked(method)
    found = _member(answer, "address")
    if not isinstance(found, str):
        raise SigningError("The signer's get_address() returned no address.")
    return found


def sign(signer: AnySigner, xdr: str, passphrase: str, account: str | None) -> Operation[str]:
    """Have a transaction signed, and return it: the same one, with signatures added."""
    try:
        wanted = Envelope.read(xdr)
    except EnvelopeError as error:
        raise MismatchError(f"What the service gave to sign is no transaction that can be checked: {error}.") from error
    answer = yield from _asked(lambda: signer.sign_transaction(xdr, network_passphrase=passphrase, address=account))
    signed = _member(answer, "signed_tx_xdr", "signedTxXdr")
    if not isinstance(signed, str) or _member(answer, "error", default=None):
        raise SigningError("The signer gave back no signed transaction.")
    expected = wanted.hash(passphrase)
    try:
        found = Envelope.read(signed)
    except EnvelopeError as error:
        message = f"The signer gave back something else than the transaction it was given: {error}."
        raise MismatchError(message, expected=expected) from None
    if found.body != wanted.body:
        message = "The signer changed the transaction. It was not handed in."
        raise MismatchError(message, expected=expected, tx_hash=found.hash(passphrase))
    if len(found.signatures) <= len(wanted.signatures):
        raise SigningError("The signer added no signature.")
    return signed


def _asked(call: Callable[[], object]) -> Operation[object]:
    """Call a wallet: what it raises is kept as the cause, and not shown, for it may hold what was to be signed."""
    try:
        answer: object = yield Ask(call)
    except NebulaError:
        raise
    except Exception as error:
        raise SigningError(f"The signer refused or failed ({type(error).__name__}).") from error
    return answer


_NOTHING = object()


def _member(answer: object, *names: str, default: object = _NOTHING) -> object:
    """Return a member of what a wallet answers, whatever kind of object it is; a plain string stands for itself."""
    if isinstance(answer, str):
        return answer if default is _NOTHING else default
    for name in names:
        found = answer.get(name) if isinstance(answer, Mapping) else getattr(answer, name, None)
        if found is not None:
            return found
    return None
