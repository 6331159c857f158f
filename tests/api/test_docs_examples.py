"""The API's documentation says what the service does: every example runs, and its output looks as shown.

The service, the sync and the network are the processes that ``docs/api.md`` tells to start.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from configparser import ConfigParser
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import aiohttp
import pytest
from aiohttp import web
from stellar_sdk import Keypair

from stellarstream_core.api.app import CORE_ROUTES
from stellarstream_core.api.auth.errors import AuthError
from stellarstream_core.api.auth.key_store import create_key
from stellarstream_core.api.cors import EXPOSED
from stellarstream_core.api.problems import ApiProblem, catalogue
from stellarstream_core.settings import Settings, load_settings
from stellarstream_core.testing.api import serving
from stellarstream_core.testing.scripted import made_event
from tests import commands
from tests.api.conftest import store
from tests.api.examples import Block, Page, different, looks_like
from tests.api.pages.browser import chromium
from tests.paths import missing

GUIDE = Page("docs/api.md")
LOGIN = Page("docs/authentication.md")
PLUGINS = Page("docs/plugins.md")
SHOWN_URLS = re.compile(r"http://(?:127\.0\.0\.1|localhost):3000")
CLOSE_SECONDS = 0.5
PATIENCE_SECONDS = 40.0


# --- what the guide tells to start ----------------------------------------------------------------


@dataclass
class Deployment:
    """A sandbox network, a sync that follows it, and the service."""

    url: str
    folder: Path
    environment: dict[str, str]

    @property
    def frontend(self) -> str:
        """The address whose pages may read the API."""
        return self.environment["STELLARSTREAM_FRONTEND_URL"]

    def here(self, code: str) -> str:
        """Return an example with this service's address for the one that is shown."""
        return SHOWN_URLS.sub(self.url, code)

    def get(self, path: str) -> dict:
        with urlopen(f"{self.url}{path}", timeout=20) as answer:
            return json.load(answer)

    def shell(self, script: str) -> str:
        """Run a script and return what it prints."""
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.said = done.stderr
        return done.stdout


@contextmanager
def process(command: str, folder: Path, environment: dict[str, str], *more: str) -> Iterator[subprocess.Popen]:
    """Run a command of the documentation in the background, its output in a file, until the block ends."""
    program, *arguments = shlex.split(command)
    assert program == "stellarstream"
    name = f"{arguments[0]}-{'-'.join(more).replace('/', '')}.log"
    with (folder / name).open("w") as log:
        started = commands.start(*arguments, *more, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    started.log = folder / name
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def output_of(*command: str, **options) -> str:
    """Return what a program prints, whether it ends well or not."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)
    return done.stdout


def status_of(url: str) -> str:
    """Return the status of an answer, asked for on a connection of its own."""
    return output_of("curl", "-so", "/dev/null", "-w", "%{http_code}", url)


def said(started: subprocess.Popen, pattern: str) -> str:
    """Wait until a process has said something, and return the pattern's group."""
    end = time.monotonic() + PATIENCE_SECONDS
    while (found := re.search(pattern, started.log.read_text())) is None:
        assert started.poll() is None, started.log.read_text()
        assert time.monotonic() < end, started.log.read_text()
        time.sleep(0.05)
    return found[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def clean_environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STELLARSTREAM_")}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": programs, "HOME": str(folder), "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    environment = clean_environment(folder)
    setup, *commands = filter(None, GUIDE.only("sh").code.splitlines())
    name, value = setup.removeprefix("export ").split()[0].split("=")
    environment |= {
        name: value,
        "STELLARSTREAM_FRONTEND_URL": f"http://localhost:{free_port()}",
        # a sync looks for new ledgers as often as it saw them close
        "STELLARSTREAM_PLUGINS__SANDBOX__HISTORY_SPACING": str(CLOSE_SECONDS),
    }
    sandbox, sync, serve = commands
    with process(sandbox, folder, environment, "--port", "0", "--close-time", str(CLOSE_SECONDS)) as network:
        node = said(network, r"JSON-RPC +(http\S+)")
        # the addresses that the sandbox's settings have without being told, at a port of this test's own
        environment |= {
            "STELLARSTREAM_RPC_URL": node,
            "STELLARSTREAM_HORIZON_URL": f"{node}/horizon",
            "STELLARSTREAM_LAKE_URL": f"{node}/lake",
        }
        with (
            process(sync, folder, environment),
            process(serve, folder, environment, "--port", "0") as service,
        ):
            found = Deployment(said(service, r"Serving (http\S+)"), folder, environment)
            end = time.monotonic() + PATIENCE_SECONDS
            while found.get("/api/v1/sync")["lag"] not in {0, 1, 2}:
                assert time.monotonic() < end
                time.sleep(0.1)
            yield found


# --- examples -------------------------------------------------------------------------------------


class Reader:
    """Somebody who does what a page says, from its beginning on."""

    def __init__(self, page: Page, deployment: Deployment) -> None:
        self.page = page
        self.deployment = deployment
        self.names: dict = {"__name__": "example"}
        self.variables = ""
        self.changed: dict[str, str] = {}

    def read(self) -> None:
        """Do all of it."""
        for block in self.page.of("console", "python"):
            {"console": self._type, "python": self._execute}[block.language](block)

    def _execute(self, block: Block) -> None:
        # in its own lines, so that a traceback shows where it stands
        code = "\n" * (block.line - 1) + self.deployment.here(block.code)
        exec(compile(code, str(self.page.path), "exec"), self.names)

    def _type(self, block: Block) -> None:
        for command in self.page.commands(block):
            text = self.deployment.here(command.text)
            for shown, real in self.changed.items():
                text = text.replace(shown, real)
            if re.match(r"[A-Z]+=\S+$", text):
                self.variables += f"{text}\n"
                continue
            for last in (False, False, True):  # what there is to see comes with the ledgers
                output = self.deployment.shell(self.variables + text)
                fault = self._fault(command, output)
                if fault is None:
                    break
                assert not last, f"{self.page.path.name}:{command.line}: {fault}\n{self.deployment.said}"
                time.sleep(2 * CLOSE_SECONDS)
            self.after(command.text, output)

    def _fault(self, command, output: str) -> str | None:
        if command.value is not None:
            return different(command.value, json.loads(output))
        return None if looks_like(command.shown, output.replace("\r\n", "\n")) else f"says\n{output[:2000]}"

    def after(self, command: str, output: str) -> None:
        """Look at what a command said."""


def needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            missing(f"the package {program}, for the examples of the documentation")


def all_ids(deployment: Deployment) -> list[str]:
    """Return the ids of all events that are stored now."""
    names = {}
    exec(next(block.code for block in GUIDE.of("python") if "def get(" in block.code).split("newest =")[0], names)
    exec(next(block.code for block in GUIDE.of("python") if "def pages(" in block.code), names)
    names["API"] = f"{deployment.url}/api/v1"
    return [event["id"] for page in names["pages"]("/events") for event in page["items"]]


def test_the_guides_examples_run_and_answer_as_shown(deployment, capsys):
    needs("bash", "curl")
    reader = Reader(GUIDE, deployment)
    reader.read()
    stored = all_ids(deployment)
    names = reader.names
    assert names["ids"] == stored[: len(names["ids"])]
    assert len(names["ids"]) > 300
    listed = names["stored"]
    assert set(listed) <= set(stored)
    assert len(listed) > names["listed"] + 3
    assert set(stored) - set(listed) <= set(stored[-200:]), "nothing is left out before where the example ended"
    (created,) = names["created"]["items"]
    assert created["decoded"]["topics"][1] == "create_v2"
    assert "['" in capsys.readouterr().out


def test_the_guides_javascript_runs_in_node_and_reads_the_same(deployment):
    needs("node")
    blocks = [block.code for block in GUIDE.of("js") if not block.note]
    told = "console.log(JSON.stringify({ ids, asOfLedger, created: created.items, newest: newest.items.length }));"
    script = deployment.folder / "guide.mjs"
    script.write_text(deployment.here("\n".join([*blocks, told])))
    found = json.loads(output_of("node", str(script), stdin=subprocess.DEVNULL).splitlines()[-1])
    assert found["ids"] == all_ids(deployment)[: len(found["ids"])]
    assert len(found["ids"]) > 300
    assert found["newest"] == 3
    assert found["created"][0]["decoded"]["topics"][1] == "create_v2"


@asynccontextmanager
async def frontend(deployment: Deployment, html: str) -> AsyncIterator[str]:
    """Serve a page at the address of the deployment's frontend."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", urlsplit(deployment.frontend).port).start()
        yield f"{deployment.frontend}/"
    finally:
        await runner.cleanup()


async def test_the_guides_page_follows_in_a_browser_of_another_origin(deployment):
    blocks = [block.code for block in GUIDE.of("js")]
    script = deployment.here("\n".join(blocks))
    started = """
        Object.assign(window, { shown: [], again: 0 });
        window.end = await follow(CONTRACT, (event) => shown.push(event.id), () => again++);
    """
    html = f'<!doctype html><link rel="icon" href="data:,"><script type="module">{script}\n{started}</script>'
    async with frontend(deployment, html) as address, chromium() as browser:
        page = await browser.new_page()
        complaints = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        await page.goto(address)
        await page.wait_for_function("typeof end === 'function'", timeout=20_000)
        listed = await page.evaluate("shown.length")
        await page.wait_for_function(f"shown.length > {listed + 3}", timeout=20_000)
        before = await asyncio.to_thread(all_ids, deployment)
        await page.wait_for_function(f"shown.includes({json.dumps(before[-1])})", timeout=20_000)
        shown = await page.evaluate("[...shown]")
        # as after a restored backup
        assert "new epoch" in await asyncio.to_thread(deployment.shell, "stellarstream migrate --new-epoch")
        await page.wait_for_function("again === 1", timeout=20_000)
        assert complaints == []
    assert len(set(shown)) == len(shown), "an event was shown twice"
    assert set(before) <= set(shown), "an event was missed"


def test_the_walk_through_of_a_login_runs_against_the_network(deployment, capsys):
    needs("bash", "curl")
    reader = Reader(LOGIN, deployment)
    reader.changed = {"G…": Keypair.random().public_key}

    def after(command: str, output: str) -> None:
        if command.startswith("stellarstream keys create"):
            assert re.fullmatch(r"ss_\w{12}_\w{43}\n", (deployment.folder / "key.txt").read_text())
            reader.changed["4fK9sWq0ZbR2"] = (deployment.folder / "key.txt").read_text().split("_")[1]
        elif command.startswith("curl"):
            assert "watermark" in json.loads(output)
        elif command.startswith("stellarstream keys list"):
            assert "'price bot'" in output
        elif command.startswith("stellarstream keys revoke"):
            assert output.startswith("revoked ")
        elif "token_urlsafe" in command:
            settings["secret_key"] = output.strip()
        elif "Keypair" in command:
            settings["signing_key"] = output.strip()
        else:
            raise AssertionError(f"nobody has looked at what this says: {command}")

    settings: dict[str, str] = {}
    reader.after = after
    reader.read()
    assert Keypair.from_secret(settings["signing_key"]).can_sign()
    assert len(settings["secret_key"]) >= 32
    assert reader.names["token"].count(".") == 2


# --- tables ---------------------------------------------------------------------------------------


def statuses(root: type) -> dict[str, int]:
    """Return the code and status of every problem of the framework that is raised itself."""
    kinds = {
        code: kind
        for code, kind in catalogue().items()
        if kind.__module__.startswith("stellarstream_core.") and issubclass(kind, root)
    }
    return {code: kind.status for code, kind in kinds.items() if not (kind.__doc__ or "").startswith("Base of ")}


def test_every_problem_stands_in_a_table_with_its_status():
    of_logins = statuses(AuthError)
    assert LOGIN.codes() == of_logins
    assert GUIDE.codes() == {code: status for code, status in statuses(ApiProblem).items() if code not in of_logins}


def test_every_route_is_named_and_every_address_that_is_named_is_there():
    rows = "".join(line for line in GUIDE.section("Addresses").splitlines() if line.startswith("| `"))
    addresses = re.findall(r"`(?:GET |GET`, `POST )?(/[^` ]*)`", rows)
    named = {re.sub(r"[A-Z]{2,}", "{}", address) for address in addresses}
    there = {re.sub(r"\{\w+\}", "{}", route.full_path): route.hidden for route in CORE_ROUTES}
    assert named - set(there) == set()
    assert {address for address, hidden in there.items() if not hidden} - named == set()


def test_the_metrics_that_are_named_are_told(deployment):
    named = set(re.findall(r"`(stellarstream_\w+)`", GUIDE.section("Watching it")))
    assert len(named) > 15
    deployment.get("/api/v1/sync")
    with urlopen(f"{deployment.url}/metrics", timeout=20) as answer:
        told = answer.read().decode()
    families = set(re.findall(r"^# TYPE (\S+)", told, re.MULTILINE))
    assert named - families == set()


def test_the_limits_that_are_named_are_the_defaults():
    from stellarstream_core.api import parsing, routes, server

    text = GUIDE.section("Limits")
    fields = Settings.model_fields
    assert fields["rate_limit"].default == "600/minute"
    assert fields["rate_limit_key"].default == "6000/minute"
    assert f"`live_readers`: {fields['live_readers'].default:,}" in text
    assert f"`live_readers_per_client`: {fields['live_readers_per_client'].default}" in text
    assert f"{routes.BODY_LIMIT // 1024} KB" in text
    assert f"{server.LINE_BYTES:,} bytes" in text
    assert f"| parameters of one query | {parsing.MOST_VALUES} |" in text
    assert f"| the time to answer | {routes.TIME_LIMIT_SECONDS:.0f} seconds" in text
    assert f"| the time for a body to arrive | {parsing.BODY_SECONDS:.0f} seconds" in text
    assert f"{server.FIRST_REQUEST_SECONDS:.0f} seconds; {server.KEEP_ALIVE_SECONDS:.0f} between" in text


def test_the_headers_that_a_page_can_read_are_named():
    sentence = re.search(r"A page can read\s(.*?)\.\s", GUIDE.section("Limits"), re.DOTALL)
    assert set(re.findall(r"`([^`]+)`", sentence[1])) == set(EXPOSED.split(", "))


# --- running it -----------------------------------------------------------------------------------


def test_the_settings_that_are_shown_are_settings(tmp_path):
    file = tmp_path / "stellarstream.toml"
    file.write_text(GUIDE.only("toml").code)
    settings = load_settings(file, environ={})
    assert (settings.public_url, settings.log_format) == ("https://api.example.org", "json")


def test_workers_that_share_a_socket_count_together(deployment, tmp_path):
    ini = ConfigParser(interpolation=None)
    ini.read_string(GUIDE.only("ini").code)
    command = ini["watcher:api"]["cmd"].replace("$(circus.sockets.api)", "{}")
    environment = deployment.environment | {
        "STELLARSTREAM_DATABASE_URL": f"sqlite:///{deployment.folder}/stellarstream.db",
        "STELLARSTREAM_SECRET_KEY": "a secret of the tests that is long enough",
        "STELLARSTREAM_SIGNING_KEY": Keypair.random().secret,
        "STELLARSTREAM_RATE_LIMIT": "5/hour",
        "STELLARSTREAM_RUN_DIR": str(tmp_path / "run"),
    }
    with socket.create_server(("127.0.0.1", 0)) as shared:
        shared.set_inheritable(True)
        number = shared.fileno()
        address = "http://{}:{}".format(*shared.getsockname())
        workers = []
        try:
            for at in range(int(ini["watcher:api"]["numprocesses"])):
                log = (tmp_path / f"{at}.log").open("w")
                arguments = shlex.split(command.format(number))[1:]
                workers.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "stellarstream_core.cli", *arguments],
                        env=environment,
                        cwd=tmp_path,
                        pass_fds=[number],
                        stderr=log,
                        stdout=log,
                    )
                )
                workers[-1].log = tmp_path / f"{at}.log"
            for worker in workers:
                said(worker, r"(Serving) ")
            codes = [status_of(f"{address}/api/v1/events?limit=1") for _ in range(8)]
            assert codes == ["200"] * 5 + ["429"] * 3
            with urlopen(f"{address}/metrics", timeout=20) as answer:
                told = answer.read().decode()
            counted = re.search(r'http_requests_total\{method="GET",route="/api/v1/events",status="200"\} (\S+)', told)
            assert float(counted[1]) == 5
        finally:
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
            for worker in workers:
                assert worker.wait(10) == 0


def test_nginx_as_it_is_shown_lets_events_through_at_once(deployment, tmp_path):
    nginx = os.environ.get("STELLARSTREAM_TEST_NGINX") or shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        missing("nginx is not installed, and STELLARSTREAM_TEST_NGINX names none")
    port = free_port()
    shown = GUIDE.only("nginx").code
    shown = shown.replace("127.0.0.1:3000", deployment.url.removeprefix("http://"))
    shown = shown.replace("listen 443 ssl http2;", f"listen 127.0.0.1:{port};")
    shown = re.sub(r"^ *ssl_.*\n", "", shown, flags=re.MULTILINE)
    places = "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\nevents {{}}\n"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/body;\n{places}{shown}}}\n"
    )
    server = subprocess.Popen([nginx, "-p", str(tmp_path), "-e", f"{tmp_path}/error.log", "-c", str(config)])
    try:
        proxy = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert deployment.get("/api/v1/events?limit=1")["items"]
        with urlopen(f"{proxy}/api/v1/events/live", timeout=10) as stream:
            began = time.monotonic()
            while not stream.readline().startswith(b"data:"):
                assert time.monotonic() - began < 10
        assert status_of(f"{proxy}/metrics") == "403"
    finally:
        server.terminate()
        server.wait(10)


# --- a plugin with a resource ---------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    """The package of the plugins' guide, found like one that was installed."""
    for name in [name for name in os.environ if name.startswith("STELLARSTREAM_") and "TEST" not in name]:
        monkeypatch.delenv(name)
    for block in PLUGINS.of("python"):
        if found := re.match(r"# ((?:stellarstream_notes|tests)/\S+\.py)\n", block.code):
            file = tmp_path / found[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.code)
    about = tmp_path / "stellarstream_notes-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stellarstream-notes\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[stellarstream]\nnotes = stellarstream_notes\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("stellarstream_notes")]:
        del sys.modules[name]


async def test_the_plugins_own_test_passes(installed):
    names: dict = {}
    exec((installed / "tests" / "test_notes.py").read_text(), names)
    (test,) = [value for name, value in names.items() if name.startswith("test_")]
    await test(installed)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_the_plugin_of_the_guide_inherits_what_the_guide_says(installed, request, runtime_of, database):
    url = request.getfixturevalue("postgres_url" if database == "postgresql" else "sqlite_url")
    runtime = runtime_of(url)
    assert [(plugin.name, plugin.state) for plugin in runtime.plugins.all if not plugin.built_in] == [
        ("notes", "active")
    ]
    async with serving(runtime) as api, aiohttp.ClientSession(api.url) as client:
        storage = api.service.database.storage
        event = made_event(100)
        store(storage, (100, 100), ["*"], [event])
        account = Keypair.random().public_key
        key = {scope: create_key(storage, account, [scope]).key.get_secret_value() for scope in ("read", "notes:write")}

        async def ask(method: str, path: str, scope: str | None = None, body: object = None, **headers: str):
            headers |= {"X-API-Key": key[scope]} if scope else {}
            async with client.request(method, f"/api/v1{path}", json=body, headers=headers) as answer:
                return answer, await answer.json(content_type=None)

        note = {"eventId": event.id, "text": "a word"}
        for scope, code in ((None, "not-authenticated"), ("read", "forbidden")):
            _, problem = await ask("POST", "/notes", scope, note)
            assert problem["code"] == code
        for body, code in (
            ({**note, "eventId": made_event(7).id}, "not-found"),
            ({**note, "text": ""}, "invalid-body"),
            ({**note, "txet": ""}, "invalid-body"),
        ):
            _, problem = await ask("POST", "/notes", "notes:write", body)
            assert problem["code"] == code
        made = [(await ask("POST", "/notes", "notes:write", {**note, "text": f"{n}"}))[1]["id"] for n in range(5)]
        found, path = [], "/notes?limit=2"
        while path:
            answer, page = await ask("GET", path, "read")
            found += [item["id"] for item in page["items"]]
            path = f"/notes?limit=2&cursor={page['nextCursor']}" if page["nextCursor"] else ""
            assert ("next" in answer.links) == bool(path)
            assert (page["asOfLedger"], page["complete"]) == (100, True)
        assert found == made
        first, told = await ask("POST", "/notes", "notes:write", note, **{"Idempotency-Key": "k"})
        again, same = await ask("POST", "/notes", "notes:write", note, **{"Idempotency-Key": "k"})
        assert (first.status, again.status, told) == (201, 201, same)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.content_type == first.content_type
        _, page = await ask("GET", "/notes", "read")
        assert len(page["items"]) == 6
        _, problem = await ask("GET", f"/events?cursor={page['nextCursor'] or 'x'}")
        assert problem["code"] == "invalid-cursor"
        async with client.get("/openapi.json") as answer:
            operation = (await answer.json())["paths"]["/api/v1/notes"]["post"]
        assert "Idempotency-Key" in [parameter["name"] for parameter in operation["parameters"]]
        assert "404" in operation["responses"]
