"""Addresses: what is shown of one, and that nothing else of it ever is, however a server writes it back."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.endpoints.address import Address, shown_url
from stellarstream_core.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host.example/v1/key?x=y#z", "https://host.example"),
        ("https://user:pass@host.example:8443/", "https://host.example:8443"),
        ("http://[::1]:8000/soroban/rpc", "http://[::1]:8000"),
        ("http://127.0.0.1:8000/horizon", "http://127.0.0.1:8000"),
    ],
)
def test_of_an_address_scheme_host_and_port_are_shown(url, shown):
    assert shown_url(url, "rpc_url") == shown
    assert repr(Address(url, "rpc_url")) == f"<Address {shown}>"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host.invalid",
        "ftp://host.example",
        "http://",
        "http:///path",
        "http://h:notaport",
        "//h",
        "http://host.example\\@other.example/",
        "http://host.example\\",
        "http://ho st/",
        "http://user:12/3@host/",
    ],
)
def test_what_is_no_certain_http_address_is_a_bad_setting_and_is_not_shown(url):
    with pytest.raises(SettingsError, match="horizon_url") as caught:
        Address(url, "horizon_url")
    assert len(url) < 8 or url not in str(caught.value) + caught.value.help


@pytest.mark.parametrize(
    ("url", "said", "left"),
    [
        ("https://h/v1/aB3xY", "no route for /v1/aB3xY", "no route for /v1/…"),
        ("https://h/v1/rpc", "no route for /v1/rpc", "no route for /v1/rpc"),
        ("https://h/v2/api/k3y9", "no /v2/api/k3y9 here", "no /v2/api/… here"),
        ("https://h/?key=abc", "bad key abc", "bad key …"),
        ("https://h/?key=abc", "abcdef is no key", "abcdef is no key"),
        ("https://h/?key=s3cret", "bad key S3CRET", "bad key …"),
        ("https://h/?s3", "s3 is no parameter", "… is no parameter"),
        ("https://h/?a=1;key=hush;b=2", "hush! I know hush.", "…! I know …."),
        ("https://h/rpc;session=hu5h", "session hu5h ended", "session … ended"),
        ("https://me:pw@h/", "me may not use pw", "… may not use …"),
        ("https://me:p%40ss%2Fword@h/", "wrong: p@ss/word", "wrong: …"),
        ("https://me:p%40ss%2Fword@h/", "wrong: p%40SS%2fword", "wrong: …"),
        ("https://h/?key=a+b%2bc", "no key 'a b+c'", "no key '…'"),
        ("https://h/?key=%2540home", "no key '@home'", "no key '…'"),
        ("https://user:open-sesame@h/", "Basic dXNlcjpvcGVuLXNlc2FtZQ==", "Basic …=="),
        ("https://h/longenoughword", "/LONGENOUGHWORD is unknown", "/… is unknown"),
        ("https://h/#fragment-key", "fragment-key", "…"),
        ("https://h/", "nothing to hide", "nothing to hide"),
    ],
)
def test_a_servers_words_are_shown_without_the_secrets_of_its_address(url, said, left):
    assert Address(url, "rpc_url").scrub(said) == left


plain = st.text("abcXYZ019-_.~%@:/;&=+é ", min_size=4, max_size=12).filter(lambda text: text.strip())


@given(secret=plain, place=st.sampled_from(["user", "password", "query", "path"]), shout=st.booleans())
def test_a_secret_is_never_shown_wherever_it_stands_and_however_it_is_written(secret, place, shout):
    written = quote(secret, safe="")
    url = {
        "user": f"https://{written}@host.example/rpc",
        "password": f"https://me:{written}@host.example/rpc",
        "query": f"https://host.example/rpc?key={written}",
        "path": f"https://host.example/longer-than-a-word-{written}/rpc",
    }[place]
    secret = f"longer-than-a-word-{secret}" if place == "path" else secret
    written = f"longer-than-a-word-{written}" if place == "path" else written
    address = Address(url, "rpc_url")
    for form in (secret, written, quote(written, safe="")):
        said = address.scrub(f"refused [{form.upper() if shout else form}] today")
        assert form.lower() not in said.lower()
        assert said.startswith("refused")
        assert urlsplit(url).hostname not in said


def test_words_without_end_are_cut_before_they_are_shown_and_never_end_in_half_a_secret():
    address = Address("https://h/0123456789abcdef", "rpc_url")
    assert len(address.scrub("x" * 1_000_000)) <= 201
    assert "0123" not in address.scrub("0123456789abcdef" * 5_000 + "0123456789abcde")
    assert "0123" not in address.scrub("\x1b" * 3 + "0123456789abcdef" * 40_000)


ENVELOPE = "AAAAAgAAAAB/+xyz0123456789abcdefABCDEF" * 3 + "AA=="


@pytest.mark.parametrize(
    "written", [ENVELOPE, ENVELOPE.replace("/", "\\/"), quote(ENVELOPE, safe=""), ENVELOPE.replace("+", "\\u002b")]
)
def test_what_a_server_repeats_of_a_long_base64_text_is_not_shown(written):
    address = Address("https://h/", "rpc_url")
    for show in (address.scrub, address.scrub_log):
        assert show(f'bad params: ["{written}", 7]') == 'bad params: ["…", 7]'
        assert "AAAAAg" not in show(f"bad params: {written[:90]}")


@pytest.mark.parametrize("told", ["0123456789abcdef" * 4, "C" * 56, "a-word-of-some-length"])
def test_hashes_and_addresses_of_accounts_are_shown(told):
    assert Address("https://h/", "rpc_url").scrub(f"no {told} here") == f"no {told} here"


def test_control_characters_of_a_server_do_not_reach_a_terminal():
    assert "\x1b" not in Address("https://h/", "rpc_url").scrub("red: \x1b[31m")
