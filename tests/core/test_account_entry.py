"""An account's entry is read as stellar_sdk's XDR classes read it, and nothing else is taken for one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stellar_sdk import Keypair, StrKey, xdr

from stellarstream_core.errors import InvalidStrkeyError, ProtocolUpgradeNeededError, XdrError
from stellarstream_core.xdr.account import AccountSigners, Thresholds, account_ledger_key, read_account_entry

GABC = "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ"

keys = st.binary(min_size=32, max_size=32)
int64 = st.integers(0, 2**63 - 1)
uint32 = st.integers(0, 2**32 - 1)


def account_id(key):
    return xdr.AccountID(xdr.PublicKey(xdr.PublicKeyType.PUBLIC_KEY_TYPE_ED25519, xdr.Uint256(key)))


def plain_key(key):
    return xdr.SignerKey(xdr.SignerKeyType.SIGNER_KEY_TYPE_ED25519, ed25519=xdr.Uint256(key))


other_keys = st.one_of(
    keys.map(lambda k: xdr.SignerKey(xdr.SignerKeyType.SIGNER_KEY_TYPE_PRE_AUTH_TX, pre_auth_tx=xdr.Uint256(k))),
    keys.map(lambda k: xdr.SignerKey(xdr.SignerKeyType.SIGNER_KEY_TYPE_HASH_X, hash_x=xdr.Uint256(k))),
    st.builds(
        lambda k, payload: xdr.SignerKey(
            xdr.SignerKeyType.SIGNER_KEY_TYPE_ED25519_SIGNED_PAYLOAD,
            ed25519_signed_payload=xdr.SignerKeyEd25519SignedPayload(xdr.Uint256(k), payload),
        ),
        keys,
        st.binary(max_size=64),
    ),
)


@st.composite
def extensions(draw):
    v3 = xdr.AccountEntryExtensionV3(xdr.ExtensionPoint(0), xdr.Uint32(draw(uint32)), xdr.TimePoint(xdr.Uint64(7)))
    sponsors = draw(st.lists(st.none() | keys.map(account_id), max_size=20))
    v2 = xdr.AccountEntryExtensionV2(
        xdr.Uint32(1),
        xdr.Uint32(2),
        [xdr.SponsorshipDescriptor(sponsor) for sponsor in sponsors],
        draw(st.sampled_from([xdr.AccountEntryExtensionV2Ext(0), xdr.AccountEntryExtensionV2Ext(3, v3)])),
    )
    v1 = xdr.AccountEntryExtensionV1(
        xdr.Liabilities(xdr.Int64(draw(int64)), xdr.Int64(3)),
        draw(st.sampled_from([xdr.AccountEntryExtensionV1Ext(0), xdr.AccountEntryExtensionV1Ext(2, v2)])),
    )
    return draw(st.sampled_from([xdr.AccountEntryExt(0), xdr.AccountEntryExt(1, v1)]))


@st.composite
def entries(draw):
    plain = draw(st.dictionaries(keys, st.integers(0, 255), max_size=6))
    others = draw(st.lists(other_keys, max_size=6))
    signers = [xdr.Signer(plain_key(key), xdr.Uint32(weight)) for key, weight in plain.items()]
    signers += [xdr.Signer(key, xdr.Uint32(1)) for key in others]
    return xdr.AccountEntry(
        account_id(draw(keys)),
        xdr.Int64(draw(int64)),
        xdr.SequenceNumber(xdr.Int64(draw(int64))),
        xdr.Uint32(draw(uint32)),
        draw(st.none() | keys.map(account_id)),
        xdr.Uint32(draw(st.integers(0, 15))),
        xdr.String32(draw(st.binary(max_size=32))),
        xdr.Thresholds(draw(st.binary(min_size=4, max_size=4))),
        draw(st.permutations(signers)),
        draw(extensions()),
    )


def as_data(entry):
    return xdr.LedgerEntryData(xdr.LedgerEntryType.ACCOUNT, account=entry).to_xdr_bytes()


def plain_entry():
    """An account without signers or extensions: 4 + 36 + 8 + 8 + 4 + 4 + 4 + 4 + 4 + 4 + 4 bytes."""
    return xdr.AccountEntry(
        account_id(StrKey.decode_ed25519_public_key(GABC)),
        xdr.Int64(5),
        xdr.SequenceNumber(xdr.Int64(6)),
        xdr.Uint32(0),
        None,
        xdr.Uint32(0),
        xdr.String32(b""),
        xdr.Thresholds(bytes([1, 2, 3, 4])),
        [],
        xdr.AccountEntryExt(0),
    )


@given(entry=entries())
def test_every_account_is_read_as_stellar_sdk_has_it(entry):
    read = read_account_entry(as_data(entry))
    master, *thresholds = entry.thresholds.thresholds
    plain = {
        StrKey.encode_ed25519_public_key(signer.key.ed25519.uint256): signer.weight.uint32
        for signer in entry.signers
        if signer.key.ed25519 is not None
    }
    assert read.account == StrKey.encode_ed25519_public_key(entry.account_id.account_id.ed25519.uint256)
    assert (read.balance, read.sequence) == (entry.balance.int64, entry.seq_num.sequence_number.int64)
    assert read.signers == AccountSigners(master, Thresholds(*thresholds), plain, len(entry.signers) - len(plain))


@given(key=keys)
def test_the_key_of_an_account_is_the_one_stellar_sdk_makes(key):
    expected = xdr.LedgerKey(xdr.LedgerEntryType.ACCOUNT, account=xdr.LedgerKeyAccount(account_id(key)))
    assert account_ledger_key(StrKey.encode_ed25519_public_key(key)) == expected.to_xdr_bytes()


@pytest.mark.parametrize("text", ["", "G", "CA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUWDA", GABC[:-1] + "A"])
def test_what_is_no_account_id_has_no_key(text):
    with pytest.raises(InvalidStrkeyError):
        account_ledger_key(text)


@given(entry=entries(), cut=st.integers(0, 10_000))
def test_a_truncated_account_is_refused(entry, cut):
    data = as_data(entry)
    with pytest.raises(XdrError):
        read_account_entry(data[: cut % len(data)])


@given(entry=entries(), more=st.binary(min_size=1, max_size=8))
def test_bytes_after_the_account_are_refused(entry, more):
    with pytest.raises(XdrError, match="more follow"):
        read_account_entry(as_data(entry) + more)


@given(entry=entries(), place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_changed_bytes_are_refused_or_mean_what_stellar_sdk_says(entry, place, byte):
    data = bytearray(as_data(entry))
    data[place % len(data)] = byte
    try:
        read = read_account_entry(bytes(data))
    except (XdrError, ProtocolUpgradeNeededError):
        return
    oracle = xdr.LedgerEntryData.from_xdr_bytes(bytes(data))
    assert oracle.to_xdr_bytes() == bytes(data)
    assert read.balance == oracle.account.balance.int64
    assert read.signers.master_weight == oracle.account.thresholds.thresholds[0]
    assert len(read.signers.signers) + read.signers.others == len(oracle.account.signers)


@given(data=st.binary(max_size=300))
@example(b"")
def test_noise_is_refused(data):
    with pytest.raises(XdrError):
        read_account_entry(data)


def test_another_kind_of_entry_is_refused():
    trustline = (1).to_bytes(4, "big") + as_data(plain_entry())[4:]
    with pytest.raises(XdrError, match="not an account's"):
        read_account_entry(trustline)


def signer(kind, key, weight):
    return kind.to_bytes(4, "big") + key + weight.to_bytes(4, "big")


def with_signers(*signers, extension=bytes(4)):
    data = as_data(plain_entry())
    return data[:-8] + len(signers).to_bytes(4, "big") + b"".join(signers) + extension


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (with_signers(signer(0, bytes(32), 256)), XdrError),
        (with_signers(signer(0, bytes(32), 1), signer(0, bytes(32), 2)), XdrError),
        (with_signers(*(signer(0, bytes([n] * 32), 1) for n in range(21))), XdrError),
        (with_signers(signer(4, bytes(32), 1)), ProtocolUpgradeNeededError),
        (with_signers(extension=(2).to_bytes(4, "big")), ProtocolUpgradeNeededError),
        (as_data(plain_entry())[:4] + (1).to_bytes(4, "big") + as_data(plain_entry())[8:], ProtocolUpgradeNeededError),
    ],
    ids=["weight over 255", "a key twice", "21 signers", "signer of a new kind", "new extension", "new kind of key"],
)
def test_what_no_account_of_this_protocol_has_is_refused(data, error):
    with pytest.raises(error):
        read_account_entry(data)


def test_twenty_signers_are_an_account():
    data = with_signers(*(signer(0, bytes([n] * 32), n) for n in range(20)))
    assert sorted(read_account_entry(data).signers.signers.values()) == list(range(20))


def test_a_key_may_appear_again_as_another_kind_of_signer():
    key = Keypair.random().raw_public_key()
    read = read_account_entry(with_signers(signer(0, key, 3), signer(1, key, 4), signer(2, key, 5)))
    assert read.signers.signers == {StrKey.encode_ed25519_public_key(key): 3}
    assert read.signers.others == 2
