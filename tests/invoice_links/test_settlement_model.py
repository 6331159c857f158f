"""Whatever comes in whichever order, it ends in what the pure judge says of the whole; and a paid link stays paid."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stellarstream_core.projection.projector import Projector
from stellarstream_core.storage import Storage
from stellarstream_core.testing.scripted import made_close_time
from stellarstream_invoice_links.arguments import arguments_of
from stellarstream_invoice_links.judging import Creation, Known, judge
from stellarstream_invoice_links.model import COMPLETING, Link
from stellarstream_invoice_links.problems import SubmittedForAnotherError, TermsMismatchError
from stellarstream_invoice_links.projection import creation_of
from tests.invoice_links.kit import COIN, FAMILIES, GEM, ONE, OTHER, TWO
from tests.invoice_links.settle_kit import (
    DECODERS,
    HOUR,
    Paid,
    Payments,
    ask,
    claim,
    completed,
    index,
    made_projection,
    read_all_arguments,
    read_arguments,
    stored_candidates,
    stored_submissions,
    submit,
    take_back,
    verdicts,
)
from tests.nebula.conftest import store_of  # noqa: F401 - the fixture
from tests.nebula.ledgers import Ledgers
from tests.nebula.relay_kit import wallet

PROJECTORS: dict[int, Projector] = {}
APART = 1_000
"""Ledgers between two examples: all are in one database, each with a receiver of its own."""
numbers = count(1)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared(request, store_of) -> Storage:  # noqa: F811 - the fixture
    storage = store_of(request.param)
    PROJECTORS[id(storage)] = Projector(made_projection(), storage)
    return storage


# --- what happens -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """A link: made so many seconds after the example began, over so many after it was made."""

    contract: str
    own: bool
    amount: int
    made: int
    lasts: int | None


@dataclass(frozen=True)
class Pay:
    """A stream: for which link, ledgers after the one before, and how it differs from what is asked for.

    ``told``: a node tells its call.
    """

    link: int
    gap: int
    memo: bool
    more: int
    fee: int
    odd: str
    told: bool


asks = st.builds(
    Ask,
    st.sampled_from([ONE, ONE, TWO]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([1_000, 1_000, 1_000, 2_000]),
    st.sampled_from([0, 0, 0, 30, 90]),
    st.sampled_from([None] * 4 + [6, 11, 21, 60]),
)
pays = st.builds(
    Pay,
    st.integers(0, 3),
    st.sampled_from([1, 1, 1, 2, 13]),
    st.sampled_from([False, False, True]),
    st.sampled_from([0] * 6 + [1, -1]),
    st.sampled_from([0, 5, 50]),
    st.sampled_from([""] * 12 + ["receiver", "token", "duration", "batch", "bump"]),
    st.sampled_from([True, True, True, False]),
)
PAY, LINK = st.integers(0, 6), st.integers(0, 3)
acts = st.one_of(
    st.tuples(st.just("index"), PAY, PAY),
    st.tuples(st.just("index"), PAY, PAY),
    st.tuples(st.just("read")),
    st.tuples(st.just("submit"), PAY, st.none() | st.none() | LINK, st.sampled_from([-3, -3, 0, 5_000])),
    st.tuples(st.just("submit"), PAY, st.none() | st.none() | LINK, st.sampled_from([-3, -3, 0, 5_000])),
    st.tuples(st.just("claim"), PAY, st.none() | LINK),
    st.tuples(st.just("claim"), PAY, st.none() | LINK),
    st.tuples(st.just("take_back"), LINK, PAY, st.sampled_from(["canceled_at", "deleted_at"])),
)
"""What happens beside: a link of None is the one that is meant to be paid."""


@st.composite
def histories(draw):
    """Return links, streams, and everything that happens, in any order: mostly the links are made first."""
    asked, paid = draw(st.lists(asks, min_size=1, max_size=4)), draw(st.lists(pays, min_size=1, max_size=7))
    made = [("link", number) for number in range(len(asked))]
    late = draw(st.sampled_from([0, 0, 0, 1, len(made)]))
    indexed = []
    for number in draw(st.permutations(range(len(paid)))):
        indexed += [("index", number, number), *draw(st.sampled_from([[], [("read",)]]))]
    to_do = made[late:] + indexed
    for more in made[:late] + draw(st.lists(acts, max_size=8)):
        to_do.insert(draw(st.integers(0, len(to_do))), more)
    return asked, paid, to_do


class World:
    """One example in a database that others are in as well."""

    def __init__(self, storage: Storage, asked: list[Ask], paid: list[Pay]) -> None:
        self.storage, self.number = storage, next(numbers)
        self.receiver = wallet(10_000 + self.number).public_key
        self.first = self.number * APART
        self.began = made_close_time(self.first)
        self.asked = asked
        self.links: dict[int, Link] = {}
        self.payments = Payments(Ledgers(ledger=self.first))
        self.untold: set[str] = set()
        self.targets = [one.link % len(asked) for one in paid]
        self.by_memo = [one.memo for one in paid]
        self.paid = [self._pay(one) for one in paid]
        self.done: dict[str, str] = {}

    def _slug(self, number: int) -> str:
        return f"example{self.number:06}x{number}"

    def _pay(self, one: Pay) -> Paid:
        number = one.link % len(self.asked)
        link = self.asked[number]
        self.payments.ledgers.skip(one.gap)
        fields = {"receiver": self.receiver, "token": COIN, "gross": link.amount + one.more, "duration": HOUR}
        if one.odd == "receiver":
            fields["receiver"] = OTHER
        elif one.odd == "token":
            fields["token"] = GEM
        elif one.odd == "duration":
            fields["duration"] = HOUR + 1
        elif one.odd == "batch":
            fields["function"] = "create_batch_streams"
        elif one.odd == "bump":
            fields["through"] = wallet(5)
        if one.memo and link.contract == TWO:
            fields["memo"] = self._slug(number)
        fee = one.fee if link.contract == TWO else 0
        paid = self.payments.pay(contract=link.contract, fee=fee, **fields)
        if not one.told:
            del self.payments.chain.fate[paid.hash]
            self.untold.add(paid.hash)
        return paid

    # --- acts -----------------------------------------------------------------------------------

    def act(self, what: str, *arguments: int) -> None:
        getattr(self, what)(*arguments)
        self._check()

    def link(self, number: int) -> None:
        if number in self.links:
            return
        asked = self.asked[number]
        made = self.began + asked.made
        self.links[number] = ask(
            self.storage,
            now=made,
            contract=asked.contract,
            receiver=self.receiver,
            owner=self.receiver if asked.own else OTHER,
            amount=asked.amount,
            expires_at=None if asked.lasts is None else made + asked.lasts,
            slug=self._slug(number),
        )

    def index(self, one: int, other: int) -> None:
        """Index the ledgers from one payment to another."""
        first, last = sorted((one % len(self.paid), other % len(self.paid)))
        self._index(self.paid[first].event.ledger, self.paid[last].event.ledger)

    def submit(self, number: int, link: int | None, after: int) -> None:
        paid, link = self._meant(number, link)
        if link in self.links:
            with suppress(SubmittedForAnotherError, TermsMismatchError):
                submit(self.storage, self.links[link], paid, paid.event.closed_at + after)

    def claim(self, number: int, link: int | None) -> None:
        paid, link = self._meant(number, link)
        if link in self.links:
            with suppress(SubmittedForAnotherError):
                claim(self.storage, self.links[link], paid.hash, self.began + 10**6)

    def take_back(self, link: int, before: int, column: str) -> None:
        """Cancel or delete a link a second before a stream for somebody was made, or later."""
        if link in self.links and self.links[link].id not in self.done:
            at = self.paid[before % len(self.paid)].event.closed_at - 1
            take_back(self.storage, self.links[link], at, column)

    def _meant(self, number: int, link: int | None) -> tuple[Paid, int]:
        number %= len(self.paid)
        return self.paid[number], self.targets[number] if link is None else link

    def read(self) -> None:
        read_arguments(self.storage, self.payments.chain, now=self.began)

    def finish(self) -> None:
        """Let everything become known that can."""
        for number in range(len(self.asked)):
            self.link(number)
        self._index(self.first, self.payments.last)
        read_all_arguments(self.storage, self.payments.chain, now=self.began)
        self._check()

    def _index(self, first: int, last: int) -> None:
        for number, one in enumerate(self.paid):
            target = self.targets[number]
            if first <= one.event.ledger <= last and self.by_memo[number] and target not in self.links:
                self.link(target)  # nobody can write its slug before it is given out
        index(self.storage, self.payments, first, last, projector=PROJECTORS[id(self.storage)])

    # --- what must hold -------------------------------------------------------------------------

    def _check(self) -> None:
        """A payment pays who is to be paid; a link is completed once, by one stream, and stays so."""
        links = list(self.links.values())
        events = {one.id: one.event for one in self.paid}
        found = verdicts(self.storage, links)
        done = [key for key, verdict in found.items() if verdict.outcome in COMPLETING]
        assert completed(self.storage, links) == dict(done)
        assert len(done) == len({link_id for link_id, _ in done}) == len({event_id for _, event_id in done})
        for _, event_id in found:
            said = self._said(events[event_id])
            assert (said.receiver, said.token) == (self.receiver, COIN)
        assert set(self.done) <= {link_id for link_id, _ in done}
        self.done = dict(done)

    def expected(self):
        """Return what the judge says of everything that happened, whatever was stored or read of it."""
        made = list(self.links.values())
        links, submissions = stored_candidates(self.storage, made), stored_submissions(self.storage, made)
        return judge(links, submissions, [self._whole(one) for one in self.paid])

    def _whole(self, paid: Paid) -> Creation:
        said = self._said(paid.event)
        if paid.hash in self.untold:
            return said
        envelope = paid.envelope
        family = FAMILIES[envelope.contract]
        return said.with_call(arguments_of(envelope.contract, family, envelope.function, envelope.arguments))

    @staticmethod
    def _said(event) -> Creation:
        (decoded,) = DECODERS[FAMILIES[event.contract_id]].decode([event])
        said = creation_of(event, decoded)
        assert said is not None
        return replace(said, known=Known.UNKNOWN)


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_any_order_ends_in_what_the_judge_says_of_the_whole(shared, history):
    asked, paid, to_do = history
    world = World(shared, asked, paid)
    for what, *arguments in to_do:
        world.act(what, *arguments)
    world.finish()
    links, expected = list(world.links.values()), world.expected()
    assert verdicts(shared, links) == expected.verdicts
    assert completed(shared, links) == expected.completed
