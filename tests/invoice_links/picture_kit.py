"""What the tests of pictures share: tokens that say what they like, and eyes that read PNG, SVG and PDF."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import pypdf
import typst
import zxingcpp
from stellar_sdk import TransactionEnvelope, scval, xdr

from stellarstream_core.chain import Simulation
from stellarstream_core.testing.chain import ScriptedChain
from stellarstream_core.xdr.strkey import VERSION_CONTRACT, encode
from tests.nebula.relay_kit import PASSPHRASE

COIN_SAYS = {"decimals": scval.to_uint32(7), "symbol": scval.to_string("USDC"), "name": scval.to_string("US Dollar")}
"""What an honest token answers."""


class TokenChain(ScriptedChain):
    """A chain of tokens: ``tokens`` are their answers by contract and function; what is not there fails."""

    def __init__(self, tokens: Mapping[str, Mapping[str, xdr.SCVal]] | None = None) -> None:
        super().__init__()
        self.tokens = dict(tokens or {})
        self.simulation = self._answer

    def _answer(self, envelope: bytes) -> Simulation:
        made = TransactionEnvelope.from_xdr(xdr.TransactionEnvelope.from_xdr_bytes(envelope).to_xdr(), PASSPHRASE)
        call = made.transaction.operations[0].host_function.invoke_contract
        contract = encode(VERSION_CONTRACT, call.contract_address.contract_id.contract_id.hash)
        answer = self.tokens.get(contract, {}).get(call.function_name.sc_symbol.decode())
        if answer is None:
            return Simulation(self.ledger, error="HostError: Error(WasmVm, MissingValue)")
        return Simulation(self.ledger, data=b"data", result=answer.to_xdr_bytes())


# --- pixels -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pixels:
    """A picture in grey: a byte a pixel, row by row."""

    width: int
    height: int
    grey: bytes

    def at(self, x: int, y: int) -> int:
        return self.grey[y * self.width + x]


def read_png(raw: bytes) -> Pixels:
    """Return the picture of a PNG: grey of 1 or 8 bits, or colours of 8 bits with or without transparency."""
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    chunks: dict[bytes, bytes] = {}
    at = 8
    while at < len(raw):
        (length,) = struct.unpack_from(">I", raw, at)
        kind, body = raw[at + 4 : at + 8], raw[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack_from(">I", raw, at + 8 + length)[0]
        chunks[kind] = chunks.get(kind, b"") + body
        at += 12 + length
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (interlaced, (colour, depth) in {(0, 1), (0, 8), (2, 8), (6, 8)}) == (0, True)
    channels = {0: 1, 2: 3, 6: 4}[colour]
    data, stride = zlib.decompress(chunks[b"IDAT"]), (width * channels * depth + 7) // 8
    grey, before, step = bytearray(), bytearray(stride), max(1, channels * depth // 8)
    for y in range(height):
        start = y * (stride + 1)
        line = bytearray(data[start + 1 : start + 1 + stride])
        _unfilter(data[start], line, before, step)
        if depth == 1:
            grey += bytes(255 * (line[x >> 3] >> (7 - (x & 7)) & 1) for x in range(width))
        else:
            grey += line[::channels]  # black and white: red says it all
        before = line
    return Pixels(width, height, bytes(grey))


def _unfilter(kind: int, line: bytearray, before: bytearray, step: int) -> None:
    if kind == 0 or (kind == 2 and not any(before)):
        return
    for x in range(len(line)):
        left, up = line[x - step] if x >= step else 0, before[x]
        corner = before[x - step] if x >= step else 0
        if kind == 4:
            guess = left + up - corner
            guess = min((left, up, corner), key=lambda value: abs(guess - value))
        else:
            guess = {1: left, 2: up, 3: (left + up) // 2}[kind]
        line[x] = (line[x] + guess) & 0xFF


def scanned(picture: Pixels) -> list[str]:
    """Return what the codes in a picture say."""
    view = memoryview(picture.grey).cast("B", shape=[picture.height, picture.width])
    return [code.text for code in zxingcpp.read_barcodes(view)]


def drawn(svg: bytes, *, around: str = "white", pixels: int = 300) -> Pixels:
    """Return an SVG as typst draws it, on a page of a colour that shows 30 pixels around it."""
    page = f"#set page(width: {pixels + 60}pt, height: {pixels + 60}pt, margin: 30pt, fill: {around})\n"
    image = f'#image(bytes(sys.inputs.svg), format: "svg", width: {pixels}pt)'
    made = typst.compile((page + image).encode(), format="png", ppi=72, sys_inputs={"svg": svg.decode()})
    return read_png(made)


# --- PDF --------------------------------------------------------------------------------------------


def pdf_text(pdf: bytes) -> str:
    """Return the text of a PDF as it is read, its white space as single spaces."""
    pages = pypdf.PdfReader(io.BytesIO(pdf)).pages
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pages))


def squeezed(text: str) -> str:
    """Return a text without white space: where lines end is the page's business."""
    return re.sub(r"\s+", "", text)
