"""Strkeys (SEP-23): the text form of accounts, contracts and the other addresses.

Encoding is on the hot path of decoding (two addresses in a transfer), so it is cached, and the 56
characters of an account, contract or pool are made by integer arithmetic: the standard library's
base32 is a Python loop and takes three times as long. The checksum is CRC16-XModem, which the
standard library has as ``binascii.crc_hqx`` with start value 0.
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from binascii import Error as BinasciiError
from binascii import crc_hqx
from functools import lru_cache
from struct import Struct

from stellarstream_core.errors import InvalidStrkeyError

VERSION_ACCOUNT = 6 << 3
VERSION_MUXED_ACCOUNT = 12 << 3
VERSION_CONTRACT = 2 << 3
VERSION_CLAIMABLE_BALANCE = 1 << 3
VERSION_LIQUIDITY_POOL = 11 << 3

ADDRESS_SIZES = {
    VERSION_ACCOUNT: 32,
    VERSION_CONTRACT: 32,
    VERSION_MUXED_ACCOUNT: 40,
    VERSION_CLAIMABLE_BALANCE: 33,
    VERSION_LIQUIDITY_POOL: 32,
}
"""Payload bytes of the strkeys that can stand for an SCAddress: G, C, M (key and id), B (type and hash), L."""

_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".ljust(256, b"\0")
_split_7x5 = Struct("5s" * 7).unpack


def _lanes(width: int, spacing: int) -> int:
    """Return a mask of ``width`` low bits in every lane of ``spacing`` bits, over 448 bits."""
    return sum(((1 << width) - 1) << shift for shift in range(0, 448, spacing))


_LOW_20, _LOW_10, _LOW_5 = _lanes(20, 64), _lanes(10, 32), _lanes(5, 16)
_HIGH_20, _HIGH_10, _HIGH_5 = _LOW_20 << 20, _LOW_10 << 10, _LOW_5 << 5


def _base32_of_35(body: bytes) -> str:
    """Return the base32 of exactly 35 bytes (RFC 4648).

    Seven groups of 40 bits are put into lanes of 64, and the bits of every lane are spread by
    halves (20, 10, 5) until each digit fills a byte; a translation makes characters of the digits.
    """
    bits = int.from_bytes(b"\0\0\0".join(_split_7x5(body)), "big")
    bits = (bits & _HIGH_20) << 12 | bits & _LOW_20
    bits = (bits & _HIGH_10) << 6 | bits & _LOW_10
    bits = (bits & _HIGH_5) << 3 | bits & _LOW_5
    return bits.to_bytes(56, "big").translate(_CHARACTERS).decode("ascii")


@lru_cache(maxsize=16384)
def encode(version: int, payload: bytes) -> str:
    """Return the strkey of ``payload`` under a version byte."""
    body = bytes((version,)) + payload
    body += crc_hqx(body, 0).to_bytes(2, "little")
    if len(body) == 35:
        return _base32_of_35(body)
    return b32encode(body).rstrip(b"=").decode("ascii")


def decode(text: str) -> tuple[int, bytes]:
    """Return version byte and payload; raise :class:`InvalidStrkeyError` where the text is no strkey."""
    try:
        raw = b32decode(text + "=" * (-len(text) % 8))
    except (BinasciiError, ValueError, TypeError):
        if isinstance(text, str) and text != text.upper():
            raise InvalidStrkeyError(
                f"{text!r:.80} is not a strkey: those are written in capitals.", help="Write it in capital letters."
            ) from None
        raise InvalidStrkeyError(f"{text!r:.80} is not a strkey: it is not base32.") from None
    if len(raw) < 3 or crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
        raise InvalidStrkeyError(f"{text!r:.80} is not a strkey: its checksum does not fit.")
    if b32encode(raw).rstrip(b"=").decode("ascii") != text:
        raise InvalidStrkeyError(f"{text!r:.80} is not a strkey: it is not in the one canonical form.")
    return raw[0], raw[1:-2]


@lru_cache(maxsize=4096)
def decode_address(text: str) -> tuple[int, bytes]:
    """Return version byte and payload of a G, C, M, B or L strkey, the kinds an SCAddress can be (CAP-67).

    Raises :class:`InvalidStrkeyError` where the text is no strkey or one of another kind or length.
    """
    version, payload = decode(text)
    if ADDRESS_SIZES.get(version) != len(payload) or (version == VERSION_CLAIMABLE_BALANCE and payload[0]):
        raise InvalidStrkeyError(f"{text!r:.80} is not an address: those begin with G, C, M, B or L.")
    return version, payload


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


@lru_cache(maxsize=4096)
def account_id_bytes(text: str) -> bytes:
    """Return the 32 bytes of a G… account id; raise :class:`InvalidStrkeyError` where it is none."""
    version, payload = decode(text)
    if version != VERSION_ACCOUNT or len(payload) != 32:
        raise InvalidStrkeyError(f"{text!r:.80} is not an account id: those begin with G and have 56 characters.")
    return payload
