"""Ledgers that were exported again: their asset events are put back before the hash is checked, or doubted."""

from hashlib import sha256

import pytest
from stellar_sdk import Keypair, StrKey, scval, xdr

from stellarstream_core.certificates import Breach, Doubt, Flavour
from stellarstream_core.errors import ProofFailedError
from stellarstream_core.xdr.ledger import read_ledger
from stellarstream_core.xdr.proof import prove
from tests.core import ledger_oracle as oracle

NETWORK = sha256(oracle.PUBNET.encode()).digest()
ISSUER = oracle.USDC.issuer
HOLDER, OTHER = (Keypair.from_raw_ed25519_seed(bytes((n,)) * 32).public_key for n in (1, 2))
FARM, TOKEN = (StrKey.encode_contract(sha256(name).digest()) for name in (b"farm", b"token"))


def asset_event(name, *addresses, asset=oracle.USDC, label=oracle.USDC_NAME, data=None):
    topics = [scval.to_symbol(name), *map(scval.to_address, addresses), scval.to_string(label)]
    return oracle.contract_event(oracle.asset_contract(asset), topics, data or scval.to_int128(1_000))


def mint(admin, to=HOLDER):
    return asset_event("mint", admin, to)


def farm_event():
    contract = xdr.ContractID(xdr.Hash(StrKey.decode_contract(FARM)))
    return oracle.contract_event(contract, [scval.to_symbol("harvest")], scval.to_void())


def exported(events, *, protocol=21, touched=()):
    """Return a ledger of an earlier protocol, sealed with ``events`` in its first invocation, exported again.

    ``touched`` are contracts and accounts of which the transaction changed an entry.
    """
    ledger = oracle.decode(oracle.small_ledger())
    oracle.header(ledger).ledger_version = xdr.Uint32(protocol)
    number, op, _ = oracle.invocations(ledger)[0]
    oracle.event_list(ledger, number, op)[:] = events
    meta = oracle.processing(ledger)[number].tx_apply_processing.v4
    meta.operations[op].changes = xdr.LedgerEntryChanges([removed(address) for address in touched])
    oracle.seal(ledger)
    oracle.event_list(ledger, number, op)[:] = list(map(oracle.rewritten, events))
    return ledger.to_xdr_bytes(), oracle.processing(ledger)[number].result.transaction_hash.hash.hex()


def removed(address):
    """Return the change of an entry of this contract, or of this account's nonce."""
    key = xdr.LedgerKey(
        xdr.LedgerEntryType.CONTRACT_DATA,
        contract_data=xdr.LedgerKeyContractData(
            scval.to_address(address).address,
            scval.to_void(),
            xdr.ContractDataDurability.TEMPORARY,
        ),
    )
    return xdr.LedgerEntryChange(xdr.LedgerEntryChangeType.LEDGER_ENTRY_REMOVED, removed=key)


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([asset_event("transfer", ISSUER, HOLDER)], id="transfer from the issuer"),
        pytest.param([asset_event("transfer", HOLDER, ISSUER)], id="transfer to the issuer"),
        pytest.param([asset_event("transfer", HOLDER, OTHER)], id="transfer"),
        pytest.param([asset_event("transfer", ISSUER, ISSUER)], id="transfer from issuer to issuer"),
        pytest.param([asset_event("burn", HOLDER)], id="burn"),
        pytest.param([asset_event("burn", HOLDER), asset_event("transfer", HOLDER, ISSUER)], id="burn and transfer"),
        pytest.param([mint(ISSUER)], id="mint by the issuer"),
        pytest.param([mint(FARM), farm_event()], id="mint by a contract with an event"),
        pytest.param([mint(FARM, to) for to in (HOLDER, OTHER, HOLDER, OTHER, HOLDER, OTHER, HOLDER)], id="many mints"),
        pytest.param([mint(FARM), asset_event("transfer", ISSUER, HOLDER)], id="mint and transfer from the issuer"),
        pytest.param([mint(FARM), asset_event("mint", FARM, ISSUER)], id="mint to the issuer"),
        pytest.param([mint(OTHER)], id="mint by an account"),
        pytest.param([asset_event("clawback", FARM, HOLDER)], id="clawback"),
        pytest.param([asset_event("set_authorized", FARM, HOLDER, data=scval.to_bool(True))], id="set_authorized"),
        pytest.param(
            [asset_event("clawback", FARM, HOLDER), mint(FARM), asset_event("burn", OTHER), farm_event()], id="all"
        ),
    ],
)
@pytest.mark.parametrize("network_id", [None, NETWORK], ids=["unknown network", "pubnet"])
def test_rewritten_events_are_put_back_and_proven(events, network_id):
    meta, _ = exported(events, touched=(FARM, OTHER))
    certificate = prove(read_ledger(meta), network_id)
    assert certificate.flavour is Flavour.BACKFILLED
    assert certificate.proven
    assert certificate.doubts == frozenset()
    assert certificate.proven_invocations == 4


def test_an_admin_that_stands_nowhere_in_the_transaction_leaves_the_invocation_in_doubt():
    meta, _ = exported([mint(TOKEN)], touched=(FARM, OTHER))
    certificate = prove(read_ledger(meta), NETWORK)
    assert certificate.doubts == {Doubt.BACKFILLED}
    assert certificate.proven_invocations == certificate.invocations - 1
    assert not certificate.proven


def test_a_changed_event_beside_a_rewritten_one_is_not_proven():
    """It cannot be told from an admin that was not found: so it is a doubt, never a proof."""
    events = [mint(FARM), farm_event()]
    meta, _ = exported(events, touched=(FARM,))
    harvest = farm_event().to_xdr_bytes()
    assert meta.count(harvest) == 1
    changed = meta.replace(harvest, harvest.replace(b"harvest", b"harvesT"))
    assert prove(read_ledger(changed), NETWORK).doubts == {Doubt.BACKFILLED}


def test_an_event_changed_where_none_looks_rewritten_is_caught():
    for events in ([farm_event()], [asset_event("transfer", HOLDER, OTHER), farm_event()]):
        meta, tx_hash = exported(events)
        harvest = farm_event().to_xdr_bytes()
        changed = meta.replace(harvest, harvest.replace(b"harvest", b"harvesT"))
        with pytest.raises(ProofFailedError, match=f"transaction {tx_hash}") as raised:
            prove(read_ledger(changed), NETWORK)
        assert raised.value.breach is Breach.EVENTS


def test_from_protocol_23_on_nothing_was_rewritten():
    meta, tx_hash = exported([mint(FARM)], protocol=23, touched=(FARM,))
    with pytest.raises(ProofFailedError, match=f"transaction {tx_hash}"):
        prove(read_ledger(meta), NETWORK)


def test_only_asset_contracts_events_are_put_back_where_the_network_is_known():
    """A token of its own with events like an asset contract's is not rewritten by any node."""
    token = xdr.ContractID(xdr.Hash(StrKey.decode_contract(TOKEN)))

    def of_the_token(event):
        return oracle.contract_event(token, event.body.v0.topics, event.body.v0.data)

    meta, tx_hash = exported([of_the_token(mint(FARM))], touched=(FARM,))
    with pytest.raises(ProofFailedError, match=f"transaction {tx_hash}"):
        prove(read_ledger(meta), NETWORK)


def test_a_pubnet_ledger_that_was_exported_again_is_proven():
    certificate = prove(read_ledger(oracle.pubnet_ledger(51000294)), NETWORK)
    assert certificate.flavour is Flavour.BACKFILLED
    assert certificate.proven


def test_the_search_for_an_admin_ends():
    """Many events, many addresses and no fit: a bounded number of attempts, then a doubt."""
    strangers = [StrKey.encode_contract(sha256(b"%d" % n).digest()) for n in range(300)]
    events = [mint(TOKEN, to) for to in (HOLDER, OTHER) * 10] + [asset_event("burn", HOLDER)] * 10
    meta, _ = exported(events, touched=strangers)
    assert prove(read_ledger(meta), NETWORK).doubts == {Doubt.BACKFILLED}
