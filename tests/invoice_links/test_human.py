"""What people read is exact: amounts and durations read back to the same number, in every locale."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_invoice_links.human import YEAR, amount_text, duration_text, moment_text

AMOUNTS = st.integers(-(2**127), 2**127 - 1)
SIZES = {"year": YEAR, "day": 86_400, "hour": 3_600, "minute": 60, "second": 1}


@given(AMOUNTS, st.integers(0, 38))
def test_an_amount_reads_back_to_the_same_number(amount, decimals):
    text = amount_text(amount, decimals)
    assert re.fullmatch(r"-?[0-9]{1,3}(,[0-9]{3})*(\.[0-9]*[1-9])?", text)
    whole, _, fraction = text.removeprefix("-").replace(",", "").partition(".")
    assert len(fraction) <= decimals
    read = int(whole + fraction.ljust(decimals, "0"))
    assert (-read if text.startswith("-") else read) == amount


@given(AMOUNTS)
def test_an_amount_without_decimals_is_the_number_itself(amount):
    assert amount_text(amount, None) == amount_text(amount, 0) == f"{amount:,}"


@pytest.mark.parametrize(
    ("amount", "decimals", "text"),
    [
        (0, 7, "0"),
        (1, 7, "0.0000001"),
        (10**7, 7, "1"),
        (12_345_000_000_000, 7, "1,234,500"),
        (15_000_000, 7, "1.5"),
        (1, 38, "0." + "0" * 37 + "1"),
        (2**127 - 1, 0, "170,141,183,460,469,231,731,687,303,715,884,105,727"),
        (-5, 1, "-0.5"),
    ],
)
def test_amounts_as_they_are_read(amount, decimals, text):
    assert amount_text(amount, decimals) == text


@given(st.one_of(st.integers(0, 10**6), st.integers(0, 2**64 - 1)))
def test_a_duration_reads_back_to_the_same_seconds(seconds):
    text = duration_text(seconds)
    parts = re.findall(r"([0-9,]+) (year|day|hour|minute|second)(s?)", text)
    assert " ".join(f"{count} {unit}{many}" for count, unit, many in parts) == text
    assert sum(int(count.replace(",", "")) * SIZES[unit] for count, unit, _ in parts) == seconds
    assert all((count == "1") != (many == "s") for count, _, many in parts)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (90, "90 seconds"),
        (5_400, "90 minutes"),
        (5_401, "1 hour 30 minutes 1 second"),
        (7_200, "2 hours"),
        (86_400, "1 day"),
        (129_600, "36 hours"),
        (30 * 86_400, "30 days"),
        (367 * 86_400, "1 year 2 days"),
        (4 * YEAR, "4 years"),
    ],
)
def test_durations_as_they_are_read(seconds, text):
    assert duration_text(seconds) == text


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_a_moment_reads_back_to_the_same_second(seconds):
    text = moment_text(seconds)
    shape = "%d %B %Y, %H:%M:%S UTC" if text.count(":") == 2 else "%d %B %Y, %H:%M UTC"
    day, month, year, clock, utc = text.split()
    padded = f"{day} {month} {year.rstrip(',').zfill(4)}, {clock} {utc}"  # strptime wants four digits
    assert datetime.strptime(padded, shape).replace(tzinfo=UTC).timestamp() == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1_769_860_800, "31 January 2026, 12:00 UTC"),
        (1_769_860_805, "31 January 2026, 12:00:05 UTC"),
        (2**63, "9,223,372,036,854,775,808 seconds after 1 January 1970, 00:00 UTC"),
    ],
)
def test_moments_as_they_are_read(seconds, text):
    assert moment_text(seconds) == text
