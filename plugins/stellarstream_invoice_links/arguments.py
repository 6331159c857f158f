"""What a call of ``create_stream`` asks for, read from its own arguments, and whether that is what a link asks for.

Arguments are XDR of ScVals, as the transaction has them. They are read strictly: what is not exactly the call that
this service builds is not ``plain``, whatever else it may be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from stellarstream_core.errors import StellarStreamError
from stellarstream_core.xdr.scval import Arm, ScValue, decode_scval, encode_scval
from stellarstream_invoice_links.model import LinkTerms
from stellarstream_nebula.model import V1, V2
from stellarstream_nebula.transactions import calls

CREATE = "create_stream"
"""The function that creates one stream, in both families."""
_VEC = int(Arm.VEC).to_bytes(4, "big") + (1).to_bytes(4, "big")
_Fields = Mapping[str, ScValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTerms:
    """What a call of ``create_stream`` says. ``gross`` is what the payer pays; times are Unix seconds.

    ``plain``: it is the very call that :func:`stellarstream_nebula.transactions.calls.create` makes for these terms, to
    the byte: linear, without yield, splits, penalties, cycles, steps, an affiliate or a soulbound receipt.
    """

    contract: str
    family: str
    sender: str
    receiver: str
    token: str
    gross: int
    duration: int
    start: int
    cliff: int
    memo: str | None
    plain: bool

    @property
    def basis(self) -> str:
        """A digest (64 hex digits) of what it has in common with a link that it pays; see :func:`basis_of`."""
        return basis_of(self.contract, self.receiver, self.token, self.gross, self.duration)


def basis_of(contract: str, receiver: str, token: str, amount: int, duration: int) -> str:
    """Return a digest (64 hex digits) of terms without start and cliff, which a link may leave to the payer."""
    parts = (contract, receiver, token, str(amount), str(duration))
    return sha256("|".join(parts).encode()).hexdigest()


def arguments_of(contract: str, family: str, function: str, arguments: Sequence[bytes]) -> CallTerms | None:
    """Return what a call says; None where it is no ``create_stream`` that can be read. It never raises for bytes."""
    read = _READ.get(family)
    if read is None or function != CREATE:
        return None
    try:
        fields = read([decode_scval(argument) for argument in arguments])
    except StellarStreamError:  # what is no ScVal of this protocol
        return None
    return None if fields is None else _terms(contract, family, tuple(arguments), fields)


def fits(terms: LinkTerms, told: CallTerms) -> bool:
    """Tell whether a call asks for what a link asks for in all but the amount. Sender and memo are the payer's.

    A link without a start takes any; one without a cliff takes none but the start.
    """
    return (
        told.plain
        and (told.contract, told.family) == (terms.contract, terms.family)
        and (told.receiver, told.token, told.duration) == (terms.receiver, terms.token, terms.duration)
        and (terms.start is None or told.start == terms.start)
        and told.cliff == (told.start if terms.cliff is None else terms.cliff)
    )


def fingerprints_of(told: CallTerms, *, named_start: bool = False) -> list[str]:
    """Return the fingerprints (:attr:`LinkTerms.fingerprint`) of all links that a call fits, amount and all.

    With ``named_start`` those alone whose links do not leave the start to the payer.
    """
    starts = (told.start,) if named_start else (told.start, None)
    cliffs = (told.cliff, None) if told.cliff == told.start else (told.cliff,)
    return [
        LinkTerms(
            contract=told.contract,
            family=told.family,
            receiver=told.receiver,
            token=told.token,
            amount=told.gross,
            duration=told.duration,
            start=start,
            cliff=cliff,
        ).fingerprint
        for start in starts
        for cliff in cliffs
    ]


def pack(arguments: Sequence[bytes]) -> bytes:
    """Return arguments as one: the XDR of a vec of them."""
    return b"".join((_VEC, len(arguments).to_bytes(4, "big"), *arguments))


def unpack(raw: bytes) -> tuple[bytes, ...]:
    """Return the arguments that :func:`pack` made one. Raises ``XdrError`` where it is no ScVal, and ``ValueError``."""
    value = decode_scval(raw)
    if value.arm is not Arm.VEC or not isinstance(value.value, tuple):
        raise ValueError("packed arguments are a vec")
    return tuple(encode_scval(item) for item in value.value)


# --- within -----------------------------------------------------------------------------------------


def _v1_fields(values: Sequence[ScValue]) -> _Fields | None:
    names = ("sender", "receiver", "token", "total_amount", "start_time", "cliff_time", "end_time")
    return dict(zip(names, values, strict=False)) if len(values) >= len(names) else None


def _v2_fields(values: Sequence[ScValue]) -> _Fields | None:
    if len(values) != 1 or values[0].arm is not Arm.MAP or values[0].value is None:
        return None
    pairs: Sequence[tuple[ScValue, ScValue]] = values[0].value
    fields = {key.value: value for key, value in pairs if key.arm is Arm.SYMBOL and isinstance(key.value, str)}
    return fields if len(fields) == len(pairs) else None


_READ: Mapping[str, Callable[[Sequence[ScValue]], _Fields | None]] = {V1: _v1_fields, V2: _v2_fields}


def _terms(contract: str, family: str, arguments: tuple[bytes, ...], fields: _Fields) -> CallTerms | None:
    sender, receiver, token = (_text(fields, name, Arm.ADDRESS) for name in ("sender", "receiver", "token"))
    gross = _number(fields, "total_amount", Arm.I128)
    start, cliff, end = (_number(fields, name, Arm.U64) for name in ("start_time", "cliff_time", "end_time"))
    memo = _text(fields, "memo", Arm.SYMBOL)
    if memo is None and "memo" in fields and fields["memo"].arm is not Arm.VOID:
        return None
    if sender is None or receiver is None or token is None:
        return None
    if gross is None or start is None or cliff is None or end is None:
        return None
    stream = calls.Terms(
        sender=sender, receiver=receiver, token=token, amount=gross, start=start, cliff=cliff, end=end, memo=memo
    )
    return CallTerms(
        contract=contract,
        family=family,
        sender=sender,
        receiver=receiver,
        token=token,
        gross=gross,
        duration=end - start,
        start=start,
        cliff=cliff,
        memo=memo,
        plain=arguments == _built(contract, family, stream),
    )


def _built(contract: str, family: str, stream: calls.Terms) -> tuple[bytes, ...] | None:
    """Return the arguments with which this service would create a stream; None where it would not."""
    try:
        return calls.create(contract, family, stream).arguments
    except (StellarStreamError, ValueError):
        return None


def _text(fields: _Fields, name: str, arm: Arm) -> str | None:
    value = fields.get(name)
    return value.value if value is not None and value.arm is arm and isinstance(value.value, str) else None


def _number(fields: _Fields, name: str, arm: Arm) -> int | None:
    value = fields.get(name)
    return value.value if value is not None and value.arm is arm and isinstance(value.value, int) else None
