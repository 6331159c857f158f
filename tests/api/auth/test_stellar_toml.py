"""The text of stellar.toml: what wallets read in it, whatever the settings hold."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Keypair

from stellarstream_core.api.auth.site import site_of
from stellarstream_core.api.auth.stellar_toml import LONGEST_ENTRY, entry_fault, stellar_toml

SITE = site_of("https://pay.example.org/streams/")
KEY = Keypair.from_raw_ed25519_seed(bytes(32)).public_key  # the same for every worker: it stands in names of tests
texts = st.text(st.characters(exclude_categories=["Cs"]))


def test_it_announces_the_login():
    text = stellar_toml(SITE, "Test SDF Network ; September 2015", KEY)
    assert tomllib.loads(text) == {
        "VERSION": "2.6.0",
        "NETWORK_PASSPHRASE": "Test SDF Network ; September 2015",
        "SIGNING_KEY": KEY,
        "WEB_AUTH_ENDPOINT": "https://pay.example.org/streams/api/v1/auth",
    }
    assert text.endswith("\n")


def test_without_a_signing_key_no_login_is_announced():
    assert set(tomllib.loads(stellar_toml(SITE, "P", None))) == {"VERSION", "NETWORK_PASSPHRASE"}


@given(texts, texts, st.lists(texts), st.booleans(), st.integers(-(2**63), 2**63 - 1))
def test_whatever_is_written_is_read_back(passphrase, text, several, flag, number):
    more = {"URI_REQUEST": text, "ACCOUNTS": several, "FLAG": flag, "NUMBER": number}
    read = tomllib.loads(stellar_toml(SITE, passphrase, KEY, more))
    assert {name: read[name] for name in more} == more
    assert read["NETWORK_PASSPHRASE"] == passphrase
    assert len(read) == 8


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "A B",
        'A"',
        "A\nB",
        "A.B",
        "[X]",
        "SIGNING_KEY",
        "VERSION",
        "WEB_AUTH_ENDPOINT",
        "1A",
        "Ä",
        "CURRENCIES",
    ],
)
def test_plugins_cannot_write_over_the_login_or_break_the_file(name):
    for key in (KEY, None):
        with pytest.raises(ValueError, match="cannot be an entry"):
            stellar_toml(SITE, "P", key, {name: "x"})


@given(st.text(max_size=LONGEST_ENTRY))
def test_a_text_that_a_plugin_may_add_is_one_that_can_be_sent_and_read_back(text):
    if entry_fault("URI_REQUEST_SIGNING_KEY", text) is None:
        sent = stellar_toml(SITE, "P", KEY, {"URI_REQUEST_SIGNING_KEY": text}).encode()
        assert tomllib.loads(sent.decode())["URI_REQUEST_SIGNING_KEY"] == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uri_request_signing_key", KEY),
        ("VERSION", "3"),
        ("SIGNING_KEY", KEY),
        ("PRINCIPALS", "me"),
        ("", "x"),
        (3, "x"),
        (None, "x"),
        ("A" * 65, "x"),
        ("FLAG", True),
        ("NUMBER", 3),
        ("ACCOUNTS", [KEY]),
        ("KEY", None),
        ("KEY", b"x"),
        ("LONG", "x" * (LONGEST_ENTRY + 1)),
        ("HALF", "\ud800"),
    ],
)
def test_what_a_plugin_may_not_add_is_named(name, value):
    assert entry_fault(name, value)
    assert entry_fault("URI_REQUEST_SIGNING_KEY", "x" * LONGEST_ENTRY) is None
