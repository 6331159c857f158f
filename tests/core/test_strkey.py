"""Strkeys: the text forms agree with SEP-23 and stellar_sdk, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import StrKey

from stellarstream_core.errors import InvalidStrkeyError
from stellarstream_core.xdr import strkey

# The valid test vectors of SEP-23, with what they encode.
KEY = bytes.fromhex("3f0c34bf93ad0d9971d04ccc90f705511c838aad9734a4a2fb0d7a03fc7fe89a")
SEP_23 = [
    (strkey.VERSION_ACCOUNT, KEY, "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ"),
    (
        strkey.VERSION_MUXED_ACCOUNT,
        KEY + bytes(8),
        "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUAAAAAAAAAAAACJUQ",
    ),
    (
        strkey.VERSION_MUXED_ACCOUNT,
        KEY + (2**63).to_bytes(8, "big"),
        "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVAAAAAAAAAAAAAJLK",
    ),
    (strkey.VERSION_CONTRACT, KEY, "CA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUWDA"),
    (strkey.VERSION_LIQUIDITY_POOL, KEY, "LA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUPJN"),
    (
        strkey.VERSION_CLAIMABLE_BALANCE,
        b"\0" + KEY,
        "BAAD6DBUX6J22DMZOHIEZTEQ64CVCHEDRKWZONFEUL5Q26QD7R76RGR4TU",
    ),
]
CONTRACT = SEP_23[3][2]

_ORACLES = {
    strkey.VERSION_ACCOUNT: StrKey.encode_ed25519_public_key,
    strkey.VERSION_CONTRACT: StrKey.encode_contract,
    strkey.VERSION_MUXED_ACCOUNT: StrKey.encode_med25519_public_key,
    strkey.VERSION_CLAIMABLE_BALANCE: StrKey.encode_claimable_balance,
    strkey.VERSION_LIQUIDITY_POOL: StrKey.encode_liquidity_pool,
}


@pytest.mark.parametrize(("version", "payload", "text"), SEP_23, ids=[row[2][:2] for row in SEP_23])
def test_the_vectors_of_sep_23_encode_and_decode(version, payload, text):
    assert strkey.encode(version, payload) == text
    assert strkey.decode(text) == (version, payload)
    assert strkey.decode_address(text) == (version, payload)


@pytest.mark.parametrize("version", _ORACLES)
@given(data=st.data())
def test_every_address_kind_encodes_as_stellar_sdk_does_and_decodes_again(version, data):
    size = strkey.ADDRESS_SIZES[version]
    payload = data.draw(st.binary(min_size=size, max_size=size))
    if version == strkey.VERSION_CLAIMABLE_BALANCE:
        payload = b"\0" + payload[1:]
    text = strkey.encode(version, payload)
    assert text == _ORACLES[version](payload)
    assert strkey.decode_address(text) == (version, payload)


@given(version=st.integers(0, 31).map(lambda kind: kind << 3), payload=st.binary(max_size=80))
def test_payloads_of_any_length_round_trip(version, payload):
    assert strkey.decode(strkey.encode(version, payload)) == (version, payload)


@given(place=st.integers(0, 55), character=st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
def test_a_changed_character_is_noticed(place, character):
    changed = CONTRACT[:place] + character + CONTRACT[place + 1 :]
    if changed == CONTRACT:
        return
    with pytest.raises(InvalidStrkeyError):
        strkey.contract_id_bytes(changed)


# The invalid vectors of SEP-23 for the kinds we know, and other text a user may paste.
@pytest.mark.parametrize(
    "text",
    [
        "",
        "G",
        "hello",
        "Zürich",
        CONTRACT.lower(),
        CONTRACT + "=",
        CONTRACT[:-1],
        CONTRACT + " ",
        "GAAAAAAAACGC6",
        "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVP2I",
        "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVAAAAAAAAAAAAAJLKA",
        "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVAAAAAAAAAAAAAJLKA===",
        "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVAAAAAAAAAAAAAJLJ",
        strkey.encode(18 << 3, bytes(32)),  # a secret seed
        strkey.encode(strkey.VERSION_ACCOUNT, bytes(31)),
        strkey.encode(strkey.VERSION_MUXED_ACCOUNT, bytes(32)),
        strkey.encode(strkey.VERSION_CLAIMABLE_BALANCE, b"\1" + bytes(32)),
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(InvalidStrkeyError):
        strkey.decode_address(text)
    with pytest.raises(InvalidStrkeyError):
        strkey.contract_id_bytes(text)


def test_only_contracts_are_contract_ids():
    assert strkey.contract_id_bytes(CONTRACT) == KEY
    assert strkey.contract_id_text(KEY) == CONTRACT
    for version, _, text in SEP_23:
        if version != strkey.VERSION_CONTRACT:
            with pytest.raises(InvalidStrkeyError):
                strkey.contract_id_bytes(text)
