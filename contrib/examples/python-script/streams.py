# %% [markdown]
# # The life of payment streams
#
# Cell by cell in an editor or notebook that knows `# %%`, or whole: `python streams.py`. `stellarstream demo` prints
# the two addresses that are needed. Accounts are made up on its simulated network, so nothing has to be prepared, and
# nothing is real.

# %% Where the service and its network are
import os
import time
import urllib.request
from contextlib import closing

from stellar_sdk import Keypair

from nebula_client import (
    InvoiceLinkStatus,
    NebulaClient,
    SecretKeySigner,
    StreamStatus,
    Submission,
    UnprocessableError,
    from_units,
    to_units,
    unlocked_at,
)

SERVICE = os.environ.get("NEBULA_SERVICE", "http://127.0.0.1:3000")
NETWORK = os.environ.get("NEBULA_NETWORK", "http://127.0.0.1:8000")
USDC = "CBXYHFR6QWVFATJ7P3XFJKBNFDIHAJTN6AAOEVK6C7FOF6OIZ6V63ZNJ"  # the token's contract on the simulated network


def usdc(units: str | int | None) -> str:
    """Return an amount as people read it."""
    return "unknown" if units is None else f"{from_units(units, 7)} USDC"


# %% Two people, each with an account, money and a client


def person(name: str) -> tuple[str, NebulaClient]:
    """Make an account up, and return it with a client that acts for it."""
    keys = Keypair.random()
    urllib.request.urlopen(f"{NETWORK}/friendbot?addr={keys.public_key}", timeout=30).close()
    print(f"{name:8} {keys.public_key}")
    return keys.public_key, NebulaClient(SERVICE, signer=SecretKeySigner(keys.secret))


alice, alices = person("Alice")
bob, bobs = person("Bob")

# %% Log in: one signature, which costs nothing. Calls that need it would do it by themselves
alices.login()
print("Alice has logged in.")

# %% Create a stream: 60 USDC to Bob over five minutes
kept: list[
    Submission
] = []  # told before anything is handed in: whoever keeps it can go on after a crash, and pays once
stream = alices.create_stream(
    receiver=bob,
    amount=to_units("60", 7),
    token_address=USDC,
    duration=300,
    memo="example",
    on_submitted=kept.append,
)
print(f"Stream {stream.id}: {usdc(stream.amount)} to Bob until {stream.end_time:%H:%M:%S}")
print(f"Transaction {kept[0].tx_hash}, ledger {stream.created_ledger}")

# %% Watch it: as it is, and again whenever something happens to it. Here Bob withdraws
with closing(alices.watch_stream(stream.id)) as changes:
    for stream in changes:
        print(f"  {stream.status}, withdrawn {usdc(stream.withdrawn)}")
        if int(stream.withdrawn or 0):
            break
        while not int(bobs.get_stream(stream.id).withdrawable or 0):
            time.sleep(0.5)
        bobs.withdraw_from_stream(stream.id)

# %% How it unlocks is known, so nobody has to be asked for it
stream = bobs.get_stream(stream.id)
for _ in range(3):
    print(f"  unlocked by now: {usdc(unlocked_at(stream))}")
    time.sleep(1)

# %% Bob withdraws again
stream = bobs.withdraw_from_stream(stream.id)
print(f"Bob withdrew, so far {usdc(stream.withdrawn)}")

# %% Bob asks to be paid by a link, Alice pays it
link = bobs.create_invoice_link(
    receiver=bob, amount=to_units("12.5", 7), token_address=USDC, duration=600, description="Design work, November"
)
print(f"Pay here: {link.pay_url}")
paid = alices.pay_invoice_link(link.slug)
assert paid.link.status == InvoiceLinkStatus.COMPLETED
print(f"Paid by stream {paid.stream.id}")

# %% Alice cancels the first stream: what is unlocked is Bob's, the rest is hers again
stream = alices.cancel_stream(stream.id)
assert stream.status == StreamStatus.CANCELED
print(f"Cancelled, with {usdc(stream.withdrawn)} paid out")
try:
    alices.cancel_stream(stream.id)
except UnprocessableError as error:
    print(f"A second time: {error}")

# %% What happened, by the audit log, and whether it is intact
history = alices.get_stream_history(stream.id)
for event in history.events:
    print(f"  ledger {event.ledger}  {event.event_type}")
print(f"The log is {alices.verify_history(stream.id).verdict}.")

# %% Everything that Bob is paid by
for one in bobs.iterate_streams(receiver=bob):
    print(f"  {one.id[-24:]}  {one.status:10} {usdc(one.amount)}")

# %% Done
alices.close()
bobs.close()
