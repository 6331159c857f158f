"""The invoice says every term and no status, takes any text for text, and is the same bytes each time."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import pypdf
import pytest
import typst
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stellarstream_invoice_links import invoice_pdf
from stellarstream_invoice_links.invoice_pdf import (
    MOST_WAITING,
    Document,
    InvoiceBusyError,
    Invoices,
    Typesetter,
    document_of,
    template,
)
from stellarstream_invoice_links.model import Link, LinkTerms, MatchedBy, Outcome, Payment
from stellarstream_invoice_links.qr import qr_svg
from stellarstream_invoice_links.tokens import TokenFacts
from tests.invoice_links.kit import COIN, OWNER, PAYER, PUBLIC, RECEIVER, TWO
from tests.invoice_links.picture_kit import pdf_text, read_png, scanned, squeezed

TERMS = LinkTerms(
    contract=TWO,
    family="v2",
    receiver=RECEIVER,
    token=COIN,
    amount=12_345_678_900_001,
    duration=30 * 86_400,
    start=1_780_000_000,
    cliff=1_780_086_400,
)
LINK = Link(
    id="00000000-0000-4000-8000-000000000000",
    slug="AbCdEfGhIj12",
    owner=OWNER,
    terms=TERMS,
    description="Website redesign, first half",
    pdf_url="https://example.org/offer.pdf",
    expires_at=1_779_000_000,
    created_at=1_778_000_000,
    updated_at=1_778_000_500,
)
TOKEN = TokenFacts(COIN, 7, "USDC", "US Dollar", 100)
ADDRESS = f"{PUBLIC}/invoice/AbCdEfGhIj12"
NOTE = "Letters that this document has no font for are boxes"


@pytest.fixture(scope="module")
def typesetter() -> Typesetter:
    return Typesetter()


def text_of(typesetter: Typesetter, link: Link = LINK, token: TokenFacts | None = TOKEN) -> str:
    return pdf_text(typesetter.pdf(document_of(link, token, PUBLIC)))


def described(description: str) -> Link:
    return replace(LINK, description=description)


# --- what it says -----------------------------------------------------------------------------------


def test_it_says_every_term(typesetter):
    text = text_of(typesetter)
    for said in (
        "Invoice",
        "1,234,567.8900001 USDC",
        "exactly 12345678900001 in the token's smallest unit (7 decimals)",
        f"Receiver {RECEIVER}",
        f"Token {COIN} symbol: USDC name: US Dollar",
        f"Stream contract {TWO}",
        "Duration 30 days 2592000 seconds",
        "Starts 28 May 2026, 20:26:40 UTC",
        "Cliff 29 May 2026, 20:26:40 UTC",
        "Expires 17 May 2026, 06:40 UTC",
        "Document https://example.org/offer.pdf",
        f"Made by {OWNER}",
        "Made 5 May 2026, 16:53:20 UTC",
        f"Pay {ADDRESS}",
        "Website redesign, first half",
        "Invoice AbCdEfGhIj12 1 of 1",
    ):
        assert said in text, said


def test_it_says_what_is_left_open(typesetter):
    link = replace(LINK, terms=replace(TERMS, start=None, cliff=None), expires_at=None, pdf_url=None, description=None)
    text = text_of(typesetter, link)
    assert "Starts When it is paid" in text
    assert "Expires Never" in text
    assert not {"Cliff", "Document", "What for"} & {word for word in ("Cliff", "Document", "What for") if word in text}


def test_without_decimals_it_says_the_smallest_unit_and_that_it_does_not_know(typesetter):
    text = text_of(typesetter, token=None)
    assert "12,345,678,900,001 12345678900001 in the token's smallest unit; how many of them" in text
    assert "USDC" not in text


def test_the_largest_amount_and_the_longest_names_are_all_there(typesetter):
    link = replace(LINK, terms=replace(TERMS, amount=2**127 - 1), pdf_url="https://example.org/" + "W" * 480)
    token = TokenFacts(COIN, 38, "W" * 32, "W" * 64, 100)
    text = squeezed(text_of(typesetter, link, token))
    assert "1.70141183460469231731687303715884105727" + "W" * 32 in text
    assert f"exactly{2**127 - 1}in" in text
    assert "name:" + "W" * 64 in text
    assert "https://example.org/" + "W" * 480 in text


def test_it_never_says_a_status(typesetter):
    paid = Payment(
        event_id="1-1",
        stream=f"{TWO}-1",
        tx_hash="0" * 64,
        ledger=1,
        closed_at=1_779_000_000,
        payer=PAYER,
        gross=1,
        net=1,
        by=MatchedBy.MEMO,
        outcome=Outcome.COMPLETED,
    )
    changed = {"canceled_at": 5, "deleted_at": 6, "submitted": "1" * 64, "payer": PAYER, "completed": paid}
    plain = document_of(LINK, TOKEN, PUBLIC)
    assert document_of(replace(LINK, updated_at=7, **changed), TOKEN, PUBLIC) == plain
    text = pdf_text(typesetter.pdf(plain))
    assert not [word for word in ("DRAFT", "SIGNED", "COMPLETED", "EXPIRED", "CANCEL") if word in text.upper()]


def test_its_code_is_read_from_the_page():
    document = document_of(LINK, TOKEN, PUBLIC)
    inputs = {"data": document.data.decode(), "qr": qr_svg(document.address).decode(), "boxes": "no"}
    page = typst.compile(template(), format="png", ppi=60, sys_inputs=inputs, ignore_system_fonts=True)
    assert scanned(read_png(page)) == [ADDRESS]


# --- any text ---------------------------------------------------------------------------------------

HOSTILE = [
    '#import "@preview/cetz:0.3.0": canvas',
    '#sys.inputs #read("/etc/passwd") #eval("1+1") #panic() #include "x" #{ }',
    "$x^2$ *bold* _emphasis_ `raw` ```rust block``` = Heading - item + item / term: x",
    "@ref <label> \\ \\u{41} ~ --- ... // no",
    '/* all of it */ [#pagebreak()] ]]]] )))) }}}} " \' \\" %s {0} {{ }} ${x} <script>alert(1)</script> &amp;',
    '{"data": null} \\", "title": "x',
    '#set document(title: [y]); #show: none; #link("javascript:alert(1)")[z] https://evil.example/',
]


@pytest.mark.parametrize("description", HOSTILE)
def test_markup_is_text(typesetter, description):
    pdf = typesetter.pdf(document_of(described(description), TOKEN, PUBLIC))
    assert squeezed(description) in squeezed(pdf_text(pdf))
    plain = typesetter.pdf(document_of(LINK, TOKEN, PUBLIC))
    assert len(pypdf.PdfReader(io.BytesIO(pdf)).pages) == len(pypdf.PdfReader(io.BytesIO(plain)).pages)
    assert f"Receiver {RECEIVER}" in pdf_text(pdf)


@pytest.mark.parametrize("where", ["symbol", "name"])
def test_a_token_writes_no_markup_either(typesetter, where):
    text = text_of(typesetter, token=replace(TOKEN, **{where: '#panic("x") $y$ *z*'}))
    assert '#panic("x") $y$ *z*' in text


@pytest.mark.parametrize(
    "description",
    [
        "日本語の説明",
        "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f",
        "\ue000\U000f0000\ufdd0\U0010ffff",
        "e" + "\u0301" * 999,
        "日" * 1_000,
        "\u0b95\u0bcd\u0bb7\u0bcc" * 250,
    ],
)
def test_letters_without_a_font_are_boxes_and_it_says_so(typesetter, description):
    text = text_of(typesetter, described(f"before {description} after"))
    assert "before" in text
    assert "after" in text
    assert (NOTE in text) == (description[0] != "e")


def test_what_the_fonts_have_is_no_box_and_the_file_is_for_archives(typesetter):
    pdf = typesetter.pdf(document_of(described("Müller & Söhne, Ελλάδα, Москва, שלום, “ﬁne” — 5 €"), TOKEN, PUBLIC))
    text = pdf_text(pdf)
    assert NOTE not in text
    assert "Müller & Söhne, Ελλάδα, Москва" in text
    assert b"<pdfaid:part>2</pdfaid:part>" in pdf
    assert b"<pdfuaid:part>1</pdfuaid:part>" in pdf


def test_text_that_turns_others_around_is_made_visible(typesetter):
    text = text_of(
        typesetter, described("pay \u202e0001 only\u2066\u2069 \u05d0\u05d1\u05d2 \0\x1b\x7f\u2028end\ud800")
    )
    assert "pay ⟨U+202E⟩0001 only⟨U+2066⟩⟨U+2069⟩" in text
    assert "⟨U+0000⟩⟨U+001B⟩⟨U+007F⟩ end⟨U+D800⟩" in text


@pytest.mark.parametrize(("description", "pages"), [("\n" * 1_000, 1), ("a\n" * 500, 15), ("W" * 1_000, 3)])
def test_empty_and_endless_lines_stay_within_pages(typesetter, description, pages):
    pdf = typesetter.pdf(document_of(described(description), TOKEN, PUBLIC))
    read = pypdf.PdfReader(io.BytesIO(pdf))
    assert len(read.pages) <= pages
    assert squeezed(description) in squeezed(
        " ".join(page.extract_text().rpartition("Invoice")[0] for page in read.pages)
    )


# a whole file's worth of fonts is loaded by whichever example comes first
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(), max_size=1_000))
def test_any_text_makes_an_invoice(typesetter, description):
    assert f"Receiver {RECEIVER}" in text_of(typesetter, described(description))


# --- the file ---------------------------------------------------------------------------------------


def test_its_date_is_the_links_and_its_author_who_made_it(typesetter):
    meta = pypdf.PdfReader(io.BytesIO(typesetter.pdf(document_of(LINK, TOKEN, PUBLIC)))).metadata
    assert meta.title == "Invoice AbCdEfGhIj12"
    assert meta.author == OWNER
    assert meta.creation_date.timestamp() == meta.modification_date.timestamp() == LINK.created_at


def test_its_only_link_is_the_pay_page_and_nothing_in_it_acts(typesetter):
    link = replace(described("https://evil.example/ javascript:alert(1)"), pdf_url="https://evil.example/x.pdf")
    pdf = typesetter.pdf(document_of(link, TOKEN, PUBLIC))
    read = pypdf.PdfReader(io.BytesIO(pdf))
    found = [one.get_object() for page in read.pages for one in page.get("/Annots", [])]
    assert [one["/A"]["/URI"] for one in found] == [ADDRESS]
    assert not {"/OpenAction", "/AA", "/AcroForm"} & set(read.trailer["/Root"])
    assert b"/JavaScript" not in pdf
    assert b"/EmbeddedFile" not in pdf


def test_its_fonts_are_those_that_come_with_typst(typesetter):
    pdf = typesetter.pdf(document_of(described("日本語 العربية"), TOKEN, PUBLIC))
    names = set()
    for page in pypdf.PdfReader(io.BytesIO(pdf)).pages:
        names |= {font.get_object()["/BaseFont"] for font in page["/Resources"]["/Font"].values()}
    assert names
    assert all(any(font in name for font in ("LibertinusSerif", "DejaVuSansMono", "NewCM")) for name in names), names


def test_it_is_read_aloud_in_order_with_its_headings(typesetter):
    root = pypdf.PdfReader(io.BytesIO(typesetter.pdf(document_of(LINK, TOKEN, PUBLIC)))).trailer["/Root"]
    assert root["/Lang"] == "en"
    assert root["/MarkInfo"]["/Marked"]


# --- the same bytes ---------------------------------------------------------------------------------


def test_two_renderings_are_byte_equal_whatever_was_set_before(typesetter):
    document = document_of(described("日本 " + "x" * 100), TOKEN, PUBLIC)
    first = typesetter.pdf(document)
    typesetter.pdf(document_of(LINK, None, "https://elsewhere.example"))
    assert typesetter.pdf(document) == first == Typesetter().pdf(document)


PROGRAM = """
import sys
from hashlib import sha256
from tests.invoice_links.test_invoice_pdf import LINK, PUBLIC, TOKEN, Typesetter, described, document_of
typesetter = Typesetter()
for link in (LINK, described("日本")):
    document = document_of(link, TOKEN, PUBLIC)
    print(document.digest, sha256(typesetter.pdf(document)).hexdigest())
"""


def test_another_process_time_zone_and_locale_make_the_same_bytes(tmp_path):
    found = set()
    for seed, zone, language in (("1", "UTC", "C"), ("2", "Asia/Tokyo", "de_DE.UTF-8")):
        env = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "TZ": zone,
            "LC_ALL": language,
            "LANG": language,
            "PYTHONUTF8": "1",
        }
        env |= {"SOURCE_DATE_EPOCH": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, cwd=tmp_path, capture_output=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1


OTHERS = [
    replace(LINK, slug="AbCdEfGhIj13"),
    replace(LINK, owner=PAYER),
    replace(LINK, description="Website redesign, second half"),
    replace(LINK, description=None),
    replace(LINK, pdf_url=None),
    replace(LINK, expires_at=None),
    replace(LINK, created_at=LINK.created_at + 1),
    *(
        replace(LINK, terms=replace(TERMS, **{name: value}))
        for name, value in {
            "contract": COIN,
            "receiver": OWNER,
            "token": TWO,
            "amount": TERMS.amount + 1,
            "duration": TERMS.duration + 1,
            "start": TERMS.start + 1,
            "cliff": None,
        }.items()
    ),
]


@pytest.mark.parametrize("number", range(len(OTHERS)))
def test_other_terms_are_other_bytes(typesetter, number):
    plain, other = document_of(LINK, TOKEN, PUBLIC), document_of(OTHERS[number], TOKEN, PUBLIC)
    assert plain.digest != other.digest
    assert typesetter.pdf(plain) != typesetter.pdf(other)


def test_another_token_or_address_is_another_invoice():
    digests = {
        document_of(LINK, token, url).digest
        for token in (None, TOKEN, replace(TOKEN, decimals=6), replace(TOKEN, symbol="X"), replace(TOKEN, name="X"))
        for url in (PUBLIC, f"{PUBLIC}/below")
    }
    assert len(digests) == 10


# --- many of them -----------------------------------------------------------------------------------


class Gate(Typesetter):
    """A typesetter that waits until it may, and counts."""

    def __init__(self, opened: threading.Event, made: list[Document], fails: bool = False) -> None:
        self.opened, self.made, self.fails = opened, made, fails

    def pdf(self, document: Document) -> bytes:
        self.opened.wait(20)
        self.made.append(document)
        if self.fails:
            raise Panic("a panic")
        return b"%PDF-" + document.data


class Panic(BaseException):
    """What typst raises when it fails inside: no Exception."""


@pytest.fixture
async def invoices():
    made = Invoices(SimpleNamespace())
    yield made
    await made.close()


def document(number: int) -> Document:
    return Document(b"%d" % number, ADDRESS, number)


async def test_one_is_made_at_a_time_and_too_many_are_refused(invoices, monkeypatch):
    opened, made = threading.Event(), []
    monkeypatch.setattr(invoice_pdf, "Typesetter", lambda: Gate(opened, made))
    waiting = [asyncio.ensure_future(invoices.pdf(document(number))) for number in range(MOST_WAITING)]
    same = [asyncio.ensure_future(invoices.pdf(document(0))) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(InvoiceBusyError):
        await invoices.pdf(document(99))
    opened.set()
    answers = await asyncio.gather(*waiting, *same)
    assert [answer.body for answer in answers[:3]] == [b"%PDF-0", b"%PDF-1", b"%PDF-2"]
    assert {answer.body for answer in answers[MOST_WAITING:]} == {b"%PDF-0"}
    assert [one.date for one in made] == list(range(MOST_WAITING))
    assert (await invoices.pdf(document(99))).body == b"%PDF-99"
    assert (await invoices.pdf(document(3))).body == b"%PDF-3"
    assert len(made) == MOST_WAITING + 1


async def test_a_panic_fails_one_invoice_and_not_the_next(invoices, monkeypatch):
    opened, made = threading.Event(), []
    opened.set()
    failing = iter([True, False])
    monkeypatch.setattr(invoice_pdf, "Typesetter", lambda: Gate(opened, made, fails=next(failing)))
    with pytest.raises(RuntimeError, match="a panic"):
        await invoices.pdf(document(1))
    assert (await invoices.pdf(document(1))).body == b"%PDF-1"
