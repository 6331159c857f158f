"""Contract specs and code entries as stellar_sdk writes them: the encoder is not ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

from stellar_sdk import Address, xdr

from stellarstream_core.testing.chain import ScriptedChain
from stellarstream_core.xdr.contract_entry import code_key, instance_key

Kind = xdr.SCSpecType
PLAIN = {
    "Address": Kind.SC_SPEC_TYPE_ADDRESS,
    "i128": Kind.SC_SPEC_TYPE_I128,
    "u64": Kind.SC_SPEC_TYPE_U64,
    "u32": Kind.SC_SPEC_TYPE_U32,
    "bool": Kind.SC_SPEC_TYPE_BOOL,
    "Symbol": Kind.SC_SPEC_TYPE_SYMBOL,
    "Val": Kind.SC_SPEC_TYPE_VAL,
    "()": Kind.SC_SPEC_TYPE_VOID,
}


def kind(name: str) -> xdr.SCSpecTypeDef:
    """Return a type without parts, or one that the contract defines."""
    if (plain := PLAIN.get(name)) is not None:
        return xdr.SCSpecTypeDef(plain)
    return xdr.SCSpecTypeDef(Kind.SC_SPEC_TYPE_UDT, udt=xdr.SCSpecTypeUDT(name.encode()))


def option(inner: xdr.SCSpecTypeDef) -> xdr.SCSpecTypeDef:
    return xdr.SCSpecTypeDef(Kind.SC_SPEC_TYPE_OPTION, option=xdr.SCSpecTypeOption(inner))


def function(name: str, inputs: Mapping[str, str | xdr.SCSpecTypeDef], output: str | xdr.SCSpecTypeDef | None = None):
    made = [
        xdr.SCSpecFunctionInputV0(b"what it is", field.encode(), kind(one) if isinstance(one, str) else one)
        for field, one in inputs.items()
    ]
    outputs = [] if output is None else [kind(output) if isinstance(output, str) else output]
    return xdr.SCSpecEntry(
        xdr.SCSpecEntryKind.SC_SPEC_ENTRY_FUNCTION_V0,
        function_v0=xdr.SCSpecFunctionV0(b"Does it.\n", xdr.SCSymbol(name.encode()), made, outputs),
    )


def struct(name: str, fields: Sequence[str]):
    made = [xdr.SCSpecUDTStructFieldV0(b"", field.encode(), kind("i128")) for field in fields]
    return xdr.SCSpecEntry(
        xdr.SCSpecEntryKind.SC_SPEC_ENTRY_UDT_STRUCT_V0,
        udt_struct_v0=xdr.SCSpecUDTStructV0(b"", b"", name.encode(), made),
    )


def errors(name: str, cases: Mapping[str, int]):
    made = [xdr.SCSpecUDTErrorEnumCaseV0(b"why", case.encode(), xdr.Uint32(value)) for case, value in cases.items()]
    return xdr.SCSpecEntry(
        xdr.SCSpecEntryKind.SC_SPEC_ENTRY_UDT_ERROR_ENUM_V0,
        udt_error_enum_v0=xdr.SCSpecUDTErrorEnumV0(b"", b"lib", name.encode(), made),
    )


def enum(name: str, cases: Mapping[str, int]):
    made = [xdr.SCSpecUDTEnumCaseV0(b"", case.encode(), xdr.Uint32(value)) for case, value in cases.items()]
    return xdr.SCSpecEntry(
        xdr.SCSpecEntryKind.SC_SPEC_ENTRY_UDT_ENUM_V0, udt_enum_v0=xdr.SCSpecUDTEnumV0(b"", b"", name.encode(), made)
    )


def union(name: str):
    case = xdr.SCSpecUDTUnionCaseV0Kind
    made = [
        xdr.SCSpecUDTUnionCaseV0(
            case.SC_SPEC_UDT_UNION_CASE_VOID_V0, void_case=xdr.SCSpecUDTUnionCaseVoidV0(b"", b"Nothing")
        ),
        xdr.SCSpecUDTUnionCaseV0(
            case.SC_SPEC_UDT_UNION_CASE_TUPLE_V0,
            tuple_case=xdr.SCSpecUDTUnionCaseTupleV0(b"", b"Both", [kind("u32"), option(kind("Address"))]),
        ),
    ]
    return xdr.SCSpecEntry(
        xdr.SCSpecEntryKind.SC_SPEC_ENTRY_UDT_UNION_V0, udt_union_v0=xdr.SCSpecUDTUnionV0(b"", b"", name.encode(), made)
    )


def event(name: str):
    topic = xdr.SCSpecEventParamLocationV0.SC_SPEC_EVENT_PARAM_LOCATION_TOPIC_LIST
    made = xdr.SCSpecEventV0(
        b"told",
        b"",
        xdr.SCSymbol(name.encode()),
        [xdr.SCSymbol(b"a"), xdr.SCSymbol(b"bc")],
        [xdr.SCSpecEventParamV0(b"", b"who", kind("Address"), topic)],
        xdr.SCSpecEventDataFormat.SC_SPEC_EVENT_DATA_FORMAT_MAP,
    )
    return xdr.SCSpecEntry(xdr.SCSpecEntryKind.SC_SPEC_ENTRY_EVENT_V0, event_v0=made)


def section(kind_: int, content: bytes) -> bytes:
    return bytes([kind_]) + leb128(len(content)) + content


def leb128(number: int) -> bytes:
    made = b""
    while True:
        number, low = number >> 7, number & 0x7F
        made += bytes([low | (0x80 if number else 0)])
        if not number:
            return made


def custom(name: str, content: bytes) -> bytes:
    return section(0, leb128(len(name)) + name.encode() + content)


def wasm(*entries: xdr.SCSpecEntry, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a wasm whose spec has these entries, among other sections."""
    raw = b"".join(entry.to_xdr_bytes() for entry in entries)
    code = section(1, b"\1\x60\0\0") + section(10, bytes(300))
    return b"\0asm\1\0\0\0" + before + code + custom("contractspecv0", raw) + after


def instance_data(contract: str, executable: xdr.ContractExecutable, storage=None) -> bytes:
    """Return the LedgerEntryData of a contract's instance."""
    instance = xdr.SCContractInstance(executable, storage)
    return contract_data(
        contract,
        xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE),
        xdr.SCVal(xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=instance),
    )


def contract_data(contract: str, key: xdr.SCVal, value: xdr.SCVal) -> bytes:
    entry = xdr.ContractDataEntry(
        xdr.ExtensionPoint(0),
        Address(contract).to_xdr_sc_address(),
        key,
        xdr.ContractDataDurability.PERSISTENT,
        value,
    )
    return xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=entry).to_xdr_bytes()


def runs(code: bytes) -> xdr.ContractExecutable:
    return xdr.ContractExecutable(
        xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, wasm_hash=xdr.Hash(sha256(code).digest())
    )


ASSET = xdr.ContractExecutable(xdr.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET)


def code_data(code: bytes, named: bytes | None = None, *, costs: bool = False) -> bytes:
    """Return the LedgerEntryData of contract code, with the cost inputs of protocol 21 or without."""
    ext = xdr.ContractCodeEntryExt(0)
    if costs:
        inputs = xdr.ContractCodeCostInputs(xdr.ExtensionPoint(0), *[xdr.Uint32(n) for n in range(10)])
        ext = xdr.ContractCodeEntryExt(1, v1=xdr.ContractCodeEntryV1(xdr.ExtensionPoint(0), inputs))
    entry = xdr.ContractCodeEntry(ext, xdr.Hash(named or sha256(code).digest()), code)
    return xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=entry).to_xdr_bytes()


def put(chain: ScriptedChain, contract: str, code: bytes, *, costs: bool = False) -> None:
    """Have a contract run some code."""
    chain.entries[instance_key(contract)] = instance_data(contract, runs(code))
    chain.entries[code_key(sha256(code).digest())] = code_data(code, costs=costs)


V1_INPUTS = {
    "sender": "Address",
    "receiver": "Address",
    "token": "Address",
    "total_amount": "i128",
    "start_time": "u64",
    "cliff_time": "u64",
    "end_time": "u64",
    "curve_type": "CurveType",
    "is_soulbound": "bool",
}
V2_FIELDS = ("sender", "receiver", "token", "total_amount", "multiplier_bps", "vault_address")

V1_WASM = wasm(
    function("create_stream", V1_INPUTS, "u64"),
    function("withdraw", {"stream_id": "u64", "caller": "Address"}, "i128"),
    function("pause_stream", {"stream_id": "u64", "caller": "Address"}),
    function("top_up_stream", {"stream_id": "u64", "sender": "Address", "amount": "i128"}),
    enum("CurveType", {"Linear": 0, "Exponential": 1}),
    errors("Error", {"StreamNotFound": 4, "StreamPaused": 14}),
)
V2_WASM = wasm(
    struct("StreamArgs", V2_FIELDS),
    function("create_stream", {"args": "StreamArgs"}, "u64"),
    function("top_up", {"stream_id": "u64", "sender": "Address", "extra_amount": "i128"}),
    function("split_funds", {"token": "Address"}),
    function("predict_balance_at", {"stream_id": "u64", "future_timestamp": "u64"}, "i128"),
    errors("ContractError", {"StreamNotFound": 13, "NothingToWithdraw": 17}),
)
SPLITTER_WASM = wasm(
    function("split_funds", {"sender": "Address", "total": "i128"}),
    function("execute_split", {"split_id": "u64"}),
)
