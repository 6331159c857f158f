"""The error hierarchy: every known failure is a class that says what happened and what to do.

The command line prints ``title``, the message and ``help`` without a traceback and exits with
``exit_code``; the API will render the same ``code`` as a problem (RFC 9457).
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from stellarstream_core.certificates import Breach


class ExitCode(IntEnum):
    """Exit codes of the ``stellarstream`` command."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    INCOMPLETE = 3
    CONFLICT = 4


class StellarStreamError(Exception):
    """Base of every error StellarStream raises on purpose.

    Subclasses set ``code`` (stable, kebab-case), ``title`` (what kind of thing happened) and
    ``help`` (what to do about it); the message given to the constructor says what exactly.
    """

    code: ClassVar[str] = "unexpected"
    title: ClassVar[str] = "Unexpected error"
    exit_code: ClassVar[ExitCode] = ExitCode.UNEXPECTED
    help: str = ""

    def __init__(self, message: str, *, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if help is not None:
            self.help = help

    def __str__(self) -> str:
        return self.message


# --- usage and configuration: exit code 2 ---------------------------------------------------


class UsageError(StellarStreamError):
    """The command was asked for something that makes no sense."""

    code = "usage"
    title = "Cannot do that"
    exit_code = ExitCode.USAGE


class SettingsError(UsageError):
    """A setting is unknown, of the wrong type, or contradicts another one."""

    code = "settings"
    title = "Bad setting"
    help = "Settings come from stellarstream.toml, then STELLARSTREAM_* variables, then flags."


class InvalidRangeError(UsageError):
    """A ledger range is reversed, negative or outside what a ledger sequence can be."""

    code = "invalid-range"
    title = "Bad ledger range"


class InvalidStrkeyError(UsageError):
    """A strkey (SEP-23) has the wrong alphabet, length, version byte or checksum."""

    code = "invalid-strkey"
    title = "Bad address"
    help = "Copy the address again: its last characters are a checksum over the others."


class PluginError(UsageError):
    """A plugin that was asked for is not installed, not allowed, or broken."""

    code = "plugin"
    title = "Plugin not available"
    help = "Run 'stellarstream plugins' to see which plugins are installed and which are broken."


class NetworkMismatchError(UsageError):
    """A source, or the database, belongs to another Stellar network."""

    code = "wrong-network"
    title = "Wrong network"


class NetworkResetError(UsageError):
    """The network's history is not the one that is stored: it was reset, or is another chain."""

    code = "network-reset"
    title = "Network reset"
    help = "Keep the old database as it is and point 'database_url' at a new one for the new history."


class SourceUnusableError(UsageError):
    """A source can never serve this deployment as it is configured."""

    code = "source-unusable"
    title = "Source cannot be used"


# --- storage --------------------------------------------------------------------------------


class StorageError(UsageError):
    """The database cannot be opened, read or written."""

    code = "storage"
    title = "Database problem"


class SchemaError(StorageError):
    """The database's schema is older or newer than this code."""

    code = "schema"
    title = "Database schema"


class StorageBusyError(StorageError):
    """The database has no turn left: a write waited longer than it may, or too many read at once.

    Nothing was changed; the same call may succeed a moment later.
    """

    code = "storage-busy"
    title = "Database busy"
    help = "Try again in a moment."


class LeadershipError(UsageError):
    """Another process already follows the tip into this database."""

    code = "already-following"
    title = "Already following"
    help = "Stop the other 'sync --follow' first, or let it run: one follower per database is enough."


class SyncInterruptedError(StellarStreamError):
    """A sync was stopped before it knew what to do."""

    code = "interrupted"
    title = "Interrupted"
    exit_code = ExitCode.INCOMPLETE


# --- data -----------------------------------------------------------------------------------


class XdrError(StellarStreamError):
    """Bytes are not the XDR they should be: truncated, padded wrongly, too deep, trailing."""

    code = "bad-xdr"
    title = "Malformed XDR"


class ProtocolUpgradeNeededError(XdrError):
    """XDR holds a union arm that this version does not know; nothing is skipped over it."""

    code = "protocol-upgrade-needed"
    title = "Protocol upgrade needed"
    help = "The network uses a newer protocol than this release knows: upgrade stellarstream."


class InvalidEventError(StellarStreamError):
    """An event contradicts itself: its id, its ledger, its contract or its order do not fit."""

    code = "bad-event"
    title = "Malformed event"


# --- sources --------------------------------------------------------------------------------


class SourceError(StellarStreamError):
    """A source failed to serve a range; the range stays a named gap unless another source has it."""

    code = "source"
    title = "Source failed"
    exit_code = ExitCode.INCOMPLETE


class SourceUnavailableError(SourceError):
    """No endpoint of a source answered within its retries."""

    code = "source-unavailable"
    title = "Source unavailable"


class SourceMisbehavedError(SourceError):
    """A source answered something that contradicts itself or what it said before."""

    code = "source-misbehaved"
    title = "Source misbehaved"


class ProofFailedError(SourceMisbehavedError):
    """A ledger's hashes do not hold: what a source handed over is not what the network agreed on.

    ``ledger`` is its sequence, ``breach`` which link does not hold.
    """

    code = "proof-failed"
    title = "Proof failed"
    help = "Ask another source for these ledgers; nothing of them was stored."

    def __init__(self, ledger: int, breach: Breach, detail: str) -> None:
        super().__init__(f"{breach.value}: ledger {ledger}: {detail}")
        self.ledger = ledger
        self.breach = breach
