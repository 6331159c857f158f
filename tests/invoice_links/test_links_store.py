"""Links in the database: no two have a slug, nobody has more than they may, and concurrent clients break no rule."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count, product
from threading import Barrier, Event, Thread
from typing import Any

import pytest
from peewee import IntegrityError

from stellarstream_core.storage import Storage
from stellarstream_invoice_links import links_store
from stellarstream_invoice_links.gauges import count_links, count_payments
from stellarstream_invoice_links.links import link_by_id, link_by_slug, take_turn
from stellarstream_invoice_links.links_store import NewLink, Place
from stellarstream_invoice_links.model import DELETABLE, LEGAL, Link, LinkStatus, Outcome
from stellarstream_invoice_links.problems import (
    IllegalMoveError,
    LinkNotFoundError,
    NotDeletableError,
    TooManyLinksError,
)
from stellarstream_invoice_links.slugs import ALPHABET, LENGTH, make_slug
from stellarstream_invoice_links.tables import InvoiceLink
from tests.invoice_links import settle_kit
from tests.invoice_links.kit import OTHER, OWNER, put_link, put_payment, put_submission, terms_of
from tests.nebula.ledgers import START

NOW = 1_800_000_000
CLIENTS = 8


@pytest.fixture
def storage(kept_storage) -> Storage:
    return kept_storage


def all_of(storage: Storage, owner: str = OWNER, now: int = NOW, **more: Any) -> list[Link]:
    """Return an account's whole list, page by page."""
    found, after, limit = [], None, more.pop("limit", 200)
    while True:
        page = storage.read(
            lambda database, after=after: links_store.list_links(database, owner, now, after=after, limit=limit, **more)
        )
        assert len(page.links) <= limit
        found += page.links
        if page.resume is None:
            return found
        after = page.resume


def insert(storage: Storage, *, most_open: int = 100, owner: str = OWNER, now: int = NOW, **more: Any) -> Link:
    slugs = {"slugs": more.pop("slugs")} if "slugs" in more else {}
    new = NewLink(owner=owner, terms=terms_of(), **more)
    return storage.write(lambda database: links_store.insert(database, new, now, most_open, **slugs))


def together(*acts: Callable[[], object]) -> list[object]:
    """Do acts in threads at once; return what each returned or raised."""
    ready = Barrier(len(acts))
    found: list[object] = [None] * len(acts)

    def run(place: int, act: Callable[[], object]) -> None:
        ready.wait(10)
        try:
            found[place] = act()
        except Exception as error:
            found[place] = error

    threads = [Thread(target=run, args=numbered) for numbered in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


# --- slugs ------------------------------------------------------------------------------------------


def test_slugs_are_of_the_promised_form_and_all_different():
    slugs = [make_slug() for _ in range(2_000)]
    assert len(set(slugs)) == len(slugs)
    assert {len(slug) for slug in slugs} == {LENGTH}
    assert set("".join(slugs)) == set(ALPHABET)
    assert len(ALPHABET) ** LENGTH > 2**64


def test_a_slug_that_is_taken_is_tried_again_with_another(storage, make_link):
    taken = [make_link(now=NOW).slug for _ in range(3)]
    slugs = iter([*taken, "abcABC123456"])
    made = insert(storage, slugs=lambda: next(slugs))
    assert made.slug == "abcABC123456"
    assert len(all_of(storage)) == 4


def test_the_slug_of_a_deleted_link_stays_taken(storage, make_link):
    gone = make_link(now=NOW, deleted_at=NOW)
    slugs = iter([gone.slug, "abcABC123456"])
    assert insert(storage, slugs=lambda: next(slugs)).slug == "abcABC123456"


def test_where_every_slug_is_taken_nothing_is_stored(storage, make_link):
    taken = make_link(now=NOW).slug
    with pytest.raises(RuntimeError, match="slugs"):
        insert(storage, slugs=lambda: taken)
    assert [link.slug for link in all_of(storage)] == [taken]


def test_the_database_itself_refuses_a_second_link_with_a_slug(storage, make_link):
    first, second = make_link(), make_link()

    def clash(database):
        InvoiceLink.update(slug=first.slug).where(InvoiceLink.id == second.id).execute(database)

    with pytest.raises(IntegrityError):
        storage.write(clash)


def test_slugs_that_differ_in_capitals_are_different(storage, make_link):
    small, large = make_link(slug="abcdefabcdef"), make_link(slug="ABCDEFabcdef")
    assert storage.read(lambda database: link_by_slug(database, "abcdefabcdef")).id == small.id
    assert storage.read(lambda database: link_by_slug(database, "ABCDEFabcdef")).id == large.id
    assert storage.read(lambda database: link_by_slug(database, "abcdefABCDEF")) is None


def test_clients_that_draw_the_same_slugs_at_once_all_get_a_link_of_their_own(storage):
    def client() -> Callable[[], object]:
        numbers = count()
        return lambda: insert(storage, slugs=lambda: f"clash{next(numbers):07d}")

    made = together(*(client() for _ in range(CLIENTS)))
    assert sorted(link.slug for link in made) == [f"clash{number:07d}" for number in range(CLIENTS)]


# --- how many ---------------------------------------------------------------------------------------


def test_what_was_stored_is_what_is_read(storage):
    terms = terms_of(amount=2**127 - 1, start=NOW + 10, cliff=NOW + 20)
    new = NewLink(owner=OWNER, terms=terms, description="a\nb", pdf_url="https://a.example/b", expires_at=NOW + 99)
    made = storage.write(lambda database: links_store.insert(database, new, NOW, 1))
    assert made == storage.read(lambda database: link_by_id(database, made.id))
    assert (made.terms, made.owner, made.description, made.pdf_url) == (terms, OWNER, "a\nb", "https://a.example/b")
    assert (made.created_at, made.updated_at, made.expires_at) == (NOW, NOW, NOW + 99)
    assert (made.canceled_at, made.deleted_at, made.submitted, made.payer, made.completed) == (None,) * 5


def test_an_account_gets_as_many_open_links_as_it_may_and_not_one_more(storage):
    for _ in range(3):
        insert(storage, most_open=3)
    with pytest.raises(TooManyLinksError):
        insert(storage, most_open=3)
    insert(storage, most_open=3, owner=OTHER)
    assert (len(all_of(storage)), len(all_of(storage, OTHER))) == (3, 1)


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        ({}, True),
        ({"submitted": "a" * 64}, True),
        ({"expires_at": NOW + 1}, True),
        ({"expires_at": NOW}, False),
        ({"canceled_at": NOW}, False),
        ({"deleted_at": NOW}, False),
        ({"completed_event": "x"}, False),
    ],
)
def test_only_links_that_are_neither_paid_nor_over_count(storage, make_link, state, counts):
    make_link(now=NOW, **state)
    assert storage.read(lambda database: links_store.count_open(database, OWNER, NOW, 10)) == int(counts)


def test_open_links_are_counted_no_further_than_is_asked(storage, make_link):
    for number in range(6):
        make_link(now=NOW, expires_at=NOW + 50 if number % 2 else None)
    for most in (1, 3, 5, 6, 7):
        found = storage.read(lambda database, most=most: links_store.count_open(database, OWNER, NOW, most))
        assert found == min(most, 6)


def test_from_eight_clients_at_once_exactly_as_many_links_are_made_as_may_be(storage):
    limit = 5
    done = together(*(lambda: insert(storage, most_open=limit) for _ in range(CLIENTS * 2)))
    assert sum(isinstance(one, Link) for one in done) == limit
    assert {type(one) for one in done} == {Link, TooManyLinksError}
    assert len(all_of(storage)) == limit


def test_counting_open_links_walks_an_index_of_theirs_alone(open_store, sqlite_url):
    storage = open_store(sqlite_url)
    plans = []

    def explain(database):
        ask = database.execute_sql

        def spy(sql, params=None, *more):
            plans.append("; ".join(row[-1] for row in ask(f"EXPLAIN QUERY PLAN {sql}", params).fetchall()))
            return ask(sql, params, *more)

        database.execute_sql = spy
        try:
            links_store.count_open(database, OWNER, NOW, 10)
        finally:
            del database.execute_sql

    storage.read(explain)
    assert len(plans) == 2
    assert all("INDEX invoice_links_open (owner=? AND expires_at" in plan for plan in plans), plans


# --- whose ------------------------------------------------------------------------------------------


def test_an_owner_finds_a_link_by_id_and_by_slug_and_nobody_else_does(storage, make_link):
    link = make_link()
    for ref in (link.id, link.slug):
        assert storage.read(lambda database, ref=ref: links_store.own_link(database, OWNER, ref)).id == link.id
        for act in (links_store.cancel, links_store.delete):
            with pytest.raises(LinkNotFoundError):
                storage.write(lambda database, ref=ref, act=act: act(database, OTHER, ref, NOW))
    assert storage.read(lambda database: link_by_id(database, link.id)) == link


@pytest.mark.parametrize("ref", ["", "nothing", "%", "' OR 1=1 --", "🌊"])
def test_what_is_no_link_is_not_found(storage, make_link, ref):
    make_link()
    with pytest.raises(LinkNotFoundError):
        storage.write(lambda database: links_store.cancel(database, OWNER, ref, NOW))


# --- life -------------------------------------------------------------------------------------------


def in_status(storage: Storage, status: LinkStatus) -> Link:
    """Make a link that is in a status at ``NOW``."""
    link = put_link(storage, now=NOW - 100, expires_at=NOW - 1 if status is LinkStatus.EXPIRED else None)
    if status is LinkStatus.SIGNED:
        return put_submission(storage, link)
    if status is LinkStatus.COMPLETED:
        return put_payment(storage, link)
    if status is LinkStatus.CANCELED:
        return storage.write(lambda database: links_store.cancel(database, OWNER, link.id, NOW - 50))
    return link


@pytest.mark.parametrize("status", LinkStatus)
def test_a_link_is_cancelled_where_that_is_legal_and_else_stays_as_it_is(storage, status):
    link = in_status(storage, status)
    assert link.status(NOW) is status

    def act(database):
        return links_store.cancel(database, OWNER, link.id, NOW)

    if LinkStatus.CANCELED in LEGAL[status]:
        done = storage.write(act)
        assert (done.status(NOW), done.canceled_at, done.updated_at) == (LinkStatus.CANCELED, NOW, NOW)
    elif status is LinkStatus.CANCELED:
        assert storage.write(act) == link
    else:
        with pytest.raises(IllegalMoveError) as refused:
            storage.write(act)
        assert refused.value.members == {"legal": []}
        assert storage.read(lambda database: link_by_id(database, link.id)) == link


@pytest.mark.parametrize("status", LinkStatus)
def test_a_link_is_deleted_where_that_may_be_and_else_stays_as_it_is(storage, status):
    link = in_status(storage, status)
    if status not in DELETABLE:
        with pytest.raises(NotDeletableError):
            storage.write(lambda database: links_store.delete(database, OWNER, link.id, NOW))
        assert storage.read(lambda database: link_by_id(database, link.id)) == link
        return
    storage.write(lambda database: links_store.delete(database, OWNER, link.slug, NOW))
    gone = storage.read(lambda database: link_by_slug(database, link.slug))
    assert (gone.id, gone.deleted_at) == (link.id, NOW)
    for act in (links_store.cancel, links_store.delete):
        with pytest.raises(LinkNotFoundError):
            storage.write(lambda database, act=act: act(database, OWNER, link.id, NOW))


def test_of_clients_that_cancel_at_once_the_first_says_when(storage, make_link):
    link = make_link(now=NOW)
    acts = [
        lambda now=NOW + number: storage.write(lambda database: links_store.cancel(database, OWNER, link.id, now))
        for number in range(CLIENTS)
    ]
    done = together(*acts)
    assert {one.canceled_at for one in done} == {done[0].canceled_at}
    assert storage.read(lambda database: link_by_id(database, link.id)) == done[0]


def test_of_clients_that_delete_at_once_one_succeeds(storage, make_link):
    link = make_link(now=NOW)
    act = lambda: storage.write(lambda database: links_store.delete(database, OWNER, link.id, NOW))  # noqa: E731
    done = together(*[act] * CLIENTS)
    assert sorted(type(one).__name__ for one in done) == ["LinkNotFoundError"] * (CLIENTS - 1) + ["NoneType"]


@pytest.mark.parametrize(
    ("change", "act", "refusal"),
    [
        ({"submitted": "ab" * 32}, links_store.delete, NotDeletableError),
        ({"deleted_at": NOW}, links_store.cancel, LinkNotFoundError),
        ({"canceled_at": NOW}, links_store.cancel, None),
    ],
)
def test_what_another_transaction_is_writing_is_waited_for_before_it_is_decided(
    storage, make_link, monkeypatch, change, act, refusal
):
    link = make_link(now=NOW)
    has_turn, asked, decided = Event(), Event(), Event()
    find = links_store.own_link

    def own_link(*which):
        found = find(*which)
        decided.set()
        return found

    monkeypatch.setattr(links_store, "own_link", own_link)

    def first(database):
        take_turn(database)
        InvoiceLink.update(**change).where(InvoiceLink.id == link.id).execute(database)
        has_turn.set()
        assert asked.wait(10)
        until = time.monotonic() + 10
        while not waits(storage) and not decided.is_set():
            assert time.monotonic() < until
        assert not decided.is_set()

    def second():
        assert has_turn.wait(10)
        asked.set()
        return storage.write(lambda database: act(database, OWNER, link.id, NOW + 5))

    written, done = together(lambda: storage.write(first), second)
    assert written is None, written
    if refusal is None:
        assert done.canceled_at == NOW
    else:
        assert isinstance(done, refusal), done


def waits(storage: Storage) -> bool:
    """Tell whether a transaction waits for another one; in SQLite a second one that writes does not even begin."""
    if storage.url.startswith("sqlite"):
        return True
    mine = "datname = current_database() AND wait_event_type = 'Lock'"
    asked = f"SELECT count(*) FROM pg_stat_activity WHERE {mine}"
    return storage.read(lambda database: database.execute_sql(asked).fetchone()[0]) > 0


@pytest.mark.parametrize("act", [links_store.cancel, links_store.delete])
def test_whoever_takes_one_of_two_equal_links_back_before_a_payment_leaves_it_to_the_other(open_store, sqlite_url, act):
    """Ledgers may close ahead of this service's clock: what is written now may lie before what is indexed already."""
    storage, payments = open_store(sqlite_url), settle_kit.Payments()
    first, second = settle_kit.ask(storage), settle_kit.ask(storage)
    paid = payments.pay(first)
    settle_kit.index(storage, payments, START, payments.last + 1)
    settle_kit.read_all_arguments(storage, payments.chain)
    assert settle_kit.outcomes(storage, second) == [(paid.id, "terms", "ambiguous")]
    storage.write(lambda database: act(database, first.owner, first.id, settle_kit.BEGAN))
    assert settle_kit.outcomes(storage, second) == [(paid.id, "terms", "completed")]
    assert settle_kit.completed(storage) == {second.id: paid.id}


# --- lists ------------------------------------------------------------------------------------------


def test_a_list_is_newest_first_and_holds_the_account_s_own(storage, make_link):
    links = [make_link(now=NOW + number // 3) for number in range(8)]
    make_link(owner=OTHER)
    found = all_of(storage)
    assert sorted(link.id for link in found) == sorted(link.id for link in links)
    assert [(link.created_at, link.id) for link in found] == sorted(
        ((link.created_at, link.id) for link in links), reverse=True
    )


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 9])
def test_pages_hold_each_link_once_also_where_many_were_made_in_a_second(storage, make_link, limit):
    for number in range(8):
        make_link(now=NOW + number // 5)
    assert all_of(storage, limit=limit) == all_of(storage)


def test_what_is_made_meanwhile_moves_no_page(storage, make_link):
    links = [make_link(now=NOW + number) for number in range(4)][::-1]
    first = storage.read(lambda database: links_store.list_links(database, OWNER, NOW, limit=2))
    make_link(now=NOW + 9)
    rest = storage.read(lambda database: links_store.list_links(database, OWNER, NOW, after=first.resume, limit=9))
    assert [*first.links, *rest.links] == links


@pytest.mark.parametrize("looked_at", [1, 2, 3, 5, 100])
def test_a_page_that_has_looked_at_enough_ends_and_the_list_goes_on(storage, make_link, monkeypatch, looked_at):
    links = [make_link(now=NOW + number // 2, canceled_at=None if number in {0, 7} else NOW) for number in range(9)]
    monkeypatch.setattr(links_store, "LOOKED_AT", looked_at)
    found = all_of(storage, statuses=[LinkStatus.DRAFT], limit=2)
    assert [link.id for link in found] == [links[7].id, links[0].id]
    assert len(all_of(storage, limit=2)) == 9


def test_a_deleted_link_is_listed_where_a_stream_came_for_it(storage, make_link):
    kept, gone = make_link(now=NOW, deleted_at=NOW), make_link(now=NOW, deleted_at=NOW)
    put_payment(storage, kept, outcome=Outcome.AFTER_CANCEL)
    assert [link.id for link in all_of(storage)] == [kept.id]
    assert all_of(storage, statuses=[LinkStatus.DRAFT])[0].deleted_at == NOW
    assert storage.read(lambda database: link_by_id(database, gone.id)) is not None


def test_the_status_that_is_filtered_and_counted_by_is_the_status_that_is_shown(storage, make_link):
    stamps = product((None, NOW - 1, NOW, NOW + 1), (None, NOW - 5), (None, "ab" * 32), (False, True))
    links = []
    for number, (expires_at, canceled_at, submitted, paid) in enumerate(stamps):
        link = make_link(now=NOW - 9, expires_at=expires_at, canceled_at=canceled_at, submitted=submitted)
        links.append(put_payment(storage, link, number) if paid else link)
    make_link(now=NOW - 9, deleted_at=NOW - 5)
    for now in (NOW - 2, NOW, NOW + 0.5, NOW + 1):
        counted = dict(storage.read(lambda database, now=now: list(count_links(database, now))))
        assert sum(counted.values()) == len(links)
        for status in LinkStatus:
            due = {link.id for link in links if link.status(now) is status}
            assert {link.id for link in all_of(storage, now=int(now), statuses=[status])} == due
            assert counted[(status,)] == len(due)
        either = all_of(storage, now=int(now), statuses=[LinkStatus.DRAFT, LinkStatus.EXPIRED])
        assert {link.status(now) for link in either} <= {LinkStatus.DRAFT, LinkStatus.EXPIRED}
        assert len(either) == counted[("DRAFT",)] + counted[("EXPIRED",)]


def test_every_outcome_of_payments_is_counted(storage, make_link):
    first, second = make_link(), make_link()
    put_payment(storage, first, 1)
    put_payment(storage, second, 2, outcome=Outcome.OVERPAID)
    for number in (3, 4, 5):
        put_payment(storage, first, number, outcome=Outcome.REPEATED)
    counted = dict(storage.read(lambda database: list(count_payments(database, NOW))))
    assert {labels[0] for labels in counted} == set(Outcome)
    assert {labels[0]: number for labels, number in counted.items() if number} == {
        "completed": 1,
        "overpaid": 1,
        "repeated": 3,
    }


def test_a_list_can_begin_behind_a_link_that_is_not_there(storage, make_link):
    links = [make_link(now=NOW + number) for number in range(3)]
    after = Place(NOW + 2, "")
    page = storage.read(lambda database: links_store.list_links(database, OWNER, NOW, after=after, limit=9))
    assert [link.id for link in page.links] == [links[1].id, links[0].id]
