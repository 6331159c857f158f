"""The text of a host error: values as soroban-env-host prints them, newest event first, and not without end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from stellar_sdk import Address, Keypair, StrKey, scval, xdr

from stellarstream_sandbox import values as v
from stellarstream_sandbox.economy import calls
from stellarstream_sandbox.economy.footprint import Footprint
from stellarstream_sandbox.submission.authorisation import lower_demands, record, root_demands
from stellarstream_sandbox.submission.diagnostics import (
    Failure,
    called,
    contract_error,
    failing,
    host_error,
    published,
    shown,
)
from stellarstream_sandbox.submission.incoming import Invocation
from stellarstream_sandbox.submission.invoking import Success, nonroot

ALICE = Keypair.from_raw_ed25519_seed(bytes(32)).public_key
BOB = Keypair.from_raw_ed25519_seed(bytes(31) + b"\1").public_key
CONTRACT = StrKey.encode_contract(bytes(range(32)))
TOKEN = StrKey.encode_contract(bytes(32))
WASM = xdr.ContractExecutable(xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, wasm_hash=xdr.Hash(bytes(32)))
ASSET = xdr.ContractExecutable(xdr.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (scval.to_bool(True), "true"),
        (scval.to_void(), "Void"),
        (scval.to_uint32(7), "7"),
        (scval.to_int128(-(2**127)), str(-(2**127))),
        (scval.to_uint256(2**256 - 1), str(2**256 - 1)),
        (scval.to_timepoint(5), "TimePoint(5)"),
        (scval.to_duration(5), "Duration(5)"),
        (scval.to_bytes(b"\1\xff"), "Bytes(01ff)"),
        (scval.to_string("café"), '"café"'),
        (scval.to_symbol("withdraw"), "withdraw"),
        (scval.to_address(ALICE), ALICE),
        (scval.to_address(CONTRACT), CONTRACT),
        (scval.to_vec([]), "[]"),
        (scval.to_vec([scval.to_uint32(1), scval.to_symbol("a")]), "[1, a]"),
        (scval.to_map({scval.to_symbol("a"): scval.to_void()}), "{a: Void}"),
        (xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE), "LedgerKeyContractInstance"),
        (
            xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_NONCE, nonce_key=xdr.SCNonceKey(xdr.Int64(-4))),
            "LedgerKeyNonce(-4)",
        ),
        (
            xdr.SCVal(xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=xdr.SCContractInstance(WASM, None)),
            f"ContractInstance(Wasm({'00' * 32}))",
        ),
        (
            xdr.SCVal(xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=xdr.SCContractInstance(ASSET, None)),
            "ContractInstance(StellarAsset)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_are_printed_as_the_host_does(value, text):
    assert shown(value.to_xdr_bytes()) == text


def test_errors_are_printed_with_type_and_code():
    assert shown(contract_error(17)) == "Error(Contract, #17)"
    for kind in xdr.SCErrorType:
        if kind is xdr.SCErrorType.SCE_CONTRACT:
            continue
        for code in xdr.SCErrorCode:
            names = ["".join(part.capitalize() for part in one.name.split("_")[1:]) for one in (kind, code)]
            value = xdr.SCVal(xdr.SCValType.SCV_ERROR, error=xdr.SCError(kind, code=code))
            assert shown(value.to_xdr_bytes()) == f"Error({names[0]}, {names[1]})"
            assert host_error(*names) == value.to_xdr_bytes()


def test_a_call_names_its_contract_and_bare_arguments():
    call = Invocation(CONTRACT, "withdraw", (scval.to_uint64(3).to_xdr_bytes(),))
    assert called(call).text == f"[Diagnostic Event] topics:[fn_call, {CONTRACT}, withdraw], data:3"
    assert called(replace(call, args=()), TOKEN).text == (
        f"[Diagnostic Event] contract:{TOKEN}, topics:[fn_call, {CONTRACT}, withdraw], data:Void"
    )
    event = xdr.DiagnosticEvent.from_xdr_bytes(called(call).xdr)
    assert event.event.contract_id is None
    assert event.event.body.v0.data == scval.to_uint64(3)


def test_what_never_happened_is_marked():
    event = calls.Event(TOKEN, (v.Symbol("transfer"),), v.U32(1))
    assert published(event, failed=True).text == (
        f"[Failed Contract Event (not emitted)] contract:{TOKEN}, topics:[transfer], data:1"
    )
    assert xdr.DiagnosticEvent.from_xdr_bytes(published(event).xdr).in_successful_contract_call
    for raw in (published(event, failed=True).xdr, published(event).failed_xdr):
        assert not xdr.DiagnosticEvent.from_xdr_bytes(raw).in_successful_contract_call


def test_a_long_log_is_cut_after_its_newest_events():
    error = contract_error(1)
    log = tuple(failing(CONTRACT, error, f"number {number}") for number in range(30))
    lines = Failure(error, log).text.splitlines()
    assert lines[3].startswith("   0: ")
    assert lines[3].endswith('"number 29"')
    assert lines[-2].endswith('"number 5"')
    assert lines[-1] == "   25: ... elided ..."


# --- authorisations that are not tied to the called contract ------------------------------------------


def pulling(owner: str) -> tuple[Invocation, Success]:
    """Return a call that alice authorises and that takes a token from ``owner``."""
    call = Invocation(CONTRACT, "go", (scval.to_address(ALICE).to_xdr_bytes(),))
    pull = calls.Invocation(TOKEN, "transfer", (v.Address(owner), v.Address(CONTRACT), v.I128(5)))
    demands = (*root_demands(call, [ALICE]), *lower_demands(call, [ALICE], [pull]))
    return call, Success(calls.Outcome(v.VOID), demands, Footprint([], []), ())


def test_who_is_asked_only_below_makes_a_recording_fail():
    call, success = pulling(BOB)
    failure = nonroot(call, success)
    assert failure is not None
    assert failure.text.startswith("HostError: Error(Auth, InvalidAction)\n")
    assert "not tied to the root contract invocation" in failure.text
    assert nonroot(*pulling(ALICE)) is None


def test_such_an_authorisation_is_a_tree_of_its_own_where_that_is_allowed():
    entries = [
        xdr.SorobanAuthorizationEntry.from_xdr_bytes(one) for one in record(pulling(BOB)[1].demands, ALICE, b"").entries
    ]
    roots = [entry.root_invocation.function.contract_fn.function_name.sc_symbol for entry in entries]
    assert roots == [b"go", b"transfer"]
    assert Address.from_xdr_sc_address(entries[1].credentials.address.address).address == BOB


def test_what_a_contract_is_asked_itself_it_authorises_by_calling():
    assert len(pulling(CONTRACT)[1].demands) == 1
