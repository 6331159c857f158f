"""What a stream on chain is to links: each outcome by name, each rule that ties them, to the second."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellarstream_core.testing.scripted import made_contract
from stellarstream_invoice_links.judging import (
    MOST_CHOICES,
    Candidate,
    Creation,
    Known,
    Submission,
    gross_between,
    judge,
    may_ask_for,
)
from stellarstream_invoice_links.model import (
    CLOCK_SECONDS,
    COMPLETING,
    LATEST_START_SECONDS,
    SKEW_SECONDS,
    LinkTerms,
    MatchedBy,
    Outcome,
)
from stellarstream_nebula.model import V1, V2
from tests.invoice_links.kit import COIN, GEM, ONE, OTHER, RECEIVER, TWO
from tests.invoice_links.settle_kit import BEGAN, HOUR, PAYER, call_terms

FAMILIES = {ONE: V1, TWO: V2}
SOMEBODY = OTHER


def asked(name: str = "L", **changes: object) -> Candidate:
    """Return a link that its receiver made; ``changes`` are fields of it or of its terms."""
    own = {
        key: changes.pop(key)
        for key in ("contract", "receiver", "token", "amount", "duration", "start", "cliff")
        if key in changes
    }
    contract = own.get("contract", TWO)
    plain = {"receiver": RECEIVER, "token": COIN, "amount": 1_000, "duration": HOUR}
    terms = LinkTerms(**{**plain, "contract": contract, "family": FAMILIES[contract], **own})
    fields = {"id": name, "slug": f"slug{name}", "owner": terms.receiver, "created_at": BEGAN, **changes}
    return Candidate(**fields, terms=terms)


def created(number: int = 1, *, at: int = BEGAN + 100, known: bool = True, **changes: object) -> Creation:
    """Return a stream that was created ``at``; ``changes`` are fields of it or of the call that made it.

    ``fee`` is what the contract keeps. Where its call is not known, the event still says what it says.
    """
    call = {
        key: changes.pop(key)
        for key in ("gross", "duration", "cliff", "start", "memo", "receiver", "token", "sender")
        if key in changes
    }
    contract, fee = changes.pop("contract", TWO), changes.pop("fee", 5)
    call = {
        "receiver": RECEIVER,
        "token": COIN,
        "gross": 1_000,
        "start": at,
        "sender": PAYER.public_key,
        "duration": HOUR,
        **call,
    }
    told = call_terms(FAMILIES[contract], contract, **call)
    event = {
        "event_id": f"{number:019d}-0000000000",
        "stream": f"{contract}-{number}",
        "contract": contract,
        "family": FAMILIES[contract],
        "tx_hash": f"{number:064x}",
        "ledger": number,
        "closed_at": at,
        "sender": call["sender"],
        "receiver": call["receiver"],
        "token": call["token"],
        "net": call["gross"] - fee,
        "start": call["start"],
        "end": call["start"] + call["duration"],
        "memo": call.get("memo"),
        **changes,
    }
    creation = Creation(**event)
    return creation.with_call(told) if known else creation


def relayed(link: Candidate, creation: Creation, *, at: int = BEGAN + 90, **more: object) -> Submission:
    told = creation.told
    return Submission(tx_hash=creation.tx_hash, link_id=link.id, submitted_at=at, relayed=True, told=told, **more)


def claimed(link: Candidate, creation: Creation, *, at: int = BEGAN + 10**6) -> Submission:
    return Submission(tx_hash=creation.tx_hash, link_id=link.id, submitted_at=at, relayed=False, claimed=True)


def told(links, creations, submissions=()) -> dict[tuple[str, int], tuple[str, str]]:
    """Return (by, outcome) by link and the number of the creation."""
    found = judge(links, submissions, creations)
    return {
        (link_id, int(event_id[:19])): (verdict.by.value, verdict.outcome.value)
        for (link_id, event_id), verdict in found.verdicts.items()
    }


def outcome(link: Candidate, creation: Creation) -> str | None:
    """Return what a creation is to the one link there is, which its memo names."""
    found = told([link], [creation])
    return found[link.id, creation.ledger][1] if found else None


def named(**changes: object) -> Creation:
    return created(**{"memo": "slugL", **changes})


class TestOutcomes:
    def test_what_was_asked_for_completes_it(self):
        assert outcome(asked(), named()) == "completed"

    def test_more_completes_it_too(self):
        assert outcome(asked(), named(gross=1_001)) == "overpaid"

    def test_less_does_not(self):
        assert outcome(asked(), named(gross=999)) == "underpaid"

    def test_the_fee_that_the_contract_keeps_is_the_payees(self):
        assert outcome(asked(), named(fee=50)) == "completed"

    @pytest.mark.parametrize("known", [Known.UNKNOWN, Known.UNREADABLE])
    def test_what_was_not_read_is_unverified(self, known):
        assert outcome(asked(), replace(named(known=False), known=known)) == "unverified"

    def test_another_call_is_another_stream(self):
        assert outcome(asked(), named(known=False).with_call(None)) == "different-terms"

    @pytest.mark.parametrize(
        "changes",
        [{"duration": HOUR + 1}, {"duration": HOUR - 1}, {"cliff": BEGAN + 101}],
        ids=["longer", "shorter", "with a cliff"],
    )
    def test_other_terms_are_another_stream(self, changes):
        assert outcome(asked(), named(**changes)) == "different-terms"

    def test_another_start_than_is_asked_for_is_another_stream(self):
        assert outcome(asked(start=BEGAN + 100), named()) == "completed"
        assert outcome(asked(start=BEGAN + 101), named()) == "different-terms"

    def test_the_cliff_that_is_asked_for_is_needed(self):
        asks = asked(start=BEGAN + 100, cliff=BEGAN + 200)
        assert outcome(asks, named(cliff=BEGAN + 200)) == "completed"
        assert outcome(asks, named()) == "different-terms"

    def test_another_contract_is_another_stream(self):
        assert outcome(asked(contract=ONE), named()) == "different-terms"

    def test_a_start_of_the_payers_may_be_an_hour_ahead_and_no_more(self):
        latest = BEGAN + 100 + LATEST_START_SECONDS
        assert outcome(asked(), named(start=latest)) == "completed"
        assert outcome(asked(), named(start=latest + 1)) == "different-terms"
        assert outcome(asked(start=latest + 1), named(start=latest + 1)) == "completed"

    def test_a_start_of_the_payers_may_be_over(self):
        assert outcome(asked(), named(start=BEGAN - 10**6)) == "completed"

    def test_it_is_late_from_the_second_on_at_which_the_link_is_over(self):
        assert outcome(asked(expires_at=BEGAN + 101), named()) == "completed"
        assert outcome(asked(expires_at=BEGAN + 100), named()) == "late"

    @pytest.mark.parametrize("column", ["canceled_at", "deleted_at"])
    def test_it_is_after_the_end_from_the_second_on_after_which_it_was_taken_back(self, column):
        assert outcome(asked(**{column: BEGAN + 100}), named()) == "completed"
        assert outcome(asked(**{column: BEGAN + 99}), named()) == "after-cancel"

    def test_the_first_end_counts_of_two(self):
        assert outcome(asked(canceled_at=BEGAN + 99, deleted_at=BEGAN + 500), named()) == "after-cancel"

    def test_the_second_one_is_a_repetition(self):
        found = told([asked()], [named(number=1), named(number=2), named(number=3, gross=5_000)])
        assert [found["L", number][1] for number in (1, 2, 3)] == ["completed", "repeated", "repeated"]

    def test_what_completes_nothing_is_not_repeated(self):
        found = told(
            [asked(expires_at=BEGAN + 300)],
            [named(number=1, gross=1), named(number=2, duration=5), named(number=3), named(number=4, at=BEGAN + 300)],
        )
        assert [found["L", number][1] for number in (1, 2, 3, 4)] == [
            "underpaid",
            "different-terms",
            "completed",
            "late",
        ]

    def test_several_that_are_too_small_do_not_add_up(self):
        found = told([asked()], [named(number=1, gross=500), named(number=2, gross=500)])
        assert {outcome for _, outcome in found.values()} == {"underpaid"}

    @pytest.mark.parametrize(
        ("earlier", "later"),
        [
            ("unverified", "different"),
            ("different", "small"),
            ("small", "late"),
            ("late", "back"),
            ("back", "again"),
            ("again", "more"),
        ],
    )
    def test_of_two_that_are_true_the_first_of_the_list_is_told(self, earlier, later):
        link, creation, others = asked(), named(number=5), []
        words = {
            "unverified": "unverified",
            "different": "different-terms",
            "small": "underpaid",
            "late": "late",
            "back": "after-cancel",
            "again": "repeated",
        }
        more = {}
        for fault in (earlier, later):
            if fault == "different":
                more["duration"] = 7
            elif fault == "small":
                more["gross"] = 1
            elif fault == "late":
                link = replace(link, expires_at=BEGAN + 100)
            elif fault == "back":
                link = replace(link, canceled_at=BEGAN + 50)
            elif fault == "again":
                others = [named(number=2, at=BEGAN + 10)]
            elif fault == "more":
                more["gross"] = 2_000
        creation = named(number=5, **more)
        if earlier == "unverified":
            creation = replace(creation, known=Known.UNKNOWN, told=None)
        assert told([link], [*others, creation])["L", 5][1] == words[earlier]


class TestByMemo:
    def test_it_names_one_link_of_several_with_equal_terms(self):
        found = told([asked("L"), asked("M")], [named()])
        assert found == {("L", 1): ("memo", "completed")}

    @pytest.mark.parametrize(
        "changes", [{"receiver": SOMEBODY}, {"token": GEM}], ids=["another receiver", "another token"]
    )
    def test_a_stream_to_somebody_else_is_no_payment_whatever_its_memo(self, changes):
        assert told([asked()], [named(**changes)]) == {}

    def test_a_memo_that_names_another_receivers_link_is_not_matched_by_terms_either(self):
        links = [asked("L", receiver=SOMEBODY), asked("M")]
        assert told(links, [named()]) == {}
        assert told(links, [created()]) == {("M", 1): ("terms", "completed")}

    def test_it_says_more_than_a_submission_or_a_claim_for_another_link(self):
        links, creation = [asked("L"), asked("M")], named()
        for said in (relayed(links[1], creation), claimed(links[1], creation)):
            assert told(links, [creation], [said]) == {("L", 1): ("memo", "completed")}

    def test_a_memo_that_is_nobodys_slug_says_nothing(self):
        assert told([asked()], [created(memo="rent")]) == {("L", 1): ("terms", "completed")}

    def test_a_call_tells_it_where_the_event_does_not(self):
        call = call_terms(V2, TWO, start=BEGAN + 100, memo="slugL")
        creation = created(known=False).with_call(call)
        assert creation.memo is None
        assert told([asked("L"), asked("M")], [creation]) == {("L", 1): ("memo", "completed")}

    def test_a_deleted_link_still_gets_what_names_it(self):
        assert outcome(asked(deleted_at=BEGAN + 1), named()) == "after-cancel"


class TestByTransaction:
    def test_what_went_through_the_service_is_for_that_link(self):
        links, creation = [asked("L"), asked("M")], created()
        assert told(links, [creation], [relayed(links[1], creation)]) == {("M", 1): ("transaction", "completed")}

    def test_its_call_is_known_without_a_read(self):
        link, creation = asked(), created()
        unread = replace(creation, known=Known.UNKNOWN, told=None)
        assert told([link], [unread], [relayed(link, creation)]) == {("L", 1): ("transaction", "completed")}

    def test_handed_in_after_its_ledger_closed_it_proves_nothing(self):
        links, creation = [asked("L"), asked("M")], created()
        in_time = relayed(links[1], creation, at=creation.closed_at + CLOCK_SECONDS)
        late = relayed(links[1], creation, at=creation.closed_at + CLOCK_SECONDS + 1)
        assert set(told(links, [creation], [in_time])) == {("M", 1)}
        assert {outcome for _, outcome in told(links, [creation], [late]).values()} == {"ambiguous"}

    def test_handed_in_late_it_still_tells_the_call(self):
        link, creation = asked(), created()
        unread = replace(creation, known=Known.UNKNOWN, told=None)
        late = relayed(link, creation, at=creation.closed_at + 10**6)
        assert told([link], [unread], [late]) == {("L", 1): ("terms", "completed")}

    def test_handed_in_late_it_counts_where_the_owner_says_so_too(self):
        links, creation = [asked("L"), asked("M")], created()
        both = relayed(links[1], creation, at=creation.closed_at + 10**6, claimed=True)
        assert told(links, [creation], [both]) == {("M", 1): ("transaction", "completed")}

    def test_the_owner_tells_two_links_with_equal_terms_apart(self):
        links, creation = [asked("L"), asked("M")], created()
        assert told(links, [creation], [claimed(links[0], creation)]) == {("L", 1): ("transaction", "completed")}

    def test_a_claim_of_what_was_not_read_is_unverified(self):
        link, creation = asked(), created(known=False)
        assert told([link], [creation], [claimed(link, creation)]) == {("L", 1): ("transaction", "unverified")}

    def test_claimed_for_several_it_is_nobodys(self):
        links = [asked(f"L{number:02}", amount=number + 1) for number in range(MOST_CHOICES + 2)]
        creation = created()
        found = told(links, [creation], [claimed(link, creation) for link in links])
        assert found == {(link.id, 1): ("transaction", "ambiguous") for link in links[:MOST_CHOICES]}

    def test_claimed_for_a_link_that_asks_for_something_else_it_is_something_else(self):
        link, creation = asked(duration=5), created()
        assert told([link], [creation], [claimed(link, creation)]) == {("L", 1): ("transaction", "different-terms")}

    @pytest.mark.parametrize("say", [relayed, claimed])
    @pytest.mark.parametrize("changes", [{"receiver": SOMEBODY}, {"token": GEM}])
    def test_a_stream_to_somebody_else_is_no_payment_whoever_says_so(self, say, changes):
        link, creation = asked(), created(**changes)
        assert told([link], [creation], [say(link, creation)]) == {}

    @pytest.mark.parametrize("say", [relayed, claimed])
    def test_a_payment_from_before_a_link_was_made_is_not_its_own(self, say):
        creation = created(number=7)
        at_once = asked(created_at=creation.closed_at + CLOCK_SECONDS)
        assert set(told([at_once], [creation], [say(at_once, creation)])) == {("L", 7)}
        later = replace(at_once, created_at=at_once.created_at + 1)
        assert told([later], [creation], [say(later, creation)]) == {}
        seen = replace(at_once, after_ledger=7)
        assert told([seen], [creation], [say(seen, creation)]) == {}
        assert set(told([replace(seen, after_ledger=6)], [creation], [say(seen, creation)])) == {("L", 7)}


class TestByTerms:
    def test_the_one_open_link_that_asks_for_it_is_paid(self):
        assert told([asked(), asked("M", amount=1_001)], [created()]) == {("L", 1): ("terms", "completed")}

    def test_the_net_amount_says_nothing(self):
        assert told([asked(amount=995)], [created(fee=5)]) == {}

    def test_what_was_not_read_is_not_guessed(self):
        assert told([asked()], [created(known=False)]) == {}

    def test_of_two_open_links_with_equal_terms_neither_is_paid(self):
        found = told([asked("L"), asked("M")], [created()])
        assert found == {("L", 1): ("terms", "ambiguous"), ("M", 1): ("terms", "ambiguous")}

    def test_of_many_the_first_ten_are_told(self):
        links = [asked(f"L{number:02}", created_at=BEGAN + 50 - number) for number in range(MOST_CHOICES + 5)]
        found = told(links, [created()])
        assert set(found) == {(link.id, 1) for link in links[5:]}

    def test_a_stranger_who_makes_an_equal_link_blocks_nobody(self):
        links = [asked("L"), asked("M", owner=SOMEBODY), asked("N", owner=SOMEBODY)]
        assert told(links, [created()]) == {("L", 1): ("terms", "completed")}

    def test_a_strangers_word_takes_no_payment_from_a_receivers_own_link(self):
        links, creation = [asked("L"), asked("M", owner=SOMEBODY)], created()
        assert told(links, [creation], [claimed(links[1], creation)]) == {("L", 1): ("terms", "completed")}

    def test_paid_by_the_page_of_a_link_it_is_that_links_whoever_made_it(self):
        links, creation = [asked("L"), asked("M", owner=SOMEBODY)], created()
        for said in ([], [claimed(links[0], creation)]):
            own = [*said, relayed(links[1], creation)]
            assert told(links, [creation], own) == {("M", 1): ("transaction", "completed")}

    def test_the_word_of_one_who_is_not_paid_breaks_no_tie(self):
        links, creation = [asked("L", owner=SOMEBODY), asked("M", owner=PAYER.public_key)], created()
        found = told(links, [creation], [claimed(links[0], creation)])
        assert found == {("L", 1): ("terms", "ambiguous"), ("M", 1): ("terms", "ambiguous")}

    @pytest.mark.parametrize("changes", [{"amount": 1}, {"duration": 5}], ids=["overpaid", "another stream"])
    def test_the_word_of_one_who_is_not_paid_completes_nothing(self, changes):
        eves, creation = asked("M", owner=SOMEBODY, **changes), created()
        said = [claimed(eves, creation)]
        assert told([eves], [creation], said) == {("M", 1): ("transaction", "different-terms")}
        theirs = asked("L", owner=PAYER.public_key)
        assert told([theirs, eves], [creation], said) == {("L", 1): ("terms", "completed")}
        unread = replace(creation, known=Known.UNKNOWN, told=None)
        assert told([theirs, eves], [unread], said) == {("M", 1): ("transaction", "unverified")}

    def test_what_a_strangers_word_shows_does_not_depend_on_what_completed_the_link(self):
        link, exact, more = asked("M", owner=SOMEBODY), created(1), created(2, gross=1_001)
        for creations in ([more], [exact, more]):
            assert told([link], creations, [claimed(link, more)])["M", 2] == ("transaction", "different-terms")
        again = created(3)
        assert told([link], [exact, again], [claimed(link, again)])["M", 3] == ("transaction", "repeated")

    def test_the_receivers_own_word_completes_what_was_overpaid(self):
        link, creation = asked(amount=1), created()
        assert told([link], [creation], [claimed(link, creation)]) == {("L", 1): ("transaction", "overpaid")}

    def test_a_link_that_somebody_made_for_the_receiver_is_paid_where_no_own_one_is_meant(self):
        assert told([asked(owner=SOMEBODY)], [created()]) == {("L", 1): ("terms", "completed")}
        links, creation = [asked("L", amount=7), asked("M", owner=SOMEBODY)], created()
        for said in ([], [relayed(links[1], creation)], [claimed(links[1], creation)]):
            assert set(told(links, [creation], said)) == {("M", 1)}

    def test_made_by_two_strangers_neither_is_paid(self):
        links = [asked("L", owner=SOMEBODY), asked("M", owner=PAYER.public_key)]
        assert {outcome for _, outcome in told(links, [created()]).values()} == {"ambiguous"}

    @pytest.mark.parametrize(
        ("last", "over"),
        [
            ({"expires_at": BEGAN + 101}, {"expires_at": BEGAN + 100}),
            ({"canceled_at": BEGAN + 100}, {"canceled_at": BEGAN + 99}),
            ({"deleted_at": BEGAN + 100}, {"deleted_at": BEGAN + 99}),
            ({"created_at": BEGAN + 100 + SKEW_SECONDS}, {"created_at": BEGAN + 101 + SKEW_SECONDS}),
            ({"after_ledger": 0}, {"after_ledger": 1}),
        ],
    )
    def test_only_links_that_are_open_then_count_to_the_second(self, last, over):
        assert told([asked(**last)], [created()]) == {("L", 1): ("terms", "completed")}
        assert told([asked(**over)], [created()]) == {}
        assert told([asked("M"), asked(**over)], [created()]) == {("M", 1): ("terms", "completed")}

    def test_a_link_that_is_paid_counts_no_more(self):
        found = told([asked("L"), asked("M", created_at=BEGAN + 300)], [created(1), created(2, at=BEGAN + 400)])
        assert found == {("L", 1): ("terms", "completed"), ("M", 2): ("terms", "completed")}

    def test_one_more_of_the_same_is_nobodys(self):
        assert told([asked()], [created(1), created(2)]) == {("L", 1): ("terms", "completed")}

    def test_a_stream_that_starts_in_ten_years_is_not_meant(self):
        assert told([asked()], [created(start=BEGAN + 101 + LATEST_START_SECONDS)]) == {}

    @pytest.mark.parametrize("contract", [ONE, TWO])
    def test_it_works_for_both_generations(self, contract):
        found = told([asked(contract=contract)], [created(contract=contract, fee=0)])
        assert found == {("L", 1): ("terms", "completed")}


class TestWhatACallMade:
    """A transaction can publish more events than its call's own."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"contract": made_contract(77)},
            {"receiver": SOMEBODY},
            {"token": GEM},
            {"sender": SOMEBODY},
            {"start": BEGAN},
            {"end": BEGAN},
            {"memo": "another"},
            {"net": 1_001},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_an_event_that_says_something_else_is_none_of_its_making(self, changes):
        call = call_terms(V2, TWO, start=BEGAN + 100)
        event = created(known=False)
        assert event.with_call(call).known is Known.KNOWN
        other = replace(event, **changes).with_call(call)
        assert (other.known, other.told) == (Known.OTHER, None)

    def test_what_an_event_does_not_tell_is_not_held_against_it(self):
        call = call_terms(V2, TWO, start=BEGAN + 100, memo="rent")
        event = replace(created(known=False), sender=None, start=None, end=None, memo=None, net=None)
        assert event.with_call(call).told == call


class TestWhatIsWorthReading:
    def test_everything_that_a_fee_of_five_percent_allows(self):
        link = asked(amount=1_000)
        assert may_ask_for(link, created(known=False, gross=1_000, fee=0))
        assert may_ask_for(link, created(known=False, gross=1_000, fee=50))
        assert not may_ask_for(link, created(known=False, gross=1_001, fee=0))
        assert not may_ask_for(link, created(known=False, gross=1_000, fee=60))

    @given(st.integers(1, 2**127 - 1), st.integers(0, 500))
    def test_whatever_the_fee_the_amount_is_among_what_is_looked_for(self, amount, bps):
        for fee in (amount * bps // 10_000, -(-amount * bps // 10_000)):
            least, most = gross_between(amount - fee)
            assert least <= amount <= most

    @pytest.mark.parametrize(
        "changes", [{"duration": 5}, {"receiver": SOMEBODY}, {"token": GEM}, {"contract": ONE}, {"at": BEGAN - 100}]
    )
    def test_nothing_that_no_link_asks_for(self, changes):
        assert not may_ask_for(asked(), created(known=False, **changes))

    @pytest.mark.parametrize("name", ["start", "end", "net"])
    def test_nothing_of_an_event_that_a_create_stream_does_not_publish(self, name):
        assert not may_ask_for(asked(), replace(created(known=False), **{name: None}))


# --- whole sets -------------------------------------------------------------------------------------

MOMENTS = st.integers(0, 12).map(lambda step: BEGAN + 40 * step)
links_of = st.builds(
    lambda number, own, amount, made, ends, back, start: asked(
        f"L{number}",
        owner=RECEIVER if own else SOMEBODY,
        amount=amount,
        created_at=made,
        expires_at=ends,
        canceled_at=back,
        start=start,
    ),
    st.just(0),
    st.booleans(),
    st.sampled_from([1_000, 1_000, 2_000]),
    MOMENTS,
    st.none() | MOMENTS,
    st.none() | MOMENTS,
    st.none() | st.just(BEGAN + 100),
)


@st.composite
def worlds(draw):
    """Return links, creations and submissions that have to do with each other."""
    links = [
        replace(link, id=f"L{n}", slug=f"slugL{n}")
        for n, link in enumerate(draw(st.lists(links_of, min_size=1, max_size=5)))
    ]
    creations = []
    for number in range(1, draw(st.integers(1, 7)) + 1):
        memo = draw(st.none() | st.none() | st.sampled_from([link.slug for link in links] + ["rent"]))
        start = draw(st.sampled_from([BEGAN + 100, BEGAN + 60]))
        creation = created(
            number,
            at=BEGAN + 60 * number,
            gross=draw(st.sampled_from([1_000, 1_000, 2_000, 500])),
            start=start,
            memo=memo,
            receiver=draw(st.sampled_from([RECEIVER] * 9 + [SOMEBODY])),
        )
        creations.append(
            creation
            if draw(st.sampled_from([True] * 4 + [False]))
            else replace(creation, known=Known.UNKNOWN, told=None)
        )
    submissions = []
    for creation in creations:
        what = draw(st.sampled_from(["", "", "relayed", "claimed", "claimed twice"]))
        for link in draw(st.permutations(links))[: {"": 0, "claimed twice": 2}.get(what, 1)]:
            if what != "relayed":
                submissions.append(claimed(link, creation))
            elif creation.told is not None:
                submissions.append(relayed(link, creation, at=creation.closed_at + draw(st.sampled_from([-5, 500]))))
    return links, submissions, creations


class TestWholeSets:
    @given(worlds())
    @settings(max_examples=80)
    def test_a_link_is_completed_once_and_a_stream_completes_one_link(self, world):
        links, submissions, creations = world
        found = judge(links, submissions, creations)
        complete = [key for key, verdict in found.verdicts.items() if verdict.outcome in COMPLETING]
        assert max(Counter(link_id for link_id, _ in complete).values(), default=1) == 1
        assert max(Counter(event_id for _, event_id in complete).values(), default=1) == 1
        assert dict(complete) == dict(found.completed)

    @given(worlds())
    @settings(max_examples=80)
    def test_a_payment_pays_the_links_receiver_in_its_token_and_completes_it_with_its_terms(self, world):
        links, submissions, creations = world
        by_id, by_event = {link.id: link for link in links}, {one.event_id: one for one in creations}
        for (link_id, event_id), verdict in judge(links, submissions, creations).verdicts.items():
            link, creation = by_id[link_id], by_event[event_id]
            assert (creation.receiver, creation.token) == (link.terms.receiver, link.terms.token)
            if verdict.outcome in COMPLETING:
                calls = [one.told for one in submissions if one.tx_hash == creation.tx_hash and one.told is not None]
                call = creation.told or calls[0]
                assert call.plain
                assert call.gross >= link.terms.amount
                assert call.duration == link.terms.duration
                assert link.expires_at is None or creation.closed_at < link.expires_at
                assert link.canceled_at is None or creation.closed_at <= link.canceled_at

    @given(worlds(), st.randoms())
    @settings(max_examples=60)
    def test_order_does_not_matter(self, world, dice):
        links, submissions, creations = world
        once = judge(links, submissions, creations)
        for part in world:
            dice.shuffle(part)
        assert judge(links, submissions, creations) == once

    @given(worlds(), st.data())
    @settings(max_examples=80)
    def test_what_becomes_known_later_takes_no_payment_from_a_link(self, world, data):
        """A link that is paid stays paid, whichever creations are indexed or read after the others."""
        links, submissions, creations = world
        fewer = [one for one in creations if data.draw(st.booleans())]
        known = {one.event_id for one in fewer if data.draw(st.sampled_from([True, True, False]))}
        before = [one if one.event_id in known else replace(one, known=Known.UNKNOWN, told=None) for one in fewer]
        assert set(judge(links, submissions, before).completed) <= set(judge(links, submissions, creations).completed)

    @given(worlds(), links_of)
    @settings(max_examples=60)
    def test_a_link_that_is_made_later_changes_nothing_of_what_happened_before(self, world, more):
        links, submissions, creations = world
        newest = max(one.ledger for one in creations)
        later = replace(more, id="later", slug="later", after_ledger=newest)
        assert judge([*links, later], submissions, creations) == judge(links, submissions, creations)

    def test_the_lowest_event_completes_it_whichever_came_first(self):
        link = asked()
        creations = [named(number=number, at=BEGAN + 10 * number) for number in (1, 2, 3)]
        for order in permutations(creations):
            assert judge([link], [], order).completed == {"L": creations[0].event_id}

    def test_what_one_completes_matters_to_the_next(self):
        """The first completes L, so that the second, which fits both, is M's, and the third nobody's."""
        links = [asked("L"), asked("M", created_at=BEGAN + 200)]
        creations = [created(1), created(2, at=BEGAN + 300), created(3, at=BEGAN + 400)]
        assert told(links, creations) == {("L", 1): ("terms", "completed"), ("M", 2): ("terms", "completed")}
        assert {outcome for _, outcome in told(links, creations[1:]).values()} == {"ambiguous"}


def test_the_words_of_outcomes_are_all_tested():
    assert {outcome.value for outcome in Outcome} == {
        *("completed", "overpaid", "underpaid", "different-terms", "repeated"),
        *("late", "after-cancel", "ambiguous", "unverified"),
    }
    assert {by.value for by in MatchedBy} == {"transaction", "memo", "terms"}
