"""The call that pays a link fits it, whatever the link asks for; with anything changed it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellarstream_core.testing.scripted import made_contract
from stellarstream_core.xdr.scval import Arm, ScValue, decode_scval, encode_scval
from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, VERSION_CONTRACT, encode
from stellarstream_invoice_links.arguments import CallTerms, arguments_of, fits
from stellarstream_invoice_links.model import LATEST_START_SECONDS, Link, LinkTerms
from stellarstream_invoice_links.payment_terms import check_terms, creation, last_moment, stream_terms
from stellarstream_invoice_links.problems import LinkExpiredError, TermsMismatchError
from stellarstream_nebula.model import V1, V2
from stellarstream_nebula.transactions import calls
from stellarstream_nebula.transactions.envelope import Envelope

NOW = 1_780_000_000
SLUG = "aB3dE5gH7jK9"
ACCOUNTS = st.binary(min_size=32, max_size=32).map(lambda raw: encode(VERSION_ACCOUNT, raw))
CONTRACTS = st.binary(min_size=32, max_size=32).map(lambda raw: encode(VERSION_CONTRACT, raw))


@st.composite
def links(draw: st.DrawFn) -> Link:
    """Return any link that can be made."""
    duration = draw(st.integers(1, 10**9))
    start = draw(st.none() | st.integers(NOW - 10**8, NOW + 10**8))
    cliff = None if start is None else draw(st.none() | st.integers(start, start + duration))
    terms = LinkTerms(
        contract=draw(CONTRACTS),
        family=draw(st.sampled_from([V1, V2])),
        receiver=draw(ACCOUNTS | CONTRACTS),
        token=draw(CONTRACTS),
        amount=draw(st.integers(1, 2**127 - 1)),
        duration=duration,
        start=start,
        cliff=cliff,
    )
    return Link(
        id="1",
        slug=draw(st.from_regex("[0-9A-Za-z]{11,32}", fullmatch=True)),
        owner=draw(ACCOUNTS),
        terms=terms,
        created_at=NOW - 100,
        updated_at=NOW - 100,
        expires_at=draw(st.none() | st.integers(NOW + 1, NOW + 10**8)),
    )


def read(link: Link, call: calls.Call) -> CallTerms | None:
    return arguments_of(call.contract, link.terms.family, call.function, call.arguments)


def envelope_of(link: Link, call: calls.Call, valid_until: int | None = None) -> Envelope:
    until = link.expires_at - 1 if link.expires_at is not None else NOW + 300
    return Envelope(
        raw=b"",
        hash="0" * 64,
        account=link.owner,
        sequence=1,
        contract=call.contract,
        function=call.function,
        arguments=call.arguments,
        valid_from=0,
        valid_until=until if valid_until is None else valid_until,
        prepared=True,
        signed=(),
    )


def assert_refused(link: Link, call: calls.Call) -> None:
    told = read(link, call)
    assert told is None or not fits(link.terms, told)
    with pytest.raises(TermsMismatchError):
        check_terms(link, envelope_of(link, call), NOW)


@given(links(), ACCOUNTS, st.booleans())
def test_what_is_built_for_a_link_is_what_it_asks_for(link, payer, with_memo):
    terms = stream_terms(link, payer, NOW)
    assert (terms.start, terms.cliff - terms.start) == (
        NOW if link.terms.start is None else link.terms.start,
        0 if link.terms.cliff is None else link.terms.cliff - link.terms.start,
    )
    assert terms.memo == (link.slug if link.terms.family == V2 else None)
    call = creation(link, terms if with_memo else replace(terms, memo=None))
    told = read(link, call)
    assert told is not None
    assert fits(link.terms, told)
    assert (told.sender, told.receiver, told.token) == (payer, link.terms.receiver, link.terms.token)
    assert (told.gross, told.duration, told.contract) == (link.terms.amount, link.terms.duration, link.terms.contract)
    assert told.memo == (terms.memo if with_memo else None)
    assert told.plain
    check_terms(link, envelope_of(link, call), NOW)


@given(links(), ACCOUNTS, st.data())
def test_with_one_term_changed_it_fits_no_more(link, payer, data):
    terms = stream_terms(link, payer, NOW)
    changes = {
        "receiver": ACCOUNTS,
        "token": CONTRACTS,
        "end": st.integers(terms.cliff, terms.cliff + 10**9),
        "cliff": st.integers(terms.start, terms.end),
    }
    if link.terms.start is not None:
        changes["start"] = st.integers(NOW - 2 * 10**8, terms.cliff)
    if link.terms.family == V2:
        changes["vault"] = CONTRACTS
    name = data.draw(st.sampled_from(sorted(changes)))
    value = data.draw(changes[name].filter(lambda value: value != getattr(terms, name)))
    assert_refused(link, creation(link, replace(terms, **{name: value})))


@given(links(), ACCOUNTS, st.data())
def test_another_amount_or_memo_is_refused_though_the_rest_fits(link, payer, data):
    terms = stream_terms(link, payer, NOW)
    amounts = st.integers(1, 2**127 - 1).filter(lambda amount: amount != terms.amount)
    memos = st.from_regex("[0-9A-Za-z_]{1,32}", fullmatch=True).filter(lambda memo: memo != link.slug)
    if link.terms.family == V2 and data.draw(st.booleans()):
        changed = replace(terms, memo=data.draw(memos))
    else:
        changed = replace(terms, amount=data.draw(amounts))
    call = creation(link, changed)
    told = read(link, call)
    assert told is not None
    assert fits(link.terms, told)
    with pytest.raises(TermsMismatchError):
        check_terms(link, envelope_of(link, call), NOW)


OTHERS = {Arm.VOID: ScValue(Arm.ADDRESS, made_contract(3)), Arm.U32: ScValue(Arm.U32, 77)}
OTHERS |= {Arm.U64: ScValue(Arm.U64, 77), Arm.I128: ScValue(Arm.I128, 77)}
NAMED = {"amount", "total_amount", "memo", "sender"}


def other(value: ScValue) -> ScValue:
    """Return another value of the same kind, or where there is nothing, something."""
    if value.arm is Arm.BOOL:
        return ScValue(Arm.BOOL, not value.value)
    if value.arm is Arm.ADDRESS:
        return ScValue(Arm.ADDRESS, made_contract(4))
    return OTHERS[value.arm]


@given(links(), ACCOUNTS, st.data())
def test_with_any_argument_of_the_contract_changed_it_fits_no_more(link, payer, data):
    terms = stream_terms(link, payer, NOW)
    call = creation(link, terms)
    if link.terms.family == V2:
        (struct,) = (decode_scval(argument) for argument in call.arguments)
        fields = dict(struct.value)
        names = [name for name in fields if name.value not in NAMED]
        name = data.draw(st.sampled_from(names))
        if name.value == "start_time" and link.terms.start is None:
            return
        value = data.draw(st.sampled_from([other(fields[name]), ScValue(Arm.STRING, b"x"), None]))
        changed = tuple((key, value if key == name else old) for key, old in struct.value)
        kept = tuple((key, value) for key, value in changed if value is not None)
        arguments = (encode_scval(ScValue(Arm.MAP, kept)),)
    else:
        position = data.draw(st.sampled_from([1, 2, 5, 6, 7, 8]))
        given_ones = list(call.arguments)
        given_ones[position] = encode_scval(other(decode_scval(given_ones[position])))
        arguments = tuple(given_ones)
    assert_refused(link, replace(call, arguments=arguments))


@given(links(), ACCOUNTS, st.sampled_from(["create_swap_stream", "create_stream_with_milestones", "withdraw"]))
def test_another_call_is_refused(link, payer, name):
    call = creation(link, stream_terms(link, payer, NOW))
    assert_refused(link, replace(call, function=name))
    assert_refused(link, replace(call, contract=made_contract(5)))
    assert_refused(link, replace(call, arguments=call.arguments[:-1]))
    assert_refused(link, replace(call, arguments=(*call.arguments, call.arguments[0])))
    assert_refused(link, replace(call, arguments=()))
    assert_refused(link, replace(call, arguments=(b"junk", *call.arguments[1:])))


def a_link(**more: object) -> Link:
    values = {"receiver": made_contract(1), "token": made_contract(2), "amount": 5, "duration": 10**6, **more}
    terms = LinkTerms(contract=made_contract(3), family=V2, **values)
    account = encode(VERSION_ACCOUNT, bytes(32))
    return Link(id="1", slug=SLUG, owner=account, terms=terms, created_at=0, updated_at=0)


def test_a_stream_starts_no_later_than_settlement_takes_it():
    link = a_link()
    for late, good in ((LATEST_START_SECONDS, True), (LATEST_START_SECONDS + 1, False), (-(10**6), True)):
        call = creation(link, stream_terms(link, link.owner, NOW + late))
        if good:
            check_terms(link, envelope_of(link, call), NOW)
        else:
            with pytest.raises(TermsMismatchError):
                check_terms(link, envelope_of(link, call), NOW)


def test_no_ledger_in_which_the_link_is_over_may_hold_it():
    link = replace(a_link(), expires_at=NOW + 60)
    assert last_moment(link, NOW) == NOW + 59
    assert last_moment(a_link(), NOW) is None
    for now in (NOW + 46, NOW + 60, NOW + 100):
        with pytest.raises(LinkExpiredError):
            last_moment(link, now)
    call = creation(link, stream_terms(link, link.owner, NOW))
    check_terms(link, envelope_of(link, call, NOW + 59), NOW)
    with pytest.raises(TermsMismatchError) as caught:
        check_terms(link, envelope_of(link, call, NOW + 60), NOW)
    assert "time bounds" in caught.value.errors[0].detail


def test_everything_that_differs_is_named():
    link = a_link()
    terms = replace(stream_terms(link, link.owner, NOW), amount=6, receiver=made_contract(9), memo="other")
    with pytest.raises(TermsMismatchError) as caught:
        check_terms(link, envelope_of(link, replace(creation(link, terms), contract=made_contract(8))), NOW)
    told = [error.detail.partition(":")[0] for error in caught.value.errors]
    assert told == ["contract", "receiver", "amount", "memo"]
    assert {error.field for error in caught.value.errors} == {"body.xdr"}
