"""Amounts: without loss, without floats, and what is unlocked as the service says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nebula_client import (
    ConfigurationError,
    InvalidAmountError,
    NebulaClient,
    Stream,
    from_units,
    to_units,
    unlocked_at,
)
from stellarstream_nebula import amounts as contract
from stellarstream_nebula.model import Curve
from tests.sdk.kit import deployment, until

UNITS = st.integers(-(2**127), 2**127 - 1)
DECIMALS = st.integers(0, 40)


@given(units=UNITS, decimals=DECIMALS)
def test_there_and_back_is_the_same(units, decimals):
    text = from_units(units, decimals)
    assert to_units(text, decimals) == units
    assert from_units(str(units), decimals) == text
    assert Decimal(text) == Decimal(units).scaleb(-decimals) if abs(units) < 10**20 else True


@given(whole=st.integers(0, 10**20), fraction=st.text("0123456789", max_size=7))
def test_whole_tokens_become_units(whole, fraction):
    text = f"{whole}.{fraction}" if fraction else str(whole)
    assert to_units(text, 7) == int(f"{whole}{fraction.ljust(7, '0')}")
    assert to_units(f"-{text}", 7) == -to_units(text, 7)


@pytest.mark.parametrize(
    ("text", "units"), [("12.5", 125_000_000), (3, 30_000_000), ("0.0000001", 1), ("-0.5", -5_000_000)]
)
def test_examples(text, units):
    assert to_units(text, 7) == units


@pytest.mark.parametrize(
    "bad", ["", ".5", "5.", "1e3", "1,5", "0.00000001", "٣", "--1", "NaN", 1.5, 1.0, None, True, Decimal(1), b"1"]
)
def test_what_is_no_amount_of_tokens_is_refused(bad):
    with pytest.raises(InvalidAmountError) as refused:
        to_units(bad, 7)
    assert refused.value.code == "invalid-amount"


@pytest.mark.parametrize("bad", ["", "1.5", "1e3", "٣", 1.5, None, False])
def test_what_is_no_amount_of_units_is_refused(bad):
    with pytest.raises(InvalidAmountError):
        from_units(bad, 7)


@pytest.mark.parametrize("decimals", [-1, 256, 1.0, True, "7"])
def test_a_token_has_some_decimal_places(decimals):
    for convert in (to_units, from_units):
        with pytest.raises(InvalidAmountError):
            convert("1", decimals)


@pytest.mark.parametrize("amount", [0, -1, "0", "01", "-5", "1.0", 1.0, 2.5, True, "", "1 "])
def test_a_call_takes_positive_whole_units_alone(client_of, amount):
    terms = {"receiver": "G", "token_address": "C", "duration": 1}
    with pytest.raises(InvalidAmountError):
        client_of("http://127.0.0.1:9", token="a.b.c").create_invoice_link(amount=amount, **terms)


# --- unlocked -------------------------------------------------------------------------------------------------

SECOND = timedelta(seconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def stream(version: str, **more: object) -> Stream:
    """Return a stream with just what counts."""
    wanted = {
        "version": version,
        "status": "ACTIVE",
        "unlocked": "0",
        "withdrawn": "0",
        "curve": "linear",
        **more,
    }
    return Stream.model_construct(**wanted)


MOMENTS = st.integers(0, 4_000_000_000)


@given(
    total=st.integers(1, 2**127 - 1),
    start=MOMENTS,
    duration=st.integers(1, 2_000_000_000),
    cliff=st.integers(0, 1000),
    paused=st.integers(0, 10**6),
    at=st.integers(-1000, 2_000_001_000),
    curve=st.sampled_from(["linear", "exponential"]),
    version=st.sampled_from(["v1", "v2"]),
)
def test_it_is_what_the_contracts_compute(total, start, duration, cliff, paused, at, curve, version):
    cliff = start + duration * cliff // 1000
    end, now = start + duration, max(0, start + at)
    paused = paused if version == "v1" else 0
    found = unlocked_at(
        stream(
            version,
            amount=str(total),
            start_time=EPOCH + start * SECOND,
            cliff_time=EPOCH + cliff * SECOND,
            end_time=EPOCH + end * SECOND,
            completes_at=EPOCH + (end + paused) * SECOND,
            curve=curve,
        ),
        EPOCH + now * SECOND,
    )
    common = {"total": total, "start": start, "cliff": cliff, "end": end, "now": now, "curve": Curve(curve)}
    if version == "v1":
        assert found == contract.unlocked_v1(**common, paused_before=paused)
    else:
        assert found == contract.unlocked_v2(**common)


@pytest.mark.parametrize(
    "missing",
    [
        {"status": "PAUSED"},
        {"amount": None},
        {"end_time": None},
        {"curve": "steps"},
        {"curve": None},
        {"version": "v9"},
        {"cliff_time": None},
        {"version": "v1", "completes_at": None},
        {"version": "v1", "unlocked": None},
    ],
    ids=str,
)
def test_nothing_is_guessed(missing):
    known = {"amount": "100", "start_time": EPOCH, "cliff_time": EPOCH, "end_time": EPOCH + 100 * SECOND}
    known |= {"completes_at": EPOCH + 100 * SECOND, "version": "v2"}
    assert unlocked_at(stream(**{**known, **{"version": "v2"}}), EPOCH + 50 * SECOND) == 50
    assert unlocked_at(stream(**{**known, **missing}), EPOCH + 50 * SECOND) is None


def test_what_has_ended_keeps_its_amount():
    for status in ("CANCELED", "ARCHIVED"):
        assert unlocked_at(stream("v2", status=status, unlocked="7"), EPOCH) == 7
        assert unlocked_at(stream("v2", status=status, unlocked=None), EPOCH) is None


@pytest.mark.parametrize("when", ["soon", "2030-01-01T00:00:00", datetime(2030, 1, 1), 5])
def test_a_moment_has_its_time_zone(when):
    with pytest.raises(ConfigurationError):
        unlocked_at(stream("v2", amount="1"), when)


def test_it_is_what_the_service_says(tmp_path):
    """Real streams of both generations, at moments of their life, on a network where all sorts of things happen."""
    compared = set()
    with deployment(tmp_path, transactions=6, ledgers=120) as busy, NebulaClient(busy.url) as reader:
        streams = []
        for contract_id in (busy.v1, busy.v2):  # the chain is read a while after the events are
            streams += until(lambda at=contract_id: _read_of(reader, at), lambda found: len(found) >= 10)[:10]
        for found in streams:
            life = found.end_time - found.start_time
            moments = [(found.start_time + life * share).replace(microsecond=0) for share in (-0.1, 0.3, 0.77, 1, 1.2)]
            said = [reader.get_stream(found.id, at=when) for when in moments]
            if not all(same_state(found, one) for one in (*said, reader.get_stream(found.id))):
                continue  # something happened to it meanwhile
            for when, one in zip(moments, said, strict=True):
                unlocked = unlocked_at(found, when)
                if unlocked is not None:
                    assert unlocked == int(one.unlocked), (found, when)
                    compared.add((found.version, found.id, when))
    assert {version for version, _, _ in compared} == {"v1", "v2"}
    assert len(compared) > 20


def _read_of(reader: NebulaClient, contract_id: str) -> list[Stream]:
    """Return the streams of a contract of which enough is known."""
    streams = reader.list_streams(contract=contract_id, limit=200).items
    return [one for one in streams if None not in {one.state_ledger, one.unlocked, one.start_time, one.end_time}]


def same_state(one: Stream, other: Stream) -> bool:
    return (one.updated_ledger, one.state_ledger, one.withdrawn) == (
        other.updated_ledger,
        other.state_ledger,
        other.withdrawn,
    )
