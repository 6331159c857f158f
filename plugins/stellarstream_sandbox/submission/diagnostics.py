"""What a node's log says of a call: diagnostic events, and the text of an error with them.

Words, order and punctuation are those of soroban-env-host, because programs read them: the error first, then
the events from the newest to the oldest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stellarstream_core.errors import XdrError
from stellarstream_core.xdr.scval import Arm, ErrorType, ScValue, decode_scval
from stellarstream_core.xdr.strkey import VERSION_CONTRACT, decode, encode
from stellarstream_sandbox import scval
from stellarstream_sandbox import values as v
from stellarstream_sandbox.economy.calls import Event
from stellarstream_sandbox.pack import ONE, ZERO, array, u32
from stellarstream_sandbox.submission.incoming import Invocation

_DIAGNOSTIC = u32(2)
_MAX_EVENTS = 25
"""How many events the text of an error shows."""

_ERROR_TYPES = ("Contract", "WasmVm", "Context", "Storage", "Object", "Crypto", "Events", "Budget", "Value", "Auth")
_ERROR_CODES = (
    "ArithDomain",
    "IndexBounds",
    "InvalidInput",
    "MissingValue",
    "ExistingValue",
    "ExceededLimit",
    "InvalidAction",
    "InternalError",
    "UnexpectedType",
    "UnexpectedSize",
)
_EVENT_TYPES = ("System", "Contract", "Diagnostic")

Error = bytes
"""The XDR of an ``SCVal`` that is an error."""


def host_error(kind: str, code: str) -> Error:
    """Return an error of the host's own, by the names that it prints."""
    return u32(Arm.ERROR) + u32(_ERROR_TYPES.index(kind)) + u32(_ERROR_CODES.index(code))


def contract_error(code: int) -> Error:
    """Return an error of a contract's own."""
    return u32(Arm.ERROR) + u32(ErrorType.CONTRACT) + u32(code)


@dataclass(frozen=True, slots=True)
class Noted:
    """One event of the log: topics and data are ScVal XDR; ``type`` is 0 system, 1 contract, 2 diagnostic.

    ``failed`` says that the call that published it failed, so that the event never happened.
    """

    contract: str | None
    topics: tuple[bytes, ...]
    data: bytes
    type: int = 2
    failed: bool = False

    @property
    def xdr(self) -> bytes:
        """The ``DiagnosticEvent``."""
        return (ZERO if self.failed else ONE) + self._event

    @property
    def failed_xdr(self) -> bytes:
        """The ``DiagnosticEvent`` where the transaction failed, and with it every call in it."""
        return ZERO + self._event

    @property
    def _event(self) -> bytes:
        contract = ZERO if self.contract is None else ONE + decode(self.contract)[1]
        return ZERO + contract + u32(self.type) + ZERO + array(self.topics) + self.data

    @property
    def text(self) -> str:
        """The event as the host prints it."""
        kind = _EVENT_TYPES[self.type]
        head = f"[Failed {kind} Event (not emitted)] " if self.failed else f"[{kind} Event] "
        where = "" if self.contract is None else f"contract:{self.contract}, "
        return f"{head}{where}topics:[{', '.join(self._topic_texts())}], data:{shown(self.data)}"

    def _topic_texts(self) -> list[str]:
        texts = [shown(topic) for topic in self.topics]
        # the contract of a call is bytes, and printed as the contract it is
        if texts[:1] == ["fn_call"] and len(self.topics) > 1:
            called = decode_scval(self.topics[1])
            if called.arm is Arm.BYTES and len(called.value) == 32:
                texts[1] = encode(VERSION_CONTRACT, called.value)
        return texts


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call failed: the error, and the log up to it, oldest first."""

    error: Error
    log: tuple[Noted, ...]

    @property
    def text(self) -> str:
        """The error as ``simulateTransaction`` says it."""
        lines = [f"HostError: {shown(self.error)}"]
        if self.log:
            lines += ["", "Event log (newest first):"]
        newest_first = self.log[::-1]
        lines += [f"   {number}: {event.text}" for number, event in enumerate(newest_first[:_MAX_EVENTS])]
        if len(newest_first) > _MAX_EVENTS:
            lines.append(f"   {_MAX_EVENTS}: ... elided ...")
        return "\n".join(lines) + "\n"


# --- the events that a log is made of ---------------------------------------------------------


def called(call: Invocation, caller: str | None = None, *, failed: bool = False) -> Noted:
    """Return the event of a call that begins."""
    topics = (_symbol("fn_call"), scval.encode(v.Bytes(decode(call.contract)[1])), _symbol(call.function))
    return Noted(caller, topics, _arguments(call.args), failed=failed)


def returned(call: Invocation, value: bytes) -> Noted:
    """Return the event of a call that ends well."""
    return Noted(call.contract, (_symbol("fn_return"), _symbol(call.function)), value)


def published(event: Event, *, failed: bool = False) -> Noted:
    """Return an event that a contract published."""
    kind = 0 if event.type.value == "system" else 1
    topics = tuple(scval.encode(topic) for topic in event.topics)
    return Noted(event.contract, topics, scval.encode(event.data), kind, failed)


def failing(contract: str | None, error: Error, message: str, *args: bytes, failed: bool = False) -> Noted:
    """Return the event of an error: the message alone, or a list of it and what it is about."""
    text = scval.encode(v.Text(message.encode()))
    data = text if not args else u32(Arm.VEC) + ONE + array((text, *args))
    return Noted(contract, (_symbol("error"), error), data, failed=failed)


def vec(*items: bytes) -> bytes:
    """Return an ``SCVal`` that is a list of others."""
    return u32(Arm.VEC) + ONE + array(items)


def _symbol(name: str) -> bytes:
    return scval.encode(v.Symbol(name))


def _arguments(args: Sequence[bytes]) -> bytes:
    """Return arguments as the host notes them: none is void, a single one stands bare."""
    if len(args) == 1:
        return args[0]
    return vec(*args) if args else scval.encode(v.VOID)


# --- values in words --------------------------------------------------------------------------


def shown(raw: bytes) -> str:
    """Return an ``SCVal`` as the host prints it."""
    try:
        return _shown(decode_scval(raw))
    except XdrError:
        return f"Bytes({raw.hex()})"


def _shown(value: ScValue) -> str:
    arm, inner = value
    match arm:
        case Arm.BOOL:
            return "true" if inner else "false"
        case Arm.VOID:
            return "Void"
        case Arm.ERROR:
            code = f"#{inner.code}" if inner.type is ErrorType.CONTRACT else _ERROR_CODES[inner.code]
            return f"Error({_ERROR_TYPES[inner.type]}, {code})"
        case Arm.TIMEPOINT:
            return f"TimePoint({inner})"
        case Arm.DURATION:
            return f"Duration({inner})"
        case Arm.BYTES:
            return f"Bytes({inner.hex()})"
        case Arm.STRING:
            return f'"{_text(inner)}"'
        case Arm.SYMBOL | Arm.EXECUTABLE_TAG:
            return _text(inner)
        case Arm.VEC:
            return f"[{', '.join(_shown(item) for item in inner or ())}]"
        case Arm.MAP:
            return f"{{{', '.join(f'{_shown(key)}: {_shown(item)}' for key, item in inner or ())}}}"
        case Arm.CONTRACT_INSTANCE:
            wasm = inner.executable.wasm_hash
            return f"ContractInstance({'StellarAsset' if wasm is None else f'Wasm({wasm.hex()})'})"
        case Arm.LEDGER_KEY_CONTRACT_INSTANCE:
            return "LedgerKeyContractInstance"
        case Arm.LEDGER_KEY_NONCE:
            return f"LedgerKeyNonce({inner})"
        case _:  # numbers, and addresses as their strkey
            return str(inner)


def _text(inner: str | bytes) -> str:
    return inner if isinstance(inner, str) else inner.decode(errors="backslashreplace")
