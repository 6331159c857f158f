"""Quotas: what their texts mean, and the header fields that tell clients about them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellarstream_core.api.limits.headers import policy_item, rate_limit_headers
from stellarstream_core.api.limits.quota import UNITS, Quota, parse_limit
from stellarstream_core.api.limits.slots import Verdict


@pytest.mark.parametrize(
    ("text", "count", "period", "burst"),
    [
        ("600/minute", 600, 60, 600),
        ("20/second burst 100", 20, 1, 100),
        ("  5 / Hour   BURST 1 ", 5, 3600, 1),
        ("1000/day", 1000, 86400, 1000),
    ],
)
def test_a_quotas_text_says_count_period_and_burst(text, count, period, burst):
    quota = Quota.parse(text)
    assert (quota.count, quota.period, quota.burst) == (count, period, burst)


@pytest.mark.parametrize(
    "text",
    [
        *("", "600", "600/", "/minute", "0/minute", "-1/minute", "1.5/second", "600/minutes", "600/minute burst"),
        *("off/minute", "10/second burst 0", "1/day burst 2", "99999999/second", "٣/second", "1e3/second"),
        "600/minute burst 10 more",
    ],
)
def test_what_is_no_quota_is_refused_with_the_text_in_it(text):
    with pytest.raises(ValueError, match="is no quota") as caught:
        Quota.parse(text)
    assert repr(text) in str(caught.value)


def test_off_is_no_limit():
    assert parse_limit(" OFF ") is None
    assert parse_limit("1/second") == Quota(1, 1, 1)


@settings(deadline=None)
@given(st.integers(1, 10**6), st.sampled_from(sorted(UNITS)), st.none() | st.integers(1, 10**6))
def test_a_quota_reads_back_from_its_own_text(count, unit, burst):
    text = f"{count}/{unit}" + (f" burst {burst}" if burst is not None else "")
    try:
        quota = Quota.parse(text)
    except ValueError:
        assert burst is not None
        assert burst * UNITS[unit] > count * 86400  # only then is a day too short for it
        return
    assert Quota.parse(str(quota)) == quota
    assert quota.interval * count >= UNITS[unit] * 10**9 > (quota.interval - 1) * count


# --- header fields ----------------------------------------------------------------------------------

ITEM = re.compile(r'"(?P<name>[ !#-\[\]-~]*)"(?P<parameters>(?:;[a-z*][a-z0-9_\-.*]*=[0-9]{1,15})*)')
"""A string with integer parameters, as RFC 9651 writes them."""


def read_items(text: str) -> dict[str, dict[str, int]]:
    found = {}
    for part in text.split(", "):
        item = ITEM.fullmatch(part)
        assert item, part
        pairs = (pair.split("=") for pair in item["parameters"].split(";")[1:])
        found[item["name"]] = {key: int(value) for key, value in pairs}
    return found


def test_the_fields_are_those_of_the_draft():
    quota = Quota.parse("100/minute")
    assert rate_limit_headers([("default", quota, Verdict(True, 100, 50, 29.2, 0.0))]) == {
        "RateLimit-Policy": '"default";q=100;w=60',
        "RateLimit": '"default";r=50;t=30',
    }
    assert rate_limit_headers([("default", quota, Verdict(False, 100, 0, 60.0, 0.01))]) == {
        "RateLimit-Policy": '"default";q=100;w=60',
        "RateLimit": '"default";r=0;t=1',
        "Retry-After": "1",
    }
    assert rate_limit_headers([]) == {}


def test_a_burst_of_its_own_is_told_as_a_parameter_of_ours():
    assert policy_item("default", Quota.parse("20/second burst 100")) == '"default";q=20;w=1;stellarstream-burst=100'


@pytest.mark.parametrize("name", ['a"b', "a\\b", "ä", "a\r\nX-Y: 1", "a\0"])
def test_a_name_that_would_break_the_field_is_refused(name):
    with pytest.raises(ValueError, match="cannot name a policy"):
        policy_item(name, Quota.parse("1/second"))


verdicts = st.builds(
    Verdict, st.booleans(), st.integers(1, 10**6), st.integers(0, 10**6), st.floats(0, 86401), st.floats(1e-9, 86401)
)


@settings(deadline=None)
@given(
    st.dictionaries(st.text("abc ;=,", min_size=1, max_size=5).filter(lambda n: ", " not in n), verdicts, min_size=1)
)
def test_retry_after_never_comes_before_the_refusing_policies_time_is_over(taken):
    quota = Quota.parse("10/second")
    headers = rate_limit_headers([(name, quota, verdict) for name, verdict in taken.items()])
    states = read_items(headers["RateLimit"])
    assert set(states) == set(read_items(headers["RateLimit-Policy"])) == set(taken)
    for name, verdict in taken.items():
        assert states[name]["r"] == verdict.remaining
        if not verdict.allowed:
            assert int(headers["Retry-After"]) >= states[name]["t"] >= verdict.retry_after
    assert ("Retry-After" in headers) == any(not verdict.allowed for verdict in taken.values())
