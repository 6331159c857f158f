"""getLedgerEntries of contracts: their own entries, their streams, balances, code; and trust lines."""

from __future__ import annotations

from hashlib import sha256

import pytest
from stellar_sdk import Address, Asset, Keypair, scval, xdr

from stellarstream_sandbox.ledger_entries import LIFE, get_ledger_entries
from tests.sandbox.wallet import Chain, stream_v2

UNIT = 10**7
INSTANCE = xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE)


@pytest.fixture(scope="module")
def chain() -> Chain:
    """A chain with one stream: number 0 of V2, from alice to bob."""
    made = Chain()
    alice, bob, start = made.keys("alice"), made.keys("bob"), made.next_close
    token = made.contracts["token-nova"]
    args = stream_v2(alice.public_key, bob.public_key, token, 100 * UNIT, start, start + 1000)
    made.done(alice, "streams-v2", "create_stream", args)
    made.close()
    return made


def data_key(chain: Chain, contract: str, key: xdr.SCVal, durability: str = "PERSISTENT") -> xdr.LedgerKey:
    address = Address(chain.contracts.get(contract, contract)).to_xdr_sc_address()
    kind = xdr.ContractDataDurability[durability]
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=xdr.LedgerKeyContractData(address, key, kind))


def ask(chain: Chain, *keys: xdr.LedgerKey) -> list[dict]:
    params = {"keys": [key.to_xdr() for key in keys]}
    answer = get_ledger_entries(params, chain.latest, chain.world, chain.simulation.last_change)
    assert answer["latestLedger"] == chain.latest
    return answer["entries"]


def one(chain: Chain, key: xdr.LedgerKey) -> tuple[dict, xdr.LedgerEntryData]:
    """Return the entry of a key that must be there, and what stellar_sdk reads of it."""
    (entry,) = ask(chain, key)
    data = xdr.LedgerEntryData.from_xdr(entry["xdr"])
    assert data.to_xdr() == entry["xdr"]
    assert entry["key"] == key.to_xdr()
    return entry, data


def test_a_stream_stands_under_its_number_and_says_when_it_ends(chain):
    entry, data = one(
        chain, data_key(chain, "streams-v2", scval.to_vec([scval.to_symbol("Stream"), scval.to_uint64(0)]))
    )
    stored = scval.to_native(data.contract_data.val)
    assert stored["sender"].address == chain.simulation.accounts["alice"]
    assert stored["total_amount"] == chain.world.v2.streams.get(0).total
    assert entry["lastModifiedLedgerSeq"] == chain.latest - 1
    assert entry["liveUntilLedgerSeq"] == chain.latest + LIFE


def test_a_contracts_own_entry_leads_to_its_code(chain):
    for name in ("streams-v1", "streams-v2", "token-nova", "counter"):
        _, data = one(chain, data_key(chain, name, INSTANCE))
        wasm = data.contract_data.val.instance.executable.wasm_hash
        key = xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=xdr.LedgerKeyContractCode(wasm))
        entry, code = one(chain, key)
        assert sha256(code.contract_code.code).digest() == code.contract_code.hash.hash == wasm.hash
        assert code.contract_code.code.startswith(b"\0asm")
        assert b"contractspecv0" in code.contract_code.code
        assert entry["liveUntilLedgerSeq"] == chain.latest + LIFE


def test_an_asset_contract_has_no_code(chain):
    _, data = one(chain, data_key(chain, "token-usdc", INSTANCE))
    executable = data.contract_data.val.instance.executable
    assert executable.type == xdr.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET


def test_a_token_of_its_own_keeps_balances_of_accounts(chain):
    bob = chain.simulation.accounts["bob"]
    _, data = one(
        chain, data_key(chain, "token-nova", scval.to_vec([scval.to_symbol("Balance"), scval.to_address(bob)]))
    )
    assert scval.from_int128(data.contract_data.val) == chain.balance(bob, "token-nova")


@pytest.mark.parametrize(
    ("contract", "key", "durability"),
    [
        ("streams-v2", scval.to_vec([scval.to_symbol("Stream"), scval.to_uint64(9)]), "PERSISTENT"),
        ("streams-v2", scval.to_vec([scval.to_symbol("Stream"), scval.to_uint64(0)]), "TEMPORARY"),
        ("streams-v2", scval.to_symbol("Stream"), "PERSISTENT"),
        ("CAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD2KM", INSTANCE, "PERSISTENT"),
        (Keypair.from_raw_ed25519_seed(bytes(32)).public_key, INSTANCE, "PERSISTENT"),
    ],
    ids=["another stream", "another durability", "another key", "another contract", "an account"],
)
def test_what_a_contract_does_not_keep_does_not_exist(chain, contract, key, durability):
    assert ask(chain, data_key(chain, contract, key, durability)) == []


def test_code_that_nobody_installed_does_not_exist(chain):
    code = xdr.LedgerKeyContractCode(xdr.Hash(bytes(32)))
    assert ask(chain, xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=code)) == []


def trust_line(account: str, asset: Asset) -> xdr.LedgerKey:
    line = xdr.LedgerKeyTrustLine(
        Keypair.from_public_key(account).xdr_account_id(), asset.to_trust_line_asset_xdr_object()
    )
    return xdr.LedgerKey(xdr.LedgerEntryType.TRUSTLINE, trust_line=line)


def test_every_account_has_a_trust_line_for_the_one_asset(chain):
    alice, issuer = chain.simulation.accounts["alice"], chain.simulation.accounts["issuer"]
    entry, data = one(chain, trust_line(alice, Asset("USDC", issuer)))
    assert data.trust_line.balance.int64 == chain.balance(alice)
    assert data.trust_line.flags.uint32 == xdr.TrustLineFlags.AUTHORIZED_FLAG
    assert "liveUntilLedgerSeq" not in entry
    assert ask(chain, trust_line(issuer, Asset("USDC", issuer)), trust_line(alice, Asset("EURC", issuer))) == []
    assert ask(chain, trust_line(Keypair.random().public_key, Asset("USDC", issuer))) == []


def test_entries_of_all_kinds_come_in_one_answer(chain):
    alice = chain.simulation.accounts["alice"]
    account = xdr.LedgerKey(
        xdr.LedgerEntryType.ACCOUNT,
        account=xdr.LedgerKeyAccount(Keypair.from_public_key(alice).xdr_account_id()),
    )
    keys = [data_key(chain, "streams-v1", INSTANCE), account, data_key(chain, "vault-usdc", INSTANCE)]
    assert [entry["key"] for entry in ask(chain, *keys)] == [key.to_xdr() for key in keys]


def test_calls_move_the_last_change_of_the_contracts_they_reach(chain):
    alice = chain.keys("alice")
    before = chain.simulation.last_change(chain.contracts["airdrop"])
    chain.done(alice, "counter", "increment")
    assert chain.simulation.last_change(chain.contracts["counter"]) == chain.latest
    assert chain.simulation.last_change(chain.contracts["airdrop"]) == before
