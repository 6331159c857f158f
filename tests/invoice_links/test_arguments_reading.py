"""Reading the calls of payments from nodes: which are asked for, when again, and what their envelopes say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Asset, scval, xdr
from stellar_sdk.operation import InvokeHostFunction, Payment

from stellarstream_core.chain import ChainTransaction, TransactionStatus
from stellarstream_core.errors import SourceMisbehavedError
from stellarstream_invoice_links.arguments_reading import (
    FIRST_DISTANCE,
    LAST_DISTANCE,
    MOST_READ,
    UNREADABLE_DISTANCE,
    ArgumentsReader,
    call_of,
    distance,
)
from stellarstream_invoice_links.judging import Known
from stellarstream_nebula import bulk
from stellarstream_nebula.model import V2
from tests.invoice_links.kit import COIN, OTHER, RECEIVER, TWO
from tests.invoice_links.settle_kit import (
    BEGAN,
    HOUR,
    PAYER,
    START,
    Payments,
    ask,
    create_arguments,
    index,
    parsed_hash,
    raw,
    read_arguments,
    stored_creations,
    told,
)
from tests.nebula.relay_kit import PASSPHRASE, PUBNET, bumped, drafted, signed, wallet


@pytest.fixture
def payments() -> Payments:
    return Payments()


@pytest.fixture
def wanted(storage, payments):
    """Return a link and a payment that names it, indexed, whose call no node tells."""
    link = ask(storage)
    paid = payments.pay(link, memo=link.slug)
    payments.chain.fate.clear()
    payments.chain.ledger = paid.event.ledger + 10
    index(storage, payments, START, payments.last)
    return link, paid


def asked(payments) -> int:
    return payments.chain.asked.get("transaction", 0)


def known(storage) -> list[Known]:
    return [one.known for one in stored_creations(storage)]


def tries(storage) -> list[tuple[int, int, int]]:
    sql = "SELECT wanted, tries, next_try FROM invoice_creations ORDER BY event_id"
    return storage.read(lambda database: bulk.query(database, sql))


class TestWhatIsAskedFor:
    def test_only_what_may_pay_a_link(self, storage, payments):
        link = ask(storage, amount=1_000)
        payments.pay(link, gross=10)
        payments.pay(link, duration=HOUR + 1)
        payments.pay(link, receiver=OTHER)
        payments.pay(receiver=wallet(9).public_key)
        index(storage, payments, START, payments.last)
        read_arguments(storage, payments.chain)
        assert asked(payments) == 0

    def test_what_costs_a_fee_up_to_five_percent(self, storage, payments):
        link = ask(storage, amount=1_000)
        payments.pay(link, fee=50)
        index(storage, payments, START, payments.last)
        read_arguments(storage, payments.chain)
        assert told(storage, link) == [("terms", "completed")]

    def test_nothing_twice(self, storage, payments):
        link = ask(storage)
        payments.pay(link, memo=link.slug)
        payments.pay(link)
        index(storage, payments, START, payments.last)
        for _ in range(3):
            read_arguments(storage, payments.chain)
        assert asked(payments) == 2
        assert known(storage) == [Known.KNOWN] * 2

    def test_a_transaction_with_several_streams_once(self, storage, payments):
        link = ask(storage)
        paid = payments.pay(link, memo=link.slug)
        for number in range(3):
            payments.ledgers.same().create(TWO, 90 + number, OTHER, RECEIVER, COIN, 995, lasts=HOUR)
            payments.ledgers.events[-1] = payments.ledgers.events[-1]._replace(tx_hash=paid.hash)
        index(storage, payments, START, payments.last)
        read_arguments(storage, payments.chain)
        assert asked(payments) == 1
        assert set(known(storage)) == {Known.KNOWN, Known.OTHER}

    def test_the_newest_and_those_that_wait_longest_and_no_more_than_fit_a_round(self, storage, payments):
        link = ask(storage)
        made = [
            payments.ledgers.create(TWO, number, PAYER.public_key, RECEIVER, COIN, 995, lasts=HOUR, memo=link.slug)
            for number in range(MOST_READ + 20)
        ]
        index(storage, payments, START, payments.last)
        heard = []
        transaction = payments.chain.transaction

        async def hear(tx_hash):
            heard.append(tx_hash)
            return await transaction(tx_hash)

        payments.chain.transaction = hear
        read_arguments(storage, payments.chain)
        half = MOST_READ // 2
        hashes = [event.tx_hash for event in made]
        assert sorted(heard) == sorted(hashes[:half] + hashes[-half:])

    def test_nothing_where_no_node_is_configured(self, storage, wanted):
        read_arguments(storage, None)
        assert known(storage) == [Known.UNKNOWN]


class TestWhenAgain:
    def test_what_a_node_does_not_have_yet_at_growing_distances(self, storage, payments, wanted):
        now = BEGAN
        for number in range(4):
            read_arguments(storage, payments.chain, now=now)
            assert (asked(payments), tries(storage)[0][1:]) == (
                number + 1,
                (number + 1, now + FIRST_DISTANCE * 2**number),
            )
            now += FIRST_DISTANCE * 2**number
            read_arguments(storage, payments.chain, now=now - 1)
            assert asked(payments) == number + 1
        link, paid = wanted
        payments.keep(paid.hash, paid.event.ledger, paid.text)
        read_arguments(storage, payments.chain, now=now)
        assert told(storage, link) == [("memo", "completed")]

    def test_never_more_than_an_hour(self):
        assert [distance(tries) for tries in (0, 1, 9, 10, 1_000)] == [5, 10, 2_560, LAST_DISTANCE, LAST_DISTANCE]

    def test_what_is_not_kept_any_more_is_unreadable_and_asked_for_once_a_day(self, storage, payments, wanted):
        link, paid = wanted
        gone = ChainTransaction(TransactionStatus.NOT_FOUND, paid.event.ledger + 500, 1, paid.event.ledger + 1)
        payments.chain.fate[paid.hash] = gone
        read_arguments(storage, payments.chain)
        assert known(storage) == [Known.UNREADABLE]
        assert told(storage, link) == [("memo", "unverified")]
        read_arguments(storage, payments.chain, now=BEGAN + UNREADABLE_DISTANCE - 1)
        assert asked(payments) == 1
        payments.keep(paid.hash, paid.event.ledger, paid.text)
        read_arguments(storage, payments.chain, now=BEGAN + UNREADABLE_DISTANCE)
        assert told(storage, link) == [("memo", "completed")]

    def test_the_oldest_ledger_that_a_node_keeps_is_kept(self, storage, payments, wanted):
        _, paid = wanted
        gone = ChainTransaction(TransactionStatus.NOT_FOUND, paid.event.ledger + 500, 1, paid.event.ledger)
        payments.chain.fate[paid.hash] = gone
        read_arguments(storage, payments.chain)
        assert known(storage) == [Known.UNKNOWN]

    def test_where_nobody_answers_everything_stays_as_it_is(self, storage, payments, wanted):
        link, paid = wanted
        before = tries(storage)
        payments.chain.down = True
        reader = ArgumentsReader(now=lambda: BEGAN)
        for _ in range(3):
            read_arguments(storage, payments.chain, reader=reader)
        assert tries(storage) == before
        payments.chain.down = False
        payments.keep(paid.hash, paid.event.ledger, paid.text)
        read_arguments(storage, payments.chain, reader=reader)
        assert told(storage, link) == [("memo", "completed")]

    def test_where_nobody_answers_not_everything_is_asked_for(self, storage, payments):
        link = ask(storage)
        for _ in range(20):
            payments.pay(link, memo=link.slug)
        index(storage, payments, START, payments.last)
        payments.chain.down = True
        read_arguments(storage, payments.chain)
        assert asked(payments) <= 4

    def test_an_answer_that_cannot_be_right_holds_up_no_other(self, storage, payments):
        links = [ask(storage), ask(storage)]
        wrong, _ = (payments.pay(link, memo=link.slug) for link in links)
        index(storage, payments, START, payments.last)
        transaction = payments.chain.transaction

        async def answer(tx_hash):
            if tx_hash == wrong.hash:
                raise SourceMisbehavedError("It sent nonsense.")
            return await transaction(tx_hash)

        payments.chain.transaction = answer
        read_arguments(storage, payments.chain)
        assert [told(storage, link) for link in links] == [[("memo", "unverified")], [("memo", "completed")]]
        assert tries(storage)[0] == (1, 1, BEGAN + FIRST_DISTANCE)

    @pytest.mark.parametrize("status", [TransactionStatus.SUCCESS, TransactionStatus.FAILED])
    def test_an_answer_without_an_envelope_is_no_answer(self, storage, payments, wanted, status):
        _, paid = wanted
        payments.chain.fate[paid.hash] = ChainTransaction(status, 10**6, BEGAN, 1, paid.event.ledger, b"")
        read_arguments(storage, payments.chain)
        assert known(storage) == [Known.UNKNOWN]
        assert tries(storage)[0][1] == 1

    @pytest.mark.parametrize("text", ["another", "cut"])
    def test_an_envelope_that_is_not_the_transactions_is_not_believed(self, storage, payments, wanted, text):
        link, paid = wanted
        envelope = xdr.TransactionEnvelope.from_xdr(payments.pay(link).text).to_xdr_bytes()
        if text == "cut":
            envelope = xdr.TransactionEnvelope.from_xdr(paid.text).to_xdr_bytes()[:-4]
        ledger = paid.event.ledger
        payments.chain.fate[paid.hash] = ChainTransaction(
            TransactionStatus.SUCCESS, 10**6, BEGAN, 1, ledger, b"", (), envelope
        )
        read_arguments(storage, payments.chain)
        assert known(storage) == [Known.UNREADABLE]
        assert told(storage, link) == [("memo", "unverified")]


class TestEnvelopes:
    def _bytes(self, text: str) -> bytes:
        return xdr.TransactionEnvelope.from_xdr(text).to_xdr_bytes()

    def test_a_call_is_taken_out_of_its_transaction(self):
        arguments = create_arguments(V2, gross=5)
        text = signed(drafted(TWO, "create_stream", arguments=arguments), PAYER)
        assert call_of(self._bytes(text), parsed_hash(text), PASSPHRASE) == (TWO, "create_stream", raw(arguments))

    @pytest.mark.parametrize("named", ["outer", "inner"])
    def test_and_out_of_one_in_a_fee_bump(self, named):
        arguments = create_arguments(V2)
        inner = drafted(TWO, "create_stream", arguments=arguments)
        inner_text = signed(inner, PAYER)
        text = signed(bumped(inner, wallet(3)), wallet(3))
        tx_hash = parsed_hash(text if named == "outer" else inner_text)
        assert call_of(self._bytes(text), tx_hash, PASSPHRASE) == (TWO, "create_stream", raw(arguments))

    def test_who_lends_an_account_for_the_transaction_does_not_matter(self):
        """The network has looked at who signed; what is relayed here is looked at more strictly."""
        arguments = create_arguments(V2)
        plain = drafted(TWO, "create_stream", arguments=arguments).transaction.operations[0]
        lent = InvokeHostFunction(plain.host_function, auth=[], source=wallet(4).public_key)
        text = signed(drafted(operations=[lent]), PAYER)
        assert call_of(self._bytes(text), parsed_hash(text), PASSPHRASE) == (TWO, "create_stream", raw(arguments))

    def test_what_is_no_call_has_none(self):
        upload = InvokeHostFunction(
            xdr.HostFunction(xdr.HostFunctionType.HOST_FUNCTION_TYPE_UPLOAD_CONTRACT_WASM, wasm=b"code")
        )
        pay = Payment(wallet(1).public_key, Asset.native(), "1")
        for operations in ([upload], [pay], [pay, pay]):
            text = signed(drafted(operations=operations), PAYER)
            assert call_of(self._bytes(text), parsed_hash(text), PASSPHRASE) is None

    def test_one_for_another_network_is_another_transaction(self):
        text = signed(drafted(passphrase=PUBNET), PAYER)
        with pytest.raises(ValueError, match="another transaction"):
            call_of(self._bytes(text), drafted(passphrase=PUBNET).hash_hex(), PASSPHRASE)

    @given(st.binary(max_size=200))
    def test_bytes_of_any_kind_are_refused(self, envelope):
        with pytest.raises(ValueError, match="envelope"):
            call_of(envelope, "ab" * 32, PASSPHRASE)

    def test_a_value_that_is_nested_too_deeply_is_refused(self):
        invoke = drafted(TWO, "create_stream", arguments=[scval.to_void()])
        flat = invoke.to_xdr_object().to_xdr_bytes()
        deep = (b"\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x00\x01" * 1_500) + b"\x00\x00\x00\x01"
        at = flat.index(b"create_stream") + 16
        envelope = flat[: at + 4] + deep + flat[at + 8 :]
        with pytest.raises(ValueError, match="depth"):
            call_of(envelope, "ab" * 32, PASSPHRASE)
