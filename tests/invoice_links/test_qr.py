"""Codes read back to exactly the address, as SVG and PNG, whatever colour is around them."""

from __future__ import annotations

import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import segno

from stellarstream_invoice_links.qr import LARGEST, SMALLEST, qr_png, qr_svg
from tests.invoice_links.picture_kit import drawn, read_png, scanned

ADDRESSES = [
    "https://api.example.com/invoice/AbCdEfGhIj12",
    "http://localhost:3000/invoice/000000000000",
    "https://a-very-long-domain-name-of-a-service.example.com/below/some/path/invoice/zzzzzzzzzzzz",
    "https://example.com/" + "p/" * 300 + "invoice/AbCdEfGhIj12",
]
ADDRESS = ADDRESSES[0]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_svg_reads_back_to_the_address(address):
    assert scanned(drawn(qr_svg(address))) == [address]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("size", [512, 1_000])
def test_a_png_reads_back_to_the_address(address, size):
    picture = read_png(qr_png(address, size))
    assert scanned(picture) == [address]
    assert picture.width == picture.height <= size


@pytest.mark.parametrize("size", [SMALLEST, 129, 511, LARGEST])
def test_a_png_is_as_large_as_fits_in_whole_pixels_a_module(size):
    picture = read_png(qr_png(ADDRESS, size))
    modules = segno.make(ADDRESS, error="m", boost_error=False, micro=False).symbol_size(border=4)[0]
    assert picture.width % modules == 0
    assert size - modules < picture.width <= size


def test_a_code_is_readable_on_a_dark_page():
    picture = drawn(qr_svg(ADDRESS), around="black")
    assert scanned(picture) == [ADDRESS]
    assert picture.at(5, 5) == 0
    assert picture.at(33, 33) == 255  # the quiet zone is the code's own


def test_a_code_with_a_blot_is_still_read():
    assert segno.make(ADDRESS, error="m", boost_error=False, micro=False).error == "M"
    picture = read_png(qr_png(ADDRESS, 512))
    spot = bytearray(picture.grey)
    for y in range(220, 270):  # a blot in the middle
        spot[y * picture.width + 220 : y * picture.width + 270] = b"\0" * 50
    assert scanned(type(picture)(picture.width, picture.height, bytes(spot))) == [ADDRESS]


def test_an_svg_holds_nothing_but_shapes_and_its_title():
    root = ElementTree.fromstring(qr_svg(ADDRESS))
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {"svg", "title", "g", "path"}
    assert {name for element in root.iter() for name in element.attrib} <= {
        "viewBox",
        "transform",
        "d",
        "fill",
        "stroke",
    }
    assert root.attrib["viewBox"]
    assert b"#fff" in qr_svg(ADDRESS)


def test_a_title_is_no_markup():
    svg = qr_svg('https://example.com/"><script>alert(1)</script>&')
    assert b"<script" not in svg
    ElementTree.fromstring(svg)


def test_a_code_has_the_same_bytes_each_time_and_everywhere():
    program = (
        "import sys; from hashlib import sha256; from stellarstream_invoice_links.qr import qr_png, qr_svg; "
        f"print(sha256(qr_svg({ADDRESS!r}) + qr_png({ADDRESS!r}, 300)).hexdigest())"
    )
    found = set()
    for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo")):
        env = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
        found.add(subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True).stdout)
    assert len(found) == 1
    assert qr_svg(ADDRESS) == qr_svg(ADDRESS)
    assert qr_svg(ADDRESS) != qr_svg(ADDRESSES[1])
