"""From whole ledgers to windows: what every source that reads whole ledgers does once it has them.

A ledger is read (in any thread), then added in sequence order. Adding checks that each ledger names
the one before it: a ledger is handed over only once its successor has named it, or nothing comes
after it. Where two neighbours do not fit, nobody can tell from them which one is wrong, so the last
one before the break is given up, and what follows it is believed only when it goes on unbroken.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from stellarstream_core.certificates import Breach, Doubt, Flavour, LedgerCertificate
from stellarstream_core.errors import ProofFailedError, ProtocolUpgradeNeededError, SourceMisbehavedError, XdrError
from stellarstream_core.events import ContractEvent
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.scope import Scope
from stellarstream_core.settings import Settings
from stellarstream_core.sources import Evidence, Reason, Unserved, Window
from stellarstream_core.xdr.asset import asset_contract_id, asset_of_event
from stellarstream_core.xdr.ledger import (
    Ledger,
    LedgerHeader,
    envelope_hash,
    ledger_events,
    read_ledger,
    read_ledger_header,
    signed_for,
)
from stellarstream_core.xdr.ledger_walk import PROTOCOL
from stellarstream_core.xdr.prefilter import Prefilter
from stellarstream_core.xdr.proof import UNIFIED_EVENTS, flavour_of, prove, unhashed_events
from stellarstream_core.xdr.strkey import contract_id_bytes

MAX_LEDGERS = 256
"""A window is handed over with that many ledgers at the latest."""

MAX_EVENTS = 8_000
"""A window is handed over when it holds that many events; one ledger may hold more."""

TRUSTED_RUN = 16
"""So many ledgers in a row, each naming the one before it, are believed again after a break."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One ledger read: its events of the scope and what was checked, or why it cannot be used."""

    sequence: int
    header: LedgerHeader | None = None
    events: Sequence[ContractEvent] = ()
    certificate: LedgerCertificate | None = None
    flavour: str = ""
    failure: Unserved | None = None


@dataclass(slots=True)
class _Group:
    """Neighbouring ledgers that will be one window."""

    first: int
    last: int
    evidence: Evidence
    flavour: str
    closed_at: int | None = None
    events: list[ContractEvent] = field(default_factory=list)
    certificates: list[LedgerCertificate] = field(default_factory=list)

    def takes(self, reading: Reading, evidence: Evidence) -> bool:
        """Tell whether the ledger after this group can join it."""
        full = self.last - self.first + 1 >= MAX_LEDGERS or len(self.events) + len(reading.events) > MAX_EVENTS
        alike = not self.flavour or not reading.flavour or self.flavour == reading.flavour
        return self.last + 1 == reading.sequence and self.evidence is evidence and alike and not full

    def add(self, reading: Reading) -> None:
        self.last = reading.sequence
        self.closed_at = reading.header.close_time if reading.header is not None else None
        self.flavour = self.flavour or reading.flavour
        self.events.extend(reading.events)
        if reading.certificate is not None:
            self.certificates.append(reading.certificate)


class LedgerWindows:
    """Makes windows of ``scope`` from whole ledgers for the source named ``source``.

    With ``prove`` every hash is checked and windows are ``proven``; without it only header hashes
    and the chain are, and ledgers in which no wanted contract id occurs are not even walked.
    ``classic_events_required`` gives up ledgers made without classic events where they would be
    missed: for everything, and for asset contracts.
    """

    def __init__(
        self, *, source: str, scope: Scope, prove: bool, passphrase: str, classic_events_required: bool
    ) -> None:
        self._source = source
        self._scope = scope
        self._prove = prove
        self._passphrase = passphrase
        self._classic_required = classic_events_required
        self._wanted = None if scope.everything else frozenset(map(contract_id_bytes, scope))
        self._network_id = sha256(passphrase.encode()).digest()
        self._native = asset_contract_id("native", self._network_id)
        self._assets = {self._native}
        self._prefilter = None
        if not prove and self._wanted is not None and not (classic_events_required and self._native in self._wanted):
            self._prefilter = Prefilter(self._wanted)
        self._tip: tuple[int, bytes] | None = None
        self._withheld: Reading | None = None
        self._suspects: list[Reading] | None = None
        self._group: _Group | None = None
        self._flavour = ""

    @classmethod
    def by_settings(cls, source: str, scope: Scope, settings: Settings) -> LedgerWindows:
        """Return what makes windows as the settings ask for: with proof or without, on their network."""
        return cls(
            source=source,
            scope=scope,
            prove=settings.prove,
            passphrase=settings.passphrase,
            classic_events_required=settings.classic_events == "required",
        )

    # --- reading: no state, any thread ------------------------------------------------------

    def read(self, sequence: int, meta: bytes) -> Reading:
        """Read one ``LedgerCloseMeta`` that should be ledger ``sequence``.

        What is wrong with the ledger is in the reading's ``failure``. Raises only
        :class:`ProtocolUpgradeNeededError`: nothing is skipped over an unknown arm.
        """
        try:
            if signed_for(meta, self._passphrase) is False:
                raise _why_not_signed(sequence, meta)
            if self._prefilter is not None and not self._prefilter.may_hold(meta):
                header = read_ledger_header(meta)
                _check_header(sequence, header)
                return Reading(sequence, header)
            ledger = read_ledger(meta)
        except ProtocolUpgradeNeededError as error:
            return self._unknown(sequence, meta, error)
        except (ProofFailedError, XdrError, SourceMisbehavedError) as error:
            return self._failed(sequence, error)
        return self.read_parsed(sequence, ledger)

    def _unknown(self, sequence: int, meta: bytes, error: ProtocolUpgradeNeededError) -> Reading:
        """Tell damage from a newer protocol: a ledger of a protocol that is known has no unknown arm."""
        try:
            header = read_ledger_header(meta)
            _check_header(sequence, header)
        except (ProofFailedError, XdrError, SourceMisbehavedError) as other:
            return self._failed(sequence, other)
        if header.protocol > PROTOCOL:
            raise error
        detail = f"ledger {sequence} is damaged: {error.message} But the ledger is of protocol {header.protocol}"
        return self._given_up(sequence, Reason.MISBEHAVED, detail)

    def read_parsed(
        self, sequence: int, ledger: Ledger, envelopes: Collection[tuple[bytes, bytes]] | None = None
    ) -> Reading:
        """Read a ledger whose parts were fetched one by one; see :meth:`read`.

        ``envelopes`` are hash and ``TransactionEnvelope`` of some of its transactions: they show its network.
        """
        try:
            for tx_hash, envelope in envelopes or ():
                if envelope_hash(envelope, self._passphrase) != tx_hash:
                    raise ProofFailedError(
                        sequence, Breach.NETWORK, f"transaction {tx_hash.hex()} is signed for another network"
                    )
            _check_header(sequence, ledger.header)
            certificate = prove(ledger, self._network_id) if self._prove else None
            events = ledger_events(ledger, self._wanted)
        except (ProofFailedError, XdrError, SourceMisbehavedError) as error:
            return self._failed(sequence, error)
        flavour = certificate.flavour if certificate is not None else flavour_of(ledger)
        assets = self._has_assets(events)
        off = flavour is Flavour.V4 and ledger.header.protocol >= UNIFIED_EVENTS
        if off and self._classic_required and assets:
            detail = (
                f"{self._source} has ledger {sequence} without classic events (EMIT_CLASSIC_EVENTS is off there), "
                f"so {self._scope} would not be whole; classic_events = 'optional' takes it as it is"
            )
            return self._given_up(sequence, Reason.UNSUPPORTED, detail)
        named = flavour.value
        if certificate is not None:
            if Doubt.RECONCILED in certificate.doubts:
                named += "+reconciled"
            classic = ledger.header.protocol >= UNIFIED_EVENTS and bool(ledger.transactions) and not off
            if (assets and classic) or (certificate.unhashed_events and unhashed_events(ledger, events)):
                certificate = replace(certificate, doubts=certificate.doubts | {Doubt.CLASSIC_EVENTS})
        return Reading(sequence, ledger.header, events, certificate, named)

    def _has_assets(self, events: Collection[ContractEvent]) -> bool:
        """Tell whether the scope is everything or holds an asset contract, as far as events have shown it by now."""
        if self._wanted is None:
            return True
        for event in events:
            if event.contract_id is None or (asset := asset_of_event(event)) is None:
                continue
            contract = contract_id_bytes(event.contract_id)
            if contract not in self._assets and asset_contract_id(asset, self._network_id) == contract:
                self._assets.add(contract)
        return not self._assets.isdisjoint(self._wanted)

    def _failed(self, sequence: int, error: ProofFailedError | XdrError | SourceMisbehavedError) -> Reading:
        if isinstance(error, ProtocolUpgradeNeededError):
            raise error
        if isinstance(error, ProofFailedError):
            return self._given_up(sequence, Reason.PROOF_FAILED, error.message)
        named = f"edger {sequence}" in error.message
        return self._given_up(
            sequence, Reason.MISBEHAVED, error.message if named else f"ledger {sequence}: {error.message}"
        )

    def _given_up(self, sequence: int, reason: Reason, detail: str) -> Reading:
        return Reading(sequence, failure=self._unserved(LedgerRange(sequence, sequence), reason, detail))

    # --- adding: in order --------------------------------------------------------------------

    def link(self, sequence: int, hash: bytes) -> None:
        """Say the hash of the ledger before the first one, so that the chain is checked from there."""
        self._tip = sequence, hash

    def add(self, reading: Reading) -> list[Window | Unserved]:
        """Take the next ledger in ascending order; return what is complete now."""
        header = reading.header
        if reading.failure is not None or header is None:
            failure = reading.failure or self._unserved(
                LedgerRange(reading.sequence, reading.sequence), Reason.MISBEHAVED, "the ledger has no header"
            )
            return self.missing(failure.range, failure.reason, failure.detail)
        out: list[Window | Unserved] = []
        if self._tip is not None and self._tip[0] + 1 == reading.sequence and self._tip[1] != header.previous_hash:
            out += self._break(reading)
        elif self._suspects is not None:
            self._suspects.append(reading)
            if len(self._suspects) >= TRUSTED_RUN:
                trusted, self._suspects = self._suspects, None
                for one in trusted[:-1]:
                    out += self._take(one)
                self._withheld = trusted[-1]
        else:
            out += self._confirmed()
            self._withheld = reading
        self._tip = reading.sequence, header.hash
        return out

    def missing(self, ledgers: LedgerRange, reason: Reason, detail: str) -> list[Window | Unserved]:
        """Take ledgers that could not be had, in their place in the order."""
        out = [*self._confirmed(), *self._rejected(), *self._flush()]
        out.append(self._unserved(ledgers, reason, detail))
        self._tip = None
        return out

    def finish(self, next_previous: bytes | None = None) -> list[Window | Unserved]:
        """Return what is left. ``next_previous`` is the predecessor that the ledger after the last one names.

        Without it the last ledger is believed for the ledger before it.
        """
        if self._withheld is not None and next_previous is not None:
            last = self._withheld
            assert last.header is not None  # noqa: S101 - add() withholds nothing without one
            if last.header.hash != next_previous:
                self._withheld = None
                detail = _break_detail(last.sequence, "the ledger after it names another predecessor")
                span = LedgerRange(last.sequence, last.sequence)
                return [*self._flush(), self._unserved(span, Reason.PROOF_FAILED, detail)]
        return [*self._confirmed(), *self._rejected(), *self._flush()]

    def _break(self, reading: Reading) -> list[Window | Unserved]:
        """Give up the ledger before the break, and begin to watch what follows it."""
        out: list[Window | Unserved] = []
        if self._suspects is not None:
            out += self._rejected()
        elif self._withheld is not None:
            last, self._withheld = self._withheld, None
            out += self._flush()
            detail = _break_detail(reading.sequence, f"it names another predecessor than ledger {last.sequence}")
            out.append(self._unserved(LedgerRange(last.sequence, last.sequence), Reason.PROOF_FAILED, detail))
        self._suspects = [reading]
        return out

    def _confirmed(self) -> list[Window | Unserved]:
        withheld, self._withheld = self._withheld, None
        return self._take(withheld) if withheld is not None else []

    def _rejected(self) -> list[Window | Unserved]:
        """Give up what came after a break and did not go on for long enough."""
        suspects, self._suspects = self._suspects, None
        if not suspects:
            return []
        span = LedgerRange(suspects[0].sequence, suspects[-1].sequence)
        detail = _break_detail(span.first, f"it does not follow on ledger {span.first - 1}")
        return [*self._flush(), self._unserved(span, Reason.PROOF_FAILED, detail)]

    def _take(self, reading: Reading) -> list[Window | Unserved]:
        proven = reading.certificate is not None and reading.certificate.proven
        evidence = Evidence.PROVEN if proven else Evidence.SCANNED
        out: list[Window | Unserved] = []
        if self._group is not None and not self._group.takes(reading, evidence):
            out += self._flush()
        if self._group is None:
            self._group = _Group(reading.sequence, reading.sequence - 1, evidence, "")
        self._group.add(reading)
        return out

    def _flush(self) -> list[Window | Unserved]:
        group, self._group = self._group, None
        if group is None:
            return []
        # a ledger that shows no flavour has nothing in it that another flavour would have changed
        self._flavour = group.flavour = group.flavour or self._flavour
        span = LedgerRange(group.first, group.last)
        certificates = group.certificates if len(group.certificates) == span.size else ()
        return [
            Window(
                span,
                self._scope,
                group.events,
                self._source,
                group.evidence,
                group.flavour,
                tuple(certificates),
                group.closed_at,
            )
        ]

    def _unserved(self, ledgers: LedgerRange, reason: Reason, detail: str) -> Unserved:
        return Unserved(ledgers, self._scope, reason, detail)


def _why_not_signed(sequence: int, meta: bytes) -> ProofFailedError:
    """Return what is wrong with a ledger that has no result for some transaction of its set.

    It may be cut or changed, which is what is to be told then; else it is another network's.
    """
    try:
        prove(read_ledger(meta))
    except ProofFailedError as error:
        if error.breach in {Breach.HEADER, Breach.RESULTS}:
            return error
    return ProofFailedError(sequence, Breach.NETWORK, "its transactions are signed for another network")


def _break_detail(sequence: int, what: str) -> str:
    return f"{Breach.CHAIN.value}: ledger {sequence}: {what}"


def _check_header(sequence: int, header: LedgerHeader) -> None:
    if header.sequence != sequence:
        raise SourceMisbehavedError(f"ledger {header.sequence} stands where it should be")
    if sha256(header.xdr).digest() != header.hash:
        raise ProofFailedError(sequence, Breach.HEADER, "its header does not have the hash it is said to have")
