from __future__ import annotations

import pytest

from tests.invoice_links.settle_kit import *
from tests.invoice_links.kit import *

def test_smoke(storage):
    payments = Payments()
    link = ask(storage)
    paid = payments.pay(link, memo=link.slug)
    index(storage, payments, START, payments.last)
    print(outcomes(storage, link))
    read_all_arguments(storage, payments.chain)
    print(outcomes(storage, link), completed(storage), judged(storage))
    link2 = ask(storage)
    print(storage.read(lambda d: bulk.query(d, "select after_ledger, open_until, own, amount_key from invoice_links")))
    p2 = payments.pay(link2)
    submit(storage, link2, p2, payments.now)
    index(storage, payments, payments.last, payments.last)
    print(outcomes(storage, link2), completed(storage))
    rebuild(storage)
    print(verdicts(storage))
    assert verdicts(storage) == judged(storage).verdicts
