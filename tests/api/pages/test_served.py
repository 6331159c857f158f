"""The pages as they are served: headers, caching, and a database that is gone."""

from __future__ import annotations

import re

import pytest

from stellarstream_core.api.pages import static
from stellarstream_core.errors import StorageError
from stellarstream_core.testing.scripted import made_contract, made_event

from .test_dashboard import check_page

CONTRACT = made_contract(1)
PAGES = ["/", "/dashboard/state", "/docs", "/docs/problems", "/docs/problems/not-found"]


@pytest.fixture
async def api(sqlite_url, filled, served):
    events = [made_event(ledger, contract=CONTRACT) for ledger in range(100, 160)]
    filled(sqlite_url, (100, 159), [CONTRACT], events)
    return await served(sqlite_url, network="testnet", network_passphrase=None)


@pytest.mark.parametrize("path", PAGES)
async def test_pages_let_nothing_in_from_elsewhere(api, client, path):
    async with client.get(api.url + path) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        html = await response.text()
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", html)


async def test_the_dashboard_shows_the_newest_events_and_where_the_stream_goes_on(api, client):
    async with client.get(api.url + "/") as response:
        html = await response.text()
    outline = check_page(html)
    rows = [attrs["data-id"] for tag, attrs in outline.tags if tag == "li" and attrs.get("data-id")]
    assert rows == [made_event(ledger).id for ledger in range(159, 139, -1)]
    (since,) = [attrs["data-since"] for _, attrs in outline.tags if "data-since" in attrs]
    assert since == str(api.service.feed.now)


async def test_what_is_committed_while_the_page_is_made_arrives_over_the_stream(api, client, filled, sqlite_url):
    async with client.get(api.url + "/") as response:
        (since,) = re.findall(r'data-since="([^"]+)"', await response.text())
    storage = filled(sqlite_url, (160, 160), [CONTRACT], [made_event(160, contract=CONTRACT)])
    assert storage.totals().position == 2
    async with client.get(f"{api.url}/api/v1/events/live", params={"since": since}) as response:
        async for line in response.content:
            if line.startswith(b"data: "):
                assert made_event(160).id.encode() in line
                return


async def test_files_are_kept_for_ever_under_their_digest(api, client):
    async with client.get(api.url + "/") as response:
        html = await response.text()
    found = set(re.findall(r'(?:src|href)="\./(static/[^"]+)"', html))
    assert {name.rsplit("/", 1)[1] for name in found} == {"style.css", "dashboard.js", "icon.svg"}
    for path in found:
        async with client.get(f"{api.url}/{path}") as response:
            assert response.status == 200
            assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            etag = response.headers["ETag"]
            assert response.headers["Content-Type"] == static.TYPES[path[path.rindex(".") :]]
        async with client.get(f"{api.url}/{path}", headers={"If-None-Match": etag}) as response:
            assert response.status == 304


async def test_every_module_that_is_imported_is_there(api, client):
    files = static.bundle()
    for name, file in files.files.items():
        for wanted in re.findall(rb'from "\./([^"]+)"', file.body):
            assert wanted.decode() in files.files, f"{name} imports {wanted}"
            async with client.get(f"{api.url}/{files.path(wanted.decode())}") as response:
                assert response.content_type == "text/javascript"


def test_a_plugins_files_have_a_digest_of_their_own_and_the_rest_of_its_folder_is_left_out(tmp_path, monkeypatch):
    def package(name: str, **contents: bytes) -> static.Bundle:
        folder = tmp_path / name / "static"
        folder.mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text("")
        for file, body in contents.items():
            (folder / file.replace("_", ".")).write_bytes(body)
        return static.bundle_of(name)

    monkeypatch.syspath_prepend(tmp_path)
    shop = package("made_shop", pay_css=b"a{}", pay_js=b"1", notes_md=b"x")
    assert sorted(shop.files) == ["pay.css", "pay.js"]
    assert shop.files["pay.js"] == static.StaticFile(b"1", "text/javascript; charset=utf-8")
    assert shop.path("pay.css") == f"static/{shop.digest}/pay.css"
    with pytest.raises(KeyError):
        shop.path("notes.md")
    assert package("made_same", pay_css=b"a{}", pay_js=b"1").digest == shop.digest
    assert package("made_other", pay_css=b"a{}", pay_js=b"2").digest != shop.digest
    assert package("made_named", pay_css=b"a{}", pai_js=b"1").digest != shop.digest
    assert static.bundle_of("made_shop") is shop, "read once"
    assert static.bundle_of("stellarstream_core.api.pages") is static.bundle()
    with pytest.raises(FileNotFoundError):
        static.bundle_of("tests.api")
    with pytest.raises(ModuleNotFoundError):
        static.bundle_of("made_nowhere")


async def test_a_page_of_another_release_gets_the_files_that_are_there_but_may_not_keep_them(api, client):
    async with client.get(f"{api.url}/static/0123456789/style.css") as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("name", ["missing.css", "../app.py", "..%2fapp.py", "style.css%00", "style.css.map"])
async def test_nothing_else_is_a_file(api, client, name):
    digest = static.bundle().digest
    async with client.get(f"{api.url}/static/{digest}/{name}") as response:
        assert response.status in {400, 404}
        assert response.content_type == "application/problem+json"


async def test_an_unknown_problem_is_a_problem(api, client):
    async with client.get(f"{api.url}/docs/problems/no-such-code") as response:
        assert response.status == 404
        assert (await response.json())["code"] == "not-found"


async def test_documentation_is_not_sent_twice(api, client):
    async with client.get(f"{api.url}/docs") as response:
        etag = response.headers["ETag"]
    async with client.get(f"{api.url}/docs", headers={"If-None-Match": etag}) as response:
        assert response.status == 304


async def test_without_a_database_the_page_is_there_with_the_problem_and_503(api, client, monkeypatch):
    def gone(*_args, **_more):
        raise StorageError("connection to db.internal refused")

    storage = api.service.database.storage
    for name in ("totals", "sync_states", "find_events"):
        monkeypatch.setattr(type(storage), name, gone)
    for path in ("/", "/dashboard/state"):
        async with client.get(api.url + path) as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "5"
            assert response.headers["Content-Type"] == "text/html; charset=utf-8"
            html = await response.text()
        assert "Database unavailable" in html
        assert "db.internal" not in html


async def test_every_database_has_a_dashboard(database_url, filled, served, client):
    filled(database_url, (100, 110), [CONTRACT], [made_event(ledger, contract=CONTRACT) for ledger in range(100, 111)])
    api = await served(database_url)
    async with client.get(api.url + "/") as response:
        assert response.status == 200
        words = check_page(await response.text()).words
    assert ("SQLite" if database_url.startswith("sqlite") else "PostgreSQL") in words
