"""Text that strangers wrote: what a token calls itself, what a link is for. It may hold anything.

Where it is shown it must not reach what stands beside it: no marks or overrides of direction, no towers of accents.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from stellarstream_core.api.pages.text import visible

MOST_ACCENTS = 2
"""Accents on one letter; living languages need no more."""

# joiners and variation selectors: of use to some letters, and without a look of their own
_JOINERS = str.maketrans("", "", "\u200c\u200d\ufe0e\ufe0f")
# no look of their own, though they are letters or marks
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0") | {
    chr(code) for first, last in ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF)) for code in range(first, last + 1)
}


def cleaned(text: str, longest: int) -> str:
    """Return a text on one line, at most so many characters, without any that is not seen.

    Gone are controls, formats, surrogates, what is not assigned, fillers, and accents as :func:`lines_of` has it.
    """
    beginning = text[: longest * 16]  # of megabytes none would be shown
    seen = "".join(" " if letter.isspace() else letter for letter in beginning if letter.isspace() or _is_seen(letter))
    return " ".join("".join(_few_accents(seen)).split())[:longest].rstrip()


def lines_of(text: str) -> list[str]:
    """Return a text line by line, without several empty lines in a row.

    What would not be seen, or would turn others around, is made visible (``⟨U+202E⟩``). Accents with no letter below
    them, or more than :data:`MOST_ACCENTS` on one, are gone.
    """
    lines: list[str] = []
    for line in text.splitlines():
        plain = line.replace("\t", " ").translate(_JOINERS)
        shown = visible("".join(_few_accents(plain))).rstrip()
        if shown or (lines and lines[-1]):
            lines.append(shown)
    return lines[:-1] if lines and not lines[-1] else lines


def _is_seen(letter: str) -> bool:
    return letter not in _FILLERS and not unicodedata.category(letter).startswith("C")


def _few_accents(text: str) -> Iterator[str]:
    accents = MOST_ACCENTS
    for letter in text:
        if unicodedata.category(letter).startswith("M"):
            accents += 1
            if accents <= MOST_ACCENTS:
                yield letter
        else:
            accents = MOST_ACCENTS if letter.isspace() else 0
            yield letter
