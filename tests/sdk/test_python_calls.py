"""Every call of both Python clients against a real service on a real network."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from uuid import uuid4

import pytest
from stellar_sdk import Keypair

from nebula_client import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    Curve,
    GoneError,
    InvalidAmountError,
    InvoiceLinkStatus,
    NotFoundError,
    PaymentOutcome,
    PermissionDeniedError,
    RequestTimeoutError,
    SecretKeySigner,
    SignerMissingError,
    StreamStatus,
    TransactionStatus,
    UnprocessableError,
)
from tests.sdk.kit import AMOUNT, ripe, until

pytestmark = pytest.mark.timeout(110)


@pytest.fixture
def nebula(deployed, client_of, payer):
    """A client that signs for the payer."""
    return client_of(deployed.url, signer=payer)


@pytest.fixture
def terms(deployed, payee):
    return {"receiver": payee.public_key, "amount": AMOUNT, "token_address": deployed.usdc, "duration": 400}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_stream_is_created_withdrawn_from_and_cancelled(deployed, nebula, terms, payer, payee, version):
    contract = getattr(deployed, version)
    created = nebula.create_stream(**terms, contract_id=contract)
    assert (created.status, created.contract_id, created.version) == (StreamStatus.ACTIVE, contract, version)
    assert (created.sender, created.receiver) == (payer.public_key, payee.public_key)
    assert created.end_time - created.start_time == timedelta(seconds=400)
    assert created.as_of_ledger >= created.created_ledger

    ripe(nebula, created.id)
    withdrawn = nebula.withdraw_from_stream(created.id, signer=payee)
    assert withdrawn.id == created.id
    assert 0 < int(withdrawn.withdrawn) < AMOUNT

    ripe(nebula, created.id)
    cancelled = nebula.cancel_stream(created.id)
    assert (cancelled.id, cancelled.status) == (created.id, StreamStatus.CANCELED)
    assert int(cancelled.withdrawn) >= int(withdrawn.withdrawn)
    with pytest.raises(UnprocessableError) as refused:
        nebula.cancel_stream(created.id)
    assert refused.value.code == "simulation-failed"
    assert refused.value.problem["contractError"]["contractId"] == contract


def test_a_stream_takes_every_term(nebula, terms):
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
    cliff = start + timedelta(seconds=100)
    stream = nebula.create_stream(
        **terms, start_time=start, cliff_time=cliff.isoformat(), yield_enabled=True, memo="invoice_42"
    )
    assert (stream.start_time, stream.cliff_time, stream.memo) == (start, cliff, "invoice_42")
    read = until(lambda: nebula.get_stream(stream.id), lambda found: found.yield_enabled is not None)
    assert (read.yield_enabled, read.curve) == (True, Curve.LINEAR)


def test_what_a_contract_lacks_is_refused_and_nothing_is_handed_in(deployed, nebula, terms):
    nebula.login()
    seen = []
    with pytest.raises(UnprocessableError) as refused:
        nebula.create_stream(**terms, contract_id=deployed.v1, memo="x", on_submitted=seen.append)
    assert (refused.value.code, seen) == ("unsupported-field", [])
    with pytest.raises(UnprocessableError) as refused:
        nebula.withdraw_from_stream(f"{deployed.v2}-1", "5")
    assert refused.value.code == "partial-withdrawal-unsupported"


def test_wrong_input_names_its_fields(nebula, terms):
    with pytest.raises(UnprocessableError) as refused:
        nebula.create_stream(**{**terms, "receiver": "nobody"})
    assert [error.field for error in refused.value.errors] == ["body.receiver"]
    assert "body.receiver" in str(refused.value)
    assert refused.value.request_id
    with pytest.raises(InvalidAmountError):
        nebula.create_stream(**{**terms, "amount": 1.5})
    with pytest.raises(ConfigurationError, match="time zone"):
        nebula.create_stream(**terms, start_time=datetime(2030, 1, 1))
    with pytest.raises(TypeError, match="amout"):
        nebula.create_stream(**terms, amout=3)
    with pytest.raises(TypeError, match="missing argument: amount"):
        nebula.create_stream(receiver="G", token_address="C", duration=3)


@pytest.mark.parametrize(
    ("argument", "value", "said"),
    [
        ("duration", timedelta(minutes=10), "Not a duration: give whole seconds, such as 600"),
        ("duration", Decimal(600), "Not a duration: text or a number is needed, not Decimal"),
        ("memo", b"rent", "Not a memo: text or a number is needed, not bytes"),
    ],
)
def test_what_cannot_be_sent_is_said_before_anything_is(faults, client_of, argument, value, said):
    client = client_of(faults.url, signer=SecretKeySigner(Keypair.random().secret))
    with pytest.raises(ConfigurationError, match=said):
        client.create_stream(**{"receiver": "G", "amount": 1, "token_address": "C", "duration": 60, argument: value})
    assert faults.asked == []


def test_streams_are_read_listed_and_found(deployed, nebula, terms, payer):
    memos = [f"memo_{uuid4().hex[:12]}_{number}" for number in range(2)]
    made = [nebula.create_stream(**terms, memo=memo) for memo in memos]
    newest = made[1]
    assert nebula.get_stream(newest.id).memo == memos[1]
    later = nebula.get_stream(newest.id, at=newest.end_time)
    assert (later.status, later.unlocked) == (StreamStatus.COMPLETED, newest.amount)

    mine = nebula.get_streams(payer.public_key, 1)
    assert [stream.id for stream in mine] == [newest.id]
    assert nebula.get_streams(payer.public_key, 1, 1)[0].id == made[0].id
    assert len(nebula.get_streams(payer.public_key, 300)) >= 2

    page = nebula.list_streams(sender=payer.public_key, status=["ACTIVE", StreamStatus.PAUSED], limit=1)
    assert [stream.id for stream in page.items] == [newest.id]
    following = nebula.list_streams(
        sender=payer.public_key, status=["ACTIVE", StreamStatus.PAUSED], limit=1, cursor=page.next_cursor
    )
    assert following.items[0].id == made[0].id
    every = [stream.id for stream in nebula.iterate_streams(sender=payer.public_key, limit=1)]
    assert every[:2] == [newest.id, made[0].id]
    assert len(every) == len(set(every)) >= 2

    assert [stream.id for stream in nebula.search_streams(memos[1], 5)] == [newest.id]
    assert len(nebula.search(payer.public_key, 1)) == 1
    found = nebula.search(newest.tx_hash)
    assert newest.id in [item.id for item in found if item.kind == "stream"]
    with pytest.raises(NotFoundError) as missing:
        nebula.get_stream(f"{deployed.v2}-999999999")
    assert missing.value.code == "stream-not-found"


def test_the_history_of_a_stream_is_whole_and_checked(nebula, terms, payee):
    stream = nebula.create_stream(**terms)
    ripe(nebula, stream.id)
    nebula.cancel_stream(stream.id)
    history = until(lambda: nebula.get_stream_history(stream.id), lambda found: found.chain.links >= 2)
    assert history.events[0].event_type == "create_v2"
    assert history.events[-1].event_type == "cancel"
    assert all(event.sealed for event in history.events)
    assert history.stream.id == stream.id
    assert [event.id for event in nebula.get_stream_events(stream.id, 1)] == [history.events[0].id]
    assert nebula.get_stream_events(stream.id) == history.events
    logged = list(islice(nebula.iterate_stream_events(address=payee.public_key, type="create_v2", order="desc"), 1))
    assert logged[0].stream_id == stream.stream_id

    assert nebula.verify_history(stream.id).verdict == "intact"
    everything = nebula.verify_history()
    assert (everything.verdict, everything.faults) == ("intact", [])
    assert everything.chains > 1


def test_a_stream_in_a_vault_has_a_yield(nebula, terms):
    stream = nebula.create_stream(**terms, yield_enabled=True)
    earned = until(lambda: nebula.get_yield_data(stream.id), lambda found: found.yield_rate is not None)
    assert (earned.id, earned.principal, earned.samples) == (stream.id, stream.amount, None)
    assert len(nebula.get_yield_data(stream.id, samples=1).samples) == 1
    projection = nebula.calculate_yield(stream.id)
    assert projection.days == 30
    assert int(projection.projected) >= 0
    assert nebula.calculate_yield(stream.id, days=7).days == 7
    with pytest.raises(NotFoundError) as without:
        nebula.get_yield_data(nebula.create_stream(**terms).id)
    assert without.value.code == "stream-has-no-yield"


def test_totals_and_how_far_the_service_is(deployed, nebula):
    stats = nebula.get_stats()
    assert stats.streams.total == stats.streams.active + stats.streams.paused + stats.streams.completed + (
        stats.streams.canceled + stats.streams.archived
    )
    assert deployed.usdc in [token.token_address for token in stats.tokens]
    sync = nebula.get_sync()
    assert sync.network == "sandbox"
    assert set(sync.contracts) == {deployed.v1, deployed.v2}
    assert sync.coverage[0].from_ == 2
    assert sync.live_position
    assert nebula.get_sync(contract=deployed.v1).contracts == [deployed.v1]


def test_contract_events_are_listed(deployed, nebula, terms):
    stream = [nebula.create_stream(**terms) for _ in range(3)][-1]
    page = nebula.list_events(contract=deployed.v2, tx_hash=stream.tx_hash)
    assert stream.tx_hash == page.items[0].tx_hash
    event = nebula.get_event(page.items[0].id)
    assert event == page.items[0]
    first = list(islice(nebula.iterate_events(contract=[deployed.v1, deployed.v2], limit=1), 3))
    assert [event.id for event in first] == sorted(event.id for event in first)
    assert len(first) == 3
    with pytest.raises(NotFoundError):
        nebula.get_event("0000000000000000001-0000000001")


def test_an_invoice_link_is_made_paid_and_never_paid_twice(deployed, client_of, terms, payer, payee):
    owner = client_of(deployed.url, signer=payee)
    link = owner.create_invoice_link(**terms, description="Design work")
    assert (link.status, link.sender, link.payments) == (InvoiceLinkStatus.DRAFT, payee.public_key, [])

    anybody = client_of(deployed.url)
    assert anybody.get_invoice_link(link.slug).description == "Design work"
    paid = anybody.pay_invoice_link(link.slug, signer=payer)
    assert (paid.link.status, paid.link.payer) == (InvoiceLinkStatus.COMPLETED, payer.public_key)
    assert (paid.link.stream_id, paid.stream.receiver) == (paid.stream.id, payee.public_key)
    assert paid.stream.memo == link.slug

    (mine,) = [one for one in owner.iterate_invoice_links(status="COMPLETED") if one.slug == link.slug]
    assert [payment.outcome for payment in mine.payments] == [PaymentOutcome.COMPLETED]
    with pytest.raises(ConflictError) as again:
        anybody.pay_invoice_link(link.slug, signer=payer)
    assert again.value.code == "link-paid"
    with pytest.raises(ConflictError):
        owner.delete_invoice_link(link.id)


def test_a_link_is_cancelled_or_deleted_by_its_owner_alone(deployed, client_of, terms, payer, payee):
    owner, other = client_of(deployed.url, signer=payee), client_of(deployed.url, signer=payer)
    ends = datetime.now(UTC) + timedelta(hours=1)
    links = [owner.create_invoice_link(**terms, expires_at=ends) for _ in range(2)]
    page = owner.list_invoice_links(limit=2, status=[InvoiceLinkStatus.DRAFT])
    assert {link.id for link in page.items} == {link.id for link in links}
    with pytest.raises(NotFoundError):
        other.update_invoice_link_status(links[0].id, "CANCELED")

    cancelled = owner.update_invoice_link_status(links[0].id, InvoiceLinkStatus.CANCELED)
    assert cancelled.status == InvoiceLinkStatus.CANCELED
    assert cancelled.canceled_at
    with pytest.raises(GoneError) as gone:
        owner.get_invoice_link(links[0].slug)
    assert gone.value.code == "link-cancelled"
    with pytest.raises(GoneError):
        other.pay_invoice_link(links[0].slug)

    named = owner.update_invoice_link_status(links[1].id, "SIGNED", tx_hash="ab" * 32)
    assert (named.status, named.tx_hash) == (InvoiceLinkStatus.SIGNED, "ab" * 32)
    third = owner.create_invoice_link(**terms)
    assert owner.delete_invoice_link(third.slug) is None
    with pytest.raises(NotFoundError):
        owner.get_invoice_link(third.slug)


def test_transactions_are_known_handed_in_again_and_waited_for(nebula, terms):
    seen = []
    stream = nebula.create_stream(**terms, on_submitted=seen.append)
    (submission,) = seen
    assert submission.tx_hash == stream.tx_hash
    known = nebula.get_transaction(stream.tx_hash)
    assert (known.status, known.stream_ids) == (TransactionStatus.SUCCESS, [stream.id])
    again = nebula.submit_transaction(submission.signed_xdr)
    assert (again.tx_hash, again.status) == (stream.tx_hash, TransactionStatus.SUCCESS)
    assert nebula.wait_for_transaction(stream.tx_hash).ledger == stream.created_ledger
    with pytest.raises(NotFoundError) as unknown:
        nebula.get_transaction("ab" * 32)
    assert unknown.value.code == "transaction-not-found"


def test_a_client_acts_by_token_key_or_nobody(deployed, client_of, terms, payee):
    nobody = client_of(deployed.url)
    with pytest.raises(SignerMissingError):
        nobody.create_stream(**terms)
    with pytest.raises(AuthenticationError) as refused:
        nobody.list_invoice_links()
    assert refused.value.code == "not-authenticated"

    token = nobody.login(payee)
    assert nobody.list_invoice_links().items is not None
    nobody.logout()
    with pytest.raises(AuthenticationError):
        nobody.list_invoice_links()
    nobody.set_auth_token(token)
    assert nobody.create_invoice_link(**terms).sender == payee.public_key
    nobody.set_auth_token(None)
    nobody.set_api_key(deployed.api.key("read"))
    assert nobody.list_invoice_links().items == []
    with pytest.raises(PermissionDeniedError):
        nobody.create_invoice_link(**terms)
    nobody.set_api_key("ss_abcdefghijkl_nothing")
    with pytest.raises(AuthenticationError):
        nobody.get_stats()
    nobody.set_api_key(None)
    nobody.set_signer(payee)
    assert nobody.list_invoice_links().items[0].sender == payee.public_key


def test_limits_of_one_call_leave_the_client_alone(deployed, client_of):
    client = client_of(deployed.url, timeout=20)
    with pytest.raises(RequestTimeoutError):
        client.limited(timeout=0.000001, max_retries=0).get_sync()
    assert client.get_sync().network == "sandbox"
