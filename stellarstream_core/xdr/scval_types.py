"""What a decoded ScVal is: its arms, and the small types that keep every arm apart.

Names and numbers are those of Stellar-contract.x (protocol 28).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")

MAX_NESTING = 240
"""How deep a value may nest: a vec counts 1, a map 2, a contract instance 4.

That is how many levels of lists and objects the value takes as JSON, so whatever is decoded can also
be printed (orjson ends at 254 levels, and an event adds a few around the value). The network stays
far below: soroban-env-host turns values into ScVals with ``DEFAULT_HOST_DEPTH_LIMIT`` = 100, which
takes 200 here at the most.
"""

MAX_SYMBOL = 32
"""Bytes a symbol may have: ``SCSYMBOL_LIMIT``."""


class Arm(IntEnum):
    """The arms of ``SCVal`` under the numbers of ``SCValType``."""

    BOOL = 0
    VOID = 1
    ERROR = 2
    U32 = 3
    I32 = 4
    U64 = 5
    I64 = 6
    TIMEPOINT = 7
    DURATION = 8
    U128 = 9
    I128 = 10
    U256 = 11
    I256 = 12
    BYTES = 13
    STRING = 14
    SYMBOL = 15
    VEC = 16
    MAP = 17
    ADDRESS = 18
    CONTRACT_INSTANCE = 19
    LEDGER_KEY_CONTRACT_INSTANCE = 20
    LEDGER_KEY_NONCE = 21
    EXECUTABLE_TAG = 22


class ErrorType(IntEnum):
    """``SCErrorType``: where an error comes from. Only ``CONTRACT`` carries a contract's own code."""

    CONTRACT = 0
    WASM_VM = 1
    CONTEXT = 2
    STORAGE = 3
    OBJECT = 4
    CRYPTO = 5
    EVENTS = 6
    BUDGET = 7
    VALUE = 8
    AUTH = 9


class ErrorCode(IntEnum):
    """``SCErrorCode``: what went wrong, for every error that is not a contract's own."""

    ARITH_DOMAIN = 0
    INDEX_BOUNDS = 1
    INVALID_INPUT = 2
    MISSING_VALUE = 3
    EXISTING_VALUE = 4
    EXCEEDED_LIMIT = 5
    INVALID_ACTION = 6
    INTERNAL_ERROR = 7
    UNEXPECTED_TYPE = 8
    UNEXPECTED_SIZE = 9


class ExecutableType(IntEnum):
    """``ContractExecutableType``: what a contract instance runs."""

    WASM = 0
    STELLAR_ASSET = 1
    EXTERNAL_REF = 2


class ScError(NamedTuple):
    """``SCError``. ``code`` is a contract's own u32 under ``CONTRACT``, an :class:`ErrorCode` otherwise."""

    type: ErrorType
    code: int


class Executable(NamedTuple):
    """``ContractExecutable``.

    ``wasm_hash`` (32 bytes) is set for ``WASM``; ``owner`` (a strkey) and ``tag`` (bytes where it is
    not UTF-8) for ``EXTERNAL_REF``; nothing for ``STELLAR_ASSET``.
    """

    type: ExecutableType
    wasm_hash: bytes | None = None
    owner: str | None = None
    tag: str | bytes | None = None


class ContractInstance(NamedTuple, Generic[T]):
    """``SCContractInstance``: the executable, and the instance storage as pairs (None: absent)."""

    executable: Executable
    storage: T | None


class ScValue(NamedTuple):
    """One ScVal with nothing lost: its arm, and a value whose Python type the arm decides.

    ====================================  ===================================================
    arm                                   ``value``
    ====================================  ===================================================
    ``BOOL``                              bool
    ``VOID``                              None
    ``ERROR``                             :class:`ScError`
    ``U32`` … ``I256``, ``TIMEPOINT``     int (seconds for the two kinds of time)
    and ``DURATION``
    ``BYTES``                             bytes
    ``STRING``, ``SYMBOL``,               str; bytes where it is not UTF-8
    ``EXECUTABLE_TAG``
    ``VEC``                               tuple of :class:`ScValue`; None where the vec is absent
    ``MAP``                               tuple of pairs of :class:`ScValue`, in the order of the
                                          bytes; None where the map is absent
    ``ADDRESS``                           strkey: G, C, M, B or L
    ``CONTRACT_INSTANCE``                 :class:`ContractInstance`, storage like ``MAP``
    ``LEDGER_KEY_CONTRACT_INSTANCE``      None
    ``LEDGER_KEY_NONCE``                  int
    ====================================  ===================================================

    Values are hashable, and equal exactly where their bytes are equal.
    """

    arm: Arm
    value: Any


Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"
"""What ``json.loads`` can return here: no floats."""
