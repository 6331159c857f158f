"""Asset contracts (SAC, CAP-46-6): the contract id that every asset has on a network."""

from __future__ import annotations

import re
from hashlib import sha256

from stellarstream_core.errors import InvalidStrkeyError
from stellarstream_core.events import ContractEvent
from stellarstream_core.xdr.strkey import account_id_bytes

_ENVELOPE_TYPE_CONTRACT_ID = (8).to_bytes(4, "big")
_FROM_ASSET = (1).to_bytes(4, "big")
_NATIVE = bytes(4)
_ALPHANUM4 = (1).to_bytes(4, "big")
_ALPHANUM12 = (2).to_bytes(4, "big")
_ED25519 = bytes(4)

_SCV_STRING = (14).to_bytes(4, "big")
_ASSET = re.compile(r"native|[0-9A-Za-z]{1,12}:G[A-Z2-7]{55}", re.ASCII)


def asset_contract_id(asset: str, network_id: bytes) -> bytes:
    """Return the 32-byte id of an asset's contract: sha256 of its ``HashIDPreimage`` (CAP-46-6).

    ``asset`` is written as SEP-11 does, ``native`` or ``CODE:ISSUER``; ``network_id`` is the sha256
    of the network's passphrase. Raises ``InvalidStrkeyError`` for an issuer that is no account.
    """
    return sha256(_ENVELOPE_TYPE_CONTRACT_ID + network_id + _FROM_ASSET + _asset_xdr(asset)).digest()


def asset_of_event(event: ContractEvent) -> str | None:
    """Return the asset that the event's last topic names, as an asset contract's events do; None otherwise."""
    return asset_of_topic(event.topics[-1]) if event.topics else None


def asset_of_topic(topic: bytes) -> str | None:
    """Return the asset that a topic (XDR of an ScVal) names as SEP-11 does; None where it names none."""
    if topic[:4] != _SCV_STRING:
        return None
    text = topic[8 : 8 + int.from_bytes(topic[4:8], "big")]
    try:
        name = text.decode("ascii")
        if not _ASSET.fullmatch(name):
            return None
        _asset_xdr(name)
    except (UnicodeDecodeError, InvalidStrkeyError):
        return None
    return name


def _asset_xdr(asset: str) -> bytes:
    if asset == "native":
        return _NATIVE
    code, _, issuer = asset.partition(":")
    short = len(code) <= 4
    padded = code.encode("ascii").ljust(4 if short else 12, b"\0")
    return (_ALPHANUM4 if short else _ALPHANUM12) + padded + _ED25519 + account_id_bytes(issuer)
