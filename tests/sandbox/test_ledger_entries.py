"""getLedgerEntries of a sandbox: accounts as the ledgers have them, and accounts made to order."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Asset, Keypair, SignedPayloadSigner, SignerKey, StrKey, scval, xdr

from stellarstream_core.chain import account_signers
from stellarstream_core.errors import InvalidStrkeyError, UsageError
from stellarstream_core.hookspecs import PluginSettings
from stellarstream_core.settings import Settings
from stellarstream_core.xdr.account import AccountSigners, Thresholds, account_ledger_key, read_account_entry
from stellarstream_sandbox.accounts import NEW_BALANCE, AccountSetup, signer_key
from stellarstream_sandbox.config import SandboxConfig
from stellarstream_sandbox.jsonrpc import JsonRpcError
from stellarstream_sandbox.ledger_entries import get_ledger_entries
from stellarstream_sandbox.ledger_keys import entry_type
from stellarstream_sandbox.network import SandboxNetwork
from stellarstream_sandbox.simulation import Simulation
from stellarstream_soroban_rpc.chain_client import SorobanRpcChainClient
from stellarstream_soroban_rpc.settings import SECTION, SorobanRpcSettings
from tests.sandbox.conftest import GENESIS_TIME, closed

TIP = 161
STRANGER = Keypair.random().public_key


def base64_key(account: str) -> str:
    return b64encode(account_ledger_key(account)).decode()


def ask(simulation: Simulation, *keys: str, **params):
    latest = simulation.history.snapshot().latest
    return get_ledger_entries({"keys": list(keys), **params}, latest, simulation.world)


def refused(simulation, *keys, **params) -> tuple[int, str]:
    with pytest.raises(JsonRpcError) as caught:
        ask(simulation, *keys, **params)
    return caught.value.code, caught.value.message


def account_of(simulation: Simulation, account: str) -> xdr.AccountEntry:
    """Return an account as stellar_sdk reads it, its bytes checked to be what stellar_sdk would write."""
    (entry,) = ask(simulation, base64_key(account))["entries"]
    data = xdr.LedgerEntryData.from_xdr(entry["xdr"])
    assert data.to_xdr() == entry["xdr"]
    return data.account


# --- answers ----------------------------------------------------------------------------------------


def test_every_named_account_exists_with_one_key_and_thresholds_of_zero(simulation):
    assert set(simulation.accounts) >= {"alice", "bob", "issuer", "admin", "treasury", "sponsor", "deployer"}
    answer = ask(simulation, *map(base64_key, simulation.accounts.values()))
    assert answer["latestLedger"] == TIP
    for account, entry in zip(simulation.accounts.values(), answer["entries"], strict=True):
        assert set(entry) == {"key", "xdr", "lastModifiedLedgerSeq", "extXdr"}
        assert entry["key"] == base64_key(account)
        assert xdr.LedgerEntryExt.from_xdr(entry["extXdr"]).v == 0
        read = read_account_entry(b64decode(entry["xdr"]))
        assert read.account == account
        assert read.signers == AccountSigners(1, Thresholds(0, 0, 0), {})
        assert 1 <= entry["lastModifiedLedgerSeq"] <= TIP


def last_states(parsed) -> dict[str, xdr.LedgerEntry]:
    """Return the last entry of each account that the ledgers' metas show."""
    states = {}

    def note(changes):
        for change in changes.ledger_entry_changes:
            if change.updated is not None:
                account = change.updated.data.account.account_id
                states[StrKey.encode_ed25519_public_key(account.account_id.ed25519.uint256)] = change.updated

    for meta in parsed:
        for one in meta.tx_processing:
            note(one.fee_processing)
        for one in meta.tx_processing:
            applied = one.tx_apply_processing.v4
            note(applied.tx_changes_before)
            for operation in applied.operations:
                note(operation.changes)
        for one in meta.tx_processing:
            note(one.post_tx_apply_fee_processing)
    return states


def test_accounts_are_what_the_last_ledger_made_of_them(simulation, parsed):
    states = last_states(parsed)
    assert len(states) > 8
    for account, entry in states.items():
        (found,) = ask(simulation, base64_key(account))["entries"]
        assert found["xdr"] == entry.data.to_xdr()
        assert found["lastModifiedLedgerSeq"] == entry.last_modified_ledger_seq.uint32


def test_entries_come_in_the_order_of_the_keys_and_what_does_not_exist_is_left_out(simulation):
    alice, bob = simulation.accounts["alice"], simulation.accounts["bob"]
    answer = ask(simulation, base64_key(bob), base64_key(STRANGER), base64_key(alice))
    assert [entry["key"] for entry in answer["entries"]] == [base64_key(bob), base64_key(alice)]
    assert ask(simulation, base64_key(STRANGER))["entries"] == []


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"keys": ["AAAA"]}, -32602, "cannot unmarshal key value AAAA at index 0"),
        ({"keys": [base64_key(STRANGER), "?"]}, -32602, "cannot unmarshal key value ? at index 1"),
        ({"keys": [base64_key(STRANGER)] * 201}, -32602, "key count (201) exceeds maximum supported (200)"),
        ({"keys": [b64encode(b"\0\0\0\x09" + bytes(32)).decode()]}, -32602, "ledger ttl entries cannot be queried"),
        ({"keys": "AAAA"}, -32602, "invalid parameters"),
        ({"keys": [7]}, -32602, "invalid parameters"),
        ({"keys": [], "xdrFormat": "yaml"}, -32602, "got 'yaml': expected base64, json for optional 'xdrFormat'"),
        ({"keys": [], "xdrFormat": "json"}, -32602, "not supported by this simulated node"),
        ({"keys": []}, -32603, "could not query captive core: no keys specified in request"),
        ({"keys": None}, -32603, "could not query captive core: no keys specified in request"),
        ({"keys": [base64_key(STRANGER)] * 2}, -32603, "http request failed with non-200 status code (404)"),
    ],
)
def test_what_a_node_refuses_is_refused_with_its_words(simulation, params, code, message):
    found_code, found = refused(simulation, **params)
    assert found_code == code
    assert message in found


def test_a_key_with_a_line_break_is_read_and_then_not_found_again(simulation):
    key = base64_key(simulation.accounts["alice"])
    assert refused(simulation, key + "\n") == (-32603, f"mismatching key in result: {key}")
    assert ask(simulation, base64_key(STRANGER) + "\n")["entries"] == []


# --- other kinds of keys ----------------------------------------------------------------------------

ISSUER = Keypair.random()
ID = ISSUER.xdr_account_id()
H32 = bytes(range(32))
CONTRACT = xdr.SCAddress(xdr.SCAddressType.SC_ADDRESS_TYPE_CONTRACT, contract_id=xdr.ContractID(xdr.Hash(H32)))


def trust_line(asset: xdr.TrustLineAsset) -> xdr.LedgerKey:
    return xdr.LedgerKey(xdr.LedgerEntryType.TRUSTLINE, trust_line=xdr.LedgerKeyTrustLine(ID, asset))


def contract_data(address: xdr.SCAddress, value: xdr.SCVal) -> xdr.LedgerKey:
    persistent = xdr.ContractDataDurability.PERSISTENT
    return xdr.LedgerKey(
        xdr.LedgerEntryType.CONTRACT_DATA, contract_data=xdr.LedgerKeyContractData(address, value, persistent)
    )


BALANCE_ID = xdr.ClaimableBalanceID(xdr.ClaimableBalanceIDType.CLAIMABLE_BALANCE_ID_TYPE_V0, v0=xdr.Hash(H32))
POOL = xdr.PoolID(xdr.Hash(H32))
OTHERS = [
    trust_line(Asset("USDC", ISSUER.public_key).to_trust_line_asset_xdr_object()),
    trust_line(Asset("LONGCODE", ISSUER.public_key).to_trust_line_asset_xdr_object()),
    trust_line(xdr.TrustLineAsset(xdr.AssetType.ASSET_TYPE_POOL_SHARE, liquidity_pool_id=POOL)),
    xdr.LedgerKey(xdr.LedgerEntryType.OFFER, offer=xdr.LedgerKeyOffer(ID, xdr.Int64(7))),
    xdr.LedgerKey(xdr.LedgerEntryType.DATA, data=xdr.LedgerKeyData(ID, xdr.String64(b"name!"))),
    xdr.LedgerKey(xdr.LedgerEntryType.CLAIMABLE_BALANCE, claimable_balance=xdr.LedgerKeyClaimableBalance(BALANCE_ID)),
    xdr.LedgerKey(xdr.LedgerEntryType.LIQUIDITY_POOL, liquidity_pool=xdr.LedgerKeyLiquidityPool(POOL)),
    contract_data(CONTRACT, scval.to_vec([scval.to_symbol("Stream"), scval.to_uint64(7)])),
    contract_data(CONTRACT, xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE)),
    contract_data(
        xdr.SCAddress(xdr.SCAddressType.SC_ADDRESS_TYPE_ACCOUNT, account_id=ID), scval.to_address(ISSUER.public_key)
    ),
    xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=xdr.LedgerKeyContractCode(xdr.Hash(H32))),
    *(
        xdr.LedgerKey(xdr.LedgerEntryType.CONFIG_SETTING, config_setting=xdr.LedgerKeyConfigSetting(setting))
        for setting in (min(xdr.ConfigSettingID), max(xdr.ConfigSettingID))
    ),
]


@pytest.mark.parametrize("key", OTHERS, ids=[f"{n} {key.type.name.lower()}" for n, key in enumerate(OTHERS)])
def test_entries_of_other_kinds_do_not_exist(simulation, key):
    assert entry_type(key.to_xdr_bytes()) == key.type
    assert ask(simulation, key.to_xdr())["entries"] == []


def sdk_reads(raw: bytes) -> bool:
    try:
        return xdr.LedgerKey.from_xdr_bytes(raw).to_xdr_bytes() == raw
    except Exception:
        return False


known_keys = st.sampled_from([key.to_xdr_bytes() for key in OTHERS] + [account_ledger_key(ISSUER.public_key)])


@given(key=known_keys, place=st.integers(0, 200), byte=st.integers(0, 255), cut=st.integers(-4, 4))
def test_bytes_are_a_key_where_stellar_sdk_says_so(key, place, byte, cut):
    spoilt = bytearray(key)
    spoilt[place % len(key)] = byte
    raw = bytes(spoilt)[:cut] if cut < 0 else bytes(spoilt) + bytes(cut)
    assert (entry_type(raw) is not None) == sdk_reads(raw)


@given(raw=st.binary(max_size=80))
def test_noise_is_a_key_where_stellar_sdk_says_so(raw):
    assert (entry_type(raw) is not None) == sdk_reads(raw)


# --- accounts made to order -------------------------------------------------------------------------

accounts = st.binary(min_size=32, max_size=32).map(StrKey.encode_ed25519_public_key)
weights = st.integers(1, 255)
levels = st.integers(0, 255)
balances = st.none() | st.integers(0, 2**63 - 1)


@pytest.fixture(scope="module")
def own() -> Simulation:
    return closed(SandboxConfig(ledgers=3, genesis_time=GENESIS_TIME, transactions=1))[0]


@given(
    account=accounts,
    signers=st.dictionaries(accounts, weights, max_size=20),
    master=levels,
    thresholds=st.tuples(levels, levels, levels),
    balance=balances,
)
def test_an_account_is_made_as_it_was_ordered(own, account, signers, master, thresholds, balance):
    signers.pop(account, None)
    setup = AccountSetup(account, signers, master, thresholds, balance)
    known = account in own.world.accounts
    held = own.world.bank.balance(own.world.native.contract, account)
    own.world.set_account(setup, 4)
    made = account_of(own, setup.account)
    read = read_account_entry(xdr.LedgerEntryData(xdr.LedgerEntryType.ACCOUNT, account=made).to_xdr_bytes())
    assert read.signers == AccountSigners(setup.master_weight, Thresholds(*setup.thresholds), setup.signers)
    assert read.balance == ((held if known else NEW_BALANCE) if balance is None else balance)
    assert read.sequence == 4 << 32
    assert made.num_sub_entries.uint32 == len(made.signers)
    keys = [signer.key.to_xdr_bytes() for signer in made.signers]
    assert keys == sorted(keys)
    assert len(made.ext.v1.ext.v2.signer_sponsoring_i_ds) == len(made.signers)


def test_an_account_changes_with_the_next_ledger_and_not_before():
    simulation, _ = closed(SandboxConfig(ledgers=3, genesis_time=GENESIS_TIME, transactions=0))
    alice = simulation.accounts["alice"]
    before = account_of(simulation, alice)
    setup = AccountSetup(alice, {STRANGER: 2}, master_weight=0, thresholds=(1, 2, 3))
    assert simulation.set_account(setup) == 5
    assert simulation.set_account(AccountSetup(STRANGER, balance=5)) == 5
    assert account_of(simulation, alice) == before
    assert ask(simulation, base64_key(STRANGER))["entries"] == []
    assert simulation.close_ledger().sequence == 5
    after = account_of(simulation, alice)
    assert after.thresholds.thresholds == bytes([0, 1, 2, 3])
    assert (after.balance, after.seq_num) == (before.balance, before.seq_num)
    answer = ask(simulation, base64_key(alice), base64_key(STRANGER))
    assert [entry["lastModifiedLedgerSeq"] for entry in answer["entries"]] == [5, 5]
    assert account_of(simulation, STRANGER).balance.int64 == 5
    simulation.set_account(AccountSetup(alice))
    simulation.close_ledger()
    assert account_of(simulation, alice).signers == []


def test_accounts_of_the_config_are_there_from_the_first_ledger_on():
    config = SandboxConfig(ledgers=1, genesis_time=GENESIS_TIME, accounts=(AccountSetup(STRANGER, balance=7),))
    simulation, (ledger,) = closed(config)
    assert account_of(simulation, STRANGER).balance.int64 == 7
    _, (same,) = closed(SandboxConfig(ledgers=1, genesis_time=GENESIS_TIME))
    assert ledger.meta == same.meta, "what takes no part in a ledger does not change it"


def test_ledgers_show_a_changed_account_as_it_is():
    simulation, _ = closed(SandboxConfig(ledgers=2, genesis_time=GENESIS_TIME))
    for account in simulation.accounts.values():
        simulation.set_account(AccountSetup(account, {STRANGER: 9}, thresholds=(1, 2, 3)))
    parsed = [xdr.LedgerCloseMeta.from_xdr_bytes(simulation.close_ledger().meta).v2 for _ in range(4)]
    states = last_states(parsed)
    assert states
    for account, entry in states.items():
        assert entry.data.account == account_of(simulation, account)
        assert [signer.weight.uint32 for signer in entry.data.account.signers] == [9]


@given(data=st.binary(min_size=32, max_size=32), payload=st.binary(min_size=1, max_size=64))
def test_every_kind_of_signer_is_written_as_stellar_sdk_writes_it(data, payload):
    keys = [
        SignerKey.ed25519_public_key(data),
        SignerKey.pre_auth_tx(data),
        SignerKey.sha256_hash(data),
        SignerKey.ed25519_signed_payload(SignedPayloadSigner(StrKey.encode_ed25519_public_key(data), payload)),
    ]
    for key in keys:
        assert signer_key(key.encoded_signer_key) == key.to_xdr_object().to_xdr_bytes()


@pytest.mark.parametrize(
    "strkey",
    ["", "alice", StrKey.encode_contract(H32), StrKey.encode_med25519_public_key(H32 + bytes(8)), STRANGER[:-1]],
    ids=["nothing", "a name", "a contract", "a muxed account", "cut short"],
)
def test_what_cannot_sign_is_no_signer(strkey):
    with pytest.raises(InvalidStrkeyError):
        AccountSetup(STRANGER, {strkey: 1})


@pytest.mark.parametrize(
    "wrong",
    [
        {"signers": {STRANGER: 1}},
        {"signers": {ISSUER.public_key: 0}},
        {"signers": {ISSUER.public_key: 256}},
        {"signers": {Keypair.random().public_key: 1 for _ in range(21)}},
        {"master_weight": 256},
        {"master_weight": True},
        {"thresholds": (0, 0)},
        {"thresholds": (0, 0, -1)},
        {"balance": -1},
        {"balance": 2**63},
    ],
    ids=lambda wrong: str(wrong)[:12],  # without keys, which differ between processes
)
def test_an_account_that_no_network_could_have_is_refused(wrong):
    with pytest.raises(UsageError):
        AccountSetup(STRANGER, **wrong)


# --- through StellarStream's own client -------------------------------------------------------------


async def test_signers_are_read_through_the_chain_client():
    config = SandboxConfig(ledgers=3, genesis_time=GENESIS_TIME, port=0, live=False)
    async with SandboxNetwork(config) as network:
        made = Settings(network="sandbox", rpc_url=[network.url])
        client = SorobanRpcChainClient(made.with_sections([PluginSettings(SECTION, SorobanRpcSettings)]))
        try:
            alice = network.accounts["alice"]
            assert await account_signers(client, alice) == AccountSigners(1, Thresholds(0, 0, 0), {})
            assert Keypair.from_secret(network.secret_key("alice")).public_key == alice
            assert await account_signers(client, STRANGER) is None
            hashed = SignerKey.sha256_hash(H32).encoded_signer_key
            ledger = network.set_account(STRANGER, signers={alice: 2, hashed: 1}, thresholds=(1, 2, 3))
            network.close_ledger()
            assert ledger == network.latest
            assert await account_signers(client, STRANGER) == AccountSigners(1, Thresholds(1, 2, 3), {alice: 2}, 1)
            many = [Keypair.random().public_key for _ in range(250)]
            answer = await client.ledger_entries([account_ledger_key(account) for account in (*many, alice)])
            assert set(answer.entries) == {account_ledger_key(alice)}
            assert answer.ledger == network.latest
        finally:
            await client.close()


async def test_a_secret_key_is_given_of_named_accounts_only():
    network = SandboxNetwork(SandboxConfig(ledgers=1, port=0, live=False))
    with pytest.raises(UsageError, match="nobody"):
        network.secret_key("nobody")
