"""ScVals made by stellar_sdk's own classes, and what each of them must decode to.

The functions here read stellar_sdk's objects, never bytes, so they share nothing with the decoder.
"""

from hypothesis import strategies as st
from stellar_sdk import Address, StrKey, xdr

from stellarstream_core.xdr.scval import (
    Arm,
    ContractInstance,
    ErrorCode,
    ErrorType,
    Executable,
    ExecutableType,
    ScError,
    ScValue,
)

T = xdr.SCValType
U64_MAX = 2**64 - 1


def integer(arm, number):
    """Return stellar_sdk's SCVal of an integer arm."""
    name, make = {
        Arm.U32: ("u32", xdr.Uint32),
        Arm.I32: ("i32", xdr.Int32),
        Arm.U64: ("u64", xdr.Uint64),
        Arm.I64: ("i64", xdr.Int64),
        Arm.TIMEPOINT: ("timepoint", lambda n: xdr.TimePoint(xdr.Uint64(n))),
        Arm.DURATION: ("duration", lambda n: xdr.Duration(xdr.Uint64(n))),
        Arm.U128: ("u128", lambda n: xdr.UInt128Parts(xdr.Uint64(n >> 64), xdr.Uint64(n & U64_MAX))),
        Arm.I128: ("i128", lambda n: xdr.Int128Parts(xdr.Int64(n >> 64), xdr.Uint64(n & U64_MAX))),
        Arm.U256: ("u256", lambda n: xdr.UInt256Parts(xdr.Uint64(n >> 192), *_low_words(n))),
        Arm.I256: ("i256", lambda n: xdr.Int256Parts(xdr.Int64(n >> 192), *_low_words(n))),
        Arm.LEDGER_KEY_NONCE: ("nonce_key", lambda n: xdr.SCNonceKey(xdr.Int64(n))),
    }[arm]
    return xdr.SCVal(T(arm), **{name: make(number)})


def _low_words(number):
    return [xdr.Uint64(number >> shift & U64_MAX) for shift in (128, 64, 0)]


RANGES = {
    Arm.U32: (0, 2**32 - 1),
    Arm.I32: (-(2**31), 2**31 - 1),
    Arm.U64: (0, U64_MAX),
    Arm.I64: (-(2**63), 2**63 - 1),
    Arm.TIMEPOINT: (0, U64_MAX),
    Arm.DURATION: (0, U64_MAX),
    Arm.U128: (0, 2**128 - 1),
    Arm.I128: (-(2**127), 2**127 - 1),
    Arm.U256: (0, 2**256 - 1),
    Arm.I256: (-(2**255), 2**255 - 1),
    Arm.LEDGER_KEY_NONCE: (-(2**63), 2**63 - 1),
}


def boolean(value):
    return xdr.SCVal(T.SCV_BOOL, b=value)


def void():
    return xdr.SCVal(T.SCV_VOID)


def error(kind, code):
    if kind == 0:
        return xdr.SCVal(T.SCV_ERROR, error=xdr.SCError(xdr.SCErrorType(0), contract_code=xdr.Uint32(code)))
    return xdr.SCVal(T.SCV_ERROR, error=xdr.SCError(xdr.SCErrorType(kind), code=xdr.SCErrorCode(code)))


def octets(raw):
    return xdr.SCVal(T.SCV_BYTES, bytes=xdr.SCBytes(raw))


def string(raw):
    return xdr.SCVal(T.SCV_STRING, str=xdr.SCString(raw))


def symbol(raw):
    return xdr.SCVal(T.SCV_SYMBOL, sym=xdr.SCSymbol(raw))


def tag(raw):
    return xdr.SCVal(T.SCV_EXECUTABLE_TAG, executable_tag=xdr.SCString(raw))


def address(sc_address):
    return xdr.SCVal(T.SCV_ADDRESS, address=sc_address)


def vec(items):
    return xdr.SCVal(T.SCV_VEC, vec=None if items is None else xdr.SCVec(items))


def sc_map(pairs):
    return None if pairs is None else xdr.SCMap([xdr.SCMapEntry(key, val) for key, val in pairs])


def mapping(pairs):
    return xdr.SCVal(T.SCV_MAP, map=sc_map(pairs))


def instance(executable, pairs):
    return xdr.SCVal(T.SCV_CONTRACT_INSTANCE, instance=xdr.SCContractInstance(executable, sc_map(pairs)))


def ledger_key_contract_instance():
    return xdr.SCVal(T.SCV_LEDGER_KEY_CONTRACT_INSTANCE)


# --- strategies -----------------------------------------------------------------------------

_hashes = st.binary(min_size=32, max_size=32)
_texts = st.binary(max_size=40) | st.text(max_size=16).map(str.encode)

sc_addresses = st.one_of(
    _hashes.map(lambda raw: Address(StrKey.encode_ed25519_public_key(raw))),
    _hashes.map(lambda raw: Address(StrKey.encode_contract(raw))),
    st.binary(min_size=40, max_size=40).map(lambda raw: Address(StrKey.encode_med25519_public_key(raw))),
    _hashes.map(lambda raw: Address(StrKey.encode_claimable_balance(b"\0" + raw))),
    _hashes.map(lambda raw: Address(StrKey.encode_liquidity_pool(raw))),
).map(Address.to_xdr_sc_address)

_executables = st.one_of(
    _hashes.map(
        lambda raw: xdr.ContractExecutable(xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, wasm_hash=xdr.Hash(raw))
    ),
    st.just(xdr.ContractExecutable(xdr.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET)),
    st.builds(
        lambda owner, raw: xdr.ContractExecutable(
            xdr.ContractExecutableType.CONTRACT_EXECUTABLE_EXTERNAL_REF,
            external_ref=xdr.ContractExecutableExternalRef(owner, xdr.SCString(raw)),
        ),
        sc_addresses,
        _texts,
    ),
)


def _integers(arm):
    low, high = RANGES[arm]
    return (st.sampled_from([low, low + 1, 0, 1, high - 1, high]) | st.integers(low, high)).map(
        lambda number: integer(arm, number)
    )


_LEAVES = {
    Arm.BOOL: st.booleans().map(boolean),
    Arm.VOID: st.builds(void),
    Arm.ERROR: st.builds(error, st.integers(1, 9), st.integers(0, 9))
    | st.integers(0, 2**32 - 1).map(lambda code: error(0, code)),
    **{arm: _integers(arm) for arm in RANGES},
    Arm.BYTES: st.binary(max_size=70).map(octets),
    Arm.STRING: _texts.map(string),
    Arm.SYMBOL: (st.binary(max_size=32) | st.from_regex(rb"[a-zA-Z0-9_]{1,32}", fullmatch=True)).map(symbol),
    Arm.ADDRESS: sc_addresses.map(address),
    Arm.LEDGER_KEY_CONTRACT_INSTANCE: st.builds(ledger_key_contract_instance),
    Arm.EXECUTABLE_TAG: _texts.map(tag),
}

# Keys that other languages like to merge: one and true, a symbol and a string of the same text.
_awkward_keys = st.sampled_from(
    [
        integer(Arm.U32, 1),
        integer(Arm.U64, 1),
        boolean(True),
        symbol(b"a"),
        string(b"a"),
        string(b"1"),
        string(b"\xff"),
        vec([integer(Arm.U32, 1)]),
        void(),
    ]
)


def _pairs_of(inner):
    return st.none() | st.lists(st.tuples(_awkward_keys | inner, inner), max_size=4)


def _containers_of(inner):
    return {
        Arm.VEC: (st.none() | st.lists(inner, max_size=4)).map(vec),
        Arm.MAP: _pairs_of(inner).map(mapping),
        Arm.CONTRACT_INSTANCE: st.builds(instance, _executables, _pairs_of(inner)),
    }


any_scval = st.recursive(
    st.one_of(*_LEAVES.values()), lambda inner: st.one_of(*_containers_of(inner).values()), max_leaves=12
)

scval_of = {**_LEAVES, **_containers_of(any_scval)}
"""For each arm a strategy of stellar_sdk SCVals of that arm."""


# --- what they must decode to ---------------------------------------------------------------


def text_of(raw):
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def strkey_of(sc_address):
    return Address.from_xdr_sc_address(sc_address).address


def number_of(value):
    """Return the integer of an integer arm, from the parts that stellar_sdk keeps."""
    match value.type:
        case T.SCV_U32:
            return value.u32.uint32
        case T.SCV_I32:
            return value.i32.int32
        case T.SCV_U64:
            return value.u64.uint64
        case T.SCV_I64:
            return value.i64.int64
        case T.SCV_TIMEPOINT:
            return value.timepoint.time_point.uint64
        case T.SCV_DURATION:
            return value.duration.duration.uint64
        case T.SCV_U128:
            return (value.u128.hi.uint64 << 64) + value.u128.lo.uint64
        case T.SCV_I128:
            return (value.i128.hi.int64 << 64) + value.i128.lo.uint64
        case T.SCV_U256:
            parts = value.u256
            high = parts.hi_hi.uint64
        case T.SCV_I256:
            parts = value.i256
            high = parts.hi_hi.int64
        case T.SCV_LEDGER_KEY_NONCE:
            return value.nonce_key.nonce.int64
    return (high << 192) + (parts.hi_lo.uint64 << 128) + (parts.lo_hi.uint64 << 64) + parts.lo_lo.uint64


def error_of(value):
    kind = ErrorType(value.error.type.value)
    if kind is ErrorType.CONTRACT:
        return ScError(kind, value.error.contract_code.uint32)
    return ScError(kind, ErrorCode(value.error.code.value))


def executable_of(executable):
    kind = ExecutableType(executable.type.value)
    if kind is ExecutableType.WASM:
        return Executable(kind, wasm_hash=executable.wasm_hash.hash)
    if kind is ExecutableType.STELLAR_ASSET:
        return Executable(kind)
    reference = executable.external_ref
    return Executable(kind, owner=strkey_of(reference.executable_owner), tag=text_of(reference.tag.sc_string))


def pairs_of(found, convert):
    return None if found is None else [(convert(entry.key), convert(entry.val)) for entry in found.sc_map]


def _plain_leaf(value):
    match Arm(value.type.value):
        case Arm.BOOL:
            return value.b
        case Arm.VOID | Arm.LEDGER_KEY_CONTRACT_INSTANCE:
            return None
        case Arm.ERROR:
            return error_of(value)
        case Arm.BYTES:
            return value.bytes.sc_bytes
        case Arm.STRING:
            return text_of(value.str.sc_string)
        case Arm.SYMBOL:
            return text_of(value.sym.sc_symbol)
        case Arm.EXECUTABLE_TAG:
            return text_of(value.executable_tag.sc_string)
        case Arm.ADDRESS:
            return strkey_of(value.address)
    return number_of(value)


def typed(value):
    """Return the ScValue that stellar_sdk's object stands for."""
    arm = Arm(value.type.value)
    if arm is Arm.VEC:
        return ScValue(arm, None if value.vec is None else tuple(map(typed, value.vec.sc_vec)))
    if arm is Arm.MAP:
        pairs = pairs_of(value.map, typed)
        return ScValue(arm, None if pairs is None else tuple(pairs))
    if arm is Arm.CONTRACT_INSTANCE:
        pairs = pairs_of(value.instance.storage, typed)
        storage = None if pairs is None else tuple(pairs)
        return ScValue(arm, ContractInstance(executable_of(value.instance.executable), storage))
    return ScValue(arm, _plain_leaf(value))


def native(value):
    """Return the plain Python that stellar_sdk's object stands for."""
    arm = Arm(value.type.value)
    if arm is Arm.VEC:
        return ScValue(arm, None) if value.vec is None else list(map(native, value.vec.sc_vec))
    if arm is Arm.MAP:
        return ScValue(arm, None) if value.map is None else pairs_of(value.map, native)
    if arm is Arm.CONTRACT_INSTANCE:
        executable = executable_of(value.instance.executable)
        return ContractInstance(executable, pairs_of(value.instance.storage, native))
    if arm >= Arm.LEDGER_KEY_CONTRACT_INSTANCE:
        return ScValue(arm, _plain_leaf(value))
    return _plain_leaf(value)


def json_of(value):
    """Return the JSON that the documented mapping gives stellar_sdk's object."""
    arm = Arm(value.type.value)
    name = arm.name.lower()
    if arm is Arm.VEC:
        return {name: None} if value.vec is None else list(map(json_of, value.vec.sc_vec))
    if arm is Arm.MAP:
        return {name: None} if value.map is None else _json_map(value.map)
    if arm is Arm.CONTRACT_INSTANCE:
        storage = value.instance.storage
        content = executable_of(value.instance.executable)
        executable = {
            ExecutableType.WASM: lambda: {"wasm": content.wasm_hash.hex()},
            ExecutableType.STELLAR_ASSET: lambda: {"stellar_asset": None},
            ExecutableType.EXTERNAL_REF: lambda: {
                "external_ref": {"executable_owner": content.owner, "tag": json_text(content.tag)}
            },
        }[content.type]()
        return {name: {"executable": executable, "storage": None if storage is None else _json_map(storage)}}
    if arm is Arm.ERROR:
        found = error_of(value)
        code = found.code if found.type is ErrorType.CONTRACT else ErrorCode(found.code).name.lower()
        return {name: {found.type.name.lower(): code}}
    plain = _plain_leaf(value)
    if arm is Arm.BYTES:
        return plain.hex()
    if arm in (Arm.STRING, Arm.SYMBOL):
        return json_text(plain)
    if arm is Arm.EXECUTABLE_TAG:
        return {name: json_text(plain)}
    if arm in (Arm.BOOL, Arm.VOID, Arm.U32, Arm.I32, Arm.ADDRESS):
        return plain
    if arm is Arm.LEDGER_KEY_NONCE:
        return {name: str(plain)}
    return {name: None} if arm is Arm.LEDGER_KEY_CONTRACT_INSTANCE else str(plain)


def json_text(text):
    return text if isinstance(text, str) else {"hex": text.hex()}


def _json_map(found):
    pairs = pairs_of(found, json_of)
    textual = all(entry.key.type in (T.SCV_SYMBOL, T.SCV_STRING) for entry in found.sc_map)
    keys = [key for key, _ in pairs if isinstance(key, str)]
    if textual and len(set(keys)) == len(pairs):
        return dict(pairs)
    return [list(pair) for pair in pairs]
