"""What is shown of a URL: never a password, whatever is wrong with the URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.redact import UNREADABLE, origin_of, redact_url


@pytest.mark.parametrize(
    ("url", "shown", "origin"),
    [
        ("postgresql://me:s3cret@db:5432/name?password=x#y", "postgresql://db:5432/name", "postgresql://db:5432"),
        ("postgresql://me:s3@cret@db/name", "postgresql://db/name", "postgresql://db"),
        ("postgresql://me:s3cret@[::1]:5432/name", "postgresql://[::1]:5432/name", "postgresql://[::1]:5432"),
        ("postgresql://me:s3cret@one:1,two:2/name", "postgresql://one:1,two:2/name", "postgresql://one:1,two:2"),
        ("postgresql:///name", "postgresql:///name", UNREADABLE),
        ("http://127.0.0.1:0/x", "http://127.0.0.1:0/x", "http://127.0.0.1:0"),
        ("https://rpc.example/v1/key?k=key", "https://rpc.example/v1/key", "https://rpc.example"),
        ("sqlite:///me@work/x.db?s3cret", "sqlite:///me@work/x.db", UNREADABLE),
        ("sqlite:////var/x.db", "sqlite:////var/x.db", UNREADABLE),
        ("file:///data/lake", "file:///data/lake", "file://"),
    ],
)
def test_host_and_path_are_shown_and_nothing_else(url, shown, origin):
    assert (redact_url(url), origin_of(url)) == (shown, origin)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:me:s3cret@db/name",
        "postgresql:/me:s3cret@db/name",
        "postgresql:///me:s3cret@db/name",
        "postgresql:///me:s3cret",
        "postgresql://me:12/s3cret@db/name",
        "postgresql://me:12?s3cret@db/name",
        "postgresql://me:12#s3cret@db/name",
        "postgresql://me:s3cret/name",
        "postgresql://me:s3cret[@db/name",
        "sqlite://me:s3cret@db/name",
        "sqlite:me:s3cret@db",
        "me:s3cret@db/name",
        "s3cret",
        "",
    ],
)
def test_a_url_that_cannot_be_taken_apart_for_certain_is_not_shown(url):
    assert (redact_url(url), origin_of(url)) == (UNREADABLE, UNREADABLE)


@given(
    before=st.text("u:1/?#@[]", max_size=4),
    after=st.text("u:1/?#@[]", max_size=4),
    slashes=st.sampled_from(["", "/", "//", "///"]),
)
def test_a_password_before_an_at_sign_is_never_shown(before, after, slashes):
    url = f"postgresql:{slashes}me:{before}s3cret{after}@db/name"
    assert "s3cret" not in redact_url(url)
    assert "s3cret" not in origin_of(url)
