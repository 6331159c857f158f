"""Whose quota a request counts against: nobody gets more by making accounts, or is kept out by others' guesses."""

from __future__ import annotations

import re

import pytest

from stellarstream_core.api.auth.identity import Identity
from stellarstream_core.api.limits.admission import Admission
from stellarstream_core.api.limits.quota import Quota
from stellarstream_core.api.limits.rate import MemoryRateLimiter
from stellarstream_core.api.problems import RateLimitedError

HERE, THERE = "192.0.2.1", "192.0.2.2"
ANONYMOUS, KNOWN = Quota.parse("3/hour"), Quota.parse("10/hour")
KEY = Identity("GA", "key", frozenset({"read"}), key_id="k1")


def session(account: str) -> Identity:
    return Identity(account, "session")


@pytest.fixture
def admission() -> Admission:
    return Admission(MemoryRateLimiter(lambda: 10**15), ANONYMOUS, KNOWN)


def allowed(admission: Admission, identity: Identity | None, client: str, times: int) -> int:
    return sum(admission.take(identity, client).allowed for _ in range(times))


def left(headers: dict[str, str]) -> dict[str, int]:
    return {name: int(count) for name, count in re.findall(r'"(\w+)";r=(\d+)', headers["RateLimit"])}


def test_who_brings_nothing_counts_for_the_address(admission):
    assert allowed(admission, None, HERE, 9) == 3
    assert allowed(admission, None, THERE, 9) == 3


def test_ten_accounts_behind_one_address_share_what_one_may_ask(admission):
    assert sum(allowed(admission, session(f"G{number}"), HERE, 5) for number in range(10)) == 10
    assert allowed(admission, session("G99"), HERE, 1) == 0
    assert allowed(admission, session("G99"), THERE, 20) == 10, "what was refused here was not counted"


def test_an_account_behind_many_addresses_has_one_quota(admission):
    assert sum(allowed(admission, session("GA"), f"192.0.2.{number}", 2) for number in range(30)) == 10
    assert allowed(admission, session("GB"), "192.0.2.9", 20) == 10, "what was refused was not counted for the address"


def test_a_key_counts_for_itself_alone(admission):
    assert allowed(admission, session("GA"), HERE, 20) == 10
    assert allowed(admission, None, HERE, 9) == 3
    assert allowed(admission, KEY, HERE, 20) == 10
    assert allowed(admission, KEY, THERE, 1) == 0


def test_an_answer_tells_of_every_quota_and_when_to_come_back(admission):
    told = admission.take(session("GA"), HERE)
    assert told.headers["RateLimit-Policy"] == '"account";q=10;w=3600, "sessions";q=10;w=3600'
    assert left(told.headers) == {"account": 9, "sessions": 9}
    assert left(admission.take(session("GB"), HERE).headers) == {"account": 9, "sessions": 8}
    allowed(admission, session("GC"), HERE, 8)
    refused = admission.take(session("GB"), HERE)
    assert (refused.allowed, left(refused.headers)) == (False, {"account": 9, "sessions": 0})
    assert refused.headers["Retry-After"] == "360"


def test_too_many_refused_credentials_are_told_and_cost_nothing_else(admission):
    for _ in range(3):
        admission.check_guess(HERE)
        admission.refused(HERE)
    for refuse in (admission.refused, admission.check_guess):
        with pytest.raises(RateLimitedError) as error:
            refuse(HERE)
        assert left(error.value.headers) == {"guesses": 0}
        assert error.value.headers["Retry-After"] == "1200"
    admission.check_guess(THERE)
    assert allowed(admission, None, HERE, 9) == 3


def test_asking_and_looking_up_good_keys_uses_up_no_guesses(admission):
    assert allowed(admission, None, HERE, 9) == 3
    for _ in range(100):
        admission.check_guess(HERE)
    for _ in range(3):
        admission.refused(HERE)


def test_where_there_is_no_limit_nobody_is_refused():
    admission = Admission(MemoryRateLimiter(), None, None)
    for identity in (None, KEY, session("GA")):
        assert admission.take(identity, HERE).headers == {}
        assert allowed(admission, identity, HERE, 50) == 50
    for _ in range(50):
        admission.refused(HERE)
        admission.check_guess(HERE)
