"""From an object's bytes to its ledgers: decompressed within a bound, and checked against its name.

Go writes zstd frames that do not tell how large their content is, and may write several one after
the other (RFC 8878 §3), so the end of each frame is looked for; an object that ends inside a frame
was cut.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from io import BytesIO

import zstandard

from stellarstream_core.errors import ProtocolUpgradeNeededError, XdrError
from stellarstream_core.ranges import LedgerRange
from stellarstream_core.xdr.ledger import LedgerHeader, read_batch, read_ledger_header
from stellarstream_data_lake.failures import DamagedError

_STEP = 1024
"""Bytes decompressed in one go. They become 32 MB at most: zstd's densest block has 4 bytes for 128 KB."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Tells whether an object that is read again still has the same bytes."""

    size: int
    checksum: int

    @classmethod
    def of(cls, data: bytes) -> Fingerprint:
        """Return an object's fingerprint."""
        return cls(len(data), zlib.crc32(data))


def decompress(data: bytes, most: int) -> bytes:
    """Return the content of one or more zstd frames; raise :class:`DamagedError`.

    Nothing much larger than ``most`` bytes is made of it, whatever the frames say.
    """
    if not data:
        raise DamagedError("it is empty")
    view = memoryview(data)
    content = BytesIO()  # unlike a list of pieces it needs the memory once
    at = 0
    while at < len(view):
        frame = zstandard.ZstdDecompressor().decompressobj()
        while not frame.eof:
            if at >= len(view):
                raise DamagedError("it is cut short: its zstd frame has no end")
            step = view[at : at + _STEP]
            try:
                piece = frame.decompress(step)
            except zstandard.ZstdError as error:
                raise DamagedError(f"it is not zstd ({_why(error)})") from None
            at += len(step)
            content.write(piece)
            if content.tell() > most:
                raise DamagedError(f"it decompresses to more than {most} bytes (max_batch_bytes)")
        at -= len(frame.unused_data)
    return content.getvalue()


def read_object(data: bytes, ledgers: LedgerRange, most: int) -> tuple[int, list[bytes]]:
    """Return how large an object's content is and the ``LedgerCloseMeta`` of each of its ``ledgers``.

    Raises :class:`DamagedError` where the object holds anything else than these ledgers, by its own
    account; the ledgers' own sequences are not looked at. ``ProtocolUpgradeNeededError`` is raised
    where it is of a kind not known.
    """
    raw = decompress(data, most)
    try:
        first, last, metas = read_batch(raw)
    except ProtocolUpgradeNeededError:
        raise
    except XdrError as error:
        raise DamagedError(f"it is not a LedgerCloseMetaBatch ({error.message})") from None
    if (first, last) != ledgers:
        raise DamagedError(f"it says that it holds ledgers {first} to {last}")
    return len(raw), metas


def read_header(meta: bytes, ledger: int) -> LedgerHeader:
    """Return the header of a ``LedgerCloseMeta``; raise :class:`DamagedError` where it is another ledger's."""
    try:
        header = read_ledger_header(meta)
    except ProtocolUpgradeNeededError:
        raise
    except XdrError as error:
        raise DamagedError(f"ledger {ledger} in it cannot be read ({error.message})") from None
    if header.sequence != ledger:
        raise DamagedError(f"ledger {header.sequence} stands in it where {ledger} should be")
    return header


def _why(error: Exception) -> str:
    return str(error).removeprefix("zstd decompress error: ").removeprefix("decompression error: ")
