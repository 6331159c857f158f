"""Recorded pubnet ledgers as a chain of any length: same contents, other sequences, other transactions' hashes.

Each copy's transactions get other sequence numbers (fee bumps another fee), so that no hash comes
twice, and all hashes that a source checks are made anew: of transactions, result sets and headers.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from stellarstream_core.xdr.ledger import ledger_events, read_ledger
from tests.data_lake.kit import batch_xdr, manifest, name_of, packed
from tests.paths import fixture

PASSPHRASE = "Public Global Stellar Network ; September 2015"
SEQUENCES = (51000294, 63092988, 63092996)
FIRST = 64_000_000

_NETWORK = sha256(PASSPHRASE.encode()).digest()


class Template:
    """A recorded ledger, and where in it stands what a copy changes."""

    def __init__(self, meta: bytes) -> None:
        from stellar_sdk import xdr

        self.meta = meta
        parsed = xdr.LedgerCloseMeta.from_xdr_bytes(meta)
        inner = getattr(parsed, f"v{parsed.v}")
        header = inner.ledger_header.header
        raw = header.to_xdr_bytes()
        self.header_at, self.header_size = meta.index(raw), len(raw)
        self.hash_at = self.header_at - 32
        self.previous_at = self.header_at + 4
        scp_at = self.previous_at + 32
        self.closed_at = scp_at + 32
        self.results_at = scp_at + len(header.scp_value.to_xdr_bytes())
        self.sequence_at = self.results_at + 64
        ledger = read_ledger(meta)
        self.results = [(meta.rindex(one.hash + one.result), one.result) for one in ledger.transactions]
        self.contracts = [event.contract_id for event in ledger_events(ledger, None)]
        order = {one.hash: place for place, one in enumerate(ledger.transactions)}
        # of each transaction: its place, what its hash is over, and the number in it that is changed
        self.envelopes: list[tuple[int, int, int, int]] = []
        for envelope in _envelopes(inner.tx_set):
            bump = envelope.fee_bump is not None
            body = (envelope.fee_bump if bump else envelope.v1).tx
            tagged = envelope.type.to_xdr_bytes() + body.to_xdr_bytes()
            source = (body.fee_source if bump else body.source_account).to_xdr_bytes()
            at = meta.index(tagged)
            place = order[sha256(_NETWORK + tagged).digest()]
            self.envelopes.append((place, at, len(tagged), at + 4 + len(source) + (0 if bump else 4)))

    def copy(self, sequence: int, previous: bytes, closed: int) -> tuple[bytes, bytes]:
        """Return the ledger as ledger ``sequence`` after the one with the hash ``previous``, and its hash."""
        made = bytearray(self.meta)
        hashes: dict[int, bytes] = {}
        for place, at, size, number_at in self.envelopes:
            made[number_at : number_at + 8] = (sequence << 24 | place).to_bytes(8, "big")
            hashes[place] = sha256(_NETWORK + made[at : at + size]).digest()
        pairs = bytearray(len(self.results).to_bytes(4, "big"))
        for place, (at, result) in enumerate(self.results):
            made[at : at + 32] = hashes[place]
            pairs += hashes[place] + result
        made[self.results_at : self.results_at + 32] = sha256(pairs).digest()
        made[self.previous_at : self.previous_at + 32] = previous
        made[self.closed_at : self.closed_at + 8] = closed.to_bytes(8, "big")
        made[self.sequence_at : self.sequence_at + 4] = sequence.to_bytes(4, "big")
        own = sha256(made[self.header_at : self.header_at + self.header_size]).digest()
        made[self.hash_at : self.hash_at + 32] = own
        return bytes(made), own


def _envelopes(tx_set) -> Iterator:
    """Yield every transaction envelope of a generalized transaction set, whatever its phases are like."""
    for phase in tx_set.v1_tx_set.phases:
        for component in phase.v0_components or []:
            yield from component.txs_maybe_discounted_fee.txs
        if phase.parallel_txs_component is not None:
            for stage in phase.parallel_txs_component.execution_stages:
                for thread in stage.parallel_tx_execution_stage:
                    yield from thread.dependent_tx_cluster


def templates() -> list[Template]:
    """Return the recorded ledgers; skips a test where they are not at hand."""
    return [Template(gzip.decompress(fixture(f"pubnet-ledgers/ledger-{one}.xdr.gz").read_bytes())) for one in SEQUENCES]


def chain(found: list[Template], ledgers: int, first: int = FIRST) -> Iterator[tuple[int, bytes]]:
    """Yield sequence and ``LedgerCloseMeta`` of an unbroken chain: one kind of ledger after the other.

    One in twenty is a copy of the first one, whose meta is of another flavour than the others'.
    """
    previous = bytes(32)
    seldom, *usual = found
    for place in range(ledgers):
        part = place * 20 // ledgers
        template = seldom if part == 9 else usual[place * len(usual) // ledgers]
        meta, previous = template.copy(first + place, previous, 1_750_000_000 + 5 * place)
        yield first + place, meta


def write_lake(root: Path, found: list[Template], ledgers: int, per_batch: int = 1) -> tuple[int, int]:
    """Write a lake of such a chain; return the size of its objects and of what is in them."""
    packed_size = raw_size = 0
    root.mkdir(parents=True, exist_ok=True)
    (root / ".config.json").write_bytes(manifest(PASSPHRASE, per_batch))
    batch: list[bytes] = []
    for sequence, meta in chain(found, ledgers):
        batch.append(meta)
        if len(batch) == per_batch:
            body = packed(raw := batch_xdr(sequence - per_batch + 1, sequence, batch))
            path = root / name_of(sequence, per_batch)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(body)
            packed_size, raw_size = packed_size + len(body), raw_size + len(raw)
            batch.clear()
    return packed_size, raw_size
