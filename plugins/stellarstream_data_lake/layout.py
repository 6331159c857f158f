"""Names of a data lake's objects: which ledgers an object holds, and where it lies (SEP-54 "Key Format").

Objects are counted: number ``n`` holds the ledgers of batch ``n``, all batches being of one size. A
name begins with ``0xFFFFFFFF`` minus the first ledger, so that listings begin with the newest one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stellarstream_core.ranges import LAST_LEDGER, LedgerRange

MAX_LEDGERS_PER_BATCH = 10_000
MAX_BATCHES_PER_PARTITION = 10_000_000

SUFFIXES = (".xdr.zst", ".xdr.zstd")
"""SEP-54's, and the one that Galexie wrote before version 23."""

FIRST_IN_LAKE = 2
"""Ledger 1 is the genesis ledger: it has no LedgerCloseMeta."""

_TOP = 0xFFFFFFFF
_PARTITION = re.compile(r"([0-9A-F]{8})--(\d{1,10})-(\d{1,10})")
_BATCH = re.compile(r"([0-9A-F]{8})--(\d{1,10})(?:-(\d{1,10}))?(\.xdr\.zstd?)")

BEFORE_THE_NEWEST = f"{_TOP - LAST_LEDGER - 1:08X}"
"""Sorts before the name of any object, and after what else a lake may hold, such as ``.config.json``."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a lake lays out its ledgers. ``batches_per_partition`` 1 means that there are no partitions."""

    ledgers_per_batch: int
    batches_per_partition: int
    suffix: str = SUFFIXES[0]

    @property
    def first_number(self) -> int:
        """The number of the first object that a lake can have."""
        return FIRST_IN_LAKE // self.ledgers_per_batch

    @property
    def last_number(self) -> int:
        """The number of the last object that a lake can have."""
        return LAST_LEDGER // self.ledgers_per_batch

    def number(self, ledger: int) -> int:
        """Return the number of the object that holds ``ledger``."""
        return ledger // self.ledgers_per_batch

    def ledgers(self, number: int) -> LedgerRange:
        """Return the ledgers in an object; the very first one begins with ledger 2 whatever its name says."""
        start = number * self.ledgers_per_batch
        return LedgerRange(max(start, FIRST_IN_LAKE), min(start + self.ledgers_per_batch - 1, LAST_LEDGER))

    def span(self, first: int, last: int) -> LedgerRange:
        """Return the ledgers in the objects with the numbers ``first`` to ``last``."""
        return LedgerRange(self.ledgers(first).first, self.ledgers(last).last)

    def key(self, number: int) -> str:
        """Return an object's name below the lake's root."""
        start = number * self.ledgers_per_batch
        end = min(start + self.ledgers_per_batch - 1, _TOP)
        upto = f"-{end}" if end != start else ""
        name = f"{_TOP - start:08X}--{start}{upto}{self.suffix}"
        if self.batches_per_partition == 1:
            return name
        size = self.ledgers_per_batch * self.batches_per_partition
        low = start // size * size
        return f"{_TOP - low:08X}--{low}-{min(low + size - 1, _TOP)}/{name}"

    def number_of(self, key: str) -> int | None:
        """Return the number of the object with that name, or None where the layout has no such name."""
        found = _BATCH.fullmatch(key.rpartition("/")[2])
        if found is None:
            return None
        number = int(found[2]) // self.ledgers_per_batch
        return number if self.first_number <= number <= self.last_number and self.key(number) == key else None

    def __str__(self) -> str:
        return (
            f"{self.ledgers_per_batch} ledger(s) a batch, {self.batches_per_partition} batch(es) a partition, "
            f"'{self.suffix}'"
        )


def layout_of(key: str) -> Layout | None:
    """Return the layout that an object's name shows, or None where it is no name of SEP-54."""
    folder, _, name = key.rpartition("/")
    found = _BATCH.fullmatch(name)
    if found is None:
        return None
    start = int(found[2])
    per_batch = int(found[3]) - start + 1 if found[3] else 1
    batches = 1
    if folder:
        partition = _PARTITION.fullmatch(folder)
        if partition is None or per_batch < 1:
            return None
        batches = (int(partition[3]) - int(partition[2]) + 1) // per_batch
    if not 1 <= per_batch <= MAX_LEDGERS_PER_BATCH or not 1 <= batches <= MAX_BATCHES_PER_PARTITION:
        return None
    layout = Layout(per_batch, batches, found[4])
    return layout if layout.number_of(key) is not None else None


def usual_layouts(
    ledgers_per_batch: int | None, batches_per_partition: int | None, suffix: str | None
) -> Iterator[Layout]:
    """Yield the layouts that lakes without a manifest have, the likeliest first; what is given is kept."""
    for per_batch, batches in ((1, 64_000), (64, 10), (1, 1), (64, 1)):
        if ledgers_per_batch in {None, per_batch} and batches_per_partition in {None, batches}:
            for ending in SUFFIXES:
                if suffix in {None, ending}:
                    yield Layout(per_batch, batches, ending)
    if ledgers_per_batch is not None and batches_per_partition is not None:
        for ending in SUFFIXES:
            if suffix in {None, ending}:
                yield Layout(ledgers_per_batch, batches_per_partition, ending)
