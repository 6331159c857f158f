"""The chain of checked ledgers across windows, sources and runs: only its open ends are kept.

A window of checked ledgers says the hash of its last ledger and of the one before its first. Both
are kept until the ledger is known from both sides, as checked itself and as the predecessor that the
next one names; whatever comes between must fit. So a gap between two checked stretches can only ever
be filled by ledgers that join them.
"""

from __future__ import annotations

from collections.abc import Sequence

from stellarstream_core.certificates import Breach, LedgerCertificate
from stellarstream_core.errors import ProofFailedError
from stellarstream_sql import statements
from stellarstream_sql.backend import Transaction


def join_chain(transaction: Transaction, certificates: Sequence[LedgerCertificate]) -> None:
    """Check consecutive certificates against the open ends, then move these.

    Raises :class:`ProofFailedError`, so that the transaction is undone, where an end does not fit.
    """
    if not certificates:
        return
    first, last = certificates[0], certificates[-1]
    before = first.sequence - 1
    known: dict[int, tuple[str, bool]] = {
        ledger: (found, bool(checked))
        for ledger, found, checked, _ in transaction.all(statements.LINKS_WITHIN, (before, last.sequence))
    }
    for ledger, (found, _) in known.items():
        claimed = first.previous_hash if ledger == before else certificates[ledger - first.sequence].hash
        if claimed != found:
            at = first.sequence if ledger == before else ledger
            raise ProofFailedError(at, Breach.CHAIN, f"it does not join the ledgers known around {ledger}")
    done = [ledger for ledger in known if before < ledger < last.sequence]
    if before in known and known[before][1]:
        done.append(before)
    elif before not in known:
        transaction.run(statements.INSERT_LINK, (before, first.previous_hash, 0, 1))
    if last.sequence in known and not known[last.sequence][1]:
        done.append(last.sequence)
    elif last.sequence not in known:
        transaction.run(statements.INSERT_LINK, (last.sequence, last.hash, 1, 0))
    if done:
        transaction.many(statements.DELETE_LINK, [(ledger,) for ledger in done])
