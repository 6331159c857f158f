"""Two workers on one socket: whatever one has said, counted or begun, the other knows; and leaving loses nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from stellar_sdk import Keypair

from stellarstream_core.api.auth.key_store import create_key
from stellarstream_core.settings import NETWORKS
from stellarstream_core.testing.scripted import made_event
from tests import commands
from tests.api.auth.kit import signed
from tests.api.conftest import store
from tests.api.kit import HISTORY, SECRET, SIGNING, A, B, C, Said, Wire, runtime_of
from tests.api.test_logins import new_node
from tests.api.workers import Worker, Workers, settings_of, until, workers_on_one_socket

JSON = "Content-Type: application/json"
ORDER = b'{"amount":"1"}'


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def database_url(home) -> str:
    return f"sqlite:///{home / 'api.db'}"


@pytest.fixture(scope="module")
def storage(database_url) -> Iterator[object]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("STELLARSTREAM_CONFIG", "STELLARSTREAM_DATABASE_URL"):
            patch.delenv(name, raising=False)
        with closing(runtime_of(database_url).open_storage(create=True)) as storage:
            store(storage, (100, 180), [A, B, C], HISTORY)
            yield storage


@pytest.fixture(scope="module")
def node() -> Iterator[object]:
    node = new_node()
    yield node
    node.stop()


@pytest.fixture(scope="module")
def pair(home, storage, database_url, node) -> Iterator[Workers]:
    settings = settings_of(database_url, RPC_URL=node.url, RATE_LIMIT_KEY="30/hour")
    with workers_on_one_socket(home, 2, **settings) as workers:
        yield workers


@pytest.fixture
def key(storage) -> str:
    """An API key of an account of its own, so that nobody else uses up its quota."""
    made = create_key(storage, account=Keypair.random().public_key, scopes=["read", "write"])
    return made.key.get_secret_value()


def place(wire: Wire, *headers: str, body: bytes = ORDER) -> Said:
    return wire.ask("/api/v1/orders", JSON, *headers, method="POST", body=body)


def test_a_cursor_leads_on_at_the_other_worker(pair):
    with pair.one_each() as wires:
        found, cursor = [], ""
        for number in range(1_000):
            said = wires[number % 2].ask(f"/api/v1/events?limit=7{cursor}")
            found += [item["id"] for item in said.json["items"]]
            if said.json["nextCursor"] is None:
                break
            cursor = f"&cursor={said.json['nextCursor']}"
    assert found == [event.id for event in HISTORY]


def test_a_login_that_one_began_the_other_ends_and_each_challenge_is_good_once_for_both(pair):
    passphrase, account = NETWORKS["sandbox"].passphrase, Keypair.random()
    with pair.one_each() as (one, other):
        challenge = one.ask(f"/api/v1/auth?account={account.public_key}").json["transaction"]
        body = b'{"transaction":"%b"}' % signed(challenge, account, passphrase=passphrase).encode()
        token = other.ask("/api/v1/auth", JSON, method="POST", body=body).json["token"]
        for wire in (one, other):
            said = place(wire, f"Authorization: Bearer {token}")
            assert (said.status, said.json["account"]) == (201, account.public_key)
            assert wire.ask("/api/v1/auth", JSON, method="POST", body=body).code == "challenge-replayed"


def test_an_idempotency_key_counts_at_both(pair, key):
    headers = (f"X-API-Key: {key}", "Idempotency-Key: one")
    with pair.one_each() as (one, other):
        first, again = place(one, *headers), place(other, *headers)
        assert (first.status, again.status) == (201, 201)
        assert (first.header("Idempotency-Replayed"), again.header("Idempotency-Replayed")) == (None, "true")
        assert first.body == again.body
        assert place(other, *headers, body=b'{"amount":"2"}').code == "idempotency-conflict"


def test_of_the_same_request_at_both_at_once_one_is_carried_out(pair, key):
    with pair.one_each() as wires, ThreadPoolExecutor(2) as both:
        for number in range(8):
            headers = (f"X-API-Key: {key}", f"Idempotency-Key: at-once-{number}")
            said = list(both.map(lambda wire, headers=headers: place(wire, *headers), wires))
            carried_out = [one for one in said if one.status == 201 and one.header("Idempotency-Replayed") is None]
            assert len(carried_out) == 1, said
            assert {one.code for one in said if one not in carried_out} <= {None, "idempotency-running"}


def test_a_quota_is_one_for_both(pair, key):
    with pair.one_each() as wires:
        said = [wires[number % 2].ask("/api/v1/orders", f"X-API-Key: {key}") for number in range(34)]
    allowed = [one for one in said if one.status == 200]
    assert len(allowed) in {30, 31, 32}
    assert {one.code for one in said[len(allowed) :]} == {"rate-limited"}
    assert all(int(one.header("Retry-After")) > 60 for one in said[len(allowed) :])
    left = [int(dict(part.split("=") for part in one.header("RateLimit").split(";")[1:])["r"]) for one in allowed]
    assert left == sorted(left, reverse=True)


def test_what_both_have_counted_is_told_by_both(pair):
    def counted(wire: Wire) -> float:
        name = 'stellarstream_http_requests_total{method="GET",route="/api/v1/events/rate",status="200"}'
        lines = [line for line in wire.ask("/metrics").body.decode().splitlines() if line.startswith(name)]
        return float(lines[0].rpartition(" ")[2]) if lines else 0.0

    with pair.one_each() as (one, other):
        before = counted(one)
        for wire, times in ((one, 3), (other, 5)):
            for _ in range(times):
                assert wire.ask("/api/v1/events/rate").status == 200
        assert [counted(wire) - before for wire in (one, other)] == [8, 8]


def test_what_is_committed_is_heard_at_both(pair, storage):
    with pair.one_each() as wires:
        for wire in wires:
            wire.send(b"GET /api/v1/events/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in wire._until(b"\r\n\r\n")
        event = made_event(190, contract=A)
        store(storage, (190, 190), [A], [event])
        for wire in wires:
            wire._until(event.id.encode())


def test_nothing_of_the_secrets_is_in_what_they_write(pair):
    with pair.one_each() as wires:
        for wire in wires:
            place(wire)
    for worker in pair.workers:
        written = worker.said + worker.log
        assert "/api/v1/orders" in written
        for secret in (SECRET, SIGNING, "ss_", "eyJ"):
            assert secret not in written


@pytest.mark.parametrize(
    ("left_out", "name"),
    [({"SECRET_KEY"}, "secret_key"), ({"SIGNING_KEY"}, "signing_key"), ({"SECRET_KEY", "SIGNING_KEY"}, "secret_key")],
)
def test_without_a_secret_that_all_know_none_begins(tmp_path, left_out, name):
    settings = settings_of(f"sqlite:///{tmp_path / 'api.db'}")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        kept = {key: value for key, value in settings.items() if key not in left_out}
        worker = Worker(tmp_path / "w", "--fd", str(sock.fileno()), sock=sock, **kept)
        assert worker.ended(30) == 2
    assert f"{name}: several workers have to agree on it, and it is not set." in worker.log
    assert f"STELLARSTREAM_{name.upper()}" in worker.log
    assert "Traceback" not in worker.log


def test_what_is_no_listening_socket_is_refused(tmp_path):
    with socket.socket() as sock:
        worker = Worker(
            tmp_path / "w", "--fd", str(sock.fileno()), sock=sock, **settings_of(f"sqlite:///{tmp_path}/a.db")
        )
        assert worker.ended(30) == 2
    assert "is no listening socket" in worker.log


# --- the end --------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path, storage, database_url) -> Iterator[tuple[Worker, tuple[str, int]]]:
    worker = Worker(tmp_path / "alone", "--port", "0", begin=commands.from_nothing, **settings_of(database_url))
    address = worker.wait_until_ready().rpartition(":")[2]
    yield worker, ("127.0.0.1", int(address))
    worker.kill()


def rest(wire: Wire) -> bytes:
    """Return what comes until the connection ends."""
    try:
        return wire.rest()
    except ConnectionResetError:
        return b"reset"


def test_who_is_being_answered_is_answered_streams_are_told_and_it_ends_in_time(alone):
    worker, address = alone
    wires = [Wire(address, 20.0) for _ in range(9)]
    slow, idle, first, *streams = wires
    for stream in streams:
        stream.send(b"GET /api/v1/events/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in stream._until(b"\r\n\r\n")
    assert idle.ask("/healthz/live").status == 200
    slow.send(b"GET /api/v1/wait?seconds=1.5 HTTP/1.1\r\nHost: x\r\n\r\n")
    first.send(b"GET /healthz/li")  # in the middle of its head
    time.sleep(0.3)
    began = time.monotonic()
    worker.terminate()
    time.sleep(0.1)
    first.send(b"ve HTTP/1.1\r\nHost: x\r\n\r\n")
    late = first.answer()
    assert (late.status, late.header("Connection")) == (200, "close")
    for stream in streams:
        assert b'event: bye\ndata: {"code":"shutting-down"' in rest(stream)
    said = slow.answer()
    assert (said.status, said.json, said.header("Connection")) == (200, {"text": "done"}, "close")
    assert rest(idle) == b""
    assert worker.ended() == 0
    assert time.monotonic() - began < 5
    assert "Ended." in worker.said + worker.log
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(address, timeout=1)
    for wire in wires:
        wire.sock.close()
    assert "Traceback" not in worker.log
    assert "ERROR" not in worker.log


def test_who_would_hold_it_up_does_not(alone):
    worker, address = alone
    with Wire(address, 20.0) as slow, Wire(address, 20.0) as half, Wire(address, 20.0) as deaf:
        slow.send(b"GET /api/v1/wait?seconds=5 HTTP/1.1\r\nHost: x\r\n\r\n")
        half.send(b"POST /api/v1/quotes HTTP/1.1\r\nHost: x\r\n" + JSON.encode() + b"\r\nContent-Length: 99\r\n\r\n{")
        deaf.send(b"GET /api/v1/events/live HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.3)
        began = time.monotonic()
        worker.terminate()
        worker.terminate()  # asked twice, it ends once
        code = worker.ended()
        # within 5 seconds on a machine that does nothing else; one that is held up does not end at all
        assert time.monotonic() - began < 9
    assert code in {0, 3}
    assert "Traceback" not in worker.log


class Load:
    """Clients that keep their connections and ask without a pause, as proxies do; what was not answered is counted."""

    def __init__(self, address: tuple[str, int], wires: list[Wire]) -> None:
        self._address = address
        self._over = threading.Event()
        self.counts: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._client, args=(wire,), daemon=True) for wire in wires]
        for thread in self._threads:
            thread.start()

    def _client(self, first: Wire) -> None:
        wire: Wire | None = first
        while not self._over.is_set():
            try:
                wire = wire or Wire(self._address, 20.0)
                said = wire.ask("/api/v1/events?limit=3")
                self.counts[str(said.status)] += 1
                if said.header("Connection") != "close":
                    said = wire.ask("/api/v1/quotes", JSON, method="POST", body=ORDER)
                    self.counts[f"POST {said.status} {said.code}"] += 1
                self.counts[said.header("X-Request-ID")[:12]] += 1
                if said.header("Connection") == "close":
                    wire.sock.close()
                    wire = None
            except (OSError, EOFError) as error:
                self.counts[f"lost: {type(error).__name__}: {error}"] += 1
                wire = None
            time.sleep(0.001)

    def stop(self) -> Counter[str]:
        self._over.set()
        for thread in self._threads:
            thread.join(20)
        return self.counts


def test_of_two_workers_one_leaves_under_load_and_nobody_notices(tmp_path, storage, database_url):
    with workers_on_one_socket(tmp_path, 2, **settings_of(database_url)) as pair, ExitStack() as stack:
        load = Load(pair.address, [wire for _ in range(6) for wire in stack.enter_context(pair.one_each())])
        until(lambda: load.counts["200"] > 300)
        leaving, staying = pair.workers
        leaving.terminate()
        assert leaving.ended() == 0
        at_the_end = load.counts["200"]
        until(lambda: load.counts["200"] > at_the_end + 300)
        counts = load.stop()
        assert staying.process.poll() is None
    lost = {what: count for what, count in counts.items() if what.startswith("lost")}
    assert lost == {}
    assert {what for what in counts if len(what) == 3} == {"200"}
    assert {what for what in counts if what.startswith("POST")} == {"POST 200 None"}
    assert len([what for what in counts if len(what) == 12]) == 2, "both took part"


def test_a_worker_that_is_killed_costs_what_it_was_doing_and_the_others_go_on(tmp_path, storage, database_url, key):
    settings = settings_of(database_url, RATE_LIMIT_KEY="10/hour")
    with workers_on_one_socket(tmp_path, 2, **settings) as pair:
        with pair.one_each() as (one, other):
            for wire in (one, other, one, other):
                assert wire.ask("/api/v1/orders", f"X-API-Key: {key}").status == 200
            pair.workers[0].kill()
        for _ in range(20):
            assert pair.ask("/api/v1/events?limit=1").status == 200
        said = [pair.ask("/api/v1/orders", f"X-API-Key: {key}") for _ in range(12)]
        assert 6 <= sum(one.status == 200 for one in said) <= 8, "what the other had counted still counts"
        name = 'stellarstream_http_requests_total{method="GET",route="/api/v1/orders",status="200"}'
        (line,) = [line for line in pair.ask("/metrics").body.decode().splitlines() if line.startswith(name)]
        assert float(line.rpartition(" ")[2]) == 4 + sum(one.status == 200 for one in said)
