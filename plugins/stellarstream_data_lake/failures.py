"""What can go wrong with one object of a lake, beside what can go wrong with any endpoint."""

from __future__ import annotations

from stellarstream_core.endpoints.failures import AttemptError, UnreachableError, WrongAnswerError
from stellarstream_core.sources import Reason


class MissingError(AttemptError):
    """The lake says that it does not have the object."""

    reason = Reason.MISSING
    endpoint_fault = False


class RefusedError(UnreachableError):
    """The store does not let us read the object, or says so of one that is not there."""

    endpoint_fault = False


class DeniedError(RefusedError):
    """The store refuses us whatever we ask for: wrong credentials, no such bucket, another region."""


class DamagedError(WrongAnswerError):
    """The object is not what its name says: truncated, corrupt, empty, or with other ledgers in it."""
