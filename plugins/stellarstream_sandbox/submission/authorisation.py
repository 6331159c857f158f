"""Who has authorised a contract call: written down in a simulation, checked when the call is made.

The rules are soroban-env-host's. Each address that a contract asks (``require_auth``) needs a tree of calls whose
root is the call that asks first; what is asked further below must stand in the same tree, or be the root of a tree
of its own. Each tree serves once. An account's signatures hold where their weights reach its medium threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from stellarstream_core.errors import XdrError
from stellarstream_core.xdr.scval import Arm, decode_native, decode_scval
from stellarstream_sandbox import scval
from stellarstream_sandbox import values as v
from stellarstream_sandbox.economy import calls
from stellarstream_sandbox.economy.world import World
from stellarstream_sandbox.pack import ONE, ZERO, array, i64, u32
from stellarstream_sandbox.scval import address, symbol
from stellarstream_sandbox.submission.incoming import AuthEntry, AuthTree, Invocation
from stellarstream_sandbox.submission.signatures import MEDIUM, signers_of, verifies

_CONTRACT_FN = ZERO
_SOURCE_ACCOUNT = ZERO
_ADDRESS = ONE
_UNSIGNED = u32(Arm.VOID)
_CONTRACT_DATA = u32(6)
_TEMPORARY = ZERO
_MAX_SIGNATURES = 20

Nonces = set[tuple[str, int]]
"""The nonces that were used, by address."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Somebody whom a contract asks for authorisation of a call. ``is_root``: the call that the transaction makes."""

    address: str
    call: Invocation
    is_root: bool = False


@dataclass(frozen=True, slots=True)
class Unauthorised:
    """A demand that nothing meets; ``why`` is the host's message and ``about`` what it adds, as ScVals."""

    demand: Demand
    why: str
    about: tuple[bytes, ...] = ()


def plain(call: calls.Invocation) -> Invocation:
    """Return a call of the simulation as its bytes."""
    return Invocation(call.contract, call.function, tuple(scval.encode(arg) for arg in call.args))


def root_demands(root: Invocation, authorisers: Sequence[str]) -> list[Demand]:
    """Return what the called contract asks."""
    return [Demand(one, root, True) for one in dict.fromkeys(authorisers)]


def lower_demands(root: Invocation, authorisers: Sequence[str], pulls: Sequence[calls.Invocation]) -> Iterator[Demand]:
    """Yield what contracts below the called one ask, such as a token whose tokens are taken.

    What the called contract itself is asked, it has authorised by calling.
    """
    for pull in pulls:
        named = [arg.strkey for arg in pull.args if isinstance(arg, v.Address)]
        owner = next((one for one in named if one in authorisers), named[0] if named else None)
        if owner is not None and owner != root.contract:
            yield Demand(owner, plain(pull))


# --- recording ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a call needs: ``SorobanAuthorizationEntry`` XDR, and the ``LedgerKey`` of each nonce among them."""

    entries: tuple[bytes, ...]
    nonces: tuple[bytes, ...]


def record(demands: Sequence[Demand], source: str, salt: bytes) -> Recorded:
    """Return the unsigned entries that meet the demands: the source's by the transaction, others by a nonce.

    Nonces follow from ``salt``, so that the same simulation gives the same ones.
    """
    trees: dict[str, list[tuple[Invocation, list[Invocation]]]] = {}
    for demand in demands:
        of_address = trees.setdefault(demand.address, [])
        if demand.is_root or not of_address:
            of_address.append((demand.call, []))
        else:
            of_address[0][1].append(demand.call)
    entries: list[bytes] = []
    nonces: list[bytes] = []
    for who, roots in trees.items():
        for root, below in roots:
            credentials = _SOURCE_ACCOUNT
            if who != source:
                seed = sha256(salt + who.encode() + len(entries).to_bytes(4, "big")).digest()
                nonce = i64(int.from_bytes(seed[:8], "big", signed=True))
                credentials = _ADDRESS + address(who) + nonce + ZERO + _UNSIGNED
                nonces.append(_CONTRACT_DATA + address(who) + u32(Arm.LEDGER_KEY_NONCE) + nonce + _TEMPORARY)
            leaves = array([_CONTRACT_FN + invocation_xdr(one) + ZERO for one in below])
            entries.append(credentials + _CONTRACT_FN + invocation_xdr(root) + leaves)
    return Recorded(tuple(entries), tuple(nonces))


def invocation_xdr(call: Invocation) -> bytes:
    """Return ``InvokeContractArgs``."""
    return address(call.contract) + symbol(call.function) + array(call.args)


# --- checking -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tracker:
    """An entry while a call is made: the leaves of its tree that are still to be used, once its root was met."""

    entry: AuthEntry
    is_active: bool = False
    left: list[AuthTree] = field(default_factory=list)


class Checker:
    """Holds the demands of one call against the entries that came with it.

    ``sequence`` is the ledger in which the call is made, ``source`` the account whose signatures under the
    transaction count. :attr:`used` are the nonces that have to be noted where the call succeeds.
    """

    def __init__(self, world: World, entries: Sequence[AuthEntry], source: str, sequence: int, nonces: Nonces) -> None:
        self._world = world
        self._source = source
        self._sequence = sequence
        self._nonces = nonces
        self._trackers = [_Tracker(entry) for entry in entries]
        self.used: Nonces = set()

    def check(self, demands: Sequence[Demand]) -> Unauthorised | None:
        """Return the first demand that is not met, None where all are."""
        for demand in demands:
            if (fault := self._meet(demand)) is not None:
                return fault
        return None

    def _meet(self, demand: Demand) -> Unauthorised | None:
        mine = [one for one in self._trackers if (one.entry.address or self._source) == demand.address]
        for tracker in mine:
            if tracker.is_active and (found := _below(tracker.left, demand.call)) is not None:
                tracker.left.remove(found)
                tracker.left.extend(found.below)
                return None
        for tracker in mine:
            tree = tracker.entry.tree
            if not tracker.is_active and tree.call == demand.call:
                tracker.is_active = True
                tracker.left = list(tree.below)
                return self._authenticate(demand, tracker.entry)
        who = scval.encode(v.Address(demand.address))
        return Unauthorised(demand, "Unauthorized function call for address", (who,))

    def _authenticate(self, demand: Demand, entry: AuthEntry) -> Unauthorised | None:
        if entry.address is None:
            return None
        who = scval.encode(v.Address(entry.address))
        if entry.expires < self._sequence:
            bounds = scval.encode(v.U32(self._sequence)), scval.encode(v.U32(entry.expires))
            return Unauthorised(demand, "signature has expired", (who, *bounds))
        nonce = entry.address, entry.nonce
        if nonce in self._nonces or nonce in self.used:
            return Unauthorised(demand, "nonce already exists for address", (who,))
        if not self._is_signed(entry):
            return Unauthorised(demand, "failed account authentication", (who,))
        self.used.add(nonce)
        return None

    def _is_signed(self, entry: AuthEntry) -> bool:
        """Tell whether an account's signatures hold. Contracts that are accounts are not simulated: theirs never do."""
        account = self._world.accounts.get(entry.address or "")
        if account is None or entry.payload is None:
            return False
        weights = {key[4:]: weight for key, weight in signers_of(account) if key[:4] == ZERO}
        weight = 0
        previous = b""
        signatures = _signatures(entry.signature)
        for public_key, signature in signatures:
            # each key once, in ascending order
            if public_key <= previous or public_key not in weights:
                return False
            if not verifies(public_key, entry.payload, signature):
                return False
            previous = public_key
            weight += weights[public_key]
        return bool(signatures) and weight >= account.thresholds[MEDIUM]


def _below(left: Sequence[AuthTree], call: Invocation) -> AuthTree | None:
    return next((tree for tree in left if tree.call == call), None)


def _signatures(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Return public keys and signatures out of what an account's credentials carry; none where it is anything else."""
    try:
        if decode_scval(raw).arm is not Arm.VEC:
            return []
        found = []
        for item in decode_native(raw):
            fields = dict(item)
            key, signature = fields["public_key"], fields["signature"]
            if len(fields) != 2 or not isinstance(key, bytes) or not isinstance(signature, bytes):
                return []
            found.append((key, signature))
    except (XdrError, TypeError, ValueError, KeyError):
        return []
    return found if len(found) <= _MAX_SIGNATURES else []
