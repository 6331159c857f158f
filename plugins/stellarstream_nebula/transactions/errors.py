"""Every way in which a transaction is not built or not relayed, each with a code of its own.

Messages name accounts, contracts and functions, never an envelope: what a wallet signed is in no log.
"""

from __future__ import annotations

from stellarstream_core.api.problems import ApiProblem

# --- the chain ------------------------------------------------------------------------------


class ChainUnavailableError(ApiProblem):
    """The network cannot be asked: no access is configured, or nobody answers."""

    code = "chain-unavailable"
    title = "Network cannot be asked"
    status = 503
    retry_after = 5
    help = "Try again after as many seconds as Retry-After says; a transaction that is signed already stays good."


class AccountNotFoundError(ApiProblem):
    """The account is not on the chain, so it cannot be the source of a transaction."""

    code = "account-not-found"
    title = "Account not on the network"
    status = 422
    help = "Fund the account with the network's native token first: that creates it."


class SequenceUsedUpError(ApiProblem):
    """The account's sequence number is the last that 64 bits hold: it cannot be the source of anything any more."""

    code = "sequence-used-up"
    title = "No sequence number left"
    status = 422
    help = "Use another account; merging this one moves its balance."


# --- building -------------------------------------------------------------------------------


class ContractNotServedError(ApiProblem):
    """The contract is none of those whose streams this service knows."""

    code = "contract-not-served"
    title = "Contract not served"
    status = 422
    help = "Leave 'contractId' out, or name one of the served contracts."


class ContractNotCallableError(ApiProblem):
    """The contract's streams are served, but this service does not know how to call it."""

    code = "contract-not-callable"
    title = "No transactions for this contract"
    status = 422
    help = "Its streams can be read here. Call it with the tools of whoever published it."


class ContractAmbiguousError(ApiProblem):
    """Several contracts could be meant, and none is the default."""

    code = "contract-ambiguous"
    title = "Which contract?"
    status = 422
    help = "Name one of them in 'contractId'; a bare stream number is enough only where one contract is served."


class UnsupportedFieldError(ApiProblem):
    """The contract has no place for a field that was given; it is refused rather than left out."""

    code = "unsupported-field"
    title = "Field not supported by the contract"
    status = 422
    help = "Leave the field out, or name another contract in 'contractId'."


class InvalidTermsError(ApiProblem):
    """A stream with these terms cannot be: times that do not follow each other, or numbers too large."""

    code = "invalid-terms"
    title = "Impossible terms"
    status = 422
    help = "Each field is named in 'errors'."


class PartialWithdrawalUnsupportedError(ApiProblem):
    """The contract pays out everything that is unlocked, and takes no amount."""

    code = "partial-withdrawal-unsupported"
    title = "Partial withdrawal not supported"
    status = 422
    help = "Leave 'amount' out: everything withdrawable is paid out."


class NoVaultError(ApiProblem):
    """Yield is asked for, and no vault is configured for the token."""

    code = "no-vault"
    title = "No vault for this token"
    status = 422
    help = "Leave 'yieldEnabled' out, or ask the operator to name a vault for the token ([plugins.nebula] vaults)."


class SimulationFailedError(ApiProblem):
    """The call would fail on the chain as it is now. ``contractError`` names the contract's own error, if it is one."""

    code = "simulation-failed"
    title = "The call would fail"
    status = 422
    help = ""


class RestoreNeededError(ApiProblem):
    """Entries that the call needs are archived, and must be restored by a transaction of its own first."""

    code = "restore-needed"
    title = "Archived entries in the way"
    status = 409
    help = "Restore them (RestoreFootprint, which a wallet or the stellar command line can do), then ask again."


class OtherSignersNeededError(ApiProblem):
    """The call needs the authorization of others than the account it was built for."""

    code = "other-signers-needed"
    title = "Others have to sign as well"
    status = 422
    help = "This service builds what one account can sign alone."


# --- relaying -------------------------------------------------------------------------------


class EnvelopeError(ApiProblem):
    """Base of what is wrong with an envelope. Nothing of it was sent."""

    status = 422


class EnvelopeInvalidError(EnvelopeError):
    """The text is no envelope of a transaction (version 1, or a fee bump around one) in base64."""

    code = "envelope-invalid"
    title = "Not a transaction"
    help = "Send the signed TransactionEnvelope as the wallet returned it: XDR in base64."


class NotAContractCallError(EnvelopeError):
    """The transaction is something else than one call of a contract."""

    code = "not-a-contract-call"
    title = "Not a contract call"
    help = "Only transactions of exactly one contract call are relayed; hand others in at the network itself."


class ForeignCallError(EnvelopeError):
    """The call goes to a contract that this service does not serve."""

    code = "foreign-call"
    title = "Call of another contract"
    help = "Only calls of the served contracts are relayed; hand others in at the network itself."


class CallNotRelayedError(EnvelopeError):
    """The contract is served, but the function is not one that wallets call through this service."""

    code = "call-not-relayed"
    title = "Function not relayed"
    help = "docs/transactions.md lists the functions that are relayed."


class ForeignAuthorizationError(EnvelopeError):
    """The transaction carries an authorization for something else than its own call, or one that nobody signed."""

    code = "foreign-authorization"
    title = "Authorization of something else"
    help = "Build the transaction again, and sign only what belongs to its call."


class EnvelopeNotPreparedError(EnvelopeError):
    """The transaction has no Soroban data, so the network would not take it."""

    code = "envelope-not-prepared"
    title = "Transaction not prepared"
    help = "Sign the transaction that POST /streams and its like return, or simulate and assemble your own."


class EnvelopeTimelessError(EnvelopeError):
    """The transaction has no end, or one so far away that nobody could say what became of it."""

    code = "envelope-timeless"
    title = "Transaction without an end"
    help = "Set time bounds that end within a day."


class EnvelopeExpiredError(EnvelopeError):
    """The time in which the transaction could be applied is over."""

    code = "envelope-expired"
    title = "Transaction expired"
    help = "Build it again, and sign and submit it before 'validUntil'."


class EnvelopeNotYetValidError(EnvelopeError):
    """The time in which the transaction can be applied has not begun."""

    code = "envelope-not-yet-valid"
    title = "Transaction not valid yet"
    help = "Submit it once its time has begun."


class EnvelopeUnsignedError(EnvelopeError):
    """Nobody has signed, or not those who must, with the weight that it takes."""

    code = "envelope-unsigned"
    title = "Not signed"
    help = "Let the wallet of the transaction's source account sign it, with every signer that its thresholds ask for."


class WrongSignerError(EnvelopeError):
    """A signature is nobody's who may sign for the source account."""

    code = "wrong-signer"
    title = "Signed by somebody else"
    help = "Sign with the source account's own key or its signers, each once, and nobody else."


class WrongNetworkError(EnvelopeError):
    """The transaction is signed for another network."""

    code = "wrong-network"
    title = "Signed for another network"
    help = "Sign with 'networkPassphrase' as it was given with the transaction."


class AlreadyAppliedError(EnvelopeError):
    """The account's sequence number that the transaction needs is used up: it is in a ledger already, or never will be.

    Only routes answer this for which it matters that the transaction was handed in before it was applied.
    """

    code = "already-applied"
    title = "Transaction applied already"
    status = 409
    help = "Look at the account's transactions. Build a new one only if it was another that used the number up."


class TooManyPendingError(ApiProblem):
    """As many transactions of one account wait as may. Nothing of this one was stored or sent."""

    code = "too-many-pending"
    title = "Too many transactions of one account wait"
    status = 429
    retry_after = 5
    help = "Submit it again when some of them are in a ledger, or their time is over."


class TransactionNotFoundError(ApiProblem):
    """No transaction of this hash was relayed here, and none of the indexed events is of it."""

    code = "transaction-not-found"
    title = "Transaction not known"
    status = 404
    help = "Ask with the hash that POST /transactions returned; others are known once their events are indexed."


CHAIN_PROBLEMS: tuple[type[ApiProblem], ...] = (ChainUnavailableError, AccountNotFoundError)
BUILD_PROBLEMS: tuple[type[ApiProblem], ...] = (
    *CHAIN_PROBLEMS,
    ContractNotServedError,
    ContractNotCallableError,
    ContractAmbiguousError,
    SimulationFailedError,
    RestoreNeededError,
    OtherSignersNeededError,
    SequenceUsedUpError,
)
"""What every route that builds may answer."""
ENVELOPE_PROBLEMS: tuple[type[ApiProblem], ...] = (
    EnvelopeInvalidError,
    NotAContractCallError,
    ForeignCallError,
    CallNotRelayedError,
    ForeignAuthorizationError,
    EnvelopeNotPreparedError,
    EnvelopeTimelessError,
    EnvelopeExpiredError,
    EnvelopeNotYetValidError,
    EnvelopeUnsignedError,
    WrongSignerError,
    WrongNetworkError,
)
"""What an envelope may be refused for."""
