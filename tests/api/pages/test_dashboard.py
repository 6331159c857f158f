"""The dashboard says the one thing that matters first, in every state, and whatever the chain holds."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from stellarstream_core.api.minutes import Minute
from stellarstream_core.api.pages.dashboard import REASONS, database_kind, headline, view_of
from stellarstream_core.api.pages.events import BLANK, event_rows
from stellarstream_core.api.pages.render import render
from stellarstream_core.api.problems import DatabaseUnavailableError, problem_of
from stellarstream_core.api.resources.health import Check, Readiness
from stellarstream_core.plugins import Plugin
from stellarstream_core.testing.scripted import made_contract, made_event

from .kit import HOSTILE, IMAGE, OVERRIDE, SCRIPT, hostile_events
from .models import CLUSTER, NO_INDEXER, facts, gap, nothing_synced, part, source, sync_model

DOWN = source("down", trouble="http://rpc.example does not answer")
STATES = {
    "empty": facts(sync=nothing_synced()),
    "up to date": facts(),
    "syncing": facts(sync=sync_model(tip=500_000, lag=499_000, lag_seconds=2_500_000.0)),
    "begun": facts(sync=sync_model(watermark=99, as_of_ledger=99, coverage=[], lag=901, lag_seconds=4_505.0,
                                   last_covered_ledger=100)),
    "gaps": facts(sync=sync_model(watermark=299, lag=701, coverage=[part(100, 299), part(400, 1_000, "scanned")],
                                  gaps=[gap(300, 399, contracts=["C" * 56])])),
    "source down": facts(sync=sync_model(tip=None, tip_closed_at=None, lag=None, lag_seconds=None, sources=[DOWN])),
    "source not asked yet": facts(sync=sync_model(tip=None, lag=None, sources=[source("unknown")])),
    "no source": facts(sync=sync_model(tip=None, lag=None, sources=[])),
    "conflict": facts(sync=sync_model(conflicts=3)),
    "database unavailable": facts(
        sync=None,
        problem=problem_of(DatabaseUnavailableError("The database cannot be used now.")),
        readiness=Readiness(
            status="unavailable", checks=[Check(name="database", ok=False, detail="Storage failed", required=True)]
        ),
        sources=[DOWN],
    ),
    "everything": facts(sync=sync_model(contracts=None, held_back_by=[made_contract(n) for n in range(5)],
                                        more_ranges=7, gaps=[gap(n, n) for n in range(200, 400, 2)])),
    "processes": facts(cluster=CLUSTER),
    "no indexer": facts(cluster=NO_INDEXER, sync=sync_model(lag=900, lag_seconds=4_500.0)),
    "with minutes": facts(minutes=[Minute(1_799_999_940 + 60 * n, n % 7) for n in range(60)]),
}  # fmt: skip


def page_of(found, events=()) -> str:
    return render(
        "dashboard.html", here="dashboard", view=view_of(found), events=event_rows(events), blank=BLANK, since="",
        reasons=REASONS, shown_contracts=50,
    ).decode()  # fmt: skip


class Outline(HTMLParser):
    """Checks that tags close in order, and collects what the tests ask about."""

    VOID = frozenset({"meta", "link", "input", "br", "hr", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


def check_page(html: str) -> Outline:
    """Check what holds for every page: well-formed, nothing inline, ids once, references that lead somewhere."""
    outline = Outline(html)
    ids = [attrs["id"] for _, attrs in outline.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    for tag, attrs in outline.tags:
        assert "style" not in attrs, tag
        assert not any(name.startswith("on") for name in attrs), attrs
        assert tag != "style"
        assert tag != "script" or attrs.get("src"), "an inline script"
        for name in ("aria-labelledby", "aria-describedby", "for"):
            for target in (attrs.get(name) or "").split():
                assert target in ids, (tag, attrs)
        for name in ("src", "href"):
            address = attrs.get(name)
            if address and not address.startswith("#"):
                assert re.match(r"\.{1,2}/", address), f"{address} is not relative"
            elif address:
                assert address[1:] in ids, address
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False)), levels
    return outline


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_a_sound_page(state):
    check_page(page_of(STATES[state], [made_event(7, contract=made_contract(1)), made_event(8)]))


@pytest.mark.parametrize("state", STATES)
def test_the_fragment_renews_each_part_of_the_page(state):
    view = view_of(STATES[state])
    fragment = Outline(render("fragment.html", view=view, reasons=REASONS, shown_contracts=50).decode())
    page = Outline(page_of(STATES[state]))
    parts = [attrs["id"] for _, attrs in fragment.tags if "data-part" in attrs]
    assert parts
    assert set(parts) == {attrs["id"] for _, attrs in page.tags if "data-part" in attrs}


@pytest.mark.parametrize(
    ("state", "level", "word"),
    [
        ("empty", "busy", "Nothing synced yet"),
        ("up to date", "ok", "Up to date"),
        ("syncing", "busy", "Catching up"),
        ("begun", "busy", "Catching up"),
        ("gaps", "warn", "Ledgers are missing"),
        ("source down", "bad", "No source answers"),
        ("source not asked yet", "warn", "Tip unknown"),
        ("no source", "warn", "Tip unknown"),
        ("conflict", "bad", "3 conflicts"),
        ("database unavailable", "bad", "Database unavailable"),
        ("processes", "ok", "Up to date"),
        ("no indexer", "bad", "No indexer runs"),
    ],
)
def test_the_headline_names_the_state(state, level, word):
    found = headline(STATES[state])
    assert (found.level, found.word) == (level, word)


def test_an_empty_database_says_which_command_to_run():
    assert headline(STATES["empty"]).command == "stellarstream sync --contract C… --follow"
    assert headline(replace(STATES["empty"], contracts=["C" * 56])).command == "stellarstream sync --follow"


def test_gaps_say_how_many_ledgers_and_how_to_fill_them():
    found = headline(STATES["gaps"])
    assert found.sentence.startswith("100 ledgers are missing in 1 gap. Complete from ledger 100 to 299.")
    assert found.command == "stellarstream sync --from 300 --to 399"


def test_a_lag_is_told_in_ledgers_and_in_time():
    assert "499,000 ledgers behind the network's tip, about 29 days." in headline(STATES["syncing"]).sentence


def test_a_few_ledgers_behind_are_up_to_date():
    assert headline(facts(sync=sync_model(lag=12, lag_seconds=72.0))).word == "Up to date"
    assert headline(facts(sync=sync_model(lag=30, lag_seconds=30.0))).word == "Up to date"
    assert headline(facts(sync=sync_model(lag=13, lag_seconds=61.0))).word == "Catching up"
    assert headline(facts(sync=sync_model(lag=13, lag_seconds=None))).word == "Catching up"


def test_what_is_down_or_broken_says_why():
    broken = Plugin("own", "own-plugin", "2.0", state="broken", error="ImportError: no module named 'x'\nsecond line")
    found = replace(STATES["source down"], plugins=[broken])
    words = check_page(page_of(found)).words
    assert "http://rpc.example does not answer" in words
    assert "ImportError: no module named 'x'" in words
    assert "second line" not in words


def test_a_database_that_cannot_be_read_still_has_a_page_with_the_problem():
    words = check_page(page_of(STATES["database unavailable"])).words
    assert "Database unavailable" in words
    assert "The database cannot be used now. This page asks again by itself" in words
    assert "Retry-After" not in words
    assert "http://rpc.example does not answer" in words
    assert "Storage failed" in words


def test_events_that_cannot_be_read_say_so():
    html = render(
        "dashboard.html", here="dashboard", view=view_of(STATES["database unavailable"]), events=None, blank=BLANK,
        since="", reasons=REASONS, shown_contracts=50,
    ).decode()  # fmt: skip
    assert "They cannot be read now." in check_page(html).words


def test_hostile_text_from_the_chain_stays_text():
    html = page_of(facts(), hostile_events(7, made_contract(1), 1_800_000_000))
    outline = check_page(html)
    assert SCRIPT in outline.words
    assert IMAGE in outline.words
    assert "{{7*7}}" in outline.words
    assert "49" not in outline.words
    assert not any(tag in {"img", "b"} and "src" in attrs for tag, attrs in outline.tags)
    assert OVERRIDE not in html
    assert "safe⟨U+202E⟩drawkcab" in outline.words
    for text in HOSTILE[2:]:
        assert not set(html) & (set(text) & set("\u202e\u200b\x00"))


def test_hostile_text_from_sources_and_plugins_stays_text():
    words = SCRIPT + OVERRIDE
    hostile = source("down", name=words, trouble=words)
    plugin = Plugin(words, words, words, state="broken", error=words)
    check = Check(name=words, ok=False, detail=words, required=True)
    found = facts(
        network=words,
        plugins=[plugin],
        sync=sync_model(sources=[hostile], gaps=[gap(300, 399, reason=words, contracts=[words, words])]),
        readiness=Readiness(status="unavailable", checks=[check]),
    )
    html = page_of(found)
    check_page(html)
    assert "<script>" not in html
    assert "\u202e" not in html


def test_full_ids_are_there_for_who_needs_them():
    event = made_event(7, contract=made_contract(1))
    outline = check_page(page_of(facts(), [event]))
    copied = [attrs["data-copy"] for _, attrs in outline.tags if attrs.get("data-copy")]
    assert event.contract_id in copied
    assert event.tx_hash in copied
    assert event.contract_id in [attrs.get("title") for _, attrs in outline.tags]


def test_an_event_that_cannot_be_decoded_is_shown_all_the_same():
    (row,) = event_rows([made_event(7)._replace(value=b"\xff\xff\xff\xff")])
    assert (row.name, row.preview) == ("contract", "cannot be decoded by this version")
    assert row.value == '"/////w=="'


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("sqlite:///file.db", "SQLite"),
        ("postgresql://user:secret@host/db", "PostgreSQL"),
        ("postgresql+x://host/db", "PostgreSQL"),
        ("other://host", "other"),
    ],
)
def test_of_the_database_only_its_kind_is_shown(url, kind):
    assert database_kind(url) == kind


# --- processes --------------------------------------------------------------------------------------


def test_every_process_is_shown_with_what_is_known_of_it_and_what_is_not_as_usual_stands_out():
    words = check_page(page_of(STATES["processes"])).words
    for said in (
        "api 2 of 3 ready ended by themselves: 4",
        "101 ready 17 h 213 MB 12 % 1 s ago",
        "102 ready 41 s 512 MB 96 % 17 s ago",
        "103 starting 2 s – – 0 s ago",
        "indexer 1 ready",
        "worker 1 running",
        "Ever: crash-loop 1, memory 7, stuck 1.",
        "2 earlier ones",
    ):
        assert said in words, said
    html = page_of(STATES["processes"])
    assert html.count("meter over") == 1, "only what is over its limit is drawn so"
    assert html.count("num late") == 1
    assert "other-that-nobody-runs" not in html


def test_alerts_are_text_whatever_is_in_them_and_the_newest_come_first():
    page = check_page(page_of(STATES["processes"]))
    assert SCRIPT in page.words
    assert page.words.index("crash-loop") < page.words.index("512 MB of memory")


def test_a_missing_indexer_is_the_headline_where_the_database_is_behind():
    found = headline(STATES["no indexer"])
    assert found.command == "stellarstream logs indexer"
    assert headline(replace(STATES["no indexer"], sync=sync_model())).word == "Up to date", "nothing is late yet"
    words = check_page(page_of(STATES["no indexer"])).words
    assert "indexer crashes again and again, next start in 16 s" in words
    assert "The health monitor last looked 400 s ago." in words
