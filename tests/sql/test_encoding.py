"""PostgreSQL databases of another encoding than UTF8 are refused in words, before anything is written."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest

from stellarstream_core.errors import StorageError
from stellarstream_sql.storage import open_postgresql
from tests.cli.conftest import invoke  # noqa: F401 - a fixture


@pytest.fixture(scope="module", params=["SQL_ASCII", "LATIN1"])
def other(request, postgres_server):
    """The URL of a database with another encoding, and what that is."""
    name = f"other_{uuid4().hex[:16]}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING '{request.param}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
        yield urlsplit(postgres_server)._replace(path=f"/{name}").geturl(), request.param
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_it_is_refused_when_it_is_opened(other):
    url, encoding = other
    with pytest.raises(StorageError, match=f"has the encoding {encoding}; UTF8 is needed") as refused:
        open_postgresql(url)
    assert "createdb --encoding UTF8" in refused.value.help


@pytest.mark.parametrize("command", ["doctor", "migrate"])
def test_commands_say_so(other, invoke, command):  # noqa: F811
    url, encoding = other
    said = invoke(command, DATABASE_URL=url)
    assert said.code == 2
    assert f"has the encoding {encoding}; UTF8 is needed." in said.out + said.err
    assert "Traceback" not in said.err


def test_texts_are_texts_whatever_the_environment_and_the_address_ask_for(postgres_url, monkeypatch):
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
    with closing(open_postgresql(f"{postgres_url}&client_encoding=SQL_ASCII")) as storage:
        storage.migrate()
        assert not storage.schema().pending
        storage.bind_network("Réseau de test ; 测试")
        assert storage.network_passphrase() == "Réseau de test ; 测试"
