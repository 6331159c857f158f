"""A process that commits windows of a made history: ``python -m tests.sql.committer URL SEED FIRST LAST [LIES]``.

It prints a line before the first commit and one after each. Windows come in an order of the seed's, and overlap. With
``LIES`` every seventh event is offered with another value.
"""

from __future__ import annotations

import random
import sys
from contextlib import closing

from stellarstream_core.ranges import LedgerRange
from stellarstream_core.testing.scripted import made_history
from stellarstream_core.testing.storage_conformance import A, window
from tests.sql.conftest import open_url

FIRST, LAST = 1, 600
HISTORY = made_history(LedgerRange(FIRST, LAST), [A], seed=5)


def windows(seed: int, first: int, last: int, lies: bool = False) -> list:
    dice = random.Random(seed)
    starts = list(range(first, last + 1, 10))
    dice.shuffle(starts)
    made = []
    for start in starts:
        end = min(last, start + 9 + dice.randint(0, 5))
        events = [event for event in HISTORY if start <= event.ledger <= end]
        if lies:
            events = [e._replace(value=b"lie.") if int(e.tx_hash, 16) % 7 == 0 else e for e in events]
        made.append(window(start, end, events, source="liar" if lies else "one"))
    return made


def main(url: str, seed: str, first: str, last: str, lies: str = "") -> None:
    with closing(open_url(url)) as storage:
        to_commit = windows(int(seed), int(first), int(last), bool(lies))
        print("ready", flush=True)
        for one in to_commit:
            storage.commit(one)
            print("committed", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
