"""Writes the lines of one generated function: the position, what was passed unread, and pending checks.

In the generated code ``w`` holds the words of the XDR and ``p`` the position in it. Fields of fixed
size do not move ``p``: their words are added up in ``offset`` until something of variable size
follows. Words that must be zero are checked together then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from scripts.xdr_walker.layout import Check, Fixed


class Body:
    """Lines of a function; every method keeps ``p + offset`` at the next unread word."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.indent = 1
        self.offset = 0
        self._zeros: list[tuple[int, str]] = []
        self._names = 0

    def line(self, text: str) -> None:
        """Write one line at the present indentation."""
        self.lines.append("    " * self.indent + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Write ``head`` and indent what follows; the position is settled at the end of the block."""
        self.line(head)
        self.indent += 1
        start = len(self.lines)
        yield
        self.settle()
        if len(self.lines) == start:
            self.line("pass")
        self.indent -= 1

    def name(self) -> str:
        """Return a variable that no other place of the function uses."""
        self._names += 1
        return f"v{self._names}"

    def here(self, more: int = 0) -> str:
        """Return the expression for the position ``more`` words after the next unread one."""
        total = self.offset + more
        return f"p + {total}" if total else "p"

    def word(self, more: int = 0) -> str:
        """Return the expression for the word at :meth:`here`."""
        return f"w[{self.here(more)}]"

    def take(self, variable: str) -> None:
        """Read the next word into a variable and step over it."""
        self.line(f"{variable} = {self.word()}")
        self.offset += 1

    def fixed(self, size: Fixed) -> None:
        """Step over a value of fixed size."""
        for check in size.checks:
            self.check(check)
        self.offset += size.words

    def check(self, check: Check) -> None:
        """Check one word of the value that begins at the next unread word."""
        if check.allowed == (0,):
            self._zeros.append((self.offset + check.at, check.type))
            return
        refuse = "_bad_flag(w, {0})" if check.type == "bool" else f'_unknown("{check.type}", w, {{0}})'
        place = self.here(check.at)
        with self._line_block(f"if {outside(f'w[{place}]', check.allowed)}:"):
            self.line(f"raise {refuse.format(place)}")

    @contextmanager
    def _line_block(self, head: str) -> Iterator[None]:
        self.line(head)
        self.indent += 1
        yield
        self.indent -= 1

    def refuse(self, condition: str, error: str) -> None:
        """Write that an error is raised where a condition holds."""
        with self._line_block(f"if {condition}:"):
            self.line(f"raise {error}")

    def checked(self) -> None:
        """Write the pending checks, as has to be done before the code branches."""
        zeros, self._zeros = self._zeros, []
        for start in range(0, len(zeros), 4):
            some = zeros[start : start + 4]
            places = [f"p + {at}" if at else "p" for at, _ in some]
            condition = " or ".join(f"w[{place}]" for place in places)
            if len(some) == 1:
                self.refuse(condition, f'_unknown("{some[0][1]}", w, {places[0]})')
            else:
                listed = ", ".join(f'("{name}", {place})' for place, (_, name) in zip(places, some, strict=True))
                self.refuse(condition, f"_unknown_of(w, {listed})")

    def settle(self) -> None:
        """Write the pending checks and move ``p`` to the next unread word."""
        self.checked()
        if self.offset:
            self.line(f"p += {self.offset}")
            self.offset = 0

    def jump(self, words: str) -> None:
        """Write the pending checks and move ``p`` over ``words`` more, an expression."""
        self.checked()
        self.line(f"p += {self.offset} + {words}" if self.offset else f"p += {words}")
        self.offset = 0

    def goto(self, expression: str) -> None:
        """Write the pending checks and set ``p`` to an expression of :meth:`here`."""
        self.checked()
        self.line(f"p = {expression}")
        self.offset = 0


def outside(word: str, allowed: tuple[int, ...]) -> str:
    """Return the condition under which a word is none of the ``allowed`` ones."""
    if allowed == (0,):
        return word
    if allowed == tuple(range(len(allowed))):
        return f"{word} > {len(allowed) - 1}"
    if len(allowed) == 1:
        return f"{word} != {allowed[0]}"
    if allowed[-1] - allowed[0] == len(allowed) - 1:
        return f"not {allowed[0]} <= {word} <= {allowed[-1]}"
    return f"{word} not in {allowed}"
