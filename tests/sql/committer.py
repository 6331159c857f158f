"""A process that commits windows of a made history: ``python -m tests.sql.committer URL SEED FIRST LAST [HOW]``.

It prints a line before the first commit and one after each. Windows come in an order of the seed's, and overlap. Where
``HOW`` is ``lies`` every seventh event is offered with another value; where it is ``in step`` each line fills a pipe of
one page, so that it is never more than two commits ahead of who reads it.
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
PAGE = 4096
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


def main(url: str, seed: str, first: str, last: str, how: str = "") -> None:
    width = PAGE - 1 if how == "in step" else 0
    with closing(open_url(url)) as storage:
        to_commit = windows(int(seed), int(first), int(last), how == "lies")
        print("ready".ljust(width), flush=True)
        for one in to_commit:
            storage.commit(one)
            print("committed".ljust(width), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
