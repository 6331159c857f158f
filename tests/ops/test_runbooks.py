"""Alerts lead to their pages: by whole addresses, which the command of the documentation makes one's own."""

from __future__ import annotations

import re
import subprocess
from urllib.parse import urlsplit

import yaml

from tests.paths import ROOT

PAGE = ROOT / "docs" / "operations.md"
ALERTS = ROOT / "contrib" / "grafana" / "alerts.yml"


def addresses(text: str) -> dict[str, set[str]]:
    """Return where each alert leads, by its name."""
    found: dict[str, set[str]] = {}
    for group in yaml.safe_load(text)["groups"]:
        for rule in group["rules"]:
            found.setdefault(rule["alert"], set()).add(rule["annotations"]["runbook_url"])
    return found


def test_every_alert_leads_to_its_own_heading_by_a_whole_address():
    headings = {heading.lower() for heading in re.findall(r"^### (\w+)$", PAGE.read_text(), re.MULTILINE)}
    found = addresses(ALERTS.read_text())
    assert len(found) > 20
    for name, leads_to in found.items():
        (address,) = leads_to
        parts = urlsplit(address)
        assert (parts.scheme, parts.netloc != "") == ("https", True), name
        assert parts.path.endswith("/operations.md")
        assert parts.fragment == name.lower()
        assert parts.fragment in headings


def test_the_command_of_the_page_puts_ones_own_address_into_each_and_changes_nothing_else(tmp_path):
    (command,) = re.findall(r"^sed .*alerts\.yml.*$", PAGE.read_text(), re.MULTILINE)
    published = "https://wiki.example.com/stellarstream/"
    subprocess.run(
        ["sh", "-e", "-c", command], cwd=ROOT, env={"RUNBOOKS": published, "RULES": str(tmp_path)}, check=True
    )
    shipped, installed = ALERTS.read_text(), (tmp_path / "stellarstream-alerts.yml").read_text()
    for name, leads_to in addresses(installed).items():
        assert leads_to == {f"{published}operations.md#{name.lower()}"}
    rest = [[line for line in text.splitlines() if "://" not in line] for text in (shipped, installed)]
    assert rest[0] == rest[1]
    assert len(shipped.splitlines()) == len(installed.splitlines())
