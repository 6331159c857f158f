"""What the tests of settlement share: streams that pay links, as events and as the transactions that made them.

Calls and envelopes are made by stellar_sdk alone, events by the ledgers of the tests of streams; they are stored and
projected as synced ones are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from stellar_sdk import Keypair, TransactionBuilder, scval, xdr

from stellarstream_core.chain import ChainTransaction, TransactionStatus
from stellarstream_core.events import ContractEvent
from stellarstream_core.projection.projector import Projector
from stellarstream_core.projections import FollowUp
from stellarstream_core.storage import Storage
from stellarstream_core.testing.chain import ScriptedChain
from stellarstream_core.testing.scripted import made_close_time
from stellarstream_invoice_links.arguments import CallTerms, arguments_of, unpack
from stellarstream_invoice_links.arguments_reading import ArgumentsReader
from stellarstream_invoice_links.creations import read_creations
from stellarstream_invoice_links.judging import Candidate, Creation, Judged, Submission, Verdict, judge
from stellarstream_invoice_links.links import link_by_id, take_turn
from stellarstream_invoice_links.model import Link, LinkStatus, LinkTerms, MatchedBy, Outcome
from stellarstream_invoice_links.projection import InvoiceProjection
from stellarstream_invoice_links.settlement import settle_link
from stellarstream_invoice_links.submissions import claim_transaction, record_submission
from stellarstream_invoice_links.tables import InvoiceLink
from stellarstream_nebula import bulk
from stellarstream_nebula.decoders import decoder_specs
from stellarstream_nebula.model import V1
from stellarstream_nebula.transactions.envelope import Envelope, parsed
from tests.invoice_links.kit import COIN, FAMILIES, RECEIVER, TWO, put_link
from tests.nebula.ledgers import START, Ledgers, store
from tests.nebula.relay_kit import PASSPHRASE, bumped, drafted, signed, wallet

PAYER = wallet(31)
BEGAN = made_close_time(START)
"""When the first ledger of the tests closed."""
HOUR = 3_600
LATER = BEGAN + 200 * 86_400
"""Months later, by the service's clock."""


DECODERS = {spec.family: spec for spec in decoder_specs()}


# --- calls ------------------------------------------------------------------------------------------


def v2_fields(
    *,
    sender: str = PAYER.public_key,
    receiver: str = RECEIVER,
    token: str = COIN,
    gross: int = 1_000,
    start: int = BEGAN,
    cliff: int | None = None,
    duration: int = HOUR,
    memo: str | None = None,
) -> dict[str, xdr.SCVal]:
    """Return the fields of V2's ``StreamArgs`` for a plain stream."""
    return {
        "affiliate": scval.to_void(),
        "cancellation_type": scval.to_uint32(0),
        "cliff_time": scval.to_uint64(start if cliff is None else cliff),
        "cycle_duration": scval.to_uint64(0),
        "end_time": scval.to_uint64(start + duration),
        "is_recurrent": scval.to_bool(False),
        "memo": scval.to_void() if memo is None else scval.to_symbol(memo),
        "multiplier_bps": scval.to_int128(0),
        "penalty_bps": scval.to_uint32(0),
        "receiver": scval.to_address(receiver),
        "sender": scval.to_address(sender),
        "split_address": scval.to_void(),
        "split_bps": scval.to_uint32(0),
        "start_time": scval.to_uint64(start),
        "step_duration": scval.to_int128(0),
        "token": scval.to_address(token),
        "total_amount": scval.to_int128(gross),
        "vault_address": scval.to_void(),
        "yield_enabled": scval.to_bool(False),
        "yield_recipient": scval.to_uint32(1),
    }


def v1_arguments(
    *,
    sender: str = PAYER.public_key,
    receiver: str = RECEIVER,
    token: str = COIN,
    gross: int = 1_000,
    start: int = BEGAN,
    cliff: int | None = None,
    duration: int = HOUR,
) -> list[xdr.SCVal]:
    """Return the arguments of V1's ``create_stream`` for a plain stream."""
    return [
        scval.to_address(sender),
        scval.to_address(receiver),
        scval.to_address(token),
        scval.to_int128(gross),
        scval.to_uint64(start),
        scval.to_uint64(start if cliff is None else cliff),
        scval.to_uint64(start + duration),
        scval.to_uint32(0),
        scval.to_bool(False),
    ]


def sc_struct(fields: dict[str, xdr.SCVal]) -> xdr.SCVal:
    """Return a struct as a contract reads it: a map in the order of its keys."""
    pairs = [xdr.SCMapEntry(scval.to_symbol(name), fields[name]) for name in sorted(fields)]
    return xdr.SCVal(xdr.SCValType.SCV_MAP, map=xdr.SCMap(pairs))


def create_arguments(family: str, **fields: Any) -> list[xdr.SCVal]:
    """Return the arguments of ``create_stream`` for a plain stream."""
    return v1_arguments(**fields) if family == V1 else [sc_struct(v2_fields(**fields))]


def raw(arguments: Iterable[xdr.SCVal]) -> tuple[bytes, ...]:
    return tuple(argument.to_xdr_bytes() for argument in arguments)


# --- payments ---------------------------------------------------------------------------------------


@dataclass
class Paid:
    """A stream that was created: its event, and the envelope of its transaction."""

    event: ContractEvent
    text: str

    @property
    def id(self) -> str:
        return self.event.id

    @property
    def hash(self) -> str:
        return self.event.tx_hash

    @property
    def envelope(self) -> Envelope:
        """What the service makes of it when it is handed in."""
        return parsed(self.text, PASSPHRASE)


@dataclass
class Payments:
    """Streams in ledgers of one's own. ``chain`` has their transactions, as a node does that keeps them all."""

    ledgers: Ledgers = field(default_factory=Ledgers)
    chain: ScriptedChain = field(default_factory=ScriptedChain)
    made: int = 0

    @property
    def now(self) -> int:
        """When the present ledger closed."""
        return self.ledgers.now

    @property
    def last(self) -> int:
        """The present ledger."""
        return self.ledgers.ledger

    def pay(
        self,
        link: Link | LinkTerms | None = None,
        *,
        contract: str | None = None,
        fee: int = 5,
        by: Keypair = PAYER,
        called: str | None = None,
        function: str = "create_stream",
        through: Keypair | None = None,
        **fields: Any,
    ) -> Paid:
        """Create a stream as a link asks for it, but for what is said otherwise, in a ledger of its own.

        ``fields`` are those of :func:`create_arguments`. ``called`` is the contract that the transaction calls, where
        another one creates the stream; ``function`` what it calls; ``through`` who wraps it in a fee bump.
        """
        asked = link.terms if isinstance(link, Link) else link
        if asked is not None:
            contract = contract or asked.contract
            start = self.ledgers.next_time() if asked.start is None else asked.start
            plain = {
                "receiver": asked.receiver,
                "token": asked.token,
                "gross": asked.amount,
                "duration": asked.duration,
                "start": start,
                "cliff": start if asked.cliff is None else asked.cliff,
            }
            fields = {**plain, **fields}
            if "start" in fields and "cliff" not in fields:
                fields["cliff"] = fields["start"]
        contract = contract or TWO
        fields = {"start": self.ledgers.next_time(), "sender": by.public_key, **fields}
        family, stream = FAMILIES[contract], self.made
        self.made += 1
        event = self._published(contract, family, stream, fee, **fields)
        arguments = create_arguments(family, **fields)
        envelope = drafted(called or contract, function, source=by, arguments=arguments, sequence=1_000 + stream)
        text = signed(envelope, by)
        if through is not None:
            text = signed(bumped(envelope, through), through)
        return self._took(event, text)

    def _published(self, contract: str, family: str, stream: int, fee: int, **fields: Any) -> ContractEvent:
        told = {"receiver": RECEIVER, "token": COIN, "gross": 1_000, "duration": HOUR, **fields}
        if family == V1:
            event = self.ledgers.create_v1(
                contract, stream, told["sender"], told["receiver"], told["token"], told["gross"], told["duration"]
            )
            assert told["start"] == self.now, "an event of V1's is made with the start of its own ledger"
            return event
        return self.ledgers.create(
            contract,
            stream,
            told["sender"],
            told["receiver"],
            told["token"],
            told["gross"] - fee,
            told["start"],
            told["duration"],
            told.get("cliff"),
            told.get("memo"),
        )

    def _took(self, event: ContractEvent, text: str) -> Paid:
        tx_hash = parsed_hash(text)
        self.ledgers.events.remove(event)
        event = event._replace(tx_hash=tx_hash)
        self.ledgers.events.append(event)
        self.keep(tx_hash, event.ledger, text)
        return Paid(event, text)

    def keep(self, tx_hash: str, ledger: int, text: str | None, *, oldest: int = 1) -> None:
        """Let the chain have a transaction (its envelope in base64, None where it does not tell it)."""
        envelope = None if text is None else xdr.TransactionEnvelope.from_xdr(text).to_xdr_bytes()
        self.chain.fate[tx_hash] = ChainTransaction(
            TransactionStatus.SUCCESS, ledger, made_close_time(ledger), oldest, ledger, b"", (), envelope
        )


def parsed_hash(text: str) -> str:
    """Return the hash of an envelope, of a fee bump the outer one."""
    return TransactionBuilder.from_xdr(text, PASSPHRASE).hash_hex()


# --- what the plugin does ---------------------------------------------------------------------------


def made_projection(**more: Any) -> InvoiceProjection:
    """Return the projection of the tests' contracts."""
    return InvoiceProjection(more.pop("families", FAMILIES), DECODERS, **more)


def project(
    storage: Storage, projection: InvoiceProjection | None = None, *, projector: Projector | None = None
) -> None:
    """Take in everything that is committed."""
    projector = projector or Projector(projection or made_projection(), storage)
    for _ in range(10_000):
        if projector.step().idle:
            return
    raise AssertionError("the projector does not come to rest")


def rebuild(storage: Storage) -> None:
    """Build the projection again from the first commit."""
    Projector(made_projection(), storage).rebuild()
    project(storage)


def index(storage: Storage, payments: Payments, first: int, last: int, *, projector: Projector | None = None) -> None:
    """Commit the events of some ledgers and take them in."""
    store(storage, payments.ledgers.events, first, last, wanted_from=START)
    project(storage, projector=projector)


class NetworkOfTests:
    """What a follow-up asks of the settings."""

    passphrase = PASSPHRASE


def read_arguments(
    storage: Storage, chain: ScriptedChain | None, *, now: float = BEGAN, reader: ArgumentsReader | None = None
) -> None:
    """Make one round of reading the calls that are wanted."""
    reader = reader or ArgumentsReader(now=lambda: now)
    asyncio.run(reader.round(FollowUp(storage, NetworkOfTests(), chain, asyncio.to_thread)))


def read_all_arguments(storage: Storage, chain: ScriptedChain, *, now: float = BEGAN) -> None:
    """Read calls until none is wanted that can be read now."""
    for _ in range(100):
        before = chain.asked.get("transaction", 0)
        read_arguments(storage, chain, now=now)
        if chain.asked.get("transaction", 0) == before:
            return
    raise AssertionError("calls are wanted without end")


def submit(storage: Storage, link: Link, paid: Paid, now: int) -> None:
    """Record a transaction as one that went through the service for a link."""
    storage.write(lambda database: record_submission(database, link.id, paid.envelope, now))


def claim(storage: Storage, link: Link, tx_hash: str, now: int) -> None:
    """Let a link's owner name a transaction."""
    storage.write(lambda database: claim_transaction(database, link.id, tx_hash, now))


def take_back(storage: Storage, link: Link, now: int, column: str = "canceled_at") -> None:
    """Cancel or delete a link, past the rules of who may."""

    def write(database):
        take_turn(database)
        InvoiceLink.update(**{column: now}).where(InvoiceLink.id == link.id).execute(database)
        settle_link(database, link.id, now=now)

    storage.write(write)


def ask(storage: Storage, *, now: int = BEGAN, **changes: Any) -> Link:
    """Store a link that the receiver made, unless it is said otherwise."""
    return put_link(storage, now=now, **{"owner": changes.get("receiver", RECEIVER), **changes})


def everything(storage: Storage, payments: Payments) -> None:
    """Index all that happened, and read what is wanted of it."""
    index(storage, payments, START, payments.last)
    read_all_arguments(storage, payments.chain)


def run_sql(storage: Storage, sql: str) -> None:
    """Change the database behind everybody's back."""
    storage.write(lambda database: bulk.execute(database, sql))


# --- what is stored ---------------------------------------------------------------------------------


def verdicts(storage: Storage, links: Iterable[Link] | None = None) -> dict[tuple[str, str], Verdict]:
    """Return the payments that are stored, by link and event: all, or those of some links."""
    sql = "SELECT link_id, event_id, matched_by, outcome, gross FROM invoice_payments"
    rows = _rows(storage, sql, "link_id", links)
    return {
        (link_id, event_id): Verdict(link_id, MatchedBy(by), Outcome(outcome), None if gross is None else int(gross))
        for link_id, event_id, by, outcome, gross in rows
    }


def outcomes(storage: Storage, link: Link) -> list[tuple[str, str, str]]:
    """Return a link's payments as (event, by, outcome), in the chain's order."""
    found = verdicts(storage)
    return [
        (event_id, found[of, event_id].by.value, found[of, event_id].outcome.value)
        for of, event_id in sorted(found, key=lambda key: key[1])
        if of == link.id
    ]


def told(storage: Storage, link: Link) -> list[tuple[str, str]]:
    """Return (by, outcome) of each payment of a link, in the chain's order."""
    return [(by, outcome) for _, by, outcome in outcomes(storage, link)]


def statuses(storage: Storage, *links: Link, now: float = BEGAN) -> list[LinkStatus]:
    """Return the states of links at a moment."""
    return [storage.read(lambda database, link=link: link_by_id(database, link.id)).status(now) for link in links]


def completed(storage: Storage, links: Iterable[Link] | None = None) -> dict[str, str]:
    """Return which event completes each link that one does, of all or of some."""
    rows = _rows(storage, "SELECT id, completed_event FROM invoice_links", "id", links)
    return {link_id: event_id for link_id, event_id in rows if event_id is not None}


def _rows(storage: Storage, sql: str, column: str, links: Iterable[Link] | None) -> list[bulk.Row]:
    if links is None:
        return storage.read(lambda database: bulk.query(database, sql))
    ids = [link.id for link in links]
    return storage.read(lambda database: bulk.select_in(database, f"{sql} WHERE {column} IN", ids))


def stored_creations(storage: Storage) -> list[Creation]:
    """Return every creation that is stored."""

    def read(database):
        return read_creations(
            database, [row[0] for row in bulk.query(database, "SELECT event_id FROM invoice_creations")]
        )

    return storage.read(read)


def stored_candidates(storage: Storage, links: Iterable[Link] | None = None) -> list[Candidate]:
    """Return links as the judge takes them, all or some."""
    columns = (
        "id, slug, owner, contract_id, family, receiver, token, amount, duration, start, cliff, created_at, "
        "after_ledger, expires_at, canceled_at, deleted_at"
    )
    found = []
    for row in _rows(storage, f"SELECT {columns} FROM invoice_links", "id", links):
        link_id, slug, owner, contract, family, receiver, token, amount, duration, start, cliff, *others = row
        terms = LinkTerms(
            contract=contract,
            family=family,
            receiver=receiver,
            token=token,
            amount=int(amount),
            duration=duration,
            start=start,
            cliff=cliff,
        )
        names = ("created_at", "after_ledger", "expires_at", "canceled_at", "deleted_at")
        more = dict(zip(names, others, strict=True))
        found.append(Candidate(id=link_id, slug=slug, owner=owner, terms=terms, **more))
    return found


def stored_submissions(storage: Storage, links: Iterable[Link] | None = None) -> list[Submission]:
    """Return submissions as the judge takes them, all or those for some links."""
    sql = """
        SELECT s.tx_hash, s.link_id, s.submitted_at, s.origin, s.claimed, s.arguments, l.contract_id, l.family
        FROM invoice_submissions AS s JOIN invoice_links AS l ON l.id = s.link_id
    """
    found = []
    for tx_hash, link_id, at, origin, is_claimed, packed, contract, family in _rows(storage, sql, "s.link_id", links):
        told = None
        if packed is not None:
            told = arguments_of(contract, family, "create_stream", unpack(bytes(packed)))
        found.append(
            Submission(
                tx_hash=tx_hash,
                link_id=link_id,
                submitted_at=at,
                relayed=origin == "service",
                claimed=bool(is_claimed) or origin == "owner",
                told=told,
            )
        )
    return found


def judged(storage: Storage) -> Judged:
    """Return what the pure judge says of all that is stored."""
    return judge(stored_candidates(storage), stored_submissions(storage), stored_creations(storage))


def call_terms(family: str, contract: str, **fields: Any) -> CallTerms:
    """Return what a plain call says."""
    told = arguments_of(contract, family, "create_stream", raw(create_arguments(family, **fields)))
    assert told is not None
    return told
