"""The envelope of a call that is only tried: XDR without a stellar_sdk, for simulations of reads.

Nobody signs or pays for such a call, so that its source is the account of zeros, which does not have to exist.
"""

from __future__ import annotations

from collections.abc import Sequence

from stellarstream_core.xdr.strkey import contract_id_bytes

LONGEST_NAME = 32
"""Characters of a function's name (``SCSymbol``)."""


def read_call_envelope(contract: str, function: str, arguments: Sequence[bytes] = ()) -> bytes:
    """Return the XDR of a ``TransactionEnvelope`` that calls a contract (C…); arguments are XDR of ScVals.

    Raises ``InvalidStrkeyError`` where ``contract`` is no contract id, and ``ValueError`` for a name no function has.
    """
    name = function.encode("ascii")
    if not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(f"{function!r:.80} is no function's name")
    return b"".join(
        (
            _word(2),  # ENVELOPE_TYPE_TX
            bytes(4 + 32),  # sourceAccount: an ed25519 key of zeros
            _word(100),  # fee
            (1).to_bytes(8, "big"),  # seqNum
            bytes(4),  # no preconditions
            bytes(4),  # no memo
            _word(1),  # one operation
            bytes(4),  # without a source of its own
            _word(24),  # INVOKE_HOST_FUNCTION
            bytes(4),  # HOST_FUNCTION_TYPE_INVOKE_CONTRACT
            _word(1),  # SC_ADDRESS_TYPE_CONTRACT
            contract_id_bytes(contract),
            _word(len(name)),
            name,
            bytes(-len(name) % 4),
            _word(len(arguments)),
            *arguments,
            bytes(4),  # no authorizations
            bytes(4),  # no extension
            bytes(4),  # no signatures
        )
    )


def _word(number: int) -> bytes:
    return number.to_bytes(4, "big")
