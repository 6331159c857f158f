"""What of a transaction's XDR is looked at before a wallet signs it: its fixed beginning, its hash, its signatures.

``TransactionEnvelope`` (Stellar-transaction.x) of version 1 is, in order: the number 2; the source account (the number
0 for a plain key, its 32 bytes); the fee, 32 bits; the sequence number, 64 bits; much else; the signatures: how many,
and for each a hint of 4 bytes, the number 64, and as many bytes. All numbers are big-endian.
"""

from __future__ import annotations

from base64 import b32encode, b64decode
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct, pack

_BEGINNING = Struct(">II32sIq")
_VERSION_1 = 2
_PLAIN_KEY = 0
_SIGNATURE_BYTES = 4 + 4 + 64
_MOST_SIGNATURES = 20
_G = 6 << 3
"""The version byte of an account's address (SEP-23)."""


class EnvelopeError(ValueError):
    """Not the XDR of a transaction of version 1."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A transaction in its envelope: ``body`` is everything but its signatures."""

    body: bytes
    signatures: bytes

    @classmethod
    def read(cls, text: str) -> Envelope:
        """Read XDR in base64. Raises :class:`EnvelopeError`."""
        try:
            data = b64decode(text, validate=True)
        except ValueError as error:
            raise EnvelopeError("not base64") from error
        if len(data) < _BEGINNING.size + 4 or _BEGINNING.unpack_from(data)[:2] != (_VERSION_1, _PLAIN_KEY):
            raise EnvelopeError("not a transaction of version 1 with a plain source account")
        for count in range(_MOST_SIGNATURES + 1):
            at = len(data) - 4 - count * _SIGNATURE_BYTES
            if at >= _BEGINNING.size and _are_signatures(data[at:], count):
                return cls(data[:at], data[at:])
        raise EnvelopeError("it has no list of signatures")

    @property
    def source(self) -> str:
        """Whose transaction it is."""
        return address(_BEGINNING.unpack_from(self.body)[2])

    @property
    def sequence(self) -> int:
        """Its sequence number."""
        number: int = _BEGINNING.unpack_from(self.body)[4]
        return number

    def hash(self, network_passphrase: str) -> str:
        """Return its hash on a network, which is what gets signed, in hex."""
        network = sha256(network_passphrase.encode()).digest()
        return sha256(network + self.body).hexdigest()

    def is_signed(self) -> bool:
        """Tell whether there is any signature."""
        return len(self.signatures) > 4


def _are_signatures(data: bytes, count: int) -> bool:
    lengths = (data[at : at + 4] for at in range(8, len(data), _SIGNATURE_BYTES))
    return data[:4] == pack(">I", count) and all(length == b"\0\0\0\x40" for length in lengths)


def address(key: bytes) -> str:
    """Return the address of an account by its public key (SEP-23)."""
    data = bytes([_G]) + key
    return b32encode(data + pack("<H", _crc16(data))).decode()


def _crc16(data: bytes) -> int:
    """Return the checksum of addresses: CRC-16/XMODEM."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return crc
