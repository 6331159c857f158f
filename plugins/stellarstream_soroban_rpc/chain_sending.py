"""Handing in a transaction: what an answer means once an earlier try ended without one.

A try that fails after the request was on its way may have been taken: the node may have passed the
transaction on and lost the connection before it could say so. From then on "it was handed in before" is no
surprise, and most refusals say nothing: a bad sequence number is just what a transaction has that was applied.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace

from stellarstream_core.chain import SendStatus, Sent
from stellarstream_core.errors import SourceError, SourceUnavailableError
from stellarstream_soroban_rpc.failures import METHOD_NOT_FOUND, AttemptError, NobodyListensError, RpcError

_NEVER_VALID = frozenset({-2, -4, -6, -10, -12, -16, -17})
"""``TransactionResultCode`` of what no ledger can have taken shortly before: txTOO_EARLY, txMISSING_OPERATION,
txBAD_AUTH, txBAD_AUTH_EXTRA, txNOT_SUPPORTED, txMALFORMED, txSOROBAN_INVALID. Core looks at the sequence number
before it looks at signatures."""


class Handing:
    """One transaction that is handed in, perhaps several times. ``unsure``: a try may have been taken."""

    def __init__(self) -> None:
        self.unsure = False

    async def attempt(self, answer: Awaitable[Sent]) -> Sent:
        """Return one try's answer, and remember where a failure leaves open whether it was taken."""
        try:
            return await answer
        except NobodyListensError:
            raise
        except AttemptError as error:
            if not (isinstance(error, RpcError) and error.rpc_code == METHOD_NOT_FOUND):
                self.unsure = True
            raise
        except SourceError:  # the node does not take such a transaction
            raise
        except BaseException:  # the time is over
            self.unsure = True
            raise

    def meaning(self, sent: Sent) -> Sent:
        """Return an answer as it is to be read after the tries before it."""
        if not self.unsure or sent.status is SendStatus.PENDING:
            return sent
        if sent.status is SendStatus.ERROR and _code(sent.result) in _NEVER_VALID:
            return sent
        return replace(sent, status=SendStatus.PENDING)

    def failure(self, error: SourceError) -> SourceError:
        """Return what is raised where no try was answered."""
        if not self.unsure:
            return error
        return SourceUnavailableError(
            f"{error.message} The transaction may have been taken all the same.",
            help="Ask for it by its hash, or hand in the same again: it is applied at most once.",
        )


def _code(result: bytes | None) -> int | None:
    """Return the ``TransactionResultCode``, which stands behind the fee."""
    return int.from_bytes(result[8:12], "big", signed=True) if result else None
