"""Types of parameters that several resources take."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from stellarstream_core.errors import InvalidStrkeyError
from stellarstream_core.xdr.strkey import VERSION_ACCOUNT, VERSION_CONTRACT, decode_address


def _party(text: str) -> str:
    try:
        version, _ = decode_address(text)
    except InvalidStrkeyError as error:
        raise ValueError(error.message) from None
    if version not in {VERSION_ACCOUNT, VERSION_CONTRACT}:
        raise ValueError("must be an account (G…) or a contract (C…)")
    return text


def _contract(text: str) -> str:
    if not _party(text).startswith("C"):
        raise ValueError("must be a contract (C…)")
    return text


Party = Annotated[str, Field(max_length=128, description="an account (G…) or a contract (C…)"), AfterValidator(_party)]
ContractId = Annotated[str, Field(max_length=128, description="a contract (C…)"), AfterValidator(_contract)]
