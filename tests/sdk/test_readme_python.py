"""The README of the Python client: its examples run as they are shown, and it names everything there is."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

import nebula_client
from nebula_client import NebulaClient, errors
from nebula_client._core.config import ClientOptions, Config
from tests.api.examples import Page
from tests.paths import ROOT
from tests.sdk.demo_kit import Demo, demo

README = Page("contrib/nebula-client/README.md")


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[Demo]:
    with demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.mark.timeout(200)
def test_its_examples_run_as_they_are_shown_against_the_demo(service, tmp_path):
    code = "\n".join(block.code for block in README.of("python"))
    here = code.replace("http://127.0.0.1:3000", service.url).replace("http://127.0.0.1:8000", service.network)
    assert here.count(service.url) == here.count(service.network) == 1
    assert f'USDC = "{service.usdc}"' in here
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", here],
        capture_output=True,
        text=True,
        timeout=190,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_every_block_is_python_or_a_shell():
    assert {block.language for block in README.blocks} == {"python", "sh"}


@pytest.mark.parametrize("name", sorted(nebula_client.__all__))
def test_it_names_everything_that_can_be_imported(name):
    assert re.search(rf"\b{name}\b", README.text)


@pytest.mark.parametrize("name", sorted(name for name in dir(NebulaClient) if not name.startswith("_")))
def test_it_shows_every_call(name):
    calls = "\n".join(block.code for block in README.of("python"))
    assert f".{name}(" in calls


def test_it_tells_every_option_with_its_default():
    table = dict(re.findall(r"^\| (`[a-z_`, ]+`) \| (\S+)", README.section("Options"), re.MULTILINE))
    listed = {name: default for names, default in table.items() for name in re.findall(r"\w+", names)}
    assert set(ClientOptions.__annotations__) | {"transport"} == set(listed)
    for name in ("timeout", "confirm_timeout", "max_retries", "auto_login"):
        default = Config.__dataclass_fields__[name].default
        assert listed[name].strip("`") == f"{default:g}" if not isinstance(default, bool) else f"`{default}`"


def test_it_tells_every_error_with_its_code():
    section = README.section("Errors")
    rows = re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", section, re.MULTILINE)
    told = {name: codes for names, codes in rows for name in re.findall(r"`(\w+)`", names)}
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.NebulaError) and kind is not errors.NebulaError:
            assert name in told
            if not issubclass(kind, errors.ApiError):
                assert f"`{kind.code}`" in told[name]


def test_its_links_lead_somewhere():
    text = re.sub(r"```.*?```", "", README.text, flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        page = (README.path.parent / path).resolve() if path else README.path
        assert page.is_file(), target
        assert not anchor or anchor in _headings(page), target
    assert ROOT in README.path.parents


def _headings(page) -> set[str]:
    """Return the anchors of a page."""
    found = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}
