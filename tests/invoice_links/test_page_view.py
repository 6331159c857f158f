"""What the pay page shows of a link, worked out from the link, its token and the time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stellarstream_core.settings import NETWORKS
from stellarstream_invoice_links.model import Link, MatchedBy, Outcome, Payment
from stellarstream_invoice_links.page.view import Facts, Shown, view_of
from stellarstream_invoice_links.tokens import TokenFacts
from stellarstream_nebula.transactions.store import State
from tests.invoice_links.kit import COIN, OTHER, OWNER, PAYER, RECEIVER, terms_of

NOW = 1_767_225_600  # 1 January 2026
DAY = 86_400
USDC = TokenFacts(COIN, 7, "USDC", "US Dollar", 5)


def link_of(**changes) -> Link:
    terms = {name: changes.pop(name) for name in ("amount", "duration", "start", "cliff") if name in changes}
    values = {"id": "1", "slug": "Aa1", "owner": OWNER, "created_at": NOW - 100, "updated_at": NOW - 50, **changes}
    return Link(terms=terms_of(**{"amount": 12_500_000_000, "duration": 30 * DAY, **terms}), **values)


def shown(link: Link, token: TokenFacts | None = USDC, **more):
    values = {"now": NOW, "network": "sandbox", "passphrase": NETWORKS["sandbox"].passphrase, **more}
    return view_of(Facts(link=link, token=token, **values))


PAID = Payment(
    event_id="e",
    stream="C-7",
    tx_hash="ab" * 32,
    ledger=9,
    closed_at=NOW - 10,
    payer=PAYER,
    gross=12_500_000_000,
    net=12_437_500_000,
    by=MatchedBy.MEMO,
    outcome=Outcome.COMPLETED,
)


@pytest.mark.parametrize(
    ("changes", "fate", "expected"),
    [
        ({}, None, Shown.OPEN),
        ({"submitted": "ab"}, None, Shown.UNDER_WAY),
        ({"submitted": "ab"}, State.PENDING, Shown.UNDER_WAY),
        ({"submitted": "ab"}, State.SUCCESS, Shown.UNDER_WAY),
        ({"submitted": "ab"}, State.FAILED, Shown.OPEN),
        ({"expires_at": NOW}, None, Shown.EXPIRED),
        ({"submitted": "ab", "expires_at": NOW}, State.FAILED, Shown.EXPIRED),
        ({"canceled_at": NOW - 1}, None, Shown.CANCELLED),
        ({"canceled_at": NOW - 1, "expires_at": NOW - 1, "completed": PAID}, None, Shown.PAID),
    ],
)
def test_a_link_is_shown_in_its_state_and_one_whose_transaction_failed_is_open_again(changes, fate, expected):
    assert shown(link_of(**changes), fate=fate).shown is expected


def test_an_amount_is_in_the_tokens_own_decimals_and_symbol():
    found = shown(link_of(amount=12_500_000_001))
    assert (found.amount.text, found.amount.raw) == ("1,250.0000001 USDC", "12500000001")
    assert (found.symbol, found.token_name, found.decimals) == ("USDC", "US Dollar", 7)
    assert found.title == "Pay 1,250.0000001 USDC"


def test_an_amount_of_a_token_that_tells_nothing_is_in_its_smallest_unit():
    found = shown(link_of(amount=1_234_567), None)
    assert (found.amount.text, found.known_token) == ("1,234,567 smallest units", False)


def test_a_token_without_a_symbol_is_not_given_one():
    found = shown(link_of(), TokenFacts(COIN, 7, "", "", 5))
    assert (found.amount.text, found.symbol) == ("1,250 tokens", "")


@pytest.mark.parametrize(
    ("amount", "duration", "rate"),
    [
        (12_500_000_000, 30 * DAY, "41.6667 USDC a day"),
        (300_000_000, 30 * DAY, "1 USDC a day"),
        (10**18, 365 * DAY, "273,973,000 USDC a day"),
        (360_000_000, 6 * 3600, "6 USDC an hour"),
        (10_000_000, 600, "0.1 USDC a minute"),
        (10_000_000, 60, None),
        (1, 30 * DAY, None),
    ],
)
def test_the_rate_is_told_in_a_unit_that_fits_the_duration(amount, duration, rate):
    assert shown(link_of(amount=amount, duration=duration)).rate == rate


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "less than two minutes"),
        (120, "2 minutes"),
        (7_199, "119 minutes"),
        (7_200, "2 hours"),
        (4 * DAY + 7, "4 days"),
    ],
)
def test_how_long_it_can_still_be_paid_is_told_in_one_unit(seconds, text):
    assert shown(link_of(expires_at=NOW + seconds)).expires_in == text


def test_times_of_a_link_that_names_its_start():
    found = shown(link_of(start=NOW - DAY, cliff=NOW - 3600, duration=4 * DAY))
    assert (found.start.iso, found.cliff.iso) == ("2025-12-31T00:00:00Z", "2025-12-31T23:00:00Z")
    assert found.end.iso == "2026-01-04T00:00:00Z"
    assert found.already == "The start is over: who is paid can take 25% of it at once."


def test_nothing_is_unlocked_at_once_before_the_cliff():
    assert shown(link_of(start=NOW - DAY, cliff=NOW + 3600, duration=4 * DAY)).already is None


def test_a_link_that_starts_when_it_is_paid_has_no_times_until_it_is():
    found = shown(link_of())
    assert (found.start, found.end, found.already) == (None, None, None)
    paid = shown(link_of(completed=PAID), ran=(NOW - 12, NOW - 12 + 30 * DAY))
    assert (paid.start.seconds, paid.end.seconds) == (NOW - 12, NOW - 12 + 30 * DAY)
    assert paid.chart.first == paid.start


def test_a_receipt_tells_who_paid_what_and_what_is_streamed():
    receipt = shown(link_of(completed=PAID)).receipt
    assert (receipt.payer, receipt.stream, receipt.tx_hash, receipt.ledger) == (PAYER, "C-7", "ab" * 32, 9)
    assert (receipt.paid.text, receipt.streamed.text) == ("1,250 USDC", "1,243.75 USDC")
    assert not receipt.more_than_asked
    unknown = shown(link_of(completed=replace(PAID, gross=None, net=None))).receipt
    assert (unknown.paid, unknown.streamed) == (None, None)
    more = shown(link_of(completed=replace(PAID, gross=20_000_000_000, outcome=Outcome.OVERPAID))).receipt
    assert (more.paid.text, more.more_than_asked) == ("2,000 USDC", True)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://files.example.com/a.pdf", "files.example.com"),
        ("https://files.example.com:8443/a.pdf", "files.example.com:8443"),
        ("https://files.example.com:443/a.pdf", "files.example.com"),
        ("https://xn--80ak6aa92e.com/", "xn--80ak6aa92e.com"),
    ],
)
def test_a_document_is_named_by_its_host(url, host):
    assert shown(link_of(pdf_url=url)).pdf.host == host


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "http://files.example.com/a.pdf",
        "data:text/html,x",
        "//files.example.com/",
        "https://bank.example@evil.example/",
        "https://",
        "https://[::1/",
        "https://аpple.com/",
        "https://files.example.com:99999999/",
    ],
)
def test_what_is_no_plain_https_address_is_no_link_whatever_the_database_holds(url):
    assert shown(link_of(pdf_url=url)).pdf is None


def test_hidden_characters_of_strangers_are_made_visible():
    token = TokenFacts(COIN, 7, "US\u202eDC", "US\u200bDollar", 5)
    found = shown(link_of(description="pay\u202eme\nnow"), token)
    assert found.description == ["pay⟨U+202E⟩me", "now"]
    assert (found.amount.unit, found.token_name) == ("US⟨U+202E⟩DC", "US⟨U+200B⟩Dollar")


@pytest.mark.parametrize(
    ("name", "title", "is_test"),
    [("pubnet", "Stellar", False), ("testnet", "Testnet", True), ("sandbox", "Sandbox", True)],
)
def test_a_network_without_real_money_says_so(name, title, is_test):
    found = shown(link_of(), network=name, passphrase=NETWORKS[name].passphrase)
    assert (found.network, found.is_test) == (title, is_test)


def test_a_network_of_ones_own_has_its_own_name():
    found = shown(link_of(), network="pubnet", passphrase="my own")
    assert (found.network, found.is_test) == ("pubnet", True)


def test_who_asks_for_others_can_be_told_from_who_is_paid():
    assert shown(link_of(owner=OTHER)).owner != shown(link_of()).receiver
    assert shown(link_of(owner=RECEIVER)).owner == RECEIVER


def test_an_amount_is_written_smaller_the_longer_it_is():
    sizes = [shown(link_of(amount=10**power)).amount.size for power in (7, 16, 30)]
    assert sizes == ["roomy", "tight", "small"]
