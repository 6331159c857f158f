"""What a call asks for, and whether that is what a link asks for: every field of a call counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Keypair, scval, xdr

from stellarstream_invoice_links.arguments import (
    CallTerms,
    arguments_of,
    basis_of,
    fingerprints_of,
    fits,
    pack,
    unpack,
)
from stellarstream_invoice_links.model import LinkTerms
from stellarstream_nebula.model import V1, V2
from stellarstream_nebula.transactions import calls
from tests.core import scval_oracle
from tests.invoice_links.kit import COIN, GEM, ONE, RECEIVER, TWO
from tests.invoice_links.settle_kit import BEGAN, HOUR, PAYER, raw, sc_struct, v1_arguments, v2_fields

ANY_VALUE = scval_oracle.any_scval.map(xdr.SCVal.to_xdr_bytes)
SOMEBODY = Keypair.from_raw_ed25519_seed(b"somebody else, of thirty-two byt").public_key
CONTRACTS = {V1: ONE, V2: TWO}


def link_terms(family: str, **changes: object) -> LinkTerms:
    plain = {"receiver": RECEIVER, "token": COIN, "amount": 1_000, "duration": HOUR}
    return LinkTerms(**{**plain, "contract": CONTRACTS[family], "family": family, **changes})


def v2(**fields: xdr.SCVal) -> CallTerms | None:
    """Read V2's call with some fields changed."""
    return arguments_of(TWO, V2, "create_stream", raw([sc_struct({**v2_fields(), **fields})]))


def v1(**at: xdr.SCVal) -> CallTerms | None:
    """Read V1's call with some arguments changed, by place: ``_3`` is the fourth."""
    values = v1_arguments()
    for place, value in at.items():
        values[int(place[1:])] = value
    return arguments_of(ONE, V1, "create_stream", raw(values))


class TestThePlainCall:
    def test_of_v2_is_read_field_by_field(self):
        told = arguments_of(
            TWO,
            V2,
            "create_stream",
            raw([sc_struct(v2_fields(gross=7, start=BEGAN, cliff=BEGAN + 5, duration=60, memo="aBc_9"))]),
        )
        assert told == CallTerms(
            contract=TWO,
            family=V2,
            sender=PAYER.public_key,
            receiver=RECEIVER,
            token=COIN,
            gross=7,
            duration=60,
            start=BEGAN,
            cliff=BEGAN + 5,
            memo="aBc_9",
            plain=True,
        )

    def test_of_v1_is_read_argument_by_argument(self):
        told = arguments_of(ONE, V1, "create_stream", raw(v1_arguments(gross=2**127 - 1, cliff=BEGAN + 9)))
        assert told == CallTerms(
            contract=ONE,
            family=V1,
            sender=PAYER.public_key,
            receiver=RECEIVER,
            token=COIN,
            gross=2**127 - 1,
            duration=HOUR,
            start=BEGAN,
            cliff=BEGAN + 9,
            memo=None,
            plain=True,
        )

    @pytest.mark.parametrize("family", [V1, V2])
    def test_is_the_one_that_this_service_builds(self, family):
        stream = calls.Terms(
            sender=PAYER.public_key,
            receiver=RECEIVER,
            token=COIN,
            amount=1_000,
            start=BEGAN,
            cliff=BEGAN,
            end=BEGAN + HOUR,
        )
        built = calls.create(CONTRACTS[family], family, stream).arguments
        assert built == raw(v1_arguments() if family == V1 else [sc_struct(v2_fields())])

    @pytest.mark.parametrize("family", [V1, V2])
    def test_fits_the_link_that_asks_for_it_whoever_pays(self, family):
        told = v1() if family == V1 else v2()
        assert fits(link_terms(family), told)
        assert fits(link_terms(family, start=BEGAN), told)
        assert fits(link_terms(family, start=BEGAN, cliff=BEGAN), told)
        other = {"sender": scval.to_address(SOMEBODY)}
        assert fits(link_terms(family), v1(_0=other["sender"]) if family == V1 else v2(**other))

    def test_may_have_any_memo(self):
        assert fits(link_terms(V2), v2(memo=scval.to_symbol("anything_at_all")))

    def test_says_what_the_payer_pays_and_leaves_the_amount_to_who_asks(self):
        assert v2(total_amount=scval.to_int128(1)).gross == 1
        assert fits(link_terms(V2), v2(total_amount=scval.to_int128(1)))


V2_CHANGES = {
    "affiliate": scval.to_address(SOMEBODY),
    "cancellation_type": scval.to_uint32(1),
    "cliff_time": scval.to_uint64(BEGAN + 1),
    "cycle_duration": scval.to_uint64(1),
    "end_time": scval.to_uint64(BEGAN + HOUR + 1),
    "is_recurrent": scval.to_bool(True),
    "multiplier_bps": scval.to_int128(1),
    "penalty_bps": scval.to_uint32(1),
    "receiver": scval.to_address(SOMEBODY),
    "split_address": scval.to_address(SOMEBODY),
    "split_bps": scval.to_uint32(1),
    "start_time": scval.to_uint64(BEGAN + 1),
    "step_duration": scval.to_int128(1),
    "token": scval.to_address(GEM),
    "vault_address": scval.to_address(GEM),
    "yield_enabled": scval.to_bool(True),
    "yield_recipient": scval.to_uint32(0),
}
"""Another value of each field that is not the payer's to choose."""
PAYERS_OWN = {"sender", "memo", "total_amount"}


class TestEveryFieldOfV2Counts:
    def test_and_each_is_changed_here(self):
        assert set(V2_CHANGES) | PAYERS_OWN == set(v2_fields())

    @pytest.mark.parametrize("name", sorted(V2_CHANGES))
    def test_a_changed_one_does_not_fit(self, name):
        told = v2(**{name: V2_CHANGES[name]})
        assert told is None or not fits(link_terms(V2), told)
        assert told is None or not fits(link_terms(V2, start=BEGAN), told)

    @pytest.mark.parametrize(
        "name", sorted(set(V2_CHANGES) - {"receiver", "token", "start_time", "cliff_time", "end_time"})
    )
    def test_one_that_no_link_asks_for_makes_it_no_plain_stream(self, name):
        told = v2(**{name: V2_CHANGES[name]})
        assert told is not None
        assert not told.plain

    @pytest.mark.parametrize("name", sorted(v2_fields()))
    def test_one_of_another_type_is_no_plain_stream(self, name):
        for other in (scval.to_string("x"), scval.to_vec([]), scval.to_int64(1), scval.to_timepoint(BEGAN)):
            told = v2(**{name: other})
            assert told is None or not told.plain

    @pytest.mark.parametrize("name", sorted(v2_fields()))
    def test_one_that_is_missing_is_no_plain_stream(self, name):
        fields = v2_fields()
        del fields[name]
        told = arguments_of(TWO, V2, "create_stream", raw([sc_struct(fields)]))
        assert told is None or not told.plain

    def test_one_more_is_no_plain_stream(self):
        assert not v2(zeal=scval.to_uint32(0)).plain

    def test_one_that_comes_twice_is_not_read(self):
        struct = sc_struct(v2_fields())
        struct.map.sc_map.append(xdr.SCMapEntry(scval.to_symbol("receiver"), scval.to_address(SOMEBODY)))
        assert arguments_of(TWO, V2, "create_stream", raw([struct])) is None

    def test_another_order_is_no_plain_stream(self):
        struct = sc_struct(v2_fields())
        struct.map.sc_map.reverse()
        assert not arguments_of(TWO, V2, "create_stream", raw([struct])).plain

    def test_a_second_argument_is_not_read(self):
        assert arguments_of(TWO, V2, "create_stream", raw([sc_struct(v2_fields()), scval.to_void()])) is None


V1_CHANGES = {
    "_1": scval.to_address(SOMEBODY),
    "_2": scval.to_address(GEM),
    "_4": scval.to_uint64(BEGAN + 1),
    "_5": scval.to_uint64(BEGAN + 1),
    "_6": scval.to_uint64(BEGAN + HOUR + 1),
    "_7": scval.to_uint32(1),
    "_8": scval.to_bool(True),
}


class TestEveryArgumentOfV1Counts:
    def test_and_each_is_changed_here(self):
        assert set(V1_CHANGES) | {"_0", "_3"} == {f"_{place}" for place in range(len(v1_arguments()))}

    @pytest.mark.parametrize("place", sorted(V1_CHANGES))
    def test_a_changed_one_does_not_fit(self, place):
        told = v1(**{place: V1_CHANGES[place]})
        assert told is None or not fits(link_terms(V1), told)

    @pytest.mark.parametrize("place", sorted({*V1_CHANGES, "_0", "_3"}))
    def test_one_of_another_type_is_no_plain_stream(self, place):
        for other in (scval.to_string("x"), scval.to_void(), scval.to_int64(1)):
            told = v1(**{place: other})
            assert told is None or not told.plain

    @pytest.mark.parametrize("count", range(9))
    def test_fewer_are_no_plain_stream(self, count):
        told = arguments_of(ONE, V1, "create_stream", raw(v1_arguments()[:count]))
        assert told is None or not told.plain

    def test_one_more_is_no_plain_stream(self):
        assert not arguments_of(ONE, V1, "create_stream", raw([*v1_arguments(), scval.to_void()])).plain


class TestWhatALinkAsksFor:
    @pytest.mark.parametrize("family", [V1, V2])
    @pytest.mark.parametrize(
        "changes",
        [
            {"contract": GEM},
            {"receiver": SOMEBODY},
            {"token": GEM},
            {"duration": HOUR + 1},
            {"duration": HOUR - 1},
            {"start": BEGAN + 1},
            {"start": BEGAN, "cliff": BEGAN + 1},
        ],
    )
    def test_no_other_link_is_fit(self, family, changes):
        told = v1() if family == V1 else v2()
        assert fits(link_terms(family), told)
        assert not fits(link_terms(family, **changes), told)

    def test_a_cliff_must_be_the_one_that_is_asked_for(self):
        with_cliff = v2(cliff_time=scval.to_uint64(BEGAN + 60))
        assert fits(link_terms(V2, start=BEGAN, cliff=BEGAN + 60), with_cliff)
        assert not fits(link_terms(V2, start=BEGAN, cliff=BEGAN + 61), with_cliff)
        assert not fits(link_terms(V2, start=BEGAN), with_cliff)
        assert not fits(link_terms(V2), with_cliff)

    def test_a_call_of_the_other_family_never_fits(self):
        assert not fits(link_terms(V1, contract=TWO), v2())

    @pytest.mark.parametrize("family", [V1, V2])
    @pytest.mark.parametrize("start", [None, BEGAN, BEGAN + 1])
    @pytest.mark.parametrize("cliff", [None, BEGAN, BEGAN + 60])
    @pytest.mark.parametrize("told_cliff", [BEGAN, BEGAN + 60])
    @pytest.mark.parametrize("amount", [1_000, 999])
    def test_a_call_has_the_fingerprint_of_each_link_that_it_fits_and_of_no_other(
        self, family, start, cliff, told_cliff, amount
    ):
        told = v1(_5=scval.to_uint64(told_cliff)) if family == V1 else v2(cliff_time=scval.to_uint64(told_cliff))
        terms = link_terms(family, start=start, cliff=cliff, amount=amount)
        is_fit = fits(terms, told) and told.gross == amount
        assert (terms.fingerprint in fingerprints_of(told)) == is_fit
        assert (terms.fingerprint in fingerprints_of(told, named_start=True)) == (is_fit and start is not None)
        basis = basis_of(terms.contract, terms.receiver, terms.token, terms.amount, terms.duration)
        assert not is_fit or basis == told.basis


class TestWhatIsNoCreateStream:
    @pytest.mark.parametrize("function", ["create_batch_streams", "withdraw", "create_streams", "Create_stream", ""])
    def test_another_function_is_not_read(self, function):
        assert arguments_of(TWO, V2, function, raw([sc_struct(v2_fields())])) is None

    @pytest.mark.parametrize("family", ["splitter-v3", "", "stellarstream-v3"])
    def test_another_family_is_not_read(self, family):
        assert arguments_of(TWO, family, "create_stream", raw([sc_struct(v2_fields())])) is None

    def test_the_other_familys_arguments_are_not_read(self):
        assert arguments_of(TWO, V2, "create_stream", raw(v1_arguments())) is None
        assert arguments_of(ONE, V1, "create_stream", raw([sc_struct(v2_fields())])) is None

    @given(st.lists(st.binary(max_size=64), max_size=10), st.sampled_from([V1, V2]))
    def test_bytes_of_any_kind_never_raise(self, arguments, family):
        assert arguments_of(CONTRACTS[family], family, "create_stream", arguments) is None

    @given(st.lists(ANY_VALUE, max_size=10), st.sampled_from([V1, V2]))
    def test_values_of_any_kind_never_raise_and_are_no_plain_stream(self, values, family):
        told = arguments_of(CONTRACTS[family], family, "create_stream", values)
        assert told is None or not told.plain

    @given(st.data(), ANY_VALUE, st.sampled_from([V1, V2]))
    def test_a_value_of_any_kind_in_a_call_never_raises(self, data, value, family):
        if family == V1:
            values = list(raw(v1_arguments()))
            values[data.draw(st.integers(0, 8))] = value
        else:
            name = data.draw(st.sampled_from(sorted(v2_fields())))
            values = raw([sc_struct({**v2_fields(), name: xdr.SCVal.from_xdr_bytes(value)})])
        told = arguments_of(CONTRACTS[family], family, "create_stream", values)
        if (
            told is not None
            and told.plain
            and tuple(values) != raw(v1_arguments() if family == V1 else [sc_struct(v2_fields())])
        ):
            # then it is the payer's to choose, or differs in what a link asks for
            same = replace(told, sender=PAYER.public_key, memo=None, gross=1_000)
            plain = v1() if family == V1 else v2()
            assert same == plain or not fits(link_terms(family), told)

    @given(st.binary(min_size=1, max_size=4), st.integers(0, 600), st.sampled_from([V1, V2]))
    def test_a_call_with_bytes_written_over_is_never_taken_for_the_same(self, noise, at, family):
        values = raw(v1_arguments() if family == V1 else [sc_struct(v2_fields())])
        whole = b"".join(values)
        at %= len(whole) - len(noise)
        spoilt = whole[:at] + noise + whole[at + len(noise) :]
        if spoilt == whole:
            return
        if family == V1:
            cuts = [0]
            for value in values:
                cuts.append(cuts[-1] + len(value))
            parts = [spoilt[first:end] for first, end in zip(cuts[:-1], cuts[1:], strict=True)]
        else:
            parts = [spoilt]
        told = arguments_of(CONTRACTS[family], family, "create_stream", parts)
        assert told is None or told != (v1() if family == V1 else v2())


class TestPacking:
    @given(st.lists(ANY_VALUE, max_size=6))
    def test_what_is_packed_comes_out_as_it_was(self, values):
        assert unpack(pack(values)) == tuple(values)

    def test_it_is_a_vec_as_the_network_writes_one(self):
        assert xdr.SCVal.from_xdr_bytes(pack(raw(v1_arguments()))) == scval.to_vec(v1_arguments())

    @pytest.mark.parametrize("value", [scval.to_void(), scval.to_uint32(1), xdr.SCVal(xdr.SCValType.SCV_VEC, vec=None)])
    def test_what_is_no_vec_was_not_packed(self, value):
        with pytest.raises(ValueError, match="vec"):
            unpack(value.to_xdr_bytes())
