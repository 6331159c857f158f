"""Addresses: what they open, and that nothing secret is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from stellarstream_core.errors import StorageError
from stellarstream_sql.urls import parse_postgresql, parse_sqlite


def test_three_slashes_are_relative_and_four_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_sqlite("sqlite:///some.db").path == tmp_path / "some.db"
    assert parse_sqlite("sqlite:////var/some.db").path == Path("/var/some.db")
    assert parse_sqlite("sqlite:///a%20b%3F.db").path == tmp_path / "a b?.db"
    assert parse_sqlite("sqlite://").path is None
    assert parse_sqlite("sqlite:///:memory:").path is None


@pytest.mark.parametrize("url", ["sqlite:some.db", "sqlite://host/some.db", "sqlite:///a.db?mode=ro", "sqlite:///a#b"])
def test_other_sqlite_addresses_are_refused_with_an_example(url):
    with pytest.raises(StorageError) as failed:
        parse_sqlite(url)
    assert "sqlite:///stellarstream.db" in failed.value.help


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:S3cret@db.example:5433/stream", "postgresql://db.example:5433/stream"),
        ("postgres://me:S3cret@db.example/stream?sslmode=require", "postgresql://db.example/stream"),
        ("postgresql://db/stream?password=S3cret&user=me", "postgresql://db/stream"),
        ("postgresql://a:1,b:2/stream?user=me", "postgresql://a:1,b:2/stream"),
        ("postgresql:///stream?host=/run/postgresql", "postgresql:///run/postgresql/stream"),
    ],
)
def test_a_postgresql_address_is_shown_without_user_password_and_query(url, shown):
    address = parse_postgresql(url)
    assert address.url == shown
    assert "S3cret" not in repr(address)
    assert address.scrub("it was S3cret.") == ("it was ***." if "S3cret" in url else "it was S3cret.")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:S3/cret@db/stream",
        "postgresql://me:S3@cret@db/stream",
        "postgresql://me:12/cret@db/stream",
        "postgresql://me:S3cret@db:port/stream",
        "postgresql://me:S3cret@db:99999/stream",
        "postgresql://me:S3cret@db/stream?nonsense=1",
        "postgresql://me:S3cret%@db/stream",
        "postgresql://[::1/stream",
    ],
)
def test_an_unreadable_postgresql_address_is_refused_without_repeating_any_of_it(url):
    with pytest.raises(StorageError) as failed:
        parse_postgresql(url)
    told = f"{failed.value} {failed.value.help} {failed.value!r}"
    assert not any(part in told for part in ("S3", "cret@", "cret/", "me:"))


def test_what_the_address_says_of_the_connection_is_kept():
    conninfo = parse_postgresql("postgresql://db/stream?options=-csearch_path%3Dmine&connect_timeout=3").conninfo
    assert "search_path=mine" in conninfo
    assert "connect_timeout=3" in conninfo
    plain = parse_postgresql("postgresql://db/stream").conninfo
    for default in ("connect_timeout=10", "keepalives_idle=15", "tcp_user_timeout=30000"):
        assert default in plain
    assert "keepalives_idle=60" in parse_postgresql("postgresql://db/stream?keepalives_idle=60").conninfo
