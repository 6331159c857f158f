"""A lake in a bucket: S3 anonymously and with credentials, what S3 says of what is missing, Google Cloud Storage."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from hashlib import md5
from xml.sax.saxutils import escape

import pytest
from aiohttp import web

from stellarstream_core.errors import SourceUnavailableError, SourceUnusableError
from stellarstream_core.ranges import LedgerRange, RangeSet
from stellarstream_core.scope import Scope
from stellarstream_core.sources import Reason
from stellarstream_data_lake.lake import SURVEY_EVERY
from stellarstream_data_lake.settings import DataLakeSettings
from tests.data_lake.kit import (
    Clock,
    collect,
    events_of,
    gaps_of,
    manifest,
    name_of,
    objects,
    source_on,
    windows_of,
)
from tests.paths import missing

EVERYTHING = Scope.of(["*"])
PREFIX = "v1.1/stellar/ledgers/made"


def files(made, first=2, last=120, **layout):
    metas = {n: m for n, m in made.metas.items() if first <= n <= last}
    return objects(metas, **layout) | {
        ".config.json": manifest(made.passphrase, layout.get("per_batch", 1), layout.get("batches", 64_000))
    }


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch):
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "REGION", "DEFAULT_REGION", "ENDPOINT_URL"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)


# --- S3 as moto plays it ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3() -> Iterator:
    try:
        import boto3
        from moto.server import ThreadedMotoServer
    except ImportError:
        missing("moto[server] and boto3 are not installed")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-2",
        aws_access_key_id="AKIAMADE",
        aws_secret_access_key="made",
    )
    client.url = f"http://{host}:{port}"
    yield client
    server.stop()


def put(s3, bucket: str, found: dict[str, bytes], *, public: bool) -> str:
    acl = "public-read" if public else "private"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "us-east-2"}, ACL=acl)
    add(s3, bucket, found, public=public)
    return f"s3://{bucket}/{PREFIX}"


def add(s3, bucket: str, found: dict[str, bytes], *, public: bool) -> None:
    for name, body in found.items():
        s3.put_object(Bucket=bucket, Key=f"{PREFIX}/{name}", Body=body, ACL="public-read" if public else "private")


@pytest.mark.parametrize("layout", [{}, {"per_batch": 11, "batches": 2}, {"per_batch": 11, "batches": 1}])
async def test_a_public_lake_is_read_without_credentials(s3, made, layout):
    url = put(s3, f"public-{len(layout)}-{layout.get('batches', 0)}", files(made, last=120, **layout), public=True)
    async with source_on(url, made.passphrase, {"s3_endpoint": s3.url}) as source:
        identity = await source.identity()
        assert identity.passphrase == made.passphrase
        assert identity.endpoints == (url.removesuffix(f"/{PREFIX}"),)
        reach = await source.reach()
        assert (reach.oldest, reach.latest) == (2, 120)
        assert reach.latest_closed_at == made.ledgers[120].close_time
        items = await collect(source, 2, 120, EVERYTHING)
        assert not gaps_of(items)
        assert [e.id for e in events_of(items)] == made.ids(2, 120, EVERYTHING)
        assert await source.ledger_hash(77) == made.hash(77)


@pytest.mark.parametrize("how", ["settings", "environment"])
async def test_a_private_lake_is_read_with_credentials(s3, made, monkeypatch, how):
    url = put(s3, f"private-{how}", files(made, first=80), public=False)
    own = {"s3_endpoint": s3.url, "s3_region": "us-east-2"}
    if how == "settings":
        own |= {"s3_access_key_id": "AKIAMADE", "s3_secret_access_key": "made"}
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")  # which must not be mixed with those of the settings
        monkeypatch.setenv("AWS_SESSION_TOKEN", "another")
    else:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAMADE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made")
    async with source_on(url, made.passphrase, own) as source:
        assert (await source.reach()).oldest == 80
        assert not gaps_of(await collect(source, 80, 120, EVERYTHING))


async def test_a_private_lake_without_credentials_says_what_to_do(s3, made):
    url = put(s3, "closed", files(made, first=100), public=False)
    clock = Clock()
    async with source_on(url, made.passphrase, {"s3_endpoint": s3.url}, clock.timing()) as source:
        with pytest.raises(SourceUnusableError, match=r"s3://closed answered HTTP 403.*s3:GetObject"):
            await source.identity()
        assert not clock.slept


async def test_no_such_bucket_is_said(s3, made):
    async with source_on(f"s3://never-made/{PREFIX}", made.passphrase, {"s3_endpoint": s3.url}) as source:
        with pytest.raises(SourceUnusableError, match="no such bucket"):
            await source.identity()


async def test_an_empty_prefix_is_refused(s3, made):
    put(s3, "elsewhere", files(made, first=119), public=True)
    async with source_on("s3://elsewhere/v2", made.passphrase, {"s3_endpoint": s3.url}) as source:
        with pytest.raises(SourceUnusableError, match=r"neither \.config\.json nor ledgers where 'lake_url' points to"):
            await source.identity()


async def test_a_growing_bucket_is_followed_and_holes_are_passed(s3, made):
    url = put(s3, "growing", files(made, last=60), public=True)
    clock = Clock()
    async with source_on(url, made.passphrase, {"s3_endpoint": s3.url}, clock.timing()) as source:
        assert (await source.reach()).latest == 60
        add(s3, "growing", objects({61: made.metas[61]}), public=True)
        assert (await source.reach()).latest == 61
        add(s3, "growing", objects({n: made.metas[n] for n in range(63, 120)}), public=True)
        assert (await source.reach()).latest == 61
        clock.at += SURVEY_EVERY
        assert (await source.reach()).latest == 119
        items = await collect(source, 2, 119, EVERYTHING)
        (gap,) = gaps_of(items)
        assert (gap.range, gap.reason) == (LedgerRange(62, 62), Reason.MISSING)
        assert RangeSet(w.range for w in windows_of(items)) == RangeSet([(2, 61), (63, 119)])


async def test_a_long_hole_is_passed_by_listing(s3, made):
    have = files(made, last=15) | files(made, first=300, last=321)
    url = put(s3, "holed", have, public=True)
    async with source_on(url, made.passphrase, {"s3_endpoint": s3.url}) as source:
        (gap,) = gaps_of(await collect(source, 2, 321, EVERYTHING))
        assert (gap.range, gap.reason) == (LedgerRange(16, 299), Reason.MISSING)


# --- what S3 does and moto does not -------------------------------------------------------------


class Bucket:
    """Answers GET, HEAD and version-2 listings of one bucket, as S3 and the XML API of Google do."""

    def __init__(self, found: dict[str, bytes], *, may_list: bool = True) -> None:
        self.found = {f"{PREFIX}/{name}": body for name, body in found.items()}
        self.may_list = may_list
        self.log: list[str] = []
        self.trap = None
        self.url = ""

    def error(self, status: int, code: str, **headers: str) -> web.Response:
        return web.Response(status=status, text=f"<Error><Code>{code}</Code></Error>", headers=headers)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        key = request.path.removeprefix("/lakes").lstrip("/")
        self.log.append(f"{request.method} {key or 'list'}")
        if self.trap is not None and (answer := await self.trap(request, key)) is not None:
            return answer
        if "list-type" in request.query:
            return self.list(request) if self.may_list else self.error(403, "AccessDenied")
        if key not in self.found:
            return self.error(404, "NoSuchKey") if self.may_list else self.error(403, "AccessDenied")
        body = self.found[key]
        headers = {"ETag": f'"{md5(body).hexdigest()}"', "Last-Modified": formatdate(usegmt=True)}
        return web.Response(body=body, headers=headers)

    def list(self, request: web.Request) -> web.Response:
        prefix, after = request.query["prefix"], request.query.get("start-after", "")
        after = request.query.get("continuation-token", after)
        keys = sorted(key for key in self.found if key.startswith(prefix) and key > after)
        page, rest = keys[:10], keys[10:]
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f'<ETag>"x"</ETag><Size>{len(self.found[key])}</Size></Contents>'
            for key in page
        )
        more = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if rest else ""
        return web.Response(
            text="<?xml version='1.0' encoding='UTF-8'?><ListBucketResult>"
            f"<Name>lakes</Name><IsTruncated>{str(bool(rest)).lower()}</IsTruncated>{more}{entries}</ListBucketResult>",
            content_type="application/xml",
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Bucket]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()


URL = f"s3://lakes/{PREFIX}"


async def test_a_bucket_that_may_not_be_listed_is_probed(made):
    """Without s3:ListBucket S3 answers 403 for objects that are not there."""
    bucket = Bucket(files(made), may_list=False)
    del bucket.found[f"{PREFIX}/{name_of(50)}"]
    clock = Clock()
    async with bucket.serving(), source_on(URL, made.passphrase, {"s3_endpoint": bucket.url}, clock.timing()) as source:
        reach = await source.reach()
        assert (reach.oldest, reach.latest) == (2, 120)
        (gap,) = gaps_of(await collect(source, 2, 120, EVERYTHING))
        assert (gap.range, gap.reason) == (LedgerRange(50, 50), Reason.UNAVAILABLE)
        assert "either there is no such object" in gap.detail
        assert "s3:ListBucket" in gap.detail
        assert "or everybody may not read it (s3:GetObject)" in gap.detail
        bucket.found[f"{PREFIX}/{name_of(121)}"] = objects({121: made.metas[121]})[name_of(121)]
        assert (await source.reach()).latest == 121


async def test_a_refusal_is_no_absence_where_the_lake_can_be_listed(made):
    bucket = Bucket(files(made))
    refused = {f"{PREFIX}/{name_of(n)}" for n in (121, 122)}

    async def trap(request, key):
        return bucket.error(403, "AccessDenied") if key in refused else None

    clock = Clock()
    async with bucket.serving(), source_on(URL, made.passphrase, {"s3_endpoint": bucket.url}, clock.timing()) as source:
        assert (await source.reach()).latest == 120
        bucket.trap = trap
        assert (await source.reach()).latest == 120
        bucket.found |= {f"{PREFIX}/{name}": body for name, body in files(made, first=121, last=130).items()}
        assert (await source.reach()).latest == 130
        (gap,) = gaps_of(await collect(source, 110, 130, EVERYTHING))
        assert (gap.range, gap.reason) == (LedgerRange(121, 122), Reason.UNAVAILABLE)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "InvalidAccessKeyId", "check the credentials"),
        (403, "SignatureDoesNotMatch", "check the credentials"),
        (301, "PermanentRedirect", "another region"),
        (400, "AuthorizationHeaderMalformed", "another region"),
    ],
)
async def test_what_never_passes_is_refused_at_once_with_what_to_do(made, status, code, said):
    bucket = Bucket(files(made))

    async def trap(request, key):
        return bucket.error(status, code)

    bucket.trap = trap
    clock = Clock()
    async with bucket.serving(), source_on(URL, made.passphrase, {"s3_endpoint": bucket.url}, clock.timing()) as source:
        with pytest.raises(SourceUnusableError, match=said):
            await source.identity()
        assert not clock.slept


@pytest.mark.parametrize("how", ["SlowDown", "cut", "reset", "500"])
async def test_what_passes_is_tried_again(made, how):
    bucket = Bucket(files(made))
    left = {f"{PREFIX}/{name_of(n)}": 2 for n in (20, 50, 51)}

    async def trap(request, key):
        if request.method != "GET" or not left.get(key):
            return None
        left[key] -= 1
        if how == "SlowDown":
            return bucket.error(503, "SlowDown")
        if how == "reset":
            request.transport.abort()
            return web.Response()
        if how == "500":
            return bucket.error(500, "InternalError")
        answer = web.StreamResponse(
            headers={"Content-Length": "9999", "ETag": '"x"', "Last-Modified": formatdate(usegmt=True)}
        )
        await answer.prepare(request)
        await answer.write(bucket.found[key][:100])
        request.transport.close()
        return answer

    bucket.trap = trap
    clock = Clock()
    async with bucket.serving(), source_on(URL, made.passphrase, {"s3_endpoint": bucket.url}, clock.timing()) as source:
        assert not gaps_of(await collect(source, 2, 120, EVERYTHING))
    assert len(clock.slept) >= 6
    assert not any(left.values())


async def test_nobody_at_the_endpoint_is_told_soon(made):
    clock = Clock()
    async with source_on(URL, made.passphrase, {"s3_endpoint": "http://127.0.0.1:9"}, clock.timing()) as source:
        with pytest.raises(SourceUnavailableError, match="s3://lakes cannot be reached"):
            await source.identity()
        assert 1 <= len(clock.slept) <= 6


async def test_no_answer_in_time_is_a_named_gap(made):
    bucket = Bucket(files(made))

    async def trap(request, key):
        if key.endswith(name_of(30)) and request.method == "GET":
            await asyncio.sleep(1)

    bucket.trap = trap
    own = {"s3_endpoint": bucket.url, "timeout_seconds": 0.2, "max_retries": 1}
    async with bucket.serving(), source_on(URL, made.passphrase, own | {"s3_endpoint": bucket.url}) as source:
        (gap,) = gaps_of(await collect(source, 2, 120, EVERYTHING))
        assert (gap.range, gap.reason) == (LedgerRange(30, 30), Reason.UNAVAILABLE)
        assert "did not answer in time" in gap.detail


async def test_secrets_of_the_settings_are_never_shown(made):
    bucket = Bucket(files(made))

    async def trap(request, key):
        return bucket.error(403, "AccessDenied") if key.endswith(name_of(30)) else None

    bucket.trap = trap
    own = {"s3_access_key_id": "AKIASECRET", "s3_secret_access_key": "verysecret", "s3_session_token": "tokensecret"}
    shown = repr(DataLakeSettings.model_validate(own))
    async with bucket.serving(), source_on(URL, made.passphrase, own | {"s3_endpoint": bucket.url}) as source:
        (gap,) = gaps_of(await collect(source, 2, 120, EVERYTHING))
        shown += gap.detail + repr(await source.identity())
    assert "these credentials may not read it" in gap.detail
    for secret in ("AKIASECRET", "verysecret", "tokensecret", PREFIX):
        assert secret not in shown


async def test_closing_waits_for_what_is_under_way_and_nothing_begins_after_it(made):
    bucket = Bucket(files(made))

    async def trap(request, key):
        await asyncio.sleep(0.1)

    async with bucket.serving(), source_on(URL, made.passphrase, {"s3_endpoint": bucket.url, "in_flight": 4}) as source:
        await source.reach()
        bucket.trap = trap
        task = asyncio.create_task(collect(source, 2, 120, EVERYTHING))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await source.close()
        asked = len(bucket.log)
        assert not [one for one in threading.enumerate() if one.name.startswith("bucket")]
        await asyncio.sleep(0.3)
        assert len(bucket.log) == asked


async def test_google_cloud_storage(made, monkeypatch):
    bucket = Bucket(files(made))
    async with bucket.serving():
        monkeypatch.setenv("GOOGLE_BASE_URL", bucket.url)
        async with source_on(f"gs://lakes/{PREFIX}", made.passphrase) as source:
            reach = await source.reach()
            assert (reach.oldest, reach.latest) == (2, 120)
            assert not gaps_of(await collect(source, 2, 120, EVERYTHING))
            assert (await source.identity()).endpoints == ("gs://lakes",)


def test_the_public_bucket_is_read_anonymously_in_its_own_region_whatever_the_environment_says(monkeypatch):
    from stellarstream_data_lake.bucket import open_bucket

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")

    def config(bucket: str, **own: object) -> dict:
        return dict(open_bucket("s3", bucket, "p", DataLakeSettings.model_validate(own))._store.config)

    public = config("aws-public-blockchain")
    assert (public["region"], public["skip_signature"]) == ("us-east-2", "true")
    mine = config("mine")
    assert (mine["region"], mine["skip_signature"]) == ("eu-west-1", "false")
    assert config("mine", s3_region="ap-south-1", anonymous=True)["region"] == "ap-south-1"
    assert config("mine", anonymous=True)["skip_signature"] == "true"
    assert config("aws-public-blockchain", anonymous=False)["skip_signature"] == "false"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert config("mine")["skip_signature"] == "true"


def test_a_process_that_read_a_bucket_ends_with_its_own_exit_code(tmp_path):
    """Rust threads that still hold Python when it ends would abort the process."""
    program = """
import asyncio, sys
from tests.data_lake.kit import collect, made_history, source_on
from tests.data_lake.test_bucket import EVERYTHING, URL, Bucket, files
from stellarstream_sandbox.config import SandboxConfig

async def main():
    made = made_history(SandboxConfig(ledgers=30, genesis_time=1_800_000_000, port=0, live=False))
    bucket = Bucket(files(made, last=30))
    async with bucket.serving(), source_on(URL, made.passphrase, {"s3_endpoint": bucket.url}) as source:
        await collect(source, 2, 30, EVERYTHING)

asyncio.run(main())
sys.exit(7)
"""
    running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(2)]
    assert [one.wait(60) for one in running] == [7] * 2
