"""A request with an ``Idempotency-Key`` runs once: its answer comes again, whoever asks and however often."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from stellarstream_core.api.limits.idempotency import (
    IDEMPOTENCY_PROBLEMS,
    KEPT_SECONDS,
    LEASE_SECONDS,
    MOST_BODY_BYTES,
    AnswerNotKeptError,
    Begun,
    ClaimLostError,
    Idempotency,
    IdempotencyConflictError,
    InvalidIdempotencyKeyError,
    Replay,
    StillRunningError,
    check_key,
    finish_within,
    hash_request,
)
from stellarstream_core.api.problems import problem_of
from stellarstream_core.plugins import CORE_MODELS
from stellarstream_core.storage.tables import ApiChallenge, ApiIdempotency
from stellarstream_sql.storage import open_sqlite

NOW = 1_800_000_000
ROUTE = "POST /api/v1/invoice-links"
ANSWER = (201, {"Content-Type": "application/json", "Location": "/x/1"}, b'{"id":1}')


@pytest.fixture
def keys(storage) -> Idempotency:
    return Idempotency(storage)


def begin(keys: Idempotency, now: int = NOW, *, caller="G1", route=ROUTE, key="key-1", body="b1"):
    return keys.begin(caller, route, key, body, now)


def count_rows(storage) -> int:
    return storage.read(lambda database: len(list(ApiIdempotency.select().tuples().execute(database))))


# --- the life of a key ------------------------------------------------------------------------------


def test_the_same_request_gets_the_same_answer(keys):
    begun = begin(keys)
    assert isinstance(begun, Begun)
    assert keys.finish(begun, *ANSWER, NOW + 1)
    replay = begin(keys, NOW + 2)
    assert replay == Replay(201, (("Content-Type", "application/json"), ("Location", "/x/1")), b'{"id":1}')
    assert begin(keys, NOW + KEPT_SECONDS) == replay


@pytest.mark.parametrize("other", [{"caller": "G2"}, {"route": "POST /other"}, {"key": "key-2"}])
def test_a_key_belongs_to_its_caller_and_its_route(keys, other):
    assert isinstance(begin(keys), Begun)
    assert isinstance(begin(keys, **other), Begun)


def test_another_body_under_the_same_key_is_refused_running_or_done(keys):
    begun = begin(keys)
    with pytest.raises(IdempotencyConflictError):
        begin(keys, body="b2")
    keys.finish(begun, *ANSWER, NOW)
    with pytest.raises(IdempotencyConflictError):
        begin(keys, body="b2")
    assert isinstance(begin(keys), Replay)


def test_while_it_runs_the_same_request_is_told_to_come_back(keys):
    begin(keys)
    with pytest.raises(StillRunningError) as caught:
        begin(keys, NOW + LEASE_SECONDS - 1)
    problem = problem_of(caught.value)
    assert (problem.status, problem.headers["Retry-After"]) == (409, "1")
    with pytest.raises(StillRunningError) as caught:
        begin(keys, NOW)
    assert 1 <= caught.value.retry_after <= LEASE_SECONDS


def test_a_key_that_was_given_back_may_be_used_again(keys, storage):
    begun = begin(keys)
    keys.abandon(begun)
    keys.abandon(begun)
    assert count_rows(storage) == 0
    again = begin(keys, body="b2")
    assert isinstance(again, Begun)
    keys.abandon(begun)  # too late: the key is somebody else's by now
    with pytest.raises(StillRunningError):
        begin(keys, body="b2")


def test_what_a_killed_worker_left_is_taken_over_after_the_lease(keys):
    first = begin(keys)
    second = begin(keys, NOW + LEASE_SECONDS)
    assert isinstance(second, Begun)
    assert not keys.finish(first, 500, {}, b"late", NOW + LEASE_SECONDS), "the first one's claim is gone"
    keys.abandon(first)
    with pytest.raises(StillRunningError):
        begin(keys, NOW + LEASE_SECONDS + 1)
    assert keys.finish(second, *ANSWER, NOW + LEASE_SECONDS + 2)
    assert not keys.finish(second, *ANSWER, NOW + LEASE_SECONDS + 2), "only once"
    assert begin(keys, NOW + LEASE_SECONDS + 3).status == 201


def test_what_a_killed_worker_left_is_still_refused_to_another_body(keys):
    begin(keys)
    with pytest.raises(IdempotencyConflictError):
        begin(keys, NOW + LEASE_SECONDS + 1, body="b2")


def test_a_claim_from_the_future_is_left_over_from_a_wrong_clock(keys):
    begin(keys, NOW + 10 * LEASE_SECONDS)
    assert isinstance(begin(keys, NOW), Begun)


def test_after_a_day_the_key_is_new(keys):
    keys.finish(begin(keys), *ANSWER, NOW)
    assert isinstance(begin(keys, NOW + KEPT_SECONDS - 1), Replay)
    assert isinstance(begin(keys, NOW + KEPT_SECONDS, body="b2"), Begun)


# --- effect and answer in one transaction -----------------------------------------------------------


def make(storage, begun: Begun, name: str, now: int = NOW) -> None:
    """What a handler does: its effect (a row) and its answer, together."""

    def change(database) -> None:
        ApiChallenge.insert(hash=name, expires_at=1).execute(database)
        finish_within(database, begun, 201, {}, name.encode(), now)

    storage.write(change)


def effects(storage) -> list[str]:
    return storage.read(lambda database: [row[0] for row in ApiChallenge.select().tuples().execute(database)])


def test_a_request_that_was_overtaken_leaves_no_effect(keys, storage):
    slow = begin(keys)
    fast = begin(keys, NOW + LEASE_SECONDS)
    make(storage, fast, "fast")
    with pytest.raises(ClaimLostError):
        make(storage, slow, "slow")
    assert effects(storage) == ["fast"]
    assert begin(keys, NOW + LEASE_SECONDS).body == b"fast"


def test_a_request_that_was_given_up_leaves_either_its_effect_and_answer_or_neither(keys, storage):
    first = begin(keys)
    keys.abandon(first)  # its client went away while its transaction waited in a thread
    with pytest.raises(ClaimLostError):
        make(storage, first, "first")
    assert effects(storage) == []
    second = begin(keys)
    make(storage, second, "second")
    keys.abandon(second)  # it had just been made
    assert begin(keys).body == b"second"


def test_a_handler_that_fails_leaves_the_key_running_until_it_is_given_back(keys, storage):
    begun = begin(keys)

    def change(database) -> None:
        finish_within(database, begun, *ANSWER, NOW)
        raise RuntimeError("the effect failed")

    with pytest.raises(RuntimeError):
        storage.write(change)
    with pytest.raises(StillRunningError):
        begin(keys)
    keys.abandon(begun)
    assert isinstance(begin(keys), Begun)


# --- many at once -----------------------------------------------------------------------------------


@pytest.mark.parametrize("left_behind", [False, True])
def test_of_twenty_threads_with_one_key_exactly_one_begins(keys, storage, left_behind):
    now = NOW
    if left_behind:
        begin(keys)
        now += LEASE_SECONDS
    ready = Barrier(20)

    def run(number: int) -> str:
        ready.wait()
        try:
            found = begin(keys, now)
        except StillRunningError:
            return "running"
        if isinstance(found, Replay):
            return found.body.decode()
        make(storage, found, f"made by {number}", now)
        return "made"

    with ThreadPoolExecutor(20) as pool:
        outcomes = Counter(pool.map(run, range(20)))
    assert outcomes["made"] == 1
    (made,) = effects(storage)
    assert set(outcomes) <= {"made", "running", made}


def test_threads_that_begin_and_give_up_never_run_side_by_side(keys):
    running, most = 0, 0

    def run(_: int) -> None:
        nonlocal running, most
        for _ in range(6):
            try:
                begun = begin(keys)
            except StillRunningError:
                continue
            running += 1
            most = max(most, running)
            running -= 1
            keys.abandon(begun)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    assert most == 1
    assert isinstance(begin(keys), Begun)


KILLED = """
import sys
from stellarstream_core.api.limits.idempotency import Idempotency
from stellarstream_core.plugins import CORE_MODELS
from stellarstream_sql.storage import open_sqlite
keys = Idempotency(open_sqlite(sys.argv[1], [CORE_MODELS]))
keys.begin("G1", sys.argv[2], "key-1", "b1", int(sys.argv[3]))
print("begun", flush=True)
sys.stdin.readline()
"""


def test_a_killed_process_holds_a_key_for_no_longer_than_the_lease(tmp_path):
    url = f"sqlite:///{tmp_path / 'limits.db'}"
    storage = open_sqlite(url, [CORE_MODELS])
    storage.migrate()
    command = [sys.executable, "-c", KILLED, url, ROUTE, str(NOW)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    process.kill()
    process.communicate()
    keys = Idempotency(storage)
    with pytest.raises(StillRunningError):
        begin(keys)
    assert isinstance(begin(keys, NOW + LEASE_SECONDS), Begun)
    storage.close()


# --- keys, bodies and what is kept ------------------------------------------------------------------


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255))
def test_visible_ascii_is_a_key(key):
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", " ", "a b", "a\n", "a\x7f", "ä", "a\0", "x" * 256, "\u0660"])
def test_anything_else_is_no_key(key):
    with pytest.raises(InvalidIdempotencyKeyError) as caught:
        check_key(key)
    assert problem_of(caught.value).status == 400


def test_keys_are_not_stored_as_they_are(keys, storage):
    begin(keys, key="very-secret-key")
    rows = storage.read(lambda database: list(ApiIdempotency.select().tuples().execute(database)))
    assert "very-secret-key" not in repr(rows)


def test_only_headers_of_the_answer_itself_are_kept(keys):
    headers = [("Set-Cookie", "a=b"), ("X-Request-ID", "1"), ("RateLimit", '"a";r=1'), ("ETag", '"x"'), ("LINK", "<a>")]
    keys.finish(begin(keys), 200, headers, b"", NOW)
    assert begin(keys) == Replay(200, (("ETag", '"x"'), ("LINK", "<a>")), b"")


def test_a_very_large_answer_is_not_kept_but_the_request_does_not_run_again(keys):
    keys.finish(begin(keys), 200, {}, b"x" * MOST_BODY_BYTES, NOW)
    assert len(begin(keys).body) == MOST_BODY_BYTES
    keys.finish(begin(keys, key="key-2"), 200, {}, b"x" * (MOST_BODY_BYTES + 1), NOW)
    with pytest.raises(AnswerNotKeptError):
        begin(keys, key="key-2")


@settings(deadline=None)
@given(st.binary(max_size=30), st.binary(max_size=30), st.text(max_size=5), st.text(max_size=5))
def test_requests_are_the_same_only_where_body_and_path_are(one, other, path, query):
    assert hash_request(one, path, query) == hash_request(one, path, query)
    assert (hash_request(one, path) == hash_request(other, path)) == (one == other)
    assert hash_request(one, path + query) != hash_request(one, path, query)


def test_every_problem_says_what_to_do():
    codes = {kind.code for kind in IDEMPOTENCY_PROBLEMS}
    assert len(codes) == len(IDEMPOTENCY_PROBLEMS)
    assert all(kind.help and kind.title and 400 <= kind.status < 500 for kind in IDEMPOTENCY_PROBLEMS)


# --- removing what has expired ----------------------------------------------------------------------


def test_expired_keys_are_removed_in_batches_and_others_are_left(keys, storage):
    for number in range(12):
        begin(keys, NOW + number, key=f"key-{number}")
    assert keys.sweep(NOW + KEPT_SECONDS + 6, limit=5) == 5
    assert keys.sweep(NOW + KEPT_SECONDS + 6, limit=5) == 2
    assert keys.sweep(NOW + KEPT_SECONDS + 6, limit=5) == 0
    assert count_rows(storage) == 5


# --- any order of events ----------------------------------------------------------------------------


class Keys(RuleBasedStateMachine):
    """Requests with two keys and two bodies: begun, answered, given up, forgotten by a kill; and time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.storage = open_sqlite("sqlite:///:memory:", [CORE_MODELS])
        self.storage.migrate()
        self.keys = Idempotency(self.storage)
        self.now = NOW
        self.open: list[tuple[str, Begun]] = []
        # by key: body, when it began, its answer and when that expires
        self.model: dict[str, tuple[str, int, bytes | None, int]] = {}
        self.made = 0

    @rule(key=st.sampled_from("xy"), body=st.sampled_from(["b1", "b2"]))
    def request(self, key: str, body: str) -> None:
        known = self.model.get(key)
        if known is not None and self.now >= known[3]:
            known = None
        try:
            found = self.keys.begin("G1", ROUTE, key, body, self.now)
        except IdempotencyConflictError:
            assert known is not None
            assert known[0] != body
            return
        except StillRunningError:
            assert known is not None
            assert known[0] == body
            assert known[2] is None
            assert self.now < known[1] + LEASE_SECONDS
            return
        if isinstance(found, Replay):
            assert known is not None
            assert (known[0], known[2]) == (body, found.body)
            return
        assert known is None or (known[0] == body and known[2] is None and self.now >= known[1] + LEASE_SECONDS)
        self.open.append((key, found))
        self.model[key] = (body, self.now, None, self.now + KEPT_SECONDS)

    def has_claim(self, key: str, begun: Begun) -> bool:
        return [one for name, one in self.open if name == key][-1] is begun and self.model.get(key, (0, 0, b"", 0))[
            2
        ] is None

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def answer(self, data) -> None:
        key, begun = data.draw(st.sampled_from(self.open))
        self.made += 1
        body = str(self.made).encode()
        mine = self.has_claim(key, begun)
        assert self.keys.finish(begun, 200, {}, body, self.now) == mine
        if mine:
            self.model[key] = (begun.body_hash, self.now, body, self.now + KEPT_SECONDS)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def give_up(self, data) -> None:
        key, begun = data.draw(st.sampled_from(self.open))
        if self.has_claim(key, begun):
            self.model.pop(key, None)
            self.open = [(name, one) for name, one in self.open if name != key or one is not begun]
        self.keys.abandon(begun)

    @rule(seconds=st.sampled_from([1, LEASE_SECONDS - 1, LEASE_SECONDS, KEPT_SECONDS]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(limit=st.integers(1, 3))
    def sweep(self, limit: int) -> None:
        expired = [key for key, known in self.model.items() if known[3] <= self.now]
        assert self.keys.sweep(self.now, limit) == min(limit, len(expired))
        left = self.storage.read(lambda database: len(list(ApiIdempotency.select().execute(database))))
        assert left == len(self.model) - min(limit, len(expired))
        if expired:  # which one went does not matter: an expired key is as good as none
            for key in expired:
                del self.model[key]
            self.keys.sweep(self.now)

    @invariant()
    def nobody_holds_a_key_that_is_not_there(self) -> None:
        assert len(self.model) <= 2

    def teardown(self) -> None:
        self.storage.close()


def test_any_order_of_requests_answers_and_kills_fits_the_model():
    run_state_machine_as_test(
        Keys,
        settings=settings(
            max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
