"""Strkeys (SEP-23): the text form of accounts, contracts and the other addresses.

Encoding is on the hot path of decoding (one contract id an event), so it is cached; the checksum
is CRC16-XModem, which the standard library has as ``binascii.crc_hqx`` with start value 0.
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from binascii import Error as BinasciiError
from binascii import crc_hqx
from functools import lru_cache

from stellarstream_core.errors import InvalidStrkeyError

VERSION_ACCOUNT = 6 << 3
VERSION_MUXED_ACCOUNT = 12 << 3
VERSION_CONTRACT = 2 << 3
VERSION_CLAIMABLE_BALANCE = 1 << 3
VERSION_LIQUIDITY_POOL = 11 << 3


@lru_cache(maxsize=16384)
def encode(version: int, payload: bytes) -> str:
    """Return the strkey of ``payload`` under a version byte."""
    body = bytes((version,)) + payload
    return b32encode(body + crc_hqx(body, 0).to_bytes(2, "little")).rstrip(b"=").decode("ascii")


def decode(text: str) -> tuple[int, bytes]:
    """Return version byte and payload; raise :class:`InvalidStrkeyError` where the text is no strkey."""
    try:
        raw = b32decode(text + "=" * (-len(text) % 8))
    except (BinasciiError, ValueError, TypeError):
        raise InvalidStrkeyError(f"{text!r:.80} is not a strkey: it is not base32.") from None
    if len(raw) < 3 or crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
        raise InvalidStrkeyError(f"{text!r:.80} is not a strkey: its checksum does not fit.")
    if b32encode(raw).rstrip(b"=").decode("ascii") != text:
        raise InvalidStrkeyError(f"{text!r:.80} is not a strkey: it is not in the one canonical form.")
    return raw[0], raw[1:-2]


@lru_cache(maxsize=4096)
def contract_id_bytes(text: str) -> bytes:
    """Return the 32 bytes of a C… contract id; raise :class:`InvalidStrkeyError` where it is none."""
    version, payload = decode(text)
    if version != VERSION_CONTRACT or len(payload) != 32:
        raise InvalidStrkeyError(f"{text!r:.80} is not a contract id: those begin with C and have 56 characters.")
    return payload


def contract_id_text(raw: bytes) -> str:
    """Return the C… strkey of a contract's 32 bytes."""
    return encode(VERSION_CONTRACT, raw)
