"""The examples of a page of the documentation: its blocks, and whether an answer looks like the one that is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.paths import ROOT

_FENCE = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9_-]{20,}=*")
_SHOWN = re.compile(r"[A-Za-z0-9_-]{20,}=*|\"[0-9a-f]{24}\"|[0-9]+|…")


@dataclass(frozen=True)
class Block:
    """A fenced block: ``note`` is the word after its language, ``end`` where it ends in the text."""

    language: str
    note: str
    code: str
    line: int
    start: int
    end: int


@dataclass(frozen=True)
class Command:
    """A line after ``$`` in a terminal, and what is shown of its output: lines, or a JSON value."""

    line: int
    text: str
    shown: str
    value: Any = None


class Page:
    """A page of the documentation."""

    def __init__(self, path: str) -> None:
        self.path = ROOT / path
        self.text = self.path.read_text()
        self.blocks = [
            Block(found[1], found[2] or "", found[3], self._line(found.start()), found.start(), found.end())
            for found in _FENCE.finditer(self.text)
        ]

    def _line(self, at: int) -> int:
        """Return the line in which the code of a block begins."""
        return self.text.count("\n", 0, at) + 2

    def only(self, language: str) -> Block:
        """Return the one block of a language."""
        (block,) = self.of(language)
        return block

    def of(self, *languages: str) -> list[Block]:
        """Return the blocks of some languages."""
        return [block for block in self.blocks if block.language in languages]

    def section(self, heading: str) -> str:
        """Return what stands below a heading, up to the next one of its rank or above."""
        rank = re.search(rf"^(#+) {re.escape(heading)}$", self.text, re.MULTILINE)
        assert rank, heading
        rest = self.text[rank.end() :]
        following = re.search(rf"^#{{1,{len(rank[1])}}} ", rest, re.MULTILINE)
        return rest[: following.start()] if following else rest

    def codes(self) -> dict[str, int]:
        """Return the codes in the page's tables of problems, with their statuses."""
        rows = re.findall(r"^\| (`[^|]+`) \| (\d{3}) \|", self.text, re.MULTILINE)
        return {code: int(status) for codes, status in rows for code in re.findall(r"`([^`]+)`", codes)}

    def commands(self, block: Block) -> Iterator[Command]:
        """Yield the commands of a terminal; the JSON that follows on it is the last one's output."""
        lines = block.code.splitlines()
        starts = [at for at, line in enumerate(lines) if line.startswith("$ ")]
        for at, after in zip(starts, [*starts[1:], len(lines)], strict=True):
            shown = "\n".join(lines[at + 1 : after])
            yield Command(block.line + at, lines[at][2:], shown, self._output(block) if after == len(lines) else None)

    def _output(self, block: Block) -> Any:
        following = next((other for other in self.blocks if other.start > block.end), None)
        if following is None or following.language != "json" or self.text[block.end : following.start].strip():
            return None
        return json.loads(following.code)


def looks_like(shown: str, real: str) -> bool:
    """Tell whether a text begins like the one that is shown: numbers and names differ, '…' is anything."""
    pattern, at = "", 0
    for found in _SHOWN.finditer(shown):
        pattern += re.escape(shown[at : found.start()])
        word, at = found[0], found.end()
        if word == "…":
            pattern += ".*"
        elif word.isdigit():
            pattern += r"\d+"
        else:
            pattern += r'"[0-9a-f]+"' if word.startswith('"') else _NAME.pattern
    return re.match(pattern + re.escape(shown[at:]), real) is not None


def different(shown: Any, real: Any, place: str = "answer") -> str | None:
    """Return where a JSON value is not of the shape that is shown, None where it is.

    Objects have the same keys; each item of a list that is shown is like the first there is; null may
    stand for anything. What a contract put into its events is its own business.
    """
    if shown is None or real is None or place.endswith(("decoded.value", "decoded.topics")):
        return None
    if isinstance(shown, dict) and isinstance(real, dict):
        if set(shown) != set(real):
            return f"{place}: {sorted(set(shown) ^ set(real))}"
        return next((fault for key in shown if (fault := different(shown[key], real[key], f"{place}.{key}"))), None)
    if isinstance(shown, list) and isinstance(real, list):
        if shown and not real:
            return f"{place}: is empty"
        return next((fault for item in shown if (fault := different(item, real[0], f"{place}[]"))), None)
    numbers = isinstance(shown, (int, float)) and isinstance(real, (int, float))
    if numbers and isinstance(shown, bool) == isinstance(real, bool):
        return None
    return None if type(shown) is type(real) else f"{place}: {real!r} where {shown!r} is shown"
