"""A contract's ledger entries: the keys of its instance, its data and its code, and what their XDR holds.

``LedgerEntryData`` of the two kinds is read to its last byte: truncation, trailing bytes and padding that is not
zero are refused, parts this release does not know need a newer one.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from stellarstream_core.errors import ProtocolUpgradeNeededError, XdrError
from stellarstream_core.xdr import ledger_walk as walk
from stellarstream_core.xdr.scval import Arm, ContractInstance, ScValue, decode_scval
from stellarstream_core.xdr.strkey import contract_id_bytes, contract_id_text

_CONTRACT_DATA, _CONTRACT_CODE = (6).to_bytes(4, "big"), (7).to_bytes(4, "big")
"""``LedgerEntryType``, with which both ``LedgerKey`` and ``LedgerEntryData`` begin."""
_ADDRESS_CONTRACT = (1).to_bytes(4, "big")
_NOTHING = bytes(4)
INSTANCE_KEY = int(Arm.LEDGER_KEY_CONTRACT_INSTANCE).to_bytes(4, "big")
"""The ScVal under which a contract keeps its instance."""
_COST_INPUTS = 44
"""Bytes of ``ContractCodeCostInputs``: an extension that is 0, and ten counts."""


class Durability(IntEnum):
    """``ContractDataDurability``."""

    TEMPORARY = 0
    PERSISTENT = 1


class ContractData(NamedTuple):
    """A ``ContractDataEntry``: ``key`` and ``value`` are XDR of ScVals, ``contract`` is a C… id."""

    contract: str
    key: bytes
    durability: Durability
    value: bytes


def contract_data_key(contract: str, key: bytes, durability: Durability = Durability.PERSISTENT) -> bytes:
    """Return the XDR of the ``LedgerKey`` of what a contract (C…) keeps under ``key`` (XDR of an ScVal).

    Raises ``InvalidStrkeyError`` where ``contract`` is no contract id.
    """
    return _CONTRACT_DATA + _ADDRESS_CONTRACT + contract_id_bytes(contract) + key + int(durability).to_bytes(4, "big")


def instance_key(contract: str) -> bytes:
    """Return the XDR of the ``LedgerKey`` of a contract's instance: what it runs, and its instance storage."""
    return contract_data_key(contract, INSTANCE_KEY)


def code_key(wasm_hash: bytes) -> bytes:
    """Return the XDR of the ``LedgerKey`` of a wasm by its hash (32 bytes)."""
    if len(wasm_hash) != 32:
        raise XdrError(f"A wasm's hash has 32 bytes, not {len(wasm_hash)}.")
    return _CONTRACT_CODE + wasm_hash


def read_contract_data(data: bytes) -> ContractData:
    """Read the XDR of a ``LedgerEntryData`` that holds contract data. Raises ``XdrError``."""
    words = walk.words(data)
    if data[:4] != _CONTRACT_DATA:
        raise XdrError("The ledger entry is not contract data.")
    if data[4:8] != _NOTHING:
        raise ProtocolUpgradeNeededError("Contract data has an extension that this release does not know.")
    if data[8:12] != _ADDRESS_CONTRACT:
        raise XdrError("Contract data belongs to an address that is no contract.")
    try:
        end = walk.skip_scval(words, 11)
        durability = Durability(words[end])
        last = walk.skip_scval(words, end + 1)
    except IndexError:
        last = len(words) + 1
    except ValueError:
        raise XdrError("Contract data is of a durability that does not exist.") from None
    if last != len(words):
        raise XdrError("Contract data is cut off." if last > len(words) else "More bytes follow contract data.")
    return ContractData(contract_id_text(data[12:44]), data[44 : 4 * end], durability, data[4 * end + 4 :])


def read_instance(data: bytes, contract: str) -> ContractInstance[tuple[tuple[ScValue, ScValue], ...]]:
    """Return the instance of a contract from its ``LedgerEntryData``.

    Raises ``XdrError`` where it is malformed or another contract's.
    """
    entry = read_contract_data(data)
    if entry.contract != contract or entry.key != INSTANCE_KEY:
        raise XdrError(f"The ledger entry is not the instance of {contract}.")
    value = decode_scval(entry.value)
    if value.arm is not Arm.CONTRACT_INSTANCE:
        raise XdrError(f"The instance of {contract} holds something else.")
    instance: ContractInstance[tuple[tuple[ScValue, ScValue], ...]] = value.value
    return instance


def read_code(data: bytes, most: int) -> tuple[bytes, bytes]:
    """Return hash and wasm from the ``LedgerEntryData`` of contract code; more than ``most`` bytes are refused.

    That the wasm has this hash is for the caller to check. Raises ``XdrError``.
    """
    if data[:4] != _CONTRACT_CODE:
        raise XdrError("The ledger entry is not contract code.")
    begin = 8
    match int.from_bytes(data[4:8], "big"):
        case 0:
            pass
        case 1:
            if data[8:12] != _NOTHING or data[12:16] != _NOTHING:
                raise ProtocolUpgradeNeededError("Contract code has an extension that this release does not know.")
            begin += 4 + _COST_INPUTS
        case other:
            raise ProtocolUpgradeNeededError(f"Contract code has the extension {other}, not known to this release.")
    size = int.from_bytes(data[begin + 32 : begin + 36], "big")
    if size > most:
        raise XdrError(f"Contract code has {size} bytes; {most} are read at the most.")
    code = data[begin + 36 : begin + 36 + size]
    rest = data[begin + 36 + size :]
    if len(code) != size or len(rest) != -size % 4 or any(rest):
        raise XdrError("Contract code is cut off, or more follows it than it should.")
    return data[begin : begin + 32], code
